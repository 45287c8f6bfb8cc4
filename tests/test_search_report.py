"""What the report says of a search, from `search.json` and the runs alone; and who gives a trial up."""

from __future__ import annotations

import json
import math
import random

import pytest

from actbench.errors import UserError
from actbench.report.importance import importance
from actbench.report.search import at_equal_trials, best
from actbench.store import search as stored
from actbench.store.search import Search, Trial


def drawn(number, seed=1):
    rng = random.Random(seed)
    params = [
        {"optimizer.lr": 10 ** rng.uniform(-4, -1), "activation": rng.choice(["relu", "gelu", "tanh"]), "dropout": rng.random() / 2}
        for _ in range(number)
    ]  # fmt: skip
    good = {"relu": 0.0, "gelu": 1.0, "tanh": -2.0}
    return params, [90 - (math.log10(p["optimizer.lr"]) + 2.5) ** 2 + good[p["activation"]] for p in params]


def test_importance_is_that_of_optuna():
    optuna = pytest.importorskip("optuna", minversion="4")
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    params, results = drawn(40)
    space = {
        "activation": CategoricalDistribution(["gelu", "relu", "tanh"]),
        "dropout": FloatDistribution(0, 0.5),
        "optimizer.lr": FloatDistribution(1e-4, 1e-1, log=True),
    }
    study = optuna.create_study(direction="maximize")
    for values, result in zip(params, results, strict=True):
        study.add_trial(optuna.trial.create_trial(params=values, distributions=space, value=result))
    theirs = optuna.importance.MeanDecreaseImpurityImportanceEvaluator(seed=0).evaluate(study)
    ours = importance([dict(sorted(values.items())) for values in params], results)
    assert ours == pytest.approx(theirs)
    assert ours["dropout"] < 0.1 < min(ours["activation"], ours["optimizer.lr"])  # which has no effect
    assert sum(ours.values()) == pytest.approx(1)
    assert importance(params, [90.0] * 40) == {}


def test_each_activation_is_shown_at_its_best_of_equally_many_trials():
    """The best of many is better by luck alone: what was tried more often must not profit from it."""
    relu = [Trial(n, "completed", 90.0 + n, {"activation": "relu", "optimizer.lr": n / 100}) for n in (0, 2, 4, 6, 8)]
    gelu = [
        Trial(1, "completed", 91.0, {"activation": "gelu", "optimizer.lr": 0.1}),
        Trial(3, "failed", None, {"activation": "gelu", "optimizer.lr": 0.2}),  # says nothing about gelu
        Trial(5, "diverged", None, {"activation": "gelu", "optimizer.lr": 0.3}),  # was tried
        Trial(7, "pruned", 99.0, {"activation": "gelu", "optimizer.lr": 0.4}),  # was not trained to its end
    ]
    k, chosen = at_equal_trials([*reversed(relu), *gelu], "activation")
    assert k == 3
    assert chosen["relu"].value == 94.0 and chosen["gelu"].value == 91.0
    assert best(relu).value == 98.0 and best(gelu[1:]) is None
    assert at_equal_trials([], "activation") == (0, {})


def test_what_is_written_is_read_again_and_what_is_no_search_is_told(tmp_path):
    assert stored.read(tmp_path) is None
    search = Search("tpe", "none", 3, ("activation",), [Trial(0, "completed", 97.5, {"activation": "relu"}, "relu-1")])
    stored.write(tmp_path, search)
    assert stored.read(tmp_path) == search
    content = json.loads((tmp_path / stored.FILE).read_text())
    for wrong in (
        [], {}, {**content, "more": 1}, {**content, "keys": [["activation"]]}, {**content, "n_trials": "many"},
        {**content, "trials": [{**content["trials"][0], "ended": "well"}]},
        {**content, "trials": [{**content["trials"][0], "value": "high"}]},
        {**content, "trials": [{**content["trials"][0], "params": {"activation": ["relu"]}}]},
        {**content, "trials": [{**content["trials"][0], "params": {"lr": 1}}]},
        {**content, "trials": [{**content["trials"][0], "folder": None}]},
    ):  # fmt: skip
        (tmp_path / stored.FILE).write_text(json.dumps(wrong))
        with pytest.raises(UserError, match=r"search\.json: cannot be read"):
            stored.read(tmp_path)


def test_the_page_of_a_search_needs_no_database(actbench, tiny, tmp_path):
    """History, importance, the best of each activation; and test accuracies are in none of what was chosen from."""
    pytest.importorskip("optuna", minversion="4")
    rate = "optimizer.lr=tag(log,interval(1e-3,1e-1))"
    typed = ["-m", *tiny, "probe=false", "+search=random", rate, "activation=relu,gelu", "hydra.sweeper.n_trials=11"]
    done = actbench(*typed, "study=s")
    assert done.returncode == 0, done.stderr
    study = tmp_path / "outputs" / "s"
    first = (study / "report" / "report.md").read_text()
    (study / "search.db").unlink()
    (study / ".search" / "lock").unlink(missing_ok=True)
    full = actbench("report", "outputs/s", "--full")
    assert full.returncode == 0, full.stderr
    tables = ("Each activation at its best of ", "Importance of keys", "Trials of the search in s: 11 completed")
    for title in tables:
        assert title in first
        assert title in full.stdout
    assert (study / "report" / "plots" / "search.svg").exists()
    trials = stored.read(study).trials
    for trial in trials:
        summary = json.loads((study / trial.folder / "summary.json").read_text())["metrics"]
        assert trial.value == pytest.approx(summary["val_accuracy"]["mean"])
    (study / stored.FILE).write_text("{")
    broken = actbench("report", "outputs/s")
    assert broken.returncode != 0 and "search.json: cannot be read" in broken.stderr
    assert "highest mean" in broken.stdout or "Use " in broken.stdout  # of the rest there is a report


# ---------------------------------------------------------------- who gives a trial up


def test_seeds_are_pairs_as_in_optunas_wilcoxon_pruner():
    """With a seed as its instance, Optuna's pruner comes to the same after each epoch."""
    optuna = pytest.importorskip("optuna", minversion="4")
    from actbench.command.search_pruning import _key, paired_pruner
    from actbench.command.search_space import without_warnings

    rng, outcomes = random.Random(2), []
    for _ in range(60):
        seeds = rng.choice([4, 5, 8])
        best = [rng.gauss(90, 2) for _ in range(seeds)]
        ours = [value + rng.gauss(-0.5, 1) for value in best]
        with without_warnings():  # that it is experimental
            pruner = optuna.pruners.WilcoxonPruner(p_threshold=0.1)
        theirs = optuna.create_study(direction="maximize", pruner=pruner)
        trial = theirs.ask()
        for seed, value in enumerate(best):
            trial.report(value, seed)
        theirs.tell(trial, sum(best) / seeds)
        trial = theirs.ask()
        for seed, value in enumerate(ours):
            trial.report(value, seed)
        study = optuna.create_study(direction="maximize", pruner=paired_pruner(p_threshold=0.1, n_warmup_steps=2))
        whole = study.ask()
        for epoch, values in ((1, [0.0] * seeds), (2, best)):
            whole.set_user_attr(_key(epoch), values)
            whole.report(sum(values) / seeds, epoch)
        study.tell(whole, sum(best) / seeds)
        other = study.ask()
        other.set_user_attr(_key(1), [-9.0] * seeds)
        other.report(-9.0, 1)
        assert not other.should_prune()  # it is warming up
        other.set_user_attr(_key(2), ours)
        other.report(sum(ours) / seeds, 2)
        outcomes.append(trial.should_prune())
        assert other.should_prune() == outcomes[-1]
    assert 10 < sum(outcomes) < 50


def test_a_trial_with_a_seed_that_diverged_is_given_up_and_one_alone_is_not():
    optuna = pytest.importorskip("optuna", minversion="4")
    from actbench.command.search_pruning import _key, paired_pruner

    study = optuna.create_study(direction="maximize", pruner=paired_pruner(p_threshold=0.1, n_warmup_steps=0))
    trial = study.ask()
    trial.set_user_attr(_key(1), [1.0] * 5)
    trial.report(1.0, 1)
    assert not trial.should_prune()  # there is nothing to compare it with
    trial.set_user_attr(_key(2), [1.0, None, 1.0, 1.0, 1.0])
    trial.report(math.nan, 2)
    assert trial.should_prune()
