"""At which depth each configuration stops training."""

from __future__ import annotations

import math

from actbench import naming
from actbench.report.configurations import METRIC, Block, Configuration
from actbench.report.text_table import Sheet, mean

DEPTH = "model.depth"
TRAINED = 50.0  # % of test accuracy, above which a seed counts as trained


Series = dict[str, dict[int, Configuration]]  # name of all settings but the depth -> depth -> configuration


def series_of(block: Block) -> Series:
    """What was trained at several depths, in the block's order; nothing where the depth does not vary."""
    rest = [key for key in block.varying if key != DEPTH]
    series: Series = {}
    for one in block.configurations if DEPTH in block.varying else ():
        flat = one.settings.flat()
        if DEPTH in flat:
            name = naming.fragment(one.settings, rest) or naming.activations(flat)
            series.setdefault(name, {})[flat[DEPTH]] = one
    return {name: dict(sorted(depths.items())) for name, depths in series.items() if len(depths) > 1}


def depths_sheet(block: Block) -> Sheet | None:
    """For each combination of the other settings, how deep a network may be; None where the depth does not vary."""
    made = sorted(series_of(block).items(), key=lambda pair: (-_deepest(pair[1]), pair[0]))
    if not made:
        return None
    header = ("configuration", "all trained to", "not all at", "trained there", "test acc. % there", "depths tried")
    note = (
        f"a seed counts as trained where its test accuracy is above {TRAINED:.0f} % after the last epoch; one that "
        "diverged does not; all trained to: the deepest network of which every seed trained; not all at: the "
        "shallowest of which one did not"
    )
    return Sheet("Where training stops", header, tuple(_row(*pair) for pair in made), note=note)


def trained(one: Configuration) -> tuple[int, int]:
    """How many of the seeds trained, and how many there are."""
    values = one.values.get(METRIC, {}).values()
    return sum(value > TRAINED for value in values), len(values) + len(one.diverged)


def _every(one: Configuration) -> bool:
    good, number = trained(one)
    return good == number > 0


def _deepest(depths: dict[int, Configuration]) -> float:
    return max((depth for depth, one in depths.items() if _every(one)), default=-math.inf)


def _row(name: str, depths: dict[int, Configuration]) -> tuple[str, ...]:
    deepest = _deepest(depths)
    fails = [depth for depth, one in depths.items() if not _every(one)]
    shown = ("–", "–", "–")
    if fails:
        first = depths[fails[0]]
        good, number = trained(first)
        accuracy = mean(first.estimate(METRIC), 2) if first.n else "diverged"
        shown = (str(fails[0]), f"{good} of {number}", accuracy)
    return (name, str(deepest) if math.isfinite(deepest) else "–", *shown, ", ".join(map(str, depths)))
