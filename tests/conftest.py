"""Shared by all tests: where the data are, and the command as a user runs it."""

from __future__ import annotations

import gc
import math
import os
from datetime import date
from functools import cache
from pathlib import Path

import processes
import pytest
from processes import Command
from quick_yaml import remember_files
from sketches import sketched

HAS_MNIST = (Path(os.environ.get("ACTBENCH_DATA", "/nowhere")) / "MNIST" / "raw").is_dir()


def pytest_addoption(parser):
    parser.addoption("--moments", type=int, default=4, help="test_killed: kill -9 at so many moments of each kind")
    parser.addoption("--steps", type=int, default=16, help="test_full_disk: fail at so many steps; 0: at every one")
    parser.addoption("--lines", type=int, default=60, help="test_fuzz: so many random command lines")
    parser.addoption("--draw", type=int, help="the seed of random moments, steps and lines (default: that of the day)")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    if config.option.draw is None:  # before xdist hands the options to its workers: all have the same
        config.option.draw = date.today().toordinal()


def pytest_sessionstart(session):
    config = session.config
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        return  # xdist's own process runs no test, and needs no torch
    from actbench.command import crew
    from actbench.train.machine import prepare

    crew.WORTH = math.inf  # no test has workers because the machine is slow today; `warm` has the same
    prepare(
        threads=1
    )  # before the first parallel operation, as the command does; small tensors have no use for a second
    remember_files()


def pytest_terminal_summary(terminalreporter, config):
    terminalreporter.write_line(f"random moments, steps and command lines were those of --draw {config.option.draw}")


_DEAR = (  # files whose tests take many seconds each: begun first, so that no process waits for another at the end
    "test_sweep", "test_search", "test_engines", "test_hostile_folders", "test_fuzz", "test_additions", "test_install",
    "test_full_disk", "test_killed", "test_cli", "test_surroundings",
)  # fmt: skip


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: _DEAR.index(item.path.stem) if item.path.stem in _DEAR else len(_DEAR))


def pytest_collection_finish():
    """What is imported by now stays: looking for garbage in it again and again takes a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@pytest.fixture(autouse=True)
def _one_thread():
    """Whatever an earlier test of this process has set: a command that runs in it takes all cores."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _sketched(request, monkeypatch):
    """Reports without rendered pictures, here and in commands, but where a test is marked as looking at them."""
    if request.node.get_closest_marker("rendered"):
        monkeypatch.setattr(processes, "rendered", True)
        yield
    else:
        with sketched():
            yield


@pytest.fixture
def actbench(tmp_path):
    """Runs the command in a fresh folder: `actbench("activation=relu", ...)` -> Done."""

    def run(*arguments, cwd=tmp_path, env=None):
        return Command(*arguments, cwd=cwd, env=env).wait()

    return run


@pytest.fixture
def tiny():
    """The overrides of a run that takes a second: digits, two seeds, two epochs, a narrow network."""
    return ["dataset=digits", "train.epochs=2", "num_seeds=2", "model.width=16", "train.threads=1"]


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """What the commands of `small_study` come to when nothing interferes: `undisturbed("sweep")` -> Undisturbed."""
    import small_study

    @cache
    def of(kind):
        return small_study.undisturbed(kind, tmp_path_factory.mktemp(kind), tmp_path_factory.mktemp("log") / "steps")

    return of
