"""A run gives the same bits alone and behind any other job of its process, a failed or interrupted one included."""

from __future__ import annotations

import contextlib
import csv
import io
import logging
import os
import random
import signal
import sys
import warnings
from dataclasses import replace

import hostile
import numpy as np
import pytest
import torch
from helpers import settings_of
from rich.console import Console

from actbench.custom.isolation import _default_device, isolated
from actbench.datasets.shared import is_untouched, seal
from actbench.inits import auto_gain
from actbench.job import run
from actbench.settings import Choice
from actbench.sinks.terminal import TerminalSink

TINY = ("dataset=digits", "train.epochs=1", "num_seeds=2", "model.width=8", "train.threads=1", "tensorboard=false")
JOBS = sorted(
    name
    for name, kind in vars(hostile).items()
    if isinstance(kind, type) and kind.__module__ == "hostile" and name not in ("Hostile", "WritesToTheData", "Global")
)


def settings(activation="", model="", **params):
    base = replace(settings_of(*TINY, "activation=tanh"), trust=("hostile",))
    if activation:
        base = replace(base, activation=Choice(activation.lower(), f"hostile.{activation}", {}))
    if model:
        base = replace(base, model=Choice(model, f"hostile.{model}", params))
    return base


def train(folder, asked):
    run(asked, folder, terminal=TerminalSink(Console(file=io.StringIO()), live=False))


def outcome(folder, asked):
    """What a run leaves, but for its times."""
    train(folder, asked)
    states = {seed: torch.load(folder / "checkpoints" / f"seed={seed}.pt", weights_only=True) for seed in asked.seeds}
    tables, times = {}, ("seconds", "waiting")
    for name in ("history.csv", "layers.csv", "definitions.csv"):
        with (folder / name).open(newline="") as file:
            tables[name] = [{k: v for k, v in row.items() if k not in times} for row in csv.DictReader(file)]
    return states, tables


def assert_same(ours, theirs):
    assert ours[1] == theirs[1]
    for seed, state in ours[0].items():
        assert all(torch.equal(value, theirs[0][seed][name]) for name, value in state.items())


def process():
    """What a process is: all that a job could change."""
    return {
        "python": random.getstate(), "numpy": np.random.get_state()[1].tolist(), "torch": torch.get_rng_state().tolist(),
        "dtype": torch.get_default_dtype(), "device": _default_device(), "grad": torch.is_grad_enabled(),
        "anomaly": torch.is_anomaly_enabled(), "deterministic": torch.are_deterministic_algorithms_enabled(),
        "fill": torch.utils.deterministic.fill_uninitialized_memory, "autocast": torch.is_autocast_enabled("cpu"),
        "denormal": float(torch.tensor([1e-40]).mul(1)), "threads": torch.get_num_threads(),
        "precision": torch.get_float32_matmul_precision(), "mkldnn": torch._C._get_mkldnn_enabled(),
        "sdp": torch.backends.cuda.flash_sdp_enabled(), "numpy errors": np.geterr(),
        "hooks": dict(torch.nn.modules.module._global_forward_hooks), "filters": list(warnings.filters),
        "shown": warnings.showwarning, "environment": dict(os.environ), "folder": os.getcwd(), "stdout": sys.stdout,
        "recursion": sys.getrecursionlimit(),
        "logging": logging.root.manager.disable,
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)],
    }  # fmt: skip


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return outcome(tmp_path_factory.mktemp("alone") / "run", settings())


@pytest.mark.parametrize("probe", [True, False])
@pytest.mark.parametrize("job", JOBS)
def test_a_run_has_the_same_bits_behind_a_hostile_one(tmp_path, alone, job, probe):
    before, path = process(), list(sys.path)
    with contextlib.suppress(Exception, KeyboardInterrupt):  # some of them hurt themselves
        train(tmp_path / "hostile", replace(settings(job), probe=probe))
    assert process() == before
    assert sys.path[: len(path)] == path  # what was added stays behind: a module may import from there later
    if not probe:
        assert_same(outcome(tmp_path / "sound", settings()), alone)


@pytest.mark.parametrize("counted", [True, False])
def test_a_job_that_writes_to_the_data_spoils_them_for_itself_alone(tmp_path, alone, counted):
    with contextlib.suppress(RuntimeError):  # autograd notices what is counted
        train(tmp_path / "hostile", settings(model="writes_to_the_data", counted=counted))
    assert_same(outcome(tmp_path / "sound", settings()), alone)


@pytest.mark.parametrize("behind", ["Seeds", "FailsLater"])
def test_who_draws_from_global_generators_gets_the_same_alone_and_behind_another(tmp_path, behind):
    first = outcome(tmp_path / "first", settings("Global"))
    with contextlib.suppress(RuntimeError):
        train(tmp_path / "other", settings(behind))
    assert_same(outcome(tmp_path / "second", settings("Global")), first)


def test_no_activation_changes_the_gain_of_another():
    gain = auto_gain(torch.nn.Tanh())
    for kind in (hostile.WritesToItsInput, hostile.WritesPastTheCounter):
        auto_gain(kind())
        assert auto_gain(torch.nn.Tanh()) == gain == pytest.approx(1.5925374, rel=1e-6)


@isolated()
def change_and_fail():
    torch.set_default_dtype(torch.float16)
    os.environ["X"] = "1"
    raise KeyboardInterrupt


def test_blocks_lie_in_each_other_and_survive_errors():
    before = process()
    with isolated():
        torch.set_default_dtype(torch.float64)
        inside = process()
        with pytest.raises(KeyboardInterrupt):
            change_and_fail()
        assert process() == inside
    assert process() == before


@pytest.mark.parametrize("thorough", [True, False])
def test_a_seal_sees_what_was_written(thorough):
    from helpers import random_splits

    splits = seal(random_splits(), thorough=thorough)
    assert is_untouched(splits)
    splits.val_x.data[0, 0, 0, 0] += 1e-3  # past torch's counter
    assert is_untouched(splits) is not thorough
    splits.val_x[0, 0, 0, 0] += 1e-3
    assert not is_untouched(splits)
    assert is_untouched(random_splits())


def test_a_sweep_with_a_hostile_activation_has_the_sound_one_as_it_is_alone(actbench, tmp_path, tiny):
    (tmp_path / "conf/activation").mkdir(parents=True)
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom torch import nn\n\n\nclass Evil(nn.Module):\n    def forward(self, x):\n"
        "        torch.manual_seed(0)\n        return x.mul_(torch.sigmoid(x))\n"
    )
    (tmp_path / "conf/activation/evil.yaml").write_text("# x·σ(x), in place\n_target_: mine.Evil\n_partial_: true\n")
    more = [*tiny, "trust=mine", "probe=false"]
    together = actbench("-m", "activation=evil,tanh", *more, "study=together")
    assert together.returncode == 0, together.stderr
    single = actbench("activation=tanh", *more, "study=single")
    assert single.returncode == 0, single.stderr
    ours, theirs = (next((tmp_path / "outputs" / study).glob("tanh-*")) for study in ("together", "single"))
    for seed in (0, 1):
        name = f"checkpoints/seed={seed}.pt"
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()
    assert list((tmp_path / "outputs/together/tensorboard/evil").glob("*tfevents*"))  # to its end, pictures included
    refused = actbench("activation=evil", *tiny, "trust=mine", "study=refused")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: activation=evil: mine.Evil changes its input in place")
    assert "probe=false" in refused.stderr and refused.stdout == "" and not (tmp_path / "outputs/refused").exists()
