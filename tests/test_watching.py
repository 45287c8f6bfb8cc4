"""`actbench.watch`: what it finds in a loop of one's own, and that the loop has the same bits with and without it."""

from __future__ import annotations

import collections
import copy
import dataclasses
import io
import pickle
import random
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from actbench.errors import UserError
from actbench.measures.quantities import column_kinds
from actbench.watching import Diagnosis, tap, watch
from actbench.watching.mirror import mirror
from actbench.watching.records import LookRow


class Net(nn.Module):
    """Has what a second pass could disturb: dropout, batch normalisation, a counter and a list that forward writes."""

    how = None  # of gradient checkpointing

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 16), nn.Linear(16, 12), nn.Linear(12, 3)
        self.norm, self.drop, self.act = nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Tanh()
        self.calls, self.seen = 0, []

    def part(self, x):
        return F.relu(self.b(x), inplace=True)

    def forward(self, x):
        self.calls += 1
        self.seen.append(x.shape)
        x = self.drop(self.act(self.norm(self.a(x)) + np.random.rand() + random.random()))
        x = checkpoint(self.part, x, use_reentrant=self.how) if self.how is not None else self.part(x)
        return self.c(x)


class Reentrant(Net):
    how = True


class NotReentrant(Net):
    how = False


def sequence():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))


class Plain(nn.Module):
    """Without random numbers of numpy's, at which a compiler gives up."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.drop = nn.Linear(8, 16), nn.Linear(16, 3), nn.Dropout(0.5)

    def forward(self, x):
        return self.b(self.drop(torch.relu(self.a(x))))


def itself(network):
    return network


def trained(make, *, on, called=itself, watched=lambda network, _: network, inside=None, low=False, steps=7, **options):
    """A network after a loop with an evaluation and accumulated gradients in it, what it left, and the watch."""
    torch.manual_seed(0), np.random.seed(0), random.seed(0)
    network = make()
    call = called(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    looks = watch(watched(network, call), every=2, **options) if on else None
    if on:
        looks.start()
    if inside is not None:
        inside(network)
    for step in range(steps):
        x, y = torch.randn(32, 8), torch.randint(3, (32,))
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            loss = F.cross_entropy(call(x), y)
        loss.backward()
        if step % 2:
            optimizer.step()
            optimizer.zero_grad()
        if step == 3:
            network.eval()
            with torch.no_grad():
                call(x)
            network.train()
    if on:
        looks.close()
    state = network.state_dict(), [p.grad for p in network.parameters()], optimizer.state_dict()["state"]
    numbers = torch.get_rng_state(), np.random.get_state()[1], random.getstate()
    modules = [sorted(vars(module)) for module in network.modules()]
    modes = [module.training for module in network.modules()], torch.is_grad_enabled()
    own = getattr(network, "calls", None), getattr(network, "seen", None)
    content = io.BytesIO()
    torch.save((*state, *numbers, modules, modes, own), content)
    return content.getvalue(), looks


COMPILED = {"backend": "eager", "fullgraph": True}


def compile_in_place(network):
    network.compile(**COMPILED)
    return network


@pytest.mark.parametrize(
    "make, how",
    [
        (Net, {}),
        (Net, {"low": True}),
        (Net, {"holdout": torch.randn(50, 8)}),
        (Net, {"holdout": torch.randn(50, 8), "low": True}),
        pytest.param(Reentrant, {}, marks=pytest.mark.filterwarnings("ignore:None of the inputs")),
        (NotReentrant, {}),
        *[
            (make, options)
            for make in (Plain, sequence)
            for options in (
                {"called": lambda network: torch.compile(network, **COMPILED), "watched": lambda _, call: call},
                {"called": lambda network: torch.compile(network, **COMPILED)},
                {"called": compile_in_place},
                {"inside": compile_in_place},
            )
        ],
    ],
)
def test_watching_changes_no_bit(make, how):
    """Parameters, gradients, the optimizer's state, random numbers, buffers, modes, attributes."""
    torch.compiler.reset()
    without, _ = trained(make, on=False, **how)
    watched, looks = trained(make, on=True, **how)
    assert watched == without
    assert looks.passes == 7
    assert looks.table.step.unique().tolist() == [0, 2, 4, 6, 7]


class Stateful(nn.Module):
    """Draws from generators of its own, and counts in what is no list."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(8, 16), nn.Linear(16, 3)
        self.own, self.numpys, self.pythons = torch.Generator(), np.random.default_rng(0), random.Random(0)
        self.counter, self.groups, self.array = collections.Counter(), collections.defaultdict(list), np.zeros(2)

    def forward(self, x):
        self.counter["calls"] += 1
        self.groups["shapes"].append(x.shape)
        self.array += 1
        noise = torch.rand(x.shape, generator=self.own) + self.numpys.random() + self.pythons.random()
        return self.b(F.relu(self.a(x + noise + self.array[0])))

    @property
    def calls(self):
        return self.counter, dict(self.groups), self.array.tolist()


def test_state_of_any_kind_is_the_networks_own():
    assert trained(Stateful, on=True)[0] == trained(Stateful, on=False)[0]


def test_cached_parametrizations_keep_their_gradients():
    gradients = []
    for on in (True, False):
        torch.manual_seed(0)
        network = sequence()
        nn.utils.parametrizations.weight_norm(network[0])
        looks = watch(network)
        if on:
            looks.start()
        with nn.utils.parametrize.cached():
            network(torch.ones(4, 8)).sum().backward()
        looks.stop()
        gradients.append([parameter.grad for parameter in network.parameters()])
    assert all(map(torch.equal, *gradients))


def test_a_metric_within_a_network_counts_what_it_is_shown():
    torchmetrics = pytest.importorskip("torchmetrics")

    class Measured(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.metric = nn.Linear(8, 3), torchmetrics.MeanMetric()

        def forward(self, x):
            x = F.relu(self.layer(x))
            self.metric(x.detach().mean())
            return x * torch.ones(3)

    network = Measured()
    with watch(network, every=1):
        for _ in range(3):
            network(torch.randn(4, 8))
    assert network.metric.update_count == 3


def test_an_activation_by_itself_is_watched():
    network = sequence()
    with watch(network[1]) as looks:
        network(torch.randn(4, 8))
    assert looks.table.units.tolist() == [16, 16]


def test_a_compiled_network_is_compiled_no_more_often():
    counts = []
    for on in (False, True):
        torch.compiler.reset()
        compiled = []

        def backend(graph, _inputs, compiled=compiled):
            compiled.append(graph)
            return graph.forward

        trained(Plain, on=on, called=lambda network, backend=backend: torch.compile(network, backend=backend))
        counts.append(len(compiled))
    assert counts[0] == counts[1] > 0


def wired():
    """Of its 4 units the first never fires on inputs from 0 to 1, the second fires always, the others for some."""
    network = nn.Sequential(nn.Linear(1, 4), nn.ReLU(), nn.Linear(4, 1))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[-1.0], [1.0], [1.0], [-1.0]]))
        network[0].bias.copy_(torch.tensor([-0.5, 1.0, -0.25, 0.75]))
    return network


def test_it_counts_what_is_there():
    """Against counts by hand; then the second unit is switched off, and comes back."""
    network, held_out = wired(), torch.linspace(0, 1, 5)[:, None]
    with watch(network, every=1, holdout=held_out) as looks:
        for bias in (1.0, -2.0, 1.0):
            with torch.no_grad():
                network[0].bias[1] = bias
            network(torch.rand(3, 1))
    table = looks.table
    assert table.dead.tolist() == [0.25, 0.5, 0.25, 0.25]
    z = network[0](held_out)
    assert table.active.iloc[-1] == pytest.approx(float((z > 0).float().mean()))
    assert table[["births", "deaths", "revivals"]].values.tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]
    assert table.died.tolist() == [0, 0.25, 0, 0] and table.dead_at_init.tolist() == [0.25] * 4
    assert table.dead_for.tolist() == [0.0, (1 + 0) / 2, 2.0, 3.0]
    assert table.samples.unique().tolist() == [5]
    assert {*table.columns} == {*column_kinds(LookRow)} - {"seed"}


def test_a_watch_says_how_far_it_is():
    network = sequence()
    with watch(network, every=2) as looks:
        for _ in range(3):
            network(torch.randn(4, 8))
    assert repr(looks) == "<Watch of Sequential: 3 passes in training, 3 looks at 1 layer>"


def test_a_share_of_the_network_is_over_its_units():
    """In TensorBoard, under the tags of a run; a convolution's channel counts as much as a feature."""

    class Writer:
        def __init__(self):
            self.scalars, self.texts = {}, {}

        def add_scalar(self, tag, value, step):
            self.scalars[tag, step] = value

        def add_text(self, tag, text, step):
            self.texts[tag, step] = text

    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 6), nn.Tanh(), nn.Linear(6, 2))
    with torch.no_grad():
        network[0].bias[0] = -100
    writer = Writer()
    with watch(network, every=1, writer=writer):
        network(torch.randn(20, 1, 8, 8))
    assert writer.scalars["dead_ratio/1", 0] == 0.5
    assert writer.scalars["dead_ratio/4", 0] == 0
    assert writer.scalars["dead_ratio/all", 0] == 1 / 8
    assert {"active_ratio/1", "dormant_ratio/all", "output_mean/4"} <= {tag for tag, _ in writer.scalars}
    assert "dead-units" in writer.texts["diagnosis", 1]


def test_it_is_in_no_copy():
    network, fresh = Net(), Net()
    with watch(network, every=2):
        network(torch.randn(4, 8))
        saved = io.BytesIO()
        torch.save(network, saved)
        saved.seek(0)
        others = copy.deepcopy(network), pickle.loads(pickle.dumps(network)), copy.copy(network)
        for other in (*others, torch.load(saved, weights_only=False)):
            assert vars(other).keys() == vars(fresh).keys()
            assert other._compiled_call_impl is None
        assert network.state_dict().keys() == fresh.state_dict().keys()
    assert vars(network).keys() == vars(fresh).keys()


def test_an_exception_of_the_users_leaves_nothing():
    network, module, call = sequence(), nn.Module.compile, torch._dynamo.eval_frame.OptimizedModule.__call__
    looks = watch(network)

    def loop():
        with looks:
            network(torch.randn(4, 8))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        loop()
    assert vars(network).keys() == vars(sequence()).keys()
    assert nn.Module.compile is module and torch._dynamo.eval_frame.OptimizedModule.__call__ is call
    assert looks.table.step.tolist() == [0]
    with pytest.raises(RuntimeError, match="cannot be multiplied"), watch(network):
        network(torch.randn(4, 5))  # its own error, not one of the look before it


def test_it_is_its_own_when_checkpointed_by_another():
    """A block that another network recomputes is counted once for each step."""
    for reentrant in (True, False):
        block = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
        with watch(block, every=1) as looks:
            for _ in range(3):
                x = torch.randn(4, 8, requires_grad=True)
                checkpoint(block, x, use_reentrant=reentrant).sum().backward()
        assert looks.passes == 3


def test_a_checkpointed_function_is_watched():
    """Whatever runs it again in the backward pass; a look is no training, and runs it once."""

    class Closure(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 2)

        def forward(self, x):
            return self.b(checkpoint(lambda z: F.relu(self.a(z)), x, use_reentrant=False))

    network = Closure()
    with watch(network) as looks:
        network(torch.randn(4, 8)).sum().backward()
    assert looks.table.units.tolist() == [8, 8]


def test_inputs_of_any_kind():
    """Keywords, dicts, scalars, and a batch that forward writes to; the user's is left as it is."""

    class Wide(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, batch, *, scale=1.0, weight=None):
            x = batch["x"].sub_(1.0) if scale == 2 else batch["x"]
            return F.relu(self.layer(x)) * weight[:, None] @ torch.ones(3, 2)

    network = Wide()
    with watch(network, every=1) as looks:
        for scale in (1.0, 2, 1.0):
            x = torch.zeros(4, 4)
            network({"x": x, "length": 3}, scale=scale, weight=torch.ones(4))
            assert float(x.mean()) == (-1 if scale == 2 else 0)
    assert looks.table.samples.tolist() == [4, 8, 8, 8]  # the batch that was written to is no longer what it was


class Attributes(dict):
    __getattr__ = dict.__getitem__


@dataclasses.dataclass(frozen=True)
class Record:
    x: torch.Tensor
    notes: list


class Holder:
    def __init__(self, x, notes):
        self.x, self.notes, self.itself = x, notes, self


Named = collections.namedtuple("Named", ["x", "notes"])


@pytest.mark.parametrize("kind", [Attributes, Record, Holder, Named, collections.UserDict])
def test_a_batch_of_any_kind_is_the_users_own(kind):
    """`forward` may write to it: with a watch it is written to as often as without, and it stays of its kind."""

    class Writes(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, batch):
            assert type(batch) is kind
            x, notes = (batch["x"], batch["notes"]) if kind is collections.UserDict else (batch.x, batch.notes)
            notes.append(float(x.mul_(2).sum()))
            return F.relu(self.layer(x)) @ torch.ones(3, 2)

    network = Writes()
    batch = kind(x=torch.ones(6, 4), notes=[])
    with watch(network, every=1) as looks:
        network(batch)
    x, notes = (batch["x"], batch["notes"]) if kind is collections.UserDict else (batch.x, batch.notes)
    assert notes == [48.0] and float(x.sum()) == 48
    assert looks.table.samples.tolist() == [6]


def test_options_of_the_training_loop_hold_for_a_held_out_set():
    class Wide(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x, on, mask=None, *, scale):
            assert on is True and scale == 2.0 and (mask is None or mask.shape == x.shape)
            return F.relu(self.layer(x if mask is None else x * mask)) @ torch.ones(3, 2)

    x, y = torch.randn(12, 4), torch.zeros(12)
    for held_out, call in [
        (x, lambda network, z: network(z, True, scale=2.0)),
        ((x, y), lambda network, z: network(z, True, scale=2.0)),
        ((x, x, y), lambda network, z: network(z, True, z, scale=2.0)),
        ({"x": x, "mask": x, "y": y}, lambda network, z: network(x=z, on=True, mask=z, scale=2.0)),
    ]:
        network = Wide()
        with watch(network, holdout=held_out) as looks:
            call(network, torch.randn(5, 4))
        assert looks.table.samples.tolist() == [12, 12]


def test_a_single_sample_without_a_batch():
    """Those before it are no longer vector."""
    network = sequence()
    with watch(network, every=1) as looks:
        for _ in range(3):
            network(torch.randn(8))
    assert looks.table.step.tolist() == [0, 1, 2, 3]


def test_the_first_use_draws_no_random_number():
    """Libraries that it imports draw some, and by then the program has seeded its generators."""
    code = """
        import random, numpy, torch, actbench
        network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.Linear(2, 2))
        def state():
            return random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
        x, before = torch.ones(2, 2), state()
        with actbench.watch(network) as looks:
            network(x)
        looks.table, str(looks.diagnosis())
        assert state() == before
        actbench.compare
        assert state() == before
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_a_held_out_set_in_any_form():
    inputs, targets = torch.randn(10, 8), torch.zeros(10)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(inputs, targets), 4, shuffle=True)
    found = []
    for held_out in (inputs, (inputs, targets), loader):
        torch.manual_seed(0)
        network = sequence()
        with watch(network, holdout=held_out) as looks:
            network(torch.randn(4, 8))
        found.append(looks.table[["samples", "dead", "active"]].round(12).values.tolist())
    assert found[0] == found[1] == found[2] and found[0][0][0] == 10


def test_a_copy_shares_parameters_and_nothing_else():
    network = Net()
    network.parts = [network.a, {"deep": network.b}]
    network.held = torch.zeros(2)
    torch.nn.utils.parametrizations.spectral_norm(network.c)
    network.register_forward_hook(lambda *_: pytest.fail("a hook of the user's"))
    copied = mirror(network)
    assert [*copied.parameters()] == [*network.parameters()] or all(
        one is other for one, other in zip(copied.parameters(), network.parameters(), strict=True)
    )
    before = [buffer.clone() for buffer in network.buffers()]
    copied(torch.randn(4, 8))
    assert copied.parts[0] is copied.a and copied.parts[1]["deep"] is copied.b and copied.held is not network.held
    assert network.calls == 0 and network.seen == [] and copied.calls == 1
    assert all(map(torch.equal, network.buffers(), before))
    assert network.training and not any(module.training for module in copied.modules())


# ---------------------------------------------------------------- the diagnosis


def looked_at(network, x):
    with watch(network, every=1) as looks:
        network(x)
    return looks.diagnosis()


def test_findings_with_remedies_for_ones_own_code():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    with torch.no_grad():
        network[0].bias[:6] = -100
    diagnosis = looked_at(network, torch.randn(64, 4))
    (finding,) = diagnosis.findings
    assert finding.code == "dead-units" and "75.0 % of 8 units dead" in finding.evidence
    assert "nn.LeakyReLU() or nn.PReLU() in the place of relu at model[1]" in finding.remedies
    assert "nn.init.kaiming_normal_(model[0].weight) before training" in finding.remedies
    assert "nn.BatchNorm1d(8) in front of relu at model[1]" in finding.remedies
    assert not any("=" in remedy for remedy in finding.remedies), "a command's overrides are not for a loop"
    text, page = str(diagnosis), diagnosis._repr_html_()
    for said in ("75.0", "dead-units", "try  nn.LeakyReLU()"):
        assert said in text
    assert "<td>75.0</td>" in page and "dead-units" in page


def test_units_that_die_in_training_ask_for_a_smaller_learning_rate():
    network = sequence()
    with watch(network, every=1) as looks:
        network(torch.randn(64, 8))
        with torch.no_grad():
            network[0].bias -= 100
        network(torch.randn(64, 8))
    assert looks.diagnosis().findings[0].remedies[0] == "a tenth of the learning rate"


def test_saturated_units():
    network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    with torch.no_grad():
        network[0].weight.div_(10)
        network[0].bias.fill_(4)
    (first, *_) = looked_at(network, torch.randn(32, 4)).findings
    assert first.code == "saturated-units"


def test_what_is_not_finite_is_a_finding():
    network = sequence()
    with torch.no_grad():
        network[0].weight.fill_(torch.nan)
    (finding,) = looked_at(network, torch.randn(4, 8)).findings
    assert finding.code == "diverged-loss"


def test_a_healthy_network_has_no_finding():
    torch.manual_seed(0)
    diagnosis = looked_at(sequence(), torch.randn(64, 8))
    assert diagnosis.findings == () and "nothing alarming" in str(diagnosis)
    assert "no look was taken" in str(Diagnosis.of([]))


# ---------------------------------------------------------------- what is wrong


def never_called():
    with watch(sequence()):
        pass


def only_evaluated():
    network = sequence()
    with watch(network), torch.no_grad():
        network(torch.randn(4, 8))


def in_a_loop(network, x, **options):
    with watch(network, **options):
        network(x)


def watched_twice():
    network = sequence()
    with watch(network), watch(network):
        pass


@pytest.mark.parametrize(
    "wrong, words",
    [
        (never_called, "was never called while it was watched"),
        (only_evaluated, "never in training mode with gradients"),
        (lambda: in_a_loop(nn.Linear(2, 2), torch.randn(3, 2)), "has no activation to watch"),
        (lambda: watch([1]), "is a list"),
        (lambda: watch(nn.Linear), "is the class Linear"),
        (lambda: watch(nn.DataParallel(sequence())), "is a DataParallel"),
        (lambda: in_a_loop(sequence(), torch.randn(3, 8), holdout=torch.randn(3, 5)), "fails on these samples"),
        (lambda: in_a_loop(sequence(), torch.randn(3, 8), holdout=torch.randn(0, 8)), "has no samples"),
        (lambda: in_a_loop(sequence(), torch.randn(3, 8), holdout={"x": torch.randn(3, 8)}), "is a dict with 'x'"),
        (lambda: watch(sequence(), holdout=iter([torch.zeros(2)])), "only once"),
        (lambda: watch(sequence(), holdout=np.zeros((3, 8))), "is a ndarray"),
        (lambda: watch(sequence().to("meta")), "is on the meta device"),
        (lambda: watch(torch.compile(nn.DataParallel(sequence()))), "is a DataParallel"),
        (lambda: watch(sequence(), every=0), "every=0 is not a number of steps"),
        (lambda: watch(sequence(), writer="runs"), "has no add_scalar"),
        (lambda: in_a_loop(sequence(), torch.randn(3, 8), step=lambda: None), "returns None, not a number"),
        (watched_twice, "is being watched already"),
        (lambda: watch(sequence()).diagnosis(), "was never called"),
    ],
)  # fmt: skip
def test_one_clear_message(wrong, words):
    with pytest.raises(UserError) as raised:
        wrong()
    assert words in str(raised.value)
    assert all(problem.where and problem.how for problem in raised.value.problems)


def test_a_torch_that_calls_modules_in_another_way_is_no_silent_watch(monkeypatch):
    tap._missing.cache_clear()
    monkeypatch.setattr(tap, "_PLACE", "_elsewhere")
    with pytest.raises(UserError, match=r"no longer has nn\.Module\._elsewhere"), watch(sequence()):
        pass
    monkeypatch.undo()
    tap._missing.cache_clear()


def test_all_that_is_wrong_at_once():
    with pytest.raises(UserError) as raised:
        watch([1], every=-1, writer=3, holdout="x", step=2)
    assert len(raised.value.problems) == 5


class Fragile(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.broken = nn.Linear(4, 4), ""

    def forward(self, x):
        if self.broken and not self.training:
            raise RuntimeError(self.broken)
        return F.relu(self.layer(x)) @ torch.ones(4, 1)


def test_a_later_look_that_fails_stops_no_training_and_is_told_once_for_each_cause(capsys):
    network = Fragile()
    with watch(network, every=1) as looks:
        for step in range(6):
            network.broken = "" if step == 0 else "another cause" if step == 2 else f"of {step} bytes at 0x{step:x}f"
            network(torch.randn(4, 4))
    assert looks.table.step.tolist() == [0]
    assert capsys.readouterr().err.splitlines() == [
        "actbench.watch: no look at step 1, training goes on: RuntimeError: of 1 bytes at 0x1f",
        "actbench.watch: no look at step 2, training goes on: RuntimeError: another cause",
        "actbench.watch: 5 looks failed, from step 1 to 6: RuntimeError: of 1 bytes at 0x1f",
    ]


def test_a_held_out_set_that_fails_later_stops_no_training(capsys):
    """Whatever is wrong: from the second look on its loader has no batch."""
    network, loader = sequence(), [torch.randn(4, 8)]
    with watch(network, every=1, holdout=loader) as looks:
        for _ in range(3):
            network(torch.randn(4, 8))
            loader.clear()
    assert looks.table.step.tolist() == [0]
    assert "no look at step 1, training goes on: actbench.watch(holdout=…): has no samples" in capsys.readouterr().err


def per_sample(network, x):
    """As differential privacy has it: the gradient of each sample, of parameters that are outside of the network."""
    params = {name: value.detach() for name, value in network.named_parameters()}

    def loss(params, sample):
        return torch.func.functional_call(network, params, (sample[None],)).square().sum()

    return torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(params, x)


def jacobian(network, x):
    return {"jacobian": torch.func.vmap(torch.func.jacrev(network))(x)}


@pytest.mark.parametrize("transformed", [per_sample, jacobian])
def test_within_a_transform_of_torch_func_there_is_one_message_and_the_same_numbers(transformed, capsys):
    x, results = torch.randn(6, 8), []
    network = sequence()
    for on in (False, True):
        looks = watch(network, every=1)
        if on:
            looks.start()
        results.append([transformed(network, x) for _ in range(3)][-1])
        looks.close()
    assert all(map(torch.equal, results[0].values(), results[1].values()))
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "Sequential is called within a transform of torch.func" in said
    assert looks.passes == 0 and looks.table.empty
    with pytest.raises(UserError, match="was called in training 3 times, each within a transform"):
        looks.diagnosis()


def test_calls_within_a_transform_are_no_steps_of_a_loop_that_has_others(capsys):
    network = sequence()
    with watch(network, every=2) as looks:
        for _ in range(4):
            network(torch.randn(6, 8)).sum().backward()
            jacobian(network, torch.randn(3, 8))
    assert looks.table[["step", "samples"]].values.tolist() == [[0, 6], [2, 18], [4, 24]]
    assert capsys.readouterr().err == ""


class Writer:
    """Keeps what a SummaryWriter is given."""

    def __init__(self):
        self.values, self.texts = {}, []

    def add_scalar(self, tag, value, step):
        assert (tag, step) not in self.values, "another watch has drawn here"
        self.values[tag, step] = value

    def add_text(self, tag, _text, _step):
        self.texts.append(tag)


def test_watches_with_one_writer_have_curves_of_their_own():
    """Two networks at once, as of a GAN, others later, and the same network again, whose steps begin anew."""
    writer = Writer()
    generator, discriminator = sequence(), Plain()
    with watch(generator, writer=writer), watch(discriminator, writer=writer):
        discriminator(generator(torch.randn(6, 8)) @ torch.ones(3, 8))
    for network in (Plain(), generator):
        with watch(network, writer=writer):
            network(torch.randn(6, 8))
    ends = ("dead_ratio/all", "diagnosis")
    starts = ["", "Plain/", "Plain 2/", "Sequential 2/"]
    assert [tag.removesuffix(ends[0]) for tag, step in writer.values if tag.endswith(ends[0]) and step == 0] == starts
    assert sorted(writer.texts) == sorted(f"{start}{ends[1]}" for start in starts)


def test_a_network_that_is_watched_again_by_the_steps_of_its_loop_goes_on_with_its_curves():
    writer, network, done = Writer(), sequence(), iter(range(100))
    for _ in range(2):
        with watch(network, writer=writer, step=lambda: next(done)):
            network(torch.randn(6, 8))
    assert {tag for tag, _ in writer.values if tag.endswith("dead_ratio/all")} == {"dead_ratio/all"}
    assert {*writer.texts} == {"diagnosis"}
