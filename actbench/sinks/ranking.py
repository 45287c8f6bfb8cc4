"""Who is best so far, by validation accuracy: looking at test results again and again would be a choice by them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.text import Text

from actbench.records import Estimate, RunSummary
from actbench.settings import Settings

HEADING = "best so far by validation accuracy (mean ± 95 %)"
_MOST = 5  # configurations
_NUMBERS = 26  # columns beside the name


@dataclass
class _Score:
    """The validation accuracy (%) of each seed of a configuration, which is ranked among those of its protocol."""

    name: str
    protocol: tuple[object, ...]
    values: dict[int, float] = field(default_factory=dict)
    diverged: bool = False


class Ranking:
    """The configurations of which runs are complete. One of which a seed diverged is not among the best."""

    def __init__(self) -> None:
        self._scores: dict[str, _Score] = {}

    def add(self, settings: Settings, name: str, summary: RunSummary) -> None:
        """A run has ended; one that was given up is not ranked."""
        if summary.status == "pruned":
            return
        score = self._scores.setdefault(settings.id, _Score(name, settings.protocol()))
        validation = summary.metrics.get("val_accuracy")
        by_seed: Mapping[int, float | None] = dict(
            zip(summary.seeds, validation.values if validation else (), strict=False)
        )
        score.values |= {seed: value for seed, value in by_seed.items() if value is not None}
        score.diverged |= bool(summary.diverged)

    def lines(self, settings: Settings | None, width: int, room: int) -> list[Text]:
        """A heading and the best of those that are comparable with `settings`, in at most `room` lines.

        There are none where there are not two to be ranked, or no three lines.
        """
        scores = [score for score in [*self._scores.values()] if score.values]  # another thread may add some
        if not scores or room < 3:
            return []
        protocol = scores[-1].protocol if settings is None else settings.protocol()
        sound = [score for score in scores if score.protocol == protocol and not score.diverged]
        estimates = [(Estimate.of([*score.values.values()]), score.name) for score in sound]
        if len(estimates) < 2:
            return []
        best = sorted(estimates, key=lambda pair: pair[0].mean or 0.0, reverse=True)[: min(_MOST, room - 1)]
        cut = max(width - _NUMBERS, 10)
        names = [name if len(name) <= cut else f"{name[: cut - 1]}…" for _, name in best]
        values = [f"{estimate.plus_minus()} %" for estimate, _ in best]
        rows = [
            Text(f"{place:>3}  {name:<{max(map(len, names))}}  {value:>{max(map(len, values))}}")
            for place, (name, value) in enumerate(zip(names, values, strict=True), start=1)
        ]
        return [Text(HEADING, style="dim"), *rows]
