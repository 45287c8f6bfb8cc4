"""`actbench more STUDY`: what it trains, and what it says where there is nothing to train."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
from helpers import fake_run, settings_of
from processes import Command

from actbench.cli import main
from actbench.report import looks
from actbench.report.command import make_report

SHARED = ["dataset=digits", "train.epochs=1", "model.width=8", "tensorboard=false", "train.threads=1", "num_seeds=3"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A home with a plain sweep (study s), a single configuration (one), two protocols (two), and one of own code."""
    home = tmp_path_factory.mktemp("home")
    (home / "conf" / "activation").mkdir(parents=True)
    (home / "conf" / "activation" / "mine.yaml").write_text("_target_: my_acts.Mine\n_partial_: true\n")
    (home / "my_acts.py").write_text("from torch.nn import ReLU\nclass Mine(ReLU):\n    pass\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        for words in (
            ["-m", *SHARED, "activation=relu,gelu", "study=s"],
            [*SHARED, "study=one"],
            [*SHARED, "study=two"],
            [*SHARED, "study=two", "train.batch_size=32", "train.epochs=2"],
            ["-m", *SHARED, "activation=relu,mine", "trust=my_acts", "study=own"],
        ):
            last = {word.partition("=")[0]: word for word in words}
            assert command(patch, *(last.values() if "-m" not in words else words)) == 0
    del sys.modules["my_acts"]  # of this home: the fixture may be set up again in this process
    return home


def command(patch, *words):
    patch.setattr(sys, "argv", ["actbench", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code or 0


@pytest.fixture
def more(swept, tmp_path, monkeypatch, capsys):
    """Runs `actbench more` in a copy of `swept`: exit code, stdout, stderr."""
    shutil.copytree(swept, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")

    def run(*words):
        capsys.readouterr()
        code = command(monkeypatch, "more", *words)
        return code, *capsys.readouterr()

    run.home = tmp_path / "home"
    return run


def seeds(study):
    found = {}
    for path in study.glob("*/summary.json"):
        content = json.loads(path.read_text())
        found.setdefault(content["activation"], []).extend(content["seeds"])
    return {name: sorted(of) for name, of in found.items()}


def test_rounds_of_seeds_are_added_to_a_plain_sweep(more):
    study = more.home / "outputs" / "s"
    code, out, _ = more("outputs/s", "--margin", "0.5", "--max-seeds", "7")
    assert code == 0
    assert seeds(study) == {"relu": [*range(7)], "gelu": [*range(7)]}
    assert [line for line in out.splitlines() if line.startswith("race: ")][0::3] == [
        "race: 6 seeds in outputs/s already",
        "race: after 7 seeds; left: gelu, relu",
    ]
    assert out.index("\nconfiguration ") > out.index("race: ended after 14 of 14 trainings")
    stored = json.loads((study / "decide.json").read_text())
    assert stored["margin"] == 0.5
    assert [max(map(len, look.values())) for look in stored["looks"]] == [3, 5, 7]
    code, out, _ = more("outputs/s", "--max-seeds", "8", "train.threads=1")
    assert seeds(study) == {"relu": [*range(8)], "gelu": [*range(8)]}


def test_a_study_that_was_renamed_and_moved_goes_on_where_it_is(more):
    (more.home / "elsewhere").mkdir()
    shutil.move(more.home / "outputs" / "s", more.home / "elsewhere" / "other")
    code, _, _ = more("elsewhere/other", "--max-seeds", "4")
    assert code == 0
    assert seeds(more.home / "elsewhere" / "other")["relu"] == [0, 1, 2, 3]
    assert not (more.home / "outputs" / "s").exists()


def test_what_is_settled_is_said_and_all_trains_all_the_same(more):
    before = {path: path.read_bytes() for path in more.home.rglob("*") if path.is_file()}
    code, out, err = more("outputs/s", "--margin", "90")
    assert (code, err) == (0, "")
    assert "settled already, within 90 points: actbench more outputs/s --all" in out
    assert {path: path.read_bytes() for path in more.home.rglob("*") if path.is_file()} == before
    code, _, _ = more("outputs/s", "--margin", "90", "--all")
    assert code == 0
    assert seeds(more.home / "outputs" / "s") == {"relu": [*range(5)], "gelu": [*range(5)]}


def test_results_since_the_last_look_may_leave_it_undecided_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "outputs" / "s"
    for first, relu in ((0, 98.0), (5, 88.0)):
        for name, mean in (("relu", relu), ("gelu", 97.0)):
            values = [mean + 0.02 * ((3 * seed) % 5) for seed in range(5)]
            own = settings_of("dataset=digits", f"activation={name}", f"seed={first}", "num_seeds=5")
            fake_run(folder / own.folder, own, values)
        if first == 0:
            looks.record(make_report([folder]).studies)
            assert command(monkeypatch, "more", "outputs/s") == 0
            assert "settled already" in capsys.readouterr().out
    assert not make_report([folder]).comparisons[0].verdict.settled
    command(monkeypatch, "more", "outputs/s")
    said = capsys.readouterr()
    assert "settled already" not in said.out
    assert "cannot be planned again" in said.err  # it goes on, as far as runs that nobody has typed let it


def test_code_of_your_own_is_run_where_it_is_trusted_again_and_has_not_changed(more):
    done = Command("more", "outputs/own", "--margin", "0.1", cwd=more.home).wait()
    assert done.returncode == 2
    assert "was trained with code of your own" in done.stderr
    assert "trust=my_acts" in done.stderr
    words = ["trust=my_acts", "--max-seeds", "4", "--margin", "0.1"]  # in a process that has not imported it elsewhere
    done = Command("more", "outputs/own", *words, cwd=more.home).wait()
    assert (done.returncode, done.stderr) == (0, "")
    assert seeds(more.home / "outputs" / "own")["mine"] == [0, 1, 2, 3]


def test_what_is_no_longer_what_it_was_is_not_added_to(more):
    (more.home / "my_acts.py").write_text("from torch.nn import ReLU\nclass Mine(ReLU):\n    changed = True\n")
    done = Command("more", "outputs/own", "trust=my_acts", cwd=more.home).wait()
    assert done.returncode == 2
    assert "what is your own in it has changed since: activation" in done.stderr
    assert seeds(more.home / "outputs" / "own")["mine"] == [0, 1, 2]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("", "which study?"),
        ("outputs/nowhere", "outputs/nowhere: there is no such folder"),
        ("two", "did you mean outputs/two?"),
        ("outputs/onne", "did you mean outputs/one?"),
        ("outputs", "outputs: is the folder of no single study"),
        ("conf", "conf: there is no run in it"),
        ("RUN", "is the folder of a single run"),
        ("outputs/one", "has one configuration (relu-mlp), and nothing to decide between"),
        ("outputs/two", "has runs that are not compared with each other"),
        ("outputs/s outputs/own", "outputs/own: is not KEY=VALUE"),
        ("outputs/s --margin 0", "--margin 0: is not a number of percentage points above 0"),
        ("outputs/s --max-seeds 3", "--max-seeds 3: there are 3 seeds of a configuration already"),
        ("outputs/s --max-seeds 2", "--max-seeds 2: is not a number of 3 or more"),
        ("outputs/s optimizer.lr=0.5", "optimizer.lr=0.5: would make another configuration"),
        ("outputs/s optimiser=adam", "optimiser=adam: no such key"),
        ("outputs/s --margin 90 optimiser=adam", "optimiser=adam: no such key"),
    ],
)
def test_bad_input_is_one_clear_message_and_nothing_is_written(more, words, told):
    run = next((more.home / "outputs" / "s").glob("relu-*"))
    before = {path: path.read_bytes() for path in more.home.rglob("*") if path.is_file()}
    code, _, err = more(*words.replace("RUN", str(run)).split())
    assert code == 2
    assert told in err
    assert err.count("error:") == 1
    assert {path: path.read_bytes() for path in more.home.rglob("*") if path.is_file()} == before


def test_a_run_that_does_not_say_what_was_typed_is_named(more):
    for path in more.home.glob("outputs/s/*/environment.json"):
        path.write_text("{}")
    code, _, err = more("outputs/s")
    assert code == 2
    assert err.count("environment.json: has no `overrides`, so that the run cannot be planned again") == 2
