"""A callback for Lightning: `Trainer(callbacks=[WatchCallback()])`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from actbench.errors import UserError
from actbench.watching.diagnosis import Diagnosis
from actbench.watching.mirror import unwrapped
from actbench.watching.watch import Watch, check

try:
    from lightning.pytorch import Callback
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "lightning":  # something that it needs itself
        raise
    what = "Lightning is not installed: pip install 'actbench[lightning]'"
    raise ModuleNotFoundError(what, name=error.name) from None


class WatchCallback(Callback):
    """Watches the networks of a LightningModule while it trains, as `actbench.watch` does.

    Whatever `training_step` calls is looked at: `self(x)`, or the networks that the module holds (`self.encoder(x)`).
    A logger of TensorBoard gets the scalars. A step is `trainer.global_step`.

    Args:
        every: steps from one look to the next.
        holdout: what each look is taken on; None: the last training batches.

    Attributes:
        watch: the looks, once training has begun; it has `table` and `diagnosis()`.

    >>> callback = WatchCallback(every=50)
    >>> lightning.Trainer(callbacks=[callback]).fit(module, loader)  # doctest: +SKIP
    >>> print(callback.diagnosis())  # doctest: +SKIP
    """

    def __init__(self, *, every: int = 100, holdout: Any = None) -> None:
        super().__init__()
        self.every, self.holdout = every, holdout
        self.watch: Watch | None = None

    def diagnosis(self) -> Diagnosis:
        """As of the watch.

        Raises:
            UserError: no training has begun.
        """
        if self.watch is None:
            raise UserError(
                "has not trained yet", where="WatchCallback", how="trainer.fit(module), and then diagnosis()"
            )
        return self.watch.diagnosis()

    def on_train_start(self, trainer: Any, pl_module: nn.Module) -> None:
        """Begins to watch."""
        held_out = check(pl_module, self.every, None, self.holdout, None)
        networks = {"": pl_module, **dict(_networks(pl_module))}
        self.watch = Watch(
            networks, every=self.every, writer=_writer(trainer), holdout=held_out, step=lambda: trainer.global_step
        )
        self.watch.start()

    def on_train_end(self, *_: Any) -> None:
        """Looks once more, and leaves the module as it was."""
        if self.watch is not None:
            self.watch.close()

    def on_exception(self, *_: Any) -> None:
        """Leaves the module as it was."""
        if self.watch is not None:
            self.watch.stop()


def _networks(module: nn.Module, above: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The modules that `training_step` may call by themselves, each with its name.

    What only holds others, such as a ModuleList, is never called, and a metric's `forward` counts.
    """
    for name, child in module.named_children():
        child = unwrapped(child)
        if type(child).forward is nn.Module.forward:
            yield from _networks(child, f"{above}{name}.")
        elif not any(kind.__module__.startswith("torchmetrics.") for kind in type(child).__mro__):
            yield f"{above}{name}", child


def _writer(trainer: Any) -> Any:
    """TensorBoard's, of the first logger that has one."""
    for logger in trainer.loggers:
        writer = getattr(logger, "experiment", None)
        if callable(getattr(writer, "add_scalar", None)) and callable(getattr(writer, "add_text", None)):
            return writer
    return None
