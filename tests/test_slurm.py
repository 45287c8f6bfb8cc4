"""Slurm: what is said where there is none, signals, and a real one on this machine (`scripts/slurm_here.sh`).

By default one short sweep runs there; `--moments 20` also preempts, requeues, kills and runs out of time, in minutes.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers import settings_of
from outcome import outcome_of_run
from processes import Command

from actbench import cores
from actbench.command import composing, hydra_settings, planning, slurm, slurm_jobs
from actbench.command.planning import Job
from actbench.command.running import Command as Running
from actbench.errors import Problem, UserError
from actbench.job import Stop
from actbench.train import checks

SLURM = Path(__file__).parents[1] / "scripts" / "slurm_here.sh"
ON_SLURM = ["hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1"]
RUN = ["dataset=digits", "num_seeds=2", "model.width=16", "train.threads=1", "probe=false", "tensorboard=false"]
LONG = 20  # of `--moments`: from there on all of it is tried


# ---------------------------------------------------------------- signals


def _listens(module, does):
    def handler(number, _frame):
        does.append(number)
        raise SystemExit(-1)

    handler.__module__ = module
    return handler


@contextlib.contextmanager
def _handling(number, handler):
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def test_submitits_handler_is_called_once_the_run_has_stopped():
    called: list[int] = []
    theirs = _listens("submitit.core.job_environment", called)
    stop = Stop()
    with _handling(signal.SIGUSR2, theirs):
        with stop.deferring():
            signal.raise_signal(signal.SIGUSR2)
            assert stop.stop and stop.signal == signal.SIGUSR2 and not called
        assert signal.getsignal(signal.SIGUSR2) is theirs
        with pytest.raises(SystemExit):
            stop.hand_over()
    assert called == [signal.SIGUSR2]


def test_a_handler_of_sigterm_that_submitit_has_set_is_left_alone():
    called: list[int] = []
    theirs = _listens("submitit.core.job_environment", called)
    stop = Stop()
    with _handling(signal.SIGTERM, theirs), stop.listening():
        assert signal.getsignal(signal.SIGTERM) is theirs
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    assert not stop.stop


def test_any_other_handler_waits_until_the_run_has_stopped_too():
    called: list[int] = []
    stop = Stop()
    with _handling(signal.SIGTERM, _listens("somebody.else", called)):
        with stop.deferring(), stop.listening():
            signal.raise_signal(signal.SIGTERM)
        assert stop.stop and not called
        with pytest.raises(SystemExit):
            stop.hand_over()
    assert called == [signal.SIGTERM]


def test_where_nobody_listens_a_signal_has_its_usual_effect():
    stop = Stop()
    with stop.deferring(), stop.listening():
        signal.raise_signal(signal.SIGINT)
    assert stop.signal == signal.SIGINT
    stop.hand_over()  # Python's own handler is not called: the exit code says it


# ---------------------------------------------------------------- threads and devices


def test_threads_are_those_of_the_allocation(monkeypatch):
    for name in ("SLURM_JOB_ID", "SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {*range(32)}, raising=False)
    assert cores.allocated() == 32
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "4")
    assert cores.allocated() == 32  # left over from somewhere: this is no job of Slurm's
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    assert cores.allocated() == 4
    monkeypatch.delenv("SLURM_CPUS_PER_TASK")
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "1")
    assert cores.allocated() == 1


def test_a_device_is_looked_for_where_the_job_runs(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    settings = settings_of("dataset=digits", "model.width=4", "train.device=cuda", "train.engine=graph")
    with pytest.raises(UserError, match="CUDA is not available"):
        checks.check(settings)
    checks.check(settings, elsewhere=True)
    with pytest.raises(UserError, match="larger than the training set"):
        checks.check(settings_of("dataset=digits", "train.batch_size=99999"), elsewhere=True)


# ---------------------------------------------------------------- what is said before anything starts


def _tools(folder, **texts):
    """Slurm's commands as scripts that print something."""
    folder.mkdir()
    for name in ("sbatch", "srun", "squeue", "sinfo", "scontrol"):
        path = folder / name
        path.write_text(f"#!/bin/sh\n{texts.get(name, 'exit 0')}\n")
        path.chmod(0o755)
    return folder


def test_without_slurm_it_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    (problem,) = slurm.problems({"partition": None})
    assert problem.what == "there is no Slurm on this machine: no sbatch, srun, squeue or sinfo"


def test_a_partition_that_there_is_not(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(_tools(tmp_path / "bin", sinfo="echo gpu; echo cpu; echo cpu")), prepend=os.pathsep)
    assert slurm.problems({"partition": None}) == slurm.problems({"partition": "gpu,cpu"}) == []
    where = "hydra.launcher.partition=gpus"
    expected = Problem("there is no partition called gpus", where, "did you mean gpu? there are gpu and cpu")
    assert slurm.problems({"partition": "gpus"}) == [expected]


def test_a_slurm_that_does_not_answer(monkeypatch, tmp_path):
    down = "echo 'slurm_load_partitions: Unable to contact slurm controller' >&2; exit 1"
    monkeypatch.setenv("PATH", str(_tools(tmp_path / "bin", sinfo=down, squeue=down)), prepend=os.pathsep)
    (problem,) = slurm.problems({"partition": "gpu"})
    assert problem.what.startswith("Slurm does not answer: slurm_load_partitions: Unable to contact")
    assert slurm.states({"12"}) is None


def test_the_states_of_jobs(monkeypatch, tmp_path):
    lines = "echo '12_0|RUNNING'; echo '12_1|PENDING'; echo '13|CANCELLED'"
    monkeypatch.setenv("PATH", str(_tools(tmp_path / "bin", squeue=lines)), prepend=os.pathsep)
    found = slurm.states({"12", "13"})
    assert found == {"12_0": "RUNNING", "12_1": "PENDING", "13": "CANCELLED"}
    assert [slurm.has_ended(found.get(task)) for task in ("12_0", "12_1", "13", "14")] == [False, False, True, True]
    assert slurm.unusual_reasons({"12"}) == {"12_0|RUNNING", "12_1|PENDING", "13|CANCELLED"}  # whatever is no usual one
    forgotten = "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1"
    monkeypatch.setenv("PATH", str(_tools(tmp_path / "other", squeue=forgotten)), prepend=os.pathsep)
    assert slurm.states({"12"}) == {}


def test_a_launcher_that_is_not_installed_names_the_extra(monkeypatch):
    monkeypatch.setattr(hydra_settings, "_OURS", {"slurm": "hydra_plugins.no_such_launcher"})
    assert not hydra_settings._is_installed("slurm") and hydra_settings._is_installed("basic")
    assert hydra_settings._EXTRAS["slurm"] == "pip install 'actbench[slurm]'"


def test_the_preset_goes_on_after_a_time_limit_and_keeps_its_logs_in_the_study():
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="pip install 'actbench[slurm]'")
    composing.register()
    words = ["hydra/launcher=slurm", "hydra.launcher.partition=gpu", "activation=relu,gelu", "study=s"]
    jobs, problems = planning.plan(words, multirun=True)
    launcher = jobs[0].config.hydra.launcher
    assert not problems and slurm.is_chosen(jobs[0].config) and launcher.partition == "gpu"
    assert launcher.submitit_folder == "outputs/s/.submitit" and launcher.max_num_timeout >= 3


def test_only_jobs_in_a_queue_can_be_left(actbench):
    done = actbench("-m", "--detach", "dataset=digits", "activation=relu,gelu")
    assert done.returncode == 2
    assert "--detach: leaves jobs to Slurm, and this command has none" in done.stderr


# ---------------------------------------------------------------- notes about jobs


def test_notes_are_read_as_far_as_they_can_be(tmp_path):
    folder = tmp_path / "s" / ".submitit"
    folder.mkdir(parents=True)
    launcher = SimpleNamespace(params={"submitit_folder": str(folder)})
    jobs = slurm_jobs.SlurmJobs(launcher, tmp_path / "s", Running(["-m", "--detach", "seed=0,1"]))
    (folder / "12.json").write_text(json.dumps({"12_0": "relu-x", "12_1": "gelu-x", "99_0": "tanh-x"}))
    (folder / "13.json").write_text("{")
    (folder / "14.json").write_text("[]")
    assert jobs.submissions.noted() == {"12_0": "relu-x", "12_1": "gelu-x"}
    jobs.leave(["12_0", "12_1", "9"])
    assert jobs.command.left.splitlines() == [
        "the jobs go on in Slurm",
        "to follow:  actbench -m seed=0,1 study=s",
        "to cancel:  scancel 9 12",
    ]
    jobs.leave([])
    assert jobs.command.left == ""


def test_a_job_that_slurm_has_forgotten_is_not_waited_for_for_ever(tmp_path, monkeypatch, capsys):
    (tmp_path / "s" / ".submitit").mkdir(parents=True)
    (tmp_path / "s" / ".submitit" / "12.json").write_text(json.dumps({"12_0": "relu-x"}))
    launcher = SimpleNamespace(params={"submitit_folder": str(tmp_path / "s" / ".submitit")})
    jobs = slurm_jobs.SlurmJobs(launcher, tmp_path / "s", Running(["-m"]))
    monkeypatch.setattr(slurm, "states", lambda ids: {})
    monkeypatch.setattr(slurm_jobs.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(slurm_jobs, "_APART", 0.0)
    shown = SimpleNamespace(failed=lambda: None, show=lambda running, waiting: None)
    assert jobs.follow({"12_0": Job((), settings_of("dataset=digits"), tmp_path / "s" / "relu-x")}, shown) == []
    said = capsys.readouterr().err
    assert "Slurm's job 12_0 has ended without results" in said and "12_0_0_log.out has its log" in said
    assert jobs.command.exit_codes and not jobs.command.left
    assert not [*(tmp_path / "s" / ".submitit").glob("*.json")]


# ---------------------------------------------------------------- a real one


def _in_slurm(function, *arguments, timeout, cpus=4):
    """Calls a function of this module beside a Slurm of its own; skips, in the script's words, where there is none."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="pip install 'actbench[slurm]'")
    tests = Path(__file__).parent
    code = f"import sys; sys.path[:0] = [{str(tests)!r}]; import test_slurm; test_slurm.{function}(*sys.argv[1:])"
    path = os.pathsep.join([str(tests.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "CPUS": str(cpus), "GRACE": "2", "PYTHONPATH": path}
    command = ["sh", str(SLURM), sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL, env=environment
    )
    if done.returncode == 77:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr


def _until(there, what, seconds=150):
    ends = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < ends, what
        time.sleep(0.1)


def _slurm(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout


def _queue(states="PENDING,RUNNING"):
    """Job -> state and reason."""
    lines = _slurm("squeue", "--noheader", "--array", f"--states={states}", "--format=%i|%T|%r").splitlines()
    return {line.split("|")[0]: line.split("|")[1:] for line in lines}


@contextlib.contextmanager
def _queued_at_once():
    """Jobs that were queued again do not wait for the two minutes that Slurm has them wait."""
    over = threading.Event()

    def push():
        while not over.wait(0.5):
            for job, (_, reason) in _queue("PENDING").items():
                if reason == "BeginTime":
                    subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], capture_output=True)

    thread = threading.Thread(target=push)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _run_of(job, study):
    """The folder of the run that a job of Slurm's trains."""
    return study / json.loads((study / ".submitit" / f"{job.partition('_')[0]}.json").read_text())[job]


def _log(job, study):
    return (study / ".submitit" / f"{job}_0_log.out").read_text()


def _compare(study, undisturbed):
    """Every run of the study is what it is where nothing has disturbed it."""
    runs = sorted(path.parent.name for path in undisturbed.glob("*/settings.yaml"))
    assert runs == sorted(path.parent.name for path in study.glob("*/settings.yaml"))
    for name in runs:
        assert outcome_of_run(study / name) == outcome_of_run(undisturbed / name), name


def test_a_sweep_in_slurm_is_left_followed_cancelled_requeued_and_bit_equal(tmp_path):
    _in_slurm("_short", tmp_path, timeout=250)


def _short(home):
    home = Path(home)
    sweep = ["-m", *RUN, "train.epochs=80", "activation=relu,gelu,silu"]
    here = Command(*sweep, "study=here", cwd=home).wait()
    assert here.returncode == 0, here.stderr
    study, words = home / "outputs" / "there", [*sweep, "study=there", *ON_SLURM, "hydra.launcher.array_parallelism=2"]

    left = Command(*words, "--detach", cwd=home).wait()
    assert left.returncode == 0 and "3 jobs in Slurm, 0/3 runs complete" in left.stdout, left.stderr
    assert "to cancel:  scancel 1" in left.stderr and not (study / "report").exists()
    with _queued_at_once():
        follows = Command(*words, cwd=home)
        follows.wait_for("2 running, 1 waiting, 0/3 done")
        follows.send(signal.SIGINT)
        stopped = follows.wait()
        assert stopped.returncode in (-signal.SIGINT, 128 + signal.SIGINT), stopped
        assert "to follow:  actbench -m" in stopped.stderr, stopped.stderr
        assert not (study / "report").exists() and len(_queue()) == 3
        follows = Command(*words, cwd=home)
        follows.wait_for("waiting, 0/3 done")
        _slurm("scancel", "1_2")
        _until(lambda: (_run_of("1_0", study) / "resume.pt").exists(), follows.stdout)
        _slurm("scancel", "--signal=USR2", "1_0")
        done = follows.wait(200)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.count("error: ") == 1 and "Slurm's job 1_2 was cancelled" in done.stderr, done.stderr
    assert "best so far" in done.stdout and "Traceback" not in done.stdout + done.stderr
    assert "Requeued job 1_0" in _log("1_0", study) and "after epoch" in _log("1_0", study)
    environment = json.loads((_run_of_name("relu", study) / "environment.json").read_text())
    assert environment["argv"] == ["actbench", *words, "--detach"]
    assert environment["resumed_after_epoch"] > 0 and environment["threads"] == 1

    again = Command(*words, cwd=home).wait(200)  # what was cancelled is submitted again, and nothing else
    assert again.returncode == 0, again.stdout + again.stderr
    assert "2 of 3 already complete" in again.stdout and "3/3 done" in again.stdout
    _compare(study, home / "outputs" / "here")


def _run_of_name(name, study):
    (path,) = study.glob(f"{name}-*")
    return path


@pytest.mark.timeout(2400)
def test_preempted_requeued_killed_and_out_of_time_it_is_bit_equal(request, tmp_path):
    if request.config.getoption("moments") < LONG:
        pytest.skip(f"takes minutes: pytest tests/test_slurm.py --moments {LONG}")
    _in_slurm("_long", tmp_path, timeout=2300, cpus=5)


def _long(home):
    home = Path(home)
    sweep = ["-m", *RUN, "train.epochs=600", "activation=relu,gelu,silu,tanh,elu"]
    here = Command(*sweep, "study=here", cwd=home).wait(900)
    assert here.returncode == 0, here.stderr
    _disturbed(home, [*sweep, "study=there", *ON_SLURM])
    _compare(home / "outputs" / "there", home / "outputs" / "here")
    words = [*sweep, "study=timed", *ON_SLURM, "hydra.launcher.timeout_min=1", "hydra.launcher.signal_delay_s=50"]
    words += ["hydra.launcher.max_num_timeout=99"]  # a busy machine trains little in each
    with _queued_at_once():
        done = Command(*words, cwd=home).wait(1200)
    assert done.returncode == 0, done.stdout + done.stderr
    logs = "".join(path.read_text() for path in (home / "outputs" / "timed" / ".submitit").glob("*.out"))
    assert "this job is timed-out" in logs and "Requeued job" in logs
    _compare(home / "outputs" / "timed", home / "outputs" / "here")


def _disturbed(home, words):
    """All five run; one is preempted, and of the others one is signalled, one queued again, and one killed."""
    study = home / "outputs" / "there"
    with _queued_at_once():
        follows = Command(*words, cwd=home)
        _until(lambda: len([*study.glob("*/resume.pt")]) == 5, "not all began")
        _slurm("sbatch", "--partition=high", "--ntasks=1", "--output=/dev/null", "--wrap=sleep 1")
        _until(lambda: any("1_" in job and state == "PENDING" for job, (state, _) in _queue().items()), "not preempted")
        running = [job for job, (state, _) in _queue().items() if state == "RUNNING" and "_" in job]
        signalled, requeued, killed = running[:3]
        runs = {job: _run_of(job, study) for job in running}
        _slurm("scancel", "--signal=USR2", signalled)
        _slurm("scontrol", "requeue", requeued)
        os.kill(_worker(killed), signal.SIGKILL)
        done = follows.wait(900)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.count("error: ") == 1 and f"Slurm's job {killed} " in done.stderr, done.stderr
    assert "Bypassing signal SIGTERM" in "".join(path.read_text() for path in (study / ".submitit").glob("*.out"))
    assert json.loads((runs[signalled] / "environment.json").read_text())["resumed_after_epoch"] > 0
    assert json.loads((runs[requeued] / "environment.json").read_text())["resumed_after_epoch"] > 0
    again = Command(*words, cwd=home).wait(200)
    assert again.returncode == 0, again.stdout + again.stderr


def _worker(job):
    """The process of a job of an array, that of Python."""
    array, _, task = job.partition("_")
    wanted = {f"SLURM_ARRAY_JOB_ID={array}".encode(), f"SLURM_ARRAY_TASK_ID={task}".encode()}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            here = {*(folder / "environ").read_bytes().split(b"\0")}
            if b"submitit.core._submit" in words and b"srun" not in words[0] and wanted <= here:
                return int(folder.name)
    raise AssertionError(f"no process of {job}")
