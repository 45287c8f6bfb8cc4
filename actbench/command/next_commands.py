"""Commands for the user to run next: one that resumes a run, or the typed one with some overrides replaced."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from yaml import YAMLError

from actbench.command import quoting
from actbench.command.override import key_of
from actbench.files.reading import read_yaml
from actbench.settings import GROUPS


def whole(typed: Sequence[str], overrides: Sequence[str]) -> str:
    """The typed command with some overrides replaced, quoted for a shell.

    >>> whole(["activation=topk", "activation.k=3", "study=a b"], ["activation=prelu"])
    "actbench 'study=a b' activation=prelu"
    """
    return quoting.command(replaced(typed, overrides))


def replaced(typed: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """The words with some overrides in the place of those with the same keys.

    Where a choice is replaced, the parameters that were typed for it are removed.
    """
    new = {key_of(override) for override in overrides}
    chosen = new & {*GROUPS, "experiment"}
    kept = [
        word
        for word in typed
        if "=" not in word or (key_of(word) not in new and key_of(word).partition(".")[0] not in chosen)
    ]
    return [*kept, *overrides]


def swept(task: Sequence[str], study: str | Path) -> list[str]:
    """Those of a job's overrides that the sweep varies, which are not in its command line as such."""
    command = _of_sweep(study)
    return [*task] if command is None else [override for override in task if override not in command["task"]]


def how_to_go_on(typed: Sequence[str], study: str) -> str:
    """The command that resumes an interrupted run: what was typed, and the name of the study if none was typed."""
    words = list(typed)
    if words[:1] not in (["more"], ["try"]):  # which find everything in the folders that they name
        words = in_study(words, study)
    return f"to go on:  {quoting.command(words)}"


def in_study(typed: Sequence[str], study: str) -> list[str]:
    """What was typed, with the name of the study if none was typed."""
    named = any(key_of(word) == "study" for word in typed)
    return [*typed, *([] if named else [quoting.typed("study", study)])]


def _of_sweep(study: str | Path) -> dict[str, list[str]] | None:
    """A sweep's own overrides, from the file that Hydra leaves for it; None where there is none."""
    try:
        path = Path(study).absolute() / "multirun.yaml"
        return _read(path, path.stat().st_mtime_ns)
    except (OSError, ValueError, KeyError, TypeError, YAMLError):
        return None


@lru_cache(maxsize=8)  # all jobs of a sweep ask for it
def _read(path: Path, _modified: int) -> dict[str, list[str]]:
    overrides = read_yaml(path)["hydra"]["overrides"]
    return {kind: [str(word) for word in overrides[kind]] for kind in ("hydra", "task")}
