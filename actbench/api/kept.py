"""The folder `own` of a study: what came as Python objects, as files that a command can name.

`own/net_1a2b3c4d.py` has the source of a network, `own/conf/model/Net.yaml` names it, and `own/data_5e6f7a8b.npz` holds
arrays. Digests of their content are in the names, so that an edited network is another one beside it.
"""

from __future__ import annotations

import hashlib
import importlib
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from actbench.api.source import Source
from actbench.errors import Problem
from actbench.files.atomic import replacing, write_bytes
from actbench.files.places import KEPT


class Kept:
    """The folder of one study; what this object has written can be taken back.

    Args:
        study: the folder of the study, which need not exist yet.
    """

    def __init__(self, study: Path) -> None:
        self.study, self.folder = study, study / KEPT
        self._there = next(folder for folder in (study, *study.absolute().parents) if folder.is_dir())
        self._modules: list[str] = []
        self._arrays: Path | None = None
        self._before: dict[Path, bytes | None] = {}  # what there was of each file that was written

    def module(self, name: str, source: Source) -> str:
        """Keeps a module; returns its name, which has a digest of the text in it."""
        content = source.text.encode()
        module = f"{name.lower()}_{hashlib.sha256(content).hexdigest()[:8]}"
        self._write(self.folder / f"{module}.py", content)
        importlib.invalidate_caches()
        self._modules.append(module)
        return module

    def choice(self, group: str, name: str, text: str) -> None:
        """Keeps the YAML file of a choice."""
        self._write(self.folder / "conf" / group / f"{name}.yaml", text.encode())

    def arrays(self, arrays: Mapping[str, Any]) -> str:
        """Keeps NumPy arrays; returns the name of the archive, which has a digest of the content in it."""
        import numpy as np

        total = hashlib.sha256()
        for name, array in sorted(arrays.items()):
            total.update(f"{name} {array.dtype.str} {array.shape}".encode())
            total.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
        path = self.folder / f"data_{total.hexdigest()[:8]}.npz"
        self._arrays = path.absolute()
        if not path.exists():
            self._make(path.parent)
            with replacing(path) as part, part.open("wb") as file:
                np.savez(file, **dict(arrays))
            self._before[path] = None
        return path.name

    def as_given(self, problem: Problem) -> Problem:
        """A problem with arrays, which names the file in which they are kept, as one with `data`."""
        return replace(problem, where=problem.where.replace(str(self._arrays), "data")) if self._arrays else problem

    def forget(self) -> None:
        """Lets the modules be imported anew: another study of this process keeps files of its own."""
        for name in self._modules:
            sys.modules.pop(name, None)

    def take_back(self) -> None:
        """Removes what was written, and the folders that were made for it: nothing has been trained."""
        for path, content in self._before.items():
            if content is None:
                path.unlink(missing_ok=True)
            else:
                write_bytes(path, content)
        for folder in _upwards(self.folder / "conf", self._there):
            if folder.is_dir() and not any(path for path in folder.rglob("*") if not path.is_dir()):
                shutil.rmtree(folder)

    def _write(self, path: Path, content: bytes) -> None:
        before = path.read_bytes() if path.exists() else None
        if before == content:
            return
        self._before.setdefault(path, before)
        self._make(path.parent)
        write_bytes(path, content)

    def _make(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)


def _upwards(folder: Path, end: Path) -> Iterable[Path]:
    """The folder and those above it, up to one that was there."""
    for one in (folder.absolute(), *folder.absolute().parents):
        if one == end.absolute():
            return
        yield one
