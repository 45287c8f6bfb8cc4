"""A callback for Hugging Face's Trainer: `Trainer(..., callbacks=[WatchCallback()])`."""

from __future__ import annotations

from typing import Any

from actbench.errors import UserError
from actbench.watching.diagnosis import Diagnosis
from actbench.watching.watch import Watch, watch

try:
    from transformers import TrainerCallback
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "transformers":  # something that it needs itself
        raise
    what = "Transformers is not installed: pip install 'actbench[transformers]'"
    raise ModuleNotFoundError(what, name=error.name) from None


class WatchCallback(TrainerCallback):
    """Watches the model of a Trainer while it trains, as `actbench.watch` does. A step is `state.global_step`.

    A Trainer does not tell its callbacks of an exception: `callback.watch.stop()` then leaves the model as it was.

    Args:
        every: steps from one look to the next.
        writer: of TensorBoard; None: none.
        holdout: what each look is taken on; None: the last training batches.

    Attributes:
        watch: the looks, once training has begun; it has `table` and `diagnosis()`.

    >>> callback = WatchCallback(every=50)
    >>> transformers.Trainer(model, arguments, train_dataset=data, callbacks=[callback]).train()  # doctest: +SKIP
    >>> print(callback.diagnosis())  # doctest: +SKIP
    """

    def __init__(self, *, every: int = 100, writer: Any = None, holdout: Any = None) -> None:
        self.every, self.writer, self.holdout = every, writer, holdout
        self.watch: Watch | None = None

    def diagnosis(self) -> Diagnosis:
        """As of the watch.

        Raises:
            UserError: no training has begun.
        """
        if self.watch is None:
            raise UserError("has not trained yet", where="WatchCallback", how="trainer.train(), and then diagnosis()")
        return self.watch.diagnosis()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Begins to watch."""
        model = kwargs["model"]
        if self.watch is not None:
            self.watch.stop()  # of a training that an exception has ended
        self.watch = watch(
            model, every=self.every, writer=self.writer, holdout=self.holdout, step=lambda: state.global_step
        ).start()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Looks once more, and leaves the model as it was."""
        if self.watch is not None:
            self.watch.close()
