"""One study from many processes: each job is done once, what is held is waited for, and all end with everything."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import pickle
import shutil
import signal
import subprocess
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import faults
import pytest
from helpers import settings_of
from outcome import outcome_of_study
from processes import Command
from small_study import SMALL
from test_race import RACE
from test_race import outcome as outcome_of_race
from test_scripts import script
from test_sweep import a_burst

from actbench.command import batches, running, sharing, task_function
from actbench.command.planning import Job
from actbench.errors import Failure
from actbench.files import atomic
from actbench.job.job import MOST_KILLED
from actbench.report import pages
from actbench.store import joint, lock
from actbench.store.attempts import Attempt, Attempts
from actbench.store.lock import Held, Hold

SWEEP = ["-m", *SMALL, "tensorboard=false", "activation=relu,gelu,tanh"]


def wait_until(there, seconds=100):
    ends = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < ends
        time.sleep(0.01)


def namespaces():
    """Whether this process may make new ones."""
    unshare = shutil.which("unshare")
    command = [unshare, "--fork", "--pid", "--mount-proc", "--uts", "true"]
    return unshare is not None and subprocess.run(command, capture_output=True, timeout=10).returncode == 0


def attempts_at(study, name):
    """How often somebody began to train a run, by its `.attempts`."""
    (path,) = study.glob(f"{name}-*/.attempts")
    lines = [json.loads(line) for line in path.read_text().splitlines() if line]
    return sum(not (line["failed"] or line["stopped"]) for line in lines)


# ---------------------------------------------------------------- stopped, killed and resumed at random


def test_stopped_killed_and_resumed_at_random_no_job_is_done_twice_and_none_lost(request, tmp_path):
    """`--moments 100` is 200 jobs in 6 processes, each of which is process 1 of a host of its own, where that is allowed."""
    option = request.config.getoption
    jobs = 2 * option("moments")
    numbers = ["--jobs", jobs, "--processes", 6 if jobs > 100 else 3, "--disturbances", max(jobs // 3, 6)]
    numbers += ["--draw", option("draw"), *(["--hosts"] if namespaces() else [])]
    done = script("many_processes.py", *map(str, numbers), cwd=tmp_path, timeout=3600)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert done.stdout.endswith("no job twice, none lost, every result bit-equal\n")


# ---------------------------------------------------------------- a process that is stopped, and one that is killed


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What the sweep comes to in one process."""
    home = tmp_path_factory.mktemp("alone")
    done = Command(*SWEEP, cwd=home).wait()
    assert (done.returncode, done.stderr) == (0, "")
    return outcome_of_study(home / "outputs" / "s")


def test_others_finish_what_they_can_and_say_whom_they_wait_for(alone, tmp_path):
    """A stopped process keeps its run as long as it lives; killed, another one goes on from its last epoch."""
    study = tmp_path / "outputs" / "s"
    stopped = Command(*SWEEP, cwd=tmp_path, before=partial(faults.after_epoch, 1, os.kill, 0, 0))
    stopped.send(signal.SIGCONT)
    wait_until(lambda: [*study.glob("relu-*/resume.pt")])
    stopped.send(signal.SIGSTOP)
    other = Command(*SWEEP, cwd=tmp_path)
    held = [path.parent.name for path in study.glob("*/.lock")]
    other.wait_for("waiting for ")
    assert f"process {stopped.pid} on " in other.stdout
    assert any(name in other.stdout.partition("waiting for")[2] for name in held)
    stopped.send(signal.SIGKILL)
    assert stopped.wait().returncode == -signal.SIGKILL
    done = other.wait()
    assert (done.returncode, done.stderr) == (0, "")
    assert outcome_of_study(study) == alone


def test_each_that_is_waited_for_is_said_once_in_whatever_order_they_are_looked_at(tmp_path, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(sharing.time, "sleep", lambda seconds: None)
    waiting = sharing.Waiting(running.Command(sweep=SimpleNamespace(say=lambda text: said.append(text.plain))))
    one, other, third = (Held(tmp_path / name, None) for name in ("one", "other", "third"))
    for held in [*[[one, other]] * 40, [other, one], [one], [other], [one, third], [third]]:
        waiting.wait(held)
    assert [line.split(":")[0] for line in said] == [f"waiting for 2 runs in {tmp_path}"] * 2
    assert ("third" in said[0], "third" in said[1]) == (False, True)


def test_ctrl_c_of_one_leaves_the_others_working(alone, tmp_path):
    interrupted = Command(*SWEEP, cwd=tmp_path, before=partial(faults.after_epoch, 1, os.kill, 0, 0))
    other = Command(*SWEEP, cwd=tmp_path)
    wait_until(lambda: [*tmp_path.glob("outputs/s/*/resume.pt")])
    interrupted.send(signal.SIGINT)
    done = other.wait()
    assert (done.returncode, done.stderr) == (0, "")
    assert interrupted.wait().returncode in (0, 130)
    assert outcome_of_study(tmp_path / "outputs" / "s") == alone
    assert all(f"\n{name} " in done.stdout for name in ("relu", "gelu", "tanh"))


# ---------------------------------------------------------------- a job that fails


def test_what_fails_is_tried_once_by_all_processes_and_once_more_by_the_next_command(tmp_path):
    a_burst(tmp_path, at=100)
    study, go = tmp_path / "outputs" / "s", tmp_path / "go"
    words = ["-m", *SMALL, "tensorboard=false", "activation=burst,relu", "trust=my_acts"]
    first = Command(*words, cwd=tmp_path, before=partial(faults.after_epoch, 1, faults.wait_for_file, go))
    wait_until(lambda: [*study.glob("relu-*/resume.pt")])
    others = [Command(*words, cwd=tmp_path) for _ in range(2)]
    for other in others:
        other.wait_for_error(f"the run failed in process {first.pid} on ")
    go.touch()
    ended = [command.wait() for command in (first, *others)]
    assert [done.returncode for done in ended] == [1, 1, 1]
    assert all("too <b>hot</b>" in done.stderr and "\nrelu" in done.stdout for done in ended)
    assert attempts_at(study, "burst") == 1
    assert Command(*words, cwd=tmp_path).wait().returncode == 1
    assert attempts_at(study, "burst") == 2


def test_what_kills_its_process_does_not_kill_all_and_is_told(tmp_path):
    """Nothing tells it from what is killed from outside, so it is taken over a few times."""
    (tmp_path / "conf" / "activation").mkdir(parents=True)
    (tmp_path / "conf" / "activation" / "deadly.yaml").write_text("_target_: my_acts.Deadly\n_partial_: true\n")
    (tmp_path / "my_acts.py").write_text(
        "import os, sys\nfrom torch import nn\n"
        "class Deadly(nn.Module):\n"
        "    def forward(self, z):\n"
        "        frame = sys._getframe()\n"
        "        while frame is not None and frame.f_code.co_name != 'fit':\n            frame = frame.f_back\n"
        "        if frame is not None: os.kill(os.getpid(), 9)\n"
        "        return z.relu()\n"
    )
    words = ["-m", *SMALL, "tensorboard=false", "activation=deadly,relu", "trust=my_acts"]
    assert Command(*words, cwd=tmp_path).wait().returncode == -signal.SIGKILL
    (noted,) = tmp_path.glob("outputs/s/deadly-*/.attempts")
    noted.write_text(noted.read_text() * (MOST_KILLED - 1))
    ended = [command.wait() for command in [Command(*words, cwd=tmp_path) for _ in range(2)]]
    assert sorted(done.returncode for done in ended) == [-signal.SIGKILL, 1]
    (told,) = (done for done in ended if done.returncode == 1)
    reason = f"its process was killed {MOST_KILLED} times in the same epoch (out of memory?)"
    assert told.stderr.count(reason) == 1
    assert f"without results: deadly (failed: {reason})" in told.stdout and "\nrelu" in told.stdout
    assert attempts_at(tmp_path / "outputs" / "s", "deadly") == MOST_KILLED + 1
    assert Command(*words, cwd=tmp_path).wait().returncode == -signal.SIGKILL  # typed again, it is tried again


def test_what_was_killed_is_counted_until_there_is_an_epoch_or_an_end(tmp_path):
    attempts = Attempts(tmp_path)
    for number in range(3):
        assert attempts.killed() == number
        attempts.begin(f"c{number}")
    (tmp_path / "resume.pt").write_text("after an epoch")
    assert attempts.killed() == 0
    for number, end in enumerate([attempts.fail, attempts.stop, None]):
        attempts.begin("c")
        attempts.begin("c")
        assert attempts.killed() == 2, number
        if end:
            end("c")
            assert attempts.killed() == 0
    hold = Hold(tmp_path, "c")
    assert hold.killed == 2
    hold.begin()
    hold.release(complete=False)
    assert Attempts(tmp_path).killed() == 0  # it has come to an end, though not to that of the run


# ---------------------------------------------------------------- a race


def test_two_processes_race_as_one(tmp_path):
    """The same looks, each paid for once, and the same end."""
    home = tmp_path / "alone"
    home.mkdir()
    assert Command(*RACE, cwd=home).wait().returncode == 0
    together = tmp_path / "together"
    together.mkdir()
    both = [Command(*RACE, cwd=together) for _ in range(2)]
    for done in [command.wait() for command in both]:
        assert (done.returncode, done.stderr) == (0, "")
        assert "race: ended after 10 of 10 trainings" in done.stdout
    assert outcome_of_race(together) == outcome_of_race(home)


def test_a_race_decides_by_the_look_that_was_recorded_not_by_what_was_trained_since(tmp_path):
    from test_race import Races, Terms, race_look

    terms, study = Terms(0.1, max_seeds=12), tmp_path / "outputs" / "s"
    study.mkdir(parents=True)
    Races(study).race(Terms(0.1, max_seeds=8), "relu", "gelu")
    first = race_look.again(study, terms, ())
    looks = (study / "decide.json").read_text()
    by_id = first.seeds
    races = Races(study)
    relu = settings_of("dataset=digits", "activation=relu", "seed=8", "num_seeds=4")
    races.run(Job(("activation=relu",), relu, study / relu.folder))  # by a process that is a round ahead
    late = race_look.at(study, terms, after=race_look.Look(), asked={key: range(5) for key in by_id})
    assert {key: len(seeds) for key, seeds in late.seeds.items()} == dict.fromkeys(by_id, 5)
    last = race_look.at(study, terms, after=late, asked={key: range(8) for key in by_id})
    assert (last.words, last.seeds) == (first.words, first.seeds)
    assert (study / "decide.json").read_text() == looks


# ---------------------------------------------------------------- a launcher


@pytest.mark.parametrize("by", [None, Attempt("node1", 4711, "2026-01-02T03:04:05+00:00", "0.1.0", "x")])
def test_a_worker_can_send_who_holds_a_run(by):
    held = Held(Path("s/relu"), by)
    sent = pickle.loads(pickle.dumps(held))
    assert (str(sent), sent.folder, sent.who, sent.since) == (str(held), held.folder, held.who, held.since)


def test_what_ray_gives_up_is_said_and_the_others_are_launched_again(tmp_path, capsys):
    names = ("relu", "gelu", "tanh")
    jobs = [Job((), settings_of("dataset=digits", f"activation={one}"), tmp_path / one) for one in names]
    jobs[0].folder.mkdir()
    Attempts(jobs[0].folder).begin("c")  # and its process is gone
    jobs[1].folder.mkdir()
    lost = type("WorkerCrashedError", (Exception,), {"__module__": "ray.exceptions"})("It died. Check some log")
    command = running.Command(["-m"])
    there = batches.Batches(None, None, command)
    trains = Hold(jobs[1].folder)
    trains.begin()
    before = dict.fromkeys(job.folder for job in jobs)
    assert there._left_by(lost, jobs, before) == jobs[1:]
    trains.release(complete=False)
    assert command.exit_codes == [1]
    said = capsys.readouterr().err
    assert f"{jobs[0].folder}: Ray has given it up: WorkerCrashedError: It died\n" in said
    with pytest.raises(RuntimeError, match="of another kind"):
        there._left_by(RuntimeError("of another kind"), jobs, before)
    with pytest.raises(type(lost)):  # none had begun: it would be so again
        there._left_by(lost, jobs[2:], before)


def test_what_a_launchers_workers_find_held_is_launched_again_once_it_is_free(tmp_path, monkeypatch):
    settings = [settings_of("dataset=digits", f"activation={name}", "num_seeds=1") for name in ("relu", "gelu")]
    jobs = [Job((f"activation={s.activation.name}",), s, tmp_path / s.folder) for s in settings]
    jobs[1].folder.mkdir()
    hold, launched, slept = Hold(jobs[1].folder), [], []

    def launch(batch, initial_job_idx):
        launched.append((len(batch), initial_job_idx))
        held = len(launched) == 1
        return [SimpleNamespace(return_value=sharing.HELD if held and words is batch[-1] else 90.0) for words in batch]

    def sleep(_seconds):
        slept.append(len(launched))
        if len(slept) == 3:
            hold.release(complete=False)

    launcher = SimpleNamespace(launch=launch)
    plugins = SimpleNamespace(instantiate_launcher=lambda **_: launcher)
    monkeypatch.setattr(batches.Plugins, "instance", lambda: plugins)
    monkeypatch.setattr(batches, "_for_a_launcher", lambda job: [job.settings.folder])
    monkeypatch.setattr(sharing.time, "sleep", sleep)
    choices = SimpleNamespace(runtime=SimpleNamespace(choices={"hydra/launcher": "joblib"}), launcher={"n_jobs": 1})
    config = SimpleNamespace(hydra=SimpleNamespace(**vars(choices), sweeper={}))
    batches.Batches(config, None, running.Command()).run(jobs)
    assert launched == [(2, 0), (1, 0)]
    assert slept == [1, 1, 1]


def test_a_worker_returns_at_once_where_a_run_is_held(monkeypatch):
    def held(*_arguments):
        raise Held(Path("r"), None)

    monkeypatch.setattr(task_function, "attempt", held)
    assert task_function.job_if_free({}, running.Command()) == sharing.HELD


# ---------------------------------------------------------------- who is one command


def test_processes_that_work_at_the_same_time_are_one_command(tmp_path):
    study = tmp_path / "s"
    with joint.command_in(study) as first:
        with joint.command_in(study) as second:
            assert second == first
        with joint.command_in(study) as third:
            assert third == first
    assert not study.exists()  # nothing has begun in it
    study.mkdir()
    with joint.command_in(study) as later:
        assert later != first
    (study / joint.FILE).write_text(first)  # of a process that was killed
    with joint.command_in(study) as later:
        assert later != first
    with joint.command_in(study) as earlier:  # its folder vanishes
        (study / joint.FILE).unlink()
        with joint.command_in(study) as other:
            assert other != earlier
    (study / joint.FILE).mkdir()  # in the way
    with joint.command_in(study) as later:
        assert len(later) == len(first)


def test_the_first_answer_counts_for_all_processes_of_a_command(tmp_path):
    study = tmp_path / "s"
    with joint.command_in(study) as first:
        assert joint.agreed(study, "when", "now") == "now"
        with joint.command_in(study) as second:
            assert second == first
            assert joint.agreed(study, "when", "later") == "now"
            assert joint.agreed(study, "where", "here") == "here"
        (study / "run").mkdir()
    assert [path.name for path in study.iterdir()] == ["run"]
    with joint.command_in(study):
        assert joint.agreed(study, "when", "later") == "later"
    assert joint.agreed(study, "when", "alone") == "alone"  # there are no locks, or the folder is gone


# ---------------------------------------------------------------- the lock of a run


def test_who_holds_a_run_is_told_and_only_one_does(tmp_path):
    hold = Hold(tmp_path, "c1")
    with pytest.raises(Held, match="another process is working in it"):
        Hold(tmp_path, "c1")
    hold.begin()
    with pytest.raises(Held, match=f"process {os.getpid()} on .* is working in it, since "):
        Hold(tmp_path, "c1")
    hold.fail()
    hold.release(complete=False)
    again = Hold(tmp_path, "c1")
    assert again.failed_before
    again.release(complete=False)
    other = Hold(tmp_path, "c2")
    assert not other.failed_before
    other.begin()
    other.check()
    other.release(complete=True)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    "lines",
    [
        "",
        "{",
        '{"host": "a"}',
        '{"host": "a", "time": "", "version": "", "command": "", "pid": Infinity}',
        "[1]",
        "\x00\n\n{}",
        '{"pid": "x", "host": 1}',
    ],
)
def test_attempts_that_cannot_be_read_are_none(tmp_path, lines):
    (tmp_path / ".attempts").write_text(lines)
    assert Attempts(tmp_path).last() is None
    Attempts(tmp_path).begin("c")
    assert Attempts(tmp_path).last().command == "c"


@pytest.mark.parametrize("by", [None, Attempt("node1", 4711, "2026-01-01T00:00:00+00:00", "0.1.0", "c1")])
def test_who_holds_a_run_can_be_told_to_another_process(by):
    held = Held(Path("outputs/s/r"), by)
    received = pickle.loads(pickle.dumps(held))
    assert (str(received), received.folder, received.by) == (str(held), held.folder, by)


def test_who_has_lost_its_lock_writes_no_more(tmp_path):
    """As on a network file system, where the lock of a host that was silent for long is given to another one."""
    hold = Hold(tmp_path, "c")
    hold.begin()
    hold.check()
    Attempts(tmp_path).begin("c")  # by the other host
    with pytest.raises(Held):
        hold.check()


def test_a_file_system_without_locks_is_one_clear_message(tmp_path, monkeypatch):
    class None_(lock.FileLock):
        def _acquire(self):
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(lock, "FileLock", None_)
    with pytest.raises(Failure, match="its file system has no locks"):
        Hold(tmp_path)
    with lock.alone(tmp_path / ".x.lock", 1.0) as waited:  # what can be done without goes on without
        assert not waited


def test_a_lock_on_a_file_that_was_removed_meanwhile_is_none(tmp_path, monkeypatch):
    """Between the moments in which it is opened and locked, whoever has completed the run removes it."""
    flock, removed = fcntl.flock, []

    def late(file, how):
        if how & fcntl.LOCK_EX and not removed:
            removed.append(True)
            (tmp_path / ".lock").unlink()
        return flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with contextlib.suppress(Held):
        Hold(tmp_path)
    hold = Hold(tmp_path)
    with pytest.raises(Held):
        Hold(tmp_path)
    assert removed
    hold.release(complete=True)


@pytest.mark.filterwarnings("ignore:flock not supported")
def test_without_flock_a_marker_excludes_others(tmp_path, monkeypatch):
    def missing(_file, _how):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", missing)
    hold = Hold(tmp_path)
    with pytest.raises(Held):
        Hold(tmp_path)
    hold.release(complete=True)
    Hold(tmp_path).release(complete=True)
    assert not [*tmp_path.iterdir()]


def test_who_waits_for_a_block_is_told_so_and_does_not_wait_for_ever(tmp_path):
    with lock.alone(tmp_path / ".x.lock", 1.0) as waited:
        assert not waited
        with lock.alone(tmp_path / ".x.lock", 0.0) as waited:  # whose owner is stopped
            assert waited
    assert not [*tmp_path.iterdir()]


def test_who_waits_long_for_a_block_is_told_once_for_whom(tmp_path, monkeypatch, capsys):
    now = [0.0]
    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=lambda _: now.__setitem__(0, now[0] + 1.0))
    monkeypatch.setattr(lock, "time", clock)
    with pages.alone(tmp_path / "report"):
        with lock.alone(tmp_path / ".report.lock", 2.0, "somebody") as waited:
            assert waited
        assert capsys.readouterr().err == ""  # too short to be told
        with pages.alone(tmp_path / "report") as waited:
            assert waited and now[0] > 120
    told = f"waiting for another process that is writing {tmp_path / 'report'}, at most 120 s\n"
    assert capsys.readouterr().err == told


def test_a_run_is_trained_by_one_version(tmp_path, monkeypatch):
    from rich.console import Console

    from actbench.job import job
    from actbench.sinks.terminal import TerminalSink
    from actbench.store import attempts

    settings = settings_of("dataset=digits", "num_seeds=1", "model.width=8", "train.epochs=2", "tensorboard=false")

    def attempt():
        return job.run(settings, tmp_path / "r", terminal=TerminalSink(Console(), live=False))

    class Later(Exception):
        pass

    def stop(_self, _training, progress, epoch=job.Sinks.epoch):
        epoch(_self, _training, progress)
        if progress.done:
            raise Later

    with monkeypatch.context() as earlier:
        earlier.setattr(attempts, "__version__", "0.0.9")
        earlier.setattr(job.Sinks, "epoch", stop)
        with pytest.raises(Later):
            attempt()
    for _ in range(2):  # it stays so
        with pytest.raises(job.UserError, match=r"was begun by actbench 0\.0\.9 \(process .* and this is "):
            attempt()
    (tmp_path / "r" / "resume.pt").unlink()
    assert attempt().status == "completed"


# ---------------------------------------------------------------- half-written files


def test_what_a_process_of_another_container_writes_is_left_alone(tmp_path, monkeypatch):
    """It may have the same host name and, in its own numbering, an id that nobody has here."""
    monkeypatch.setattr(atomic, "machine", lambda: "0123abcd")
    theirs = atomic._part(tmp_path / "report.html")
    theirs = tmp_path / theirs.name.replace(f".{os.getpid()}.", ".4194305.")
    theirs.write_text("half")
    atomic.remove_strays(tmp_path, alone=False)
    assert not theirs.exists()  # seen from that container, it is of a dead process
    theirs.write_text("half")
    monkeypatch.undo()
    atomic.remove_strays(tmp_path, alone=False)
    assert theirs.exists()
    os.utime(theirs, (0, 0))
    atomic.remove_strays(tmp_path, alone=False)
    assert not theirs.exists()
