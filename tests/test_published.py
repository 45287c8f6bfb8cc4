"""Published figures beside ours: that the data file says what was published, and which runs are held beside it."""

from __future__ import annotations

import shlex
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from helpers import fake_run, settings_of
from scipy import stats

from actbench import naming
from actbench.report import runs
from actbench.report.configurations import blocks
from actbench.report.published import published, setups
from actbench.report.statistics import prediction_interval

DEPTH, LENET, ARTICLE = "Mish's depth test on MNIST", "Mish's LeNet-4 on MNIST", "The article's claim"


def a_run(folder, *overrides, values=(98.0, 98.1, 98.2), **other):
    own = settings_of("dataset=mnist", f"num_seeds={len(values)}", *overrides)
    return fake_run(folder / own.folder, own, list(values), **other)


def beside(folder):
    """Title of a set-up -> what stands beside it."""
    found = [one for block in blocks(runs.find([folder]).runs) for one in block.configurations]
    return {one.setup.title: one for one in published(found)}


def rows(of):
    return [dict(zip(of.table.header, row, strict=True)) for row in of.table.rows] if of.table else []


# ---------------------------------------------------------------- the data file


@pytest.mark.parametrize("setup", setups(), ids=lambda setup: setup.experiment)
def test_a_set_up_is_what_its_experiment_trains(setup):
    """Every setting of the experiment is in the data file, with the same value; a new one has to be added there."""
    flat = settings_of(f"experiment={setup.experiment}", "dataset=mnist").flat()
    free = {"activation", "optimizer.fused", "train.precision", "dataset.scaling"}  # the last two are said in a row
    if setup.counted:
        free.add(setup.counted["key"])
    assert {key: naming.shown(flat.get(key)) for key in setup.settings} == {
        key: naming.shown(value) for key, value in setup.settings.items()
    }
    assert {*flat} - {*setup.settings} == free


def test_the_figures_are_those_that_were_published():
    depth, lenet, article = setups()
    by_place = {(claim.theirs, claim.place): claim for claim in depth.claims}
    assert len(by_place) == len(depth.claims) == 33
    assert [by_place["Mish", n].value for n in (15, 20, 25)] == [98.43, 97.52, 85.16]
    assert [by_place["Swish", n].value for n in (15, 20, 25)] == [98.20, 96.22, 39.68]
    assert [by_place["ReLU", n].value for n in range(15, 26)] == [97, 98, 86, 58, 51, 48, 27, 27, 14, 18, 23]
    assert by_place["Mish", 15].settings == {"model.depth": 12}  # "for x in range(12, 23)"
    assert {claim.ours for claim in depth.claims if claim.theirs == "Swish"} == {"silu"}
    assert {claim.how for claim in depth.claims if claim.theirs == "ReLU"} == {"read off a plot"}
    assert {claim.theirs: claim.value for claim in lenet.claims} == {"ReLU": 98.65, "Swish": 98.42, "Mish": 98.64}
    assert [(claim.value, claim.at_least) for claim in article.claims] == [(98, True)]
    assert all(setup.runs == 1 and setup.source for setup in setups())


# ---------------------------------------------------------------- one more run


def test_one_more_run_falls_into_the_interval_as_often_as_it_says():
    rng = np.random.default_rng(0)
    for n in (2, 3, 5):
        draws = rng.normal(97, 0.3, (4000, n + 1))
        hits = [low <= draw[-1] <= high for draw in draws for low, high in [prediction_interval(list(draw[:-1]))]]
        assert np.mean(hits) == pytest.approx(0.95, abs=0.012)


def test_one_value_has_no_interval_and_none_leaves_what_is_possible():
    assert prediction_interval([97.0]) is None
    assert prediction_interval([99.9, 99.0], at_least=0, at_most=100) == (
        pytest.approx(99.45 - 12.706 * 0.6364 * 1.5**0.5, abs=0.01),
        100,
    )


# ---------------------------------------------------------------- which runs


def test_a_run_stands_beside_its_figure_with_difference_and_verdict(tmp_path):
    values = [98.0, 98.2, 98.4]
    a_run(tmp_path, "experiment=mish_depth", values=values)
    found = beside(tmp_path)
    (row,) = rows(found[DEPTH])
    half = stats.t.isf(0.025, 2) * 0.2
    assert row["activation"] == "Mish"
    assert (row["layers"], row["lr"], row["published %"], row["n"]) == ("15", "0.01", "98.43", "3")
    assert row["ours %"] == f"98.20 ± {half / 3**0.5:.2f}"
    assert row["difference"] == "−0.23"
    assert row["one run of ours"] == f"{98.2 - half * (4 / 3) ** 0.5:.2f} to {98.2 + half * (4 / 3) ** 0.5:.2f}"
    assert (row["within"], row["how published"]) == ("yes", "printed")
    assert (
        found[DEPTH].sentence
        == f"{DEPTH}: in 1 of 1 case the published figure is in the range of a single run of ours."
    )
    assert found[LENET].table is found[ARTICLE].table is None
    assert found[LENET].sentence == ""


def test_a_figure_that_no_run_of_ours_would_give_is_said_to_be_so(tmp_path):
    a_run(tmp_path, "experiment=mish_depth", "model.depth=22", "activation=relu", values=[95.0, 95.1, 95.2])
    found = beside(tmp_path)[DEPTH]
    (row,) = rows(found)
    assert (row["layers"], row["published %"], row["within"], row["difference"]) == ("25", "23", "no", "+72.10")
    assert "in 0 of 1 case" in found.sentence


@pytest.mark.parametrize(
    "other",
    [
        ["dropout=0.3"], ["train.epochs=9"], ["norm.momentum=0.1"], ["model.width=400"], ["model.depth=3"],
        ["scheduler=cosine"], ["init=xavier_normal"], ["dataset.train_size=1000"], ["dataset=digits"], ["optimizer=adam"],
        ["activation=swish"], ["activation=gelu"], ["upper_activation=relu"], ["clip=norm"], ["train.batch_size=64"],
    ],
    ids=lambda other: other[0],
)  # fmt: skip
def test_what_is_not_the_published_set_up_is_not_held_beside_it(tmp_path, other):
    a_run(tmp_path, "experiment=mish_depth", *other)
    assert beside(tmp_path)[DEPTH].table is None


def test_precision_the_name_of_the_data_and_how_it_was_executed_do_not_matter(tmp_path):
    a_run(tmp_path / "a", "experiment=mish_depth", "train.precision=bf16", "train.threads=1")
    a_run(tmp_path / "b", "experiment=mish_depth", "dataset=auto", "activation=silu", "probe=false")
    summary = next((tmp_path / "b").glob("*/summary.json"))
    summary.write_text(summary.read_text().replace('"dataset": "auto"', '"dataset": "mnist"'))
    assert [row["activation"] for row in rows(beside(tmp_path)[DEPTH])] == ["Mish (bf16)", "Swish (silu)"]


def test_another_scaling_is_a_row_of_its_own_that_says_so(tmp_path):
    a_run(tmp_path, "experiment=mish_depth")
    a_run(tmp_path, "experiment=mish_depth", "dataset.scaling=unit")
    assert {row["activation"] for row in rows(beside(tmp_path)[DEPTH])} == {"Mish", "Mish (dataset.scaling=unit)"}


def test_the_learning_rate_is_chosen_by_validation_and_never_by_the_test_set(tmp_path):
    for lr, validation, test in ((0.01, 96.0, 97.0), (0.03, 98.0, 97.5), (0.1, 97.0, 99.9)):
        values, checks = ([mean - 0.1, mean, mean + 0.05] for mean in (test, validation))
        a_run(tmp_path, "experiment=mish_depth", f"optimizer.lr={lr}", values=values, validation=checks)
    found = beside(tmp_path)[DEPTH]
    assert [(row["lr"], row["ours %"][:5]) for row in rows(found)] == [("0.01", "96.98"), ("0.03, best of 3", "97.48")]
    assert "of 1 case" in found.sentence  # the chosen one is no reproduction


def test_without_the_published_learning_rate_there_is_nothing_beside_it(tmp_path):
    a_run(tmp_path, "experiment=mish_depth", "optimizer.lr=0.1")
    found = beside(tmp_path)[DEPTH]
    assert found.table is None
    assert "mish" in found.missing[0][0]


def test_one_seed_and_seeds_that_diverged(tmp_path):
    a_run(tmp_path, "experiment=mish_lenet", "activation=relu", values=[98.6])
    a_run(tmp_path, "experiment=mish_lenet", "activation=silu", diverged={1: 2})
    a_run(tmp_path, "experiment=mish_lenet", "activation=mish", diverged=dict.fromkeys(range(3), 1))
    found = beside(tmp_path)[LENET]
    relu, silu, mish = rows(found)
    assert (relu["ours %"], relu["within"], relu["one run of ours"]) == ("98.60", "–", "–")
    assert silu["n"] == "2 (1 diverged)"
    assert (mish["ours %"], mish["difference"], mish["n"]) == ("diverged", "–", "0 (3 diverged)")


def test_a_claim_of_at_least_is_counted_seed_by_seed(tmp_path):
    a_run(tmp_path, "experiment=article_mlp", values=[97.9, 98.0, 98.2], diverged=None)
    found = beside(tmp_path)[ARTICLE]
    (row,) = rows(found)
    assert (row["published %"], row["within"], row["difference"]) == ("≥ 98", "2 of 3", "–")
    assert found.sentence == f"{ARTICLE}: not every seed reached it."


# ---------------------------------------------------------------- what there is no run of


def test_the_commands_train_exactly_what_is_missing(tmp_path):
    """Carrying each of them out leaves nothing missing. Each is composed but for its depth, a number like another."""
    composed = partial(settings_of, "dataset=mnist", "num_seeds=3")
    a_run(tmp_path, "experiment=mish_depth", "activation=relu")
    made = 0
    for one in beside(tmp_path).values():
        for _, command in one.missing:
            words = shlex.split(command)[1:]
            fixed = [word for word in words if word != "-m" and "," not in word]
            swept = [(word.partition("=")[0], word.partition("=")[2].split(",")) for word in words if "," in word]
            assert ("-m" in words) == bool(swept)
            for numbers in np.ndindex(*(len(values) for _, values in swept)):
                picked = {key: values[n] for (key, values), n in zip(swept, numbers, strict=True)}
                depth = picked.pop("model.depth", None)
                settings = composed(*fixed, *[f"{key}={value}" for key, value in picked.items()])
                if depth is not None:
                    params = {**settings.model.params, "depth": int(depth)}
                    settings = replace(settings, model=replace(settings.model, params=params))
                fake_run(tmp_path / "made" / settings.folder, settings, [98.0, 98.1, 98.2])
                made += 1
    assert made == 32 + 3 + 1
    assert not any(one.missing for one in beside(tmp_path).values())


def test_published_figures_on_the_command_line(actbench, tmp_path):
    a_run(tmp_path / "study", "experiment=mish_depth")
    done = actbench("report", "study", "--published", "--table")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Published figures, ours beside theirs" in done.stdout
    assert "arXiv:1908.08681" in done.stdout
    assert "\n    actbench -m experiment=mish_lenet activation=relu,silu,mish dataset=mnist\n" in done.stdout
    assert not (tmp_path / "study" / "report").exists()
    done = actbench("report", "study", "--published", "--output", "there")
    for name in ("report.html", "report.md"):
        text = (tmp_path / "there" / name).read_text()
        assert "Published figures, ours beside theirs" in text
        assert "98.43" in text
    assert "98.43" not in actbench("report", "study", "--table").stdout


def test_without_a_single_run_the_commands_are_told(actbench):
    done = actbench("report", "--published")
    assert done.returncode == 2
    assert "actbench experiment=article_mlp activation=relu dataset=mnist" in done.stdout
    assert done.stderr.startswith("error: outputs: there is no such folder")


def test_commands_can_be_copied_from_a_narrow_terminal(actbench, tmp_path):
    a_run(tmp_path / "study", "experiment=mish_depth")
    done = actbench("report", "study", "--published", "--table", env={"COLUMNS": "60"})
    assert (
        "    actbench -m experiment=mish_depth activation=silu,relu dataset=mnist model.depth=12,13,14,15,16,17,18"
        in done.stdout
    )
    table = done.stdout.split("one run of ours")[0]
    assert "15  0.01" in table
