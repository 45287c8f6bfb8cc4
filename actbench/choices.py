"""What can be chosen: the files of `conf/`, ours and the user's, with the line that describes each. Files only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from actbench.errors import UserError, printable
from actbench.reading import read_text


@dataclass(frozen=True)
class Listed:
    """One YAML file of a group: its name, and its first comment as a description."""

    group: str
    name: str
    description: str
    path: Path
    own: bool  # from the user's ./conf


def packaged_conf() -> Path:
    """Our configuration folder: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def conf_folders() -> list[Path]:
    """Our configuration folder and then, where there is one, `conf` in the current folder."""
    ours, own = packaged_conf(), Path.cwd() / "conf"
    return [ours, own] if own.is_dir() and own.resolve() != ours else [ours]


def groups() -> list[str]:
    """The groups that have choices; `upper_activation` has those of `activation` and is not listed apart."""
    return sorted({path.parent.name for conf in conf_folders() for path in conf.glob("*/*.yaml")})


def choices_of(group: str) -> list[Listed]:
    """The choices of a group in alphabetical order, `none` first."""
    found = {listed.name: listed for listed in reversed(list(_files(group)))}  # ours win over the user's
    return sorted(found.values(), key=lambda listed: (listed.name != "none", listed.name))


def _files(group: str) -> Iterator[Listed]:
    for number, conf in enumerate(conf_folders()):
        for path in sorted((conf / group).glob("*.yaml")):
            yield Listed(group, path.stem, _description(path), path, own=number > 0)


def _description(path: Path) -> str:
    try:
        lines = read_text(path).splitlines()
    except (OSError, ValueError) as error:
        raise UserError(f"cannot be read ({error})", where=str(path), how="a text file in UTF-8") from error
    for line in lines:
        if line.startswith("#") and not line.startswith("# @package"):
            return printable(line.lstrip("# ").strip())
    return ""
