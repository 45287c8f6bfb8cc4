"""Finds sweeps that would have no runs, or several jobs that would be the same run, before anything starts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

from actbench.command.override import TypedOverride, key_of, read
from actbench.command.quoting import as_typed, command, split, typed
from actbench.command.suggestions import Mistake, brief, enumerated
from actbench.errors import Problem

_HOW = "changes how a run is computed, not what it computes"
_SEEN = "changes what is looked at, not what is trained"
_OF_ALL = "says when the whole race ends"

# Keys that do not change the run's folder (all that are not part of its identity, except for seed and num_seeds, which
# are in its name) -> why all jobs of a sweep over them would be one run.
NOT_COMPARED: dict[str, str] = {
    "train.device": _HOW,
    "train.threads": _HOW,
    "train.eval_batch_size": _HOW,
    "train.execution": _HOW,
    "train.memory_format": _HOW,
    "train.engine": _HOW,
    "probe": _SEEN,
    "probe_every": _SEEN,
    "tensorboard": _SEEN,
    "tensorboard_every": _SEEN,
    "tensorboard_detail": _SEEN,
    "checkpoints": "says what is kept of a run",
    **dict.fromkeys(("decide.margin", "decide.max_seeds", "decide.max_minutes", "decide.test_set"), _OF_ALL),
    "quantise": "is scored beside the plain result: quantise=int8 has both",
    "study": "is the folder of a whole sweep",
    "output_dir": "is the folder of a whole sweep",
    "workers": "is for the whole command",
    "trust": "names all packages for all runs: trust=[a,b]",
}


def needless(override: TypedOverride, values: Sequence[str], overrides: Sequence[str]) -> Iterator[Problem]:
    """What is wrong with the values of a swept key, whatever else is swept.

    Args:
        values: those that it stands for.
        overrides: all that was typed.
    """
    key, where = override.key, brief(override.text)
    if key in NOT_COMPARED:
        if key in ("quantise", "trust"):
            word = "quantise=int8" if key == "quantise" else f"trust=[{','.join(values)}]"
            yield Mistake(f"cannot be swept: it {NOT_COMPARED[key]}", where, word, key=key, words=(word,))
        elif key in ("study", "output_dir"):
            text = as_typed(override.text).partition("=")[2]
            whole = command(["-m", *_others(overrides, key), typed(key, text, multirun=True)])
            how = f"one command for each; or, if this is one name:\n    {whole}"
            yield Problem(f"cannot be swept: it {NOT_COMPARED[key]}", where, how)
        else:
            what = f"cannot be swept: it {NOT_COMPARED[key]}, so that all would be one run"
            yield Problem(what, where, _one_by_one(key, _as_written(values, override.value), overrides))
        return
    twice = [value for value in dict.fromkeys(values) if values.count(value) > 1]
    if twice:
        once = f"{key}={','.join(dict.fromkeys(values))}"
        what = f"has {enumerated(twice)} more than once"
        yield Mistake(what, where, f"did you mean {once}?", key=key, words=(once,))


def _as_written(values: Sequence[str], text: str) -> Sequence[str]:
    """The values as they were typed, which Hydra writes otherwise: `True`."""
    written = [value.strip() for value in split(text)]
    return written if len(written) == len(values) else values


def _others(overrides: Sequence[str], *keys: str) -> list[str]:
    return [as_typed(override) for override in overrides if key_of(override) not in keys]


def _one_by_one(key: str, values: Sequence[str], overrides: Sequence[str]) -> str:
    """A command for each value, with a study of its own."""
    rest = _others(overrides, key, "study")
    swept = any(read(override).is_sweep for override in rest)
    many = ["-m"] if swept or any(key_of(o) == "sweep" for o in rest) else []
    name = key.rpartition(".")[2]
    lines = [
        command([*many, *rest, f"{key}={value}", f"study={name}_{value.replace(':', '')}"]) for value in values[:3]
    ]
    return "one command and one study for each:\n    " + "\n    ".join(lines)


def shared(jobs: Sequence[tuple[Sequence[str], Path]]) -> list[Problem]:
    """Problems with jobs that would be the same run, since their settings are equal: `optimizer.lr=0.1,1e-1`.

    Args:
        jobs: the overrides and the folder of each.
    """
    by_folder: dict[Path, list[Sequence[str]]] = {}
    for overrides, folder in jobs:
        by_folder.setdefault(folder, []).append(overrides)
    equal: dict[str, list[str]] = {}  # key -> values that give the same run
    problems = []
    for same in by_folder.values():
        explained = len(same) == 1
        for first, second in combinations(same[:20], 2):
            differing = {key_of(o) for o in {*first} ^ {*second}}
            if len(differing) == 1:
                (key,) = differing
                explained = True
                values = equal.setdefault(key, [])
                texts = [o.partition("=")[2] for o in (*first, *second) if key_of(o) == key]
                values += [value for value in dict.fromkeys(texts) if value not in values]
        if not explained:
            own = [" ".join(o for o in overrides if o not in {*same[0]} & {*same[1]}) for overrides in same[:2]]
            problems.append(Problem("are one run", " and ".join(filter(None, own)), "leave out what changes nothing"))
    return [*(_equal_values(key, values) for key, values in equal.items()), *problems]


def _equal_values(key: str, values: Sequence[str]) -> Problem:
    where = f"{key}={','.join(values)}"
    if key == "split":
        return Problem(
            "has no effect without upper_activation, so that all are one run", where, "upper_activation=gelu, say"
        )
    return Mistake(
        f"{enumerated(values)} are one run",
        where,
        f"leave out {enumerated(values[1:])}",
        key=key,
        values=tuple((v, "") for v in values[1:]),
    )


def empty(override: TypedOverride) -> Problem:
    """The problem of a swept key without values."""
    key, value = override.key, override.value
    how = "values are written out: a,b,c"
    if value.startswith("glob") and "." in key:
        how = f"glob(...) is for choices, activation=glob(*elu); values are written out: {key}=a,b"
    elif value.startswith("glob"):
        how = f"actbench list {key} shows what there is"
    elif value.startswith("range"):
        how = "range(START,STOP) ends before STOP: range(1,5) is 1,2,3,4"
    return Problem("has no values, so nothing would run", brief(override.text), how)
