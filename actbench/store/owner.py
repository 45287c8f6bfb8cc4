"""Checks that a folder belongs to a run before anything is written into it, and that no link leads out of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from actbench.errors import UserError
from actbench.files.atomic import remove_strays
from actbench.files.reading import leaves
from actbench.settings import Settings
from actbench.store.settings_file import settings_of
from actbench.store.summary import status

LOCK = ".lock"  # of a run that is running or incomplete
ATTEMPTS = ".attempts"  # of such a run, too (`store.attempts`)
TRACEBACK = "traceback.txt"  # of a run that failed
RESUME = "resume.pt"  # of an incomplete run


def links_out(folder: Path) -> Iterator[Path]:
    """The links by which something that is written into a run's folder would be written elsewhere.

    The study's folder may be a stranger's too; that of all studies is the user's to put where they like.
    """
    for place in (folder.parent, folder):
        if place.is_symlink():
            yield place
            return
    for at, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(at, name)
            if path.is_symlink() and leaves(path, folder):
                yield path


def check_owner(folder: Path, settings: Settings) -> None:
    """Nothing is written into a folder that holds something else.

    Raises:
        UserError: the folder belongs to another configuration or other seeds, or is a file.
    """
    path = folder / "settings.yaml"
    for link in links_out(folder):
        raise UserError(
            "is a link that leads out of the run's folder: nothing is written through it",
            where=str(link),
            how="remove it, or another study=NAME or output_dir",
        )
    if folder.exists() and not folder.is_dir():
        raise UserError("is a file", where=str(folder), how="another study=NAME or output_dir")
    if not path.exists():
        foreign = sorted(p.name for p in folder.glob("*") if not p.name.startswith(".")) if folder.exists() else []
        if foreign:
            raise UserError(
                f"holds {foreign[0]} and no settings.yaml: it is not a run's folder",
                where=str(folder),
                how="another study=NAME or output_dir",
            )
        return
    owner = settings_of(folder)
    theirs = (owner.id, owner.dataset.name, owner.seed, owner.num_seeds)
    ours = (settings.id, settings.dataset.name, settings.seed, settings.num_seeds)
    if theirs != ours:
        raise UserError(
            f"holds another run: {_described(owner.activation.name, *theirs)}; "
            f"this one is {_described(settings.activation.name, *ours)}",
            where=str(folder),
            how="another study=NAME or output_dir",
        )


def _described(activation: str, run_id: str, dataset: str, seed: int, num_seeds: int) -> str:
    return f"{activation} on {dataset}, id {run_id}, {num_seeds} seeds from {seed}"


def tidy(folder: Path, *, alone: bool = False) -> None:
    """Removes what a killed process left half-written, and what a complete run has no use for.

    With `alone`, the caller holds the folder: nobody else is writing there.
    """
    remove_strays(folder, alone=alone)
    if status(folder) in ("completed", "diverged"):
        for name in (RESUME, TRACEBACK, *(() if alone else (LOCK, ATTEMPTS))):
            (folder / name).unlink(missing_ok=True)
