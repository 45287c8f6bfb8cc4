"""What the intervals of the comparison promise, simulated: errors, power, other test images, looking again.

    python scripts/simulate.py                                   a few minutes; the tables of BENCHMARKS.md
    python scripts/simulate.py --rounds 500 --only power,looks   some of them, less exactly
    python scripts/simulate.py --only real --reference FILE      real results of one configuration, split at random
    python scripts/simulate.py --only race --reference FILE      races over resampled seeds of real configurations

It calls the functions that the report calls (`report.simultaneous`, `report.sequential`). An error is that the interval
of any pair excludes the true difference. With 4,000 rounds the standard error of a 5 % figure is 0.3 %.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from actbench.report.sequential import level
from actbench.report.simultaneous import Differences, differences, smallest_visible
from actbench.report.with_best import with_the_best

Array = NDArray[np.floating[Any]]
Generator = np.random.Generator
Draw = Callable[[Generator, tuple[int, int, int]], Array]  # shape (rounds, k, n) -> accuracies that are equal in truth

SEEDS, CONFIGURATIONS = (3, 5, 10), (2, 6, 20)
CELLS = 3_000_000  # numbers in one batch: a few hundred MB
SCHEDULES = {
    "5, 8, 12, 18, 27, 40": (5, 8, 12, 18, 27, 40),
    "5, 8, 13, 21, 34, 40": (5, 8, 13, 21, 34, 40),
    "5, 10, 15, ..., 40": tuple(range(5, 41, 5)),
    "5, 6, 7, ..., 40": tuple(range(5, 41)),
    "3, 5, 8, 12, 18, 27, 40": (3, 5, 8, 12, 18, 27, 40),
    "5, 10, 20, 40, 80": (5, 10, 20, 40, 80),
    "5, 15, 45, 135": (5, 15, 45, 135),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=4000, help="simulated studies for each figure (4000)")
    parser.add_argument("--seed", type=int, default=1, help="of the random numbers (1)")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {', '.join(PARTS)}, with commas between")
    parser.add_argument(
        "--reference", type=Path, help="for `real` and `race`: an .npz file with names, accuracies and bits"
    )
    options = parser.parse_args()
    for name in options.only.split(","):
        if name not in PARTS:
            parser.error(f"--only: there is no part {name!r}; there are {', '.join(PARTS)}")
        if name in ("real", "race") and options.reference is None:
            if options.only != ",".join(PARTS):
                parser.error(f"`{name}` needs --reference FILE")
            continue
        PARTS[name](options, np.random.default_rng(options.seed))


def errors(options: argparse.Namespace, rng: Generator) -> None:
    """All configurations equal: alike, one that varies more, all different, skewed, with heavy tails, tied."""
    rows = []
    for name, draw in _nulls().items():
        for n in SEEDS:
            rates = []
            for k in CONFIGURATIONS:
                wrong = [
                    _excluded(differences(draw(rng, (size, k, n)), level=level(1)))
                    for size in _batches(options, k * k * n)
                ]
                rates.append(_rate(np.concatenate(wrong)))
            rows.append((name, str(n), *rates))
            _progress("errors", name, n)
    _table(
        f"Error of a first look, level {level(1):.1%}",
        ("results", "seeds", *(f"k = {k}" for k in CONFIGURATIONS)),
        rows,
    )


def _nulls() -> dict[str, Draw]:
    def one_varies(factor: float) -> Draw:
        return lambda rng, shape: rng.normal(size=shape) * np.where(np.arange(shape[1]) == 0, factor, 1.0)[:, None]

    def spread(rng: Generator, shape: tuple[int, int, int]) -> Array:
        deviations = np.exp(0.5 * special.ndtri((np.arange(shape[1]) + 0.5) / shape[1]))
        return rng.normal(size=shape) * deviations[:, None]

    def images(count: int, accuracy: float) -> Draw:
        return lambda rng, shape: rng.binomial(count, accuracy, size=shape) * (100 / count)

    return {
        "normal, alike": lambda rng, shape: rng.normal(size=shape),
        "one varies 3 times as much": one_varies(3),
        "one varies 10 times as much": one_varies(10),
        "one varies 30 times as much": one_varies(30),
        "standard deviations log-normal (σ = 0.5)": spread,
        "skewed: minus exponential": lambda rng, shape: -rng.exponential(size=shape),
        "skewed: minus log-normal": lambda rng, shape: -np.exp(rng.normal(size=shape)),
        "heavy tails: t with 3 degrees of freedom": lambda rng, shape: rng.standard_t(3, size=shape),
        "tied: rounded to 1 standard deviation": lambda rng, shape: np.round(rng.normal(size=shape)),
        "tied: rounded to 2 standard deviations": lambda rng, shape: 2 * np.round(rng.normal(size=shape) / 2),
        "tied: 100 images, 96 %": images(100, 0.96),
        "tied: 100 images, 99.7 %": images(100, 0.997),
    }


def power(options: argparse.Namespace, rng: Generator) -> None:
    """Six configurations and five seeds, one of which is better or worse than equal others: is it seen?"""
    effects, k, n = (0.0, 1.0, 1.5, 2.0, 2.06, 2.5, 3.0, 3.5), 6, 5
    names = (
        "paired t against a baseline, Holm",
        "one pair",
        "the worse one: from any other",
        "the better one: from all",
    )
    found: dict[str, list[str]] = {name: [] for name in names}
    for effect in effects:
        a = rng.normal(size=(options.rounds, k, n))
        a[:, 0] += effect
        of = differences(a, level=level(1))
        better = np.asarray(of.low[:, 0, 1:] > 0)  # as often as one that is worse is seen to be
        rates = (_holm_of_pairs(a) <= 0.05, better, better.any(-1), better.all(-1))
        for name, rate in zip(names, rates, strict=True):
            found[name].append(f"{np.mean(rate):.3f}")
        _progress("power", effect)
    rows = [(name, *shares) for name, shares in found.items()]
    _table(
        f"Power: k = 6, n = 5, level {level(1):.1%}, effect in standard deviations of one run",
        ("", *map(str, effects)),
        rows,
    )


def _holm_of_pairs(a: Array) -> Array:
    """(rounds,): the p-value of configuration 0 among the paired t-tests of all against the last one."""
    p = stats.ttest_rel(a[:, :-1], a[:, -1:], axis=-1).pvalue
    order = np.argsort(p, axis=1)
    steps = np.take_along_axis(p, order, 1) * np.arange(p.shape[1], 0, -1)
    adjusted = np.maximum.accumulate(steps, axis=1)
    return np.take_along_axis(adjusted, np.argsort(order, axis=1), 1)[:, 0]


def words(options: argparse.Namespace, rng: Generator) -> None:
    """How often one equal to the best is called worse (it is below any other), and one that is worse rightly."""
    rows = []
    for k, n in ((2, 5), (6, 3), (6, 5), (6, 10), (20, 5)):
        cells = []
        for effect in (0.0, -2.0, 2.0):
            a = rng.normal(size=(min(options.rounds, CELLS // (k * k * n)), k, n))
            a[:, 0] += effect
            worse = np.asarray((differences(a, level=level(1)).high < 0).any(-1))  # (rounds, k); the diagonal is 0
            equal = np.full(k, effect == 0) | (np.arange(k) == 0 if effect > 0 else np.arange(k) > 0)
            right = "" if equal.all() else f", right {worse[:, ~equal].mean():.2f}"
            cells.append(f"wrong {worse[:, equal].any(-1).mean():.3f}{right}")
        rows.append((f"{k}", f"{n}", *cells))
        _progress("words", k, n)
    header = ("k", "seeds", "all equal", "one worse by 2 sd", "one better by 2 sd")
    _table("Called worse", header, rows)


def looks(options: argparse.Namespace, rng: Generator) -> None:
    """Looking after each round: is any interval ever wrong? And is something just beyond a margin ever within it?"""
    rows, nulls = [], _nulls()
    alike, *unlike = "normal, alike", "one varies 3 times as much", "standard deviations log-normal (σ = 0.5)"
    cases = [(alike, name, k) for name in SCHEDULES for k in (2, 6)]
    cases += [(kind, name, 6) for kind in unlike for name in [*SCHEDULES][:3]]
    for kind, name, k in cases:
        most = SCHEDULES[name][-1]
        found = [_looked(nulls[kind](rng, (size, k, most)), name) for size in _batches(options, k * k * most)]
        wrong, within = np.concatenate(found, axis=1)
        rows.append((kind, name, str(k), _rate(wrong), _rate(within)))
        _progress("looks", kind, name, k)
    header = ("results", "seeds at each look", "k", "an interval is wrong", "wrongly within the margin")
    _table("Looking again: at any look", header, rows)


def _looked(a: Array, name: str) -> NDArray[np.bool_]:
    """(2, rounds): whether an interval was ever wrong, and whether one just beyond the margin was ever within it.

    Configuration 0 is made the best, and the others just beyond the margin.
    """
    margin = 2.0
    shift = np.where(np.arange(a.shape[1]) == 0, 0.0, -margin - 1e-9)
    missed, within = np.zeros((2, len(a)), dtype=bool)
    for look, n in enumerate(SCHEDULES[name], start=1):
        of = differences(a[..., :n] + shift[:, None], level=level(look))
        missed |= _excluded(of, shift[:, None] - shift)
        within |= (of.low[:, 1:, 0] >= -margin).any(-1)
    return np.stack([missed, within])


def images(options: argparse.Namespace, rng: Generator) -> None:
    """New test images: each configuration finds other images difficult, by `own` standard deviations of a probit."""
    rows = []
    for k in (2, 6):
        for n in SEEDS:
            for m, rounds in ((100, options.rounds), (1000, options.rounds // 2), (10_000, options.rounds // 8)):
                for own in (0.0, 0.5, 1.0):
                    rows.append(
                        (str(k), str(n), f"{m:,}", str(own), *_image_errors(rng, max(rounds, 20), k, n, m, own))
                    )
                _progress("images", k, n, m)
    header = ("k", "seeds", "images", "own", "error: new images", "as if fixed", "true se", "estimated se")
    _table(f"Other test images: level {level(1):.1%}", header, rows)


def _image_errors(rng: Generator, rounds: int, k: int, n: int, m: int, own: float) -> tuple[str, ...]:
    new, fixed, squares, variances = [], [], [], []
    for size in _split(rounds, max(1, CELLS // (k * n * m))):
        difficulty = rng.normal(2.6, 1.0, (size, 1, 1, m)) + own * rng.normal(size=(size, k, 1, m))
        ability = 0.05 * rng.normal(size=(size, k, n, 1))
        correct = rng.standard_normal((size, k, n, m), dtype=np.float32) < difficulty.astype(np.float32) + ability
        of = differences(100 * correct.mean(-1), correct, level=level(1))
        new.append(_excluded(of))
        fixed.append(_excluded(differences(100 * correct.mean(-1), level=level(1), resolution=100 / m)))
        squares.append(of.mean[:, 0, 1] ** 2)
        variances.append(of.se_seeds[:, 0, 1] ** 2 + of.se_images[:, 0, 1] ** 2)
    se = (math.sqrt(np.concatenate(x).mean()) for x in (squares, variances))
    return _rate(np.concatenate(new)), _rate(np.concatenate(fixed)), *(f"{x:.3f}" for x in se)


def real(options: argparse.Namespace, rng: Generator) -> None:
    """40 seeds of one configuration, split at random into 8 pretended ones of 5 seeds each."""
    with np.load(options.reference, allow_pickle=False) as content:
        names, accuracies, bits = content["names"], content["accuracies"], content["bits"]
    rows = []
    for name, values, packed in zip(names, accuracies, bits, strict=True):
        if not np.isfinite(values).all():
            continue
        correct = np.unpackbits(packed, axis=-1).astype(bool)
        new, fixed, se = [], [], []
        for size in _split(500, 10):
            split = np.stack([rng.permutation(40).reshape(8, 5) for _ in range(size)])  # (rounds, 8, 5)
            of = differences(values[split], correct[split], level=level(1))
            new.append(_excluded(of))
            step = 100 / correct.shape[-1]
            fixed.append(_excluded(differences(values[split], level=level(1), resolution=step)))
            se.append((of.se_seeds[:, 0, 1].mean(), of.se_images[:, 0, 1].mean()))
        rates = (_rate(np.concatenate(wrong)) for wrong in (new, fixed))
        rows.append((str(name), *rates, *(f"{x:.3f}" for x in np.mean(se, axis=0))))
        _progress("real", name)
    header = ("configuration", "error: new images", "fixed images", "se of seeds", "se of images")
    _table("Real results: 500 times 8 x 5 seeds of one configuration", header, rows)


MARGINS = (0.1, 0.2, 0.25, 0.3)
RACES = {"x 1.5": (5, 8, 12, 18, 27, 40), "x 1.6": (5, 8, 13, 21, 34, 40), "x 2": (5, 10, 20, 40)}


def race(options: argparse.Namespace, rng: Generator) -> None:
    """Races over seeds drawn with replacement, and one look at 5 % at a fixed number of seeds, for new images."""
    with np.load(options.reference, allow_pickle=False) as content:
        accuracies, correct = content["accuracies"], np.unpackbits(content["bits"], axis=-1).astype(bool)
    means, rounds = accuracies.mean(1), min(options.rounds, 200)
    truth = means - np.array([np.delete(means, i).max() for i in range(len(means))])
    drawn = rng.integers(0, accuracies.shape[1], (rounds, 100))
    fixed = _fixed_designs(accuracies, correct, drawn)
    rows = []
    for margin in MARGINS:
        for name, schedule in RACES.items():
            for kept in (False, True):
                ends = [_race(accuracies[:, of], correct[:, of], schedule, margin, kept) for of in drawn]
                decided = np.mean([not _undecided(words).any() for words, _ in ends])
                trained = np.mean([number for _, number in ends])
                wrong = np.mean([_wrong(words, truth, margin) for words, _ in ends])
                enough = [number for number, shares in fixed.items() if shares[margin] >= decided]
                same = f"{len(means) * min(enough)}" if enough and decided >= 0.05 else "-"
                intervals = "all so far" if kept else "of this look"
                rows.append((f"{margin}", name, intervals, f"{decided:.2f}", f"{trained:.0f}", same, f"{wrong:.3f}"))
            _progress("race", margin, name)
    header = (
        "margin",
        "seeds grow by",
        "intervals",
        "decided",
        "trainings",
        "fixed design as often",
        "a word is wrong",
    )
    _table(f"Races over {len(means)} configurations, 5 to 40 seeds each, {rounds} times", header, rows)


def _fixed_designs(accuracies: Array, correct: NDArray[np.bool_], drawn: NDArray[Any]) -> dict[int, dict[float, float]]:
    """By number of seeds and margin, how often one look at 5 % decides everything."""
    found: dict[int, dict[float, float]] = {}
    for n in range(6, 61, 2):
        looked = [differences(accuracies[:, of[:n]], correct[:, of[:n]]) for of in drawn]
        found[n] = {m: float(np.mean([not _undecided(_words(of, m)).any() for of in looked])) for m in MARGINS}
        _progress("fixed design", n)
    return found


def _race(
    accuracies: Array, correct: NDArray[np.bool_], schedule: Sequence[int], margin: float, kept: bool
) -> tuple[list[str], int]:
    """The words at the end, and the number of trainings.

    `kept`: what an interval of an earlier look excludes stays excluded. All looks hold together, so this costs nothing.
    """
    k = len(accuracies)
    have, racing = np.zeros(k, dtype=int), np.ones(k, dtype=bool)
    words: list[str] = []
    earlier: list[Differences] = []
    for look, n in enumerate(schedule, start=1):
        have[racing] = n
        there = np.arange(n) < have[:, None]
        of = before = differences(np.where(there, accuracies[:, :n], np.nan), correct[:, :n], level=level(look))
        for one in earlier if kept else ():
            of = of.within(one)
        earlier.append(before)
        words = _words(of, margin)
        racing = _contenders(of, words, margin)
        if not racing.any():
            break
    return words, int(have.sum())


def _words(of: Differences, margin: float) -> list[str]:
    _, low, _, best = with_the_best(of)
    return [
        "best" if b and best.sum() == 1 else "as good" if x >= -margin else "undecided" if b else "worse"
        for x, b in zip(low, best, strict=True)
    ]


def _contenders(of: Differences, words: Sequence[str], margin: float) -> NDArray[np.bool_]:
    """Those that are undecided, unless the images alone hide it, and those from which they cannot be told."""
    _, _, _, best = with_the_best(of)
    others = ~np.eye(len(best), dtype=bool)
    racing = np.zeros(len(best), dtype=bool)
    for i in map(int, np.flatnonzero(_undecided(words))):
        gaps = np.where(others[i] & best, margin + of.mean[i], np.inf)
        hardest, worst = int(gaps.argmin()), int(np.where(others[i], of.mean[i], np.inf).argmin())
        if smallest_visible(of, i, hardest) < gaps[hardest] or smallest_visible(of, i, worst) < -of.mean[i, worst]:
            racing |= (np.arange(len(best)) == i) | (best & others[i] & (of.low[i] < -margin))
    return racing


def _undecided(words: Sequence[str]) -> NDArray[np.bool_]:
    return np.array([word == "undecided" for word in words])


def _wrong(words: Sequence[str], truth: Array, margin: float) -> bool:
    """Whether any word is false of the difference to the best of the others."""
    false = {"best": truth < 0, "as good": truth < -margin, "worse": truth >= 0}
    return any(bool(false[word][i]) for i, word in enumerate(words) if word in false)


def _excluded(of: Differences, truth: Array | float = 0.0) -> NDArray[np.bool_]:
    """(rounds,): whether the interval of any pair excludes the truth."""
    return np.asarray((np.abs(of.mean - truth) > of.half).any((-1, -2)))


def _rate(wrong: NDArray[np.bool_]) -> str:
    return f"{wrong.mean():.3f}"


def _batches(options: argparse.Namespace, cells: int) -> Iterator[int]:
    return _split(options.rounds, max(1, CELLS // cells))


def _split(total: int, most: int) -> Iterator[int]:
    for start in range(0, total, most):
        yield min(most, total - start)


def _table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print(f"\n{title}\n\n| {' | '.join(header)} |\n|{'---|' * len(header)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    sys.stdout.flush()


def _progress(*what: object) -> None:
    print("  ", *what, file=sys.stderr, flush=True)


PARTS = {"errors": errors, "power": power, "words": words, "looks": looks, "images": images, "real": real, "race": race}

if __name__ == "__main__":
    main()
