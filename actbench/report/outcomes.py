"""What the verdict is computed from, as arrays: the test accuracies of each seed, and which images it got right.

Shape letters: k configurations, n seeds, m test images.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from actbench.errors import Problem, UserError
from actbench.report.configurations import METRIC, Configuration
from actbench.report.runs import Run
from actbench.store import correctness
from actbench.store.decide import TestSet
from actbench.store.plausible import AWAY

Images = dict[int, NDArray[np.bool_]]  # seed -> (m,)

_ROUNDING = 1e-3  # percentage points: less than one image of 100,000
_WITHOUT = "trained by an earlier version, which did not keep it"


@dataclass(frozen=True)
class Outcomes:
    """`accuracies` is (k, n), in %, NaN where a seed has no result; `correct` is (k, n, m), or None.

    `seeds` are the n columns; `remark` says why there is no `correct` although it was asked for. `resolution` is
    the smallest step of an accuracy, where all are equal and some run tells how many images there are.
    """

    accuracies: NDArray[np.float64]
    seeds: tuple[int, ...]
    correct: NDArray[np.bool_] | None = None
    remark: str = ""
    resolution: float | None = None

    def of_seeds(self, seeds: Sequence[Collection[int]]) -> Outcomes:
        """The outcomes as they were when each of the k configurations had these seeds alone."""
        there = np.array([[seed in of for seed in self.seeds] for of in seeds], dtype=bool)  # (k, n)
        return replace(self, accuracies=np.where(there, self.accuracies, np.nan))

    @property
    def test_set(self) -> TestSet:
        """What can be asked with these arrays."""
        return "fixed" if self.correct is None else "new"


def outcomes(configurations: Sequence[Configuration], test_set: TestSet, problems: list[Problem]) -> Outcomes:
    """The arrays of some configurations; `correct.npz` that cannot be used are added to `problems`.

    Where one seed of one configuration lacks its images, all arrays are without: intervals of one family are all about
    new images, or none of them is.
    """
    seeds = sorted({seed for configuration in configurations for seed in configuration.values[METRIC]})
    column = {seed: number for number, seed in enumerate(seeds)}
    accuracies = np.full((len(configurations), len(seeds)), np.nan)  # (k, n)
    for row, configuration in zip(accuracies, configurations, strict=True):
        for seed, value in configuration.values[METRIC].items():
            row[column[seed]] = value
    if test_set == "fixed" or not configurations:
        read = (_images(configuration, problems) for configuration in configurations)
        return Outcomes(accuracies, tuple(seeds), resolution=_resolution(accuracies, read))
    found = [_images(configuration, problems) for configuration in configurations]
    _leave_out_other_sizes(configurations, found, problems)
    lacking = [
        configuration.name
        for configuration, of in zip(configurations, found, strict=True)
        if not configuration.values[METRIC].keys() <= of.keys()
    ]
    if lacking:
        remark = _remark(lacking, len(configurations))
        return Outcomes(accuracies, tuple(seeds), remark=remark, resolution=_resolution(accuracies, found))
    size = len(next(iter(found[0].values())))
    correct = np.zeros((*accuracies.shape, size), dtype=bool)  # (k, n, m)
    for number, of in enumerate(found):
        for seed in configurations[number].values[METRIC]:
            correct[number, column[seed]] = of[seed]
    return Outcomes(accuracies, tuple(seeds), correct)


def _resolution(accuracies: NDArray[np.float64], found: Iterable[Images]) -> float | None:
    """That of `Outcomes`; of `found` no more is read than is needed."""
    finite = accuracies[np.isfinite(accuracies)]
    if not finite.size or np.ptp(finite) > _ROUNDING:
        return None
    size = next((len(correct) for of in found for correct in of.values()), None)
    return 100 / size if size else None


def _remark(lacking: Sequence[str], among: int) -> str:
    whose = "no run" if len(lacking) == among else f"not every run (not {lacking[0]}"
    if len(lacking) < among:
        whose += f" and {len(lacking) - 1} more)" if len(lacking) > 1 else ")"
    return (
        f"the verdict holds for these test images only, as with --test-set fixed: {whose} tells which images each seed "
        f"classified correctly ({_WITHOUT}, or its file cannot be used)"
    )


def _images(configuration: Configuration, problems: list[Problem]) -> Images:
    """The images of each seed; where two runs have a seed, those of the newer one count."""
    found: Images = {}
    for run in configuration.runs:
        for seed in run.settings.seeds:
            found.pop(seed, None)
        try:
            found |= _of_run(run)
        except UserError as error:
            problems += [problem for problem in error.problems if problem not in problems]
    return found


def _leave_out_other_sizes(
    configurations: Sequence[Configuration], found: Sequence[Images], problems: list[Problem]
) -> None:
    """Removes the images of seeds that were scored on another number of images than most were."""
    sizes = Counter(len(correct) for of in found for correct in of.values())
    if len(sizes) < 2:
        return
    usual = max(sizes, key=lambda size: (sizes[size], size))
    for configuration, of in zip(configurations, found, strict=True):
        for seed in [seed for seed, correct in of.items() if len(correct) != usual]:
            size = len(of.pop(seed))
            where = next(str(run.folder) for run in reversed(configuration.runs) if seed in run.settings.seeds)
            what = f"was scored on {size:,} test images, most runs on {usual:,}: it is another version of the dataset"
            problem = Problem(what, f"{where}/{correctness.FILE}", AWAY)
            if problem not in problems:
                problems.append(problem)


def _of_run(run: Run) -> Images:
    """Raises a UserError where a run's `correct.npz` does not belong to its results."""
    where = str(run.folder / correctness.FILE)
    images = correctness.read(run.folder)
    metric = run.summary.metrics.get(METRIC) if run.summary else None
    accuracy = dict(zip(run.settings.seeds, metric.values, strict=True)) if metric else {}
    if not images.keys() <= accuracy.keys():
        raise UserError("is about other seeds than summary.json beside it", where=where, how=AWAY)
    for seed, correct in images.items():
        told = accuracy[seed]
        if told is not None and not math.isclose(100 * float(correct.mean()), told, abs_tol=_ROUNDING):
            what = (
                f"has {100 * float(correct.mean()):.2f} % of {len(correct):,} images right with seed {seed}, but "
                f"summary.json beside it says {told:.2f} %"
            )
            raise UserError(what, where=where, how=AWAY)
    return images
