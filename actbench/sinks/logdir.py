"""Where the events of a run lie: in `tensorboard/NAME/` of its study, so that TensorBoard calls the run NAME.

TensorBoard calls a run by its path below `--logdir`, and reads all that is there, links and hidden folders included.
Events in a run's own folder would be called `relu-mlp-5a18816cd0-seeds0-4/tensorboard`, and links to them under shorter
names would show each run twice to whoever looks at all studies at once. So the events have one place, and a file in it
says whose they are.

All runs of a configuration share NAME: each has `seed=K` for its seeds. The run that NAME belongs to writes the mean,
until another one ends (`sinks.mean`). What belongs to runs that are no longer in the study is removed.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from actbench.files.atomic import remove_strays, write_text
from actbench.files.reading import MB, read_text
from actbench.settings import Settings
from actbench.sinks import place_index
from actbench.sinks.tags import Thin
from actbench.store import lock

FOLDER = "tensorboard"  # of a study
OWNER = ".run"  # in NAME: the run's folder, and that of each seed, `seed=K<TAB>FOLDER`; once, each seed=K had its own
_LOCK = ".lock"  # in `tensorboard`
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_WAIT = 60  # seconds for others that begin or end a run
_LONGEST = 120  # bytes of a name; file systems allow 255, and an id and seeds may follow
_RUN = re.compile(r"(?P<configuration>.+)-seeds?\d+(-\d+)?")  # the name of a run's folder


def claim(folder: Path, settings: Settings, name: str) -> Path:
    """The folder for the events of a run: the same one, without its earlier events, whenever the run is begun again.

    It is `tensorboard/NAME` in the study; below the run's own folder where that folder is not in a study, or where the
    study's `tensorboard` is a file or a link, or may only be read.

    Args:
        folder: the run's own, which this process has locked.
        settings: of the run.
        name: what people call the run, if it is the first of its configuration. Another configuration that is called
            so gets its id behind it, and a run with seeds that another one has its seeds. What a file name may not
            hold is replaced.
    """
    _remove_events(folder / FOLDER)  # of an interrupted run of an earlier version
    if folder.name == settings.folder:
        place = None
        try:
            place = _claim(folder.parent / FOLDER, folder, settings, name)
        except OSError as error:
            if error.errno not in _FORBIDDEN:
                raise
        if place is not None:
            return place
    return _claim(folder / FOLDER, folder, settings, name) or folder / FOLDER


def owns(folder: Path, place: Path) -> bool:
    """Whether the mean, pictures and texts in `place` are those of the run in `folder`, and not of an earlier one."""
    return _owner(place) in (folder.name, None)


def ended(place: Path) -> bool:
    """Whether nobody writes the mean in `place` any more: the run that it belongs to came to some end, or is gone."""
    owner, study = _owner(place), place.parent.parent
    return owner is not None and (_is_gone(place.parent, owner) or (study / owner / "summary.json").is_file())


def runs_of(folder: Path) -> list[Path]:
    """The folders of all runs in the study that have the configuration of the run in `folder`, in order."""
    configuration = _configuration(folder.name)
    return sorted(path for path in folder.parent.iterdir() if _configuration(path.name) == configuration)


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


def number(root: Path) -> int:
    """How many runs TensorBoard finds in `root`: each mean and each seed is one to it."""
    return len({path.parent for path in root.rglob("*tfevents*")})


def events_of(folder: Path) -> Path | None:
    """Where the events of the run in `folder` lie; None where it wrote none."""
    return _place_of(folder.parent / FOLDER, folder.name) or _place_of(folder / FOLDER, folder.name)


def alone(root: Path) -> AbstractContextManager[bool]:
    """Within the block no other process begins or ends a run in `root`, unless that takes very long."""
    return lock.alone(root / _LOCK, _WAIT)


# ---------------------------------------------------------------- a run begins


def _claim(root: Path, folder: Path, settings: Settings, name: str) -> Path | None:
    """A folder in `root` that is the run's; None where `root` cannot be used."""
    if root.is_symlink() or (root / _LOCK).is_symlink() or (root.exists() and not root.is_dir()):
        return None
    root.mkdir(parents=True, exist_ok=True)
    with alone(root):
        index = place_index.read(root)
        if index is None:
            index = place_index.renewed(root, _owners)
        if root.parent == folder.parent:
            index = _remove_what_is_gone(root, index)
        for place in _candidates(root, folder, settings, name, index):
            seeds, marks = [f"seed={seed}" for seed in settings.seeds], _marks(place)
            if any(marks.get(seed, folder.name) != folder.name for seed in seeds):
                continue
            if marks.get(_MEAN) is None or _is_gone(root, marks[_MEAN]):
                marks[_MEAN] = folder.name
            shown = seeds if Thin.of(settings).seeds else []
            place.mkdir(exist_ok=True)
            _mark(place, {**marks, **dict.fromkeys(shown, folder.name)})
            if marks[_MEAN] == folder.name:
                _remove_events(place, deep=False)
            for seed in seeds:
                _remove_events(place / seed)
            for seed in shown:
                (place / seed).mkdir(exist_ok=True)
            if folder.name not in index.get(place.name, ()):
                place_index.add(root, place.name, folder.name)
            return place
    return None


def _candidates(
    root: Path, folder: Path, settings: Settings, name: str, index: place_index.Index
) -> Iterator[Path]:  # fmt: skip
    """Where the events of a run may lie: where they did, with those of its configuration, or under a free name."""
    configuration = _configuration(settings.folder)
    own = [place for place, runs in index.items() if folder.name in runs]
    alike = [place for place, runs in index.items() if any(_configuration(run) == configuration for run in runs)]
    known = dict.fromkeys((*sorted(own), *sorted(alike)))
    yield from (root / place for place in known if _owner(root / place) is not None)
    base, first, last = _safe(name), settings.seeds[0], settings.seeds[-1]
    seeds = f"seed{first}" if first == last else f"seeds{first}-{last}"
    more = (f"{base} {settings.id} {seeds}{f' ({number})' if number > 1 else ''}" for number in range(1, 100))
    for text in (base, f"{base} {settings.id}", *more):
        if not os.path.lexists(root / text):
            yield root / text


def _configuration(run: str) -> str | None:
    """The configuration in the name of a run's folder: `relu-mlp-5a18816cd0`; None of another name."""
    found = _RUN.fullmatch(run)
    return found["configuration"] if found else None


def _safe(name: str) -> str:
    """The name without what a file name may not hold on some system, and neither hidden nor too long."""
    kept = "".join(char if char.isprintable() and char not in '/\\<>:"|?*' else "_" for char in name)
    return kept.encode()[:_LONGEST].decode(errors="ignore").strip(" .") or "run"


# ---------------------------------------------------------------- what is there


def _place_of(root: Path, run: str) -> Path | None:
    """The folder in `root` that holds the events of the run whose folder is called `run`."""
    index = place_index.read(root) or {}
    for name in sorted(place for place, runs in index.items() if run in runs):
        if _owner(root / name) is not None:
            return root / name
    return next((place for place in _places(root) if run in _owners(place)), None)


def _owners(place: Path) -> Iterator[str]:
    """The runs whose events a folder says it has: their mean, and their seeds."""
    yield from {*_marks(place).values()}


def _places(root: Path) -> list[Path]:
    try:
        return sorted(path for path in root.iterdir() if not path.name.startswith("."))
    except OSError:  # there is none, or it is a file
        return []


def _owner(place: Path) -> str | None:
    """The name of the folder of the run that a folder of events belongs to; None of what is not ours, or has links."""
    return _marks(place).get(_MEAN)


_MEAN = ""
Marks = dict[str, str]  # `seed=K`, or _MEAN -> the name of the folder of the run whose events these are


def _marks(place: Path) -> Marks:
    """What a folder of events says of itself and of the seeds that are in it; nothing of what is not ours."""
    lines = _lines(place)
    if not lines or "\t" in lines[0]:
        return {}
    told = {seed: run for line in lines[1:] for seed, tab, run in [line.partition("\t")] if tab}
    earlier = {path.name: _lines(path) for path in place.glob("seed=*") if path.name not in told}
    told |= {seed: of_seed[0] for seed, of_seed in earlier.items() if of_seed}
    there = {seed: run for seed, run in told.items() if (place / seed).is_dir()}
    return {name: run for name, run in {_MEAN: lines[0], **there}.items() if run and Path(run).name == run}


def _lines(place: Path) -> list[str]:
    """What its mark says; nothing where there is none, or where there are links."""
    if place.is_symlink() or any(path.is_symlink() for path in (place / OWNER, *place.glob("*"))):
        return []
    try:
        return read_text(place / OWNER, limit=MB).strip().splitlines()
    except (OSError, ValueError):
        return []


def _mark(place: Path, marks: Marks) -> None:
    seeds = [f"{seed}\t{run}\n" for seed, run in marks.items() if seed != _MEAN]
    write_text(place / OWNER, "".join([f"{marks[_MEAN]}\n", *seeds]))


# ---------------------------------------------------------------- what is removed


def _remove_what_is_gone(root: Path, index: place_index.Index) -> place_index.Index:
    """Removes the events of runs that were deleted from the study, or moved: they are a view of what is in it."""
    there = {*os.listdir(root.parent)}
    stale = [name for name, runs in index.items() if not runs <= there]
    for place in (root / name for name in stale):
        marks = _marks(place)
        owner = marks.get(_MEAN)
        if owner is None:
            continue
        for seed in place.glob("seed=*"):
            if _is_gone(root, marks.get(seed.name, owner)):
                _discard(seed)
        if _is_gone(root, owner) and len(_marks(place)) == 1 and not (index[place.name] & there):
            _discard(place)
    return place_index.renewed(root, _owners, {name: runs & there for name, runs in index.items()}) if stale else index


def _is_gone(root: Path, run: str) -> bool:
    return not os.path.lexists(root.parent / run)


def _discard(place: Path) -> None:
    """Removes a folder of events; one in which something else lies is kept."""
    files = [path for path in place.rglob("*") if path.is_symlink() or not path.is_dir()]
    if all("tfevents" in path.name or path.name == OWNER for path in files):
        shutil.rmtree(place, ignore_errors=True)


def _remove_events(place: Path, *, deep: bool = True) -> None:
    """Of an earlier process, whose epochs are written again; those of seeds, too, if it is `deep`."""
    if not place.is_symlink():
        remove_strays(place, alone=deep)
        for path in place.rglob("*tfevents*") if deep else place.glob("*tfevents*"):
            path.unlink(missing_ok=True)
