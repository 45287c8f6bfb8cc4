"""Findings in one line each, for the end of a command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from actbench.naming import trusting
from actbench.report.comparison import Comparison
from actbench.report.findings import ConfigurationFinding, SharedFinding, shared
from actbench.report.fitting import one_line
from actbench.report.formatting import count

_LEAST = 24  # characters of what was measured


def finding_lines(found: Sequence[ConfigurationFinding], width: int) -> list[str]:
    """`dead-units: relu, pact and 3 more: 53.1–86.7 % of 128 units dead; try optimizer.lr=0.001`, the worst first."""
    return [_line(finding, width) for finding in shared(found)]


def _line(finding: SharedFinding, width: int) -> str:
    """With fewer names, then without the end of what was measured, where there is no room."""
    evidence = re.sub(r"^\S+: ", "", finding.in_short)  # without the layer
    remedy = next(iter(finding.remedies), "")
    ending = f"; try {remedy}" if remedy else ""
    code = finding.of[0].code or finding.of[0].symptom
    for most in (8, 4, 3, 2, 1, 0):
        start = f"{code}: {_names(finding.configurations, most)}: "
        if len(start) + len(evidence) + len(ending) <= width:
            return f"{start}{evidence}{ending}"
    start = f"{code}: {_names(finding.configurations, 1)}: "
    room = width - len(start) - len(ending)
    if room < _LEAST:
        room, ending = width - len(start), ""
    return one_line(f"{start}{one_line(evidence, room)}{ending}", width)


def _names(names: Sequence[str], most: int) -> str:
    """`relu, pact and 3 more`; none of them: `5 configurations`."""
    if most == 0:
        return count(len(names), "configuration")
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


def try_line(comparison: Comparison) -> str:
    """The command that tries all remedies of the worst finding in the best configuration that has it; or nothing."""
    curable = [finding for finding in shared(comparison.diagnostics.findings) if finding.remedies]
    if not curable:
        return ""
    worst = next(one for one in curable[0].of if one.remedies).configuration
    configuration = next(one for one in comparison.block.configurations if one.name == worst)
    run = next(run for run in configuration.counting if run.summary and run.summary.findings)
    return f"try them all: {shlex.join(['actbench', 'try', str(run.folder), *trusting(run.settings.trust)])}"
