"""Settings and parts without the command line."""

from __future__ import annotations

import csv
import math
import re
from dataclasses import asdict, fields, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir

from actbench.choices import packaged_conf
from actbench.command import composing
from actbench.datasets import Splits
from actbench.measures.layers import LayerRecord
from actbench.measures.scores import EpochRecord
from actbench.records import Epoch, Estimate, RunSummary
from actbench.settings import Choice, Settings
from actbench.store import correctness
from actbench.store.folder import RunFolder
from actbench.train import build


@cache
def settings_of(*overrides: str) -> Settings:
    """The settings that the command line would give."""
    composing.register()
    with initialize_config_dir(str(packaged_conf()), version_base="1.3"):
        composed = compose("config", overrides=["study=test", *overrides], return_hydra_config=True)
        return composing.to_settings(composing.without_hydra(composed), composed.hydra.runtime.choices)


def activation_files() -> list[Path]:
    """The files of activations; `own` is none, but says that a network keeps those that it has."""
    return [path for path in sorted((packaged_conf() / "activation").glob("*.yaml")) if path.stem != "own"]


def activation_choice(name: str, **changed) -> Choice:
    """What `activation=NAME` chooses, with parameters changed: read from its file, since composing takes its time."""
    content = dict(yaml.safe_load((packaged_conf() / "activation" / f"{name}.yaml").read_text(encoding="utf-8")))
    params = {key: value for key, value in content.items() if key not in ("_target_", "_partial_")}
    assert set(changed) <= set(params), f"{name} has {sorted(params)}"
    return Choice(name, content["_target_"], {**params, **changed})


def random_splits(train: int = 100, side: int = 8, classes: int = 4) -> Splits:
    """Small random images with labels that a network can learn: the brightest quadrant."""
    g = torch.Generator().manual_seed(7)

    def make(n):
        x = torch.randn(n, 1, side, side, generator=g)
        half = side // 2
        sums = torch.stack(
            [x[:, :, i : i + half, j : j + half].sum((1, 2, 3)) for i in (0, half) for j in (0, half)], 1
        )
        return x, sums[:, :classes].argmax(1)

    (train_x, train_y), (val_x, val_y), (test_x, test_y) = make(train), make(40), make(40)
    return Splits(
        name="random", note="", classes=classes, background=0.0,
        train_x=train_x, train_y=train_y, val_x=val_x, val_y=val_y, test_x=test_x, test_y=test_y,
    )  # fmt: skip


def own_module(folder: Path, source: str) -> str:
    """A module in this folder, and in no other of this process: Python imports a name once. Returns its name."""
    name = f"net_{re.sub('[^a-z0-9]', '_', folder.name.lower())}_{folder.parent.name.replace('-', '_')}"
    (folder / f"{name}.py").write_text(source)
    return name


def in_double(splits: Splits) -> Splits:
    return replace(splits, **{name: getattr(splits, name).double() for name in ("train_x", "val_x", "test_x")})


def build_training(_monkeypatch, splits: Splits, *overrides: str):
    """What a configuration trains with, on given splits; in float64 where the splits are."""
    return training_of(settings_of(*overrides), splits)


def training_of(settings: Settings, splits: Splits):
    """What a run with these settings trains with, on given splits; in float64 where the splits are."""
    plain = build.build_network
    with pytest.MonkeyPatch.context() as patch:  # one of its own: what the caller has patched stays
        patch.setattr(build, "load_splits", lambda _: splits)
        if splits.train_x.dtype == torch.float64:
            patch.setattr(build, "build_network", lambda *a: plain(*a).double())
        return build.build(settings)


def fake_run(
    folder: Path, settings: Settings, accuracies, *, validation=None, diverged=None, status="completed", dead=0.1,
    time="2026-01-01T00:00:00", tables=None, more_metrics=None, images=0, **other,
):  # fmt: skip
    """A run's folder as `run` leaves it, without training: the test accuracy of each seed, straight learning curves.

    `accuracies` has one for each seed of the settings, `validation` likewise (by default half a point below);
    `diverged` maps a seed to an epoch; `tables` maps a kind of record to the rows of its file, `more_metrics` a metric
    to its values; `other` are fields of the summary. With `images`, so many test images are in `correct.npz`; accuracies
    have to be multiples of 100 / images then.
    """
    diverged = diverged or {}
    epochs = settings.train.epochs if status == "completed" else 1
    values = [math.nan if seed in diverged else a for seed, a in zip(settings.seeds, accuracies, strict=True)]
    validation = validation or [v - 0.5 for v in values]
    done = []
    for epoch in range(epochs + 1):
        share = (epoch + 1) / (epochs + 1)
        records = [
            EpochRecord(seed, epoch, 1e-3, 2.0 - share, 90.0 * share, 2.1 - share, a * share, 1.0, 0.5)
            for seed, a in zip(settings.seeds, validation, strict=True)
        ]
        layers = [
            LayerRecord(seed, epoch, layer, 16, dead * share, 0.1, 0.1, 0.5, 0.0, 1.0, 1.0)
            for seed in settings.seeds for layer in ("hidden1", "hidden2")
        ]  # fmt: skip
        done.append(Epoch(number=epoch, rows=(*(records if epoch else ()), *layers)))
    metrics = {"test_accuracy": values, "test_loss": [2 - v / 100 for v in values]} if status == "completed" else {}
    metrics |= {
        "val_accuracy": validation
        if status == "completed"
        else [done[-1].records[k].val_accuracy for k in range(len(values))]
    }
    ratios = ("dead_ratio", "dormant_ratio", "saturated_ratio", "active_ratio")
    metrics |= {ratio: [dead for _ in values] for ratio in ratios}
    metrics |= {
        name: [0.5 + 0.01 * seed for seed in settings.seeds] for name in ("val_loss", "train_loss", "grad_norm")
    }
    metrics |= {"train_accuracy": [90.0 for _ in values], **(more_metrics or {})}
    summary = RunSummary(
        **{
            "status": status, "id": settings.id, "label": settings.label, "dataset": settings.dataset.name,
            "dataset_note": "", "activation": settings.activation.name,
            "upper_activation": settings.upper_activation.name, "seeds": tuple(settings.seeds), "diverged": diverged,
            "epochs_done": epochs, "parameters": 1234, "metrics": {k: Estimate.of(v) for k, v in metrics.items()},
            "seconds": {"total": 0.6 * epochs, "train": 0.5 * epochs, "eval": 0.1 * epochs},
            "samples_per_second": 1000.0, "execution": "stacked", "device": "cpu", **other,
        }
    )  # fmt: skip
    folder.mkdir(parents=True)
    files = RunFolder(folder)
    files.write_settings(settings)
    files.write_environment(
        {
            "time": time,
            "argv": ["actbench", "-m", "activation=relu,gelu"],
            "device": "cpu",
            "packages": {"actbench": "0.1.0", "torch": "2.15.0"},
        }
    )
    files.write_epochs(done)
    if images:
        sound = [seed for seed in settings.seeds if seed not in diverged]
        right = [round(value * images / 100) for value in values if not math.isnan(value)]
        correctness.write(folder, sound, correct_images(right, images, salt=settings.activation.name))
    files.write_summary(summary)
    for kind, rows in (tables or {}).items():
        _write_table(folder / f"{kind.table}.csv", kind, rows)
    return folder


def correct_images(right, images, *, salt="", alike=0.9):
    """(S, images): which are classified correctly, so many by each seed; `alike` is how much all agree on hard ones."""
    hard = np.random.default_rng(0).random(images)
    rng = np.random.default_rng(list(salt.encode()))
    correct = np.zeros((len(right), images), dtype=bool)
    for row, number in zip(correct, right, strict=True):
        row[np.argsort(alike * hard + (1 - alike) * rng.random(images))[:number]] = True
    return correct


def _write_table(path: Path, kind: type, rows) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(kind)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def shell_words_in(texts):
    """What only somebody at a shell can use, in messages for somebody who works in Python."""
    said = [
        re.sub(r"in a shell, actbench (list|--)|what `actbench [^`]*` shows in a shell", "", text) for text in texts
    ]
    words = r"(?<![\w-])--[a-z]\w*|(?<![\w-])-m\b|\bactbench (?:list|more|report|try|open|-|[\w./+]+=)"
    return [found for text in said for found in re.findall(rf"{words}|(?:the|same|this) command\b|\btyped\b", text)]
