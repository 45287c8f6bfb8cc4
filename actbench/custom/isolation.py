"""Restores the state of the process after each job, so that a job computes the same after any other.

A user's own activations, models, datasets and optimizers can seed global generators or change torch's flags, warnings,
environment variables, the working folder and signal handlers, on purpose or not. A later job of the same process would
then give other results than in a process of its own.

Variables of other modules and functions that were replaced are not restored.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch
from torch.nn.modules import module as torch_module
from torch.optim import Optimizer

_SEED = 20_240_502  # of all global generators at the start of a job

Restore = Callable[[], None]  # puts back what was saved


@contextmanager
def isolated() -> Iterator[None]:
    """Saves the state of the process and restores it at the end of the block, also after an error.

    The global generators of Python, NumPy and torch start from a fixed seed, so that code that uses them gives the same
    results after any other. Blocks can be nested. Saving and restoring take less than a millisecond.
    """
    restores = [save() for save in (_save_generators, _save_flags, _save_hooks, _save_plot_style)]
    restores += [save() for save in (_save_environment, _save_interpreter, _save_signals)]
    random.seed(_SEED)
    np.random.seed(_SEED)
    torch.manual_seed(_SEED)  # a GPU's too, once it is used
    try:
        with warnings.catch_warnings():
            yield
    finally:
        for restore in reversed(restores):
            restore()


@contextmanager
def isolated_from_caller() -> Iterator[None]:
    """The same within a program that uses torch in its own way: in the block its flags are those of a new process."""
    with isolated(), torch.inference_mode(False):
        _set_default_device(torch.device("cpu"))
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
        torch.autograd.set_detect_anomaly(False)
        torch.use_deterministic_algorithms(False)
        torch.set_float32_matmul_precision("highest")
        for device in ("cpu", "cuda"):
            torch.set_autocast_enabled(device, False)
        np.seterr(divide="warn", over="warn", under="ignore", invalid="warn")
        yield


def _save_generators() -> Restore:
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None

    def restore() -> None:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if gpus is not None:
            torch.cuda.set_rng_state_all(gpus)

    return restore


# ---------------------------------------------------------------- flags


def _flushes_denormals() -> bool:
    return not bool(torch.tensor([1e-40], dtype=torch.float32, device="cpu").mul_(1).ne(0))


def _default_device() -> torch.device:
    try:
        return torch.get_default_device()
    except AttributeError:  # of torch 2.6, once it has been set to None
        return torch.device("cpu")


def _set_default_device(device: torch.device) -> None:
    torch.set_default_device(None if device.type == "cpu" else device)  # without a default device it is the CPU


def _deterministic() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _anomaly() -> tuple[bool, bool]:
    return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()


def _autocast(device: str) -> tuple[Any, ...]:
    return torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)


def _set_autocast(device: str, value: tuple[Any, ...]) -> None:
    torch.set_autocast_enabled(device, value[0])
    torch.set_autocast_dtype(device, value[1])


Flag = tuple[Callable[[], Any], Callable[[Any], Any]]  # how it is read, and how it is set


def _attribute(owner: Any, name: str) -> Flag:
    return lambda: getattr(owner, name), lambda value: setattr(owner, name, value)


_cuda, _cudnn = torch.backends.cuda, torch.backends.cudnn
_FLAGS_OF_LIBRARIES: tuple[Flag, ...] = (
    (_default_device, _set_default_device),  # first: the others make tensors
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (_anomaly, lambda value: torch.autograd.set_detect_anomaly(*value)),
    (_deterministic, lambda value: torch.use_deterministic_algorithms(value[0], warn_only=value[1])),
    _attribute(torch.utils.deterministic, "fill_uninitialized_memory"),
    (_flushes_denormals, torch.set_flush_denormal),
    (torch.get_num_threads, torch.set_num_threads),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (torch._C._get_mkldnn_enabled, torch._C._set_mkldnn_enabled),
    _attribute(_cudnn, "enabled"),
    _attribute(_cudnn, "benchmark"),
    _attribute(_cudnn, "deterministic"),
    _attribute(_cudnn, "allow_tf32"),
    _attribute(_cuda.matmul, "allow_tf32"),
    _attribute(_cuda.matmul, "allow_fp16_reduced_precision_reduction"),
    _attribute(_cuda.matmul, "allow_bf16_reduced_precision_reduction"),
    (_cuda.flash_sdp_enabled, _cuda.enable_flash_sdp),
    (_cuda.mem_efficient_sdp_enabled, _cuda.enable_mem_efficient_sdp),
    (_cuda.math_sdp_enabled, _cuda.enable_math_sdp),
    (_cuda.cudnn_sdp_enabled, _cuda.enable_cudnn_sdp),
    (lambda: _autocast("cpu"), lambda value: _set_autocast("cpu", value)),
    (lambda: _autocast("cuda"), lambda value: _set_autocast("cuda", value)),
    (np.geterr, lambda value: np.seterr(**value)),
)


def _save_flags() -> Restore:
    before = [read() for read, _ in _FLAGS_OF_LIBRARIES]

    def restore() -> None:
        for (read, write), value in zip(_FLAGS_OF_LIBRARIES, before, strict=True):
            if read() != value:
                write(value)

    return restore


def _save_hooks() -> Restore:
    """The hooks that torch calls for every module and every optimizer."""
    tables = [vars(torch_module)[name] for name in vars(torch_module) if name.startswith("_global_")]
    of_optimizers = vars(sys.modules[Optimizer.__module__])
    tables += [of_optimizers[name] for name in of_optimizers if name.startswith("_global_optimizer")]
    before = [(table, dict(table)) for table in tables if isinstance(table, dict)]

    def restore() -> None:
        for table, content in before:
            if table != content:
                table.clear()
                table.update(content)

    return restore


def _save_plot_style() -> Restore:
    """Matplotlib's parameters, if it has been imported. Read as a plain dict, since its own access loads a backend."""
    matplotlib = sys.modules.get("matplotlib")
    parameters: Any = vars(matplotlib).get("rcParams") if matplotlib is not None else None
    before = dict(dict.items(parameters)) if parameters is not None else {}

    def restore() -> None:
        if parameters is not None and dict(dict.items(parameters)) != before:
            dict.update(parameters, before)

    return restore


# ---------------------------------------------------------------- the process


def _save_environment() -> Restore:
    """The environment variables and the working folder."""
    variables, folder = dict(os.environ), _folder()

    def restore() -> None:
        if dict(os.environ) != variables:
            for name in [name for name in os.environ if name not in variables]:
                del os.environ[name]
            os.environ.update(variables)
        if folder is not None and _folder() != folder:
            with suppress(OSError):  # it no longer exists
                os.chdir(folder)

    return restore


def _folder() -> str | None:
    """The working folder; None if it no longer exists."""
    try:
        return os.getcwd()
    except OSError:
        return None


def _save_interpreter() -> Restore:
    """State of the interpreter: `sys.path`, streams, hooks, the recursion limit and the level of the root logger.

    Folders that an import has added to `sys.path` stay at its end, since a module is imported only once and may import
    from them later.
    """
    names = ("stdout", "stderr", "excepthook", "displayhook")
    path, streams = list(sys.path), {name: getattr(sys, name) for name in names}
    recursion, log, silenced = sys.getrecursionlimit(), logging.root.level, logging.root.manager.disable

    def restore() -> None:
        if sys.path != path:
            sys.path[:] = [*path, *(folder for folder in sys.path if folder not in path)]
        for name, value in streams.items():
            setattr(sys, name, value)
        sys.setrecursionlimit(recursion)
        logging.root.setLevel(log)
        logging.disable(silenced)

    return restore


def _save_signals() -> Restore:
    """The signal handlers, which only the main thread can set."""
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}

    def restore() -> None:
        for number, handler in before.items():
            if handler is not None and signal.getsignal(number) != handler:
                signal.signal(number, handler)

    return restore
