"""Up to which depth each configuration trains."""

from __future__ import annotations

import math

from actbench import naming
from actbench.report.columns import mean_cell
from actbench.report.configurations import METRIC, Block, Configuration
from actbench.report.formatting import listed
from actbench.report.text_table import TextTable

DEPTH = "model.depth"
TRAINED = 50.0  # % of test accuracy above which a seed counts as trained

DepthSeries = dict[str, dict[int, Configuration]]  # name of all settings but the depth -> depth -> configuration


def depth_series(block: Block) -> DepthSeries:
    """What was trained at several depths, in the block's order; empty where the depth does not vary."""
    other_keys = [key for key in block.varying if key != DEPTH]
    series: DepthSeries = {}
    configurations = block.configurations if DEPTH in block.varying else ()
    names = naming.fragments([one.settings for one in configurations], other_keys)
    for configuration, name in zip(configurations, names, strict=True):
        flat = configuration.settings.flat_of("model")
        if DEPTH in flat:
            name = name or naming.activations_of(configuration.settings)
            series.setdefault(name, {})[flat[DEPTH]] = configuration
    return {name: dict(sorted(by_depth.items())) for name, by_depth in series.items() if len(by_depth) > 1}


def trainable_depth_table(block: Block) -> TextTable | None:
    """How deep a network may be, for each combination of the other settings; None where the depth does not vary."""
    series = sorted(depth_series(block).items(), key=lambda pair: (-_deepest(pair[1]), pair[0]))
    if not series:
        return None
    header = ("configuration", "all trained to", "not all at", "trained there", "test acc. % there", "depths tried")
    note = (
        f"a seed counts as trained if its test accuracy is above {TRAINED:.0f} % after the last epoch, and never if it "
        "diverged; all trained to: the deepest network of which every seed trained; not all at: the shallowest of "
        "which a seed did not"
    )
    rows = tuple(_row(*pair) for pair in series)
    gist = f"all trained to: {listed([f'{name} {_row(name, by_depth)[1]}' for name, by_depth in series], 4)}"
    return TextTable("Where training stops", header, rows, note=note, section="depth", gist=gist)


def trained_seeds(configuration: Configuration) -> tuple[int, int]:
    """How many of the seeds trained, and how many there are."""
    accuracies = configuration.values.get(METRIC, {}).values()
    return sum(accuracy > TRAINED for accuracy in accuracies), len(accuracies) + len(configuration.diverged)


def _all_trained(configuration: Configuration) -> bool:
    trained, seeds = trained_seeds(configuration)
    return trained == seeds > 0


def _deepest(by_depth: dict[int, Configuration]) -> float:
    return max((depth for depth, configuration in by_depth.items() if _all_trained(configuration)), default=-math.inf)


def _row(name: str, by_depth: dict[int, Configuration]) -> tuple[str, ...]:
    deepest = _deepest(by_depth)
    failing = [depth for depth, configuration in by_depth.items() if not _all_trained(configuration)]
    cells = ("–", "–", "–")
    if failing:
        shallowest = by_depth[failing[0]]
        trained, seeds = trained_seeds(shallowest)
        accuracy = mean_cell(METRIC, shallowest.estimate(METRIC)) if shallowest.n else "diverged"
        cells = (str(failing[0]), f"{trained} of {seeds}", accuracy)
    return (name, str(deepest) if math.isfinite(deepest) else "–", *cells, ", ".join(map(str, by_depth)))
