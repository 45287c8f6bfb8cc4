"""Settings and parts without the command line."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch
from hydra import compose, initialize_config_dir

from actbench import build, config
from actbench.choices import packaged_conf
from actbench.datasets import Splits
from actbench.settings import Settings


@cache
def settings_of(*overrides: str) -> Settings:
    """The settings that the command line would give."""
    config.register()
    with initialize_config_dir(str(packaged_conf()), version_base="1.3"):
        composed = compose("config", overrides=["study=test", *overrides], return_hydra_config=True)
        return config.to_settings(config._without_hydra(composed), composed.hydra.runtime.choices)


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


def in_double(splits: Splits) -> Splits:
    return replace(splits, **{name: getattr(splits, name).double() for name in ("train_x", "val_x", "test_x")})


def build_parts(monkeypatch, splits: Splits, *overrides: str):
    """Parts of a configuration on given splits; in float64 where the splits are."""
    monkeypatch.setattr(build, "load_splits", lambda settings: splits)
    double = splits.train_x.dtype == torch.float64
    if double:
        plain = build.build_network
        monkeypatch.setattr(build, "build_network", lambda *a: plain(*a).double())
    try:
        return build.build(settings_of(*overrides))
    finally:
        monkeypatch.undo()
