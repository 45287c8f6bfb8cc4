"""Code of the user's own that draws from global random numbers, found by a trial before anything is trained.

Seeds are trained beside each other, so that what one of them draws from a global generator changes what the next one
gets: a seed would no longer give what it gives alone. Each has generators of its own for that.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from actbench.custom.isolation import isolated
from actbench.custom.tracebacks import explain
from actbench.custom.trust import is_own
from actbench.errors import UserError
from actbench.settings import Choice

_SEEDS, _BATCH = 2, 4  # of a trial


def drawn_globally(call: Callable[[], Any]) -> list[str]:
    """The libraries from whose global random numbers `call` draws: `torch`, `numpy`, `random`.

    It is called once; afterwards the process has the generators that it had before.

    >>> drawn_globally(lambda: torch.rand(2)), drawn_globally(lambda: torch.rand(2, generator=torch.Generator()))
    (['torch'], [])
    """
    with isolated():
        before = _states()
        call()
        after = _states()
    return [name for name in before if before[name] != after[name]]


def _states() -> dict[str, Any]:
    torch_state = torch.get_rng_state().numpy().tobytes()
    if torch.cuda.is_initialized():
        torch_state += b"".join(state.numpy().tobytes() for state in torch.cuda.get_rng_state_all())
    kind, numbers, *rest = np.random.get_state()
    return {"torch": torch_state, "numpy": (kind, np.asarray(numbers).tobytes(), *rest), "random": random.getstate()}


def check_augmentation(
    choice: Choice,
    augment: Callable[..., Tensor],
    *,
    inputs: tuple[int, ...],
    background: float | Tensor,
    trust: tuple[str, ...],
) -> None:
    """Tries an augmentation of the user's own on noise; one of ours is known to do well on images.

    Args:
        choice: of `augment`.
        augment: what it names, with its parameters: `(images, *, generators, background)`.
        inputs: the shape of one image, (C, H, W).
        background: of the dataset.
        trust: names of modules that the user has said to trust.

    Raises:
        UserError: it fails, returns another shape, or draws from global random numbers; or is for images alone.
    """
    where = f"augment={choice.name}"
    if not is_own(choice.target):
        if len(inputs) != 3:
            what = f"is for images (C, H, W), and a sample of this dataset has the shape {inputs}"
            raise UserError(what, where=where, how="augment=none, or one of your own for such samples")
        return
    returned: list[Any] = []
    images = torch.randn(_SEEDS, _BATCH, *inputs, generator=torch.Generator().manual_seed(0))
    generators = [torch.Generator().manual_seed(seed) for seed in range(_SEEDS)]
    trial = partial(augment, images, generators=generators, background=background)
    try:
        libraries = drawn_globally(lambda: returned.append(trial()))
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(explain(error, trust), where=where, how=f"mend {choice.target}, or its parameters") from error
    (moved,) = returned
    if not isinstance(moved, Tensor) or moved.shape != images.shape:
        returns = f"{tuple(moved.shape)}" if isinstance(moved, Tensor) else f"a {type(moved).__name__}"
        raise UserError(
            f"{choice.target} returns {returns} for images {tuple(images.shape)}",
            where=where,
            how="return images of the shape (S, B, C, H, W) that it is given",
        )
    if libraries:
        raise UserError(
            f"{choice.target} draws from the global random numbers of {' and '.join(libraries)}, so that what a seed "
            "sees would depend on the seeds beside it",
            where=where,
            how="draw from `generators`, one for each seed: torch.rand(4, generator=generators[k])",
        )


def check_optimizer_step(choice: Choice, step: Callable[[], Any]) -> None:
    """Takes a step of an optimizer of the user's own, which has gradients.

    Raises:
        UserError: it draws from global random numbers.
        Exception: what the step raises.
    """
    _check_draws("optimizer", choice, step, made="the optimizer")


def check_clip(choice: Choice, clip: Callable[[], Any]) -> None:
    """Clips gradients with a clip of the user's own.

    Raises:
        UserError: it draws from global random numbers.
        Exception: what the clip raises.
    """
    _check_draws("clip", choice, clip, made="the clip, a class with __call__")


def _check_draws(group: str, choice: Choice, call: Callable[[], Any], *, made: str) -> None:
    if not is_own(choice.target):
        call()
        return
    libraries = drawn_globally(call)
    if libraries:
        raise UserError(
            f"{choice.target} draws from the global random numbers of {' and '.join(libraries)}, so that the "
            "steps of a seed would depend on the seeds beside it",
            where=f"{group}={choice.name}",
            how=f"draw from a generator of its own: torch.Generator().manual_seed(0), made with {made}",
        )
