"""One job leaves nothing behind: what belongs to the whole process is afterwards what it was before.

Activations, models, losses of data, optimizers may be anyone's. They can seed global generators, change flags of torch,
warnings, environment variables, the working folder, or handlers of signals, on purpose or not, and a later job of the
same process would compute something else than it does alone.

What cannot be undone here: other modules' own variables, and functions that were put in the place of others.
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

_SEED = 20_240_502  # that all global generators start a job from


@contextmanager
def isolated() -> Iterator[None]:
    """Within the block the process is the code's to change; afterwards its state is what it was, errors or not.

    Global generators (Python's, NumPy's, torch's) start from one seed in it, so that code which draws from them gives
    the same alone and behind any other. Blocks may lie in each other. It costs less than a millisecond.
    """
    undo = [take() for take in (_generators, _flags, _tables, _environment, _interpreter, _signals)]
    random.seed(_SEED)
    np.random.seed(_SEED)
    torch.manual_seed(_SEED)  # a GPU's too, once it is used
    try:
        with warnings.catch_warnings():
            yield
    finally:
        for restore in reversed(undo):
            restore()


def _generators() -> Callable[[], None]:
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


def _set_default_device(device: torch.device) -> None:
    torch.set_default_device(None if device.type == "cpu" else device)  # the CPU is that of nobody having asked


def _deterministic() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _anomaly() -> tuple[bool, bool]:
    return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()


def _autocast(device: str) -> tuple[Any, ...]:
    return torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)


def _set_autocast(device: str, value: tuple[Any, ...]) -> None:
    torch.set_autocast_enabled(device, value[0])
    torch.set_autocast_dtype(device, value[1])


def _attribute(owner: Any, name: str) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    return lambda: getattr(owner, name), lambda value: setattr(owner, name, value)


_cuda, _cudnn = torch.backends.cuda, torch.backends.cudnn
_FLAGS: tuple[tuple[Callable[[], Any], Callable[[Any], Any]], ...] = (  # how each is asked, and how it is set
    (torch.get_default_device, _set_default_device),  # first: the others make tensors
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


def _flags() -> Callable[[], None]:
    before = [ask() for ask, _ in _FLAGS]

    def restore() -> None:
        for (ask, put), value in zip(_FLAGS, before, strict=True):
            if ask() != value:
                put(value)

    return restore


def _tables() -> Callable[[], None]:
    """Hooks that torch calls for every module and every optimizer, and how Matplotlib draws."""
    tables = [vars(torch_module)[name] for name in vars(torch_module) if name.startswith("_global_")]
    of_optimizers = vars(sys.modules[Optimizer.__module__])
    tables += [of_optimizers[name] for name in of_optimizers if name.startswith("_global_optimizer")]
    before = [(table, dict(table)) for table in tables if isinstance(table, dict)]
    matplotlib = sys.modules.get("matplotlib")
    style: Any = vars(matplotlib).get("rcParams") if matplotlib is not None else None
    styles = dict(dict.items(style)) if style is not None else {}  # as they lie there: asking imports a backend

    def restore() -> None:
        for table, content in before:
            if table != content:
                table.clear()
                table.update(content)
        if style is not None and dict(dict.items(style)) != styles:
            dict.update(style, styles)

    return restore


# ---------------------------------------------------------------- the process


def _environment() -> Callable[[], None]:
    variables, folder = dict(os.environ), _folder()

    def restore() -> None:
        if dict(os.environ) != variables:
            for name in [name for name in os.environ if name not in variables]:
                del os.environ[name]
            os.environ.update(variables)
        if folder is not None and _folder() != folder:
            with suppress(OSError):  # it is not there any more
                os.chdir(folder)

    return restore


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None


def _interpreter() -> Callable[[], None]:
    """What Python keeps for all modules. Folders that an import added to `sys.path` stay, behind those before them.

    A module is imported once, and may import from there later.
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


def _signals() -> Callable[[], None]:
    if threading.current_thread() is not threading.main_thread():  # who may not set them
        return lambda: None
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}

    def restore() -> None:
        for number, handler in before.items():
            if handler is not None and signal.getsignal(number) != handler:
                signal.signal(number, handler)

    return restore
