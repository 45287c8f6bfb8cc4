"""The findings of a block: each one once, with the configurations that have it and what was measured in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actbench.records import Finding
from actbench.report.configurations import Configuration
from actbench.report.evidence_ranges import in_one, without_parentheses
from actbench.report.formatting import count, listed, seed_range
from actbench.report.runs import Run
from actbench.report.text_table import TextTable

TITLE = "What went wrong inside"
_TO_TRY = (
    "what to try: change one of these at a time in the command of that configuration; `actbench try RUN` tries each"
)
SECTION = "findings"


@dataclass(frozen=True)
class ConfigurationFinding:
    """A finding of one configuration, over all its runs.

    `code` names the rule (empty in runs of earlier versions); `evidence` says which seeds it belongs to where there are
    several runs; `remedies` are overrides. `measured` is the evidence of each run alone.
    """

    configuration: str
    code: str
    symptom: str
    evidence: str
    cause: str
    remedies: tuple[str, ...]
    measured: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """`dead-units: units died`; the symptom alone where there is no code."""
        return f"{self.code}: {self.symptom}" if self.code else self.symptom


@dataclass(frozen=True)
class SharedFinding:
    """One finding, of all configurations that have it: `of` has a part for each."""

    of: tuple[ConfigurationFinding, ...]

    @property
    def name(self) -> str:
        """`dead-units: units died`."""
        return self.of[0].name

    @property
    def configurations(self) -> list[str]:
        """Their names, best first."""
        return [one.configuration for one in self.of]

    @property
    def evidence(self) -> str:
        """What was measured, with the range over all configurations; of a single one all that is known."""
        if len(self.of) == 1:
            return self.of[0].evidence
        return self.in_short

    @property
    def in_short(self) -> str:
        """The same without what stands in parentheses."""
        measured = [text for one in self.of for text in one.measured or (one.evidence,)]
        return in_one([without_parentheses(text) for text in measured])

    @property
    def remedies(self) -> dict[str, list[str]]:
        """Each remedy, with the configurations to which it is offered; those for most of them first."""
        offered: dict[str, list[str]] = {}
        for one in self.of:
            for remedy in one.remedies:
                offered.setdefault(remedy, []).append(one.configuration)
        return dict(sorted(offered.items(), key=lambda pair: -len(pair[1])))  # stable

    @property
    def remedies_in_words(self) -> list[str]:
        """`activation=gelu (relu)`: where a remedy is not offered to all, it says to whom."""
        everyone = len(self.of)
        return [
            remedy if len(names) == everyone else f"{remedy} ({', '.join(names)})"
            for remedy, names in self.remedies.items()
        ]

    @property
    def causes(self) -> str:
        """The likely causes, each once."""
        return "; ".join(dict.fromkeys(one.cause for one in self.of))


def findings(configurations: Sequence[Configuration]) -> list[ConfigurationFinding]:
    """What was found in the runs that count, configuration by configuration, each symptom once."""
    return [finding for configuration in configurations for finding in _of_configuration(configuration)]


def shared(found: Sequence[ConfigurationFinding]) -> list[SharedFinding]:
    """Each finding once; the order is that of the diagnosis, the worst first, as far as each configuration shows it."""
    by_name: dict[str, list[ConfigurationFinding]] = {}
    for finding in found:
        by_name.setdefault(finding.name, []).append(finding)
    ranks = _ranks()
    groups = sorted(by_name.values(), key=lambda same: ranks.get(same[0].code, len(ranks)))  # stable
    return [SharedFinding(tuple(same)) for same in groups]


def _ranks() -> dict[str, int]:
    from actbench.diagnosis import rules

    return {rule.code: number for number, rule in enumerate(rules())}


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
        measured=tuple(finding.evidence for _, finding in same),
    )


def _seeds(run: Run) -> str:
    seeds = run.settings.seeds
    return f"seed{'s' if len(seeds) > 1 else ''} {seed_range(seeds)}"


# ---------------------------------------------------------------- as tables


def findings_tables(found: Sequence[ConfigurationFinding]) -> list[TextTable]:
    """The findings; and what was measured in each configuration, where several have the same finding."""
    tables = [findings_table(found)]
    several = [one for finding in shared(found) if len(finding.of) > 1 for one in finding.of]
    if several:
        rows = tuple((one.name, one.configuration, one.evidence) for one in several)
        header = ("finding", "configuration", "evidence")
        tables.append(TextTable("Evidence in each configuration", header, rows, text=True, section=SECTION))
    return tables


def findings_table(found: Sequence[ConfigurationFinding]) -> TextTable:
    """Each finding once, with its configurations, evidence, likely cause and remedies."""
    merged = shared(found)
    note = _TO_TRY
    if any(finding.code for finding in found):
        note += "; `actbench list CODE` explains a finding, as in `actbench list dead-units`"
    header = ("finding", "configurations", "evidence", "likely cause", "what to try")
    rows = tuple(
        (one.name, ", ".join(one.configurations), one.evidence, one.causes, "; ".join(one.remedies_in_words) or "–")
        for one in merged
    )
    return TextTable(TITLE, header, rows, note=note, text=True, section=SECTION, gist=_gist(merged))


def _gist(merged: Sequence[SharedFinding]) -> str:
    """`3 findings, the worst: dead-units in relu and 4 more`."""
    worst = merged[0]
    where = listed(worst.configurations, 2)
    start = f"{count(len(merged), 'finding')}{', the worst' if len(merged) > 1 else ''}"
    return f"{start}: {worst.of[0].code or worst.name} in {where}"
