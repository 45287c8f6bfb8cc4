"""The machine that a process runs on: threads, devices, memory, and how they are recorded."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import datetime, timezone
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from actbench.cores import allocated
from actbench.errors import UserError, without_password
from actbench.records import COMMAND_LINE

_DEFAULT_THREADS = min(torch.get_num_threads(), allocated())  # torch counts the whole machine, or OMP_NUM_THREADS


def prepare(threads: int | None) -> None:
    """Sets the number of threads and the flags of the process. Call it before the first tensor operation.

    Denormal numbers are flushed to zero: the optimizer's state of a dead unit decays into them, and every later update
    of that unit would be slow. Threads inherit the flag when they are created, so it has to be set before the first
    parallel operation.

    Args:
        threads: of an operation; None for torch's own choice.
    """
    for kind in (np.float16, np.float32, np.float64, np.longdouble):
        np.finfo(kind)  # when first called, NumPy before 2.3 computes with denormals, and warns if they are flushed
    torch.set_flush_denormal(True)
    torch.set_num_threads(threads or _DEFAULT_THREADS)
    if torch.cuda.is_available():  # so that the same command gives the same numbers
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False


def allow_tf32(allow: bool) -> None:
    """Sets whether matrix products and convolutions on a GPU may round their inputs to a mantissa of 10 bits (TF32)."""
    torch.backends.cuda.matmul.allow_tf32 = allow
    torch.backends.cudnn.allow_tf32 = allow


def choose_device(name: str, precision: str = "fp32") -> torch.device:
    """The device of `train.device`: `auto` is CUDA, else MPS, else the CPU.

    Args:
        name: `auto`, `cpu`, `mps`, `cuda` or `cuda:N`.
        precision: of `train.precision`, which the device has to support.

    Raises:
        UserError: the machine does not have the device, or the device does not have the precision.
    """
    device = _device(name)
    if precision == "tf32" and device.type != "cuda":
        raise UserError(
            f"only CUDA devices have it, and this is {device.type}",
            where="train.precision=tf32",
            how="train.precision=fp32",
        )
    return device


def _device(name: str) -> torch.device:
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda:0" if cuda else "mps" if mps else "cpu")
    device = torch.device("cuda:0" if name == "cuda" else name)
    if device.type == "cuda" and not cuda:
        built = (
            f"this torch ({torch.__version__}) was built without CUDA" if not torch.version.cuda else "no GPU was found"
        )
        raise UserError(f"CUDA is not available: {built}", where=f"train.device={name}", how="train.device=auto or cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"there are {torch.cuda.device_count()} CUDA devices, numbered from 0",
            where=f"train.device={name}",
            how="train.device=cuda:0",
        )
    if device.type == "mps" and not mps:
        raise UserError("MPS is not available", where=f"train.device={name}", how="train.device=auto or cpu")
    return device


def gpus() -> int:
    """The number of CUDA devices that this process may use."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def busy_share(device: torch.device) -> float:
    """The fraction of the last moments in which a CUDA device was busy, by its driver; NaN where that is unknown."""
    if device.type != "cuda":
        return float("nan")
    try:
        return torch.cuda.utilization(device) / 100
    except Exception:  # no nvidia-ml-py, or a driver without counters: its errors have no common base class
        return float("nan")


def wait_for(device: torch.device) -> None:
    """Waits until a device has finished all of its work, so that what follows can be timed."""
    if device.type != "cpu":
        torch.get_device_module(device).synchronize()


def memory_of_machine() -> int | None:
    """Bytes of memory; None where the system does not report it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def describe(device: torch.device) -> str:
    """The device in words: `cuda:0 (NVIDIA H100)`, `cpu (2 threads)`."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"cpu ({threads} thread{'s' if threads != 1 else ''})"
    return str(device)


def environment(device: torch.device) -> dict[str, Any]:
    """What is needed, besides its settings, to repeat and judge a run: the content of `environment.json`."""
    packages = ("actbench", "torch", "torchvision", "hydra-core", "omegaconf", "numpy", "scipy", "tensorboard")
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "argv": [*map(without_password, COMMAND_LINE.get() or sys.argv)],
        "cwd": _cwd(),
        "host": platform.node(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in packages},
        "git": _git(Path(__file__).resolve().parent),
        "device": describe(device),
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cuda": torch.version.cuda,
    }


def _cwd() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it has been removed
        return None


@cache
def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(folder: Path) -> dict[str, Any] | None:
    """Commit and dirty flag of the checkout that the package runs from; None for an installed package."""
    if not (folder.parent / ".git").exists():
        return None

    def ask(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()

    try:
        return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
