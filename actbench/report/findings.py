"""The findings of each configuration, over all its runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actbench.records import Finding
from actbench.report.configurations import Configuration
from actbench.report.formatting import seed_range
from actbench.report.runs import Run
from actbench.report.text_table import TextTable

TITLE = "What went wrong inside"
_FEW = 6  # findings for which a terminal has room with everything about them
_TO_TRY = "what to try: change one of these at a time in the command of that configuration"


@dataclass(frozen=True)
class ConfigurationFinding:
    """A finding of one configuration, over all its runs.

    `code` names the rule (empty in runs of earlier versions); `evidence` says which seeds it belongs to where there are
    several runs; `remedies` are overrides.
    """

    configuration: str
    code: str
    symptom: str
    evidence: str
    cause: str
    remedies: tuple[str, ...]

    @property
    def name(self) -> str:
        """`dead-units: units died`; the symptom alone where there is no code."""
        return f"{self.code}: {self.symptom}" if self.code else self.symptom


def findings(configurations: Sequence[Configuration]) -> list[ConfigurationFinding]:
    """What was found in the runs that count, configuration by configuration, each symptom once."""
    return [finding for configuration in configurations for finding in _of_configuration(configuration)]


def _of_configuration(configuration: Configuration) -> list[ConfigurationFinding]:
    by_symptom: dict[str, list[tuple[Run, Finding]]] = {}
    for run in sorted(configuration.counting, key=lambda run: run.settings.seed):
        for finding in (run.summary.findings if run.summary else None) or ():
            by_symptom.setdefault(finding.symptom, []).append((run, finding))
    return [_merge(configuration, same) for same in by_symptom.values()]


def _merge(configuration: Configuration, same: Sequence[tuple[Run, Finding]]) -> ConfigurationFinding:
    """One finding from those of several runs with the same symptom."""
    alone = len(configuration.counting) == 1
    evidence = [finding.evidence if alone else f"{_seeds(run)}: {finding.evidence}" for run, finding in same]
    causes = dict.fromkeys(finding.cause for _, finding in same)
    remedies = dict.fromkeys(remedy for _, finding in same for remedy in finding.remedies)
    codes = [finding.code for _, finding in same if finding.code]
    return ConfigurationFinding(
        configuration=configuration.name,
        code=codes[0] if codes else "",
        symptom=same[0][1].symptom,
        evidence="; ".join(evidence),
        cause="; ".join(causes),
        remedies=tuple(remedies),
    )


def _seeds(run: Run) -> str:
    seeds = run.settings.seeds
    return f"seed{'s' if len(seeds) > 1 else ''} {seed_range(seeds)}"


def findings_table(found: Sequence[ConfigurationFinding], *, brief: bool = False) -> TextTable:
    """Every finding with evidence, likely cause and remedies.

    `brief`: for a terminal, whose columns are too narrow for overrides. A few findings have one cell for everything, of
    many each has one line.
    """
    note = _TO_TRY
    if any(finding.code for finding in found):
        note += "; `actbench list CODE` explains a finding, as in `actbench list dead-units`"
    if brief and len(found) <= _FEW:
        header: tuple[str, ...] = ("configuration", "what, why, and what to try")
        rows = [(finding.configuration, _paragraph(finding)) for finding in found]
        return TextTable(TITLE, header, tuple(rows), note=note, text=True, section="findings")
    if brief:
        header = ("configuration", "symptom", "what to try")
        lines = [(finding.configuration, finding.name, _remedies(finding)) for finding in found]
        note = f"evidence and likely cause of each are in the files; {note}"
        return TextTable(TITLE, header, tuple(lines), note=note, text=True, one_line_rows=True, section="findings")
    header = ("configuration", "symptom", "evidence", "likely cause", "what to try")
    full = [(f.configuration, f.name, f.evidence, f.cause, _remedies(f)) for f in found]
    return TextTable(TITLE, header, tuple(full), note=note, text=True, section="findings")


def _paragraph(finding: ConfigurationFinding) -> str:
    to_try = [f"try {remedy}" for remedy in finding.remedies]
    return "\n".join([f"{finding.name}: {finding.evidence}", finding.cause, *to_try])


def _remedies(finding: ConfigurationFinding) -> str:
    return "; ".join(finding.remedies) or "–"
