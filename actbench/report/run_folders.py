"""Where the runs below some paths are."""

from __future__ import annotations

import difflib
import os
import shlex
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from actbench.errors import Problem, UserError
from actbench.files.reading import leaves, read_text
from actbench.store.owner import ATTEMPTS

_RUN_FILES = {"settings.yaml", "summary.json", "history.csv", ATTEMPTS}  # a run's folder has at least one of them
_FOLDERS = "the folder of a run, a sweep or a study, or `outputs`"


def below(paths: Sequence[Path], problems: list[Problem]) -> list[Path]:
    """The folders of all runs at or below `paths`, each once; what cannot be looked into is added to `problems`.

    Raises:
        UserError: a path does not exist, or holds no run.
    """
    bad_paths = []
    folders: dict[str, Path] = {}  # resolved -> as given, so that a run is read once
    for path in paths:
        if not path.is_dir():
            what = "is a file" if path.exists() else "there is no such folder"
            bad_paths.append(Problem(what, str(path), _near(path) or _FOLDERS))
            continue
        found = list(_folders(path, problems))
        if not found:
            bad_paths.append(
                Problem("there is no run in it", str(path), "a sweep makes some: actbench -m activation=relu,gelu")
            )
        for real, folder in found:
            folders.setdefault(real, folder)
    if bad_paths:
        raise UserError.of(bad_paths)
    return [*folders.values()]


def _near(path: Path) -> str:
    """What was probably meant by a folder that does not exist: the study of this name, or one of a similar name."""
    outputs = Path("outputs")
    if path.name and (outputs / path).is_dir():
        return f"did you mean {outputs / path}?"
    above = path.parent if path.parent.is_dir() and path.parent != Path() else outputs
    try:
        names = [folder.name for folder in above.iterdir() if folder.is_dir()]
    except OSError:
        return ""
    near = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {above / near[0]}?" if near else ""


def _folders(path: Path, problems: list[Problem]) -> Iterator[tuple[str, Path]]:
    """Every run's folder at or below `path`, resolved and as it is reached from there.

    Links within `path` are followed, each folder is visited once. A folder that has settings.yaml is not listed: a
    study may have many.
    """
    visited: set[str] = set()
    home = os.path.realpath(path)
    waiting = [(str(path), home)]  # the next one is the last
    while waiting:
        folder, real = waiting.pop()
        if real in visited:
            continue
        visited.add(real)
        if _has_settings(folder):
            yield real, Path(folder)
            continue
        try:
            with os.scandir(folder) as entries:
                inside = {entry.name: (_is_folder(entry), entry.is_symlink()) for entry in entries}
        except OSError as error:
            what = error.strerror or str(error)
            problems.append(Problem(what, str(error.filename), "its runs are not in the comparison"))
            continue
        subfolders = sorted(name for name, (is_folder, _) in inside.items() if is_folder)
        if _RUN_FILES & {name for name, (is_folder, _) in inside.items() if not is_folder} or (
            ".hydra" in subfolders and _begun(Path(folder))
        ):
            yield real, Path(folder)  # a run's folder holds no other
            continue
        deeper, at, really_at = [], os.path.join(folder, ""), os.path.join(real, "")
        for name in subfolders:
            if not name.startswith("."):
                below = at + name
                if not inside[name][1]:
                    deeper.append((below, really_at + name))
                elif not _leads_out(below, home, path, problems):
                    deeper.append((below, os.path.realpath(below)))
        waiting += reversed(deeper)


def _has_settings(folder: str) -> bool:
    try:
        return not stat.S_ISDIR(os.lstat(f"{folder}/settings.yaml").st_mode)
    except OSError:
        return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _leads_out(link: str, home: str, path: Path, problems: list[Problem]) -> bool:
    """Whether a link leads out of what was asked for: the folder may be a stranger's."""
    if not leaves(Path(link), Path(home)):
        return False
    if not Path(home).is_relative_to(os.path.realpath(link)):  # no circle, which leads to a folder above
        how = f"actbench report {shlex.quote(str(path))} {shlex.quote(link)} compares with what is there"
        problems.append(Problem("is a link that leads out of what was asked for", link, how))
    return True


def _begun(folder: Path) -> bool:
    """Whether there is a record of Hydra's for a job of an earlier version, which has written nothing else."""
    try:
        text = read_text(folder / ".hydra" / "config.yaml")
    except (OSError, ValueError):
        return False
    return "\nnum_seeds:" in text and "activation:" in text
