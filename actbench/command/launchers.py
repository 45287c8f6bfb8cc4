"""What a launcher of Hydra's needs to know, or its user, before it starts jobs in other processes."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor
from typing import NoReturn

from omegaconf import DictConfig

from actbench.command import ray_node, slurm
from actbench.command.planning import BASIC, Job
from actbench.errors import Problem

_ALL_ON_ONE_GPU = ("joblib", "submitit_local")  # they start jobs side by side, and leave to each which GPU it takes


def problems(config: DictConfig) -> list[Problem]:
    """What would keep the chosen launcher from running any job, as far as it is known before one is started.

    Args:
        config: of the command, with Hydra's part.
    """
    if slurm.is_chosen(config):
        return slurm.problems(config.hydra.launcher)
    return ray_node.problems(config) if ray_node.is_chosen(config) else []


def elsewhere(config: DictConfig) -> bool:
    """Whether jobs run on other machines, which may have devices that this one lacks."""
    return slurm.is_chosen(config) or (ray_node.is_chosen(config) and ray_node.address(config) is not None)


class Terminated(SystemExit):
    """SIGTERM has ended a command whose jobs ran in other processes."""


@contextlib.contextmanager
def prepared(config: DictConfig, jobs: Sequence[Job]) -> Iterator[None]:
    """Within the block the chosen launcher may be made and called.

    Args:
        config: of the command, with Hydra's part, which may be changed.
        jobs: of a search or a race, an example.
    """
    launcher = config.hydra.runtime.choices["hydra/launcher"]
    if launcher in _ALL_ON_ONE_GPU and (warning := of_one_gpu(launcher, config, jobs)):
        print(warning, file=sys.stderr)
    handler, received = signal.getsignal(signal.SIGTERM), []
    listens = launcher != BASIC and handler == signal.SIG_DFL and threading.current_thread() is threading.main_thread()

    def end(number: int, _frame: object) -> NoReturn:
        """Stops a command whose jobs run in other processes as Ctrl-C does: these are ended, too."""
        received.append(number)
        raise SystemExit(128 + number)

    with ray_node.started(config, gpus=_gpus(jobs)) if ray_node.is_chosen(config) else contextlib.nullcontext():
        if listens:  # in place of Ray's handler, too, which aborts
            signal.signal(signal.SIGTERM, end)
        try:
            yield
        except BaseException:
            if received:  # of what has passed through Ray only the kind is left
                raise Terminated(128 + received[0]) from None
            raise
        finally:
            if listens:
                signal.signal(signal.SIGTERM, handler)


def lost_a_process(error: Exception) -> bool:
    """Whether a launcher has stopped since the process of a job was killed: joblib stops all of them then."""
    return isinstance(error, BrokenExecutor)


def of_one_gpu(launcher: str, config: DictConfig, jobs: Sequence[Job]) -> str:
    """The warning that jobs would train side by side on the same GPU; empty where they would not.

    Such a launcher starts its processes with the environment of this one, so there is no other GPU for each.
    """
    at_once = config.hydra.launcher.get("n_jobs", len(jobs))
    if at_once == 1 or len(jobs) == 1 or not (number := _gpus(jobs)):
        return ""
    one = f"all jobs of hydra/launcher={launcher} train on the same GPU, of {number}"
    return f"{one}: hydra/launcher=ray gives each job one (pip install 'actbench[ray]')"


def _gpus(jobs: Sequence[Job]) -> int:
    """The GPUs among which jobs could be spread: none where they do not ask for one, or for a certain one."""
    if not any(job.settings.train.device in ("auto", "cuda") for job in jobs):
        return 0
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return 0
    from actbench.train import machine  # imports torch

    return machine.gpus()
