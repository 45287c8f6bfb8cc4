"""`WatchedNetwork`: one network in training: its passes as they come, its looks and the history of its units."""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from actbench.errors import UserError, in_a_line
from actbench.measures.computing.history import UnitHistory
from actbench.measures.computing.sites import UnitWatch
from actbench.measures.lives import LookRecord, columns_of
from actbench.measures.units import STATISTICS
from actbench.sites.listing import found_in_lines
from actbench.sites.site import Site
from actbench.watching import observing
from actbench.watching.batches import Batch, Holdout, Kept, joined
from actbench.watching.failures import Failures
from actbench.watching.findings import Layer
from actbench.watching.records import LookRow
from actbench.watching.tap import Call, Nesting, Tap

SAMPLES, _BATCHES = 256, 4  # a look on training batches: so many samples, of so many batches at most
_FIRST = 1024  # samples of one batch that are passed at most
TRANSFORMED = "within a transform of torch.func (grad, vmap, ...), where it is not looked at"
_ENDLESS = 1 << 62  # steps of an epoch, so that there is one; a power of two, so that dividing by it loses nothing


class WatchedNetwork:
    """Sees the passes of `module` in training, and looks at it before those at which a look is due.

    Args:
        module: a network, not compiled and not wrapped.
        prefix: of the names of its layers.
        every: steps between two looks.
        step: the number of steps done; None: passes count.
        holdout: what a look is taken on; None: the last training batches.
        report: is given the rows of each look.
        nesting: shared by the networks of one watch.
        failures: of looks, shared by them too.
        one_of_several: of networks some of which may have no activation.
    """

    def __init__(
        self, module: nn.Module, prefix: str, *, every: int, step: Callable[[], int] | None,
        holdout: Holdout | None, report: Callable[[list[LookRow]], None], nesting: Nesting, failures: Failures,
        one_of_several: bool,
    ) -> None:  # fmt: skip
        self.module, self.prefix, self.every, self.holdout, self.report = module, prefix, every, holdout, report
        self.given_step, self.failures = step, failures
        self.passes, self.others = 0, 0  # in training, and otherwise
        self.transformed = 0  # in training, within a transform of torch.func
        self.sites: tuple[Site, ...] | None = None
        self.layers: dict[str, Layer] = {}  # what is known of them
        self.error: UserError | None = None  # of a look, to be raised once the network's own pass has been
        self._forward = False  # whether passes in training are outside of the backward pass
        self._last: int | None = None  # the step of the last look
        self._next = -math.inf  # the step of the next one
        self._autocast: tuple[str, bool, torch.dtype] | None = None
        self._known: dict[str, tuple[bool, bool]] = {}
        self._kept: deque[Kept] | None = None  # the last batches
        self._history = UnitHistory([0], _ENDLESS)
        self.one_of_several = one_of_several
        self.tap = Tap(module, self._seen, nesting)

    @property
    def step(self) -> int:
        """Steps of training done."""
        if self.given_step is None:
            return self.passes
        given = self.given_step()
        try:
            return int(given)
        except (TypeError, ValueError) as error:
            how = "the number of steps done: step=lambda: trainer.global_step"
            raise UserError(f"returns {given!r}, not a number", where="actbench.watch(step=…)", how=how) from error

    def _seen(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call of the module."""
        if not self.module.training or not torch.is_grad_enabled():
            self.others += 1
            return call(*args, **kwargs)
        if torch._C._functorch.peek_interpreter_stack() is not None:  # its tensors are gone afterwards
            self._note_transform()
            return call(*args, **kwargs)
        if torch._C._current_graph_task_id() != -1 and self._forward:  # a checkpoint that runs it again
            return call(*args, **kwargs)
        batch = Batch(args, kwargs)
        if self._is_due():
            self._look_before(batch)
        kept = Kept.of(batch)
        output = call(*args, **kwargs)
        if self.error is not None:
            raise self.error
        self.passes += 1
        self._forward |= torch._C._current_graph_task_id() == -1
        if kept.unchanged:
            self._keep(kept)
        return output

    def _note_transform(self) -> None:
        self.transformed += 1
        if self.transformed == 1 and self._last is None:
            name = type(self.module).__name__
            print(f"actbench.watch: {name} is called {TRANSFORMED}; calls outside of one are", file=sys.stderr)

    def _is_due(self) -> bool:
        return self.step >= self._next and not _is_capturing()

    def _keep(self, kept: Kept) -> None:
        """Keeps as many of the last batches as a look takes."""
        if self._kept is None:
            self._kept = deque(maxlen=min(_BATCHES, -(-SAMPLES // (kept.batch.size or 1))))
        self._kept.append(kept)

    def _usable(self) -> list[Batch]:
        return [one.batch for one in self._kept or () if one.unchanged]

    # ------------------------------------------------------------ looks

    def _look_before(self, batch: Batch) -> None:
        """A look on what the pass that follows is given, and on the batches before it.

        Where the look fails the pass comes first: what is wrong with the batch is the network's own to say.
        """
        if any(is_lazy(parameter) for parameter in self.module.parameters()):
            return
        device = self._device()
        self._autocast = (device.type, torch.is_autocast_enabled(device.type), torch.get_autocast_dtype(device.type))
        self._look(batch)

    def look_at_the_end(self) -> None:
        """A look at the network as it is now, unless the last look was.

        Raises:
            UserError: it fails.
        """
        if self._last == self.step or not self.passes or not (self.sites is None or self._has_sites()):
            return
        usable = self._usable()
        if not usable:
            return
        self._look(usable[-1], last=True)
        if self.error is not None:
            raise self.error

    def _look(self, batch: Batch, *, last: bool = False) -> None:
        first, self._last = self._last is None, self.step
        self._next = (self._last // self.every + 1) * self.every
        try:
            rows = torch.compiler.disable(self._rows)(batch, last)
        except Exception as error:
            if first:
                self.error = error if isinstance(error, UserError) else self._failed(error, batch)
            else:
                self.failures.tell(self._last, error)
            return
        if rows:
            self.report(rows)

    def _rows(self, batch: Batch, last: bool) -> list[LookRow]:
        device = self._device()
        kind, enabled, dtype = self._autocast or (device.type, False, torch.float32)
        # with torch 2.6, weights that a pass without gradients has cast would be taken by the training step around it
        uncached = torch.autocast(kind, enabled=False, cache_enabled=False)
        with observing.without_trace(device), _restoring(self.holdout), uncached:
            with torch.autocast(kind, dtype=dtype, enabled=enabled):  # as the training loop has it
                watch, samples = self._observed(batch, device, last)
            if samples == 0:
                raise UserError("has no samples", where="actbench.watch(holdout=…)", how="a set of one sample at least")
            if not self._has_sites():
                self._next = math.inf
            if not watch.layers:
                return []
            self._history.update(observing.peaks_of(watch), self.step)
            statistics = watch.statistics().cpu()[:, :, 0].tolist()  # (L, 6)
        lives = {row.layer: row for row in self._history.rows()}
        return [
            self._row(layer, units, samples, dict(zip(STATISTICS, values, strict=True)), lives[layer])
            for layer, units, values in zip(watch.layers, watch.units(), statistics, strict=True)
        ]

    def _observed(self, batch: Batch, device: torch.device, last: bool) -> tuple[UnitWatch, int]:
        """What passes of a copy show, and the number of samples; the first finds the sites."""
        if self.sites is None:
            self.sites = observing.find_sites(self.module, batch)
            self._check_sites()
            about = observing.about_layers(self.module, self.sites, self.prefix)
            self.layers = {self.prefix + name: layer for name, layer in about.items()}
        untrained = batch if self.passes == 0 and observing.is_untrained(self.module) else None
        batches = self._batches(batch, device, last)
        return observing.observe(self.module, self.sites, batches, known=self._known, normalise=untrained)

    def _row(
        self, layer: str, units: int, samples: int, statistics: dict[str, Any], life: LookRecord
    ) -> LookRow:  # fmt: skip
        changes = {**columns_of(life), "dead_for": life.dead_for * _ENDLESS}
        return LookRow(
            seed=0, step=self.step, layer=self.prefix + layer, samples=samples, units=units, **statistics, **changes
        )

    def _batches(self, batch: Batch, device: torch.device, last: bool) -> Iterator[Batch]:
        if self.holdout is not None:
            yield from self.holdout.batches(batch, device)
            return
        earlier = self._usable()
        chosen: list[Batch] = []
        for one in reversed(earlier if last else [*earlier, batch][-_BATCHES:]):
            if sum(before.size or 1 for before in chosen) < SAMPLES:
                chosen.append(one.first(_FIRST))
        yield from joined(chosen)

    def _device(self) -> torch.device:
        tensor = next(chain(self.module.parameters(), self.module.buffers()), None)
        return torch.device("cpu") if tensor is None else tensor.device

    def _has_sites(self) -> bool:
        return any(site.exchangeable for site in self.sites or ())

    def _check_sites(self) -> None:
        assert self.sites is not None
        if self._has_sites() or self.one_of_several:
            return
        lines = "\n".join(["has no activation to watch", *found_in_lines(self.sites)])
        raise UserError(
            lines, where=f"actbench.watch({type(self.module).__name__})",
            how="activations are torch's modules and functions (nn.ReLU, F.gelu, x.relu()) between layers, or modules "
            "of your own with an elementwise forward",
        )  # fmt: skip

    def _failed(self, error: Exception, batch: Batch) -> UserError:
        name = type(self.module).__name__
        if self.holdout is not None:
            return UserError(
                f"{name} fails on these samples ({in_a_line(error)}); the training loop calls it with {batch.shapes()}",
                where="actbench.watch(holdout=…)",
                how="samples of the shape and type that the network is trained on, inputs first",
            )
        return UserError(
            f"{name} cannot be looked at: a pass in evaluation mode without gradients fails ({in_a_line(error)})",
            where=f"actbench.watch({name})",
            how="let forward take a training batch in evaluation mode too, or watch the part of the network that does",
        )


def _is_capturing() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()


class _restoring:
    """Within the block, generators that a DataLoader of held-out samples draws from leave no trace."""

    def __init__(self, holdout: Holdout | None) -> None:
        loader: Any = None if holdout is None else holdout.given
        samplers = [getattr(loader, name, None) for name in ("sampler", "batch_sampler")]
        holders = [loader, *samplers, getattr(samplers[1], "sampler", None)]
        generators = [getattr(holder, "generator", None) for holder in holders]
        self.generators = [one for one in generators if isinstance(one, torch.Generator)]

    def __enter__(self) -> None:
        self.states = [generator.get_state() for generator in self.generators]

    def __exit__(self, *error: Any) -> None:
        for generator, state in zip(self.generators, self.states, strict=True):
            generator.set_state(state)
