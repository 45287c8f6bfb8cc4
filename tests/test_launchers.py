"""What becomes of jobs whose process a launcher has lost, with launchers that are functions."""

from __future__ import annotations

import shutil
from concurrent.futures.process import BrokenProcessPool
from types import SimpleNamespace

import pytest
from helpers import fake_run, settings_of

from actbench.command import batches, running
from actbench.command.planning import Job
from actbench.errors import Failure
from actbench.store.attempts import Attempts


def jobs_of(study, *names):
    settings = [settings_of("dataset=digits", f"activation={name}", "num_seeds=1") for name in names]
    return [Job((f"activation={s.activation.name}",), s, study / s.folder) for s in settings]


def through(launch, jobs, monkeypatch):
    """Runs the jobs by a launcher that is a function of the names of folders; returns the command."""

    def launched(batch, initial_job_idx):
        return [SimpleNamespace(return_value=value) for value in launch(batch, initial_job_idx)]

    plugins = SimpleNamespace(instantiate_launcher=lambda **_: SimpleNamespace(launch=launched))
    monkeypatch.setattr(batches.Plugins, "instance", lambda: plugins)
    monkeypatch.setattr(batches, "_for_a_launcher", lambda job: job.folder)
    choices = SimpleNamespace(runtime=SimpleNamespace(choices={"hydra/launcher": "joblib"}), launcher={"n_jobs": 1})
    config = SimpleNamespace(hydra=SimpleNamespace(**vars(choices), sweeper={}))
    command = running.Command()
    batches.Batches(config, None, command).run(jobs)
    return command


def test_after_a_kill_joblib_gets_what_is_left_and_what_was_killed_comes_last(tmp_path, monkeypatch, capsys):
    jobs = jobs_of(tmp_path, "relu", "gelu", "tanh", "elu")
    relu, gelu, tanh, elu = (job.folder for job in jobs)
    settings = {job.folder: job.settings for job in jobs}
    launched = []

    def launch(batch, _first):
        launched.append(batch)
        if len(launched) == 1:
            fake_run(relu, settings[relu], [90.0])
        if len(launched) < 3:
            for folder in (gelu, tanh) if len(launched) == 1 else (tanh,):
                folder.mkdir(exist_ok=True)
                Attempts(folder).begin("c")
            raise BrokenProcessPool("A worker was terminated")
        for folder in batch:
            shutil.rmtree(folder, ignore_errors=True)
            fake_run(folder, settings[folder], [90.0])
        return [90.0] * len(batch)

    assert through(launch, jobs, monkeypatch).exit_codes == []
    assert launched == [[relu, gelu, tanh, elu], [elu, gelu, tanh], [elu, gelu, tanh]]
    said = capsys.readouterr()
    assert "; 2 runs go on from the last epoch\n" in said.err and "; 1 run goes on" in said.err
    assert said.out == "1/4 done here, 3 elsewhere, or not yet\n"


def test_processes_that_are_killed_before_any_run_begins_end_it_in_one_message(tmp_path, monkeypatch):
    def launch(*_arguments):
        raise BrokenProcessPool("A worker was terminated")

    jobs = jobs_of(tmp_path, "relu", "gelu")
    jobs[0].folder.mkdir()
    Attempts(jobs[0].folder).begin("c")  # of an earlier command
    with pytest.raises(
        Failure, match=r"(?s)before any run began, a worker process was killed .*the same command goes on"
    ):
        through(launch, jobs, monkeypatch)


def test_what_a_launcher_gives_up_is_not_counted_as_done(tmp_path, monkeypatch, capsys):
    jobs = jobs_of(tmp_path, "relu", "gelu", "tanh")
    lost = type("WorkerCrashedError", (Exception,), {"__module__": "ray.exceptions"})
    launched = []

    def launch(batch, _first):
        launched.append(batch)
        if len(launched) == 1:
            fake_run(jobs[0].folder, jobs[0].settings, [90.0])
            jobs[1].folder.mkdir()
            Attempts(jobs[1].folder).begin("c")
            raise lost("It died")
        fake_run(jobs[2].folder, jobs[2].settings, [90.0])
        return [90.0]

    assert through(launch, jobs, monkeypatch).exit_codes == [1]
    assert launched[1:] == [[jobs[2].folder]]
    assert capsys.readouterr().out == "1/3 done here, 1 failed, 1 elsewhere, or not yet\n"
