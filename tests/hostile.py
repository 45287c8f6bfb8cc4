"""Activations that do to the process, or to what they are given, what nobody should: the material of test_isolation."""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import tempfile
import warnings

import numpy as np
import torch
from torch import Tensor, nn


class Hostile(nn.Module):
    """tanh, and at every call something else."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.act()

    def act(self) -> None: ...

    def forward(self, z: Tensor) -> Tensor:
        self.calls += 1
        self.act()
        return torch.tanh(z)


class WritesToItsInput(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return z.mul_(torch.sigmoid(z))


class WritesPastTheCounter(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        z.data.mul_(0.5)
        return torch.tanh(z)


class Seeds(Hostile):
    def act(self) -> None:
        torch.manual_seed(3)
        np.random.seed(3)
        random.seed(3)


class Doubles(Hostile):
    def act(self) -> None:
        torch.set_default_dtype(torch.float64)


class Meta(Hostile):
    def act(self) -> None:
        torch.set_default_device("meta")


class ForgetsGradients(Hostile):
    def act(self) -> None:
        torch.set_grad_enabled(False)


class Warns(Hostile):
    def act(self) -> None:
        warnings.simplefilter("error")
        warnings.showwarning = print


class Determines(Hostile):
    def act(self) -> None:
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False
        torch.autograd.set_detect_anomaly(True)


class Rounds(Hostile):
    def act(self) -> None:
        torch.set_float32_matmul_precision("medium")
        torch._C._set_mkldnn_enabled(False)
        torch.set_flush_denormal(False)
        torch.backends.cuda.enable_flash_sdp(False)
        np.seterr(all="raise")


class Threads(Hostile):
    def act(self) -> None:
        torch.set_num_threads(2)


class Autocasts(Hostile):
    def act(self) -> None:
        torch.set_autocast_enabled("cpu", True)


class Hooks(Hostile):
    def act(self) -> None:
        torch.nn.modules.module.register_module_forward_hook(lambda module, inputs, output: output * 1.01)


class Environment(Hostile):
    def act(self) -> None:
        os.environ["OMP_NUM_THREADS"] = "7"
        os.environ.pop("HOME", None)
        os.chdir(tempfile.gettempdir())
        sys.path.insert(0, "/nowhere")
        sys.setrecursionlimit(5000)
        logging.disable(logging.CRITICAL)
        sys.stdout = sys.stderr


class Signals(Hostile):
    def act(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)


class FailsLater(Hostile):
    """In the midst of training, with everything changed."""

    def act(self) -> None:
        torch.manual_seed(9)
        if self.calls == 12:
            torch.set_num_threads(2)
            torch.set_grad_enabled(False)
            raise RuntimeError("now")


class Interrupts(Hostile):
    def act(self) -> None:
        random.seed(9)
        if self.calls == 12:
            torch.set_default_dtype(torch.float64)
            raise KeyboardInterrupt


class WritesToTheData(nn.Module):
    """A network that centres its images in place; in evaluation those are the data of all jobs."""

    def __init__(self, inputs: tuple[int, ...], classes: int, *, counted: bool) -> None:
        super().__init__()
        self.counted = counted
        self.output = nn.Linear(inputs[0] * inputs[1] * inputs[2], classes)

    def forward(self, x: Tensor) -> Tensor:
        (x if self.counted else x.data).mul_(0.5)
        return self.output(x.flatten(1))


def writes_to_the_data(_ingredients, *, inputs, classes, counted=True):
    return WritesToTheData(inputs, classes, counted=counted)


class Global(nn.Module):
    """Draws from generators that are nobody's: the same alone and behind any other."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = float(np.random.rand()) + random.random() + float(torch.rand(()))

    def forward(self, z: Tensor) -> Tensor:
        return torch.where(z > 0, z, 0.01 * self.slope * z)
