"""`watch`: looks at the activations of a network in anyone's training loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Integral
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from actbench.diagnosis.evidence import counted
from actbench.errors import Problem, UserError, a_type_of
from actbench.records import Epoch
from actbench.sinks.tags import Tags
from actbench.watching.batches import Holdout
from actbench.watching.curves import start_of_tags
from actbench.watching.diagnosis import Diagnosis
from actbench.watching.failures import Failures
from actbench.watching.mirror import unwrapped
from actbench.watching.network import TRANSFORMED, WatchedNetwork
from actbench.watching.records import NOT_SHOWN, LookRow
from actbench.watching.tap import Nesting

if TYPE_CHECKING:
    import pandas as pd


class Watch:
    """The looks at a network so far; what `watch` returns.

    Attributes:
        rows: of all looks, one for each layer.
    """

    def __init__(
        self, networks: Mapping[str, nn.Module], *, every: int, writer: Any, holdout: Holdout | None,
        step: Callable[[], int] | None,
    ) -> None:  # fmt: skip
        self.rows: list[LookRow] = []
        self._writer, self._tags, self._is_open = writer, Tags(), False
        self._is_elsewhere = False  # in another process, of rank 0
        self._pending: list[LookRow] = []  # of one step, to be written
        self._failures, self._goes_on = Failures(), step is not None
        self._start_of_tags: str | None = None
        settings: Any = {
            "every": every, "step": step, "holdout": holdout, "report": self._take, "nesting": Nesting(),
            "failures": self._failures, "one_of_several": len(networks) > 1,
        }  # fmt: skip
        self._networks = [
            WatchedNetwork(module, f"{name}." if name else "", **settings) for name, module in networks.items()
        ]

    def start(self) -> Watch:
        """Begins, as `with` does.

        Raises:
            UserError: the network is being watched already.
        """
        self._is_elsewhere = not _is_first_process()
        if self._is_open or self._is_elsewhere:
            return self
        opened = []
        try:
            for network in self._networks:
                network.tap.open()
                opened.append(network)
        except UserError:
            for network in opened:
                network.tap.close()
            raise
        self._is_open = True
        if self._start_of_tags is None:
            self._start_of_tags = start_of_tags(self._writer, self._networks[0].module, goes_on=self._goes_on)
        return self

    def close(self) -> None:
        """Looks once more, and leaves the network as it was. A second call does nothing.

        Raises:
            UserError: the network was never called in training since `start`, or the look fails.
        """
        if not self._is_open:
            return
        try:
            for network in self._networks:
                network.look_at_the_end()
            if not any(network.transformed for network in self._networks):  # which was told when it was called
                self._check_called()
        finally:
            self.stop()
        self._write()
        if self._writer is not None and self.rows and callable(getattr(self._writer, "add_text", None)):
            self._writer.add_text(f"{self._start_of_tags}diagnosis", self.diagnosis().markdown(), self.rows[-1].step)
            if hasattr(self._writer, "flush"):
                self._writer.flush()

    def stop(self) -> None:
        """Leaves the network as it was, without another look."""
        for network in self._networks:
            network.tap.close()
        self._is_open = False
        self._failures.tell_how_often()

    def __enter__(self) -> Watch:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.stop()

    def __repr__(self) -> str:
        names = ", ".join(type(network.module).__name__ for network in self._networks)
        looks, layers = len({row.step for row in self.rows}), len({row.layer for row in self.rows})
        seen = f"{self.passes:,} passes in training, {counted(looks, 'look')}"
        return f"<Watch of {names}: {seen} at {counted(layers, 'layer')}>"

    @property
    def passes(self) -> int:
        """Calls of the network in training so far."""
        return sum(network.passes for network in self._networks)

    @property
    def table(self) -> pd.DataFrame:
        """One row for each look and layer, with the columns of `layers.csv`; shares are from 0 to 1.

        `samples` is the number of samples that the look was taken on.
        """
        import pandas as pd

        from actbench.measures.quantities import column_kinds

        columns = [name for name in column_kinds(LookRow) if name not in NOT_SHOWN]
        return pd.DataFrame([[getattr(row, name) for name in columns] for row in self.rows], columns=columns)

    def diagnosis(self) -> Diagnosis:
        """What the last look found in each layer, and what went wrong with what to try.

        It is printed as text, and shown as a table in a notebook.

        Raises:
            UserError: nothing was looked at yet.
        """
        if not self.rows and not self._is_elsewhere:
            self._check_called()
        layers = {name: layer for network in self._networks for name, layer in network.layers.items()}
        exact = any(network.holdout is not None for network in self._networks)
        return Diagnosis.of(self.rows, layers, exact=exact)

    def _check_called(self) -> None:
        if self.passes or self.rows:
            return
        others = sum(network.others for network in self._networks)
        transformed = sum(network.transformed for network in self._networks)
        names = ", ".join(type(network.module).__name__ for network in self._networks)
        if transformed:
            what = f"was called in training {counted(transformed, 'time')}, each {TRANSFORMED}"
            how = "call it outside of them, too, where it is to be looked at: model(x), or functional_call(model, p, x)"
        elif others:
            what = f"was called {others} times, but never in training mode with gradients enabled"
            how = "model.train() before the loop"
        else:
            what = "was never called while it was watched"
            how = (
                "watch the module that your loop calls, as in model(x), and let the loop run within the block; where "
                "torch.compile compiles a whole training step, let it compile the network instead"
            )
        raise UserError(what, where=f"actbench.watch({names})", how=how)

    def _take(self, rows: list[LookRow]) -> None:
        self.rows += rows
        if self._pending and self._pending[0].step != rows[0].step:
            self._write()
        self._pending += rows
        if len(self._networks) == 1:
            self._write()

    def _write(self) -> None:
        """The scalars of one look at all networks, whose shares are those of all of their units."""
        rows, self._pending = tuple(self._pending), []
        if self._writer is not None:
            for _, tag, step, value in self._tags.of(Epoch(number=0, rows=rows)):
                self._writer.add_scalar(f"{self._start_of_tags}{tag}", value, step)


def watch(
    model: nn.Module, *, every: int = 100, writer: Any = None, holdout: Any = None,
    step: Callable[[], int] | None = None,
) -> Watch:  # fmt: skip
    """Watches the units of a network while your own loop trains it: which are dead, dormant, saturated, and since when.

    Before the first training pass, before every `every`-th from then on and at the end, a copy of the network that
    shares its parameters is passed the batch that is there (with those before it, 256 samples or 4 batches) in
    evaluation mode; or the held-out set. Training is not affected by a bit: neither parameters, gradients, buffers and
    modes nor random numbers. Forward hooks of your own are not called in that pass. Nothing is left on the network
    afterwards, nor in a copy, pickle or state_dict made meanwhile.

    It works with `torch.compile`, autocast, gradient checkpointing and DistributedDataParallel, where rank 0 looks. A
    call within a transform of `torch.func` is no step and is not looked at. A look that fails later than the first one
    is told on stderr, and training goes on.

    Args:
        model: the module that your loop calls; also as `torch.compile` or DistributedDataParallel returned it.
        every: steps from one look to the next.
        writer: of TensorBoard, with `add_scalar(tag, value, step)`; None: none. Where another watch has written to it,
            tags begin with the class of the network: `Discriminator/dead_ratio/all`.
        holdout: inputs, (inputs, targets), a dict, or a DataLoader of these, which every look is taken on. Without it
            a look sees the last training batches, in which a unit that seldom fires may look dead.
        step: returns the number of steps done; by default each pass of the network in training mode with gradients
            enabled is a step.

    Returns:
        What is used as `with watch(...) as w:`, or with `start()` and `close()`; it has `table` and `diagnosis()`.

    Raises:
        UserError: an argument is wrong; in the block, if there is nothing to watch; at its end, if the network was not
            trained within it.

    >>> import torch
    >>> from torch import nn
    >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
    <torch._C.Generator object at 0x...>
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    >>> with watch(net, every=2) as looks:
    ...     for _ in range(3):
    ...         optimizer.zero_grad()
    ...         net(torch.randn(16, 4)).square().mean().backward()
    ...         optimizer.step()
    >>> looks.table[["step", "layer", "units", "samples"]].values.tolist()
    [[0, '1', 8, 16], [2, '1', 8, 48], [3, '1', 8, 48]]
    """
    held_out = check(model, every, writer, holdout, step)
    return Watch({"": unwrapped(model)}, every=every, writer=writer, holdout=held_out, step=step)


_WRAPPERS = {
    "DataParallel": "DistributedDataParallel, or the network within it (model.module)",
    "FullyShardedDataParallel": "watch a run of a smaller network that one process holds",
}


def check(model: Any, every: Any, writer: Any, holdout: Any, step: Any) -> Holdout | None:
    """Raises a UserError with all that is wrong."""
    problems, held_out = [], None
    where = "actbench.watch"
    if not isinstance(model, nn.Module):
        what, how = f"is {a_type_of(model)}", "a torch.nn.Module: the network that your loop calls"
        if isinstance(model, type):
            what, how = f"is the class {model.__name__}", f"an object of it: {model.__name__}()"
        problems.append(Problem(what, f"{where}(model)", how))
    elif (kind := type(unwrapped(model)).__name__) in _WRAPPERS:
        problems.append(Problem(f"is {a_type_of(unwrapped(model))}", f"{where}(model)", _WRAPPERS[kind]))
    elif isinstance(model, torch.jit.ScriptModule):
        what = "is a ScriptModule, whose activations cannot be seen"
        problems.append(Problem(what, f"{where}(model)", "the network before torch.jit.script; torch.compile works"))
    elif any(tensor.is_meta for tensor in model.parameters()):
        what = "is on the meta device, where there are no numbers to look at"
        problems.append(
            Problem(what, f"{where}(model)", 'model.to_empty(device="cpu"), and weights, before it is watched')
        )
    if not isinstance(every, Integral) or isinstance(every, bool) or every < 1:
        problems.append(
            Problem(f"every={every!r} is not a number of steps", where, "every=100: a whole number, 1 or more")
        )
    if writer is not None and not callable(getattr(writer, "add_scalar", None)):
        what = f"writer={writer!r} has no add_scalar"
        problems.append(Problem(what, where, 'torch.utils.tensorboard.SummaryWriter("runs/x")'))
    if step is not None and not callable(step):
        problems.append(Problem(f"step={step!r} cannot be called", where, "step=lambda: trainer.global_step"))
    try:
        held_out = None if holdout is None else Holdout(holdout)
    except UserError as error:
        problems += error.problems
    if problems:
        raise UserError.of(problems)
    return held_out


def _is_first_process() -> bool:
    """Whether this process is the only one that trains, or that of rank 0."""
    distributed = torch.distributed
    return not (distributed.is_available() and distributed.is_initialized()) or distributed.get_rank() == 0
