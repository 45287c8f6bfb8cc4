"""`hydra/launcher=ray`, started for real where Ray is installed, and launchers that would put all jobs on one GPU."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers import settings_of
from omegaconf import OmegaConf
from outcome import outcome_of_study
from processes import Command
from test_crew import of_a_worker
from test_many_processes import wait_until

from actbench.command import launchers, ray_node
from actbench.errors import Failure

HAS_RAY = importlib.util.find_spec("ray") is not None and importlib.util.find_spec("hydra_plugins.hydra_ray_launcher")
real = pytest.mark.skipif(not HAS_RAY, reason="actbench[ray] is not installed")
SWEEP = ["-m", "dataset=digits", "dataset.train_size=300", "num_seeds=2", "model.width=16", "train.threads=1", "study=s",
         "train.epochs=40", "tensorboard=false", "activation=relu,gelu,tanh"]  # fmt: skip


@real
def test_ray_trains_each_job_once_and_goes_on_where_a_worker_was_killed(tmp_path):
    alone, home = tmp_path / "alone", tmp_path / "home"
    alone.mkdir()
    home.mkdir()
    assert Command(*SWEEP, "workers=1", cwd=alone).wait().returncode == 0
    study = tmp_path / "outputs" / "s"
    command = Command(*SWEEP, "hydra/launcher=ray", cwd=tmp_path, env={"HOME": str(home), "RAY_TMPDIR": "/tmp"})
    wait_until(lambda: of_a_worker(study, command.pid))
    os.kill(min(of_a_worker(study, command.pid)), signal.SIGKILL)
    done = command.wait()
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(f"\n{name} " in done.stdout for name in ("relu", "gelu", "tanh"))
    assert outcome_of_study(study) == outcome_of_study(alone / "outputs" / "s")
    assert not [path for path in home.rglob("*") if "ray" in path.name.lower()]


@real
def test_no_cluster_at_the_address_is_one_message_before_anything_starts(actbench, tmp_path):
    done = actbench(*SWEEP, "hydra/launcher=ray", "hydra.launcher.ray.init.address=127.0.0.1:9")
    assert done.returncode != 0
    assert done.stderr.count("no Ray cluster answers there (Connection refused)") == 1
    assert "Traceback" not in done.stderr
    assert not [*tmp_path.glob("outputs/s/*/summary.json")]


@pytest.mark.skipif(bool(HAS_RAY), reason="actbench[ray] is installed")
def test_where_it_is_not_installed_the_extra_is_named(actbench):
    assert "pip install 'actbench[ray]'" in actbench(*SWEEP, "hydra/launcher=ray").stderr


# ---------------------------------------------------------------- what it is told


def config_of(launcher, **node):
    return OmegaConf.create({"hydra": {"runtime": {"choices": {"hydra/launcher": launcher}}, "launcher": node}})


@pytest.mark.parametrize(
    ("gpus", "address", "environment", "typed", "number", "memory", "used"),
    [
        (4, None, "", None, 1, 75 << 20, "local"),  # and no cluster that somebody else has started here
        (0, None, "", None, 0, 75 << 20, "local"),
        (4, "auto", "", None, 0, None, "auto"),
        (4, "auto", "", 0.5, 0.5, None, "auto"),
        (4, None, "10.0.0.1:6379", None, 0, None, "10.0.0.1:6379"),
        (4, "local", "10.0.0.1:6379", None, 1, 75 << 20, "local"),
    ],
)
def test_a_job_has_a_gpu_where_there_is_one_or_what_is_typed(
    monkeypatch, gpus, address, environment, typed, number, memory, used
):
    monkeypatch.setattr(ray_node.os, "environ", {"RAY_ADDRESS": environment})
    init = {"address": address, "object_store_memory": None}
    config = config_of("ray", ray={"init": init, "remote": {"num_cpus": 1, "num_gpus": typed}})
    ray_node.prepare(config, gpus=gpus)
    assert config.hydra.launcher.ray.remote.num_gpus == number
    assert config.hydra.launcher.ray.init.object_store_memory == memory
    assert config.hydra.launcher.ray.init.address == used
    assert ray_node.os.environ["RAY_AUTH_MODE"] == "disabled"


@pytest.mark.parametrize(
    ("remote", "said"),
    [
        ({"num_cpus": 1, "num_gpus": 0.5}, None),
        ({"num_cpus": 1, "num_gpus": 3}, "remote.num_gpus=3: this machine has 1 GPU, so no job could begin"),
        ({"num_cpus": 9, "num_gpus": 1}, "remote.num_cpus=9: this machine has 8 cores, so no job could begin"),
        ({"num_cpus": 1, "num_gpus": "all"}, "remote.num_gpus=all: must be a number that is not negative"),
        ({"num_cpus": -1, "num_gpus": None}, "remote.num_cpus=-1: must be a number that is not negative"),
    ],
)
def test_what_this_machine_cannot_give_any_job_is_told_and_not_waited_for(monkeypatch, remote, said):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray_node, "_cores", lambda: 8)
    monkeypatch.setattr(ray_node, "_gpus", lambda: 1)
    problems = ray_node.problems(config_of("ray", ray={"init": {"address": None}, "remote": remote}))
    assert [str(problem).splitlines()[0] for problem in problems] == (
        [f"hydra.launcher.ray.{said}"] if said is not None else []
    )


@pytest.mark.parametrize("init", [{"address": "auto"}, {"address": None, "num_gpus": 4}])
def test_what_others_have_told_ray_is_not_judged(monkeypatch, init):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert not ray_node.problems(config_of("ray", ray={"init": init, "remote": {"num_cpus": None, "num_gpus": 4}}))


@real
def test_what_ray_says_where_it_finds_no_cluster_is_our_message(monkeypatch):
    monkeypatch.setattr(ray_node, "prepare", lambda config, gpus: None)

    def nobody(**_options):
        raise ConnectionError("Could not find any running Ray instance")

    monkeypatch.setattr("ray.init", nobody)
    config = config_of("ray", ray={"init": {"address": "auto"}})
    with pytest.raises(Failure, match="no Ray cluster answers there"), ray_node.started(config, gpus=0):
        pass


@real
def test_the_temporary_files_of_a_ray_of_ours_are_removed_and_their_paths_are_short(monkeypatch):
    monkeypatch.setattr(ray_node, "prepare", lambda config, gpus: None)
    monkeypatch.setattr("ray.init", lambda **options: None)
    monkeypatch.setenv("RAY_TMPDIR", "/tmp/" + 100 * "x")
    config = config_of("ray", ray={"init": {"address": "local"}})
    with ray_node.started(config, gpus=0):
        folder = Path(config.hydra.launcher.ray.init._temp_dir)
        assert folder.is_dir() and folder.parent == Path("/tmp")
    assert not folder.exists()


@pytest.mark.parametrize(
    ("device", "gpus", "n_jobs", "warned"),
    [("auto", 2, -1, True), ("cuda", 2, 2, True), ("cpu", 2, 2, False), ("auto", 0, 2, False), ("auto", 2, 1, False)],
)
def test_a_launcher_that_puts_all_jobs_on_one_gpu_is_warned_of(monkeypatch, device, gpus, n_jobs, warned):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    jobs = [SimpleNamespace(settings=settings_of("dataset=digits", f"train.device={device}"))] * 3
    warning = launchers.of_one_gpu("joblib", config_of("joblib", n_jobs=n_jobs), jobs)
    assert bool(warning) == warned
    assert not warned or "hydra/launcher=ray gives each job one" in warning


def test_sigterm_ends_a_command_whose_jobs_run_elsewhere_in_order(monkeypatch):
    """Also where Ray has put a handler of its own in the place of the system's, which aborts."""
    after, ended = signal.getsignal(signal.SIGTERM), []
    assert after == signal.SIG_DFL

    @contextlib.contextmanager
    def started(_config, **_options):
        signal.signal(signal.SIGTERM, lambda *_: os.abort())
        try:
            yield
        finally:
            ended.append(True)

    def in_ray(call, argument):
        try:
            call(argument)
        except SystemExit:
            raise SystemExit(1) from None

    monkeypatch.setattr(ray_node, "started", started)
    with pytest.raises(SystemExit) as stopped, launchers.prepared(config_of("ray"), []):
        in_ray(signal.raise_signal, signal.SIGTERM)
    assert (stopped.value.code, ended) == (128 + signal.SIGTERM, [True])
    assert signal.getsignal(signal.SIGTERM) == after
    with launchers.prepared(config_of("basic"), []):  # whose runs listen themselves
        assert signal.getsignal(signal.SIGTERM) == after
