"""Searches: the way is up, a trial without a result stops nothing, and the end says what was found."""

from __future__ import annotations

import csv
import math
import os
import re
import statistics
import subprocess
import sys
import warnings
from types import SimpleNamespace

import pytest
import yaml
from hydra import compose
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf
from processes import OFFLINE

from actbench.choices import choices_of
from actbench.command import composing

pytest.importorskip("optuna", minversion="4")
from actbench.command import search, search_check
from actbench.command.search_space import without_warnings

OPTUNA = "hydra/sweeper=optuna"
RATE = "optimizer.lr=tag(log,interval(1e-4,1e-1))"


@pytest.fixture(autouse=True)
def _registered():
    composing.register()
    search.register()


# ---------------------------------------------------------------- whole searches


def accuracies(study):
    """Mean validation accuracy of the last epoch by learning rate, from the files of the runs."""
    found = {}
    for folder in study.glob("*/history.csv"):
        with folder.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["epoch"] == "2"]
        rate = yaml.safe_load((folder.parent / "settings.yaml").read_text())["optimizer"]["params"]["lr"]
        found[rate] = statistics.mean(float(row["val_accuracy"]) for row in rows) if rows else math.nan
    return found


def test_a_search_goes_on_behind_a_trial_that_diverged_and_finds_the_best(actbench, tiny, tmp_path):
    rates = "optimizer.lr=1e-3,1e30,1e-1"
    grid = [OPTUNA, "hydra/sweeper/sampler=grid", "optimizer=sgd", "study=s"]
    done = actbench("-m", *tiny, *grid, rates, "activation=relu")
    assert done.returncode == 1  # as of any sweep in which a run diverged
    (told,) = done.stderr.strip().splitlines()
    assert told.endswith(": every seed diverged")
    assert "search: 3 of 3 trials: 2 completed, 1 diverged" in done.stdout
    validation = accuracies(tmp_path / "outputs" / "s")
    assert validation[0.1] > validation[0.001] + 1
    assert f"best by validation accuracy, {validation[0.1]:.2f} %: optimizer.lr=0.1\n" in done.stdout
    found = yaml.safe_load((tmp_path / "outputs" / "s" / "optimization_results.yaml").read_text())
    assert found["trials"] == {"completed": 2, "diverged": 1, "failed": 0}
    assert found["best_params"] == {"optimizer.lr": 0.1}
    assert found["best_value"] == pytest.approx(validation[0.1])
    assert re.search(r"(?m)^\[[123]/3\] relu lr=\S+  test accuracy ", done.stdout)  # they are called by what varies
    assert "\nconfiguration " in done.stdout


_HOT = """
import torch
from pathlib import Path
class Hot(torch.nn.Module):
    def forward(self, z):
        if self.training and any(Path("outputs").glob("*/hot-*/settings.yaml")):
            raise RuntimeError("too hot")
        return torch.relu(z)
"""


def test_with_joblib_too_failed_trials_are_counted_and_are_in_the_exit_code(tiny, tmp_path):
    (tmp_path / "conf" / "activation").mkdir(parents=True)
    (tmp_path / "conf" / "activation" / "hot.yaml").write_text("# hot\n_target_: mine.Hot\n_partial_: true\n")
    (tmp_path / "mine.py").write_text(_HOT)
    parallel = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_jobs=2"]
    typed = ["-m", *tiny, OPTUNA, "hydra/sweeper/sampler=grid", "activation=relu,hot", "trust=mine", *parallel]
    command = [sys.executable, "-m", "actbench", *typed]  # joblib's workers outlive a fork
    environment = {**os.environ, **OFFLINE}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 1
    assert "search: 2 of 2 trials: 1 completed, 1 failed" in done.stdout
    assert "best by validation accuracy" in done.stdout
    assert "%: activation=relu\n" in done.stdout
    assert "the run failed in activation=hot: RuntimeError: too hot" in done.stderr


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["hydra.sweeper.direction=minimize"], "hydra.sweeper.direction=minimize: a run returns its mean validation"),
        (["activation=relu,gleu"], "did you mean gelu?"),
        (["optimizer.lr=interval(-1,1)"], "optimizer.lr=-1: must be a number above 0"),
    ],
)
def test_a_mistake_is_told_before_anything_is_written(actbench, tiny, tmp_path, typed, said):
    done = actbench("-m", *tiny, OPTUNA, "init=he_normal,orthogonal", *typed)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- what is wrong with a search


MISTAKES = {
    "down": (["hydra.sweeper.direction=minimize", RATE], "hydra.sweeper.direction=minimize", "leave it out"),
    "two ways": (["hydra.sweeper.direction=[maximize,minimize]", RATE], "hydra.sweeper.direction=[maximize,minimize]", ""),
    "no trial": (["hydra.sweeper.n_trials=0", RATE], "hydra.sweeper.n_trials=0", ""),
    "no number": (["hydra.sweeper.n_trials=many", RATE], "hydra.sweeper.n_trials=many", ""),
    "no jobs": (["hydra.sweeper.n_jobs=-1", RATE], "hydra.sweeper.n_jobs=-1", ""),
    "rate": (["hydra.sweeper.max_failure_rate=2", RATE], "hydra.sweeper.max_failure_rate=2", ""),
    "nothing": (["activation=relu"], "hydra/sweeper=optuna", "activation=relu,gelu"),
    "a range in a grid": (["hydra/sweeper/sampler=grid", RATE], "optimizer.lr", "another sampler"),
    "storage": (["hydra.sweeper.storage=nosuch:///x", RATE], "hydra.sweeper.storage=nosuch:///x", "sqlite:///"),
    "an address": (["hydra.sweeper.storage=searchdb", RATE], "hydra.sweeper.storage=searchdb", "sqlite:///"),
    "a driver": (["hydra.sweeper.storage=mysql://h/d", RATE], "hydra.sweeper.storage=mysql://h/d", "pip install 'mysqlclient'"),
    "no folder": (["hydra.sweeper.storage=sqlite:////nowhere/x.db", RATE], "hydra.sweeper.storage=sqlite:////nowhere/x.db", "mkdir -p /nowhere"),
    "not to be written": (["hydra.sweeper.storage=sqlite:////proc/x.db", RATE], "hydra.sweeper.storage=sqlite:////proc/x.db", "another file"),
    "no server": (["hydra.sweeper.storage=postgresql://a:b@127.0.0.1:1/d", RATE], "hydra.sweeper.storage=postgresql://a:***@127.0.0.1:1/d", "whether it runs"),
    "no sampler's": (["hydra.sweeper.sampler.n_ei_candidates=few", RATE], "hydra.sweeper.sampler", "--cfg hydra"),
    "a pruner's": (["hydra/sweeper/pruner=wilcoxon", "hydra.sweeper.pruner.p_threshold=7", RATE], "hydra.sweeper.pruner", "--cfg hydra"),
    "in memory": (["hydra/sweeper/pruner=median", "hydra.sweeper.storage=null", "hydra/launcher=joblib", RATE], "hydra/sweeper/pruner=median", "leave"),
    "a value": (["activation=relu,gleu"], "activation=gleu", "did you mean gelu?"),
    "the last value": (["init=he_normal,orthogonal,xavier", "activation=relu,gelu"], "init=xavier", ""),
    "an end": (["dropout=interval(0.0,1.0)"], "dropout=1", ""),
    "the end of a range": (["model.depth=range(-1,3)"], "model.depth=-1", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_what_is_wrong_with_a_search_is_known_beforehand(case):
    typed, where, how = MISTAKES[case]
    problems = search_check.check(["dataset=digits", OPTUNA, *typed])
    assert [problem.where for problem in problems] == [where]
    assert how in problems[0].how


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes", "nsgaii", "motpe", "grid"])
def test_nothing_is_wrong_with_what_is_right(sampler):
    space = ["activation=relu,gelu", "model.depth=range(1,3)"] + ([] if sampler == "grid" else [RATE])
    assert search_check.check(["dataset=digits", OPTUNA, f"hydra/sweeper/sampler={sampler}", *space]) == []
    assert search_check.check(["dataset=digits", "activation=relu,gleu"]) == []  # no search: the plan tells


@pytest.mark.parametrize("name", [choice.name for choice in choices_of("search")])
def test_every_preset_of_a_search_chooses_the_sampler_of_its_name(name):
    assert search_check.check(["dataset=digits", f"+search={name}", "activation=relu,gelu"]) == []
    with composing.composing():
        assert (
            compose("config", overrides=[f"+search={name}"], return_hydra_config=True).hydra.sweeper.sampler.name
            == name
        )


def test_seeds_that_are_too_few_for_a_test_are_told_before_it_begins(actbench, tiny, tmp_path):
    done = actbench("-m", *tiny, "+search=tpe", RATE, "hydra/sweeper/pruner=wilcoxon")
    assert done.returncode == 2
    assert "can give nothing up: 2 seeds come to p = 0.25 at least, and p_threshold is 0.1" in done.stderr
    assert "num_seeds=4, or pruner=median" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("there", "said"), [(None, "needs Optuna, which is not installed"), ("2.10.1", "needs Optuna 4 or newer, and 2.10.1 is installed")])  # fmt: skip
def test_without_optuna_the_extra_is_named(monkeypatch, there, said):
    from importlib import metadata

    def version(name):
        if there is None:
            raise metadata.PackageNotFoundError(name)
        return there

    monkeypatch.setattr(metadata, "version", version)
    (problem,) = search_check.check(["dataset=digits", "+search=tpe", RATE])
    assert said in problem.what and problem.how == "pip install 'actbench[search]'"


def test_other_sweepers_are_told_which_way_is_better():
    nevergrad = OmegaConf.create({"optim": {"maximize": False}})
    ax = OmegaConf.create({"ax_config": {"experiment": {"minimize": True}}})
    for sweeper, key in ((nevergrad, "optim.maximize"), (ax, "ax_config.experiment.minimize")):
        assert [
            one for one, upward in search_check._UPWARD.items() if search_check._is_otherwise(sweeper, one, upward)
        ] == [key]
        problem = search_check._downward(key, search_check._UPWARD[key])
        assert problem.how.startswith(f"hydra.sweeper.{key}=")


# ---------------------------------------------------------------- every sampler, without training


class Trainer:
    """In place of `Batches`: the accuracy is best at a learning rate of 0.01; some rates diverge, some fail."""

    def __init__(self, diverges=lambda rate: False, fails=lambda rate: False, stops_at=None):
        self.diverges, self.fails, self.stops_at = diverges, fails, stops_at
        self.asked, self.summaries = [], {}

    def run(self, jobs):
        for job in jobs:
            if len(self.asked) == self.stops_at:
                raise SystemExit(130)
            rate = job.settings.optimizer.params["lr"]
            self.asked.append(rate)
            metrics = {"val_accuracy": SimpleNamespace(mean=90 - (math.log10(rate) + 2) ** 2)}
            status = "failed" if self.fails(rate) else "completed"
            diverged = {0: 1} if self.diverges(rate) else {}
            self.summaries[job.folder] = SimpleNamespace(status=status, diverged=diverged, metrics=metrics)


def searched(tmp_path, monkeypatch, trainer, *typed):
    """The study after a search with a trainer, and its Optuna study."""
    with without_warnings():
        import optuna

    studies = []
    create = optuna.create_study
    monkeypatch.setattr(optuna, "create_study", lambda **given: studies.append(create(**given)) or studies[0])
    monkeypatch.setattr(search.reader, "summary", lambda folder: trainer.summaries[folder])
    fixed = [f"output_dir={tmp_path}", "study=s"]
    typed = [OPTUNA, "hydra.sweeper.n_trials=12", "hydra.sweeper.storage=null", *typed]
    with composing.composing():
        words = [*typed, *fixed, "hydra.mode=MULTIRUN"]
        composed = compose("config", overrides=words, return_hydra_config=True)
        composed.hydra.runtime.choices["hydra/launcher"] = "trainer"  # which runs jobs at once
        sweeper = Plugins.instance()._instantiate(composed.hydra.sweeper)
        sweeper.config, sweeper.batches = composed, trainer
        space = "optimizer.lr=1e-3,1e-2,1e-1" if "hydra/sweeper/sampler=grid" in typed else RATE
        try:
            sweeper.sweep([space, "activation=gelu", "dataset=digits", *fixed])
        finally:
            found = yaml.safe_load((tmp_path / "s" / "optimization_results.yaml").read_text())
    return found, studies[0]


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes", "nsgaii", "motpe", "grid"])
def test_every_sampler_goes_up_and_on(tmp_path, monkeypatch, capsys, sampler):
    trainer = Trainer(diverges=lambda rate: rate > 0.05, fails=lambda rate: rate < 3e-4)
    seed = [] if sampler == "grid" else ["hydra.sweeper.sampler.seed=3"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, study = searched(tmp_path, monkeypatch, trainer, f"hydra/sweeper/sampler={sampler}", *seed)
    assert len(trainer.asked) == (3 if sampler == "grid" else 12)
    good = [rate for rate in trainer.asked if 3e-4 <= rate <= 0.05]
    best = min(good, key=lambda rate: abs(math.log10(rate) + 2))
    assert found["best_params"] == {"optimizer.lr": pytest.approx(best)}
    assert found["best_value"] == pytest.approx(90 - (math.log10(best) + 2) ** 2)
    counts = [len(good), sum(rate > 0.05 for rate in trainer.asked), sum(rate < 3e-4 for rate in trainer.asked)]
    assert [*found["trials"].values()] == counts
    states = [trial.state.name for trial in study.trials]
    assert states.count("COMPLETE") == counts[0]
    assert states.count("FAIL") == counts[1] + counts[2]  # Optuna has no other word for a trial without a result
    diverged = [trial.params["optimizer.lr"] for trial in study.trials if trial.user_attrs["ended"] == "diverged"]
    assert all(rate > 0.05 for rate in diverged) and len(diverged) == counts[1]
    assert study.direction.name == "MAXIMIZE"
    out, err = capsys.readouterr()
    assert err == ""
    assert f"search: {len(trainer.asked)} of {len(trainer.asked)} trials: {counts[0]} completed" in out
    assert "activation=gelu" not in out  # it was not searched for


def test_where_every_trial_fails_it_says_so(tmp_path, monkeypatch, capsys):
    found, _ = searched(tmp_path, monkeypatch, Trainer(fails=lambda rate: True))
    assert found == {"name": "optuna", "trials": {"completed": 0, "diverged": 0, "failed": 12}}
    assert "search: 12 of 12 trials: 0 completed, 12 failed\nno setting has a result" in capsys.readouterr().out


def test_an_interrupted_search_ends_with_what_was_found(tmp_path, monkeypatch, capsys):
    trainer = Trainer(stops_at=4)
    with pytest.raises(SystemExit):
        searched(tmp_path, monkeypatch, trainer)
    out = capsys.readouterr().out
    assert "search: 4 of 12 trials: 4 completed\nbest by validation accuracy" in out


def test_a_share_of_failures_may_end_it(tmp_path, monkeypatch, capsys):
    trainer = Trainer(fails=lambda rate: len(trainer.asked) == 3)
    found, _ = searched(tmp_path, monkeypatch, trainer, "hydra.sweeper.max_failure_rate=0")
    assert found["trials"] == {"completed": 3, "diverged": 0, "failed": 1}  # two at once
    assert "the search ends: more than hydra.sweeper.max_failure_rate=0 failed" in capsys.readouterr().out


def test_jobs_at_once_are_asked_for_at_once_where_the_launcher_runs_them_so(tmp_path, monkeypatch):
    sizes, trainer = [], Trainer()
    run = trainer.run
    trainer.run = lambda jobs: sizes.append(len(jobs)) or run(jobs)
    searched(tmp_path, monkeypatch, trainer, "hydra.sweeper.n_jobs=5")
    assert sizes == [5, 5, 2]


def test_a_run_that_is_launched_again_is_still_of_its_trial(tmp_path, monkeypatch):
    """What others held is launched again by itself, as the first of a batch: its number is another one then."""
    from actbench.command.running import Command

    trainer, command, known = Trainer(), Command(), []
    run = trainer.run

    def trained(jobs):
        known.append((command.pruning.trials, [job.folder.name for job in jobs]))
        run(jobs)

    trainer.run = trained
    monkeypatch.setattr(search, "Command", lambda: command)
    searched(tmp_path, monkeypatch, trainer, "hydra.sweeper.n_jobs=2", "hydra/sweeper/pruner=median")
    assert [names for _, names in known] == [[*trials] for trials, _ in known]
    assert [number for trials, _ in known for number in trials.values()] == [*range(12)]
