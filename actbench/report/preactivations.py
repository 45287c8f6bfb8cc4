"""What the activations of a configuration saw, over its runs and seeds: densities of z, and how much lies where f' ≈ 0.

Shape letters: B edges of bins, P points of a curve, S seeds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from actbench.measures.layers import LayerRecord
from actbench.measures.units import SATURATED
from actbench.report.configurations import Configuration
from actbench.report.seed_records import records_by_seed
from actbench.store import preactivations
from actbench.store.preactivations import Floats, Preactivations

BEFORE, AFTER = 0, 1
_TAIL = 0.004  # of z on either side, beyond what a picture shows
_STEEP = 10.0  # the steepest slope of an activation is that within so much of 0, as `steepest_slope` has it
_NEAR = 5.0  # farther from 0 the slope of tanh, too, is rounded to exactly 0


@dataclass(frozen=True)
class LayerSeen:
    """One layer of a configuration.

    `histograms` has for each moment (before and after training) those of all seeds, as ends (S, 2) and counts (S, bins)
    without the seeds that have none; `flat` and `nearly_flat` have for each moment the mean share over seeds of z with
    f'(z) = 0 and with |f'(z)| < 0.01 of the steepest slope, and `dead` is the share of dead units after training (NaN:
    not known). `curves` are f and f' before training and as learned, (2, 2, P) over `z` (P,): NaN where there is none.
    """

    layer: str
    histograms: tuple[tuple[Floats, Floats], tuple[Floats, Floats]]
    flat: tuple[float, float]
    nearly_flat: tuple[float, float]
    dead: float
    z: Floats
    curves: Floats

    @property
    def learned(self) -> bool:
        """Whether the activation has learned a curve other than the one that it began with."""
        return bool(np.isfinite(self.curves[1, 0]).any())

    @property
    def now(self) -> Floats:
        """f and f' after training: (2, P)."""
        return self.curves[1 if self.learned else 0]

    @property
    def vanishing(self) -> np.ndarray:
        """Where |f'| is below a hundredth of the steepest slope: (P,)."""
        steep = np.abs(self.now[1])
        known = steep[(np.abs(self.z) <= _STEEP) & np.isfinite(steep)]
        bound = SATURATED * (1 - 1e-5) * known.max(initial=0.0)  # leaky ReLU's slope of 0.01 is not below it
        return np.isfinite(steep) & (steep <= bound if bound else steep == 0)

    @property
    def exactly(self) -> bool:
        """Whether f' is exactly 0 in most of the places near 0 where it vanishes, as that of ReLU is."""
        where = self.vanishing & (np.abs(self.z) <= _NEAR)
        return bool(where.any() and (self.now[1][where] == 0).mean() > 0.9)

    def shares(self) -> tuple[float, float]:
        """The share of z where f' is 0, or nearly, before and after training."""
        return self.flat if self.exactly else self.nearly_flat

    def share_below(self, moment: int, edges: Floats) -> Floats:
        """The share of z below each edge (B,), mean over seeds; NaN where there is no histogram."""
        ends, counts = self.histograms[moment]
        if not len(ends):
            return np.full(len(edges), np.nan)
        return np.mean([_below(low, high, of, edges) for (low, high), of in zip(ends, counts, strict=True)], axis=0)

    def range(self) -> tuple[float, float]:
        """The z that a picture shows: nearly all, before and after training, and 0."""
        limits = [-0.5, 0.5]
        for ends, counts in self.histograms:
            for (low, high), of in zip(ends, counts, strict=True):
                edges = np.linspace(low, high, len(of) + 1)
                below = _below(low, high, of, edges)
                limits += [float(np.interp(share, below, edges)) for share in (_TAIL, 1 - _TAIL)]
        return max(min(limits), float(self.z[0])), min(max(limits), float(self.z[-1]))


def _below(low: float, high: float, counts: np.ndarray, edges: Floats) -> Floats:
    """The share of values below each of `edges`, values being spread evenly within each bin."""
    shares = np.concatenate([[0.0], np.cumsum(counts, dtype=float)])
    return np.interp(edges, np.linspace(low, high, len(counts) + 1), shares / max(shares[-1], 1.0))


def seen(configuration: Configuration) -> list[LayerSeen]:
    """The layers of a configuration, over the seeds that did not diverge; where two runs have a seed, the newer's.

    Empty where no run has kept what its activations saw.

    Raises:
        UserError: a file cannot be read.
    """
    used: list[tuple[Preactivations, list[int]]] = []
    taken: set[int] = set(configuration.diverged)
    for run in reversed(configuration.runs):  # newest first
        of_run = preactivations.read(run.folder)
        if of_run is not None:
            used.append((of_run, [k for k, seed in enumerate(of_run.seeds) if seed not in taken]))
        taken |= {*run.settings.seeds}
    used = [(of_run, places) for of_run, places in used if places]
    return list(_layers(used, _dead(configuration))) if used else []


def _dead(configuration: Configuration) -> dict[str, float]:
    """Layer -> the share of its units that are dead after training, mean over seeds."""
    shares: dict[str, list[float]] = {}
    for records in records_by_seed(configuration, LayerRecord).values():
        for record in records:
            if record.epoch == records[-1].epoch and math.isfinite(record.dead):
                shares.setdefault(record.layer, []).append(record.dead)
    return {layer: math.fsum(of_seeds) / len(of_seeds) for layer, of_seeds in shares.items()}


def _layers(used: Sequence[tuple[Preactivations, list[int]]], dead: Mapping[str, float]) -> Iterator[LayerSeen]:
    first = used[0][0]
    same = [(of_run, places) for of_run, places in used if of_run.layers == first.layers]
    for number, layer in enumerate(first.layers):
        before, after = (_histograms(same, moment, number) for moment in (BEFORE, AFTER))
        shares = np.concatenate([of_run.shares[:, number, places] for of_run, places in same], axis=1)  # (2, S, 2)
        known = np.isfinite(shares).all((0, 2))
        means = shares[:, known].mean(1) if known.any() else np.full((2, 2), np.nan)
        flat, nearly = ((float(means[BEFORE, k]), float(means[AFTER, k])) for k in (0, 1))
        curves = np.where(np.isfinite(first.curves[:, number]), first.curves[:, number], np.nan).astype(float)
        share = dead.get(layer, math.nan)
        yield LayerSeen(layer, (before, after), flat, nearly, share, first.z(number), curves)


def _histograms(
    used: Sequence[tuple[Preactivations, list[int]]], moment: int, layer: int
) -> tuple[Floats, Floats]:  # fmt: skip
    ends = np.concatenate([of_run.ends[moment, layer, places] for of_run, places in used])
    counts = [of for of_run, places in used for of in of_run.counts[moment, layer, places]]
    known = np.isfinite(ends).all(1) & np.array([of.sum() > 0 for of in counts])
    width = max(map(len, counts))
    kept = [np.asarray(of, float) for of, good in zip(counts, known, strict=True) if good and len(of) == width]
    return ends[known][: len(kept)], np.array(kept).reshape(len(kept), width)
