"""What can be chosen: the files of `conf/`, ours and the user's, with the line that describes each. Files only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from actbench.errors import UserError, printable
from actbench.files import places
from actbench.files.reading import read_text


@dataclass(frozen=True)
class Listed:
    """One YAML file of a group: its name, and its first comment as a description."""

    group: str
    name: str
    description: str
    path: Path
    own: bool  # from the user's ./conf


@lru_cache(maxsize=1)
def packaged_conf() -> Path:
    """Our configuration folder: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def conf_folders() -> list[Path]:
    """Our configuration folder and then, where there is one, `conf` in the current folder (see `files.places`)."""
    ours, own = packaged_conf(), [folder / "conf" for folder in places.folders()]
    return [ours, *(conf for conf in own if conf.is_dir() and conf.resolve() != ours)]


def groups() -> list[str]:
    """The groups that have choices; `upper_activation` has those of `activation` and is not listed apart."""
    return sorted({path.parent.name for conf in conf_folders() for path in conf.glob("*/*.yaml")})


def choices_of(group: str) -> list[Listed]:
    """The choices of a group in alphabetical order, `none` first."""
    by_name = {listed.name: listed for listed in reversed(list(_files(group)))}  # ours win over the user's
    return sorted(by_name.values(), key=lambda listed: (listed.name != "none", listed.name))


def _files(group: str) -> Iterator[Listed]:
    for number, conf in enumerate(conf_folders()):
        for path in sorted((conf / group).glob("*.yaml")):
            yield Listed(group, path.stem, _description(path), path, own=number > 0)


def _lines(path: Path) -> list[str]:
    try:
        return read_text(path).splitlines()
    except (OSError, ValueError) as error:
        raise UserError(f"cannot be read ({error})", where=str(path), how="a text file in UTF-8") from error


def _description(path: Path) -> str:
    try:
        lines = _lines(path)
    except UserError:  # reported to whoever chooses it
        return "(cannot be read)"
    for line in lines:
        if line.startswith("#") and not line.startswith("# @package"):
            return printable(line.lstrip("# ").strip())
    return ""


# ---------------------------------------------------------------- what a choice has, and what is as usual


@dataclass(frozen=True)
class Parameter:
    """A key of a choice: its default as it would be typed, and the comment behind it (`command/rules.py` reads it)."""

    name: str
    default: str
    comment: str


_LINE = re.compile(r"(\w+):(?:\s+(.*))?$")


def parameters_of(listed: Listed) -> list[Parameter]:
    """The parameters of a choice, in the order of its file; of a preset or an experiment the keys that it sets.

    Raises:
        UserError: the file cannot be read.
    """
    return parameters_in(_lines(listed.path))


def parameters_in(lines: Iterable[str]) -> list[Parameter]:
    """The same, of the lines of a file."""
    parameters = []
    for line in lines:
        match = _LINE.match(line)
        if match and match[1] not in ("_target_", "_partial_", "defaults"):
            value, _, comment = f" {match[2] or ''}".partition(" #")
            parameters.append(Parameter(match[1], re.sub(r",\s+", ",", value.strip()), comment.strip()))
    return parameters


def contents(listed: Listed) -> dict[str, Any]:
    """The file of a choice as YAML.

    Raises:
        UserError: it is none.
    """
    return _read(listed.path)


def builds(listed: Listed) -> str:
    """The `_target_` of a choice: what it builds; empty where that is nothing."""
    for line in _lines(listed.path):
        if line.startswith("_target_:"):
            value = line.partition(":")[2].partition(" #")[0].strip()
            return "" if value == "null" else value
    return ""


@lru_cache(maxsize=8)
def usual_choices(conf: Path | None = None) -> dict[str, str]:
    """Group -> the choice that is taken where none is typed, of `config.yaml`."""
    lines = _lines((conf or packaged_conf()) / "config.yaml")
    pairs = (re.match(r"\s+- (\w+): (\w+)$", line) for line in lines)
    return {pair[1]: pair[2] for pair in pairs if pair and pair[2] != "null"}


def plain_parameters() -> list[Parameter]:
    """The keys of `config.yaml` that are in no group of `conf/`, as one types them; a key of keys has no default."""
    text = "\n".join(_lines(packaged_conf() / "config.yaml"))
    parameters, above = [], ""
    for line in text[text.index("\nsplit:") : text.index("\nhydra:")].splitlines():
        match = re.match(r"( *)(\w+):([^#]*)(?:#\s*(.*))?$", line)
        if match is not None:
            indent, name, default, comment = match[1], match[2], match[3].strip(), match[4] or ""
            above = above if indent else name
            parameters.append(Parameter(f"{above}.{name}" if indent else name, default, comment))
    return parameters


def usual_values() -> dict[str, Any]:
    """The keys of `config.yaml` that are in no group of `conf/`, with their defaults: `dropout`, `train.epochs`."""
    content = _read(packaged_conf() / "config.yaml")
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict) and key != "hydra":
            flat |= {f"{key}.{inner}": own for inner, own in value.items()}
        elif key not in ("defaults", "hydra"):
            flat[key] = value
    return flat


def usual_parameters(group: str, name: str) -> dict[str, Any] | None:
    """The parameters of a choice of ours with their defaults, and its `_target_`; None where it is none of ours."""
    path = packaged_conf() / ("activation" if group == "upper_activation" else group) / f"{name}.yaml"
    return {key: value for key, value in _read(path).items() if key != "_partial_"} if path.is_file() else None


@lru_cache(maxsize=256)
def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load("\n".join(_lines(path)))
    except yaml.YAMLError as error:
        raise UserError(f"is not YAML: {' '.join(str(error).split())}", where=str(path)) from error
    return content if isinstance(content, dict) else {}
