"""Where the events of a run lie: in `tensorboard/NAME/` of its study, so that TensorBoard calls the run NAME.

TensorBoard calls a run by its path below `--logdir`, and reads all that is there, links and hidden folders included.
Events in a run's own folder would be called `relu-mlp-5a18816cd0-seeds0-4/tensorboard`, and links to them under shorter
names would show each run twice to whoever looks at all studies at once. So the events have one place, and a file in it
says whose they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from actbench.files.atomic import remove_strays, write_text
from actbench.files.reading import read_text
from actbench.settings import Settings

FOLDER = "tensorboard"  # of a study
OWNER = ".run"  # in NAME: the name of the run's folder
_LONGEST = 120  # bytes of a name; file systems allow 255, and an id and seeds may follow


def claim(folder: Path, settings: Settings, name: str) -> Path:
    """The folder for the events of a run: the same one, emptied, whenever the run is begun again.

    It is `tensorboard/NAME` in the study; below the run's own folder where that folder is not in a study, or where the
    study's `tensorboard` is a file or a link.

    Args:
        folder: the run's own, which this process has locked.
        settings: of the run.
        name: what people call the run. Other seeds of the same configuration get them behind it, another
            configuration that is called so its id. What a file name may not hold is replaced.
    """
    _remove_events(folder / FOLDER)  # of an interrupted run of an earlier version
    if folder.name == settings.folder:
        place = _claim(folder.parent / FOLDER, folder, settings, name)
        if place is not None:
            return place
    return _claim(folder / FOLDER, folder, settings, name) or folder / FOLDER


def logdir(folder: Path) -> Path | None:
    """What to give to `tensorboard --logdir` for a run: there it has a short name. None where it wrote no events."""
    place = events_of(folder)
    if place is not None:
        return place.parent
    return folder if (folder / FOLDER).is_dir() else None  # of an earlier version


def of_study(study: Path) -> Path | None:
    """What to give to `tensorboard --logdir` for all runs of a study. None where none of them wrote events."""
    root = study / FOLDER
    return root if any(_owner(place) for place in _places(root)) else None


def events_of(folder: Path) -> Path | None:
    """Where the events of the run in `folder` lie; None where it wrote none."""
    return _place_of(folder.parent / FOLDER, folder.name) or _place_of(folder / FOLDER, folder.name)


def _claim(root: Path, folder: Path, settings: Settings, name: str) -> Path | None:
    """A folder in `root` that is the run's; None where `root` cannot be used."""
    own = root / f".{folder.name}"  # of this process alone, since it has locked the run
    if root.is_symlink() or own.is_symlink() or (root.exists() and not root.is_dir()):
        return None
    root.mkdir(parents=True, exist_ok=True)
    place = _place_of(root, folder.name)
    if place is not None:
        _remove_events(place)
        return place
    for candidate in _names(root, settings, name):
        if _is_abandoned(candidate):
            _moved(candidate, own)
        own.mkdir(exist_ok=True)
        _remove_events(own)
        write_text(own / OWNER, f"{folder.name}\n")
        if _moved(own, candidate):
            return candidate
    return None


def _moved(source: Path, target: Path) -> bool:
    """Whether a folder was renamed in one step, which another process may have been about to do, too."""
    try:
        source.rename(target)
    except OSError:
        if source.is_dir() and not os.path.lexists(target):
            raise
        return False
    return True


def _names(root: Path, settings: Settings, name: str) -> Iterator[Path]:
    """The names that a run may have, the best first."""
    base, first, last = _safe(name), settings.seeds[0], settings.seeds[-1]
    seeds = f"seed{first}" if first == last else f"seeds{first}-{last}"
    yield root / base
    if settings.id in (_owner(root / base) or ""):
        yield root / f"{base} {seeds}"
    yield root / f"{base} {settings.id}"
    for number in range(1, 100):
        yield root / f"{base} {settings.id} {seeds}{f' ({number})' if number > 1 else ''}"


def _safe(name: str) -> str:
    """The name without what a file name may not hold on some system, and neither hidden nor too long."""
    kept = "".join(char if char.isprintable() and char not in '/\\<>:"|?*' else "_" for char in name)
    return kept.encode()[:_LONGEST].decode(errors="ignore").strip(" .") or "run"


def _place_of(root: Path, run: str) -> Path | None:
    """The folder in `root` that holds the events of the run whose folder is called `run`."""
    return next((place for place in _places(root) if _owner(place) == run), None)


def _places(root: Path) -> list[Path]:
    try:
        return sorted(path for path in root.iterdir() if not path.name.startswith("."))
    except OSError:  # there is none, or it is a file
        return []


def _owner(place: Path) -> str | None:
    """The name of the folder of the run that a folder of events belongs to; None of what is not ours, or has links."""
    if place.is_symlink() or any(path.is_symlink() for path in (place / OWNER, *place.glob("*"))):
        return None
    try:
        return read_text(place / OWNER, limit=1000).strip() or None
    except (OSError, ValueError):
        return None


def _is_abandoned(place: Path) -> bool:
    """Whether the run that a folder of events belongs to is no longer there."""
    owner = _owner(place)
    return owner is not None and Path(owner).name == owner and not os.path.lexists(place.parent.parent / owner)


def _remove_events(place: Path) -> None:
    """Of an earlier process, whose epochs are written again."""
    if not place.is_symlink():
        remove_strays(place, alone=True)
        for path in place.rglob("*tfevents*"):
            path.unlink(missing_ok=True)
