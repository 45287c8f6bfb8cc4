"""Published figures compared with runs of the same settings; `published.yaml` has the figures and their sources."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from actbench import naming
from actbench.files.reading import read_yaml
from actbench.report.baseline import by_validation
from actbench.report.configurations import METRIC, Configuration
from actbench.report.formatting import count, signed
from actbench.report.statistics import prediction_interval
from actbench.report.text_table import TextTable

TITLE = "Published figures, ours beside theirs"
_LR = "optimizer.lr"
_USUAL = (("train.precision", "fp32"), ("dataset.scaling", "standard"))  # said only where they are something else
_UNCOMPARED = ("activation", "optimizer.fused")  # the former is compared by itself, the latter only rounds otherwise


@dataclass(frozen=True)
class Claim:
    """One published figure: a test accuracy in %, or the least that it is said to be (`at_least`).

    `place` is the number by which the source lists it (None for a single figure), `settings` what that means here.
    """

    ours: str
    theirs: str
    how: str
    value: float
    at_least: bool
    place: int | None
    settings: dict[str, Any]


@dataclass(frozen=True)
class SetUp:
    """A published experiment; see `published.yaml` for what its fields mean."""

    title: str
    experiment: str
    source: str
    runs: int
    settings: dict[str, Any]
    counted: dict[str, Any] | None
    note: str
    claims: tuple[Claim, ...]


@dataclass(frozen=True)
class PublishedComparison:
    """A published experiment compared with ours: a table where there are runs, and commands that train the rest."""

    setup: SetUp
    table: TextTable | None
    sentence: str
    missing: tuple[tuple[str, str], ...]  # (what there is no run of, the command that trains it)


@cache
def setups() -> tuple[SetUp, ...]:
    """Everything in `published.yaml`."""
    return tuple(_setup(dict(entry)) for entry in read_yaml(Path(__file__).with_name("published.yaml")))


def _setup(content: dict[str, Any]) -> SetUp:
    counted = content["counted"]
    claims = []
    for figure in content.pop("figures"):
        names = (figure["ours"], figure["theirs"], figure["how"])
        for place, value in figure.get("values", {}).items():
            claims.append(Claim(*names, value, False, place, {counted["key"]: place - counted["more"]}))
        if "values" not in figure:
            at_least = "at_least" in figure
            claims.append(Claim(*names, figure["at_least" if at_least else "value"], at_least, None, {}))
    return SetUp(**content, claims=tuple(claims))


# ---------------------------------------------------------------- which runs belong to a published set-up


def published(configurations: Sequence[Configuration]) -> list[PublishedComparison]:
    """Each published experiment compared with what there is of it among `configurations`."""
    return [_compare(setup, configurations) for setup in setups()]


def _compare(setup: SetUp, configurations: Sequence[Configuration]) -> PublishedComparison:
    rows, verdicts, missing = [], [], []
    for claim in _in_order(setup.claims):
        ours = [configuration for configuration in configurations if _matches(configuration, setup, claim)]
        if not any(_has_published_lr(configuration, setup) for configuration in ours):
            missing.append(claim)
        for row, verdict in _rows(setup, claim, ours):
            rows.append(row)
            verdicts.append(verdict)
    table = _table(setup, rows) if rows else None
    sentence = _sentence(setup, [verdict for verdict in verdicts if verdict])
    return PublishedComparison(setup, table, sentence, _commands(setup, missing))


def _in_order(claims: Sequence[Claim]) -> list[Claim]:
    """By their number; those with the same number stay in the order of the file."""
    return sorted(claims, key=lambda claim: claim.place or 0)


def _matches(configuration: Configuration, setup: SetUp, claim: Claim) -> bool:
    """Whether a configuration has the published settings, whatever its learning rate."""
    flat = {**configuration.settings.flat(), "dataset": configuration.runs[0].dataset}
    wanted = {**setup.settings, **claim.settings, "activation": claim.ours}
    return all(
        naming.shown(flat[key]) == naming.shown(value) for key, value in wanted.items() if key in flat and key != _LR
    )


def _has_published_lr(configuration: Configuration, setup: SetUp) -> bool:
    return naming.shown(configuration.settings.flat()[_LR]) == naming.shown(setup.settings[_LR])


def _rows(setup: SetUp, claim: Claim, ours: Sequence[Configuration]) -> Iterator[tuple[tuple[str, ...], str]]:
    """A row with the published learning rate, one with the best of several; with their verdicts (the second: none)."""
    by_rest: dict[str, list[Configuration]] = {}
    for configuration in ours:
        by_rest.setdefault(_rest(configuration, setup, claim), []).append(configuration)
    for rest, members in by_rest.items():
        name = " ".join(word for word in (claim.theirs, rest) if word)
        for configuration in members:
            if _has_published_lr(configuration, setup):
                yield _row(name, naming.shown(setup.settings[_LR]), claim, configuration)
        if len(members) > 1:
            chosen = max(members, key=by_validation)
            lr = naming.shown(chosen.settings.flat()[_LR])
            yield _row(name, f"{lr}, best of {len(members)}", claim, chosen)[0], ""


def _rest(configuration: Configuration, setup: SetUp, claim: Claim) -> str:
    """What a configuration has beyond what is published: its precision and scaling, where they are not the default."""
    known = {*setup.settings, *claim.settings, *_UNCOMPARED}
    rest = {key: value for key, value in configuration.settings.flat().items() if key not in known}
    words = [] if claim.ours == claim.theirs.lower() else [claim.ours]
    words += [naming.shown(value) if key == "train.precision" else f"{key}={naming.shown(value)}"
              for key, value in rest.items() if (key, value) not in _USUAL]  # fmt: skip
    return f"({', '.join(words)})" if words else ""


# ---------------------------------------------------------------- as text


def _row(name: str, lr: str, claim: Claim, configuration: Configuration) -> tuple[tuple[str, ...], str]:
    """The cells, and the verdict: `yes`, `no` or nothing."""
    values = list(configuration.values.get(METRIC, {}).values())
    diverged = len(configuration.diverged)
    estimate, interval = configuration.estimate(METRIC), prediction_interval(values, at_most=100.0, at_least=0.0)
    if claim.at_least:
        reached, seeds = sum(value >= claim.value for value in values), len(values) + diverged
        within, verdict = f"{reached} of {seeds}", "yes" if reached == seeds else "no"
    elif interval is None:
        within, verdict = "–", ""
    else:
        within = verdict = "yes" if interval[0] <= claim.value <= interval[1] else "no"
    cells = (
        name,
        *([str(claim.place)] if claim.place is not None else []),
        lr,
        _claimed(claim),
        estimate.plus_minus() if configuration.n else "diverged",
        within,
        "–" if claim.at_least or estimate.mean is None else signed(estimate.mean - claim.value),
        "–" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}",
        str(configuration.n) + (f" ({diverged} diverged)" if diverged else ""),
        claim.how,
    )
    return cells, verdict


def _claimed(claim: Claim) -> str:
    """As precise as it was published: `98.43`, `97`, `≥ 98`."""
    if claim.at_least:
        return f"≥ {claim.value:g}"
    return f"{claim.value:.2f}" if isinstance(claim.value, float) else str(claim.value)


def _table(setup: SetUp, rows: Sequence[tuple[str, ...]]) -> TextTable:
    header = (
        "activation", *([setup.counted["as"]] if setup.counted else []), "lr", "published %", "ours %", "within",
        "difference", "one run of ours", "n", "how published",
    )  # fmt: skip
    at_least = any(claim.at_least for claim in setup.claims)
    within = "how many seeds reached the published figure" if at_least else "the published figure is in that range"
    note = (
        f"{setup.source}; published: test accuracy of {count(setup.runs, 'run')} each; ours: mean over n seeds ± half "
        "the 95 % interval; one run of ours: where 95 % of single runs fall, mean ± t·s·√(1 + 1/n), from 0 to 100; "
        f"within: {within}; best of: by validation accuracy; {setup.note}"
    )
    return TextTable(setup.title, header, tuple(rows), note=note)


def _sentence(setup: SetUp, verdicts: Sequence[str]) -> str:
    """How many of the figures agree, at the published learning rate."""
    if not verdicts:
        return ""
    if any(claim.at_least for claim in setup.claims):
        return f"{setup.title}: {'every seed reached it' if 'no' not in verdicts else 'not every seed reached it'}."
    cases = f"{verdicts.count('yes')} of {count(len(verdicts), 'case')}"
    return f"{setup.title}: in {cases} the published figure is in the range of a single run of ours."


def _commands(setup: SetUp, missing: Sequence[Claim]) -> tuple[tuple[str, str], ...]:
    """What there is no run of, and the command that trains it; one command for activations that lack the same."""
    lacking: dict[str, list[Claim]] = {}
    for claim in missing:
        lacking.setdefault(claim.ours, []).append(claim)
    together: dict[tuple[int | None, ...], list[str]] = {}
    for activation, claims in lacking.items():
        together.setdefault(tuple(claim.place for claim in claims), []).append(activation)
    return tuple(_command(setup, *pair) for pair in together.items())


def _command(setup: SetUp, places: Sequence[int | None], activations: Sequence[str]) -> tuple[str, str]:
    words = [f"experiment={setup.experiment}", f"activation={','.join(activations)}", "dataset=mnist"]
    what = ", ".join(activations)
    if setup.counted:
        numbers = [place for place in places if place is not None]
        what += f" at {setup.counted['as']} {', '.join(map(str, numbers))}"
        words.append(f"{setup.counted['key']}={','.join(str(n - setup.counted['more']) for n in numbers)}")
    several = " -m" if any("," in word for word in words) else ""
    return f"{setup.title}: there is no run of {what}", f"actbench{several} {' '.join(words)}"
