"""The verdict of runs on disk: first on the page, last in the terminal, `verdict.json`, exit codes, looks, and images."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from helpers import fake_run, settings_of

from actbench.command import arguments
from actbench.errors import UserError
from actbench.report import command, page, runs
from actbench.report.command import Asked, make_report
from actbench.report.comparison import compare
from actbench.report.configurations import blocks
from actbench.report.cost import costs
from actbench.report.evidence import evidence
from actbench.report.sequential import level
from actbench.store import correctness
from actbench.store import decide as stored

BASE = ["dataset=digits", "train.epochs=3"]


def a_run(folder, activation, values, *overrides, **other):
    own = settings_of(*BASE, f"activation={activation}", f"num_seeds={len(values)}", *overrides)
    return fake_run(folder / own.folder, own, [float(value) for value in values], **other)


def study(folder, images=10_000, n=5, spread=0.02, **means):
    for number, (activation, mean) in enumerate(means.items()):
        values = np.round(mean + np.random.default_rng(number).normal(0, spread, n), 2)
        a_run(folder, activation, values, images=images)
    return folder


def report(*words, monkeypatch, folder):
    monkeypatch.chdir(folder)
    return command.main(arguments.report([*map(str, words)]))


@pytest.fixture
def shown(tmp_path, monkeypatch, capsys):
    """Runs `actbench report` in this process -> exit code and what it printed."""

    def run(*words):
        code = report(*words, monkeypatch=monkeypatch, folder=tmp_path)
        return code, capsys.readouterr().out

    return run


# ---------------------------------------------------------------- where it is


def test_it_is_first_on_the_page_and_last_in_the_terminal(shown, tmp_path):
    study(tmp_path / "study", relu=97.0, gelu=98.0, tanh=96.0)
    code, out = shown("study")
    assert code == 0
    first, second = out.partition("--full\n\n")[2].replace("\nAvoid", "@Avoid").replace("\n", " ").split("@")
    assert first.startswith("Use gelu: it is the best, ahead of the next by 1.")
    assert second.startswith("Avoid relu (−1.")
    html = (tmp_path / "study" / "report" / "report.html").read_text()
    body = re.sub(r"<[^>]*>", " ", html.split("<body>")[1])
    title = "gelu, relu and tanh on digits, 3 epochs"
    assert re.match(rf"\s*{title}\s+actbench \S+, \S+ \S+\s+Use gelu: it is the best, ", body)
    assert "Use gelu" in html.split("<title>")[1].split("</title>")[0]
    markdown = (tmp_path / "study" / "report" / "report.md").read_text()
    assert markdown.startswith(f"# {title}\n\n**Use gelu: it is the best")
    for text, heading in ((html, "<summary><h3>"), (markdown, "### ")):  # p-values and effect sizes are in the fold
        before, fold = text.split(f"{heading}How this was decided")
        assert not any(word in before for word in ("effect size", "P(better)", "Tukey"))
        assert all(word in fold for word in ("effect size", "P(better)", "Tukey", "Against gelu"))
    assert not any(word in out for word in ("effect size", "P(better)", "Tukey"))


def test_verdict_json_has_all_of_it(shown, tmp_path):
    study(tmp_path / "study", relu=97.0, gelu=98.0, tanh=96.0)
    a_run(tmp_path / "study", "elu", [97.0] * 5, diverged={1: 2})
    code, _ = shown("study", "--baseline", "relu", "--margin", "0.2", "--fail-if", "gelu not best")
    assert code == 0
    content = json.loads((tmp_path / "study" / "report" / "verdict.json").read_text())
    assert set(content) == {"version", "settled", "fail_if", "blocks"}
    assert content["fail_if"] == {"condition": "gelu not best", "holds": False}
    (of,) = content["blocks"]
    assert set(of) == {
        "title", "margin", "level", "look", "test_set", "baseline", "use", "reason", "settled", "sentences",
        "configurations",
    }  # fmt: skip
    assert (of["margin"], of["level"], of["look"], of["test_set"]) == (0.2, level(1), 1, "new")
    assert (of["baseline"], of["use"], of["reason"], of["settled"]) == ("relu", "gelu", "only", True)
    assert [one["word"] for one in of["configurations"]] == ["best", "diverged", "worse", "worse"]
    gelu, elu, relu, _ = of["configurations"]
    assert set(gelu) == {
        "name", "id", "word", "accuracy", "n", "diverged", "difference", "low", "high", "more_seeds",
        "limited_by_images", "against_baseline",
    }  # fmt: skip
    assert gelu["low"] < gelu["difference"] < gelu["high"]
    assert gelu["against_baseline"]["word"] == "better"
    assert (relu["against_baseline"], relu["n"]) == (None, 5)
    assert (elu["n"], elu["diverged"], elu["low"], elu["difference"]) == (4, 1, None, None)


def test_several_blocks_have_a_verdict_each(shown, tmp_path):
    for epochs in (3, 4):
        for activation, mean in (("relu", 97.0), ("gelu", 98.0)):
            a_run(tmp_path / "s", activation, mean + np.array([0, 0.01, 0.02]), f"train.epochs={epochs}", images=10_000)
    _, out = shown("s")
    ended = out.split("all of it ")[1]
    titles = [line.partition(":")[0] for line in ended.splitlines() if line.startswith("digits, ")]
    assert sorted(titles) == ["digits, 3 epochs", "digits, 4 epochs"]
    assert ended.count("Use gelu") == 2
    content = json.loads((tmp_path / "s" / "report" / "verdict.json").read_text())
    assert [of["use"] for of in content["blocks"]] == ["gelu", "gelu"]


def test_where_another_dataset_stood_in_the_verdict_says_what_it_is_about(tmp_path):
    for activation, mean in (("relu", 97.0), ("gelu", 98.0)):
        note = "NOT MNIST: no network; these are scikit-learn's 1,797 digits instead"
        a_run(tmp_path, activation, mean + np.array([0, 0.01, 0.02]), dataset_note=note)
    (comparison,) = make_report([tmp_path]).comparisons
    assert comparison.sentences[-1] == (
        "All of this is about the dataset digits. NOT MNIST: no network; these are scikit-learn's 1,797 digits instead."
    )


def test_the_command_that_settles_it_is_whole_and_quoted(tmp_path):
    folder = study(tmp_path / "it's a study", relu=97.5, gelu=97.55, spread=0.2)
    (comparison,) = make_report([folder], Asked(margin=0.05, test_set="fixed")).comparisons
    said = next(sentence for sentence in comparison.sentences if "`" in sentence)
    quoted = str(folder).replace("'", "'\"'\"'")
    assert f"`actbench more '{quoted}' --margin 0.05 --test-set fixed --max-seeds " in said
    page.write([comparison], [], tmp_path / "report")
    html = (tmp_path / "report" / "report.html").read_text()
    html = re.sub("</?span>", "", html)  # words that lines do not break
    assert re.search(r"To settle it: <code>actbench more .* --margin 0\.05 .*</code> \(about ", html)
    stored.write(folder, stored.Decide(margin=0.05, test_set="fixed"))
    (comparison,) = make_report([folder]).comparisons  # the study's own terms need not be typed
    assert (comparison.verdict.margin, comparison.verdict.test_set) == (0.05, "fixed")
    assert f"`actbench more '{quoted}' --max-seeds " in " ".join(comparison.sentences)


def test_actbench_more_is_named_only_where_it_would_not_refuse(tmp_path):
    """It refuses a study of one configuration, and one of which not all runs can be compared."""
    words = re.compile(r"the command that trained \S+, with num_seeds=\d")
    noisy = {"relu": [97.5, 97.1, 97.8, 97.2, 97.6], "gelu": [97.1, 97.8, 97.2, 97.6, 97.5]}
    for activation, values in noisy.items():
        a_run(tmp_path / "apart" / activation, activation, values)
        a_run(tmp_path / "one", activation, values)
        for number in (3, 4):
            a_run(tmp_path / "two", activation, values, f"train.epochs={number}")
    for name in ("apart", "two", "one"):
        for comparison in make_report([tmp_path / name]).comparisons:
            said = " ".join(comparison.sentences)
            assert ("`actbench more " in said, bool(words.search(said))) == (
                (True, False) if name == "one" else (False, True)
            )
    a_run(tmp_path / "one", "swish", [97.0, 98.0, 97.0])
    asked = [tmp_path / "one" / path.name for path in (tmp_path / "one").glob("[rg]elu-*")]  # swish is there as well
    assert "`actbench more " in " ".join(make_report(asked).comparisons[0].sentences)


# ---------------------------------------------------------------- exit codes and bad input


def test_a_study_of_one_configuration_is_trained_on_by_its_own_command(tmp_path):
    """`actbench more` has nothing to decide between in it."""
    folders = [study(tmp_path / "a", relu=97.5, gelu=97.55, spread=0.2), tmp_path / "b"]
    a_run(folders[1], "elu", np.array([97.9, 97.4, 97.2, 97.7, 97.8]), images=10_000)
    (comparison,) = make_report(folders, Asked(test_set="fixed")).comparisons
    (said,) = (sentence for sentence in comparison.sentences if sentence.startswith("To settle it: "))
    assert f"`actbench more {folders[0]}" in said
    assert f"actbench more {folders[1]}" not in said
    assert re.search(rf"the command that trained {re.escape(str(folders[1]))}, with num_seeds=\d+ \(about", said)


@pytest.mark.parametrize(
    ("condition", "code", "told"),
    [
        ("relu worse than gelu by 0.2", 3, "holds (exit code 3)"),
        ("gelu not best", 0, "does not hold (exit code 0)"),
        ("relu worse than gelu by 1", 4, "cannot be decided with these runs (exit code 4)"),
    ],
)
def test_a_condition_has_an_exit_code_of_its_own(shown, tmp_path, condition, code, told):
    study(tmp_path / "study", relu=97.0, gelu=98.0)
    done, out = shown("study", "--table", "--fail-if", condition)
    assert done == code
    assert " ".join(out.split()).endswith(f"--fail-if {condition!r}: {told}")


@pytest.mark.parametrize("margin", ["0", "-0.1", "nan", "inf", "-inf", "0.1points", "", "100"])
def test_a_margin_that_is_none_is_one_message(margin):
    with pytest.raises(UserError) as caught:
        arguments.report([f"--margin={margin}"])
    (problem,) = caught.value.problems
    assert problem.what == "is not a number of percentage points above 0 and below 100"
    assert problem.where == f"--margin {margin}"


def test_all_that_is_mistyped_is_told_at_once():
    with pytest.raises(UserError) as caught:
        arguments.report(["--margin", "0", "--fail-if", "nonsense"])
    assert [problem.where for problem in caught.value.problems] == ["--margin 0", "--fail-if 'nonsense'"]


def test_a_condition_about_nobody_shows_the_report_and_writes_nothing(tmp_path, monkeypatch, capsys):
    study(tmp_path / "study", relu=97.0, gelu=98.0)
    with pytest.raises(UserError, match="there is no configuration 'rleu' with results"):
        report("study", "--fail-if", "rleu best", monkeypatch=monkeypatch, folder=tmp_path)
    assert "Use gelu" in capsys.readouterr().out
    assert not (tmp_path / "study" / "report").exists()


# ---------------------------------------------------------------- looks


def test_each_look_at_more_seeds_is_counted_and_paid_for(shown, tmp_path):
    folder = study(tmp_path / "study", relu=97.5, gelu=97.6, spread=0.1)
    for _ in range(2):  # the same results again are no further look
        shown("study")
        assert len(stored.read(folder).looks) == 1
        (of,) = json.loads((folder / "report" / "verdict.json").read_text())["blocks"]
        assert (of["look"], of["level"]) == (1, level(1))
    for activation in ("relu", "gelu"):
        a_run(folder, activation, [97.5, 97.6, 97.4], "seed=5", images=10_000)
    shown("study", "--table")  # writes nothing
    assert len(stored.read(folder).looks) == 1
    shown("study")
    assert len(stored.read(folder).looks) == 2
    (of,) = json.loads((folder / "report" / "verdict.json").read_text())["blocks"]
    assert (of["look"], of["level"]) == (2, level(2))
    study(tmp_path / "other", swish=97.5)
    shown("study", "other")  # of several studies, the one that was looked at most often
    (of,) = json.loads((tmp_path / "report" / "verdict.json").read_text())["blocks"]
    assert of["look"] == 2


def looked_at_twice(folder, *overrides, margin=None):
    """A study with two looks, of which the second saw noisier seeds."""
    for seeds in (range(5), range(5, 15)):
        rng = np.random.default_rng(len(seeds))
        for lr in ("0.001", "0.003"):
            for activation, mean in (("relu", 97.0), ("gelu", 97.3)):
                values = np.round(mean + rng.normal(0, 0.05 if 0 in seeds else 1.0, len(seeds)), 2)
                own = (f"seed={seeds[0]}", f"optimizer.lr={lr}", *overrides)
                validation = [97.0 if lr == "0.001" else 96.0] * len(seeds)  # which tuning chooses by
                a_run(folder, activation, values, *own, images=10_000, validation=validation)
        made = make_report([folder])
        command.looks.record(made.studies)
        yield made.comparisons[0]
    stored.write(folder, replace(stored.read(folder), margin=margin))


def test_of_several_studies_each_block_has_the_terms_and_looks_of_its_own(tmp_path):
    for number, margin in ((3, 0.3), (4, None)):
        [*looked_at_twice(tmp_path / f"s{number}", f"train.epochs={number}", margin=margin)]
    together = {one.block.title: one.verdict for one in make_report([tmp_path]).comparisons}
    for number, margin in ((3, 0.3), (4, 0.1)):
        (alone,) = make_report([tmp_path / f"s{number}"]).comparisons
        verdict = together[alone.block.title]
        assert (verdict.margin, verdict.look, len(verdict.earlier)) == (margin, 2, 1)
        assert verdict.decisions == alone.verdict.decisions
        assert verdict.sentences == alone.verdict.sentences


def test_what_an_earlier_look_excluded_the_tuned_verdict_excludes_as_well(tmp_path):
    first, then = looked_at_twice(tmp_path / "s")
    for place in ("verdict", "tuned"):
        of = [one.verdict if place == "verdict" else one.tuned.verdict for one in (first, then)]
        a, b = ({one.name: one for one in verdict.members} for verdict in of)
        gelu, relu = sorted(a)[0], sorted(a)[-1]
        _, low, high = of[0].between(a[gelu], a[relu])
        mean, now_low, now_high = of[1].between(b[gelu], b[relu])
        assert min(low, mean) <= now_low <= mean, place
        assert mean <= now_high <= max(high, mean), place


def test_only_where_earlier_looks_count_it_says_so(tmp_path):
    _, then = looked_at_twice(tmp_path / "s")
    assert "earlier looks excluded" in evidence(then.verdict).note
    study(tmp_path / "other", swish=97.5)
    a_run(tmp_path / "other", "relu", [97.0] * 5, "seed=5", "optimizer.lr=0.001", images=10_000)
    (both,) = make_report([tmp_path]).comparisons
    assert both.verdict.look == 2
    assert "earlier looks excluded" not in evidence(both.verdict).note


def test_a_look_that_cannot_be_written_costs_nothing(shown, tmp_path, monkeypatch):
    study(tmp_path / "study", relu=97.0, gelu=98.0)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stored, "write", full)
    assert shown("study")[0] == 0
    assert not (tmp_path / "study" / "decide.json").exists()


def test_a_damaged_decide_json_is_told_and_kept(tmp_path):
    folder = study(tmp_path / "study", relu=97.0, gelu=98.0)
    (folder / "decide.json").write_text("{")
    made = make_report([folder])
    assert [problem.where for problem in made.problems] == [str(folder / "decide.json")]
    assert made.comparisons[0].verdict.use.name == "gelu"
    command.looks.record(made.studies)
    assert (folder / "decide.json").read_text() == "{"


# ---------------------------------------------------------------- test images


def test_new_test_images_make_intervals_wider_and_older_runs_are_told(tmp_path):
    folder = study(tmp_path / "study", relu=97.5, gelu=97.6)
    new, fixed = (make_report([folder], Asked(test_set=asked)).comparisons[0] for asked in (None, "fixed"))
    assert (new.verdict.test_set, fixed.verdict.test_set) == ("new", "fixed")
    for a, b in zip(new.verdict.decisions, fixed.verdict.decisions, strict=True):
        assert a.difference == pytest.approx(b.difference)
        assert a.high - a.low > b.high - b.low
    assert new.remarks == fixed.remarks == ()
    (next(folder.glob("relu-*")) / "correct.npz").unlink()
    (older,) = make_report([folder]).comparisons
    assert older.verdict.test_set == "fixed"
    assert older.verdict.decisions[0].low == fixed.verdict.decisions[0].low
    (remark,) = older.remarks
    assert remark.startswith("the verdict holds for these test images only, as with --test-set fixed: not every run")


def test_how_near_equal_accuracies_are_is_known_from_the_images_for_a_fixed_test_set_too(tmp_path):
    folder = study(tmp_path / "study", images=400, spread=0, relu=100, gelu=100)
    for asked in ("new", "fixed"):
        (comparison,) = make_report([folder], Asked(margin=1.0, test_set=asked)).comparisons
        assert {one.word for one in comparison.verdict.decisions} == {"as good"}
        assert 0 < comparison.verdict.decisions[0].high < 1
    for path in [*folder.glob("*/correct.npz")][1:]:
        path.unlink()
    (comparison,) = make_report([folder], Asked(margin=1.0)).comparisons
    assert comparison.verdict.settled
    assert comparison.verdict.lacks_images


def test_where_the_images_are_too_few_no_seeds_are_asked_for(tmp_path):
    folder = study(tmp_path / "study", images=500, n=8, spread=0, relu=97.4, gelu=97.4)
    (comparison,) = make_report([folder]).comparisons
    verdict = comparison.verdict
    assert all(one.word == "undecided" and one.limited_by_images for one in verdict.decisions)
    assert (verdict.undecided, verdict.settled) == ((), False)
    assert any(
        re.fullmatch(
            r"More seeds cannot settle this: 500 test images show differences from \d\.\d\d points on; --margin [\d.]+ or a "
            r"larger test set would \(or --test-set fixed, which asks about these images only\)\.", sentence,
        ) for sentence in verdict.sentences
    ), verdict.sentences  # fmt: skip
    margin = float(re.search(r"--margin ([\d.]+)", " ".join(verdict.sentences))[1])
    (wider,) = make_report([folder], Asked(margin=margin)).comparisons
    assert not any(one.limited_by_images for one in wider.verdict.decisions)


def _other_seeds(path):
    correctness.write(path.parent, [7, 8], np.ones((2, 10_000), dtype=bool))


def _other_size(path):
    correctness.write(path.parent, range(5), np.ones((5, 100), dtype=bool))


def _other_results(path):
    correctness.write(path.parent, range(5), np.ones((5, 10_000), dtype=bool))


def _same_share_of_fewer(path):
    images = correctness.read(path.parent)
    halved = []
    for correct in images.values():  # as many wrong ones in half as many images, twice
        wrong = int((~correct).sum())
        halved.append(np.arange(20_000) >= 2 * wrong)
    correctness.write(path.parent, list(images), np.array(halved))


DAMAGE = {
    "torn": (lambda path: path.write_bytes(path.read_bytes()[:100]), "cannot be read"),
    "empty": (lambda path: path.write_bytes(b""), "cannot be read"),
    "text": (lambda path: path.write_text("no"), "cannot be read"),
    "other seeds": (_other_seeds, "is about other seeds than summary.json beside it"),
    "other number of images": (_other_size, "has 100.00 % of 100 images right with seed 0, but summary.json beside it"),
    "other results": (_other_results, "has 100.00 % of 10,000 images right with seed 0, but summary.json beside it"),
    "another version of the dataset": (_same_share_of_fewer, "was scored on 20,000 test images, most runs on 10,000"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_correct_npz_is_told_and_the_run_counts_without_it(tmp_path, kind):
    folder = study(tmp_path / "study", relu=97.0, gelu=98.0, tanh=96.0)
    spoil, what = DAMAGE[kind]
    path = next(folder.glob("gelu-*")) / "correct.npz"
    spoil(path)
    made = make_report([folder])
    (problem,) = made.problems
    assert problem.what.startswith(what), problem
    assert (problem.where, bool(problem.how)) == (str(path), True)
    verdict = made.comparisons[0].verdict
    assert [one.word for one in verdict.decisions] == ["best", "worse", "worse"]
    assert (verdict.test_set, verdict.use.name) == ("fixed", "gelu")


def test_of_a_seed_that_was_trained_again_the_newer_images_count(tmp_path):
    folder = study(tmp_path / "study", relu=97.0, gelu=98.0)
    a_run(tmp_path / "again", "gelu", [97.9, 98.0, 98.1, 98.0, 98.0], time="2026-02-01", images=10_000)
    made = make_report([folder, tmp_path / "again"])
    assert (made.problems, made.comparisons[0].verdict.test_set) == ([], "new")
    (next((tmp_path / "again").glob("gelu-*")) / "correct.npz").unlink()
    made = make_report([folder, tmp_path / "again"])  # the older ones are of other networks
    assert made.comparisons[0].verdict.test_set == "fixed"


# ---------------------------------------------------------------- the cheapest


def seconds(folder, activation, each):
    """Sets the times of the epochs of a run."""
    path = next(folder.glob(f"{activation}-*")) / "history.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    for row in rows:
        row["seconds"] = each[int(row["epoch"]) - 1]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def the_verdict(folder):
    (of,) = blocks(runs.find([folder]).runs)
    return compare(of).verdict


def test_the_cheapest_is_used_where_it_can_be_told(tmp_path):
    folder = study(tmp_path / "study", spread=0.01, n=8, relu=97.5, gelu=97.5, swish=97.5)
    seconds(folder, "relu", (2.0, 1.9, 2.1))
    seconds(folder, "gelu", (1.0, 1.1, 1.05))
    seconds(folder, "swish", (1.5, 1.6, 1.4))
    verdict = the_verdict(folder)
    assert (verdict.use.name, verdict.reason) == ("gelu", "cheapest")
    assert "and gelu is the cheapest of them." in verdict.sentences[0]
    seconds(folder, "swish", (1.1, 1.0, 1.2))  # hardly dearer than gelu: neither is the cheapest, and relu is dearer
    verdict = the_verdict(folder)
    assert verdict.reason == "highest mean" and verdict.use.name != "relu"
    seconds(folder, "gelu", (1.0, 5.0, 1.05))  # the spread is larger than the difference
    seconds(folder, "swish", (1.1, 6.0, 1.2))
    assert (the_verdict(folder).use.name, the_verdict(folder).reason) == ("relu", "usual")


def test_times_of_other_numbers_of_seeds_or_other_machines_are_not_compared(tmp_path):
    folder = study(tmp_path / "study", spread=0.01, n=8, relu=97.5, gelu=97.5)
    seconds(folder, "relu", (2.0, 1.9, 2.1))
    seconds(folder, "gelu", (1.0, 1.1, 1.05))
    assert the_verdict(folder).reason == "cheapest"
    path = next(folder.glob("gelu-*"))
    environment = json.loads((path / "environment.json").read_text())
    (path / "environment.json").write_text(json.dumps({**environment, "host": "elsewhere"}))
    assert (the_verdict(folder).use.name, the_verdict(folder).reason) == ("relu", "usual")
    shutil.rmtree(path)
    a_run(folder, "gelu", [97.5, 97.51, 97.49, 97.5, 97.5, 97.5, 97.5], images=10_000)  # seven seeds share an epoch
    seconds(folder, "gelu", (1.0, 1.1, 1.05))
    (of,) = blocks(runs.find([folder]).runs)
    assert sorted(cost.comparable for cost in costs(of.configurations)) == [False, True]
