"""What went wrong inside the runs of each configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actbench.records import Finding
from actbench.report.configurations import Configuration
from actbench.report.runs import Run
from actbench.report.text_table import Sheet

TITLE = "What went wrong inside"
_FEW = 6  # findings that a terminal has room for with everything about them


@dataclass(frozen=True)
class Found:
    """One symptom of one configuration; `evidence` says which seeds it is of where another run showed it too."""

    configuration: str
    symptom: str
    evidence: str
    cause: str
    remedies: tuple[str, ...]


def findings(configurations: Sequence[Configuration]) -> list[Found]:
    """What the runs that count found, configuration by configuration, each symptom once."""
    return [found for one in configurations for found in _of(one)]


def _of(one: Configuration) -> list[Found]:
    by_symptom: dict[str, list[tuple[Run, Finding]]] = {}
    for run in sorted(one.counting, key=lambda run: run.settings.seed):
        for finding in (run.summary.findings if run.summary else None) or ():
            by_symptom.setdefault(finding.symptom, []).append((run, finding))
    return [_merged(one, symptom, found) for symptom, found in by_symptom.items()]


def _merged(one: Configuration, symptom: str, found: Sequence[tuple[Run, Finding]]) -> Found:
    alone = len(one.counting) == 1
    evidence = [
        finding.evidence if alone else f"{_seeds(run.settings.seeds)}: {finding.evidence}" for run, finding in found
    ]
    causes = dict.fromkeys(finding.cause for _, finding in found)
    remedies = dict.fromkeys(remedy for _, finding in found for remedy in finding.remedies)
    symptom = next((finding.title for _, finding in found if finding.code), symptom)
    return Found(one.name, symptom, "; ".join(evidence), "; ".join(causes), tuple(remedies))


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]}–{seeds[-1]}"


_REMEDIES = "what to try: each by itself, behind the command of that configuration"


def sheet(found: Sequence[Found], *, brief: bool = False) -> Sheet:
    """Every finding with evidence, likely cause and remedies.

    `brief`: for a terminal, whose columns are too narrow for overrides: one cell for all of it, and where there are
    many findings one line each.
    """
    if brief and len(found) <= _FEW:
        told = tuple((one.configuration, _paragraph(one)) for one in found)
        return Sheet(TITLE, ("configuration", "what, why, and what to try"), told, note=_REMEDIES, text=True)
    if brief:
        header: tuple[str, ...] = ("configuration", "symptom", "what to try")
        rows = [(one.configuration, one.symptom, _remedies(one)) for one in found]
        note = f"evidence and likely cause of each are in the files; {_REMEDIES}"
        return Sheet(TITLE, header, tuple(rows), note=note, text=True, brief=True)
    header = ("configuration", "symptom", "evidence", "likely cause", "what to try")
    full = tuple((one.configuration, one.symptom, one.evidence, one.cause, _remedies(one)) for one in found)
    return Sheet(TITLE, header, full, note=_REMEDIES, text=True)


def _paragraph(one: Found) -> str:
    return "\n".join([f"{one.symptom}: {one.evidence}", one.cause, *(f"try {remedy}" for remedy in one.remedies)])


def _remedies(one: Found) -> str:
    return "; ".join(one.remedies) or "–"
