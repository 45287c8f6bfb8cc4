"""Gives up trials of a search by epoch: `hydra/sweeper/pruner=median`, or `wilcoxon`, which sees seeds as pairs.

After each epoch a trial reports the validation accuracy of every seed. `median` compares their mean with the means that
earlier trials had after the same epoch. `wilcoxon` compares each seed with the same seed of the best trial so far,
after the same epoch: for one seed number all trials start from the same draws and see the same batches. Epochs of one
seed are not independent, so they are never taken together as if they were further pairs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actbench.command.search_space import without_warnings
from actbench.measures.scores import EpochRecord
from actbench.records import Epoch
from actbench.store import reader

if TYPE_CHECKING:
    from actbench.job import Stop
    from actbench.sinks.terminal import Clock, Headline, Terminal


@dataclass
class Pruning:
    """How a job finds its trial, also in the worker of a launcher.

    Attributes:
        url: of the storage; None where it is in the memory of this process.
        name: of Optuna's study.
        chosen: the pruner with its parameters.
        trials: name of a run's folder -> number of its trial. Jobs have another number when they are launched again.
    """

    url: str | None
    name: str
    chosen: Mapping[str, Any]
    study: Any = None
    trials: dict[str, int] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        """What a worker gets: it opens the storage by itself."""
        return {**self.__dict__, "study": None}

    def trial(self, run: str) -> Any:
        """Optuna's trial of a run."""
        import optuna

        from actbench.command import search_samplers, search_storage

        if self.study is None:
            self.study = optuna.load_study(
                study_name=self.name, storage=search_storage.opened(self.url),
                sampler=optuna.samplers.RandomSampler(), pruner=search_samplers.pruner(self.chosen),
            )  # fmt: skip
        frozen = self.study.get_trials(deepcopy=False)[self.trials[run]]
        return optuna.trial.Trial(self.study, frozen._trial_id)


def watched(terminal: Terminal, stop: Stop, pruning: Pruning | None, run: str, epochs: int) -> Terminal:
    """A terminal that reports each epoch to Optuna as well, and stops the run where its trial is given up."""
    if pruning is None or run not in pruning.trials:
        return terminal
    with without_warnings():
        return _Reporting(terminal, stop, pruning.trial(run), epochs)


class _Reporting:
    """What the run tells goes on to the terminal."""

    def __init__(self, terminal: Terminal, stop: Stop, trial: Any, epochs: int) -> None:
        self._terminal, self._stop, self._trial, self._epochs = terminal, stop, trial, epochs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._terminal, name)

    def begin(self, head: Headline, clock: Clock, total_steps: int) -> None:
        """Of a run that goes on, the last epoch may not have been reported: the process was killed in between."""
        self._terminal.begin(head, clock, total_steps)
        if head.resumed_from:
            for epoch, seeds in _by_epoch(head.folder, head.resumed_from).items():
                self._report(epoch, [seeds.get(seed, math.nan) for seed in head.seeds])
            self._decide(head.resumed_from)

    def epoch(self, epoch: Epoch) -> None:
        self._terminal.epoch(epoch)
        if epoch.number > 0:
            lost = {*epoch.diverged}
            values = [math.nan if one.seed in lost else one.val_accuracy for one in epoch.records]
            self._report(epoch.number, values)
            self._decide(epoch.number)

    def _report(self, epoch: int, values: Sequence[float]) -> None:
        with without_warnings():
            if epoch not in self._trial.storage.get_trial(self._trial._trial_id).intermediate_values:
                self._trial.set_user_attr(_key(epoch), [None if math.isnan(value) else value for value in values])
                self._trial.report(math.fsum(values) / len(values) if values else math.nan, epoch)

    def _decide(self, epoch: int) -> None:
        """Nothing is saved by giving up behind the last epoch."""
        with without_warnings():
            if epoch < self._epochs and self._trial.should_prune():
                self._stop.pruned = f"by the search after epoch {epoch} of {self._epochs}"
                self._stop.stop = True


def _key(epoch: int) -> str:
    return f"val accuracy by seed, epoch {epoch}"


def _by_epoch(folder: Path, last: int) -> dict[int, dict[int, float]]:
    """Epoch -> seed -> validation accuracy, from the run's files."""
    found: dict[int, dict[int, float]] = {}
    for record in reader.records(folder / "history.csv", EpochRecord):
        if 0 < record.epoch <= last:
            found.setdefault(record.epoch, {})[record.seed] = record.val_accuracy
    return found


# ---------------------------------------------------------------- seeds as pairs


def p_value(values: Sequence[float], best: Sequence[float]) -> float:
    """How likely `values` are so much lower than `best`, seed by seed, by luck: Wilcoxon's signed-rank test, one-sided.

    Args:
        values, best: accuracies of the same seeds in the same order, (S,).
    """
    from scipy.stats import wilcoxon

    differences = [one - other for one, other in zip(values, best, strict=True)]
    with without_warnings():
        return float(wilcoxon(differences, alternative="less", zero_method="zsplit").pvalue)


def least_p_value(seeds: int) -> float:
    """The least that so many pairs can come to.

    >>> least_p_value(5)
    0.03125
    """
    return 0.5**seeds


def paired_pruner(p_threshold: float, n_warmup_steps: int) -> Any:
    """A pruner of Optuna's: gives a trial up whose seeds are worse than those of the best trial after the same epoch.

    Args:
        p_threshold: how likely such a difference may be by luck at most.
        n_warmup_steps: earlier epochs are not judged.
    """
    from optuna.pruners import BasePruner

    if not 0 < p_threshold < 1:
        raise ValueError("p_threshold must be between 0 and 1")
    if n_warmup_steps < 0:
        raise ValueError("n_warmup_steps must be 0 or more")

    class Paired(BasePruner):
        def prune(self, study: Any, trial: Any) -> bool:
            epoch = trial.last_step
            if epoch is None or epoch < n_warmup_steps:
                return False
            values = trial.user_attrs.get(_key(epoch), [])
            if None in values:
                return True
            try:
                best = study.best_trial.user_attrs.get(_key(epoch), [])
            except ValueError:  # there is none yet
                return False
            if len(best) != len(values) or None in best or math.fsum(values) >= math.fsum(best):
                return False
            return p_value(values, best) < p_threshold

    return Paired()
