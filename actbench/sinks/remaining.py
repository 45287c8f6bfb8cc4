"""How long the runs of a command will still take: learnt from the epochs that are done, with plain numbers only.

A run takes as long as those that it is like: the same configuration with other seeds, the same network with another
activation, the same kind of network of another depth. Nothing is guessed before an epoch has been seen.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from actbench.settings import Settings

_COST = ("dataset", "augment", "model", "norm", "optimizer", "train")  # groups on which the time depends most


@dataclass(frozen=True)
class Effort:
    """What there is to do in a run.

    Attributes:
        epochs: of the run.
        seeds: of the run; an epoch is expected to take as long as it has seeds.
        alike: from the most to the least telling: runs that share one of these take about as long per epoch and seed.
        numbers: the model's parameters that are numbers; among runs alike but for one of them, time goes by a line.
    """

    epochs: int
    seeds: int
    alike: tuple[Hashable, ...] = ()
    numbers: tuple[tuple[str, float], ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> Effort:
        """The effort of a run with these settings."""
        flat = settings.flat()
        cost = {key: str(value) for key, value in flat.items() if key.partition(".")[0] in _COST}
        del cost["train.epochs"]
        numbers = {
            key: float(value)
            for key, value in settings.model.params.items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        }
        rest = {key: value for key, value in cost.items() if key.removeprefix("model.") not in numbers}
        alike = (
            (settings.id, settings.num_seeds), settings.id, tuple(cost.items()), tuple(rest.items()),
            (settings.dataset.name, settings.model.name), "anything",
        )  # fmt: skip
        return cls(settings.train.epochs, settings.num_seeds, alike, tuple(numbers.items()))


@dataclass(frozen=True)
class _Seen:
    """Epochs times seeds that were trained, and in how many seconds."""

    amount: float = 0.0
    seconds: float = 0.0

    def with_epoch(self, seeds: int, seconds: float) -> _Seen:
        """With one more; a new one, since another thread may be reading this."""
        return _Seen(self.amount + seeds, self.seconds + seconds)

    @property
    def rate(self) -> float:
        return self.seconds / self.amount


@dataclass
class Pace:
    """What has been learnt of the time that runs take."""

    _seen: dict[Hashable, _Seen] = field(default_factory=dict)
    _by_numbers: dict[tuple[Hashable, tuple[tuple[str, float], ...]], _Seen] = field(default_factory=dict)
    _overheads: list[float] = field(default_factory=list)

    def learn(self, effort: Effort, seconds: float) -> None:
        """An epoch of a run has taken so long."""
        for key in effort.alike:
            self._seen[key] = self._seen.get(key, _Seen()).with_epoch(effort.seeds, seconds)
        if effort.numbers:
            place = effort.alike[3], effort.numbers
            self._by_numbers[place] = self._by_numbers.get(place, _Seen()).with_epoch(effort.seeds, seconds)

    def learn_overhead(self, seconds: float) -> None:
        """A run has taken so much longer than its epochs."""
        self._overheads.append(max(seconds, 0.0))

    def seconds(self, effort: Effort, epochs: float | None = None) -> float | None:
        """What a run takes, or some of its epochs; None where nothing is known yet."""
        rate = self._rate(effort)
        if rate is None:
            return None
        overhead = sum(self._overheads) / len(self._overheads) if self._overheads else 0.0
        return overhead + rate * effort.seeds * (effort.epochs if epochs is None else epochs)

    def _rate(self, effort: Effort) -> float | None:
        for place, key in enumerate(effort.alike):
            if place == 3 and (expected := self._by_a_line(effort)) is not None:
                return expected
            if key in self._seen:
                return self._seen[key].rate
        return None

    def _by_a_line(self, effort: Effort) -> float | None:
        """Where two or more networks differ from this one in the same single number: a line through their times."""
        own = dict(effort.numbers)
        points: dict[str, list[tuple[float, float]]] = {}
        for (rest, numbers), seen in list(self._by_numbers.items()):
            differing = [key for key, value in numbers if own.get(key) != value]
            if rest == effort.alike[3] and len(differing) == 1:
                points.setdefault(differing[0], []).append((dict(numbers)[differing[0]], seen.rate))
        for key, seen_at in points.items():
            if len(seen_at) > 1:
                return _on_a_line(seen_at, own[key])
        return None


def _on_a_line(points: Sequence[tuple[float, float]], x: float) -> float:
    """The least-squares line through `points` at `x`; at least the smallest y where x is below all, as times are.

    >>> round(_on_a_line([(1, 1.0), (2, 1.5), (3, 2.0)], 10), 6)
    5.5
    """
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    spread = sum((at - mean_x) ** 2 for at, _ in points)
    slope = sum((at - mean_x) * (y - mean_y) for at, y in points) / spread
    return max(mean_y + slope * (x - mean_x), min(y for _, y in points) / 2)


def in_words(seconds: float) -> str:
    """A time that is left, no more precise than it is known.

    >>> in_words(4), in_words(43), in_words(100), in_words(2460), in_words(7800)
    ('a few seconds', '45 s', '2 min', '41 min', '2 h 10 min')
    """
    if seconds < 8:
        return "a few seconds"
    if seconds < 95:
        return f"{5 * round(seconds / 5)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
