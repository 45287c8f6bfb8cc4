"""Networks, activations and data that exist as Python objects: by what they are known, and where they are kept."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import linecache
import os
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from nbclient import NotebookClient
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import actbench
from actbench import UserError
from actbench.api import source
from actbench.store import correctness

TINY = {"train__epochs": 1, "train__threads": 1, "tensorboard": False, "progress": False, "seeds": 2}
NOTEBOOK = Path(__file__).parents[1] / "scripts" / "notebook.ipynb"

CELLS = """
    import math
    import torch.nn.functional as F
    import torch
    from torch import nn
    x = torch.zeros(3)  # a local name of the same spelling is none of its business
    WIDTH, SCALES = 12, {"a": [1.5, None]}
    def scaled(z):
        return SCALES["a"][0] * z
    class Block(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.inner = nn.Linear(width, width)
        def forward(self, x):
            return F.relu(self.inner(x))
"""
NET = """
    class Net(nn.Module):
        def __init__(self, width=12, depth=1):
            super().__init__()
            self.first = nn.Linear(64, width)
            self.blocks = nn.Sequential(*(Block(width) for _ in range(depth)))
            self.last = nn.Linear(width, 10)
            self.factor = math.sqrt(4)
        @torch.no_grad()
        def told(self):
            return WIDTH
        def forward(self, x):
            x = F.relu(self.first(x.flatten(1)))
            return scaled(self.last(self.blocks(x)))
    def bent(z):
        return ((z**2 + 1).sqrt() - 1) / 2 + z
    class Leak(nn.Module):
        def __init__(self, slope=0.3):
            super().__init__()
            self.slope = slope
        def forward(self, z):
            return torch.where(z > 0, z, self.slope * z)
    def make():
        return Leak(0.1)
"""


class Notebook:
    """Cells as IPython runs them: each is a file of its own that is known to `linecache` alone."""

    def __init__(self):
        self.module = types.ModuleType("cells_of_a_test")
        self.number = 0

    def cell(self, text):
        self.number += 1
        name, text = f"/nowhere/cell_{id(self)}_{self.number}.py", textwrap.dedent(text)
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        exec(compile(text, name, "exec"), vars(self.module))
        return self.module


@pytest.fixture
def notebook(monkeypatch):
    made = Notebook()
    monkeypatch.setitem(sys.modules, made.module.__name__, made.module)
    made.cell(CELLS)
    made.cell(NET)
    return made


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def digits():
    loaded = load_digits()
    return loaded.images[:400].astype("uint8"), loaded.target[:400]


def own(home, study="s"):
    return {path.relative_to(home / "outputs" / study / "own").as_posix() for path in
            (home / "outputs" / study / "own").rglob("*") if path.is_file()}  # fmt: skip


# ---------------------------------------------------------------- definitions


def test_the_source_of_a_definition_stands_by_itself(notebook, tmp_path):
    """What is written computes what the object computes, without the notebook."""
    text = source.source_of(notebook.module.Net, "model").text
    (tmp_path / "standing.py").write_text(text)
    there: dict[str, object] = {}
    exec(compile(text, "standing", "exec"), there)
    torch.manual_seed(0)
    ours = notebook.module.Net(depth=2)
    torch.manual_seed(0)
    theirs = there["Net"](depth=2)
    x = torch.randn(5, 64)
    assert torch.equal(ours(x), theirs(x)) and theirs.told() == 12
    assert "zeros" not in text and "bent" not in text  # nothing that it does not use


def test_what_a_definition_uses_is_written_down(notebook, tmp_path):
    """Constants of every plain kind, submodules, definitions without code of their own, and what it took from torch."""
    import torch.utils.checkpoint

    assert torch.utils.checkpoint
    notebook.cell("""
        from __future__ import annotations
        import dataclasses, enum, math
        import numpy as np
        import torch
        import torch.utils.checkpoint
        import torch.nn.functional as F
        from math import inf
        from torch import nn
        PLAIN = {"a": [1, (2.0, None), {"x", "y"}, ()], "b": {}}
        DTYPE, DEVICE, EDGE, COUNT = torch.float64, torch.device("cpu"), np.float64(0.25), np.int32(6)
        @dataclasses.dataclass
        class Config:
            width: int = 5
        class Kind(enum.Enum):
            WIDE = 1
        class Empty(nn.Sequential):
            pass
        class Uses(nn.Module):
            act = staticmethod(F.gelu)
            def __init__(self, config: NotThere = None):
                super().__init__()
                self.layer = Empty(nn.Linear((config or Config()).width, COUNT, dtype=DTYPE, device=DEVICE))
            def forward(self, x):
                run = torch.utils.checkpoint.checkpoint
                return run(self.layer, self.act(x), use_reentrant=False) * EDGE + (inf if PLAIN["b"] else Kind.WIDE.value)
    """)
    text = source.source_of(notebook.module.Uses, "model").text
    (tmp_path / "standing.py").write_text(text)
    code = "import torch, standing; torch.manual_seed(0); n = standing.Uses(); print(n(torch.ones(2, 5).double()).tolist(), standing.PLAIN)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    torch.manual_seed(0)
    ours = notebook.module.Uses()(torch.ones(2, 5).double()).tolist()
    assert done.stdout.startswith(str(ours))
    assert source.source_of(notebook.module.Uses, "model").text == text


def test_a_network_of_a_notebook_is_kept_and_trained(notebook, home, digits):
    module = notebook.module
    found = actbench.compare(
        model=module.Net, data=digits, activations=["own", "gelu", module.bent, module.Leak, module.make],
        study="s", model__depth=2, **TINY,
    )  # fmt: skip
    assert {*found.table.index} == {"own", "gelu", "bent", "Leak", "make"}
    settings = found["bent"].settings
    name = str(settings.model.target).partition(".")[0]
    assert settings.model.params == {"width": 12, "depth": 2} and settings.model.name == "Net"
    assert f"{name}.py=" in settings.model.content
    assert {f"{name}.py", "conf/model/Net.yaml", "conf/activation/bent.yaml", "conf/activation/Leak.yaml"} < own(home)
    assert yaml.safe_load((home / "outputs/s/own/conf/activation/Leak.yaml").read_text())["slope"] == 0.3
    assert yaml.safe_load((found["own"].folder / ".hydra" / "overrides.yaml").read_text())  # as any run has
    assert "cells_of_a_test" not in "".join(path.read_text() for path in home.glob("outputs/s/own/*.py"))

    again = actbench.compare(
        model=module.Net, data=digits, activations=["own", module.bent], study="s", model__depth=2, **TINY
    )
    assert len([*home.glob("outputs/s/*/summary.json")]) == 5 and again.table["n"].max() == 2  # nothing is new

    notebook.cell(NET.replace("sqrt(4)", "sqrt(9)"))  # the cell is edited, and run again
    edited = actbench.compare(model=module.Net, data=digits, activations=["own"], study="s", model__depth=2, **TINY)
    assert len([*home.glob("outputs/s/own/net_*.py")]) == 2 and len(edited.table) == 6
    stored = {run.folder: yaml.safe_load((run.folder / "settings.yaml").read_text())["model"] for run in edited.runs}
    for folder, choice in stored.items():  # each version keeps a file of its own, so that each can go on
        written = yaml.safe_load((home / "outputs/s/own/conf/model" / f"{choice['name']}.yaml").read_text())
        assert written["_target_"] == choice["target"], folder


def test_the_command_goes_on_with_it_once_it_is_trusted(notebook, home, digits, capsys, monkeypatch):
    from actbench.command import more

    module = notebook.module
    actbench.compare(model=module.Net, data=digits, activations=["own", module.bent], study="s", **{**TINY, "seeds": 3})
    with pytest.raises(UserError, match="was trained with code of your own") as error:
        more.main(["outputs/s", "--max-seeds", "4", "--all"])
    assert len(error.value.problems) == 1  # of two configurations
    trust = error.value.problems[0].how.split()[1].removesuffix(",")
    assert more.main(["outputs/s", "--max-seeds", "4", "--all", trust]) == 0
    assert set(actbench.load("s").table["n"]) == {4}
    elsewhere = home / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)  # the arrays that the study keeps are found from any folder
    assert more.main(["../outputs/s", "--max-seeds", "5", "--all", trust]) == 0
    assert set(actbench.load("../outputs/s").table["n"]) == {5}
    capsys.readouterr()


def test_activations_that_torch_has_are_known_by_their_names(home, digits):
    found = actbench.compare(
        data=digits, activations=[nn.GELU, F.silu, torch.tanh, torch.sin, nn.Softshrink, "relu"], study="s",
        model__width=8, **TINY,
    )  # fmt: skip
    assert {*found.table.index} == {"gelu", "silu", "tanh", "sin", "Softshrink", "relu"}
    assert found["gelu"].settings.activation.target == "torch.nn.GELU"
    assert own(home) >= {"conf/activation/sin.yaml", "conf/activation/Softshrink.yaml"}


def test_an_own_activation_never_stands_for_one_of_ours(notebook):
    notebook.cell("def relu(z):\n    return -z")
    found = actbench.compare(
        data="digits", activations=["relu", notebook.module.relu], study="s", model__width=8, **TINY
    )
    assert len(found.table) == 2 and "relu" in found.table.index
    other = next(name for name in found.table.index if name != "relu")
    assert other.startswith("relu_") and found[other].settings.activation.target.endswith(".Applied")


def test_what_cannot_be_written_down_is_refused(notebook, home):
    notebook.cell("""
        table = torch.ones(3)
        class Table(nn.Module):
            def forward(self, x):
                return x @ table
        def within():
            class Inner(nn.Module):
                pass
            return Inner
        class Stale(nn.Module):
            def forward(self, x):
                return x
    """)
    module = notebook.module
    module.Stale.forward.__code__ = module.Stale.forward.__code__.replace(co_varnames=("self", "y"))
    for model, expected in [
        (module.Table, "it uses `table` of the notebook, a Tensor"),
        (module.within(), "is defined within a function"),
        (types.new_class("Made", (nn.Module,)), "model"),
        (module.Stale, "is not what its source says by now"),
    ]:
        with pytest.raises(UserError, match=expected):
            actbench.compare(model=model, activations=["own"], study="s", progress=False)
    assert [*home.iterdir()] == []


def test_a_class_in_a_test_of_ones_own_has_asserts(home, digits, monkeypatch):
    """pytest rewrites them, so that the code that runs is not what the file compiles to."""
    from _pytest.assertion.rewrite import rewrite_asserts

    class Rewriting(importlib.machinery.SourceFileLoader):
        def source_to_code(self, data, path):
            tree = ast.parse(data)
            rewrite_asserts(tree, data)
            return compile(tree, path, "exec")

    text = """
        import torch.nn as nn
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.act, self.out = nn.ReLU(), nn.Linear(64, 10)
            def forward(self, x):
                assert x.ndim == 4
                return self.out(self.act(x.flatten(1)))
    """
    file = home / "test_of_ones_own.py"
    file.write_text(textwrap.dedent(text))
    spec = importlib.util.spec_from_loader(file.stem, Rewriting(file.stem, str(file)))
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, file.stem, module)
    spec.loader.exec_module(module)
    run = actbench.run(model=module.Net, data=digits, activation="own", num_seeds=1, train__epochs=1, progress=False)
    assert run.settings.model.target == "test_of_ones_own.Net"


def test_the_line_of_a_notebook_that_fails_is_shown(notebook, home, digits):
    """Not the file in which it was kept, which is taken back: nothing was trained."""
    notebook.cell("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.out = nn.Linear(63, 10)
            def forward(self, x):
                return self.out(F.relu(x.flatten(1)))
    """)
    with pytest.raises(UserError, match=r"\(in forward: return self\.out\(F\.relu\(x\.flatten\(1\)\)\)\)"):
        actbench.compare(model=notebook.module.Net, data=digits, activations=["own", "tanh"], study="s", **TINY)
    assert not (home / "outputs").exists()


def test_a_class_of_a_module_is_named_and_its_edits_are_noticed(home, digits, monkeypatch):
    monkeypatch.syspath_prepend(home)
    text = textwrap.dedent(CELLS + NET)
    (home / "mynet18.py").write_text(text)
    mynet = importlib.import_module("mynet18")
    try:
        found = actbench.compare(model=mynet.Net, data=digits, activations=["own", mynet.Leak], study="s", **TINY)
        assert found["own"].settings.model.target == "mynet18.Net"
        assert found["Leak"].settings.activation.target == "mynet18.Leak"
        named = actbench.compare(model="mynet18:Net", data=digits, activations=["own"], study="s", **TINY)
        assert named["own"].settings.id == found["own"].settings.id
        (home / "mynet18.py").write_text(text.replace("sqrt(4)", "sqrt(16)"))
        for model in (mynet.Net, "mynet18:Net"):
            with pytest.raises(UserError, match=r"was changed after it was imported"):
                actbench.compare(model=model, data=digits, activations=["own"], study="s", **TINY)
        os.utime(home / "mynet18.py", (0, 0))
        mynet = importlib.reload(mynet)
        again = actbench.compare(model=mynet.Net, data=digits, activations=["own"], study="s", **TINY)
        assert len(again.table) == 3  # another configuration
    finally:
        sys.modules.pop("mynet18", None)


# ---------------------------------------------------------------- data


def test_arrays_datasets_and_files_are_the_same_data(home, digits):
    """Whatever holds them, the same data give the same configuration, with the same results."""
    x, y = digits
    np.savez(home / "mine.npz", x=x, y=y)
    tensors = TensorDataset(torch.from_numpy(x)[:, None], torch.from_numpy(y))
    forms = [(x, y), (torch.from_numpy(x), y.tolist()), tensors, "mine.npz", Path("mine.npz")]
    runs = [
        actbench.run("activation=relu", data=data, study=f"s{k}", num_seeds=1, model__width=8,
                     **{key: value for key, value in TINY.items() if key != "seeds"})
        for k, data in enumerate(forms)
    ]  # fmt: skip
    assert len({run.settings.id for run in runs}) == 1
    assert len({float(run.by_seed["test_accuracy"].iloc[0]) for run in runs}) == 1


def test_a_part_for_the_test_is_taken_as_it_is(digits):
    x, y = digits
    words = np.array([f"class {label}" for label in y])
    for k, data in enumerate(
        [((x[:300], y[:300]), (x[300:], y[300:])), ((x[:300], words[:300]), (x[300:], words[300:]))]
    ):
        run = actbench.run("activation=relu", data=data, study=f"s{k}", num_seeds=1, train__epochs=1, progress=False)
        correct = correctness.read(run.folder)
        assert correct[0].size == 100  # nothing is taken away, and nothing added
    with pytest.raises(UserError, match=r"its dataset: data=loader\.dataset"):
        actbench.run(data=DataLoader(TensorDataset(torch.zeros(4, 3), torch.zeros(4))), progress=False)


def test_a_file_that_changed_is_read_again(home, digits):
    x, y = digits
    options = {"num_seeds": 1, "model__width": 8, "train__epochs": 1, "progress": False, "study": "s"}
    np.savez(home / "mine.npz", x=x, y=y)
    first = actbench.run("activation=relu", data="mine.npz", **options)
    np.savez(home / "mine.npz", x=x[::-1], y=y[::-1])
    second = actbench.run("activation=relu", data="mine.npz", **options)
    assert first.settings.id != second.settings.id


# ---------------------------------------------------------------- a notebook


def test_the_notebook_runs_from_top_to_bottom(home):
    """A real kernel, in which the classes are those of its cells; and the notebook is kept without outputs."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    NotebookClient(notebook, timeout=250, kernel_name="python3", resources={"metadata": {"path": str(home)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    pages = "".join(output.get("data", {}).get("text/html", "") for output in shown)
    assert not [output for output in shown if output["output_type"] == "error" or output.get("name") == "stderr_"]
    assert pages.count("data:image/svg+xml;base64,") == 1 and "[4/4] bent  test accuracy" in pages
    assert any("image/png" in output.get("data", {}) for output in shown)
    (diagnosed,) = next(cell.outputs for cell in notebook.cells if cell.source == "watch.diagnosis()")
    for kind in ("text/plain", "text/html"):  # as `print` shows it, and as the notebook does
        assert "units died" in diagnosed["data"][kind]
        assert "line 8 of the cell that defines Net" in diagnosed["data"][kind]
    assert any(path.name.startswith("net_") for path in home.glob("outputs/notebook/own/*.py"))
