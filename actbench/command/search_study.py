"""The trials of a search, shared by any number of processes: each trial is run by one of them, and none is lost.

Optuna's storage holds the trials. A process takes trials under a lock on the study's folder, so that the number of
trials counts over all processes, and puts its own name on each. While it lives it holds a lock on a file of this name:
the trials of a process that is gone are taken over, and their runs go on from their last epoch.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from actbench.command import search_storage
from actbench.command.search_space import without_warnings
from actbench.errors import Problem, UserError
from actbench.files.atomic import write_text
from actbench.files.reading import read_text

FOLDER = ".search"  # in the study's: the locks
_PROCESS, _ENDED, _RUN, _SAME_AS = "process", "ended", "folder", "same as trial"  # of a trial, in the storage
_TERMS, _ID, _RUNS = "actbench", "folder", "runs in"  # of Optuna's study


@dataclass(frozen=True)
class Trial:
    """A trial: its number, what was tried, how it ended, and its mean validation accuracy (%).

    `ended` is "completed", "pruned", "diverged" or "failed"; empty while it runs.
    """

    number: int
    params: Mapping[str, Any]
    ended: str = ""
    value: float | None = None
    folder: str = ""  # of its run

    @property
    def overrides(self) -> tuple[str, ...]:
        return tuple(f"{key}={value}" for key, value in self.params.items())


@dataclass(frozen=True)
class Terms:
    """What is searched, key -> distribution, and the overrides that are fixed.

    Whenever the search goes on, the space and `binding` have to be the same: the overrides that may change results.
    """

    space: Mapping[str, str]
    fixed: Sequence[str]
    binding: Sequence[str]

    def stored(self) -> dict[str, Any]:
        return {"space": dict(self.space), "fixed": sorted(self.binding)}


@dataclass
class Trials:
    """The trials of one search, as one process sees them.

    Args:
        url: of the storage; None for one in memory.
        name: of Optuna's study.
        folder: of the study, where the runs are.
        terms: of the search.
        most: how many trials there shall be, over all processes.
        sampler: number of a trial -> the sampler for it.
        pruner: of Optuna's.
    """

    url: str | None
    name: str
    folder: Path
    terms: Terms
    most: int
    sampler: Callable[[int], Any]
    pruner: Any = None
    _me: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __enter__(self) -> Trials:
        """Opens the study, and makes it where it is not there.

        Raises:
            UserError: it is there and searches something else.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        (self.folder / FOLDER).mkdir(parents=True, exist_ok=True)
        self._own = FileLock(self._lock_of(self._me))
        try:
            with self._alone():
                for path in (self.folder / FOLDER).glob("*.lock"):
                    self._lives(path.stem)  # what a killed process has left is removed
                self._own.acquire()
                self._open()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _open(self) -> None:
        import optuna

        storage = search_storage.opened(self.url)
        with without_warnings():
            self.study = optuna.create_study(
                storage=storage, study_name=self.name, direction="maximize", load_if_exists=True,
                sampler=self.sampler(0), pruner=self.pruner or optuna.pruners.NopPruner(),
            )  # fmt: skip
        if problem := differing(self.study.user_attrs, self.terms, self.name, self.folder):
            raise UserError.of([problem])
        if _TERMS not in self.study.user_attrs:
            if _id_of(self.folder) is None:  # other searches may have their runs here, too
                write_text(self.folder / FOLDER / "id", self._me)
            self.study.set_user_attr(_RUNS, str(self.folder.absolute()))
            self.study.set_user_attr(_ID, _id_of(self.folder))
            self.study.set_user_attr(_TERMS, self.terms.stored())  # last, as the sign that the others are there

    def __exit__(self, *_error: object) -> None:
        self._own.release()
        self._lock_of(self._me).unlink(missing_ok=True)

    def _lock_of(self, process: str) -> Path:
        return self.folder / FOLDER / f"{process}.lock"

    def _alone(self) -> contextlib.AbstractContextManager[Any]:
        return FileLock(self.folder / FOLDER / "lock")

    # ------------------------------------------------------------ what this process runs

    def take(self, number: int) -> list[Trial]:
        """Up to `number` trials to run: those of processes that are gone, then new ones.

        A new trial with the values of an earlier one is not run: it ends as that one did.
        """
        taken: list[Trial] = []
        with self._alone(), without_warnings():
            for frozen in self._running():
                owner = frozen.user_attrs.get(_PROCESS, "")
                if len(taken) < number and (owner == self._me or not self._lives(owner)):
                    self.storage.set_trial_user_attr(frozen._trial_id, _PROCESS, self._me)
                    if not self._as_its_twin(frozen):
                        taken.append(Trial(frozen.number, dict(frozen.params)))
            while len(taken) < number and (count := len(self._all())) < self.most:
                self.study.sampler = self.sampler(count)
                asked = self.study.ask(fixed_distributions=self._space())
                asked.set_user_attr(_PROCESS, self._me)
                frozen = self._all()[asked.number]
                if not self._as_its_twin(frozen):
                    taken.append(Trial(frozen.number, dict(frozen.params)))
        return taken

    def tell(self, trial: Trial) -> None:
        """Reports how a trial ended, unless somebody else has ended it. One that diverged is told as failed."""
        from optuna.trial import TrialState

        state = {"completed": TrialState.COMPLETE, "pruned": TrialState.PRUNED}.get(trial.ended, TrialState.FAIL)
        frozen = self._all()[trial.number]
        if frozen.state.is_finished():
            return
        self.storage.set_trial_user_attr(frozen._trial_id, _ENDED, trial.ended)
        self.storage.set_trial_user_attr(frozen._trial_id, _RUN, trial.folder)
        try:
            with without_warnings():
                values = [trial.value] if trial.ended == "completed" and trial.value is not None else None
                self.study.tell(trial.number, values, state)
        except RuntimeError as error:
            if "Study.stop" not in str(error):  # with which the grid says that it is through
                raise

    def wait(self) -> bool:
        """Waits a moment for trials that other processes run; returns whether there are any that have not ended."""
        left = any(True for _ in self._running())
        if left:
            time.sleep(0.5)
        return left

    def _as_its_twin(self, frozen: Any) -> bool:
        """Whether an earlier trial has the same values: then this one is not run, and ends as soon as that one has."""
        for other in self._all()[: frozen.number]:
            if other.params != frozen.params or (other.state.is_finished() and _ended(other) == "failed"):
                continue  # what failed is tried once more
            if other.state.is_finished():
                self.storage.set_trial_user_attr(frozen._trial_id, _SAME_AS, other.number)
                self.tell(replace(_as_trial(other), number=frozen.number))
            return True
        return False

    def _lives(self, process: str) -> bool:
        """Whether the process holds the lock of its name; without one it was stopped before it had a name."""
        path = self._lock_of(process)
        if not process or not path.exists():
            return False
        lock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            return True
        lock.release()
        path.unlink(missing_ok=True)
        return False

    # ------------------------------------------------------------ what is stored

    @property
    def storage(self) -> Any:
        return self.study._storage  # the only way to write to a trial by its number

    def _all(self) -> list[Any]:
        found: list[Any] = self.study.get_trials(deepcopy=False)
        return found

    def _running(self) -> Iterator[Any]:
        return (trial for trial in self._all() if not trial.state.is_finished())

    def _space(self) -> dict[str, Any]:
        from optuna.distributions import json_to_distribution

        return {key: json_to_distribution(text) for key, text in self.terms.space.items()}

    def ended(self) -> list[Trial]:
        """All trials that have ended, of all processes."""
        return [_as_trial(one) for one in self._all() if one.state.is_finished()]


def _as_trial(frozen: Any) -> Trial:
    value = frozen.value if frozen.state.name in ("COMPLETE", "PRUNED") else None
    return Trial(frozen.number, dict(frozen.params), _ended(frozen), value, str(frozen.user_attrs.get(_RUN, "")))


def _ended(frozen: Any) -> str:
    """How a trial ended; one that something else has ended (the dashboard, say) counts as failed."""
    known = str(frozen.user_attrs.get(_ENDED, ""))
    by_state = {"COMPLETE": "completed", "PRUNED": "pruned"}.get(frozen.state.name, "failed")
    return known if known == "diverged" and by_state == "failed" else by_state


# ---------------------------------------------------------------- a study that is there already


def differing(attributes: Mapping[str, Any], terms: Terms, name: str, folder: Path) -> Problem | None:
    """Why a search cannot go on in a study of Optuna's with these attributes; None where it can."""
    if attributes.keys() <= {_RUNS, _ID}:  # it is new: whoever began it was killed before it had terms
        return None
    where = f"hydra.sweeper.study_name={name}"
    other = "another name begins another search: hydra.sweeper.study_name=NAME"
    stored = attributes.get(_TERMS)
    if not isinstance(stored, Mapping):
        return Problem("was not begun by actbench", where, other)
    said = []
    for key in sorted({*stored["space"], *terms.space}):
        then, now = stored["space"].get(key), terms.space.get(key)
        if then != now:
            said.append(f"{key} was {_shown(then)}, and is {_shown(now)}")
    gone, new = {*stored["fixed"]} - {*terms.binding}, {*terms.binding} - {*stored["fixed"]}
    said += [f"with {' '.join(sorted(gone))}"] * bool(gone) + [f"without {' '.join(sorted(new))}"] * bool(new)
    if said:
        return Problem(f"the search of this name was begun otherwise: {'; '.join(said)}", where, other)
    runs = str(attributes.get(_RUNS, ""))
    if attributes.get(_ID) != _id_of(folder):
        what = f"the search of this name has its runs in {runs}, and these would be in {folder}"
        return Problem(what, where, f"all processes of a search share one folder of runs; {other}")
    return None


def _id_of(folder: Path) -> str | None:
    """Two hosts may have the folder under different paths: it has a name of its own."""
    try:
        return read_text(folder / FOLDER / "id")
    except (OSError, ValueError):
        return None


def _shown(distribution: str | None) -> str:
    """A distribution in the way in which it is typed.

    >>> _shown('{"attributes": {"choices": [1, "a"]}, "name": "CategoricalDistribution"}')
    '1,a'
    """
    import json

    if distribution is None:
        return "not searched"
    content = json.loads(distribution)["attributes"]
    if "choices" in content:
        return ",".join(map(str, content["choices"]))
    inner = f"interval({content['low']:g},{content['high']:g})"
    return f"tag(log,{inner})" if content.get("log") else inner
