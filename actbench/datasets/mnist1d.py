"""MNIST-1D: ten one-dimensional digits, made on the spot."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d

from actbench.datasets.assembling import Samples, assemble
from actbench.datasets.checks import USES
from actbench.datasets.splits import Scaling, Splits

# The digits as curves of twelve points, and the numbers below, are those of the package `mnist1d` 0.0.2.
_TEMPLATES = (
    (5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5),
    (5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5),
    (5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5),
    (5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5),
    (5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5),
    (5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5),
    (5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5),
    (5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5),
)
_SEED = 42
_LEAST_PADDING, _MOST_PADDING = 36, 60  # zeros behind the curve, before it is stretched
_SCALE, _SHEAR, _SHIFT = 0.4, 0.75, 48
_NOISE_BESIDE, _NOISE = 0.25, 0.02  # smooth noise where there is no curve, white noise everywhere
_LENGTH = 40
_TEST_SHARE = 0.2


def mnist1d(*, samples: int = 5_000, train_size: int | None = None, scaling: Scaling = "standard") -> Splits:
    """MNIST-1D: curves of 40 points, (N, 1, 40), in ten classes; 3,600 / 400 / 1,000 samples by default.

    Each is a digit's curve, padded, stretched, shifted, sheared and with noise. Networks without a nonlinearity reach a
    third of them, an MLP two thirds: it tells networks apart that are all alike on MNIST.

    Args:
        samples: how many are made, in tens; a fifth are the test set, and a tenth of the rest the validation split.
        train_size: a stratified part of what is left for training; None for all of it.
        scaling: `standard`, mean 0 and variance 1 over all points; `unit`, 0..1; `none`, as they are made.

    Source: Greydanus & Kobak 2020, "Scaling Down Deep Learning with MNIST-1D", arXiv:2011.14439; the same numbers as
    `mnist1d.data.make_dataset` of its package gives.
    """
    x, y = curves(samples)
    last = int(len(y) * (1 - _TEST_SHARE))
    splits = assemble(  # (N, T, 1): one feature, so that all points have one mean
        name="mnist1d", where="dataset=mnist1d", train=Samples(x[:last, :, None], y[:last]),
        test=Samples(x[last:, :, None], y[last:]), train_size=train_size, scaling=scaling,
    )  # fmt: skip
    turned: dict[str, Any] = {f"{use}_x": getattr(splits, f"{use}_x").transpose(1, 2).contiguous() for use in USES}
    return replace(splits, labels=(), **turned)


def curves(samples: int) -> tuple[np.ndarray, np.ndarray]:
    """The curves (N, 40) and their digits (N,), in the order in which they are shuffled."""
    rng = np.random.RandomState(_SEED)  # the generator of the package: `default_rng` would give other numbers
    templates = np.array(_TEMPLATES, dtype=np.float64)
    templates -= templates.mean(1, keepdims=True)
    templates /= templates.std(1, keepdims=True)
    templates -= templates[:, :1]
    templates /= 6
    y = np.repeat(np.arange(10), samples // 10)
    x = np.stack([_curve(templates[digit], rng) for digit in y])
    order = rng.permutation(len(y))
    x, y = x[order], y[order]
    return (x - x.mean()) / x.std(), y


def _curve(template: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    padding = _LEAST_PADDING + int(rng.rand() * (_MOST_PADDING - _LEAST_PADDING + 1))
    x = np.concatenate([template + 1e-8, np.zeros(padding)])  # what is exactly 0 gets the noise beside the curve
    x = _resampled(x, len(template) + _MOST_PADDING)
    x = x * (1 + _SCALE * (rng.rand() - 0.5))
    shift = rng.choice(_SHIFT)
    x = np.concatenate([x[-shift:], x[:-shift]])
    beside = x == 0
    x = np.where(beside, gaussian_filter1d(_NOISE_BESIDE * rng.randn(len(x)), 2), x)
    x = x + _NOISE * rng.randn(len(x))
    x = x - _SHEAR * (rng.rand() - 0.5) * np.linspace(-0.5, 0.5, len(x))
    return _resampled(x, _LENGTH)


def _resampled(x: np.ndarray, length: int) -> np.ndarray:
    return np.interp(np.linspace(0, 1, length), np.linspace(0, 1, len(x)), x)
