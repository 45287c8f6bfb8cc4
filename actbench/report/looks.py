"""The terms of the decision and the looks at the results, which a study keeps in its `decide.json`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from actbench.errors import Problem, UserError
from actbench.report.configurations import METRIC, Block
from actbench.report.more_command import study_of
from actbench.store import decide as stored
from actbench.store.decide import Decide, EarlierLook, TestSet

_MOST = 1000  # configurations in a look: `decide.json` stays small enough to be read
Seeds = dict[str, tuple[int, ...]]  # configuration id -> its seeds that have a result


@dataclass(frozen=True)
class Study:
    """A study of which runs are compared: its folder, what its `decide.json` says, and the seeds that are seen now."""

    folder: Path
    decide: Decide
    seeds: Seeds
    readable: bool = True


def studies(blocks: Iterable[Block], problems: list[Problem]) -> list[Study]:
    """The studies of the runs that count; a `decide.json` that cannot be read is added to `problems`."""
    seen: dict[Path, Seeds] = {}
    for block in blocks:
        for configuration in block.configurations:
            name, with_result = configuration.settings.id, {*configuration.values.get(METRIC, {})}
            for run in configuration.counting:
                seeds = seen.setdefault(study_of(run.folder), {})
                seeds[name] = tuple(sorted(with_result.intersection(run.settings.seeds).union(seeds.get(name, ()))))
    found = []
    for folder, seeds in seen.items():
        try:
            found.append(Study(folder, stored.read(folder), seeds))
        except UserError as error:
            problems += error.problems
            found.append(Study(folder, Decide(), seeds, readable=False))
    return found


def of_block(block: Block, found: Sequence[Study]) -> list[Study]:
    """The studies in which runs of a block are, with what is seen of the block alone."""
    ids = {configuration.settings.id for configuration in block.configurations}
    own = [replace(study, seeds={name: of for name, of in study.seeds.items() if name in ids}) for study in found]
    return [study for study in own if study.seeds]


def terms(found: Sequence[Study]) -> tuple[float | None, TestSet]:
    """The margin and the test set for which the studies were trained; None and `new` where they do not agree."""
    margins = {study.decide.margin for study in found if study.decide.margin is not None}
    sets = {study.decide.test_set for study in found}
    return (margins.pop() if len(margins) == 1 else None), (sets.pop() if len(sets) == 1 else "new")


def number(found: Sequence[Study]) -> int:
    """The number of this look at the studies of a block: that of the one which was looked at most often."""
    return max((stored.number_of_looks(study.decide, study.seeds) for study in found), default=1)


def earlier(found: Sequence[Study]) -> tuple[EarlierLook, ...]:
    """The looks before this one at the studies of a block, where that is one study."""
    return stored.earlier_looks(found[0].decide, found[0].seeds) if len(found) == 1 else ()


def record(found: Sequence[Study]) -> None:
    """Adds this look to each study of which two configurations or more are seen; where it can be written."""
    for study in found:
        seen = len([seeds for seeds in study.seeds.values() if seeds])
        if study.readable and 1 < seen <= _MOST and stored.with_look(study.decide, study.seeds) != study.decide:
            with contextlib.suppress(OSError, UserError), stored.changing(study.folder):  # which may only be read
                now = stored.read(study.folder)  # another process may have looked meanwhile
                if not any(dict(look) == _of_look(study.seeds) for look in now.looks[len(study.decide.looks) :]):
                    stored.write(study.folder, stored.with_look(now, study.seeds))


def _of_look(seeds: Seeds) -> Seeds:
    return {name: of for name, of in seeds.items() if of}
