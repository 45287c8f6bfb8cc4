"""Threads, denormals, devices."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch

from actbench.errors import UserError
from actbench.train.machine import busy_share, choose_device, environment, prepare


def test_denormals_are_flushed_in_every_thread():
    """In a process of its own, since the flag counts only before the first parallel operation."""
    code = (
        "import torch; from actbench.train.machine import prepare; prepare(2);"
        "x = torch.full((1 << 22,), 1e-30) * 1e-10;"  # 1e-40 is a denormal number in float32
        "print(int(x.count_nonzero()))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=100)
    assert done.stdout == "0\n", done.stderr


def test_threads_are_set_and_go_back_to_torchs_choice():
    from actbench.train import machine

    prepare(3)
    assert torch.get_num_threads() == 3
    prepare(None)
    assert torch.get_num_threads() == machine._DEFAULT_THREADS
    prepare(1)


def test_devices_that_are_not_there_are_refused():
    assert choose_device("cpu") == torch.device("cpu")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="CUDA is not available"):
            choose_device("cuda:1")
    if not torch.backends.mps.is_available():
        with pytest.raises(UserError, match="MPS is not available"):
            choose_device("mps")


def test_the_environment_names_versions_and_device():
    found = environment(torch.device("cpu"))
    assert found["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert found["device"].startswith("cpu")


def test_how_busy_a_gpu_is_comes_from_its_driver(monkeypatch):
    cuda = torch.device("cuda:0")
    monkeypatch.setattr(torch.cuda, "utilization", lambda device: 37)
    assert busy_share(cuda) == 0.37
    assert math.isnan(busy_share(torch.device("cpu")))

    class DriverError(Exception):
        """As those of nvidia-ml-py: no subclass of anything else."""

    def silent(_device):
        raise DriverError("Not Supported")

    monkeypatch.setattr(torch.cuda, "utilization", silent)
    assert math.isnan(busy_share(cuda))
