"""Finds the user's own measurements: YAML files in `conf/measure` of the current folder.

`measures.own` loads and checks what they name, and `measures.computing.own_rows` takes the measurements.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from actbench.choices import conf_folders
from actbench.custom import conf_files
from actbench.custom.trust import is_own, is_trusted
from actbench.errors import Problem, UserError, printable
from actbench.files.reading import parse_yaml
from actbench.settings import Choice

GROUP = "measure"


def enrolled(trust: Sequence[str]) -> tuple[Choice, ...]:
    """The measurements that a run takes: those whose module is trusted. Nothing is imported.

    Raises:
        UserError: a file is not as it should be; with all that is wrong.
    """
    return tuple(choice for _, choice in _files() if is_trusted(str(choice.target), trust))


def unused(trust: Sequence[str]) -> list[str]:
    """A line for each file that is not used: its module is not trusted, or its name does not end in `.yaml`."""
    untrusted = [
        f"{path} is not used: trust={printable(str(choice.target).split('.')[0])} measures what it names"
        for path, choice in _files()
        if not is_trusted(str(choice.target), trust)
    ]
    misnamed = [path for conf in conf_folders()[1:] for path in sorted((conf / GROUP).glob("*.yml"))]
    return untrusted + [f"{printable(str(_near(path)))} is not used: its name has to end in .yaml" for path in misnamed]


def _files() -> list[tuple[Path, Choice]]:
    choices: list[tuple[Path, Choice]] = []
    problems: list[Problem] = []
    for conf in conf_folders()[1:]:
        for path in sorted((conf / GROUP).glob("*.yaml")):
            try:
                choices.append((_near(path), _choice(path)))
            except UserError as error:
                problems += error.problems
    if problems:
        raise UserError.of(problems)
    return choices


def _near(path: Path) -> Path:
    """The path relative to the current folder, if it is below it."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path


def _choice(path: Path) -> Choice:
    content: Any = parse_yaml(conf_files.load(path, f"{GROUP}/{path.stem}"))
    target = content.get("_target_") if isinstance(content, dict) else None
    if not isinstance(target, str) or not is_own(target):
        where = printable(str(_near(path)))
        raise UserError("does not name a measurement of yours", where=where, how="_target_: my_module.NAME")
    params = {key: value for key, value in content.items() if key not in ("_target_", "_partial_")}
    return Choice(path.stem, target, params)
