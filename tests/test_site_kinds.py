"""What stands at a site: activations in every way of writing them, gates, formulas, and what nothing can see."""

from __future__ import annotations

import copy
import warnings
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from test_sites import passed, same
from torch import nn
from torch.utils.checkpoint import checkpoint_sequential

from actbench.sites.exchange import Exchanged
from actbench.sites.listing import in_lines


class Clamping(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * (ctx.saved_tensors[0] > 0)


class WithSetup(torch.autograd.Function):
    @staticmethod
    def forward(x):
        return torch.tanh(x)

    @staticmethod
    def setup_context(ctx, inputs, output):  # noqa: ARG004
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * (1 - ctx.saved_tensors[0] ** 2)


class HSigmoid(nn.Module):
    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU6(inplace=True)

    def forward(self, x):
        return self.relu(x + 3) / 6


class Bounded(nn.Module):
    def forward(self, x):
        return 0.5 * (1 + x / (1 + x.abs()))


class Dropping(nn.Module):
    """A dropout of the user's own, which is no activation."""

    def forward(self, x):
        return x * torch.bernoulli(torch.full_like(x, 0.5)) if self.training else x


class Fit(nn.Module):
    """linear, f, linear, relu, linear; `gate` is another layer for f to use."""

    def __init__(self, f, inside=None):
        super().__init__()
        self.a, self.gate, self.b, self.c = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.scale, self.f, self.inside = nn.Parameter(torch.ones(8)), f, inside

    def forward(self, x):
        return self.c(F.relu(self.b(self.f(self, self.a(x)))))


EXCHANGED = {  # -> f(network, z), and what is in its place besides the last relu: the kinds that are exchanged
    "a parameter is no signal": (lambda n, z: n.scale * torch.tanh(z), ["tanh"]),
    "nor is a mask": (lambda n, z: torch.tanh(z) * torch.bernoulli(torch.full_like(z, 0.5)), ["tanh"]),
    "partial": (lambda n, z: partial(F.leaky_relu, negative_slope=0.2)(z), ["leaky_relu"]),
    "by getattr": (lambda n, z: getattr(torch, "relu")(z), ["relu"]),  # noqa: B009
    "made in forward": (lambda n, z: nn.GELU()(z), ["gelu"]),
    "forward alone": (lambda n, z: n.inside.forward(z), ["silu"], nn.SiLU()),
    "gated linear unit": (lambda n, z: F.gelu(z) * n.gate(z), ["gelu"]),
    "a star operation": (lambda n, z: F.relu6(z) * n.gate(z), ["relu6"]),
    "own dropout": (lambda n, z: n.inside(torch.relu(z)), ["relu"], Dropping()),
}  # fmt: skip
ALONE = {  # -> the kinds that are left alone, and why
    "swish": (lambda n, z: z * torch.sigmoid(z), ["sigmoid"], "part of a formula"),
    "mish": (lambda n, z: z * torch.tanh(F.softplus(z)), ["softplus", "tanh"], "part of a formula"),
    "hardswish": (lambda n, z: z * F.relu6(z + 3) / 6, ["relu6"], "part of a formula"),
    "sigmoid gate": (lambda n, z: z * torch.sigmoid(n.gate(z)), ["sigmoid"], "a gate"),
    "module gate": (lambda n, z: z * n.inside(n.gate(z)), ["sigmoid"], "a gate", nn.Sigmoid()),
    "scaled gate": (lambda n, z: z * n.inside(n.gate(z)), ["relu6"], "a gate", HSigmoid()),
    "own gate": (lambda n, z: z * n.inside(n.gate(z)), ["Bounded"], "a gate", Bounded()),
    "maximum": (lambda n, z: torch.maximum(z, torch.zeros_like(z)), ["maximum"], "written out"),
    "mask": (lambda n, z: z * (z > 0), ["mul"], "written out"),
    "where": (lambda n, z: torch.where(z > 0, z, 0.1 * z), ["where"], "written out"),
    "autograd function": (lambda n, z: Clamping.apply(z), ["relu"], "torch.autograd.Function"),
    "the newer one": (lambda n, z: WithSetup.apply(z), ["tanh"], "torch.autograd.Function"),
    "vmap": (lambda n, z: torch.vmap(torch.relu)(z), ["relu"], "torch.vmap"),
    "lstm": (lambda n, z: n.inside(z.unsqueeze(1))[0].squeeze(1), ["lstm"], "within torch's LSTM", nn.LSTM(8, 8)),
}  # fmt: skip


def tanhs(sites):
    return {site.name: nn.Tanh() for site in sites if site.exchangeable}


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("name", [*EXCHANGED, *ALONE])
def test_each_way_of_writing_is_told_and_computes_its_own_bits(name):
    f, kinds, *more = EXCHANGED[name] if name in EXCHANGED else ALONE[name]
    why = "" if name in EXCHANGED else more.pop(0)
    torch.manual_seed(0)
    plain, x = Fit(f, *more), torch.randn(4, 6)
    own = copy.deepcopy(Exchanged(copy.deepcopy(plain), x))
    assert sorted(site.kind for site in own.found) == sorted([*kinds, "relu"])
    for site in own.found:
        assert site.why_not == "" if "b.weight" in site.weights or not why else why in site.why_not
    for training in (True, False):
        expected, gradients = passed(plain, x, training)
        computed, own_gradients = passed(own, x, training)
        assert torch.equal(expected, computed) and same(gradients, own_gradients)
    passed(Exchanged(plain, x, tanhs), x, True)  # what stays is let through


@pytest.mark.parametrize("reentrant", [False, True])
def test_modules_that_a_checkpoint_runs_one_by_one_are_exchanged(reentrant):
    class Checkpointed(nn.Module):
        def __init__(self, recompute):
            super().__init__()
            self.a, self.recompute = nn.Linear(6, 8), recompute
            self.parts = nn.Sequential(*[m for _ in range(4) for m in (nn.Linear(8, 8), nn.ReLU(inplace=True))])

        def forward(self, x):
            x = torch.tanh(self.a(x))
            return checkpoint_sequential(self.parts, 2, x, use_reentrant=reentrant) if self.recompute else self.parts(x)

    torch.manual_seed(0)
    plain, x = Checkpointed(False), torch.randn(4, 6)
    again = Checkpointed(True)
    again.load_state_dict(plain.state_dict())
    (expected, gradients), (computed, recomputed) = (
        passed(Exchanged(network, x, tanhs), x, True) for network in (plain, again)
    )
    assert torch.equal(expected, computed) and same(gradients, recomputed)


def test_own_activations_on_tokens_compute_their_bits_in_the_network_s_layout():
    """torch's GELU takes another kernel where memory is not contiguous."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(28, 16), nn.GELU(), nn.Linear(16, 3), nn.Flatten())
    x = torch.randn(4, 28, 28)
    (expected, gradients), (computed, own) = (passed(n, x, True) for n in (plain, Exchanged(copy.deepcopy(plain), x)))
    assert torch.equal(expected, computed) and same(gradients, own)


@pytest.mark.parametrize(
    "write", [lambda h, x: h.mul_(2), lambda h, x: F.dropout(h, 0.5, True, True), lambda h, x: h.__iadd__(x)]
)
def test_what_is_put_in_may_need_an_output_that_the_network_writes_to(write):
    class Writing(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.act, self.b = nn.Linear(6, 6), nn.Hardswish(), nn.Linear(6, 3)

        def forward(self, x):
            return self.b(write(self.act(self.a(x)), x))

    passed(Exchanged(Writing(), torch.randn(4, 6), tanhs), torch.randn(4, 6), True)


def test_what_prepares_the_input_stays():
    class Prepares(nn.Module):
        def forward(self, x):
            return x.clamp(-1, 1) / 2

    network = nn.Sequential(Prepares(), nn.Flatten(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    assert [site.why_not for site in Exchanged(network, torch.randn(2, 6)).found] == [
        "it prepares the network's input",
        "",
    ]


def test_units_keep_their_axis_through_views():
    class Viewing(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(1, 5, 2), nn.Linear(5, 7), nn.Linear(7, 3)

        def forward(self, x):
            x = F.relu(self.a(x).flatten(2))  # (B, 5, positions)
            x = F.gelu(self.b(x.transpose(1, 2)).reshape(-1, 7))  # (B positions, 7)
            return self.c(x)

    found = Exchanged(Viewing(), torch.randn(2, 1, 5, 5)).found
    assert [(site.kind, site.axis, site.units) for site in found] == [("relu", 1, 5), ("gelu", 1, 7)]


def test_names_are_unique_and_told_apart_from_modules():
    class Names(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu1, self.act, self.parts = nn.Linear(6, 6), nn.ReLU(), nn.Sequential(nn.ReLU())

        def forward(self, x):
            x = F.relu(self.relu1(x))
            x = self.act(self.relu1(self.act(self.relu1(F.relu(self.relu1(x))))))
            return self.relu1(self.parts(self.relu1(self.parts(self.relu1(x)))))

    names = [site.name for site in Exchanged(Names(), torch.randn(2, 6)).found]
    assert names == ["relu1_call", "relu2", "act1", "act2", "parts.0_1", "parts.0_2"]


def test_a_block_that_stands_at_several_paths_is_one():
    block = nn.Sequential(nn.Linear(6, 6), nn.ReLU())
    network = Exchanged(nn.Sequential(block, block, nn.Linear(6, 2)), torch.randn(2, 6), tanhs)
    assert [site.name for site in network.found] == ["0.1"]
    network(torch.randn(3, 6))


def test_what_nothing_sees_is_listed_without_units():
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    found = Exchanged(nn.Sequential(nn.Linear(8, 8), encoder, nn.Flatten()), torch.randn(2, 3, 8)).found
    assert in_lines(found, ())[1:] == [
        "  1.softmax  softmax: the softmax of an attention", "  1.relu     relu, 16 units (Bx3x16): activation=own",
    ]  # fmt: skip


def test_a_call_in_a_branch_taken_later_is_an_error_in_a_network_of_modules():
    class Late(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.act = nn.Linear(6, 6), nn.ReLU()

        def forward(self, x):
            x = self.a(self.act(self.a(x)))
            return torch.tanh(x) if len(x) > 2 else x

    with pytest.raises(Exception, match="was not met by the trial passes"):
        Exchanged(Late(), torch.randn(2, 6), tanhs)(torch.randn(4, 6))


@pytest.fixture(autouse=True)
def _expected_warnings():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="None of the inputs have requires_grad")  # of the trial
        yield
