"""`actbench try RUN`: the remedies of a run's diagnosis, trained with its seeds and judged."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers import fake_run, settings_of
from rich.console import Console

from actbench.command import composing, cures, planning, remedies, stored
from actbench.command.cures import Offered
from actbench.command.remedies_shown import Outcome, end, lines, sentences
from actbench.errors import UserError
from actbench.records import Finding
from actbench.report.sequential import level
from actbench.report.simultaneous import differences
from actbench.store import reader

DEAD = Finding(
    "units died", "hidden1: 70 % dead", "Steps too long.", ("optimizer.lr=0.001", "norm=batch"), "dead-units"
)
OVERFITTING = Finding("gap", "10 points", "Overfitting.", ("dropout=0.3", "norm=batch"), "overfitting")


def a_run(folder: Path, *overrides: str, accuracies=(90.0, 91.0, 92.0), findings=(DEAD,), **other) -> Path:
    """A run's folder with its overrides, where earlier versions had them."""
    words = ["dataset=digits", "num_seeds=3", "train.epochs=2", *overrides]
    settings = replace(settings_of(*words), study=folder.parent.name)
    fake_run(folder, settings, accuracies, findings=findings, **other)
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(words))
    return folder


# ---------------------------------------------------------------- a stored run, planned again


@pytest.mark.parametrize(
    ("overrides", "changed", "expected"),
    [
        ([], ["norm=batch"], ["norm=batch"]),
        (["activation=topk", "activation.k=3"], ["activation=prelu"], ["activation=prelu"]),
        (["optimizer.lr=0.1"], ["optimizer.lr=0.01"], ["optimizer.lr=0.01"]),
        (["experiment=dying_relu"], ["optimizer.lr=0.001"], ["experiment=dying_relu", "optimizer.lr=0.001"]),
        (["dataset.train_size=100"], ["clip=norm", "clip.max_norm=2"], ["dataset.train_size=100", "clip=norm",
                                                                         "clip.max_norm=2"]),
        (["optimizer.betas=[0.8,0.9]"], ["study=a b"], ["optimizer.betas=[0.8,0.9]"]),
    ],
)  # fmt: skip
def test_a_stored_run_is_planned_again_with_some_overrides_changed(tmp_path, overrides, changed, expected):
    composing.register()
    folder = a_run(tmp_path / "s" / "run", *overrides)
    job = stored.planned_again(folder, [word.replace("a b", '"a b"') for word in changed])
    assert job.settings.id == settings_of("dataset=digits", "num_seeds=3", "train.epochs=2", *expected).id
    assert job.settings.seeds == [0, 1, 2]
    again, problems = planning.plan(list(job.overrides), multirun=False)
    assert (problems, again[0].settings) == ([], job.settings)


def test_the_dataset_that_auto_stood_for_is_kept(tmp_path):
    composing.register()
    folder = a_run(tmp_path / "s" / "run", "dataset.train_size=100")
    (folder / ".hydra" / "overrides.yaml").write_text("- dataset=auto\n- num_seeds=3\n- train.epochs=2\n"
                                                      "- dataset.train_size=100\n")  # fmt: skip
    assert stored.planned_again(folder, ["norm=batch"]).settings.dataset.name == "digits"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "has no `overrides`, so that the run cannot be planned again"),
        ("- [", "cannot be read"),
        ("a: 1", "is not a list of overrides"),
        ("- dataset=digits\n- train.epochs=3\n", "gives another configuration by now, in train.epochs"),
        ("- dataset=digits\n- dropout=${oc.env:HOME}\n", "would look something up outside"),
        ("- dataset=digits\n- train.epochs=2\n- activation._target_=os.system\n", "cannot be changed here"),
        ("- dataset=digits\n- train.epochs=2\n- activation=nothing\n", "there is no activation called nothing"),
    ],
)
def test_a_folder_that_does_not_say_enough_or_too_much(tmp_path, content, said):
    composing.register()
    path = a_run(tmp_path / "s" / "run") / ".hydra" / "overrides.yaml"
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=said):
        stored.planned_again(path.parent.parent, ["norm=batch"])


def test_the_overrides_are_those_of_the_environment_where_it_has_them(tmp_path):
    composing.register()
    folder = a_run(tmp_path / "s" / "run")
    old = folder / ".hydra" / "overrides.yaml"
    words = yaml.safe_load(old.read_text())
    old.write_text("- dropout=0.5")
    environment = json.loads((folder / "environment.json").read_text())
    (folder / "environment.json").write_text(json.dumps({**environment, "overrides": words}))
    assert stored.overrides_of(folder) == words
    (folder / "environment.json").write_text(json.dumps({**environment, "overrides": {"a": 1}}))
    with pytest.raises(UserError, match=r"environment\.json: is not a list of overrides"):
        stored.overrides_of(folder)


def test_what_only_the_user_may_say_is_not_taken_from_a_folder(tmp_path):
    composing.register()
    folder = a_run(tmp_path / "s" / "run")
    words = yaml.safe_load((folder / ".hydra" / "overrides.yaml").read_text())
    more = ["trust=os", "output_dir=/etc", "hydra.run.dir=/etc", "study=x", "+sweep=deep", "hydra/launcher=joblib"]
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump([*words, *more]))
    job = stored.planned_again(folder, ["norm=batch"])
    assert {word.partition("=")[0] for word in job.overrides} == {"dataset", "num_seeds", "train.epochs", "norm"}
    assert job.settings.trust == ()


# ---------------------------------------------------------------- what a remedy did


def test_remedies_are_judged_for_each_finding_and_by_paired_intervals(tmp_path):
    before = a_run(tmp_path / "s" / "run", accuracies=(90, 91, 92), findings=(DEAD, OVERFITTING))
    new = Finding("loss", "x", "y", (), "unstable-accuracy")
    accuracies = {
        "better": (95, 96.1, 97),
        "worse": (80, 81, 82.1),
        "same": (90.1, 90.9, 92),
        "spoiled": (70, 71, 72.1),
    }
    found = {"better": (), "worse": (), "same": (OVERFITTING, new), "spoiled": (DEAD, OVERFITTING)}
    tried = {
        Offered(name, ("dead-units",)): a_run(
            tmp_path / "t" / name, f"dropout=0.{place}", accuracies=values, findings=found[name]
        )
        for place, (name, values) in enumerate(accuracies.items(), start=1)
    }
    tried[Offered("failed", ("dead-units",))] = tmp_path / "t" / "nothing"
    trials, test_set = cures.judged(before, tried)
    by_name = {trial.remedy.overrides: trial for trial in trials}
    assert {name: trial.word for name, trial in by_name.items()} == {
        "better": "better", "worse": "worse", "same": "undecided", "spoiled": "worse", "failed": "no result",
    }  # fmt: skip
    assert by_name["same"].cured == {"dead-units": True, "overfitting": False}
    assert by_name["same"].new == ("unstable-accuracy",)
    assert by_name["failed"].cured is None
    assert test_set == "fixed"  # there is no correct.npz
    table = np.array([(90, 91, 92), *accuracies.values()])
    expected = differences(table, level=level(1))
    for place, name in enumerate(accuracies, start=1):
        assert by_name[name].difference == pytest.approx(np.mean(table[place] - table[0]))
        assert by_name[name].high - by_name[name].difference == pytest.approx(expected.half[place, 0])
    assert [trial.remedy.overrides for trial in cures.ranked(trials, ["dead-units"])] == [
        "better", "same", "worse", "spoiled", "failed",
    ]  # fmt: skip
    assert cures.best_of(trials, ["dead-units"]).remedy.overrides == "better"
    assert cures.best_of([by_name["worse"], by_name["spoiled"]], ["dead-units"]) is None
    assert cures.best_of([by_name["same"]], ["dead-units", "overfitting"]) is None


def test_a_remedy_with_which_seeds_diverge_is_not_recommended(tmp_path):
    """The other seeds may be better: whoever trains a new one may meet one that diverges."""
    before = a_run(tmp_path / "s" / "run", "num_seeds=5", accuracies=(90.0, 91.0, 92.0, 91.0, 90.0))
    values = (95.0, 96.0, 97.0, 0.0, 95.0)
    after = a_run(tmp_path / "s" / "lr", "num_seeds=5", "optimizer.lr=0.01", accuracies=values, diverged={3: 1},
                  findings=(Finding("seeds diverged", "1 of 5", "Steps too long.", (), "diverged-loss"),))  # fmt: skip
    trials, _ = cures.judged(before, {Offered("optimizer.lr=0.01", ("dead-units",)): after})
    assert (trials[0].word, trials[0].cures(["dead-units"])) == ("diverged", False)
    assert cures.best_of(trials, ["dead-units"]) is None
    outcome = Outcome(remedies.run_of(before), ["dead-units"], trials, {}, "fixed", tmp_path)
    assert sentences(outcome) == ["optimizer.lr=0.01 did not cure dead-units."]
    assert lines(outcome, trials[0], 80) == [
        "optimizer.lr=0.01  1 of 5 seeds diverged",
        "    not cured  dead-units",
        "    new        diverged-loss",
    ]


def test_with_too_few_seeds_nothing_is_said_to_cost_accuracy(tmp_path):
    two = {"findings": (DEAD, OVERFITTING), "accuracies": (90.0, 91.0)}
    before = a_run(tmp_path / "s" / "run", "num_seeds=2", **two)
    gone = a_run(tmp_path / "t" / "a", "num_seeds=2", "dropout=0.1", accuracies=(80.0, 81.0), findings=())
    lost = a_run(tmp_path / "t" / "b", "num_seeds=2", "dropout=0.2", accuracies=(10.0, 10.0), findings=(),
                 diverged={0: 1, 1: 1}, status="diverged")  # fmt: skip
    codes = ["dead-units", "overfitting"]
    trials, _ = cures.judged(before, {Offered("norm=batch", ()): gone, Offered("optimizer.lr=3", ()): lost})
    outcome = Outcome(remedies.run_of(before), codes, cures.ranked(trials, codes), {}, "fixed", tmp_path)
    said = " ".join(sentences(outcome))
    assert "Use norm=batch" in said and "cannot be compared with fewer than 3 seeds" in said and "cost" not in said
    last = Outcome(outcome.run, codes, [trials[1]], {}, "fixed", tmp_path)
    assert sentences(last) == ["optimizer.lr=3 did not cure dead-units and overfitting."]


def test_what_remedies_did_fits_a_terminal_of_80_columns(tmp_path):
    """One line for each, details below it, and no page of digits."""
    before = a_run(tmp_path / "s" / "run", findings=(DEAD, OVERFITTING))
    evidence = "training loss 5e31 " * 20
    new = tuple(Finding("x", evidence, "y", (), code) for code in ("stalled-loss", "exploding-gradients", "mean-shift"))
    names = [f"optimizer.lr=0.{k}" for k in range(1, 9)]
    tried = {
        Offered(name, ()): a_run(tmp_path / "t" / name, f"dropout=0.{k}", findings=(DEAD, *new))
        for k, name in enumerate(names, 1)
    }
    codes = ["dead-units", "overfitting"]
    trials, _ = cures.judged(before, tried)
    console = Console(width=80, file=io.StringIO())
    end(console, Outcome(remedies.run_of(before), codes, cures.ranked(trials, codes), {}, "fixed", tmp_path))
    shown = console.file.getvalue().splitlines()
    assert len(shown) <= 45 and max(map(len, shown)) <= 80
    for name in names:
        assert sum(line.startswith(f"{name}  accuracy ") for line in shown) == 1
    assert "exploding-gradients" in " ".join(shown)


def test_a_remedy_of_several_findings_is_offered_once():
    assert cures.offered([DEAD, OVERFITTING]) == [
        Offered("optimizer.lr=0.001", ("dead-units",)),
        Offered("norm=batch", ("dead-units", "overfitting")),
        Offered("dropout=0.3", ("overfitting",)),
    ]


# ---------------------------------------------------------------- bad input


def nothing(_folder: Path) -> None:
    pass


def healthy(folder: Path) -> None:
    a_run(folder / "s" / "run", findings=())


def undiagnosed(folder: Path) -> None:
    a_run(folder / "s" / "run", findings=None)


def unfinished(folder: Path) -> None:
    a_run(folder / "s" / "run", status="interrupted", findings=None)


def two(folder: Path) -> None:
    a_run(folder / "s" / "one")
    a_run(folder / "s" / "two", "dropout=0.1")


def one(folder: Path) -> None:
    a_run(folder / "s" / "run", findings=(DEAD, OVERFITTING))
    a_run(folder / "s" / "healthy", "dropout=0.1", findings=())


def unusable(folder: Path) -> None:
    odd = ("A clamp of its argument", "num_seeds=9", "train.threads=1", "activation=nothing")
    a_run(folder / "s" / "run", findings=(replace(DEAD, remedies=odd),))


def without_remedy(folder: Path) -> None:
    a_run(folder / "s" / "run", findings=(replace(DEAD, remedies=()),))


@pytest.mark.parametrize(
    ("make", "words", "said"),
    [
        (nothing, ["s"], "there is no such folder"),
        (nothing, [], "actbench try: which run?"),
        (nothing, ["."], "there is no run in it"),
        (healthy, ["s/run"], "s/run: has no findings: there is nothing to cure"),
        (healthy, ["s"], "has no findings: there is nothing to cure"),
        (undiagnosed, ["s/run"], "was not diagnosed: an earlier version"),
        (unfinished, ["s/run"], "has no result (interrupted"),
        (two, ["s"], "actbench try s/one    # dead-units\n    actbench try s/two    # dead-units"),
        (one, ["s", "--finding", "dead-unit"], "did you mean dead-units?"),
        (one, ["s", "--finding", "zzz"], "it has dead-units and overfitting"),
        (one, ["s", "--only", "norm=batc"], "did you mean 'norm=batch'?"),
        (one, ["s", "--finding", "dead-units", "--only", "dropout=0.3"], "is not offered for this run"),
        (one, ["s", "optimizer.lr=3"], "optimizer.lr=3: cannot be typed here"),
        (one, ["s", "s"], "is not KEY=VALUE"),
        (one, ["s", "hydra/launcher=nothing"], "there is no launcher called nothing"),
        (one, ["s", "hydra.launcher._target_=os.system"], "cannot be changed here"),
        (unusable, ["s"], "there is no activation called nothing"),
        (without_remedy, ["s"], "no remedy is offered for dead-units"),
    ],
)
def test_what_cannot_be_tried_is_one_clear_message_and_writes_nothing(tmp_path, monkeypatch, make, words, said):
    monkeypatch.chdir(tmp_path)
    make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError) as caught:
        remedies.main(words)
    assert said in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_trusted_has_to_be_typed_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = replace(settings_of("dataset=digits", "num_seeds=3"), trust=("mine", "yours"))
    own = replace(own, activation=replace(own.activation, target="mine.Bent"))
    fake_run(tmp_path / "s" / "run", own, (90, 91, 92), findings=(DEAD,))
    with pytest.raises(UserError, match=r"actbench try s/run 'trust=\[mine,yours\]'"):
        remedies.main(["s"])


def test_what_is_not_tried_has_its_reason(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    unusable(tmp_path)
    composing.register()
    run = remedies.run_of(Path("s"))
    words = [*run.summary.findings[0].remedies, "norm=batch", "norm=batch norm.momentum=0.1"]
    plan = remedies._plan(run, [Offered(word, ()) for word in words], ["study=t"], [])
    assert [remedy.overrides for remedy in plan.jobs] == ["norm=batch"]
    assert plan.not_tried == {
        "A clamp of its argument": "is not a setting that can be typed",
        "num_seeds=9": "changes the seeds, so that nothing could be compared in pairs",
        "train.threads=1": "changes how it is computed, not what",
        "activation=nothing": "activation=nothing: there is no activation called nothing",
        "norm=batch norm.momentum=0.1": "is the same run as norm=batch",
    }


# ---------------------------------------------------------------- from the command to its end


def test_the_remedies_of_a_run_are_trained_and_the_run_is_left_as_it_is(actbench, tmp_path):
    words = ["dataset=digits", "model.width=64", "optimizer.lr=0.03", "train.epochs=3", "num_seeds=3",
             "train.threads=1", "tensorboard=false", "study=s"]  # fmt: skip
    done = actbench(*words)
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "outputs" / "s").iterdir()
    assert [finding.code for finding in reader.completed(run).findings] == ["dead-units"]
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    ask = ["try", "outputs/s", "--only", "optimizer.lr=0.003", "activation=leaky_relu"]
    done = actbench(*ask)
    assert done.returncode == 0, done.stderr
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    study = tmp_path / "outputs" / f"s-try-{run.name}"
    content = json.loads((study / "try.json").read_text())
    assert {trial["remedy"] for trial in content["remedies"]} == {"optimizer.lr=0.003", "activation=leaky_relu"}
    assert content["test_set"] == "new"
    for trial in content["remedies"]:
        summary = reader.completed(tmp_path / trial["folder"])
        assert summary.seeds == (0, 1, 2)
        pairs = [
            after - ours
            for after, ours in zip(
                summary.metrics["test_accuracy"].values,
                reader.completed(run).metrics["test_accuracy"].values,
                strict=True,
            )
        ]
        assert trial["difference"] == pytest.approx(np.mean(pairs))
        assert trial["cured"] == {"dead-units": "dead-units" not in [finding.code for finding in summary.findings]}
    assert (study / "report" / "report.html").exists()
    assert content["use"] is not None
    last = done.stdout.rstrip().splitlines()
    assert last[-2].startswith(f"Use {content['use']}: it cured dead-units (dead ")
    assert last[-1].strip() == content["command"]
    again = actbench(*ask)
    assert again.stdout.count("2 of 2 already complete") == 1
    assert again.stdout.rstrip().splitlines()[-2:] == last[-2:]
