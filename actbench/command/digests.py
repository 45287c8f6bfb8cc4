"""Adds digests of the user's own code and data to the settings of a run, and reports changes since earlier runs."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from actbench.custom import source_files
from actbench.custom.trust import holds_own_data, is_own, is_trusted
from actbench.errors import UserError
from actbench.settings import GROUPS, Choice, Settings
from actbench.store import reader


def with_contents(settings: Settings) -> Settings:
    """The settings with the content of each choice that is the user's own and trusted; those of ours have none.

    Of a module it is a digest of its source and of the user's modules that it imports; of a dataset one of the data,
    which are loaded for it, once in a process.

    Raises:
        UserError: the data cannot be loaded, or are not as `Splits` says.
    """
    if settings.weights is not None:
        settings = replace(settings, weights_content=_of_file(Path(settings.weights)))
    own = {group: choice for group in GROUPS if _is_known(choice := getattr(settings, group), settings)}
    if not is_own(settings.dataset.target) and holds_own_data(settings.dataset.target):
        own["dataset"] = settings.dataset
    contents = {group: _content(group, choice, settings) for group, choice in own.items()}
    return replace(settings, **{group: replace(own[group], content=content) for group, content in contents.items()})


def _of_file(path: Path) -> str:
    """A digest of the weights to start from."""
    where, total = f"weights={path}", hashlib.sha256()
    try:
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                total.update(part)
    except OSError as error:
        how = "the path of a file, from where you type"
        raise UserError(error.strerror or str(error), where=where, how=how) from error
    return total.hexdigest()[:16]


def _is_known(choice: Choice, settings: Settings) -> bool:
    return is_own(choice.target) and is_trusted(str(choice.target), settings.trust)


def _content(group: str, choice: Choice, settings: Settings) -> str | None:
    if group != "dataset":
        return source_files.content(str(choice.target), settings.trust, os.getcwd()) or None
    from actbench.custom import loading
    from actbench.train import machine

    machine.prepare(settings.train.threads)  # before the first tensor, and before torch counts its threads
    return loading.content(choice, settings.trust)


# ---------------------------------------------------------------- what changed


class Changes:
    """What was in the user's files when complete runs of a study were trained; each run is read once."""

    def __init__(self, study: Path) -> None:
        self._study = study
        self._complete: dict[str, dict[str, list[tuple[Path, Settings]]]] = {}  # by seeds, and by id without content

    def since(self, settings: Settings) -> list[str]:
        """A sentence for each complete run that is this one but for what was in the user's files then."""
        if all(getattr(settings, group).content is None for group in GROUPS):
            return []
        seeds = settings.folder.rpartition("-")[2]
        if seeds not in self._complete:
            self._complete[seeds] = self._read(seeds)
        sentences = []
        for folder, earlier in self._complete[seeds].get(settings.without_content().id, ()):
            if earlier.id != settings.id:
                what = "; ".join(_changed(settings, earlier, folder.name))
                sentences.append(f"{what}: training again, in {settings.folder}")
        return sentences

    def _read(self, seeds: str) -> dict[str, list[tuple[Path, Settings]]]:
        found: dict[str, list[tuple[Path, Settings]]] = {}
        for path in sorted(self._study.glob(f"*-{seeds}/settings.yaml")):
            with contextlib.suppress(UserError):  # reported where it is asked for
                if reader.completed(path.parent) is not None:
                    earlier = reader.settings_of(path.parent)
                    found.setdefault(earlier.without_content().id, []).append((path.parent, earlier))
        return found


def _changed(settings: Settings, earlier: Settings, folder: str) -> Iterator[str]:
    for group in GROUPS:
        now, then = getattr(settings, group), getattr(earlier, group)
        if now.content == then.content:
            continue
        if then.content is None or now.content is None:
            yield f"{folder} does not say what was in {group}={now.name} when it was trained"
        elif group == "dataset":
            yield f"the data of dataset={now.name} changed since {folder} was trained"
        else:
            files = ", ".join(source_files.changed(then.content, now.content))
            yield f"{files} ({group}={now.name}) changed since {folder} was trained"
