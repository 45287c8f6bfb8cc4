"""The examples in docstrings."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import actbench

MODULES = [m.name for m in pkgutil.walk_packages(actbench.__path__, "actbench.") if m.name != "actbench.__main__"]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, tmp_path, monkeypatch):
    if name in ("actbench.watching.lightning", "actbench.watching.transformers"):
        pytest.importorskip(name.rpartition(".")[2])
    monkeypatch.chdir(tmp_path)  # some write a study
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert found.failed == 0
