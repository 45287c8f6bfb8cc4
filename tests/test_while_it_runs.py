"""What is seen while a command trains several runs: the lines, the live area, the time that is left, the best so far."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import traceback
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import ClassVar

import faults
import pytest
from helpers import settings_of
from rich.console import Console
from screen import CommandInTerminal, Screen

from actbench.command.complaints import complain
from actbench.command.running import Command
from actbench.errors import UserError
from actbench.files.output import is_in_foreground
from actbench.measures.scores import EpochRecord
from actbench.records import Epoch, Estimate, Finding, RunSummary
from actbench.sinks import elsewhere
from actbench.sinks.ranking import HEADING
from actbench.sinks.remaining import Effort, Pace
from actbench.sinks.sweep import Sweep
from actbench.sinks.terminal import Headline

# ---------------------------------------------------------------- the time that is left


def effort(*overrides):
    return Effort.of(settings_of("dataset=digits", *overrides))


def test_nothing_is_guessed_before_an_epoch_was_seen():
    assert Pace().seconds(effort("activation=relu")) is None


def test_time_goes_with_epochs_and_seeds():
    pace = Pace()
    pace.learn(effort("activation=relu", "num_seeds=5"), 10.0)  # an epoch of five seeds
    assert pace.seconds(effort("activation=relu", "num_seeds=5", "train.epochs=3")) == pytest.approx(30)
    assert pace.seconds(effort("activation=relu", "num_seeds=2", "train.epochs=3")) == pytest.approx(12)
    assert pace.seconds(effort("activation=relu", "num_seeds=2", "train.epochs=3"), epochs=0.5) == pytest.approx(2)
    pace.learn_overhead(4.0)
    assert pace.seconds(effort("activation=relu", "num_seeds=5", "train.epochs=3")) == pytest.approx(34)


def test_the_times_of_similar_runs_count_first():
    """The same configuration before the same network, that before the same kind of network, that before any."""
    pace, one = Pace(), ("num_seeds=1", "train.epochs=1")
    pace.learn(effort("activation=relu", "model.width=16", *one), 2.0)
    pace.learn(effort("activation=swish", "model.width=16", *one), 6.0)
    pace.learn(effort("activation=relu", "model.width=512", *one), 50.0)
    assert pace.seconds(effort("activation=swish", "model.width=16", *one)) == pytest.approx(6)
    assert pace.seconds(effort("activation=gelu", "model.width=16", *one)) == pytest.approx(4)
    assert pace.seconds(effort("activation=gelu", "model.width=512", *one)) == pytest.approx(50)
    assert pace.seconds(effort("activation=gelu", "model=cnn", *one)) == pytest.approx(58 / 3)


def test_networks_of_another_depth_lie_on_a_line():
    pace, one = Pace(), ("num_seeds=1", "train.epochs=1", "model.width=16")
    for depth in (1, 2, 5):
        pace.learn(effort("activation=relu", f"model.depth={depth}", *one), 3.0 + 0.5 * depth)
    assert pace.seconds(effort("activation=relu", "model.depth=50", *one)) == pytest.approx(28)
    assert pace.seconds(effort("activation=relu", "model.depth=2", *one)) == pytest.approx(4)


# ---------------------------------------------------------------- what is shown, with a made-up clock


class Runs:
    """Runs in which training is a line: an epoch of each takes `seconds`, and its name says how good it is."""

    VALIDATION: ClassVar = {
        "relu": 90.0,
        "gelu": 95.0,
        "tanh": 85.0,
        "elu": 92.0,
        "swish": 94.0,
        "selu": 93.0,
        "mish": 96.0,
    }

    def __init__(self, *names, moving=False, width=80, height=24, epochs=2):
        self.now, self.names, self.epochs = 0.0, names, epochs
        self.screen = Screen(width, height)
        self.console = Console(file=self.screen, width=width, height=height, _environ={"TERM": "xterm-256color"})
        self.sweep = Sweep(self.console, moving=moving, clock=lambda: self.now)
        self.settings = {
            name: settings_of("dataset=digits", f"activation={name}", f"train.epochs={epochs}", "num_seeds=2")
            for name in names
        }

    def expect(self, complete=()):
        due = [settings for name, settings in self.settings.items() if name not in complete]
        self.sweep.expect(due, [self.summary(name) for name in complete])

    def summary(self, name, **changed):
        validation = self.VALIDATION[name]
        metrics = {
            "val_accuracy": Estimate.of([validation, validation + 0.2]),
            "test_accuracy": Estimate.of([190 - validation, 189.8 - validation]),  # the other way round
            "dead_ratio": Estimate.of([0.0, 0.01]),
        }
        values = {
            "status": "completed", "id": self.settings[name].id, "label": f"{name}-mlp", "dataset": "digits",
            "dataset_note": "", "activation": name, "upper_activation": "none", "seeds": (0, 1), "diverged": {},
            "epochs_done": self.epochs, "parameters": 10, "metrics": metrics,
            "seconds": {"total": 12.1, "train": 10.0, "eval": 2.1}, "samples_per_second": 1.0, "execution": "stacked",
            "device": "cpu", "findings": (),
        }  # fmt: skip
        return RunSummary(**{**values, **changed})

    def begin(self, name):
        """A run that has begun to train: its clock of steps, and what it tells."""
        steps = SimpleNamespace(steps=0)
        run = self.sweep.run(self.settings[name], name)
        head = Headline(
            label=f"{name}-mlp", seeds=(0, 1), epochs=self.epochs, dataset="digits", note="", samples=(1257, 180, 360),
            device="cpu", execution="stacked", parameters=10, folder=SimpleNamespace(parent="outputs/s"),
        )  # fmt: skip
        run.begin(head, steps, 10 * self.epochs)
        return run, steps

    def epoch(self, run, steps, number, seconds=10.0):
        self.now += seconds
        steps.steps = 10 * number
        rows = [EpochRecord(s, number, 0.1, 0.5, 90.0, 0.5, 90.0 + s, 1.0, seconds) for s in (0, 1)]
        run.epoch(Epoch(number=number, rows=tuple(rows)))

    def train(self, name, **changed):
        run, steps = self.begin(name)
        for number in range(1, self.epochs + 1):
            self.epoch(run, steps, number)
        run.end(self.summary(name, **changed), (), None)

    def lines(self):
        return [line.plain.rstrip() for line in self.sweep.lines()]


def test_the_rest_is_said_from_the_first_epoch_on():
    """Four runs of two epochs of ten seconds each."""
    runs = Runs("relu", "gelu", "tanh", "elu")
    runs.expect()
    run, steps = runs.begin("relu")
    assert re.match(r"\[1/4\] relu  epoch 1/2 +─+ +0 %", runs.lines()[0])
    assert re.match(r"0/4 done +─+", runs.lines()[1])
    runs.epoch(run, steps, 1)
    assert re.match(r"\[1/4\] relu  epoch 2/2  val accuracy 90\.50 ± 6\.35 %  ━+─+ +50 %", runs.lines()[0])
    assert re.match(r"0/4 done, 70 s left +━+─+ +12 %", runs.lines()[1])
    steps.steps = 15  # half of the second epoch
    assert "0/4 done, 65 s left" in runs.lines()[1]
    runs.epoch(run, steps, 2)
    runs.now += 2  # for the test set and the files
    run.end(runs.summary("relu"), (), None)
    assert "1/4 done, 65 s left" in runs.lines()[0]  # three of 22 s
    assert runs.screen.shown[-2] == "[1/4] relu  test accuracy 99.90 ± 1.27 %, dead 0.5 %, 12.1 s"


def test_the_ranking_is_by_validation_accuracy_and_has_the_best_five():
    runs = Runs(*Runs.VALIDATION)
    runs.expect()
    runs.train("relu")
    assert not any(HEADING in line for line in runs.lines())
    for name in ("gelu", "tanh", "elu", "swish", "selu"):
        runs.train(name)
    runs.train("mish", diverged={1: 1})  # the best, but for the seed that diverged
    lines = runs.lines()
    ranked = lines[lines.index(HEADING) + 1 :]
    assert [line.split()[:2] for line in ranked] == [
        ["1", "gelu"], ["2", "swish"], ["3", "selu"], ["4", "elu"], ["5", "relu"]
    ]  # fmt: skip
    assert ranked[0].endswith("95.10 ± 1.27 %")


def test_runs_are_ranked_with_those_of_their_protocol_alone():
    runs = Runs("relu", "gelu", "tanh")
    runs.expect()
    runs.settings["tanh"] = settings_of("dataset=digits", "activation=tanh", "train.epochs=9", "num_seeds=2")
    for name in ("tanh", "gelu", "relu"):
        runs.train(name)
    assert [line.split()[1] for line in runs.lines()[-2:]] == ["gelu", "relu"]


def test_the_lines_of_a_sweep_without_a_terminal_are_few():
    runs = Runs("relu", "gelu", "tanh", "elu")
    runs.expect(complete=("tanh",))
    runs.sweep.stored(runs.settings["tanh"], "tanh", runs.summary("tanh"))
    findings = (
        Finding("units died", "", "", (), "dead-units"),
        Finding("seeds disagree", "", "", (), "seeds-disagree"),
    )
    runs.train("relu", findings=findings)
    runs.train("gelu", status="diverged", metrics={}, diverged={0: 1, 1: 2})
    runs.begin("elu")
    assert not runs.sweep.fail(UserError("the run failed in activation=elu: RuntimeError: too hot", where="outputs"))
    assert runs.screen.shown == [
        "1 of 4 already complete",
        "4 runs, files in outputs/s",
        "digits (1,257 / 180 / 360 samples), cpu, stacked",
        "[2/4] relu  test accuracy 99.90 ± 1.27 %, dead 0.5 %, 12.1 s  dead-units, seeds-",
        "disagree",
        "[3/4] gelu  every seed diverged, in epochs 1 to 2; 12.1 s",
        "[4/4] elu  failed in activation=elu: RuntimeError: too hot",
        "",
    ]


def test_a_list_is_told_whole_and_again_where_it_is_another():
    runs = Runs("relu", "gelu", "tanh")
    runs.expect()
    lists = (
        ["1 of 2 exchanged:", "  a: own", "  gate"],
        ["2 of 2 exchanged:", "  a", "  gate"],
        ["2 of 2 exchanged:", "  a", "  gate"],
    )
    for name, lines in zip(runs.names, lists, strict=True):
        run, _ = runs.begin(name)
        run.describe(lines)
    shown = [line.rstrip() for line in runs.screen.shown]
    assert [line for line in shown if line in {*lists[0], *lists[1]}] == [*lists[0], *lists[1]]


def test_on_a_narrow_terminal_findings_are_counted():
    findings = [
        Finding("units died", "", "", (), "dead-units"),
        Finding("seeds disagree", "", "", (), "seeds-disagree"),
    ]
    runs = Runs("relu", moving=True, width=72)
    runs.train("relu", findings=findings)
    assert runs.screen.shown[-2] == "[1] relu  test accuracy 99.90 ± 1.27 %, dead 0.5 %, 12.1 s  2 findings"
    runs = Runs("relu", moving=True, width=64)
    runs.train("relu", findings=findings)
    assert runs.screen.shown[-2] == "[1] relu  test accuracy 99.90 ± 1.27 %, dead 0.5 %  2 findings"


def test_a_race_counts_within_its_rounds():
    runs = Runs("relu", "gelu", "tanh")
    runs.sweep.begin_round(1, 3, 3, 0, 120)
    runs.expect()
    for name in ("relu", "gelu", "tanh"):
        runs.train(name)
    assert "[3/3] tanh seeds 0-1  test accuracy" in runs.screen.shown[-2]
    runs.sweep.begin_round(2, 2, 3, 6, 120)
    runs.sweep.expect([runs.settings["relu"], runs.settings["gelu"]])
    runs.train("relu")
    lines = runs.lines()
    assert re.match(r"1/2 done, 20 s left in this round +━", lines[0])
    assert lines[1] == "round 2: 2 of 3 left; 8 of at most 120 trainings"


def test_what_has_failed_is_not_counted_as_done():
    runs = Runs("relu", "gelu", "tanh", "elu")
    runs.sweep.begin_round(1, 4, 4, 0, 8)
    runs.expect()
    runs.train("relu")
    runs.begin("gelu")
    runs.sweep.fail(UserError("too hot"), runs.settings["gelu"])
    assert re.match(r"1/4 done, 1 failed, 40 s left in this round +━+", runs.lines()[0])
    assert runs.lines()[1] == "round 1: 4 of 4 left; 2 of at most 8 trainings"
    runs.sweep.fail(UserError("cannot be composed"))
    run, _ = runs.begin("tanh")
    assert run.label.plain.startswith("[4/4] tanh")


def test_trials_that_others_run_are_not_expected_here():
    runs = Runs("relu", "gelu", "tanh")
    runs.sweep.expect_trials(5)
    runs.train("relu")
    runs.begin("gelu")
    runs.sweep.fail(UserError("too hot"), runs.settings["gelu"])
    runs.sweep.expect_trials(1)  # two have ended elsewhere
    run, _ = runs.begin("tanh")
    assert run.label.plain.startswith("[3/3] tanh")
    assert "1/3 done, 1 failed" in runs.lines()[1]


def test_what_other_processes_have_done_is_counted_from_their_folders(tmp_path):
    """Here 40 s are left of four runs; half of what was done was done elsewhere."""
    from helpers import fake_run

    names = ("relu", "gelu", "tanh", "elu", "swish")
    for moving in (False, True):
        runs = Runs(*names, moving=moving)
        study = tmp_path / str(moving)
        folders = [study / settings.folder for name, settings in runs.settings.items() if name != "swish"]
        due = [settings for name, settings in runs.settings.items() if name != "swish"]
        runs.sweep.expect(due, [runs.summary("swish")], folders)
        run, steps = runs.begin("relu")
        fake_run(study / runs.settings["tanh"].folder, runs.settings["tanh"], [90.0, 91.0])
        (study / runs.settings["elu"].folder).mkdir()  # which somebody trains
        for number in (1, 2):
            runs.epoch(run, steps, number)
        run.end(runs.summary("relu"), (), None)
        if moving:
            assert runs.lines()[0].startswith("1/5 done here, 1 elsewhere, 1 before, 20 s left")
        else:
            assert runs.screen.shown[-2] == "1/5 done here, 1 elsewhere, 1 before"
        run, _ = runs.begin("gelu")
        assert run.label.plain.startswith("[4/5] gelu")
        runs.sweep.stored(runs.settings["elu"], "elu", runs.summary("elu"))
        run.end(runs.summary("gelu"), (), None)
        runs.sweep.end()
        assert runs.screen.shown[-2] == "2/5 done here, 2 elsewhere, 1 before"


def test_trials_that_are_not_known_yet_take_as_long_as_those_so_far():
    runs = Runs("relu", "gelu")
    runs.sweep.expect_trials(5)
    run, steps = runs.begin("relu")
    assert "left" not in runs.lines()[1]
    runs.epoch(run, steps, 1)
    assert "0/5 done, 90 s left" in runs.lines()[1]  # four of 20 s, and half of this one
    runs.epoch(run, steps, 2)
    run.end(runs.summary("relu"), (), None)
    runs.begin("gelu")
    assert re.match(r"\[2/5\] gelu", runs.lines()[0])
    assert "1/5 done, 80 s left" in runs.lines()[1]  # three of 20 s, and this one


@pytest.mark.parametrize(("width", "height"), [(100, 30), (80, 24), (60, 10), (30, 6), (12, 3)])
def test_the_live_area_leaves_half_of_the_terminal(width, height):
    runs = Runs(*Runs.VALIDATION, width=width, height=height)
    runs.expect()
    for name in ("gelu", "elu", "swish", "selu"):
        runs.train(name)
    run, steps = runs.begin("relu")
    runs.epoch(run, steps, 1)
    lines = runs.lines()
    assert len(lines) <= max(height // 2, 2)
    assert all(lines)
    assert all(len(line) <= width for line in lines) or width < 20
    assert len(lines) == (2 if height < 10 else 5 if height == 10 else 7)


# ---------------------------------------------------------------- the area, and what is printed above it


@contextmanager
def moving():
    """Runs whose stdout and stderr are a terminal, of which one trains."""
    runs = Runs("relu", "gelu", "tanh", moving=True)
    with pytest.MonkeyPatch.context() as patch:  # after pytest has put its own streams there
        for name in ("stdout", "stderr"):
            patch.setattr(sys, name, runs.screen)
        with runs.sweep:
            runs.expect()
            for name in ("gelu", "relu"):
                runs.train(name)
            runs.begin("tanh")
            runs.sweep.area.refresh()
            yield runs


def area_of(runs):
    return [line.rstrip() for line in runs.lines()]


def test_what_is_printed_meanwhile_stands_above_the_area_unbroken():
    with moving() as runs:
        before = runs.screen.shown[: -len(area_of(runs))]
        print("a line of the user's, and a very long one: " + "x" * 60)
        sys.stderr.write("half of a li")
        complain(UserError("is wrong", where="here", how="do it so"))
        traceback.print_exception(ValueError("careful"))
        sys.stderr.write("ne\n10 %\r20 %\r30 %")
        sys.stdout.write("\x1b[31mred\x1b[0m\r\n")
        runs.sweep.area.refresh()
        shown = runs.screen.shown
        above = [
            "a line of the user's, and a very long one: " + "x" * 37,
            "x" * 23,
            "half of a lierror: here: is wrong",
        ]
        assert shown[: len(before)] == before
        assert shown[len(before) : len(before) + 3] == above
        assert shown[-len(area_of(runs)) - 2 :] == ["red", "30 %", *area_of(runs)]
        assert any("careful" in line for line in shown)
        assert "" not in shown


def test_the_area_vanishes_and_leaves_the_terminal_as_it_was():
    with moving() as runs:
        assert any(HEADING in line for line in runs.screen.shown)
        print("last words", end="")
        runs.sweep.area.stop()
        assert sys.stdout is sys.stderr is runs.screen
        assert runs.screen.cursor
        print(", and the comparison")
        shown = runs.screen.shown
        assert shown[-2:] == ["last words, and the comparison", ""]
        assert not any(HEADING in line or "done" in line for line in shown)
        assert "" not in shown[:-1]


def test_who_has_kept_the_stream_prints_to_the_terminal_afterwards():
    with moving() as runs:
        kept = sys.stdout
        runs.sweep.area.stop()
        print("afterwards", file=kept)
        assert runs.screen.shown[-2] == "afterwards"


def test_a_terminal_that_becomes_narrower_shows_each_line_once():
    with moving() as runs:
        before = len(runs.screen.shown)
        for width in (70, 44, 30):
            runs.screen.resize(width)
            runs.console.width = width
            runs.sweep.area.refresh()
        shown = runs.screen.shown
        assert sum(line.startswith("[3/3] tanh") for line in shown) == 1
        assert sum("2/3 done" in line for line in shown) == 1
        assert len(shown) > before  # the lines of finished runs take more rows
        assert "" not in shown


def test_a_failure_is_told_once_where_stderr_is_the_same_terminal():
    with moving() as runs:
        error = UserError(
            "the run failed: RuntimeError: hot", where="outputs/s/x", how="outputs/s/x/traceback.txt has it"
        )
        assert runs.sweep.fail(error)
        runs.sweep.area.refresh()
        shown = "\n".join(runs.screen.shown)
        assert (
            "[3/3] tanh  failed: RuntimeError: hot\n    outputs/s/x/traceback.txt has it\n2/3 done, 1 failed" in shown
        )


def test_a_copy_of_the_command_for_a_worker_has_no_terminal():
    import pickle

    command = Command(["-m"], sweep=Runs("relu").sweep)
    copy = pickle.loads(pickle.dumps(command))
    assert (copy.typed, copy.sweep) == (["-m"], None)


# ---------------------------------------------------------------- a real command in a terminal

SWEEP = ["-m", "dataset=digits", "num_seeds=2", "model.width=8", "train.threads=1", "tensorboard=false", "study=s"]


def test_a_sweep_in_a_terminal(tmp_path):
    words = [*SWEEP, "train.epochs=2", "activation=relu,gelu"]
    command = CommandInTerminal(*words, cwd=tmp_path)
    done = command.wait()
    assert done.returncode == 0
    shown = command.screen().shown
    assert shown[0] == "2 runs, files in outputs/s"
    assert [bool(re.match(r"\[\d/2\] (relu|gelu)  test accuracy", line)) for line in shown[2:4]] == [True, True]
    assert shown[4] == ""  # before the comparison
    assert not any("done" in line or HEADING in line for line in shown)
    again = CommandInTerminal(*words, cwd=tmp_path)
    assert again.wait().returncode == 0
    assert again.screen().shown[0] == "2 of 2 already complete"


def test_a_single_run_in_a_terminal(tmp_path):
    words, go = [*SWEEP[1:], "train.epochs=3", "optimizer.lr=0.3"], tmp_path / "go"
    command = CommandInTerminal(*words, cwd=tmp_path, before=partial(faults.after_epoch, 2, faults.wait_for_file, go))
    command.wait_for("epoch 2/3  train loss")
    command.wait_for(" left ")
    go.touch()
    assert command.wait().returncode == 0
    shown = command.screen().shown
    assert not any(line.startswith(("training, ", "epoch ")) for line in shown)
    assert any(line.startswith("test accuracy %") for line in shown)
    assert any(line.startswith("  try  actbench ") for line in shown)
    assert 15 < sum(map(bool, shown)) <= 40  # rows of 80 columns, with commands that take two each


def test_ctrl_c_leaves_a_terminal_that_can_be_used(tmp_path):
    stop = partial(faults.after_epoch, 3, faults.send_soon, signal.SIGINT, job=2)
    words = [*SWEEP, "train.epochs=400", "activation=relu,gelu,tanh", "dataset.train_size=100"]
    command = CommandInTerminal(*words, cwd=tmp_path, before=stop)
    assert command.wait().returncode == 130
    screen = command.screen()
    assert screen.cursor
    assert any(line.startswith("interrupted after epoch ") for line in screen.shown)
    assert any(line.startswith("to go on:  actbench -m ") for line in screen.shown)
    assert not any("/3 done" in line or "[2/3]" in line for line in screen.shown)
    assert "gelu " in "\n".join(screen.shown)  # in the comparison


def test_a_run_that_is_taken_while_one_looks_is_not_done_elsewhere(tmp_path, monkeypatch):
    """A look at many folders takes seconds, in which this process may take a run and complete it."""
    folders = [tmp_path / name for name in ("ours", "theirs")]
    for folder in folders:
        folder.mkdir()
    of = elsewhere.Elsewhere(lambda: 0.0)
    monkeypatch.setattr(elsewhere.reader, "status", lambda folder: "")
    of.expect(folders)

    def read(_folder):
        of.taken("ours")
        return "completed"

    monkeypatch.setattr(elsewhere.reader, "status", read)
    assert of.look() == 1
    assert of.done == {"theirs"}


IN_THE_BACKGROUND = """
import os, pty, sys
from actbench.files.output import is_in_foreground

child, terminal = pty.fork()
if child:
    told = b""
    try:
        while more := os.read(terminal, 1000):
            told += more
    except OSError:  # the other side is closed
        pass
    sys.exit(told.split() != [b"True", b"False", b"True"] and told.decode())
print(is_in_foreground(sys.stdout), flush=True)  # as the command for which a shell waits
(asked, ask), (heard, hear) = os.pipe(), os.pipe()
job = os.fork()
if not job:
    os.setpgid(0, 0)  # as a shell does with `actbench ... &`
    print(is_in_foreground(sys.stdout), flush=True)
    os.write(ask, b".")
    os.read(heard, 1)
    print(is_in_foreground(sys.stdout), flush=True)
    os._exit(0)
os.read(asked, 1)
os.tcsetpgrp(0, job)  # as `fg` does
os.write(hear, b".")
os.waitpid(job, 0)
"""


def test_a_command_in_the_background_of_its_terminal_knows_it(tmp_path):
    """So that those of `for i in 0 1; do actbench ... & done` do not draw over each other."""
    done = subprocess.run([sys.executable, "-c", IN_THE_BACKGROUND], timeout=60, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    with open(tmp_path / "file", "w") as file:
        assert is_in_foreground(file)  # which has no background
