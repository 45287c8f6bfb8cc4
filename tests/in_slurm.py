"""What `test_slurm.py` has run beside a Slurm of its own (`scripts/slurm_here.sh`): sweeps that are disturbed.

No run ends before it may: its learning rate waits at the end of the second epoch as long as there is a file `closed`.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import threading
import time
from functools import partial
from pathlib import Path

from outcome import outcome_of_run
from processes import Command

WATCHED = '''
"""A constant learning rate; it notes each epoch of each run, and holds runs up as files beside this one say."""

import os
import signal
import time
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from torch.optim.lr_scheduler import LRScheduler

HERE = Path(__file__).parent


class Watched(LRScheduler):
    def get_lr(self):
        return [group["lr"] for group in self.optimizer.param_groups]

    def step(self, epoch=None):
        super().step()
        if self.last_epoch == 0 or not HydraConfig.initialized():
            return
        run = Path(HydraConfig.get().runtime.output_dir)
        with (HERE / "epochs").open("a") as file:
            file.write(f"{run.parent.name}/{run.name} {os.getpid()} {self.last_epoch}\\n")
        listens = signal.getsignal(signal.SIGUSR2)  # to be told to stop lets a run go on
        while self.last_epoch == 2 and (HERE / "closed").exists() and signal.getsignal(signal.SIGUSR2) is listens:
            time.sleep(0.05)
        if (HERE / "slow").exists():
            time.sleep(0.2)
'''
YAML = "_target_: watched.Watched\n_partial_: true\ninterval: epoch\n"
RUN = ["dataset=digits", "num_seeds=2", "model.width=16", "train.threads=1", "probe=false", "tensorboard=false"]
RUN += ["scheduler=watched", "trust=watched"]
ON_SLURM = ["hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1"]


def sweep_of(home, activations, epochs):
    """The words of a sweep, which was trained without Slurm as the study `here`."""
    (home / "conf" / "scheduler").mkdir(parents=True)
    (home / "conf" / "scheduler" / "watched.yaml").write_text(YAML)
    (home / "watched.py").write_text(WATCHED)
    words = ["-m", *RUN, f"train.epochs={epochs}", f"activation={activations}"]
    here = Command(*words, "study=here", cwd=home).wait(900)
    assert here.returncode == 0, here.stderr
    return words


def compare(home):
    """Every run of `there` is what it is in `here`, and had one process at a time."""
    here, there = home / "outputs" / "here", home / "outputs" / "there"
    runs = sorted(path.parent.name for path in here.glob("*/settings.yaml"))
    assert runs == sorted(path.parent.name for path in there.glob("*/settings.yaml"))
    lines = [line.split() for line in (home / "epochs").read_text().splitlines()]
    for name in runs:
        assert outcome_of_run(there / name) == outcome_of_run(here / name), name
        processes = [process for run, process, _ in lines if run == f"there/{name}"]
        turns = [process for process, _ in itertools.groupby(processes)]
        assert len(turns) == len({*turns}), lines


def until(there, what, seconds=300):
    ends = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < ends, what
        time.sleep(0.1)


def asked(*words, check=True):
    return subprocess.run(words, check=check, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout


def queue(states="PENDING,RUNNING"):
    """Job -> state and reason."""
    command = ["squeue", "--noheader", "--array", f"--states={states}", "--format=%i|%T|%r"]
    lines = asked(*command, check=False).splitlines()  # none while Slurm does not answer
    return {line.split("|")[0]: line.split("|")[1:] for line in lines}


@contextlib.contextmanager
def queued_at_once():
    """Jobs that were queued again do not wait for the two minutes that Slurm has them wait, and have all their time."""
    over = threading.Event()

    def push():
        while not over.wait(0.5):
            for job, (_, reason) in queue("PENDING").items():
                if reason == "BeginTime":
                    asked("scontrol", "update", f"JobId={job}", "StartTime=now", "TimeLimit=60", check=False)

    thread = threading.Thread(target=push)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def run_of(job, study):
    """The folder of the run that a job of Slurm's trains."""
    return study / json.loads((study / ".submitit" / f"{job.partition('_')[0]}.json").read_text())[job]


def run_called(name, study):
    (path,) = study.glob(f"{name}-*")
    return path


def went_on(run):
    """Whether the run has gone on after an epoch; the note of it stays."""
    with contextlib.suppress(OSError, ValueError):
        return json.loads((run / "environment.json").read_text())["resumed_after_epoch"] > 0
    return False


def log_of(job, study):
    return (study / ".submitit" / f"{job}_0_log.out").read_text()


def worker(job):
    """The process of a job of an array, that of Python; None where there is none."""
    array, _, task = job.partition("_")
    wanted = {f"SLURM_ARRAY_JOB_ID={array}".encode(), f"SLURM_ARRAY_TASK_ID={task}".encode()}
    wanted.add(f"SLURM_CONF={os.environ['SLURM_CONF']}".encode())
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            here = {*(folder / "environ").read_bytes().split(b"\0")}
            if b"submitit.core._submit" in words and b"srun" not in words[0] and wanted <= here:
                return int(folder.name)
    return None


# ---------------------------------------------------------------- left, followed, cancelled, signalled


def left_and_followed(home):
    home = Path(home)
    sweep = sweep_of(home, "relu,gelu,silu", epochs=8)
    (home / "closed").touch()
    study, words = home / "outputs" / "there", [*sweep, "study=there", *ON_SLURM, "hydra.launcher.array_parallelism=2"]

    left = Command(*words, "--detach", cwd=home).wait()
    assert left.returncode == 0 and "3 jobs in Slurm, 0/3 runs complete" in left.stdout, left.stderr
    assert "to cancel:  scancel 1" in left.stderr and not (study / "report").exists()
    with queued_at_once():
        follows = Command(*words, cwd=home)
        follows.wait_for("2 running, 1 waiting, 0/3 done")
        follows.send(signal.SIGINT)
        stopped = follows.wait()
        assert stopped.returncode in (-signal.SIGINT, 128 + signal.SIGINT), stopped
        assert "to follow:  actbench -m" in stopped.stderr, stopped.stderr
        assert not (study / "report").exists() and len(queue()) == 3
        follows = Command(*words, cwd=home)
        follows.wait_for("waiting, 0/3 done")
        asked("scancel", "1_2")
        until(lambda: (run_of("1_0", study) / "resume.pt").exists(), follows.stdout)
        asked("scancel", "--signal=USR2", "1_0")
        until(lambda: "Requeued job 1_0" in log_of("1_0", study), "not queued again")
        (home / "closed").unlink()
        done = follows.wait(300)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.count("error: ") == 1 and "Slurm's job 1_2 was cancelled" in done.stderr, done.stderr
    assert "best so far" in done.stdout and "Traceback" not in done.stdout + done.stderr
    environment = json.loads((run_called("relu", study) / "environment.json").read_text())
    assert environment["argv"] == ["actbench", *words, "--detach"]
    assert environment["resumed_after_epoch"] > 0 and environment["threads"] == 1

    again = Command(*words, cwd=home).wait(300)  # what was cancelled is submitted again, and nothing else
    assert again.returncode == 0, again.stdout + again.stderr
    assert "2 of 3 already complete" in again.stdout and "3/3 done" in again.stdout
    compare(home)


# ---------------------------------------------------------------- each disturbance once


def disturbed(home):
    """All five runs wait; one is preempted, and of the others each is disturbed in its own way."""
    home = Path(home)
    sweep = sweep_of(home, "relu,gelu,silu,tanh,elu", epochs=20)
    (home / "closed").touch()
    study, jobs = home / "outputs" / "there", [f"1_{task}" for task in range(5)]
    words = [*sweep, "study=there", *ON_SLURM, "hydra.launcher.timeout_min=10"]  # of so few submitit says: timed out
    words.append("+hydra.launcher.additional_parameters={time:60}")
    with queued_at_once():
        follows = Command(*words, cwd=home)
        until(lambda: len([*study.glob("*/resume.pt")]) == 5, "not all began", 600)
        asked("sbatch", "--partition=high", "--ntasks=1", "--output=/dev/null", "--wrap=sleep 1")
        until(lambda: any("Bypassing signal SIGTERM" in log_of(job, study) for job in jobs), "not preempted")
        (preempted,) = (job for job in jobs if "Bypassing signal SIGTERM" in log_of(job, study))
        signalled, requeued, killed, timed = (job for job in jobs if job != preempted)
        asked("scancel", "--signal=USR2", signalled)
        asked("scontrol", "requeue", requeued)
        os.kill(worker(killed), signal.SIGKILL)
        minutes = _seconds_of(timed) // 60 + 2
        asked("scontrol", "update", f"JobId={timed}", f"TimeLimit={minutes}")
        runs = {job: run_of(job, study) for job in jobs}
        for job in (preempted, signalled, requeued, timed):
            until(partial(went_on, runs[job]), f"{job} has not gone on: {queue('all')} {follows.stdout}")
        (home / "closed").unlink()
        done = follows.wait(600)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.count("error: ") == 1 and f"Slurm's job {killed} " in done.stderr, done.stderr
    for job in (signalled, timed):
        assert "this job is timed-out" in log_of(job, study) and f"Requeued job {job}" in log_of(job, study)
    again = Command(*words, cwd=home).wait(300)
    assert again.returncode == 0, again.stdout + again.stderr
    assert all(map(went_on, runs.values()))
    compare(home)


def _seconds_of(job):
    parts = asked("squeue", "--noheader", f"--jobs={job}", "--format=%M").strip().split(":")
    return sum(int(part) * 60**place for place, part in enumerate(reversed(parts)))


# ---------------------------------------------------------------- killed while it submits


def _dies(where):
    """Ends the process at once where it has called sbatch: before the jobs have what they read, or their note."""

    def die(*_arguments, **_more):
        os.kill(os.getpid(), signal.SIGKILL)

    from actbench.command import slurm_submitting

    if where == "note":
        slurm_submitting.write_text = die
    else:
        from submitit.core.utils import JobPaths

        move = JobPaths.move_temporary_file
        JobPaths.move_temporary_file = lambda *a, **k: die() if a[2] == "submitted_pickle" else move(*a, **k)


def killed_while_it_submits(home):
    home = Path(home)
    words = [*sweep_of(home, "relu,gelu,silu", epochs=8), "study=there", *ON_SLURM]
    (home / "closed").touch()
    lost = set()
    for where in ("pickle", "note"):
        died = Command(*words, cwd=home, before=partial(_dies, where)).wait()
        assert died.returncode == -signal.SIGKILL, died
        assert len({*queue()} - lost) == 3, [where, queue("all")]
        lost |= {*queue()}
    follows = Command(*words, cwd=home)
    until(lambda: len({*queue()} - lost) == 3 and not {*queue()} & lost, "jobs without a note are left")
    (home / "closed").unlink()
    done = follows.wait(300)
    assert done.returncode == 0 and "3/3 done" in done.stdout, done.stdout + done.stderr
    unread = [path.name for path in (home / "outputs" / "there" / ".submitit").glob("*.pkl")]
    mine = {job.partition("_")[0] for job in lost}
    assert not [name for name in unread if "_" not in name or name.partition("_")[0] in mine], unread
    compare(home)


# ---------------------------------------------------------------- a queue with little room


def refused(home):
    """Of six jobs Slurm takes two in an array, and three in all."""
    home = Path(home)
    words = [*sweep_of(home, "relu,gelu,silu,tanh,elu,softplus", epochs=3), "study=there", *ON_SLURM]
    left = Command(*words, "--detach", cwd=home).wait()
    assert left.returncode == 0 and "3 jobs in Slurm, 0/6 runs complete; it has no room for 3 more" in left.stdout, left
    assert "to cancel:  scancel 1 2" in left.stderr and {*queue("all")} == {"1_0", "1_1", "2"}
    done = Command(*words, cwd=home).wait(600)
    assert done.returncode == 0 and "6/6 done" in done.stdout, done.stdout + done.stderr
    assert "Slurm has no room for 3 jobs yet" in done.stdout
    asked("sbatch", "--array=0-2", "--hold", "--output=/dev/null", "--wrap=true")
    full = Command(*words, "seed=7", cwd=home).wait()
    assert full.returncode == 2 and full.stderr.startswith("error: MaxJobCount: Slurm's queue is full"), full
    compare(home)


# ---------------------------------------------------------------- random moments


def random_moments(home, draw, number):
    """Six runs, of which no more than four at a time; `number` disturbances of any kind at any moment."""
    home, rng = Path(home), random.Random(f"{draw} slurm")
    words = [*sweep_of(home, "relu,gelu,silu,tanh,elu,softplus", epochs=100), "study=there", *ON_SLURM]
    (home / "slow").touch()
    frozen, ended = [], []
    with queued_at_once():
        follows = Command(*words, cwd=home)
        for _ in range(int(number)):
            time.sleep(rng.expovariate(0.5))
            if not follows.is_alive():
                ended.append(follows.wait())
                follows = Command(*words, cwd=home)
            what = rng.choice(
                [_signal, _requeue, _kill, _cancel, _preempt, _freeze, _thaw, _outage, _type, _interrupt, _beside]
            )
            print(time.strftime("%X"), what.__name__, flush=True)
            if what in (_type, _interrupt):
                follows.send(signal.SIGKILL if what is _type else signal.SIGINT)
                ended.append(follows.wait(300))
                follows = Command(*words, cwd=home)
            elif what is _beside:
                beside = Command(*words, cwd=home)
                time.sleep(rng.expovariate(0.5))
                ended.append(follows.wait(600) if not follows.is_alive() else _killed(follows))
                follows = beside
            else:
                what(rng, frozen)
        _thaw(rng, frozen)
        (home / "slow").unlink()
        ended.append(follows.wait(900))
        done = Command(*words, cwd=home).wait(900)
    for one in ended:
        assert "Traceback" not in one.stdout + one.stderr, one
        assert one.returncode in (0, 1, 2, -signal.SIGKILL, -signal.SIGINT, 128 + signal.SIGINT), one
    assert done.returncode == 0 and ("6/6 done" in done.stdout or "6 of 6 already" in done.stdout), [done, ended[-1]]
    until(lambda: not queue(), "jobs are left")
    compare(home)


def _killed(command):
    command.send(signal.SIGKILL)
    return command.wait(300)


def _one(rng, states="RUNNING"):
    jobs = sorted(job for job in queue(states) if "_" in job)
    return rng.choice(jobs) if jobs else "0"


def _signal(rng, _frozen):
    asked("scancel", "--signal=USR2", _one(rng), check=False)


def _requeue(rng, _frozen):
    asked("scontrol", "requeue", _one(rng), check=False)


def _cancel(rng, _frozen):
    asked("scancel", _one(rng, "RUNNING,PENDING"), check=False)


def _preempt(_rng, _frozen):
    asked("sbatch", "--partition=high", "--ntasks=2", "--output=/dev/null", "--wrap=sleep 1", check=False)


def _outage(rng, _frozen):
    _send(int((Path(os.environ["SLURM_HERE"]) / "slurmctld.pid").read_text()), signal.SIGTERM)
    time.sleep(rng.expovariate(0.2))
    until(lambda: subprocess.run(["slurmctld"], cwd=os.environ["SLURM_HERE"]).returncode == 0, "no slurmctld")
    until(lambda: asked("sinfo", "--noheader", check=False), "no answer")


def _kill(rng, _frozen):
    if (process := worker(_one(rng))) is not None:
        _send(process, signal.SIGKILL)


def _freeze(rng, frozen):
    if (process := worker(_one(rng))) is not None:
        _send(process, signal.SIGSTOP)
        frozen.append(process)


def _thaw(_rng, frozen):
    while frozen:
        _send(frozen.pop(), signal.SIGCONT)


def _send(process, which):
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, which)


def _type():
    """kill -9 of the command, which is typed again."""


def _interrupt():
    """Ctrl-C; it is typed again."""


def _beside():
    """It is typed in a second place, and the first one is killed later."""
