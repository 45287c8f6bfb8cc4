"""`actbench.compare`, `actbench.run` and `actbench.load`: the command, called from Python."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actbench.api import asking, comparisons, runs
from actbench.api.comparisons import Comparison
from actbench.api.runs import Run
from actbench.errors import Problem, UserError, a_type_of
from actbench.files import places
from actbench.report import run_folders

if TYPE_CHECKING:
    from actbench.api.words import Words
    from actbench.command.embedded import Called
    from actbench.sinks.sweep import Sweep

_OUTPUTS = Path("outputs")


def compare(
    *overrides: str,
    model: Any = None,
    data: Any = None,
    activations: Sequence[Any] | None = None,
    seeds: int = 5,
    margin: float | None = None,
    progress: bool = True,
    **keys: Any,
) -> Comparison:
    """Trains every activation with several seeds and says which one to use: `actbench -m activation=... `, from Python.

    What is complete in a study is not trained again, so that an interrupted call goes on when it is called again with
    the same `study="NAME"`. Nothing of the caller's program is changed: neither random generators, logging, threads,
    flags of torch, signal handlers, nor the state of Hydra.

    >>> import actbench
    >>> found = actbench.compare(data="digits", activations=["relu", "tanh"], seeds=2, study="doctest_compare",
    ...                          train__epochs=1, model__width=8, tensorboard=False, progress=False)
    >>> found.table[["n", "parameters"]]
                   n  parameters
    configuration ...
    >>> found.verdict.margin, {decision.n for decision in found.verdict.decisions}
    (0.1, {2})

    Args:
        overrides: words of the command, such as `"experiment=article_mlp"` or `"optimizer.lr=1e-3,3e-3"` (a sweep).
        model: a name (`"mlp"`, `"mynet:Net"`), a class of `torch.nn.Module`, or a function that returns a new network.
            The source of one that is defined in a notebook is kept in the study's folder `own`, with all that it uses,
            and it is trained from there.
        data: a name (`"mnist"`, or `"digits"`, which are scaled to the 28×28 of MNIST), a folder of images, a `.csv` or
            `.npz` file, arrays `(x, y)` or `((x_train, y_train), (x_test, y_test))` of NumPy or torch, a
            `torch.utils.data.Dataset`, or two of them. Arrays are kept in the study's folder, once.
        activations: names, classes of `torch.nn.Module`, functions of a tensor. `"own"`: those that a network of one's
            own has. They may be left out where `overrides` choose them.
        seeds: how many, from `seed` (0) on.
        margin: percentage points of test accuracy within which activations are as good as each other; by default 0.1,
            or that with which a race in the study began.
        progress: whether it is shown how far the training is.
        keys: any other key of the command, `__` for a dot: `train__epochs=3`, or `**{"train.epochs": 3}`. A string is
            what would be typed, so that `optimizer__lr="1e-3,3e-3"` compares at both.

    Raises:
        UserError: with all that is wrong with the arguments (nothing was trained then); or no run has ended well.
        KeyboardInterrupt: it was interrupted, after the running step. What is done is on disk.
    """
    problems: list[Problem] = _margin(margin)
    call = _Call(overrides, keys, progress)
    if seeds != 5 or call.words.value("num_seeds") is None:
        call.words.add("num_seeds", _number(seeds, problems))
    called = call.trained(["-m"], lambda words, kept: _objects(words, kept, model, data, activations), problems)
    failed = [problem for error in called.errors for problem in error.problems]
    try:
        ids = [job.settings.id for job in called.jobs]
        found = comparisons.of_study(call.study, margin=margin, about=ids, failed=failed, write=True)
    except UserError as error:
        if failed:
            raise UserError.of(failed) from error
        raise
    if not any(decision.id in ids for decision in found.verdict.decisions):
        raise UserError.of(failed or found.unfinished)
    return found


def run(*overrides: str, model: Any = None, data: Any = None, progress: bool = True, **keys: Any) -> Run:
    """Trains one configuration with its seeds and returns its results: `actbench activation=gelu`, from Python.

    >>> import actbench
    >>> run = actbench.run("activation=gelu", data="digits", num_seeds=2, train__epochs=1, model__width=8,
    ...                    study="doctest_run", tensorboard=False, progress=False)
    >>> run.status, run.seeds, list(run.history["epoch"])
    ('completed', [0, 1], [1, 1])

    Args:
        overrides: words of the command, such as `"activation=gelu"`.
        model: as in `compare`.
        data: as in `compare`.
        progress: whether it is shown how far the training is.
        keys: other keys of the command, as in `compare`; `activation` may be a class or a function, too.

    Raises:
        UserError: with everything that is wrong with the arguments (nothing was trained then); or the run failed.
        KeyboardInterrupt: it was interrupted, after the running step. What is done is on disk.
    """
    activation = keys.pop("activation", None)
    call = _Call(overrides, keys, progress)
    several = None if activation is None else [activation]
    problems = call.words.take_several("actbench.compare trains several, and compares them")
    called = call.trained([], lambda words, kept: _objects(words, kept, model, data, several, needed=False), problems)
    if called.errors:
        raise UserError.of(problem for error in called.errors for problem in error.problems)
    return runs.of_folders(called.folders)


def load(path: str | Path, *, margin: float | None = None) -> Run | Comparison:
    """The results in a folder: a `Run` of a run's folder, a `Comparison` of a study's. Nothing is trained or written.

    >>> import actbench
    >>> run = actbench.run("activation=gelu", data="digits", num_seeds=2, train__epochs=1, model__width=8,
    ...                    study="doctest_run", tensorboard=False, progress=False)
    >>> type(actbench.load(run.folder)).__name__, type(actbench.load("doctest_run")).__name__
    ('Run', 'Comparison')

    Args:
        path: a folder, or the name of a study in `outputs`.
        margin: as in `compare`; for a study.

    Raises:
        UserError: there is no such folder, no run with results in it, or it cannot be read.
    """
    from actbench.api.words import expanded

    problems = _margin(margin)
    if not isinstance(path, (str, Path)) or not str(path).strip():
        what = "is empty" if isinstance(path, str) else f"is {a_type_of(path)}"
        problems.append(Problem(what, "actbench.load(path)", "a folder, or the name of a study"))
    if problems:
        raise UserError.of(problems)
    folder = _found(expanded(path))
    if (folder / "settings.yaml").exists():
        return runs.of_folders([folder])
    return comparisons.of_study(folder, margin=margin)


def _found(folder: Path) -> Path:
    """The folder, or the study of this name where there is none, or one of something else: code, or data."""
    study = _OUTPUTS / folder
    if not study.is_dir():
        return folder
    try:
        run_folders.below([folder], [])
    except UserError:
        return study
    return folder


# ---------------------------------------------------------------- what they share


class _Call:
    """A call: its words, and the study that it trains in."""

    def __init__(self, overrides: Sequence[str], keys: dict[str, Any], progress: bool) -> None:
        from actbench.api.words import Words, expanded
        from actbench.command import composing

        self.words = Words(overrides, keys)
        self.progress = progress
        name = self.words.value("study")
        if name is None:
            name = composing.stamp()
            self.words.add("study", name)
        self.study = expanded(self.words.value("output_dir") or _OUTPUTS) / name

    def trained(
        self, flags: Sequence[str], add: Callable[[Words, Any], None], problems: Sequence[Problem]
    ) -> Called:  # fmt: skip
        """Keeps the objects and trains; what was kept is taken back where the call is wrong."""
        from actbench.api.kept import Kept
        from actbench.command import complaints, embedded

        kept = Kept(self.study)
        in_python = complaints.worded(asking.problem_in_python)
        with asking.errors_in_python(), embedded.ALONE, in_python, places.also(kept.folder):
            try:
                add(self.words, kept)
                wrong = [*self.words.problems, *problems]
                called = embedded.call([*flags, *self.words.all], _display(self.progress), self._tell, problems=wrong)
            except BaseException as error:  # also an interruption before the first run
                if not [*self.study.glob("*/settings.yaml")]:
                    kept.take_back()
                if isinstance(error, OSError):
                    raise complaints.of_the_disk(error, str(self.study), then="then call it again") from error
                if isinstance(error, UserError):
                    error.problems = tuple(map(kept.as_given, error.problems))
                raise
            finally:
                kept.forget()
        for failed in called.errors:
            failed.problems = tuple(map(asking.problem_in_python, failed.problems))
        if called.stopped_by:
            how = f"interrupted; what is done is in {self.study}: the same call with study={self.study.name!r} goes on"
            embedded.deliver(called.stopped_by, how)
        return called

    def _tell(self, remark: str) -> None:
        if self.progress:
            print(asking.in_python(remark), file=sys.stderr)


def _objects(
    words: Words, kept: Any, model: Any, data: Any, activations: Any, *, needed: bool = True
) -> None:  # fmt: skip
    if model is not None:
        words.model(model, kept)
    if data is not None:
        words.data(data, kept)
    chosen = any(word.lstrip("+").startswith(("activation=", "sweep=")) for word in words.words)
    if activations is not None or (needed and not chosen):
        words.activations([] if activations is None else activations, kept)


def _display(progress: bool) -> Callable[[], Sweep]:
    """What shows the runs: an output of the notebook, the terminal, or nothing."""

    def display() -> Sweep:
        from actbench.files.output import PersistentConsole
        from actbench.sinks import notebook
        from actbench.sinks.live import is_possible
        from actbench.sinks.sweep import Sweep

        console = PersistentConsole("training continues", quiet=not progress)
        in_notebook = progress and notebook.is_notebook()
        sweep = Sweep(console, moving=progress and not in_notebook and is_possible(console))
        if in_notebook:
            sweep.area = notebook.NotebookArea(sweep.lines)
        return sweep

    return display


def _number(seeds: Any, problems: list[Problem]) -> int:
    if isinstance(seeds, Integral) and not isinstance(seeds, bool) and int(seeds) > 0:  # also a number of NumPy's
        return int(seeds)
    problems.append(Problem("is not the number of seeds, 1 or more", f"seeds={seeds!r}"[:60], "seeds=5"))
    return 1


def _margin(margin: Any) -> list[Problem]:
    number = isinstance(margin, Real) and not isinstance(margin, bool)
    if margin is None or (number and 0 < margin < 100):
        return []
    return [Problem("is not a number of percentage points above 0", f"margin={margin!r}"[:60], "margin=0.1")]
