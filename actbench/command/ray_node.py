"""`hydra/launcher=ray`: the GPUs of a node, or a Ray cluster, with defaults that keep jobs apart.

Ray gives each job a core and, where there are any, a GPU of its own, keeps the others waiting, and starts a job again
whose process was killed. Hydra's plugin brings the launcher; it would have as many jobs on one GPU as there are cores.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from omegaconf import DictConfig, OmegaConf, open_dict

from actbench.command.suggestions import counted
from actbench.errors import Failure, Problem

NAME = "ray"
_HERE = "local"  # Ray's word for an address where there is no cluster yet
_STORE = 75 << 20  # bytes of shared memory, the least that Ray takes: what it hands from job to job is small
_LONGEST = 24  # bytes of the path of a folder for Ray's
_WAIT = 5.0  # seconds until a cluster answers
_SAID = 1.0  # seconds until all that jobs have said is printed
_SAYS_THAT_IT_RUNS = "hydra_plugins.hydra_ray_launcher._launcher_util"
_RETRIES = 3  # of a job whose process is killed

_NODE = {
    "_target_": "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher",
    "ray": {
        "init": {"address": None, "object_store_memory": None, "include_dashboard": False, "log_to_driver": True},
        "remote": {"num_cpus": 1, "num_gpus": None, "max_retries": _RETRIES},
    },
}


def register() -> None:
    """Has `hydra/launcher=ray` stand for these defaults, where the plugin is installed."""
    Plugins.instance()  # which registers its own
    store = ConfigStore.instance()
    if f"{NAME}.yaml" in store.repo.get("hydra", {}).get("launcher", {}):
        store.store(group="hydra/launcher", name=NAME, node=_NODE, provider="actbench")


def is_chosen(config: DictConfig) -> bool:
    return bool(config.hydra.runtime.choices["hydra/launcher"] == NAME)


def address(config: DictConfig) -> str | None:
    """Of the cluster that is to be used: what was typed, or RAY_ADDRESS; None where Ray is started on this machine."""
    typed = config.hydra.launcher.ray.init.get("address")
    found = os.environ.get("RAY_ADDRESS") if typed is None else str(typed)
    return None if found in (None, "", _HERE) else found


def problems(config: DictConfig) -> list[Problem]:
    """What would keep Ray from running any job, as far as it is known before one is started."""
    where = address(config)
    if where is None:
        return _beyond_this_machine(config)
    host, _, port = where.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():  # `auto`, or a name: Ray knows
        return []
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_WAIT).close()
    except (OSError, OverflowError) as error:
        return [_nobody(config, error)]
    return []


def _beyond_this_machine(config: DictConfig) -> list[Problem]:
    """What each job asks for and this machine does not have: Ray would wait for it for ever."""
    launcher, found = config.hydra.launcher.ray, []
    for name, unit, there in (("num_cpus", "core", _cores), ("num_gpus", "GPU", _gpus)):
        asked = launcher.remote.get(name)
        if asked in (None, 0) or launcher.init.get(name) is not None:  # which tells Ray what there is
            continue
        if not isinstance(asked, (int, float)) or isinstance(asked, bool) or not 0 < asked < math.inf:
            what, how = (
                "must be a number that is not negative",
                f"the share of a {unit} that a job gets, or their number",
            )
        elif asked > (number := there()):
            what = f"this machine has {counted(number, unit)}" if number else f"this machine has no {unit}"
            what, how = f"{what}, so no job could begin", "ask for less, or name a Ray cluster by its address"
        else:
            continue
        found.append(Problem(what, f"hydra.launcher.ray.remote.{name}={asked}", how))
    return found


def _cores() -> int:
    return os.cpu_count() or 1


def _gpus() -> int:
    from actbench.train import machine  # imports torch

    return machine.gpus()


def prepare(config: DictConfig, *, gpus: int) -> None:
    """Fills in what depends on where the jobs run; call it before the launcher is made.

    Args:
        config: of the command, with Hydra's part.
        gpus: of this machine, that may be used.
    """
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # it would keep a token in the home folder
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")  # lines of two runs may look alike
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    init, remote, there = config.hydra.launcher.ray.init, config.hydra.launcher.ray.remote, address(config)
    with open_dict(config):
        init.address = there or _HERE  # else it would look for a cluster that somebody has started here
        if there is not None:
            init.object_store_memory = None  # which belongs to the cluster
        elif init.get("object_store_memory") is None:
            init.object_store_memory = _STORE
        if remote.get("num_gpus") is None:
            remote.num_gpus = 1 if gpus and there is None else 0


def _nobody(config: DictConfig, error: Exception) -> Problem:
    where = address(config)
    key = "RAY_ADDRESS" if where == os.environ.get("RAY_ADDRESS") else "hydra.launcher.ray.init.address"
    reason = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
    return Problem(
        f"no Ray cluster answers there{reason}",
        f"{key}={where}",
        "ray start --head starts one; without an address, Ray starts on this machine for this command alone",
    )


def is_rays(error: Exception) -> bool:
    """Whether an exception says what became of a job in Ray, such as that its process was killed too often."""
    return type(error).__module__.startswith("ray.exceptions")


@contextlib.contextmanager
def started(config: DictConfig, *, gpus: int) -> Iterator[None]:
    """Within the block Hydra's launcher may use Ray, here or in a cluster; later that is over, and nothing is left.

    Args:
        config, gpus: as for `prepare`.

    Raises:
        Failure: there is no cluster.
    """
    prepare(config, gpus=gpus)
    import ray

    init, before = config.hydra.launcher.ray.init, ray.is_initialized()  # by a program that has called
    with contextlib.ExitStack() as stack:
        if init.address == _HERE and "_temp_dir" not in init:
            folder = tempfile.TemporaryDirectory(prefix="ray_", dir=_short(), ignore_cleanup_errors=True)
            with open_dict(config):
                init._temp_dir = stack.enter_context(folder)
        try:
            if not before:
                stack.callback(_stop)
                here = init.address == _HERE
                print("starting Ray on this machine" if here else f"connecting to Ray at {init.address}", flush=True)
                logging.getLogger(_SAYS_THAT_IT_RUNS).setLevel(logging.WARNING)
                options: Any = OmegaConf.to_container(init, resolve=True)
                ray.init(**{"logging_level": logging.WARNING, **options})
            yield
        except ConnectionError as error:
            if address(config) is None:
                raise
            raise Failure.of([_nobody(config, error)]) from error


def _stop() -> None:
    """Ray prints what its jobs say a moment later."""
    import ray

    if ray.is_initialized():
        time.sleep(_SAID)
        ray.shutdown()


def _short() -> str:
    """A folder for temporary files: below it Ray makes sockets, whose paths may have 107 bytes."""
    usual = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    return usual if len(os.fsencode(usual)) <= _LONGEST else "/tmp"
