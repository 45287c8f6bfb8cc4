"""The scripts that measure: they start, they refuse what they do not know, and their references do what they say."""

from __future__ import annotations

import runpy
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from processes import Command

SCRIPTS = Path(__file__).parent.parent / "scripts"


def run_script(path, arguments):
    """In a process of its own: as `python PATH ARGUMENTS`."""
    sys.argv = [path, *arguments]
    sys.path.insert(0, str(SCRIPTS))
    runpy.run_path(path, run_name="__main__")
    sys.exit(0)


def script(name, *arguments, cwd, timeout=100):
    return Command(cwd=cwd, before=partial(run_script, str(SCRIPTS / name), arguments)).wait(timeout)


@pytest.mark.parametrize("name", ["benchmark.py", "article.py"])
def test_a_script_says_what_it_does(name, tmp_path):
    done = script(name, "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "python scripts/" in done.stdout


def test_a_part_that_does_not_exist_is_named(tmp_path):
    done = script("benchmark.py", "--only", "seeds,speed", cwd=tmp_path)
    assert done.returncode == 2
    assert "there is no part speed; there are seeds, stacks, cnn" in done.stderr


@pytest.fixture
def references(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import references

    return references


def test_the_loop_in_memory_learns(references):
    torch.manual_seed(0)
    x = torch.randn(200, 6)
    y = (x.sum(1) > 0).long()
    model = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
    epoch = references.in_memory(model, x, y, batch=10)
    for _ in range(20):
        epoch()
    assert float((model(x).argmax(1) == y).float().mean()) > 0.95


def test_the_floor_does_the_products_of_a_step_and_one_update(references, monkeypatch):
    products, updates = [], []
    bmm, adam = torch.bmm, torch._fused_adam_
    monkeypatch.setattr(torch, "bmm", lambda a, b, out: products.append((*a.shape, b.shape[2])) or bmm(a, b, out=out))
    monkeypatch.setattr(torch, "_fused_adam_", lambda p, *rest, **kw: updates.append(p[0]) or adam(p, *rest, **kw))
    references.floor(3, 2, torch.device("cpu"), batch=4, sizes=(7, 5, 2))()
    forward = [(3, 4, 7, 5), (3, 4, 5, 2)]
    backward = [(3, 5, 4, 2), (3, 4, 2, 5), (3, 7, 4, 5)]  # the last weight, what goes on from it, the first weight
    assert products == 2 * (forward + backward)
    assert len(updates) == 2
    assert updates[0].shape == (3 * (8 * 5 + 6 * 2),)
    assert torch.isfinite(updates[0]).all()
