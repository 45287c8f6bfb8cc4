"""Slurm: what is said where there is none, signals, and a real one on this machine (`scripts/slurm_here.sh`).

By default one short sweep runs there; `--moments 20` also preempts, requeues, kills and runs out of time, disturbs a sweep
at 20 random moments, and has a queue without room, in minutes (`in_slurm.py`).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers import settings_of

from actbench import cores
from actbench.command import composing, hydra_settings, planning, slurm, slurm_jobs, slurm_submitting
from actbench.command.planning import Job
from actbench.command.running import Command as Running
from actbench.errors import Problem, UserError
from actbench.job import Stop
from actbench.store.lock import Hold
from actbench.train import checks

SLURM = Path(__file__).parents[1] / "scripts" / "slurm_here.sh"
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
    for name in ("sbatch", "srun", "squeue", "sinfo", "scontrol", "scancel"):
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
    (tmp_path / "s" / ".submitit" / "11_0_0_result.pkl").touch()  # of one that was cancelled, and ended later
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
    assert not [*(tmp_path / "s" / ".submitit").glob("*.json"), *(tmp_path / "s" / ".submitit").glob("*.pkl")]


# ---------------------------------------------------------------- refusals


class _Queue:
    """Takes the place of submitit and Slurm: `longest` jobs of an array, `most` in all, and what else it refuses."""

    def __init__(self, folder, monkeypatch, *, longest=10**6, most=10**6, told=True, answers=True):
        folder.mkdir(parents=True, exist_ok=True)
        self.launcher = SimpleNamespace(params={"submitit_folder": str(folder), "array_parallelism": 4})
        self.longest, self.most, self.there, self.arrays, self.answers = longest, most, 0, {}, answers
        self.limits = lambda: (longest, max(most - self.there, 0)) if told else (1000, sys.maxsize)
        monkeypatch.setattr(slurm, "limits", self.limits)
        monkeypatch.setattr(slurm, "jobs_of", self.jobs_of)
        monkeypatch.setattr(slurm_submitting, "_executor", lambda params, after: SimpleNamespace(
            map_array=lambda launcher, words, *_more: self.take(words, after)
        ))  # fmt: skip

    def jobs_of(self, _scripts):
        if not self.answers:
            raise UserError("Slurm does not answer")
        return set()

    def take(self, words, after):
        if len(words) > min(self.longest, self.most - self.there):
            raise RuntimeError("sbatch: error: AssocMaxSubmitJobLimit")
        number = len(self.arrays) + 1
        self.arrays[number], self.there = (len(words), after), self.there + len(words)
        return [SimpleNamespace(job_id=f"{number}_{task}") for task in range(len(words))]


def _due(folder, number):
    return [(n, Job((), None, folder / f"run{n}"), [f"seed={n}"]) for n in range(number)]


def test_a_sweep_that_is_longer_than_an_array_may_be_is_several(tmp_path, monkeypatch):
    queue, due = _Queue(tmp_path / "q", monkeypatch, longest=1000), _due(tmp_path, 2001)
    submissions = slurm_submitting.Submissions(queue.launcher)
    taken = [*submissions.submit(due, [])]
    assert [len(tasks) for tasks in taken] == [667, 667, 667]
    assert [job.folder for tasks in taken for job in tasks.values()] == [job.folder for _, job, _ in due]
    assert [after for _, after in queue.arrays.values()] == [set(), {"1"}, {"1", "2"}]  # four jobs at once, in all
    assert len(submissions.noted()) == 2001


@pytest.mark.parametrize("told", [True, False], ids=["told", "found out"])
@pytest.mark.parametrize("most", [1, 3, 4, 5, 9, 10, 11])
def test_what_slurm_has_room_for_is_submitted_and_none_twice(tmp_path, monkeypatch, most, told):
    queue, due = _Queue(tmp_path / "q", monkeypatch, most=most, told=told), _due(tmp_path, 10)
    submissions = slurm_submitting.Submissions(queue.launcher)
    taken = {task: job for tasks in submissions.submit(due, []) for task, job in tasks.items()}
    assert [job.folder for job in taken.values()] == [job.folder for _, job, _ in due[:most]]
    assert submissions.noted() == {task: job.folder.name for task, job in taken.items()}
    assert [*submissions.submit(due[most:], taken)] == [] if most < 10 else True  # which is no error


@pytest.mark.parametrize(
    ("queue", "what"),
    [
        ({"most": 0}, "Slurm's queue is full"),
        ({"most": 0, "told": False}, "Slurm takes no job: AssocMaxSubmitJobLimit"),
        ({"most": 0, "told": False, "answers": False}, "Slurm takes no job: AssocMaxSubmitJobLimit"),
    ],
)
def test_a_slurm_that_takes_none_says_why(tmp_path, monkeypatch, queue, what):
    submissions = slurm_submitting.Submissions(_Queue(tmp_path / "q", monkeypatch, **queue).launcher)
    with pytest.raises(UserError) as raised:
        [*submissions.submit(_due(tmp_path, 10), [])]
    (problem,) = raised.value.problems
    assert problem.what == what and "the same command" in problem.how


def test_a_run_that_a_cancelled_job_still_holds_is_submitted_once_it_is_free(tmp_path, monkeypatch):
    queue, due = _Queue(tmp_path / "s" / ".submitit", monkeypatch), _due(tmp_path / "s", 2)
    jobs = slurm_jobs.SlurmJobs(queue.launcher, tmp_path / "s", Running(["-m"]))
    due[0][1].folder.mkdir()
    hold, complete, looks = Hold(due[0][1].folder), set(), []
    monkeypatch.setattr(jobs, "_is_complete", lambda job: job.folder in complete)
    monkeypatch.setattr(slurm_jobs.reader, "completed", lambda folder: None)
    monkeypatch.setattr(slurm, "states", lambda ids: {"1_0": "RUNNING", "2_0": "RUNNING"})

    def sleep(_seconds):
        looks.append([size for size, _ in queue.arrays.values()])
        if len(looks) == 2:
            hold.release(complete=False)
        if len(looks) == 4:
            complete.update(job.folder for _, job, _ in due)

    monkeypatch.setattr(slurm_jobs.time, "sleep", sleep)
    tasks = jobs.find_or_submit(due)
    assert tasks == {"1_0": due[1][1]}
    shown = SimpleNamespace(ended=lambda *_: None, show=lambda running, waiting: None)
    assert jobs.follow(tasks, shown) == []
    assert looks == [[1], [1], [1, 1], [1, 1]]


def test_jobs_without_a_note_are_cancelled_and_nobody_elses(tmp_path, monkeypatch):
    folder = tmp_path / "q"
    folder.mkdir()
    submissions = slurm_submitting.Submissions(SimpleNamespace(params={"submitit_folder": str(folder)}))
    names = ["12.json", "12_0_submitted.pkl", "13_0_submitted.pkl", f"{'a' * 32}.pkl", "13_0_0_log.out"]
    for name in [*names, ".submission_file_0a.sh", ".submission_file_0b.sh"]:
        (folder / name).touch()
    squeue = "echo '12|/x/.submission_file_0a.sh'; echo '13|/y/.submission_file_0b.sh'; echo '14|/y/job.sh'"
    tools = _tools(tmp_path / "bin", squeue=squeue, scancel=f'echo "$@" >{tmp_path}/cancelled')
    monkeypatch.setenv("PATH", str(tools), prepend=os.pathsep)
    assert submissions.clear()
    assert (tmp_path / "cancelled").read_text() == "13\n"
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == {
        "12.json", "12_0_submitted.pkl", "13_0_0_log.out",
    }  # fmt: skip


def test_how_much_room_there_is(monkeypatch, tmp_path):
    config = "echo 'MaxArraySize            = 3'; echo 'MaxJobCount             = 10000'; echo 'Prolog = (null)'"
    monkeypatch.setenv(
        "PATH", str(_tools(tmp_path / "bin", scontrol=config, squeue="echo 1; echo 2")), prepend=os.pathsep
    )
    assert slurm.limits() == (2, 9997)  # MaxJobCount itself is one too many
    monkeypatch.setenv("PATH", str(_tools(tmp_path / "other", scontrol="exit 1")), prepend=os.pathsep)
    assert slurm.limits() == (1000, sys.maxsize)


# ---------------------------------------------------------------- a real one


def _in_slurm(scenario, *arguments, timeout, cpus=4, more=""):
    """Calls a function of `in_slurm` beside a Slurm of its own; skips, in the script's words, where there is none."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="pip install 'actbench[slurm]'")
    tests = Path(__file__).parent
    code = f"import sys; sys.path[:0] = [{str(tests)!r}]; import in_slurm; in_slurm.{scenario}(*sys.argv[1:])"
    path = os.pathsep.join([str(tests.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "CPUS": str(cpus), "GRACE": "2", "PYTHONPATH": path, "SLURM_MORE": more}
    command = ["sh", str(SLURM), sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL, env=environment
    )
    if done.returncode == 77:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_sweep_in_slurm_is_left_followed_cancelled_requeued_and_bit_equal(tmp_path):
    _in_slurm("left_and_followed", tmp_path, timeout=900)


@pytest.fixture
def moments(request):
    number = request.config.getoption("moments")
    if number < LONG:
        pytest.skip(f"takes minutes: pytest tests/test_slurm.py --moments {LONG}")
    return number


@pytest.mark.usefixtures("moments")
@pytest.mark.timeout(2400)
def test_preempted_requeued_killed_and_out_of_time_it_is_bit_equal(tmp_path):
    _in_slurm("disturbed", tmp_path, timeout=2300, cpus=5)


@pytest.mark.usefixtures("moments")
@pytest.mark.timeout(1200)
def test_killed_while_it_submits_it_submits_again_and_trains_once(tmp_path):
    _in_slurm("killed_while_it_submits", tmp_path, timeout=1100)


@pytest.mark.usefixtures("moments")
@pytest.mark.timeout(1800)
def test_what_slurm_has_no_room_for_is_submitted_later(tmp_path):
    _in_slurm("refused", tmp_path, timeout=1700, more="MaxJobCount=4\nMaxArraySize=3")


@pytest.mark.timeout(3600)
def test_disturbed_at_random_moments_it_is_bit_equal(moments, request, tmp_path):
    _in_slurm("random_moments", tmp_path, request.config.getoption("draw"), moments, timeout=3500)
