"""The runs that a study holds already, by their configurations."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from actbench.settings import Settings
from actbench.store import reader

_NAME = re.compile(r"(?P<configuration>.+)-seeds?\d+(-\d+)?")  # of a run's folder


@dataclass(frozen=True)
class Study:
    """The runs of a study that were begun, by the beginning of their folders' names. It is listed once."""

    path: Path

    @cached_property
    def _folders(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = defaultdict(list)
        for path in sorted(self.path.glob("*/settings.yaml")):
            if (match := _NAME.fullmatch(path.parent.name)) is not None:
                found[match["configuration"]].append(path.parent)
        return found

    def folders_of(self, settings: Settings) -> Sequence[Path]:
        """The folders whose names are those of a configuration, in alphabetical order."""
        return self._folders.get(f"{settings.label}-{settings.id}", ())

    def runs_of(self, settings: Settings) -> list[Settings]:
        """The runs of a configuration, those with the lowest seeds first.

        Raises:
            UserError: the settings of one cannot be read.
        """
        stored = [reader.settings_of(folder) for folder in self.folders_of(settings)]
        return sorted((s for s in stored if s.id == settings.id), key=lambda s: (s.seed, s.num_seeds))
