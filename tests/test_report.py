"""The comparison from files: what is merged, ranked, named, tuned and told; and what bad input gets."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import yaml
from helpers import fake_run, settings_of

from actbench import naming
from actbench.report import runs
from actbench.report.command import Asked, make_report
from actbench.report.comparison import Terms, compare
from actbench.report.configurations import blocks
from actbench.report.evidence import evidence
from actbench.report.formatting import ends
from actbench.report.tables import comparison_tables, tidy

BASE = ["dataset=digits", "train.epochs=3", "num_seeds=5"]


def settings(*overrides):
    return settings_of(*BASE, *overrides)


def accuracies(mean, spread=0.1, n=5, seed=0):
    return [float(x) for x in np.round(mean + spread * np.random.default_rng(seed).standard_normal(n), 2)]


def runs_of(folder, **means):
    """A run for each activation with seeds around its mean."""
    for activation, mean in means.items():
        own = settings(f"activation={activation}")
        fake_run(folder / own.folder, own, accuracies(mean, seed=sum(activation.encode())))
    return folder


def the_comparison(folder, **options):
    (block,) = blocks(runs.find([folder]).runs)
    return compare(block, Terms(**options))


def names(comparison):
    """Of the configurations, best first."""
    return [configuration.name for configuration in comparison.block.configurations]


def decision(comparison, name):
    return next(one for one in comparison.verdict.decisions if one.name == name)


def cells(table):
    return {row[0]: dict(zip(table.header, row, strict=True)) for row in table.rows}


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([[]], ["relu"]),
        ([["activation=relu"], ["activation=gelu"]], ["relu", "gelu"]),
        ([["activation=relu"], ["activation=leaky_relu"]], ["relu", "leaky_relu"]),  # negative_slope is no news
        (
            [["activation=leaky_relu"], ["activation=leaky_relu", "activation.negative_slope=0.2"], ["activation=relu"]],
            ["leaky_relu negative_slope=0.01", "leaky_relu negative_slope=0.2", "relu"],
        ),
        ([["optimizer.lr=1e-3"], ["optimizer.lr=3e-3"]], ["lr=0.001", "lr=0.003"]),
        (
            [["activation=gelu", "optimizer.lr=1e-3"], ["activation=relu", "optimizer.lr=3e-3"]],
            ["gelu lr=0.001", "relu lr=0.003"],
        ),
        ([["optimizer=sgd"], ["optimizer=adam"]], ["optimizer=sgd", "optimizer=adam"]),  # their own lr is no news
        ([["upper_activation=gelu", "model.depth=2"], ["model.depth=2"]], ["relu+gelu", "relu"]),
        ([["train.batch_size=32"], ["train.batch_size=64"]], ["batch_size=32", "batch_size=64"]),
        (
            [["norm=batch", "norm.momentum=0.2", "optimizer=momentum"],
             ["norm=batch", "optimizer=momentum", "optimizer.momentum=0.5"]],
            ["norm.momentum=0.2 optimizer.momentum=0.9", "norm.momentum=0.1 optimizer.momentum=0.5"],
        ),
        ([["model=cnn", "model.channels=[4,8]"], ["model=cnn"]], ["channels=[4,8]", "channels=[16,32]"]),
    ],
)  # fmt: skip
def test_a_configuration_is_named_by_what_differs(overrides, expected):
    assert naming.names([settings(*one) for one in overrides]) == expected


def test_what_was_typed_names_a_run():
    own = settings("activation=gelu", "optimizer.lr=3e-3", "init=orthogonal")
    typed = ["activation=gelu", "optimizer.lr=3e-3", "init=orthogonal", "study=x", "num_seeds=5", "dataset=digits",
             "train.device=cpu", "train.epochs=3"]  # fmt: skip
    assert naming.typed(own, typed) == "gelu lr=0.003 init=orthogonal"
    assert naming.typed(own, ["train.epochs=3"], varied=True) == "gelu epochs=3"  # by a sweep


# ---------------------------------------------------------------- merging and ranking


def test_the_best_comes_first_and_differences_are_paired_by_seed(tmp_path):
    comparison = the_comparison(runs_of(tmp_path, relu=97.5, gelu=98.0, tanh=96.0))
    assert names(comparison) == ["gelu", "relu", "tanh"]
    values = {one.name: list(one.values["test_accuracy"].values()) for one in comparison.block.configurations}
    for name, best in (("gelu", "relu"), ("relu", "gelu"), ("tanh", "gelu")):
        by_hand = np.mean(np.subtract(values[name], values[best]))
        assert decision(comparison, name).difference == pytest.approx(by_hand)
    assert [one.word for one in comparison.verdict.decisions] == ["best", "worse", "worse"]
    assert comparison.sentences[0].startswith("Use gelu: it is the best, ahead of the next by 0.5")
    assert re.fullmatch(r"Avoid relu \(−0\.\d\d\) and tanh \(−\d\.\d\d\)\.", comparison.sentences[1])


def test_other_seeds_of_one_configuration_make_n_grow(tmp_path):
    for first, number in ((0, 5), (5, 5)):
        own = settings("activation=gelu", f"seed={first}", f"num_seeds={number}")
        fake_run(tmp_path / own.folder, own, accuracies(98, seed=first))
    runs_of(tmp_path, relu=97.5)
    comparison = the_comparison(tmp_path)
    gelu = comparison.block.configurations[0]
    assert (gelu.n, sorted(gelu.values["test_accuracy"])) == (10, list(range(10)))
    assert comparison.verdict.differences.n[0, 1] == 5  # the seeds that relu has too
    assert gelu.seconds_per_epoch == pytest.approx(0.5 / 5)  # of the epochs in history.csv


def test_of_one_seed_the_newer_run_counts_and_a_contradiction_is_told(tmp_path):
    """By when they were trained, which a copy does not change."""
    for study, mean, time in (("new", 98.0, "2026-03-01T10:00:00"), ("old", 90.0, "2026-02-01T10:00:00")):
        own = settings("activation=gelu")
        fake_run(tmp_path / study / own.folder, own, accuracies(mean), time=time)
    comparison = the_comparison(tmp_path)
    (one,) = comparison.block.configurations
    assert one.mean("test_accuracy") == pytest.approx(98, abs=0.5)
    assert "seeds 0, 1, 2, 3, 4 were trained twice with different results" in comparison.remarks[0]
    shutil.rmtree(tmp_path / "old")
    shutil.copytree(tmp_path / "new", tmp_path / "copy")
    assert the_comparison(tmp_path).remarks == ()  # the same results twice are no news


def test_one_configuration_under_two_names_is_told(tmp_path):
    for name in ("relu", "my_relu"):
        own = replace(settings(), activation=replace(settings().activation, name=name))
        fake_run(tmp_path / name, own, accuracies(97))
    comparison = the_comparison(tmp_path)
    assert len(names(comparison)) == 1
    assert "relu is the same configuration as my_relu under another name" in comparison.remarks[0]


def test_what_cannot_be_compared_is_never_ranked_together(tmp_path):
    variants = (["train.epochs=3"], ["train.epochs=4"], ["dataset.train_size=500"], ["dataset=mnist"])
    for overrides in variants:
        for activation in ("relu", "gelu"):
            own = settings(f"activation={activation}", *overrides)
            fake_run(tmp_path / own.folder, own, accuracies(97))
    made = blocks(runs.find([tmp_path]).runs)
    titles = ["digits, 3 epochs", "digits, 4 epochs", "digits, 500 training samples, 3 epochs", "mnist, 3 epochs"]
    assert sorted(block.title for block in made) == titles
    assert all([one.name for one in block.configurations] == ["gelu", "relu"] for block in made)


def test_what_failed_diverged_or_is_unfinished_is_listed(tmp_path):
    runs_of(tmp_path, relu=97.0, gelu=98.0)
    own = settings("activation=elu")
    fake_run(tmp_path / own.folder, own, accuracies(97), diverged={1: 2, 3: 3})
    own = settings("activation=tanh")
    fake_run(tmp_path / own.folder, own, accuracies(97), status="failed", reason="RuntimeError: too hot")
    own = settings("activation=selu")
    fake_run(tmp_path / own.folder, own, accuracies(97), status="interrupted", reason="after epoch 1 of 3")
    own = settings("activation=mish")
    (fake_run(tmp_path / own.folder, own, accuracies(97)) / "summary.json").unlink()
    comparison = the_comparison(tmp_path)
    results, waiting = (cells(table) for table in (comparison_tables(comparison)[0], comparison_tables(comparison)[-1]))
    assert results["elu"]["n"] == "3 (2 diverged)"
    assert set(waiting) == {"tanh", "selu", "mish"}
    assert waiting["tanh"]["status"] == "failed: RuntimeError: too hot"
    assert waiting["selu"]["status"] == "interrupted: after epoch 1 of 3"
    assert waiting["mish"]["status"].startswith("unfinished: 3 of 3 epochs")
    assert "Avoid elu (2 of 5): seeds diverged." in comparison.sentences
    assert any("Not in this verdict, for lack of results: mish, selu and tanh." in s for s in comparison.sentences)


def test_what_has_gone_on_since_it_was_interrupted_is_not_where_it_was_then(tmp_path):
    """`summary.json` of the interruption is still there; the process that went on was killed, or is at work."""
    from actbench.report.runs import find, state

    settings = settings_of("train.epochs=5", "num_seeds=2")
    folder = tmp_path / settings.folder
    fake_run(folder, settings, [97.0, 97.0], status="interrupted", reason="after epoch 1 of 5", epochs_done=1)
    (run,) = find([tmp_path]).runs
    assert state(run) == "interrupted: after epoch 1 of 5"
    rows = (folder / "history.csv").read_text().splitlines()
    later = [",".join([row.split(",")[0], "2", *row.split(",")[2:]]) for row in rows[1:]]
    (folder / "history.csv").write_text("\n".join([*rows, *later]) + "\n")
    assert state(run) == "unfinished: 2 of 5 epochs; still running, or killed"


def test_a_configuration_that_diverged_wholly_stays_in_the_table(tmp_path):
    runs_of(tmp_path, relu=97.0)
    own = settings("activation=elu")
    folder = fake_run(tmp_path / own.folder, own, accuracies(97), diverged=dict.fromkeys(range(5), 1))
    summary = json.loads((folder / "summary.json").read_text())
    summary["status"] = "diverged"
    (folder / "summary.json").write_text(json.dumps(summary))
    comparison = the_comparison(tmp_path)
    assert cells(comparison_tables(comparison)[0])["elu"]["test accuracy %"] == "diverged"
    assert names(comparison)[-1] == "elu"
    assert decision(comparison, "elu").word == "diverged"


def test_every_cell_of_the_pairs_by_hand(tmp_path):
    """Differences from relu of 0.1, 0.3, 0.2 / 0.2, 0.1, 0.3 + 0.5 / −1, −1.1, −0.9."""
    relu = [98.0, 98.1, 97.8]
    table = {"relu": relu, "gelu": [98.1, 98.4, 98.0], "elu": [98.7, 98.7, 98.6], "tanh": [97.0, 97.0, 96.9]}
    for activation, values in table.items():
        own = settings(f"activation={activation}", "num_seeds=3")
        fake_run(tmp_path / own.folder, own, values)
    comparison = the_comparison(tmp_path, baseline="relu")
    told = cells(evidence(comparison.verdict))
    assert [told[name]["effect size"] for name in ("gelu", "elu", "tanh")] == ["+2.00", "+7.00", "−10.00"]
    assert [told[name]["P(better)"] for name in ("gelu", "elu", "tanh")] == ["0.78", "1.00", "0.00"]
    assert [told[name]["difference"] for name in ("gelu", "elu", "tanh")] == ["+0.20", "+0.70", "−1.00"]
    results = cells(comparison_tables(comparison)[0])
    for name in ("gelu", "elu", "tanh"):
        of = decision(comparison, name).against_baseline
        assert told[name]["interval"] == ends(of.low, of.high)
        significant = told[name]["p"].startswith("<") or float(told[name]["p"]) <= comparison.verdict.level
        assert significant == (of.low > 0 or of.high < 0)
    gelu = results["gelu"]
    assert (gelu["params"], gelu["s / epoch"]) == ("1.23k", "0.17 (0.17–0.17)")  # half a second for three seeds
    assert (gelu["val. acc. %"], gelu["dead units %"], gelu["n"]) == ("97.67", "10.0", "3")


# ---------------------------------------------------------------- conclusions


def test_few_seeds_are_no_ground_for_a_conclusion(tmp_path):
    for activation, mean in (("relu", 97.0), ("gelu", 99.0)):
        own = settings(f"activation={activation}", "num_seeds=2")
        fake_run(tmp_path / own.folder, own, accuracies(mean, n=2))
    comparison = the_comparison(tmp_path)
    assert comparison.sentences[0].startswith(
        "Nothing can be said yet: fewer than 3 seeds in common. gelu has the highest"
    )
    assert cells(comparison_tables(comparison)[0])["gelu"]["verdict"] == "too few seeds"


def test_a_worse_one_is_never_called_the_best_because_of_a_lucky_further_seed(tmp_path):
    relu = [97.0, 97.1, 97.2, 97.3, 97.4]
    lucky = {"relu": relu, "gelu": [value - 0.3 + 0.01 * k for k, value in enumerate(relu)]}
    for activation, values in lucky.items():
        own = settings(f"activation={activation}")
        fake_run(tmp_path / own.folder, own, values)
    own = settings("activation=gelu", "seed=5", "num_seeds=1")
    fake_run(tmp_path / own.folder, own, [99.9])
    comparison = the_comparison(tmp_path)
    assert names(comparison) == ["relu", "gelu"]
    assert comparison.sentences[0].startswith("Use relu: it is better than gelu by 0.2")
    assert "ranked by the 5 seeds that all configurations have in common" in comparison.remarks


def test_one_with_other_seeds_does_not_silence_the_rest(tmp_path):
    runs_of(tmp_path, relu=97.0, gelu=98.0)
    own = settings("activation=tanh", "seed=10")
    fake_run(tmp_path / own.folder, own, accuracies(97.5))
    sentences = the_comparison(tmp_path).sentences
    assert sentences[0].startswith("Use gelu: it is better than relu")
    assert sentences[1].startswith("Nothing can be said about tanh yet: fewer than 3 seeds in common.")


def test_nothing_complete_means_nothing_concluded(tmp_path):
    own = settings("activation=tanh")
    fake_run(tmp_path / own.folder, own, accuracies(97), status="failed", reason="no")
    assert the_comparison(tmp_path).sentences == [
        "Nothing can be said yet: no run is complete (tanh). To go on where they stopped: "
        f"`actbench -m activation=relu,gelu study={tmp_path.name}`."
    ]


# ---------------------------------------------------------------- baseline


@pytest.mark.parametrize(("words", "expected"), [("gelu", "gelu lr=0.003"), ("gelu lr=0.001", "gelu lr=0.001")])  # fmt: skip
def test_the_baseline_answers_to_its_words(tmp_path, words, expected):
    """Where several do, validation decides, never the test set (which would have said lr=0.001 here)."""
    for activation in ("relu", "gelu"):
        for lr, validation, test in (("1e-3", 96.0, 99.0), ("3e-3", 97.0, 98.0), ("1e-2", 98.0, 98.5)):
            own = settings(f"activation={activation}", f"optimizer.lr={lr}")
            diverged = {0: 2} if lr == "1e-2" else None
            seeds = [validation + 0.1 * seed for seed in range(5)]
            fake_run(tmp_path / own.folder, own, accuracies(test), validation=seeds, diverged=diverged)
    comparison = the_comparison(tmp_path, baseline=words)
    assert comparison.baseline.configuration.name == expected
    assert comparison.baseline.among == (1 if words == "gelu lr=0.001" else 3)
    assert any("--baseline" in remark for remark in comparison.remarks) == (words == "gelu")


def test_nobody_is_the_baseline_unless_asked(tmp_path):
    comparison = the_comparison(runs_of(tmp_path, relu=97.0, gelu=98.0))
    assert (comparison.baseline, comparison.verdict.baseline) == (None, None)
    assert not any(one.against_baseline for one in comparison.verdict.decisions)


def test_a_baseline_that_is_not_there_is_told_and_the_rest_reported(tmp_path):
    report = make_report([runs_of(tmp_path, relu=97.0, gelu=98.0)], Asked(baseline="gleu"))
    assert str(report.problems[0]) == (
        "--baseline gleu: there is no such configuration to compare with\n    did you mean gelu?"
    )
    assert report.comparisons[0].baseline is None


# ---------------------------------------------------------------- tuning


def grid(folder, table):
    """(activation, lr) -> (validation, test) mean."""
    for (activation, lr), (validation, test) in table.items():
        own = settings(f"activation={activation}", f"optimizer.lr={lr}")
        spread = np.array([-0.02, -0.01, 0.0, 0.01, 0.02])
        fake_run(folder / own.folder, own, list(test + spread), validation=list(validation + spread))
    return folder


def test_tuning_chooses_by_validation_and_never_by_the_test_set(tmp_path):
    table = {
        ("relu", "1e-3"): (97.0, 99.0), ("relu", "3e-3"): (97.5, 97.0),  # the test set would have chosen 1e-3
        ("gelu", "1e-3"): (98.0, 97.4), ("gelu", "3e-3"): (97.0, 99.5),
    }  # fmt: skip
    tuned = the_comparison(grid(tmp_path, table)).tuned
    assert tuned.chosen == {"relu": "lr=0.003", "gelu": "lr=0.001"}
    assert [one.name for one in tuned.verdict.decisions] == ["gelu", "relu"]
    assert tuned.verdict.decisions[0].configuration.mean("test_accuracy") == pytest.approx(97.4)
    assert tuned.common == "lr=0.001"  # (97 + 98) / 2 against (97.5 + 97) / 2
    assert tuned.untuned["relu"].mean("test_accuracy") == pytest.approx(99.0)
    tuned_table = cells(next(s for s in comparison_tables(the_comparison(tmp_path)) if s.title.startswith("Tuned")))
    assert (tuned_table["relu"]["settings tried"], tuned_table["gelu"]["settings tried"]) == ("2", "2")


def test_tuning_is_on_equal_terms(tmp_path):
    """A setting that one activation did not try gives the others no advantage."""
    table = {
        ("relu", "1e-3"): (97.0, 97.0), ("relu", "3e-3"): (97.5, 97.5), ("relu", "1e-2"): (99.0, 99.0),
        ("gelu", "1e-3"): (98.0, 98.0), ("gelu", "3e-3"): (97.0, 97.0),
    }  # fmt: skip
    tuned = the_comparison(grid(tmp_path, table)).tuned
    assert tuned.settings == ("lr=0.001", "lr=0.003")
    assert tuned.chosen["relu"] == "lr=0.003"
    assert (
        "the tuning leaves out 1 setting that not every activation was tried with" in the_comparison(tmp_path).remarks
    )


def test_an_activation_that_was_hardly_tried_does_not_stop_the_others(tmp_path):
    table = {(activation, lr): (97.0, 97.0) for activation in ("relu", "gelu") for lr in ("1e-3", "3e-3")}
    comparison = the_comparison(grid(tmp_path, {**table, ("tanh", "1e-3"): (97.0, 97.0)}))
    assert set(comparison.tuned.chosen) == {"relu", "gelu"}
    assert "tanh was tried with only 1 setting and is left out of the tuning" in comparison.remarks


def test_an_optimizer_is_tuned_over_its_learning_rates(tmp_path):
    for optimizer, best in (("sgd", "1e-1"), ("adam", "1e-3")):
        for lr in ("1e-3", "1e-1"):
            own = settings(f"optimizer={optimizer}", f"optimizer.lr={lr}")
            fake_run(tmp_path / own.folder, own, accuracies(98 if lr == best else 95))
    comparison = the_comparison(tmp_path, per="optimizer")
    assert comparison.tuned.chosen == {"optimizer=sgd": "lr=0.1", "optimizer=adam": "lr=0.001"}


def test_the_asked_baseline_is_that_of_the_tuned_too(tmp_path):
    grid(tmp_path, {(a, lr): (97.0, 97.0) for a in ("relu", "gelu", "tanh") for lr in ("1e-3", "3e-3")})
    tuned = the_comparison(tmp_path, baseline="gelu lr=0.001").tuned
    assert tuned.verdict.baseline == "gelu"


def test_a_setting_in_which_a_seed_diverged_is_chosen_last(tmp_path):
    grid(tmp_path, {("relu", "1e-3"): (97.0, 97.0), ("gelu", "1e-3"): (97.0, 97.0), ("gelu", "3e-3"): (97.0, 97.0)})
    own = settings("activation=relu", "optimizer.lr=3e-3")
    fake_run(tmp_path / own.folder, own, accuracies(99), diverged={0: 1})
    assert the_comparison(tmp_path).tuned.chosen["relu"] == "lr=0.001"


def test_other_keys_can_be_tuned_for_and_tuning_switched_off(tmp_path):
    grid(tmp_path, {(a, lr): (97.0, 97.0) for a in ("relu", "gelu") for lr in ("1e-3", "3e-3")})
    assert set(the_comparison(tmp_path, per="optimizer.lr").tuned.chosen) == {"lr=0.001", "lr=0.003"}
    assert the_comparison(tmp_path, per="none").tuned is None
    report = make_report([tmp_path], Asked(per="init"))
    assert str(report.problems[0]) == "--per init: does not vary here\n    what does: activation, optimizer.lr"
    assert set(the_comparison(tmp_path, per="lr").tuned.chosen) == {"lr=0.001", "lr=0.003"}


def test_the_baseline_may_be_named_by_what_all_have_in_common(tmp_path):
    comparison = the_comparison(runs_of(tmp_path, relu=97.0, gelu=98.0), baseline="activation=gelu lr=0.001")
    assert comparison.baseline.configuration.name == "gelu"
    assert not any("baseline" in remark for remark in comparison.remarks)


def test_a_run_that_was_trained_again_has_no_part_in_the_cost(tmp_path):
    for study, factor, time in (("old", 10.0, "2026-01-01"), ("new", 1.0, "2026-02-01")):
        own = settings("activation=gelu")
        folder = tmp_path / study / own.folder
        fake_run(folder, own, accuracies(97), time=time)
        history = pd.read_csv(folder / "history.csv")
        history.assign(seconds=factor * history["seconds"]).to_csv(folder / "history.csv", index=False, na_rep="nan")
    (one,) = the_comparison(tmp_path).block.configurations
    assert one.seconds_per_epoch == pytest.approx(0.5 / 5)


def test_every_curve_is_within_its_panel_from_the_first_epoch_on(tmp_path):
    from actbench.report.plots.curves import draw, history

    names = ("relu", "gelu", "tanh", "elu", "selu", "mish", "silu", "celu")
    means = dict(zip(names, (97.0, 98.0, 96.0, 97.0, 97.0, 40.0, 97.0, 99.9), strict=True))
    comparison = the_comparison(runs_of(tmp_path, **means))
    accuracy, loss = draw(comparison, []).figure.axes
    for one in comparison.block.configurations:
        for axes, column in ((accuracy, "val_accuracy"), (loss, "train_loss")):
            low, high = axes.get_ylim()
            mean = history(one)[column][0]
            assert low <= mean.min() < mean.max() <= high
    assert accuracy.get_ylim()[0] >= 0 and accuracy.get_ylim()[1] <= 100.5


@pytest.mark.rendered
def test_accuracies_are_drawn_within_100_percent_and_labels_within_the_picture(tmp_path):
    """Two seeds far apart have an interval of more than 100 points, and long names leave little room."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from actbench.report.plots.accuracy import accuracies as accuracies_plot
    from actbench.report.plots.differences import Bar, differences

    for activation, clip, accuracy in (("tanh", "norm", [97.0, 20.0]), ("relu", "none", [98.0, 97.0])):
        overrides = ("model.width=128", "init=orthogonal", f"activation={activation}", f"clip={clip}", "num_seeds=2")
        own = settings(*overrides, f"dropout={0.25 if clip == 'none' else 0.125}")
        fake_run(tmp_path / own.folder, own, accuracy)
    shown = the_comparison(tmp_path).block.configurations
    bars = [Bar(one.name, "undecided", -0.5, -0.9, 0.1, (-0.4, -0.6)) for one in shown]
    for figure in (accuracies_plot(shown, shown[0]), differences([("the best", bars), (shown[0].name, bars[1:])], 0.1)):
        FigureCanvasAgg(figure).draw()
        axes = figure.axes[0]
        label, page = axes.xaxis.label.get_window_extent(), figure.bbox
        assert page.x0 <= label.x0 < label.x1 <= page.x1 and page.y0 <= label.y0
    left, right = accuracies_plot(shown, None).axes[0].get_xlim()
    assert -1 <= left < 20 < 98 < right <= 101


# ---------------------------------------------------------------- files


def test_the_heat_map_has_the_mean_of_each_cell_and_chooses_by_validation(tmp_path):
    from actbench.report.plots.heatmap import axes_of, grid_of

    table = {("relu", "1e-3"): (97.0, 97.1), ("relu", "3e-3"): (96.0, 96.1), ("gelu", "1e-3"): (98.0, 98.1)}
    comparison = the_comparison(grid(tmp_path, table))
    assert axes_of(comparison) in (("activation", "optimizer.lr"), ("optimizer.lr", "activation"))
    made = grid_of(comparison, "activation", "optimizer.lr")
    assert (made.rows, made.columns) == (["gelu", "relu"], ["0.001", "0.003"])
    assert made.values[0, 0] == pytest.approx(98.1)
    assert np.isnan(made.values[0, 1])
    assert list(made.values[1]) == pytest.approx([97.1, 96.1])
    own = settings("activation=relu", "optimizer.lr=1e-3", "init=orthogonal")
    fake_run(tmp_path / own.folder, own, [99.0] * 5, validation=[90.0] * 5)  # the test set would choose it
    made = grid_of(the_comparison(tmp_path), "activation", "optimizer.lr")
    assert made.values[made.rows.index("relu"), 0] == pytest.approx(97.1)


def test_optimizers_and_their_learning_rates_are_two_axes(tmp_path):
    from actbench.report.plots.heatmap import axes_of

    for optimizer in ("sgd", "adam"):
        for lr in ("1e-3", "1e-2", "1e-1"):
            own = settings(f"optimizer={optimizer}", f"optimizer.lr={lr}")
            fake_run(tmp_path / own.folder, own, accuracies(97))
    assert axes_of(the_comparison(tmp_path)) == ("optimizer.lr", "optimizer")


def test_what_the_plots_draw_is_what_was_measured(tmp_path):
    from actbench.report.drawing import line_style
    from actbench.report.plots.accuracy import accuracies as accuracies_plot
    from actbench.report.plots.dead import by_layer, dead_units
    from actbench.report.plots.differences import against_the_best, differences

    runs_of(tmp_path, relu=97.0, gelu=98.0)
    comparison = the_comparison(tmp_path)
    gelu, relu = comparison.block.configurations
    (axes,) = accuracies_plot([gelu, relu], relu).axes
    dots = [sorted(path.get_offsets()[:, 0]) for path in axes.collections]
    assert dots[0] == pytest.approx(sorted(gelu.values["test_accuracy"].values()))
    assert dots[1] == pytest.approx([gelu.mean("test_accuracy")])
    assert tuple(axes.lines[0].get_xdata()) == pytest.approx(gelu.estimate("test_accuracy").ci95)
    bars = against_the_best(comparison.verdict, [gelu, relu])
    axes = differences([("the best of the others", bars)], 0.1).axes[0]
    by_hand = [gelu.values["test_accuracy"][seed] - relu.values["test_accuracy"][seed] for seed in range(5)]
    assert sorted(axes.collections[0].get_offsets()[:, 0]) == pytest.approx(sorted(by_hand))
    units = {"gelu": dead_units(gelu), "relu": {"hidden2": ([0, 1], [0.0, 1.0])}}
    figure, _ = by_layer(units, ["hidden1", "hidden2"], {"gelu": line_style(0), "relu": line_style(1)})
    first, second = figure.axes
    assert (first.get_title("left"), second.get_title("left")) == ("hidden1", "hidden2")
    assert list(first.lines[0].get_ydata()) == pytest.approx([2.5, 5, 7.5, 10])
    assert list(second.lines[1].get_ydata()) == [0, 100]
    assert [text.get_text() for text in second.texts] == ["relu 100 %", "gelu 10 %"]


def test_results_csv_is_tidy(tmp_path):
    comparison = the_comparison(grid(tmp_path, {("relu", "1e-3"): (97.0, 97.2), ("gelu", "3e-3"): (98.0, 98.1)}))
    frame = tidy([comparison])
    keys = [
        "block",
        "configuration",
        "id",
        "dataset",
        "epochs",
        "activation",
        "optimizer.lr",
        "seed",
        "metric",
        "value",
    ]
    assert list(frame) == keys
    of = frame[(frame.configuration == "gelu lr=0.003") & (frame.metric == "test_accuracy")]
    assert sorted(of.seed) == [0, 1, 2, 3, 4]
    assert of.value.mean() == pytest.approx(98.1)
    assert not frame.duplicated(["id", "seed", "metric"]).any()
    own = settings("activation=elu", "optimizer.lr=1e-3")
    fake_run(tmp_path / own.folder, own, accuracies(97), diverged={3: 2})
    frame = tidy([the_comparison(tmp_path)])
    elu = frame[frame.configuration == "elu lr=0.001"]
    assert list(elu[elu.metric == "diverged"][["seed", "value"]].to_numpy()[0]) == [3, 2]
    assert 3 not in set(elu[elu.metric == "test_accuracy"].seed)


class _Words(HTMLParser):
    def __init__(self):
        super().__init__()
        self.words, self.tags, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.words.append(data)


@pytest.mark.rendered
def test_the_page_is_one_file_that_needs_no_network(actbench, tmp_path):
    runs_of(tmp_path / "study", relu=97.0, gelu=98.0, tanh=96.5)
    done = actbench("report", "study")
    assert (done.returncode, done.stderr) == (0, "")
    report = tmp_path / "study" / "report"
    page = (report / "report.html").read_text()
    parsed = _Words()
    parsed.feed(page)
    sources = [value for name, value in parsed.attributes if name in ("src", "href", "srcset", "xlink:href", "action")]
    assert all(source.startswith(("#", "data:image/png;base64,")) for source in sources)
    assert parsed.tags.count("svg") == 5
    assert "http:" not in page and "https:" not in page and "@import" not in page
    text = " ".join(parsed.words)
    for expected in ("Use gelu: it is the best", "Against gelu", "actbench -m activation=relu,gelu", "2.15.0", "cpu"):
        assert expected in text
    plots = {path.name for path in (report / "plots").iterdir()}
    names = ("curves", "accuracy", "differences", "cost", "dead")
    assert plots == {f"{name}.{kind}" for name in names for kind in ("svg", "png")}
    markdown = (report / "report.md").read_text()
    assert "| gelu | 9" in markdown
    assert all(f"](plots/{name}.png)" in markdown for name in names)
    with (report / "results.csv").open() as file:
        assert {row["configuration"] for row in csv.DictReader(file)} == {"relu", "gelu", "tanh"}
    said = json.loads((report / "verdict.json").read_text())["blocks"][0]["sentences"]
    assert done.stdout.splitlines()[-len(said) - 3].startswith("page         study/report/report.html")
    assert done.stdout.splitlines()[-len(said) :] == said  # what is read last


def test_html_in_a_label_is_text(tmp_path):
    from actbench.report import page
    from actbench.settings import Choice

    evil = "<script>alert(1)</script>"
    for number, name in enumerate((evil, "a|b_c")):
        own = replace(settings(), activation=Choice(name, "torch.nn.ReLU", {"p": number}))
        fake_run(tmp_path / f"run{number}", own, accuracies(97 + number))
    comparison = the_comparison(tmp_path)
    page.write([comparison], [], tmp_path / "report")
    html = (tmp_path / "report" / "report.html").read_text()
    parsed = _Words()
    parsed.feed(html)
    assert parsed.tags.count("script") == 1  # ours
    assert "<script>alert" not in html
    assert evil in "".join(parsed.words)
    markdown = (tmp_path / "report" / "report.md").read_text()
    assert "<script" not in markdown
    assert r"a\|b\_c" in markdown


@pytest.mark.rendered
def test_a_report_can_be_repeated_and_replaces_its_plots(actbench, tmp_path):
    runs_of(tmp_path / "study", relu=97.0, gelu=98.0)
    actbench("report", "study")
    stale = tmp_path / "study" / "report" / "plots" / "stale.png"
    stale.write_bytes(b"")
    (tmp_path / "study" / "report" / "plots" / "mine.txt").write_text("kept")
    before = (tmp_path / "study" / "report" / "results.csv").read_bytes()
    svg = (tmp_path / "study" / "report" / "plots" / "curves.svg").read_bytes()
    actbench("report", "study")
    assert (tmp_path / "study" / "report" / "results.csv").read_bytes() == before
    assert (tmp_path / "study" / "report" / "plots" / "curves.svg").read_bytes() == svg
    assert not stale.exists()
    assert (tmp_path / "study" / "report" / "plots" / "mine.txt").exists()


def test_runs_sweeps_and_studies_can_be_mixed_and_a_run_counts_once(actbench, tmp_path):
    runs_of(tmp_path / "outputs" / "a", relu=97.0)
    runs_of(tmp_path / "outputs" / "b", gelu=98.0)
    (relu,) = (tmp_path / "outputs" / "a").iterdir()
    done = actbench("report", "outputs", "outputs/a", str(relu), "--table")
    assert done.returncode == 0, done.stderr
    assert "Use gelu: it is better than relu" in done.stdout
    assert not list(tmp_path.rglob("report.html"))
    done = actbench("report", "outputs/a", "outputs/b")
    assert (tmp_path / "outputs" / "report" / "report.html").exists()
    done = actbench("report", "--output", "elsewhere")  # `outputs` is where it looks
    assert (tmp_path / "elsewhere" / "report.html").exists(), done.stderr


def test_wide_and_narrow_terminals_show_whole_columns(actbench, tmp_path):
    runs_of(tmp_path / "study", relu=97.0, gelu=98.0)
    for width in (60, 80, 140):
        done = actbench("report", "study", "--table", "--full", env={"COLUMNS": str(width)})
        table = done.stdout.split("Results")[1].split("means over")[0]
        assert all(len(line) <= width for line in table.splitlines())
        shown, _, left_out = table.partition("no room for")
        assert ("params" in shown) == (width > 80) == ("params" not in left_out)
        assert re.search(r"gelu +98\.\d\d ± 0\.\d\d +best", table)


# ---------------------------------------------------------------- bad input


@pytest.fixture
def study(tmp_path):
    return runs_of(tmp_path / "study", relu=97.0, gelu=98.0, tanh=96.0)


def the_folder(study, activation):
    (found,) = study.glob(f"{activation}-*")
    return found


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def _half(folder):
    text = (folder / "summary.json").read_text()
    (folder / "summary.json").write_text(text[: len(text) // 2])


def _accuracy(content):
    content["metrics"]["test_accuracy"]["mean"] = 99.9


def _over(content):
    metric = content["metrics"]["test_accuracy"]
    metric["values"] = [150.0] * 5
    metric["mean"] = 150.0


def _validation(content):
    metric = content["metrics"]["val_accuracy"]
    metric["values"] = [value + 1 for value in metric["values"]]
    metric["mean"] += 1


def _older(folder):
    edit(folder / "summary.json", lambda content: content.pop("execution"))
    edit(folder / "environment.json", lambda content: content["packages"].update(actbench="0.0.7"))


def _mixed(folder):
    other = next(path for path in folder.parent.iterdir() if path.name.startswith("relu"))
    shutil.copy(other / "summary.json", folder / "summary.json")


def _lr(folder):
    content = yaml.safe_load((folder / "settings.yaml").read_text())
    content["optimizer"]["params"]["lr"] = 0.5
    (folder / "settings.yaml").write_text(yaml.safe_dump(content))


BAD = {
    "half written": (_half, "summary.json", "cannot be read"),
    "empty": (lambda f: (f / "summary.json").write_text(""), "summary.json", "cannot be read"),
    "a list": (lambda f: (f / "summary.json").write_text("[1]"), "summary.json", "does not hold names and values"),
    "mean edited": (lambda f: edit(f / "summary.json", _accuracy), "summary.json", "the mean of `test_accuracy` (99.9)"),
    "over 100": (lambda f: edit(f / "summary.json", _over), "summary.json", "a value outside 0 to 100"),
    "not the history's": (lambda f: edit(f / "summary.json", _validation), "summary.json", "is not that in history.csv"),
    "a word as value": (
        lambda f: edit(f / "summary.json", lambda c: c["metrics"]["test_accuracy"].update(values=["x"] * 5)),
        "summary.json", "is not a run's summary",
    ),
    "status": (lambda f: edit(f / "summary.json", lambda c: c.update(status="fine")), "summary.json", "no status `fine`"),
    "older": (_older, "summary.json", "has no `execution`; it was written by actbench 0.0.7"),
    "newer": (lambda f: edit(f / "summary.json", lambda c: c.update(mood=1)), "summary.json", "a `mood` that is not known"),
    "two configurations": (_mixed, "summary.json", "belongs to configuration"),
    "settings edited": (_lr, "settings.yaml", "it was changed by hand"),
    "no settings": (lambda f: (f / "settings.yaml").unlink(), "gelu-", "has no settings.yaml"),
    "settings torn": (lambda f: (f / "settings.yaml").write_text("{a: ["), "settings.yaml", "cannot be read"),
    "history binary": (lambda f: (f / "history.csv").write_bytes(b"\xff\x00\x01"), "history.csv", "cannot be read"),
    "history torn": (lambda f: (f / "history.csv").write_text("seed,epoch\n1,x\n"), "history.csv", "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_damaged_run_is_named_and_the_rest_reported(actbench, study, case):
    spoil, where, what = BAD[case]
    spoil(the_folder(study, "gelu"))
    done = actbench("report", "study")
    assert done.returncode == 2
    assert done.stderr.startswith("error: study/gelu-"), done.stderr
    first = done.stderr.splitlines()[0]
    assert where in first
    assert what in first, first
    assert done.stderr.count("error:") == 1
    assert "Traceback" not in done.stderr
    assert "Use relu: it is better than tanh" in done.stdout
    assert "Could not be used" in (study / "report" / "report.html").read_text()


def test_torn_layers_cost_a_plot_and_no_more(actbench, study):
    (the_folder(study, "gelu") / "layers.csv").write_text("seed,epoch\n1,x\n")
    done = actbench("report", "study")
    assert done.returncode == 2
    assert "layers.csv: cannot be read" in done.stderr
    assert "Use gelu: it is the best" in done.stdout
    assert "Use gelu: it is the best" in (study / "report" / "report.html").read_text()


def test_a_torn_history_of_an_unfinished_run_is_listed(actbench, study):
    folder = the_folder(study, "gelu")
    (folder / "summary.json").unlink()
    (folder / "history.csv").write_text("seed,epoch\n1,x\n")
    done = actbench("report", "study", "--table", "--full")
    assert done.returncode == 0, done.stderr
    assert "Use relu: it is better than tanh" in done.stdout
    assert "unfinished; its" in done.stdout


def leaves(content, path=()):
    """Every place in nested dicts."""
    for key, value in content.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))


@pytest.mark.parametrize("name", ["summary.json", "settings.yaml"])
def test_no_edit_by_hand_brings_the_report_down(tmp_path, name):
    """Each value in turn replaced by something else: the run is reported, or refused with a message, never a crash."""
    study = runs_of(tmp_path / "study", relu=97.0, gelu=98.0)
    path = the_folder(study, "gelu") / name
    read, write = (json.loads, json.dumps) if name == "summary.json" else (yaml.safe_load, yaml.safe_dump)
    original = path.read_text()
    refused = 0
    for place in list(leaves(read(original))):
        for value in (None, [], {}, "word", -1, True, [1, "x"]):
            content = read(original)
            inner = content
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = value
            path.write_text(write(content))
            found = runs.find([study])
            refused += len(found.problems)
            assert all(isinstance(str(problem), str) for problem in found.problems)
            if len(found.runs) == 1:  # it was refused, and what is left is the same each time
                continue
            for block in blocks(found.runs):
                comparison = compare(block)
                assert comparison_tables(comparison)
                tidy([comparison])
    assert refused > 100


def test_links_in_circles_and_the_output_of_others_do_no_harm(actbench, study, tmp_path):
    for number, target in enumerate((".", "..", "study")):
        (study / f"loop{number}").symlink_to(target)
    (tmp_path / "study" / "other_app" / ".hydra").mkdir(parents=True)
    (tmp_path / "study" / "other_app" / ".hydra" / "config.yaml").write_text("lr: 1\n")
    done = actbench("report", "study", "--table")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Use gelu: it is the best" in done.stdout


def test_markup_in_names_is_text(actbench, tmp_path):
    from actbench.settings import Choice

    for number, name in enumerate(("[/red]", "[bold]", "$x^2$")):
        own = replace(settings(), activation=Choice(name, "torch.nn.ReLU", {"p": number}))
        fake_run(tmp_path / "study" / f"run{number}", own, accuracies(97 + number, seed=number))
    done = actbench("report", "study", "--baseline", "[bold]")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Compared with [bold]" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["report", "nowhere"], "error: nowhere: there is no such folder"),
        (["report", "empty"], "error: empty: there is no run in it"),
        (["report", "file"], "error: file: is a file"),
        (["report"], "error: outputs: there is no such folder"),
        (["report", "study", "--baseline", "nope"], "error: --baseline nope: there is no such configuration"),
        (["report", "study", "--per", "seeds"], "error: --per seeds: does not vary here"),
        (["report", "study", "--frobnicate"], "error: actbench report: unrecognized arguments: --frobnicate"),
        (["report", "study", "--output", "file/x"], "error: file/x/plots: Not a directory"),
    ],
)
@pytest.mark.usefixtures("study")
def test_bad_input_gets_one_clear_message(actbench, tmp_path, arguments, complaint):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    done = actbench(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(complaint), done.stderr
    assert "Traceback" not in done.stderr
    assert ("Use gelu: it is the best" in done.stdout) == ("study" in arguments and "--frobnicate" not in arguments)


def test_help_of_the_subcommand(actbench):
    done = actbench("report", "--help")
    assert done.returncode == 0
    assert all(word in done.stdout for word in ("--baseline", "--per", "--output", "--table", "PATH"))
