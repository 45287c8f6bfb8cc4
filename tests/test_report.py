"""The comparison from files: what is merged, ranked, named, tuned and told; and what bad input gets."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import yaml
from helpers import fake_run, settings_of
from scipy import stats

from actbench import naming
from actbench.report import runs
from actbench.report.command import answer_of
from actbench.report.comparison import compare
from actbench.report.configurations import blocks
from actbench.report.tables import sheets, tidy

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
    return compare(block, **options)


def cells(sheet):
    return {row[0]: dict(zip(sheet.header, row, strict=True)) for row in sheet.rows}


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
    assert naming.typed(own, typed) == "gelu lr=0.003 init=orthogonal epochs=3"


# ---------------------------------------------------------------- merging and ranking


def test_the_best_comes_first_and_differences_are_those_of_scipy(tmp_path):
    comparison = the_comparison(runs_of(tmp_path, relu=97.5, gelu=98.0, tanh=96.0))
    assert [row.name for row in comparison.ranking.rows] == ["gelu", "relu", "tanh"]
    relu, gelu = (next(r.configuration for r in comparison.ranking.rows if r.name == n) for n in ("relu", "gelu"))
    row = comparison.ranking.rows[0]
    a, b = ([one.values["test_accuracy"][seed] for seed in range(5)] for one in (gelu, relu))
    test = stats.ttest_rel(a, b)
    interval = test.confidence_interval(0.95)
    assert row.against.p == pytest.approx(test.pvalue)
    assert row.against.difference.ci95 == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert row.p == pytest.approx(max(2 * min(r.against.p for r in comparison.ranking.rows if r.against),
                                      row.against.p) if row.against.p > 1e-9 else 2 * row.against.p, rel=1.1)  # fmt: skip
    assert comparison.ranking.baseline.name == "relu"
    assert "gelu is the best" in comparison.ranking.conclusion[0]
    assert "better: gelu (+" in comparison.ranking.conclusion[1]
    assert "worse: tanh (−" in comparison.ranking.conclusion[1]


def test_other_seeds_of_one_configuration_make_n_grow(tmp_path):
    for first, number in ((0, 5), (5, 5)):
        own = settings("activation=gelu", f"seed={first}", f"num_seeds={number}")
        fake_run(tmp_path / own.folder, own, accuracies(98, seed=first))
    runs_of(tmp_path, relu=97.5)
    comparison = the_comparison(tmp_path)
    gelu = comparison.ranking.rows[0]
    assert (gelu.configuration.n, sorted(gelu.configuration.values["test_accuracy"])) == (10, list(range(10)))
    assert gelu.against.seeds == (0, 1, 2, 3, 4)  # those that relu has too
    assert gelu.configuration.seconds_per_epoch == pytest.approx(0.6 / 5)


def test_of_one_seed_the_newer_run_counts_and_a_contradiction_is_told(tmp_path):
    import os

    for number, (study, mean) in enumerate((("old", 90.0), ("new", 98.0))):
        own = settings("activation=gelu")
        folder = fake_run(tmp_path / study / own.folder, own, accuracies(mean))
        os.utime(folder / "summary.json", (1000 + number, 1000 + number))
    comparison = the_comparison(tmp_path)
    (row,) = comparison.ranking.rows
    assert row.configuration.mean("test_accuracy") == pytest.approx(98, abs=0.5)
    assert "seeds 0, 1, 2, 3, 4 were trained twice with different results" in comparison.remarks[0]
    shutil.rmtree(tmp_path / "old")
    shutil.copytree(tmp_path / "new", tmp_path / "copy")
    assert the_comparison(tmp_path).remarks == ()  # the same results twice are no news


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
    results, waiting = (cells(sheet) for sheet in (sheets(comparison)[0], sheets(comparison)[-1]))
    assert results["elu"]["n"] == "3 (2 diverged)"
    assert set(waiting) == {"tanh", "selu", "mish"}
    assert waiting["tanh"]["status"] == "failed: RuntimeError: too hot"
    assert waiting["selu"]["status"] == "interrupted: after epoch 1 of 3"
    assert waiting["mish"]["status"].startswith("unfinished: 3 of 3 epochs")
    assert any("Seeds diverged in elu (2)" in sentence for sentence in comparison.ranking.conclusion)


def test_a_configuration_that_diverged_wholly_stays_in_the_table(tmp_path):
    runs_of(tmp_path, relu=97.0)
    own = settings("activation=elu")
    folder = fake_run(tmp_path / own.folder, own, accuracies(97), diverged=dict.fromkeys(range(5), 1))
    summary = json.loads((folder / "summary.json").read_text())
    summary["status"] = "diverged"
    (folder / "summary.json").write_text(json.dumps(summary))
    comparison = the_comparison(tmp_path)
    assert cells(sheets(comparison)[0])["elu"]["test accuracy %"] == "diverged"
    assert comparison.ranking.rows[-1].name == "elu"


# ---------------------------------------------------------------- conclusions


def test_few_seeds_are_no_ground_for_a_conclusion(tmp_path):
    for activation, mean in (("relu", 97.0), ("gelu", 99.0)):
        own = settings(f"activation={activation}", "num_seeds=2")
        fake_run(tmp_path / own.folder, own, accuracies(mean, n=2))
    comparison = the_comparison(tmp_path)
    assert comparison.ranking.conclusion[0].startswith("Nothing can be concluded: fewer than 3 seeds in common")
    assert cells(sheets(comparison)[1])["gelu"]["p (Holm)"] == "too few seeds"


def test_two_that_cannot_be_told_apart_are_said_to_be_so(tmp_path):
    comparison = the_comparison(runs_of(tmp_path, relu=97.50, gelu=97.53))
    sentence = comparison.ranking.conclusion[0]
    found = re.fullmatch(
        r"(\w+) and (\w+) are not distinguishable at n = 5; about (\d+) seeds would be needed to see a difference of "
        r"(\d\.\d\d) points between \1 and \2\.",
        sentence,
    )
    assert found, sentence
    assert float(found[4]) >= 0.05


def test_a_clear_winner_of_two_is_named_with_its_evidence(tmp_path):
    sentence = the_comparison(runs_of(tmp_path, relu=97.0, gelu=98.0)).ranking.conclusion[0]
    assert re.match(r"gelu is better than relu: \+\d\.\d\d points .* paired over 5 seeds\)\.$", sentence), sentence


def test_nothing_complete_means_nothing_concluded(tmp_path):
    own = settings("activation=tanh")
    fake_run(tmp_path / own.folder, own, accuracies(97), status="failed", reason="no")
    assert the_comparison(tmp_path).ranking.conclusion == ("No run is complete: nothing can be concluded yet.",)


# ---------------------------------------------------------------- baseline


@pytest.mark.parametrize(("words", "expected"), [("gelu", "gelu lr=0.003"), ("gelu lr=0.001", "gelu lr=0.001"), (None, "relu lr=0.003")])  # fmt: skip
def test_the_baseline_answers_to_its_words(tmp_path, words, expected):
    """Where several do, validation decides, never the test set."""
    for activation in ("relu", "gelu"):
        for lr, mean in (("1e-3", 97), ("3e-3", 98)):
            own = settings(f"activation={activation}", f"optimizer.lr={lr}")
            fake_run(tmp_path / own.folder, own, accuracies(mean))
    comparison = the_comparison(tmp_path, baseline=words)
    assert comparison.ranking.baseline.name == expected
    assert bool(comparison.remarks) == (words in ("gelu", None))


def test_without_relu_the_best_is_the_baseline(tmp_path):
    assert the_comparison(runs_of(tmp_path, elu=97.0, gelu=98.0)).ranking.baseline.name == "gelu"


def test_a_baseline_that_is_not_there_is_told_and_the_rest_reported(tmp_path):
    answer = answer_of([runs_of(tmp_path, relu=97.0, gelu=98.0)], baseline="gleu")
    assert str(answer.problems[0]) == (
        "--baseline gleu: there is no such configuration to compare with\n    did you mean gelu?"
    )
    assert answer.comparisons[0].ranking.baseline.name == "relu"


# ---------------------------------------------------------------- tuning


def grid(folder, table):
    """(activation, lr) -> (validation, test) mean."""
    for (activation, lr), (validation, test) in table.items():
        own = settings(f"activation={activation}", f"optimizer.lr={lr}")
        path = fake_run(folder / own.folder, own, accuracies(validation + 0.5, 0.02))
        content = json.loads((path / "summary.json").read_text())
        metric = content["metrics"]["test_accuracy"]
        shift = test - metric["mean"]
        metric["values"] = [value + shift for value in metric["values"]]
        metric["mean"] = sum(metric["values"]) / 5
        metric["ci95"] = [bound + shift for bound in metric["ci95"]]
        (path / "summary.json").write_text(json.dumps(content))
    return folder


def test_tuning_chooses_by_validation_and_never_by_the_test_set(tmp_path):
    table = {
        ("relu", "1e-3"): (97.0, 99.0), ("relu", "3e-3"): (97.5, 97.0),  # the test set would have chosen 1e-3
        ("gelu", "1e-3"): (98.0, 97.4), ("gelu", "3e-3"): (97.0, 99.5),
    }  # fmt: skip
    tuned = the_comparison(grid(tmp_path, table)).tuned
    assert tuned.chosen == {"relu": "lr=0.003", "gelu": "lr=0.001"}
    assert [row.name for row in tuned.ranking.rows] == ["gelu", "relu"]
    assert tuned.ranking.rows[0].configuration.mean("test_accuracy") == pytest.approx(97.4)
    assert tuned.common == "lr=0.001"  # (97 + 98) / 2 against (97.5 + 97) / 2
    assert tuned.untuned["relu"].mean("test_accuracy") == pytest.approx(99.0)
    sheet = cells(next(s for s in sheets(the_comparison(tmp_path)) if s.title.startswith("Tuned")))
    assert (sheet["relu"]["settings tried"], sheet["gelu"]["settings tried"]) == ("2", "2")


def test_tuning_is_on_equal_terms(tmp_path):
    """A setting that one activation did not try gives the others no advantage."""
    table = {
        ("relu", "1e-3"): (97.0, 97.0), ("relu", "3e-3"): (97.5, 97.5), ("relu", "1e-2"): (99.0, 99.0),
        ("gelu", "1e-3"): (98.0, 98.0), ("gelu", "3e-3"): (97.0, 97.0),
    }  # fmt: skip
    tuned = the_comparison(grid(tmp_path, table)).tuned
    assert tuned.settings == ("lr=0.001", "lr=0.003")
    assert tuned.chosen["relu"] == "lr=0.003"
    assert tuned.remarks == ("1 settings were not tried with every activation and have no part in the tuning",)


def test_a_setting_in_which_a_seed_diverged_is_chosen_last(tmp_path):
    grid(tmp_path, {("relu", "1e-3"): (97.0, 97.0), ("gelu", "1e-3"): (97.0, 97.0), ("gelu", "3e-3"): (97.0, 97.0)})
    own = settings("activation=relu", "optimizer.lr=3e-3")
    fake_run(tmp_path / own.folder, own, accuracies(99), diverged={0: 1})
    assert the_comparison(tmp_path).tuned.chosen["relu"] == "lr=0.001"


def test_other_keys_can_be_tuned_for_and_tuning_switched_off(tmp_path):
    grid(tmp_path, {(a, lr): (97.0, 97.0) for a in ("relu", "gelu") for lr in ("1e-3", "3e-3")})
    assert set(the_comparison(tmp_path, per="optimizer.lr").tuned.chosen) == {"lr=0.001", "lr=0.003"}
    assert the_comparison(tmp_path, per="none").tuned is None
    answer = answer_of([tmp_path], per="init")
    assert str(answer.problems[0]) == "--per init: does not vary here\n    what does: activation, optimizer.lr"


# ---------------------------------------------------------------- files


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


class _Words(HTMLParser):
    def __init__(self):
        super().__init__()
        self.words, self.tags, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_is_one_file_that_needs_no_network(actbench, tmp_path):
    runs_of(tmp_path / "study", relu=97.0, gelu=98.0, tanh=96.5)
    done = actbench("report", "study")
    assert (done.returncode, done.stderr) == (0, "")
    report = tmp_path / "study" / "report"
    page = (report / "report.html").read_text()
    parsed = _Words()
    parsed.feed(page)
    sources = [value for name, value in parsed.attributes if name in ("src", "href")]
    assert len(sources) == 5
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    assert "http" not in page
    text = " ".join(parsed.words)
    for expected in ("gelu is the best with", "Against relu", "actbench -m activation=relu,gelu", "2.15.0", "cpu"):
        assert expected in text
    plots = {path.name for path in (report / "plots").iterdir()}
    names = ("curves", "accuracy", "differences", "cost", "dead")
    assert plots == {f"{name}.{kind}" for name in names for kind in ("svg", "png")}
    markdown = (report / "report.md").read_text()
    assert "| gelu | 9" in markdown
    assert all(f"](plots/{name}.png)" in markdown for name in names)
    with (report / "results.csv").open() as file:
        assert {row["configuration"] for row in csv.DictReader(file)} == {"relu", "gelu", "tanh"}
    assert "report" in done.stdout.splitlines()[-1]


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
    assert "script" not in parsed.tags
    assert evil in "".join(parsed.words)
    markdown = (tmp_path / "report" / "report.md").read_text()
    assert "<script" not in markdown
    assert r"a\|b\_c" in markdown


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
    assert "gelu is better than relu" in done.stdout
    assert not list(tmp_path.rglob("report.html"))
    done = actbench("report", "outputs/a", "outputs/b")
    assert (tmp_path / "outputs" / "report" / "report.html").exists()
    done = actbench("report", "--output", "elsewhere")  # `outputs` is where it looks
    assert (tmp_path / "elsewhere" / "report.html").exists(), done.stderr


def test_wide_and_narrow_terminals_show_whole_columns(actbench, tmp_path):
    runs_of(tmp_path / "study", relu=97.0, gelu=98.0)
    for width in (60, 80, 120):
        done = actbench("report", "study", "--table", env={"COLUMNS": str(width)})
        table = done.stdout.split("Results, best first")[1].split("means over")[0]
        assert all(len(line) <= width for line in table.splitlines())
        assert ("params" in table) == (width > 60)
        assert re.search(r"gelu +98\.\d\d ± 0\.\d\d +5", table)


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
    "two configurations": (_mixed, "summary.json", "is of the configuration"),
    "settings edited": (_lr, "settings.yaml", "it was changed by hand"),
    "no settings": (lambda f: (f / "settings.yaml").unlink(), "gelu-", "has no settings.yaml"),
    "settings torn": (lambda f: (f / "settings.yaml").write_text("{a: ["), "settings.yaml", "cannot be read"),
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
    assert "relu is better than tanh" in done.stdout
    assert "Could not be used" in (study / "report" / "report.html").read_text()


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
    assert ("gelu is the best" in done.stdout) == ("study" in arguments and "--frobnicate" not in arguments)


def test_help_of_the_subcommand(actbench):
    done = actbench("report", "--help")
    assert done.returncode == 0
    assert all(word in done.stdout for word in ("--baseline", "--per", "--output", "--table", "PATH"))
