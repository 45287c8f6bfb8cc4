"""Published figures beside runs with the same settings; `published.yaml` has the figures and their sources."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from actbench import naming
from actbench.files.reading import read_yaml
from actbench.report.configurations import METRIC, Configuration
from actbench.report.ranking import by_validation
from actbench.report.statistics import one_more
from actbench.report.text_table import Sheet
from actbench.report.words import count, signed

TITLE = "Published figures, ours beside theirs"
_LR = "optimizer.lr"
_UNCOMPARED = ("activation", "optimizer.fused")  # compared by itself; the same but for rounding


@dataclass(frozen=True)
class Claim:
    """One published figure: a test accuracy in %, `at_least` that where the source says no more.

    `place` is the number that the source lists it by (None where there is one figure alone), `settings` what that means
    here.
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
class Beside:
    """A published experiment with ours beside it: a table where there are runs, and commands that make the rest."""

    setup: SetUp
    sheet: Sheet | None
    sentence: str
    missing: tuple[tuple[str, str], ...]  # what there is no run of, the command that trains it


@cache
def setups() -> tuple[SetUp, ...]:
    """Everything in `published.yaml`."""
    return tuple(_setup(dict(one)) for one in read_yaml(Path(__file__).with_name("published.yaml")))


def _setup(content: dict[str, Any]) -> SetUp:
    counted = content["counted"]
    claims = []
    for figure in content.pop("figures"):
        who = (figure["ours"], figure["theirs"], figure["how"])
        for place, value in figure.get("values", {}).items():
            claims.append(Claim(*who, value, False, place, {counted["key"]: place - counted["more"]}))
        if "values" not in figure:
            at_least = "at_least" in figure
            claims.append(Claim(*who, figure["at_least" if at_least else "value"], at_least, None, {}))
    return SetUp(**content, claims=tuple(claims))


# ---------------------------------------------------------------- which runs are of a published set-up


def published(configurations: Sequence[Configuration]) -> list[Beside]:
    """Each published experiment beside what there is of it among `configurations`."""
    return [_beside(setup, configurations) for setup in setups()]


def _beside(setup: SetUp, configurations: Sequence[Configuration]) -> Beside:
    rows, verdicts, missing = [], [], []
    for claim in _in_order(setup.claims):
        found = [one for one in configurations if _of_setup(one, setup, claim)]
        if not any(_as_published(one, setup) for one in found):
            missing.append(claim)
        for row, verdict in _rows(setup, claim, found):
            rows.append(row)
            verdicts.append(verdict)
    sheet = _sheet(setup, rows) if rows else None
    return Beside(setup, sheet, _sentence(setup, [v for v in verdicts if v]), _commands(setup, missing))


def _in_order(claims: Sequence[Claim]) -> list[Claim]:
    """By their number; those with the same one stay together, as they are listed."""
    return sorted(claims, key=lambda claim: claim.place or 0)


def _of_setup(one: Configuration, setup: SetUp, claim: Claim) -> bool:
    """It was asked for what was published, whatever its learning rate."""
    flat = {**one.settings.flat(), "dataset": one.runs[0].dataset}
    wanted = {**setup.settings, **claim.settings, "activation": claim.ours}
    return all(
        naming.shown(flat[key]) == naming.shown(value) for key, value in wanted.items() if key in flat and key != _LR
    )


def _as_published(one: Configuration, setup: SetUp) -> bool:
    return naming.shown(one.settings.flat()[_LR]) == naming.shown(setup.settings[_LR])


def _rows(setup: SetUp, claim: Claim, found: Sequence[Configuration]) -> Iterator[tuple[tuple[str, ...], str]]:
    """A row with the published learning rate, one with the best of several; with their verdicts (the second: none)."""
    by_rest: dict[str, list[Configuration]] = {}
    for one in found:
        by_rest.setdefault(_rest(one, setup, claim), []).append(one)
    for rest, members in by_rest.items():
        name = " ".join(word for word in (claim.theirs, rest) if word)
        for one in members:
            if _as_published(one, setup):
                yield _row(name, naming.shown(setup.settings[_LR]), claim, one)
        if len(members) > 1:
            chosen = max(members, key=by_validation)
            lr = naming.shown(chosen.settings.flat()[_LR])
            yield _row(name, f"{lr}, best of {len(members)}", claim, chosen)[0], ""


def _rest(one: Configuration, setup: SetUp, claim: Claim) -> str:
    """What a run was asked for beyond what is published: its precision, where that is not the usual one."""
    known = {*setup.settings, *claim.settings, *_UNCOMPARED}
    rest = {key: value for key, value in one.settings.flat().items() if key not in known}
    words = [] if claim.ours == claim.theirs.lower() else [claim.ours]
    words += [naming.shown(value) if key == "train.precision" else f"{key}={naming.shown(value)}"
              for key, value in rest.items() if (key, value) != ("train.precision", "fp32")]  # fmt: skip
    return f"({', '.join(words)})" if words else ""


# ---------------------------------------------------------------- in words


def _row(name: str, lr: str, claim: Claim, one: Configuration) -> tuple[tuple[str, ...], str]:
    """The cells, and the verdict: `yes`, `no` or nothing."""
    values = list(one.values.get(METRIC, {}).values())
    estimate, interval = one.estimate(METRIC), one_more(values, at_most=100.0, at_least=0.0)
    if claim.at_least:
        reached, seeds = sum(value >= claim.value for value in values), len(values) + len(one.diverged)
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
        estimate.plus_minus() if one.n else "diverged",
        within,
        "–" if claim.at_least or estimate.mean is None else signed(estimate.mean - claim.value),
        "–" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}",
        str(one.n) + (f" ({len(one.diverged)} diverged)" if one.diverged else ""),
        claim.how,
    )
    return cells, verdict


def _claimed(claim: Claim) -> str:
    """As precise as it was published: `98.43`, `97`, `≥ 98`."""
    if claim.at_least:
        return f"≥ {claim.value:g}"
    return f"{claim.value:.2f}" if isinstance(claim.value, float) else str(claim.value)


def _sheet(setup: SetUp, rows: Sequence[tuple[str, ...]]) -> Sheet:
    header = (
        "activation", *([setup.counted["as"]] if setup.counted else []), "lr", "published %", "ours %", "within",
        "difference", "one run of ours", "n", "how published",
    )  # fmt: skip
    at_least = any(claim.at_least for claim in setup.claims)
    within = "how many seeds reached the published figure" if at_least else "the published figure is there"
    note = (
        f"{setup.source}; published: test accuracy of {count(setup.runs, 'run')} each; ours: mean over n seeds ± half "
        "the 95 % interval; one run of ours: where 95 % of single runs fall, mean ± t·s·√(1 + 1/n), from 0 to 100; "
        f"within: {within}; best of: by validation accuracy; {setup.note}"
    )
    return Sheet(setup.title, header, tuple(rows), note=note)


def _sentence(setup: SetUp, verdicts: Sequence[str]) -> str:
    """How many of the figures agree, at the published learning rate."""
    if not verdicts:
        return ""
    if any(claim.at_least for claim in setup.claims):
        return f"{setup.title}: {'every seed reached it' if 'no' not in verdicts else 'not every seed reached it'}."
    cases = f"{verdicts.count('yes')} of {count(len(verdicts), 'case')}"
    return f"{setup.title}: in {cases} the published figure is where a single run of ours would be."


def _commands(setup: SetUp, missing: Sequence[Claim]) -> tuple[tuple[str, str], ...]:
    """What there is no run of, and the command that trains it: activations that lack the same in one."""
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
    return f"{setup.title}: no run here of {what}", f"actbench{several} {' '.join(words)}"
