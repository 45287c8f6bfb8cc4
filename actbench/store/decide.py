"""`decide.json` of a study: the terms of its decision, and how often its results were looked at before.

Each look at results after which more seeds were trained is a chance to be deceived by luck, so that later intervals
have to be wider (`report.sequential`). That is why looks are kept with the study.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from actbench.errors import UserError
from actbench.files.atomic import write_text
from actbench.files.reading import MB, read_json
from actbench.store.lock import alone
from actbench.store.plausible import check_stays, reason

FILE = "decide.json"
LOCK = ".decide.lock"
_WAIT = 60.0  # seconds for others, each of which reads the study in the meantime
LARGEST = 32 * MB  # that is read: a hundred looks at ten thousand configurations
TestSet = Literal["new", "fixed"]


@dataclass(frozen=True)
class Decide:
    """What a study shall decide.

    Attributes:
        margin: percentage points of test accuracy within which configurations are as good as each other; None where it
            was not said.
        test_set: `new`, for new seeds and new test images; `fixed`, for new seeds on these images.
        looks: of each look at the results so far, configuration id -> the seeds that had a result then.
    """

    margin: float | None = None
    test_set: TestSet = "new"
    looks: tuple[Mapping[str, tuple[int, ...]], ...] = ()


@dataclass(frozen=True)
class EarlierLook:
    """The number of a look, and configuration id -> the seeds that had a result then."""

    number: int
    seeds: Mapping[str, tuple[int, ...]]


def read(study: Path) -> Decide:
    """The terms of a study; the default where there is no `decide.json`.

    Raises:
        UserError: it cannot be read, or was not written by actbench.
    """
    path = study / FILE
    how = "remove it: the comparison is then made as if nobody had looked at the results before"
    try:
        check_stays(path)
        return _checked(read_json(path, LARGEST))
    except FileNotFoundError:
        return Decide()
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"cannot be read ({reason(error)})", where=str(path), how=how) from error


def write(study: Path, decide: Decide) -> None:
    write_text(study / FILE, json.dumps(asdict(decide), separators=(",", ":")) + "\n")


def changing(study: Path) -> AbstractContextManager[bool]:
    """Within the block no other process reads this study's `decide.json` in order to change it."""
    return alone(study / LOCK, _WAIT)


def with_look(decide: Decide, seeds: Mapping[str, Sequence[int]]) -> Decide:
    """With one more look, unless the last one saw the same."""
    look = {name: tuple(sorted(of)) for name, of in sorted(seeds.items()) if of}
    if decide.looks and dict(decide.looks[-1]) == look:
        return decide
    return Decide(decide.margin, decide.test_set, (*decide.looks, look))


def number_of_looks(decide: Decide, seeds: Mapping[str, Sequence[int]]) -> int:
    """The number of this look at `seeds` (configuration id -> its seeds): 1 + the earlier looks at fewer seeds.

    A configuration that was added since does not count: nobody has seen its results before.
    """
    earlier = {name: {look[name] for look in decide.looks if name in look} for name in seeds}
    return 1 + max((len(of - {tuple(sorted(seeds[name]))}) for name, of in earlier.items()), default=0)


def earlier_looks(decide: Decide, seeds: Mapping[str, Sequence[int]]) -> tuple[EarlierLook, ...]:
    """The looks before that at `seeds`, with the number that each had: what they showed still counts."""
    earlier = []
    for place, look in enumerate(decide.looks):
        then = {name: look[name] for name in seeds if name in look}
        if any(then[name] != tuple(sorted(seeds[name])) for name in then):
            before = replace(decide, looks=decide.looks[:place])
            earlier.append(EarlierLook(number_of_looks(before, then), then))
    return tuple(earlier)


def _checked(content: Any) -> Decide:
    margin, test_set, looks = content["margin"], content["test_set"], content["looks"]
    if margin is not None and not (isinstance(margin, (int, float)) and not isinstance(margin, bool) and margin > 0):
        raise ValueError("its margin is not a number above 0")
    if test_set not in get_args(TestSet):
        raise ValueError(f"its test_set is not one of {', '.join(get_args(TestSet))}")
    read_looks = []
    for look in looks:
        if not all(isinstance(seed, int) and not isinstance(seed, bool) for seeds in look.values() for seed in seeds):
            raise ValueError("its looks are not lists of seeds")
        read_looks.append({str(name): tuple(seeds) for name, seeds in look.items()})
    return Decide(None if margin is None else float(margin), test_set, tuple(read_looks))
