"""How the results were made: the commands, the data, and the machines and packages."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from actbench.report import runs
from actbench.report.comparison import Comparison
from actbench.report.formatting import count
from actbench.report.more_command import study_of


def environments(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """What each run has written about its surroundings; `{}` where it has not."""
    blocks = [comparison.block for comparison in comparisons]
    complete = [run for block in blocks for configuration in block.configurations for run in configuration.runs]
    every = complete + [run for block in blocks for _, run in block.waiting]
    return [{**runs.environment(run), "study": study_of(run.folder).name} for run in every]


def environment(of_runs: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """What the runs were trained on: each item with its different values."""
    values: dict[str, dict[str, int]] = {}
    for content in of_runs:
        for key, value in _flat_environment(content):
            of_key = values.setdefault(key, {})
            of_key[value] = of_key.get(value, 0) + 1
    return [(key, "; ".join(_counted(of_key))) for key, of_key in values.items()]


def _flat_environment(content: dict[str, Any]) -> list[tuple[str, str]]:
    data = _data(content.get("data"))
    wanted = ("device", "threads", "platform", "python", "host", "cpu_capability", "cuda")
    items = [("data", data)] if data else []
    items += [(key, str(content[key])) for key in wanted if content.get(key) is not None]
    packages = content.get("packages")
    items += [(name, str(v)) for name, v in packages.items() if v] if isinstance(packages, dict) else []
    git = content.get("git")
    if isinstance(git, dict):
        items.append(("commit", f"{str(git.get('commit'))[:10]}{' with changes' if git.get('dirty') else ''}"))
    return items


def _data(data: Any) -> str:
    """What a run was trained on, in a line; empty where it has not written that, or something else in its place."""
    samples = data.get("samples") if isinstance(data, dict) else None
    sample = data.get("sample") if isinstance(data, dict) else None
    if not (isinstance(samples, dict) and isinstance(sample, list)):
        return ""
    numbers = [n for n in (samples.get(use) for use in ("train", "val", "test")) if isinstance(n, int)]
    shape = "×".join(str(side) for side in sample)
    scaling = f", scaling {data['scaling']}" if data.get("scaling") else ""
    sizes = " / ".join(f"{n:,}" for n in numbers)
    return f"{data.get('name')}: {sizes} samples of {shape}, {data.get('classes')} classes{scaling}"


def _counted(values: dict[str, int]) -> list[str]:
    if len(values) == 1:
        return list(values)
    shown = [f"{value} ({count(runs_with_it, 'run')})" for value, runs_with_it in list(values.items())[:5]]
    return [*shown, *(["..."] if len(values) > 5 else [])]


def commands(of_runs: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """The command lines that trained the runs, each with its study, in the order in which their first runs began."""
    lines: dict[tuple[str, str], str] = {}
    for content in of_runs:
        argv = content.get("argv")
        if isinstance(argv, list) and argv:
            line = content.get("study", ""), shlex.join(["actbench", *map(str, argv[1:])])
            began = str(content.get("time", ""))
            lines[line] = min(lines.get(line, began), began)
    return sorted(lines, key=lambda line: lines[line])  # stable
