"""The worker processes of a sweep: the same bits as without, and nothing is lost or told twice."""

from __future__ import annotations

import io
import json
import os
import pickle
import signal
from functools import partial
from types import SimpleNamespace

import faults
import pytest
from helpers import settings_of
from outcome import outcome_of_study
from processes import Command
from test_many_processes import attempts_at, wait_until
from test_sweep import a_burst

from actbench import cores
from actbench.command import crew, crew_size
from actbench.command.pending import Pending
from actbench.command.running import Command as Running
from actbench.store.lock import Held, Hold

# two shards of two stacked seeds each, whose bits depend on how the seeds are split
SPLIT = ["-m", "dataset=digits", "dataset.train_size=300", "num_seeds=4", "model.width=128", "train.threads=2", "study=s",
         "tensorboard=false", "activation=relu,gelu,tanh,silu"]  # fmt: skip


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    home = tmp_path_factory.mktemp("alone")
    done = Command(*SPLIT, "train.epochs=15", "workers=1", cwd=home).wait()
    assert (done.returncode, done.stderr) == (0, "")
    return outcome_of_study(home / "outputs" / "s")


def of_a_worker(study, parent):
    """The process ids of workers that are training, by what they have noted in the runs' folders."""
    found = set()
    for path in study.glob("*/.attempts"):
        found |= {json.loads(line)["pid"] for line in path.read_text().splitlines() if line}
    return found - {parent}


def command_with_a_worker(folder):
    """The study, a command that trains it with a worker, the worker's pid, and a file until which its own run waits."""
    (folder / "queue.py").write_text("raise SystemExit('of the user, who has not trusted it')")
    study = folder / "outputs" / "s"
    go = folder / "go"
    held = partial(faults.after_epoch, 1, faults.wait_for_file, go)
    command = Command(*SPLIT, "train.epochs=15", "workers=2", cwd=folder, before=held)
    wait_until(lambda: of_a_worker(study, command.pid))
    (worker,) = of_a_worker(study, command.pid)
    return study, command, worker, go


def test_a_worker_that_is_killed_is_told_and_every_bit_is_as_without_workers(alone, tmp_path):
    study, command, worker, go = command_with_a_worker(tmp_path)
    os.kill(worker, signal.SIGKILL)
    command.wait_for("was ended by")
    go.touch()
    done = command.wait()
    assert (done.returncode, done.stderr) == (0, "")
    assert f"worker process {worker} was ended by SIGKILL; outputs/s/" in done.stdout
    assert outcome_of_study(study) == alone
    assert len([line for line in done.stdout.splitlines() if line.startswith("[")]) == 4


def test_what_stops_the_command_stops_its_workers_with_everything_on_disk(alone, tmp_path):
    study, command, worker, go = command_with_a_worker(tmp_path)
    command.send(signal.SIGINT)
    go.touch()
    done = command.wait()
    assert done.returncode == 130
    assert done.stderr.count("to go on:") == 1
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
    assert Command(*SPLIT, "train.epochs=15", "workers=1", cwd=tmp_path).wait().returncode == 0
    assert outcome_of_study(study) == alone


def test_a_worker_passes_over_what_another_command_holds(alone, tmp_path):
    study, go = tmp_path / "outputs" / "s", tmp_path / "go"
    names = {name.partition("-")[0]: name for name in alone}
    held = []
    for activation in ("gelu", "silu"):
        (study / names[activation]).mkdir(parents=True)
        held.append(Hold(study / names[activation]))
    waiting = partial(faults.after_epoch, 1, faults.wait_for_file, go)
    command = Command(*SPLIT, "train.epochs=15", "workers=2", cwd=tmp_path, before=waiting)
    wait_until((study / names["tanh"] / "summary.json").exists)
    go.touch()
    command.wait_for("waiting for 2 runs in outputs/s: ")
    for hold in held:
        hold.release(complete=False)
    done = command.wait()
    assert (done.returncode, done.stderr) == (0, "")
    assert outcome_of_study(study) == alone


def test_a_run_that_cannot_be_written_fails_alone_in_a_worker_too(alone, tmp_path):
    study, go = tmp_path / "outputs" / "s", tmp_path / "go"
    (name,) = (name for name in alone if name.startswith("gelu"))
    (study / name / ".attempts").mkdir(parents=True)  # in the way
    waiting = partial(faults.after_epoch, 1, faults.wait_for_file, go)
    command = Command(*SPLIT, "train.epochs=15", "workers=2", cwd=tmp_path, before=waiting)
    wait_until(lambda: len([*study.glob("*/summary.json")]) == 2)  # by the worker
    go.touch()
    done = command.wait()
    assert done.returncode == 2
    assert done.stderr.count(f"outputs/s/{name}/.attempts: Is a directory") == 1, done.stderr
    assert "Traceback" not in done.stderr and "was ended" not in done.stdout
    states = [json.loads(path.read_text())["status"] for path in study.glob("*/summary.json")]
    assert sorted(states) == ["completed", "completed", "completed", "failed"]


def test_the_job_of_a_worker_whose_words_cannot_be_shown_is_given_back():
    gone, sent = [], io.BytesIO(pickle.dumps(("printed", ("stdout", "x"))))
    one = object.__new__(crew.Worker)
    one.process = SimpleNamespace(stdin=io.BytesIO(), stdout=sent, wait=lambda: -15)

    def told(*_arguments):
        raise BrokenPipeError

    one.crew = SimpleNamespace(command=Running(), told=told, gone=lambda by, how: gone.append((by, how)))
    one._listen()
    assert gone == [(one, -15)]
    assert sent.closed and one.process.stdin.closed


def test_an_error_in_a_worker_is_told_once(tmp_path):
    a_burst(tmp_path, at=90)
    go, own = tmp_path / "go", ["dataset=digits", "num_seeds=1", "model.width=8", "tensorboard=false", "study=s"]
    held = partial(faults.after_epoch, 1, faults.wait_for_file, go)
    words = ["-m", *own, "train.epochs=20", "activation=relu,burst,gelu", "trust=my_acts", "workers=2"]
    command = Command(*words, cwd=tmp_path, before=held)
    command.wait_for("[3/3] gelu  test accuracy")  # of the worker, as burst was before
    go.touch()
    done = command.wait()
    assert done.returncode == 1
    assert done.stderr.count("too <b>hot</b>") == 1
    assert done.stdout.count("] burst  ") == 1
    assert attempts_at(tmp_path / "outputs" / "s", "burst") == 1


# ---------------------------------------------------------------- which jobs


class Waits:
    def __init__(self):
        self.said = []

    def reset(self):
        self.said.append("reset")

    def wait(self, held):
        self.said.append(len(held))


def test_jobs_that_others_hold_come_again_after_all_others():
    pending, waits, by = Pending(enumerate("abc")), Waits(), Held(SimpleNamespace(name="a"), None)
    first = pending.take()
    pending.held(first, by)
    pending.ended(pending.take())
    lost = pending.take()
    pending.dropped(lost)
    assert pending.take() == lost == (2, "c")
    pending.ended(lost)
    assert pending.wait(waits)  # something has ended meanwhile
    assert pending.take() == first
    pending.held(first, by)
    assert pending.wait(waits)
    assert pending.take() == first
    pending.ended(first)
    assert not pending.wait(waits)
    assert waits.said == ["reset", 1]


def test_it_is_said_for_all_of_them_while_a_worker_tries_one():
    """Else one waits for this and for that in turn, in a line each time."""
    pending, waits, by = Pending(enumerate("ab")), Waits(), Held(SimpleNamespace(name="a"), None)
    for _ in range(2):
        pending.held(pending.take(), by)
    for _ in range(3):
        assert pending.wait(waits)
        tried, other = pending.take(), pending.take()  # by a worker, which is slow, and by the command itself
        pending.held(other, by)
        assert pending.wait(waits)
        pending.held(tried, by)
        pending.held(pending.take(), by)
    assert waits.said == [2] * 6
    assert pending.wait(waits)
    pending.begun(pending.take())  # it is free now, and trained by a worker
    pending.held(pending.take(), by)
    assert pending.wait(waits)
    assert waits.said[-1] == 1


# ---------------------------------------------------------------- whether and how many


@pytest.fixture
def sixteen(monkeypatch):
    monkeypatch.setattr(cores, "available", lambda: 16)
    monkeypatch.setattr(crew_size, "free_memory", lambda: 64 << 30)
    from actbench.train import machine

    monkeypatch.setattr(machine, "_DEFAULT_THREADS", 16)
    return lambda number, *words: [settings_of("dataset=digits", *words)] * number


@pytest.mark.parametrize(
    ("due", "words", "asked", "number", "why"),
    [
        (40, ["num_seeds=16"], None, 16, "16 cores"),
        (3, ["num_seeds=16"], None, 4, "there are 4 runs"),
        (40, ["num_seeds=5"], None, 5, "3 threads"),
        (40, ["num_seeds=1"], None, 1, "train.threads=1"),
        (40, ["num_seeds=1", "train.threads=1"], None, 16, "16 cores"),
        (40, ["num_seeds=1"], 3, 3, ""),
        (1, ["num_seeds=1"], 8, 2, ""),
    ],
)
def test_as_many_processes_as_there_are_cores_for_their_kernels(sixteen, due, words, asked, number, why):
    found, said = crew_size.processes(sixteen(due, *words), asked)
    assert found == number
    assert why in said


def test_memory_and_gpus_limit_them(sixteen, monkeypatch):
    monkeypatch.setattr(crew_size, "free_memory", lambda: 5 << 29)
    assert crew_size.processes(sixteen(40, "num_seeds=16"), None) == (3, "2.5 GiB of memory are free")
    monkeypatch.setattr(crew_size, "_on_gpu", lambda settings: True)
    assert crew_size.processes(sixteen(40, "num_seeds=16"), None) == (1, "")
    assert crew_size.processes(sixteen(40, "num_seeds=16"), 4)[0] == 1


def test_a_control_group_limits_the_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(cores, "_GROUP", tmp_path)
    monkeypatch.setattr(cores.os, "cpu_count", lambda: 32)
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: {*range(16)}, raising=False)
    assert cores.available() == 16
    (tmp_path / "cpu.max").write_text("250000 100000\n")
    assert cores.available() == 3
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert cores.available() == 16
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert cores.available() == 16
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("50000\n")
    assert cores.available() == 1


class Ready(SimpleNamespace):
    """A worker that has imported what it needs before all of them have been started."""

    def __init__(self, of):
        super().__init__(idle=True, job=None, use=lambda number: None)
        of.told(self, "ready", ())

    def give(self, job):
        self.job, self.idle = job, False


def test_a_worker_that_is_ready_at_once_gets_a_job(sixteen, monkeypatch):
    monkeypatch.setattr(crew, "Worker", Ready)
    monkeypatch.setattr(cores, "available", lambda: 3)
    one = crew.Crew(Running(sweep=SimpleNamespace(say=lambda line: None)), 3)
    one.begin(Pending(enumerate(SimpleNamespace(settings=settings) for settings in sixteen(5, "num_seeds=16"))))
    assert [worker.job[0] for worker in one.workers] == [0, 1]
    assert len(one.pending) == 3


@pytest.mark.parametrize(("left", "asked", "started"), [(19, None, 0), (None, None, 0), (20, None, 1), (500, 1, 0)])
def test_workers_start_when_an_epoch_has_shown_that_they_pay(sixteen, monkeypatch, left, asked, started):
    begun, said = [], []
    monkeypatch.setattr(crew, "WORTH", 20.0)
    monkeypatch.setattr(crew, "Worker", lambda of: begun.append(of) or SimpleNamespace(idle=False, job=None))
    monkeypatch.setattr(cores, "available", lambda: 2)
    sweep = SimpleNamespace(left=lambda: left, say=said.append, learnt=None)
    one = crew.Crew(Running(sweep=sweep), asked)
    one.__enter__()
    jobs = [SimpleNamespace(settings=settings) for settings in sixteen(5, "num_seeds=16")]
    one.pending = Pending(enumerate(jobs))
    sweep.learnt()
    sweep.learnt()
    assert len(begun) == started
    assert len(said) == started
