"""More seeds of what a study holds already: only those that are missing are trained."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from functools import partial

import faults
import pytest
from helpers import fake_run, settings_of
from outcome import outcome_of_run
from processes import OFFLINE, Command

from actbench.command import extending
from actbench.command.begun import Study
from actbench.command.extending import parts_of
from actbench.command.planning import Job

RUN = ["dataset=digits", "train.epochs=1", "model.width=8", "tensorboard=false", "train.threads=1", "study=s"]


def job(study, seed, number, *more):
    settings = settings_of("dataset=digits", f"seed={seed}", f"num_seeds={number}", *more)
    return Job((*more, f"seed={seed}", f"num_seeds={number}"), settings, study / settings.folder)


def on_disk(study, seed, number, *more, status="completed"):
    settings = settings_of("dataset=digits", f"seed={seed}", f"num_seeds={number}", *more)
    fake_run(study / settings.folder, settings, [90.0] * number, status=status)


def ranges(jobs):
    return [(one.settings.seed, one.settings.num_seeds) for one in jobs]


@pytest.mark.parametrize(
    ("complete", "begun", "asked", "shown", "resumed", "new"),
    [
        ([], [], (0, 5), [], [], [(0, 5)]),
        ([(0, 5)], [], (0, 15), [(0, 5)], [], [(5, 10)]),
        ([(0, 5)], [], (3, 4), [(0, 5)], [], [(5, 2)]),
        ([(0, 5)], [], (1, 3), [(0, 5)], [], []),
        ([(0, 5), (10, 5)], [], (0, 20), [(0, 5), (10, 5)], [], [(5, 5), (15, 5)]),
        ([(0, 5)], [(5, 5)], (0, 12), [(0, 5)], [(5, 5)], [(10, 2)]),
        ([], [(0, 5)], (0, 5), [], [(0, 5)], []),
        ([], [(0, 20)], (0, 15), [], [], [(0, 15)]),  # to go on would train more than what is asked for
        ([(0, 5)], [(0, 8)], (0, 10), [(0, 5)], [], [(5, 5)]),  # it would train what is there
        ([(0, 5), (0, 8)], [], (0, 8), [(0, 8)], [], []),  # the same command is what it always was
        ([(7, 1)], [], (0, 5), [], [], [(0, 5)]),
    ],
)
def test_what_is_on_disk_is_shown_what_was_begun_goes_on_and_the_rest_is_new(
    tmp_path, complete, begun, asked, shown, resumed, new
):
    for seed, number in complete:
        on_disk(tmp_path, seed, number)
    for seed, number in begun:
        on_disk(tmp_path, seed, number, status="interrupted")
    on_disk(tmp_path, 0, 30, "activation=gelu")  # of another configuration
    parts = parts_of(job(tmp_path, *asked), Study(tmp_path))
    assert (ranges(parts.complete), ranges(parts.begun), ranges(parts.new)) == (shown, resumed, new)
    for one in parts.all:
        assert one.folder == tmp_path / one.settings.folder
        assert {f"seed={one.settings.seed}", f"num_seeds={one.settings.num_seeds}"} <= {*one.overrides}
    if not complete and not begun:
        assert parts.all[0] is not None
        assert extending.without_seeds_on_disk([job(tmp_path, *asked)]).remarks == []


def test_jobs_that_share_runs_show_them_once(tmp_path):
    on_disk(tmp_path, 0, 5)
    extended = extending.without_seeds_on_disk([job(tmp_path, 0, 6), job(tmp_path, 2, 6)])
    assert ranges(extended.jobs) == [(0, 5), (5, 1), (5, 3)]
    assert extended.remarks == [
        f"relu-mlp in {tmp_path}: seeds 0-4 are there already, seed 5 is trained",
        f"relu-mlp in {tmp_path}: seeds 0-4 are there already, seeds 5-7 are trained",
    ]


# ---------------------------------------------------------------- the whole command


def results(home):
    with (home / "outputs" / "s" / "report" / "results.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["metric"] == "test_accuracy"]


def folders(home):
    return sorted(path.parent.name.rpartition("-seeds")[2] for path in (home / "outputs" / "s").glob("*/settings.yaml"))


def test_a_larger_number_of_seeds_trains_the_missing_ones_and_is_one_row(actbench, tmp_path):
    assert actbench(*RUN, "num_seeds=3").returncode == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("outputs/s/*/*.*") if path.is_file()}
    done = actbench(*RUN, "num_seeds=5")
    assert done.returncode == 0
    assert done.stderr == "relu-mlp in outputs/s: seeds 0-2 are there already, seeds 3-4 are trained\n"
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert folders(tmp_path) == ["0-2", "3-4"]
    typed = {path: path.stat().st_mtime_ns for path in tmp_path.glob("outputs/s/*/.hydra/*")}
    assert [(row["configuration"], row["seed"]) for row in results(tmp_path)] == [("relu", str(k)) for k in range(5)]
    again = actbench("-m", *RUN, "num_seeds=4", "activation=relu,gelu")
    assert again.returncode == 0
    assert "2 of 3 already complete\n" in again.stdout
    assert folders(tmp_path) == ["0-2", "0-3", "3-4"]
    single = actbench(*RUN, "num_seeds=2")
    assert single.returncode == 0
    assert "already complete" in single.stdout
    assert folders(tmp_path) == ["0-2", "0-3", "3-4"]
    assert {path: path.stat().st_mtime_ns for path in typed} == typed  # they say what their runs were begun with


def test_seeds_that_are_added_are_those_of_one_large_run(actbench, tmp_path):
    """Each seed is what it would be alone, so that it does not matter in which run it was trained."""
    actbench(*RUN, "num_seeds=2")
    actbench(*RUN, "num_seeds=4")
    whole = tmp_path / "whole"
    whole.mkdir()
    actbench(*RUN, "num_seeds=4", cwd=whole)
    actbench("report", "outputs/s", cwd=whole)
    for one, other in zip(results(tmp_path), results(whole), strict=True):
        assert (one["configuration"], one["seed"]) == (other["configuration"], other["seed"])
        assert float(one["value"]) == pytest.approx(float(other["value"]), abs=0.6)


def test_an_unfinished_run_is_resumed_in_its_own_folder(actbench, tmp_path):
    words = [*RUN, "num_seeds=2", "train.epochs=3"]
    words.remove("train.epochs=1")
    killed = Command(*words, cwd=tmp_path).wait()
    assert killed.returncode == 0
    other = tmp_path / "other"
    other.mkdir()
    stopped = Command(*words, cwd=other, before=partial(faults.after_epoch, 2, kill_itself)).wait()
    assert stopped.returncode == -signal.SIGKILL
    done = actbench(*[word.replace("num_seeds=2", "num_seeds=3") for word in words], cwd=other)
    assert done.returncode == 0
    assert done.stderr == "relu-mlp in outputs/s: seeds 0-1 go on, seed 2 is trained\n"
    assert "going on after epoch 2" in done.stdout
    runs = [next((home / "outputs" / "s").glob("*-seeds0-1")) for home in (tmp_path, other)]
    assert outcome_of_run(runs[0]) == outcome_of_run(runs[1])


def kill_itself():
    os.kill(os.getpid(), signal.SIGKILL)


def test_int8_and_probes_that_are_asked_for_later(actbench):
    actbench(*RUN, "num_seeds=2", "probe=false")
    done = actbench(*RUN, "num_seeds=3", "quantise=int8")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("scored in INT8") == 1
    assert "was trained without probes" in actbench(*RUN, "num_seeds=3").stdout


def test_a_launcher_trains_the_missing_seeds(actbench, tmp_path):
    """In a process of its own: the launcher's workers outlive a fork."""
    actbench(*RUN, "num_seeds=2")
    words = ["-m", *RUN, "num_seeds=3", "activation=relu", "hydra/launcher=joblib", "hydra.launcher.n_jobs=1"]
    command = [sys.executable, "-m", "actbench", *words]
    environment = {**os.environ, **OFFLINE}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    names = {path.parent.name[20:] for path in (tmp_path / "outputs" / "s").glob("*/settings.yaml")}
    assert names == {"seed2", "seeds0-1"}
    assert "seeds 0-1 are there already, seed 2 is trained" in done.stderr
