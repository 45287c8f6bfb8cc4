"""What happens around a run: folders that vanish, a clock that jumps, other processes in the same study."""

from __future__ import annotations

import csv
import json
import os
import shutil
import time
from datetime import datetime
from functools import partial

import faults
import pytest
from helpers import fake_run, settings_of
from outcome import outcome_of_report, outcome_of_run, outcome_of_study
from processes import Command
from small_study import COMMANDS, SMALL

SWEEP = COMMANDS["sweep"]


@pytest.fixture
def sweep(undisturbed):
    """The sweep's study, when nothing happens."""
    return undisturbed("sweep").outcome


def of_relu(sweep):
    (name,) = [name for name in sweep if name.startswith("relu-")]
    return name, sweep[name]


def check_one_sentence(done, words, code=1):
    assert done.returncode == code, done
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    assert done.stderr.count("error: ") == 1, done.stderr
    assert words in done.stderr, done.stderr


# ---------------------------------------------------------------- folders that vanish


def test_a_runs_folder_vanishes_and_the_other_jobs_go_on(sweep, actbench, tmp_path):
    study = tmp_path / "outputs" / "s"
    gone = study / of_relu(sweep)[0]
    done = Command(*SWEEP, cwd=tmp_path, before=partial(faults.after_epoch, 1, shutil.rmtree, gone)).wait()
    check_one_sentence(done, "moved or removed meanwhile")
    assert "not started" not in done.stderr
    assert not gone.exists()
    assert {path.parent.name for path in study.glob("*/summary.json")} == {*sweep} - {gone.name, "report"}
    assert actbench(*SWEEP).returncode == 0
    assert outcome_of_study(study) == sweep


def test_a_study_is_moved_away_and_its_other_jobs_go_on(sweep, actbench, tmp_path):
    study, moved = tmp_path / "outputs" / "s", tmp_path / "moved"
    done = Command(*SWEEP, cwd=tmp_path, before=partial(faults.after_epoch, 1, os.rename, study, moved)).wait()
    check_one_sentence(done, "moved or removed meanwhile")
    (left,) = study.glob("*/summary.json")
    assert outcome_of_run(left.parent) == sweep[left.parent.name]
    shutil.rmtree(study)
    moved.rename(study)  # what was moved goes on after its last epoch
    done = actbench(*SWEEP)
    assert "going on after epoch" in done.stdout
    assert outcome_of_study(study) == sweep


@pytest.mark.parametrize("gone", ["the output folder", "the current folder"])
def test_everything_vanishes(tmp_path, gone):
    home = tmp_path / "home"
    home.mkdir()
    victim = home / "outputs" if gone == "the output folder" else home
    done = Command(*SMALL, cwd=home, before=partial(faults.after_epoch, 1, shutil.rmtree, victim)).wait()
    check_one_sentence(done, "moved or removed")
    assert not victim.exists()


@pytest.mark.parametrize(
    "command", [[*SMALL], ["-m", *SMALL, "activation=relu,gelu"], ["report", "outputs"], ["kernels", "relu"]]
)
def test_the_current_folder_was_gone_before(tmp_path, command):
    home = tmp_path / "home"
    home.mkdir()
    done = Command(*command, cwd=home, before=partial(shutil.rmtree, home)).wait()
    assert done.returncode in (1, 2), done
    assert done.stderr.startswith("error: "), done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error: ") == 1, done.stderr


# ---------------------------------------------------------------- the clock


def test_a_clock_that_jumps_is_seen_in_no_number(sweep, tmp_path):
    done = Command(*SWEEP, cwd=tmp_path, before=faults.jumping_clock).wait()
    assert (done.returncode, done.stderr) == (0, "")
    study = tmp_path / "outputs" / "s"
    assert outcome_of_study(study) == sweep
    for path in study.glob("*/history.csv"):
        with path.open(newline="") as file:
            assert all(0 < float(row["seconds"]) < 100 for row in csv.DictReader(file))
    for path in study.glob("*/summary.json"):
        summary = json.loads(path.read_text())
        assert all(0 <= value < 100 for value in summary["seconds"].values())
        assert summary["samples_per_second"] > 0


def test_studies_of_one_moment_have_names_of_their_own(monkeypatch):
    """The clock stands still: what tells them apart is not the time."""
    from actbench.command import composing

    class Still(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 1, 1, tzinfo=tz)

    monkeypatch.setattr("datetime.datetime", Still)
    names = {composing._stamp.__wrapped__() for _ in range(20)}
    assert len(names) == 20
    assert all(name.startswith("2026-01-01_00-00-00_") for name in names)


def test_of_two_runs_of_one_seed_the_one_counts_that_says_it_is_newer_and_it_is_said(actbench, tmp_path):
    """Whatever the clock says: a time far ahead, one before all others, none at all."""
    settings = settings_of("dataset=digits", "num_seeds=2", "activation=relu")
    times = {"a": "2031-01-01T00:00:00+00:00", "b": "1970-01-01T00:00:00+00:00", "c": "", "d": "yesterday"}
    for number, (name, when) in enumerate(times.items()):
        fake_run(tmp_path / "outputs" / name, settings, [90.0 + number] * 2, time=when)
    told = [actbench("report", "outputs", "--table") for _ in range(2)]
    assert told[0] == told[1]
    assert (told[0].returncode, told[0].stderr) == (0, "")
    assert " 90.00 ± " in told[0].stdout  # 2031's; that of who says nothing, or no time, comes before all others


# ---------------------------------------------------------------- two processes


def test_two_processes_in_one_run(sweep, tmp_path):
    name, expected = of_relu(sweep)
    go = tmp_path / "go"
    first = Command(*SMALL, cwd=tmp_path, before=partial(faults.after_epoch, 1, faults.wait_for_file, go))
    first.wait_for("epoch 1/2")
    second = Command(*SMALL, cwd=tmp_path)
    second.wait_for_error("waiting for outputs/s/relu")
    assert f"process {first.pid} on " in second.stderr
    go.touch()
    for command, said in ((first, 0), (second, 1)):
        done = command.wait()
        assert done.returncode == 0
        assert len(done.stderr.splitlines()) == said
    assert "already complete" in done.stdout
    assert outcome_of_run(tmp_path / "outputs" / "s" / name) == expected


def test_a_lock_that_is_removed_is_taken_again(sweep, tmp_path):
    name, expected = of_relu(sweep)
    lock = tmp_path / "outputs" / "s" / name / ".lock"
    done = Command(*SMALL, cwd=tmp_path, before=partial(faults.after_epoch, 1, os.remove, lock)).wait()
    assert (done.returncode, done.stderr) == (0, "")
    assert outcome_of_run(lock.parent) == expected


def test_who_lost_its_lock_to_another_process_writes_no_more(sweep, tmp_path):
    name, expected = of_relu(sweep)
    folder = tmp_path / "outputs" / "s" / name
    go = [tmp_path / "go1", tmp_path / "go2"]
    first, second = (
        Command(*SMALL, cwd=tmp_path, before=partial(faults.after_epoch, epoch, faults.wait_for_file, file))
        for epoch, file in ((1, go[0]), (2, go[1]))
        if epoch == 1 or _removed(folder / ".lock")
    )
    second.wait_for("epoch 2/2")  # it went on with what the first one had left
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    go[0].touch()
    first.wait_for_error("waiting for outputs/s/relu")
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    go[1].touch()
    done = second.wait()
    assert (done.returncode, done.stderr) == (0, "")
    assert first.wait().returncode == 0  # with what the second one has left
    assert outcome_of_run(folder) == expected


def _removed(lock, seconds=100):
    """Waits until the first process has written an epoch, and takes its lock away."""
    ends = time.monotonic() + seconds
    while not (lock.parent / "resume.pt").exists():
        assert time.monotonic() < ends
        time.sleep(0.01)
    lock.unlink()
    return True


def test_two_sweeps_and_reports_at_the_same_time(sweep, actbench, tmp_path):
    """The sweeps share the work, and both end with all of it; a report says so where there is nothing yet."""
    sweeps = [Command(*SWEEP, cwd=tmp_path) for _ in range(2)]
    reports = [actbench("report", "outputs/s") for _ in range(2)]
    ended = [sweep.wait() for sweep in sweeps]
    for done in ended:
        assert (done.returncode, done.stderr) == (0, "")
        assert "\nrelu " in done.stdout
        assert "\ngelu " in done.stdout
    for done in reports:
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        assert (done.returncode == 0) == (done.stderr == ""), done
    study = tmp_path / "outputs" / "s"
    assert outcome_of_study(study) == sweep
    pair = [Command("report", "outputs/s", cwd=tmp_path) for _ in range(2)]
    assert [(done.returncode, done.stderr) for done in (report.wait() for report in pair)] == [(0, "")] * 2
    assert outcome_of_report(study / "report") == sweep["report"]
