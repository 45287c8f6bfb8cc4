"""Where something new goes (CONTRIBUTING's table) is true: a throw-away one of each is added to a copy by those files alone.

The copy is listed, composed, built, trained and reported by a process that has never seen the original.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import actbench
from actbench.choices import packaged_conf

FILES = {  # of one addition each, below the copy; no file that is there is changed
    "activation": {
        "conf/activation/throwaway.yaml": """\
# steep·z for z > 0, 0 otherwise
_target_: actbench.activations.throwaway.Throwaway
_partial_: true
steep: 1.5  # >= 1, < 9; its slope
""",
        "actbench/activations/throwaway.py": '''\
"""Steeper than ReLU."""

from torch import Tensor, nn


class Throwaway(nn.Module):
    """steep·max(z, 0)."""

    def __init__(self, steep: float) -> None:
        super().__init__()
        self.steep = steep

    def forward(self, z: Tensor) -> Tensor:
        """f(z), elementwise."""
        return self.steep * z.clamp(min=0)
''',
    },
    "model": {
        "conf/model/throwaway.yaml": """\
# one hidden layer of neurons units
_target_: actbench.models.throwaway.throwaway
_partial_: true
neurons: 6
""",
        "actbench/models/throwaway.py": '''\
"""The smallest network with a unit."""

import math
from collections import OrderedDict

from torch import nn

from actbench.models.layers import Components, layer


def throwaway(components: Components, *, inputs: tuple[int, int, int], classes: int, neurons: int) -> nn.Module:
    """flatten -> hidden1 -> output."""
    hidden = layer(nn.Linear(math.prod(inputs), neurons), activation=components.at(0, 1), components=components)
    output = nn.Linear(neurons, classes)
    return nn.Sequential(OrderedDict([("flatten", nn.Flatten()), ("hidden1", hidden), ("output", output)]))
''',
    },
    "dataset": {
        "conf/dataset/throwaway.yaml": """\
# noise, brighter for one of two classes
_target_: actbench.datasets.throwaway.throwaway
_partial_: true
train_size: null
""",
        "actbench/datasets/throwaway.py": '''\
"""Noise in two kinds."""

import numpy as np

from actbench.datasets.splits import Splits, make_splits


def throwaway(*, train_size: int | None = None) -> Splits:
    """120 images of 10×10 pixels, of which those of class 1 are brighter."""
    labels = np.arange(120) % 2
    pixels = np.random.default_rng(0).integers(0, 128, (120, 10, 10)) + 100 * labels[:, None, None]
    images = pixels.astype(np.uint8)
    return make_splits(
        name="throwaway", note="", train=(images[:80], labels[:80]), test=(images[80:], labels[80:]), val_size=20,
        train_size=train_size, mean=0.4, std=0.2,
    )
''',
    },
    "optimizer": {
        "conf/optimizer/throwaway.yaml": """\
# Adam in the maximum norm
_target_: torch.optim.Adamax
_partial_: true
lr: 0.002
""",
    },
    "scheduler": {
        "conf/scheduler/throwaway.yaml": """\
# lr·factor to lr, epoch by epoch
_target_: torch.optim.lr_scheduler.LinearLR
_partial_: true
interval: epoch
start_factor: 0.5
total_iters: 2
""",
    },
    "clip": {
        "conf/clip/throwaway.yaml": """\
# nothing that is large is let through
_target_: actbench.clipping.clip_value
_partial_: true
clip_value: 0.01
""",
    },
    "init": {
        "conf/init/throwaway.yaml": """\
# all weights within ±bound
_target_: actbench.inits.throwaway
_partial_: true
gain: auto
bound: 0.2
""",
    },
    "norm": {
        "conf/norm/throwaway.yaml": """\
# each unit is taken from its mean over the batch
_target_: actbench.models.layers.throwaway
_partial_: true
eps: 0.001
""",
    },
    "augment": {
        "conf/augment/throwaway.yaml": """\
# each training image is mirrored, or not
_target_: actbench.augment.throwaway
_partial_: true
share: 0.5
""",
    },
    "experiment": {
        "conf/experiment/throwaway.yaml": """\
# @package _global_
# a set-up that nobody needs: three epochs of the throw-away data
defaults:
  - override /dataset: throwaway
train:
  epochs: 3
""",
    },
    "sweep": {
        "conf/sweep/throwaway.yaml": """\
# @package _global_
# two learning rates: actbench -m +sweep=throwaway
hydra:
  sweeper:
    params:
      optimizer.lr: 0.001,0.01
""",
    },
    "finding": {
        "actbench/diagnosis/throwaway.py": '''\
"""Found in every run."""

from actbench.diagnosis.history import RunHistory
from actbench.diagnosis.rule import Rule
from actbench.records import Finding

RULE = Rule(
    code="throw-away", rank=1, summary="It is a test.", what="Always.", why="It is not.", example="actbench",
    remedy="seed=7.",
)


def find(run: RunHistory) -> Finding | None:
    """One finding, whatever the run is like."""
    return Finding(symptom="thrown away", evidence=f"{run.settings.train.epochs} epochs", cause="A test.", remedies=("seed=7",))
''',
    },
    "measure": {
        "actbench/measures/throwaway.py": '''\
"""A number that is always the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from actbench.measures.quantities import OfLayer, measured

if TYPE_CHECKING:
    from torch import Tensor

    from actbench.measures.look import Look


@dataclass(frozen=True)
class ThrowawayRecord(OfLayer):
    """A row of `throwaway.csv`."""

    table: ClassVar[str] = "throwaway"
    taken: ClassVar[str] = "before training and after every epoch"
    order: ClassVar[int] = 900

    highest: float = measured("The largest output of the layer.", title="highest output", digits=4)
    throwaway: float = measured(
        "Four tenths, which is thrown away.", title="thrown away", over_layers="mean", tag="throwaway/{layer}",
        summary="throwaway_mean",
    )


class Observer:
    """The largest output of a site."""

    highest: Tensor | None = None

    def update(self, z: Tensor, h: Tensor, slope: Tensor) -> None:
        """Of some samples."""
        assert z.shape == h.shape == slope.shape
        here = h.flatten(1).amax(1)  # (S,)
        self.highest = here if self.highest is None else here.maximum(self.highest)

    def finish(self) -> Tensor:
        """Of all: (S,)."""
        assert self.highest is not None
        return self.highest


def after_epoch(look: Look) -> Iterator[ThrowawayRecord]:
    """A row for each seed and layer."""
    for layer, highest in look.observed(Observer).items():
        for seed, value in zip(look.seeds, highest.tolist(), strict=True):
            yield ThrowawayRecord(seed, look.epoch, layer, value, 0.4)
''',
    },
    "plot": {
        "actbench/report/plots/throwaway.py": '''\
"""A line from nowhere to nowhere."""

from matplotlib.figure import Figure

from actbench.errors import Problem
from actbench.report.comparison import Comparison
from actbench.report.drawing import Drawing

SECTION = "results"
ORDER = 999


def draw(comparison: Comparison, problems: list[Problem]) -> Drawing:
    """The same for every comparison."""
    figure = Figure(figsize=(1, 1))
    figure.subplots().plot([0, 1])
    return Drawing(figure, "Thrown away.")
''',
    },
}  # fmt: skip

LINES = {  # what is a line, or a function, in a file that is there: file -> what it comes behind, what is added
    "init": [
        ("actbench/inits.py", "", '''


def throwaway(weight: Tensor, *, gain: float, generator: torch.Generator, bound: float) -> None:
    """U(-bound, bound)."""
    nn.init.uniform_(weight, -bound, bound, generator=generator)
'''),
    ],
    "norm": [
        ("actbench/models/layers.py", "", '''


def throwaway(units: int, *, spatial: bool, eps: float) -> nn.Module:
    """Batch normalisation without parameters."""
    return (nn.BatchNorm2d if spatial else nn.BatchNorm1d)(units, eps=eps, affine=False)
'''),
    ],
    "augment": [
        ("actbench/augment.py", "", '''


def throwaway(
    images: Tensor, *, generators: Sequence[torch.Generator], background: float, share: float
) -> Tensor:
    """About that share of the images (S, B, C, H, W), left to right."""
    drawn = [torch.rand(images.shape[1], generator=generator, device=images.device) for generator in generators]
    return torch.where((torch.stack(drawn) < share)[:, :, None, None, None], images.flip(-1), images)
'''),
    ],
    "plain key": [
        ("conf/config.yaml", "train:\n", "  throwaway: 7  # 7 | 8; nobody reads it\n"),
        ("actbench/settings.py", '    engine: str = "auto"\n', "    throwaway: int = 7\n"),
    ],
}  # fmt: skip

GROUPS = ("activation", "model", "dataset", "optimizer", "scheduler", "clip", "init", "norm", "augment")


RUNS = """
import contextlib, io, json, sys
import actbench
from actbench import cli
from hydra.core.global_hydra import GlobalHydra
answers = [actbench.__file__]
for line in json.loads(sys.argv[1]):
    sys.argv = ["actbench", *line]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
    GlobalHydra.instance().clear()
    answers.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(answers))
"""

CHOSEN = [f"{group}=throwaway" for group in GROUPS]
SMALL = ["train.epochs=2", "train.batch_size=20", "num_seeds=2", "train.threads=1", "study=s"]
COMMANDS = {
    **{group: ["list", group] for group in (*GROUPS, "experiment", "sweep", "measures", "findings")},
    "run": [*CHOSEN, *SMALL, "train.throwaway=8"],
    "wrong key": [*CHOSEN, *SMALL, "train.throwaway=9", "activation.steep=0.5"],
    "experiment's run": ["experiment=throwaway", *SMALL[1:-1], "study=e"],
    "sweep's runs": ["-m", "+sweep=throwaway", *CHOSEN, *SMALL],
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Command -> (exit code, what it printed, what it complained about), of the copy; and where it was typed."""
    tree, home = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("home")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(actbench.__file__).parent, tree / "actbench", ignore=ignored)
    shutil.copytree(packaged_conf(), tree / "conf", ignore=ignored, dirs_exist_ok=True)
    for files in FILES.values():
        for name, text in files.items():
            assert not (tree / name).exists()
            (tree / name).write_text(text)
    for pattern, behind, text in (line for lines in LINES.values() for line in lines):
        (path,) = [path for path in tree.glob(pattern) if behind in path.read_text()]
        before, middle, after = path.read_text().partition(behind) if behind else (path.read_text(), "", "")
        path.write_text(before + middle + text + after)
    environment = {**os.environ, "PYTHONPATH": str(tree), "COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUNS, json.dumps([*COMMANDS.values()])],
        cwd=home, env=environment, capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    where, *told = json.loads(done.stdout.splitlines()[-1])
    assert where == str(tree / "actbench" / "__init__.py")
    return dict(zip(COMMANDS, told, strict=True)), home


@pytest.fixture(scope="module")
def run(answers):
    """The folder of the run in which everything is new."""
    told, home = answers
    code, _, err = told["run"]
    assert (code, err) == (0, "")
    (folder,) = [path.parent for path in home.glob("outputs/s/*/settings.yaml") if "throwaway: 8" in path.read_text()]
    return folder


@pytest.mark.parametrize("group", GROUPS)
def test_a_choice_is_listed_and_trained_by_its_file(answers, run, group):
    told, _ = answers
    code, out, err = told[group]
    said = FILES[group][f"conf/{group}/throwaway.yaml"].splitlines()[0].removeprefix("# ")
    assert (code, err) == (0, "")
    assert f"throwaway {said}" in " ".join(out.split())
    settings = yaml.safe_load((run / "settings.yaml").read_text())
    assert settings[group]["name"] == "throwaway"
    assert json.loads((run / "summary.json").read_text())["status"] == "completed"


def test_an_experiment_is_listed_and_trained(answers):
    told, home = answers
    assert "a set-up that nobody needs" in " ".join(told["experiment"][1].split())
    code, _, err = told["experiment's run"]
    assert (code, err) == (0, "")
    found = [yaml.safe_load(path.read_text()) for path in home.glob("outputs/e/*/settings.yaml")]
    assert [(one["dataset"]["name"], one["train"]["epochs"]) for one in found] == [("throwaway", 3)]


def test_a_preset_is_listed_swept_and_compared(answers):
    told, home = answers
    assert "throwaway" in told["sweep"][1]
    code, _, err = told["sweep's runs"]
    assert (code, err) == (0, "")
    with (home / "outputs/s/report/results.csv").open(newline="") as file:
        assert {float(row["optimizer.lr"]) for row in csv.DictReader(file)} == {0.001, 0.002, 0.01}


def test_a_plain_key_is_held_to_its_rule_stored_and_part_of_the_identity(answers, run):
    told, home = answers
    code, _, err = told["wrong key"]
    assert code == 2
    assert "train.throwaway=9" in err and "7 or 8" in err
    assert "activation.steep=0.5: must be a number from 1 to below 9" in err
    assert yaml.safe_load((run / "settings.yaml").read_text())["train"]["throwaway"] == 8
    others = [yaml.safe_load(path.read_text()) for path in home.glob("outputs/s/*/settings.yaml") if path.parent != run]
    assert {other["train"]["throwaway"] for other in others} == {7}
    assert yaml.safe_load((run / "settings.yaml").read_text())["id"] not in {other["id"] for other in others}


def test_a_finding_is_listed_found_and_reported(answers, run):
    told, home = answers
    assert "throw-away" in told["findings"][1] and "It is a test." in told["findings"][1]
    (finding, *_) = json.loads((run / "summary.json").read_text())["findings"]
    assert (finding["code"], finding["symptom"], finding["evidence"]) == ("throw-away", "thrown away", "2 epochs")
    assert "thrown away" in told["run"][1]
    assert "thrown away" in (home / "outputs/s/report/report.html").read_text()


def test_a_measurement_is_in_the_glossary_in_its_table_in_the_summary_and_in_the_report(answers, run):
    told, home = answers
    assert "Four tenths, which is thrown away." in " ".join(told["measures"][1].split())
    with (run / "throwaway.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["seed"], row["epoch"]) for row in rows} == {(s, e) for s in "01" for e in "012"}
    assert {float(row["throwaway"]) for row in rows} == {0.4}
    assert json.loads((run / "summary.json").read_text())["metrics"]["throwaway_mean"]["values"] == [0.4, 0.4]
    assert all(float(row["highest"]) > 0 for row in rows)
    _, table = (home / "outputs/s/report/report.md").read_text().split("throwaway\n")
    last = [float(row["highest"]) for row in rows if row["epoch"] == "2"]
    assert "highest output" in table and f"{sum(last) / 2:.4f}" in table


def test_a_plot_is_in_the_report(answers):
    _, home = answers
    for kind in ("svg", "png"):
        assert (home / "outputs/s/report/plots" / f"throwaway.{kind}").stat().st_size > 100
    assert "Thrown away." in (home / "outputs/s/report/report.md").read_text()
