"""Models and augmentation on samples of any shape: what takes them trains, what does not says what it needs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers import build_training, random_splits, settings_of, training_of

from actbench.custom import loading
from actbench.diagnosis import RunHistory
from actbench.diagnosis.overfitting import _remedies
from actbench.errors import UserError
from actbench.train import Control, checks, fit
from actbench.train.networks import build_network

SMALL = ("num_seeds=2", "train.batch_size=20", "train.epochs=2", "train.threads=1")


def splits_of(*shape, background=0.0):
    """Labels that a network can learn: the place of the largest of the first four values."""
    generator = torch.Generator().manual_seed(1)

    def make(n):
        x = torch.randn(n, *shape, generator=generator)
        return x, x.flatten(1)[:, :4].argmax(1)

    (train_x, train_y), (val_x, val_y), (test_x, test_y) = make(200), make(40), make(40)
    return replace(random_splits(), background=background, train_x=train_x, train_y=train_y, val_x=val_x, val_y=val_y,
                   test_x=test_x, test_y=test_y)  # fmt: skip


SHAPES = [(3, 16, 12), (1, 40), (7, 5), (30,), (4,)]


@pytest.mark.parametrize("model", ["mlp", "hybrid"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_fully_connected_networks_train_on_any_shape(monkeypatch, model, shape):
    training = build_training(monkeypatch, splits_of(*shape), *SMALL, f"model={model}", "model.width=16")
    epochs = list(fit(training, control=Control()))
    assert training.network.execution == "stacked"
    first, last = epochs[1].records[0].train_loss, epochs[-1].records[0].train_loss
    assert last < first
    assert {layer.units for layer in epochs[-1].layers} == {16}


@pytest.mark.parametrize("shape", SHAPES[1:], ids=str)
@pytest.mark.parametrize("model", ["cnn", "deep_cnn", "vit"])
def test_networks_of_images_say_that_they_are_for_images(model, shape):
    with pytest.raises(UserError) as caught:
        build_network(settings_of(f"model={model}"), shape, 4, 0)
    assert f"model={model}: is for images (C, H, W), and a sample of this dataset has the shape {shape}" in str(
        caught.value
    )
    assert "model=mlp takes any shape" in caught.value.problems[0].how


@pytest.mark.parametrize("augment", ["shift_rotate", "flip", "crop"])
def test_an_augmentation_of_images_says_that_it_is_for_images(monkeypatch, augment):
    monkeypatch.setattr(loading, "load_splits", lambda *_: splits_of(1, 40))
    with pytest.raises(UserError) as caught:
        checks.check(settings_of(f"augment={augment}", *SMALL))
    assert f"augment={augment}: is for images (C, H, W)" in str(caught.value)


@pytest.mark.parametrize("augment", ["shift_rotate", "flip", "crop"])
@pytest.mark.parametrize("model", ["cnn", "mlp"])
def test_images_of_colours_are_augmented_with_the_background_of_each_channel(augment, model):
    black = torch.tensor([-1.0, 0.5, 2.0]).view(3, 1, 1)
    settings = settings_of(f"augment={augment}", f"model={model}", *SMALL)
    training = training_of(settings, splits_of(3, 16, 12, background=black))
    epochs = list(fit(training, control=Control()))
    assert all(record.train_loss < 5 for record in epochs[-1].records)


def test_no_remedy_augments_what_is_no_image():
    run = RunHistory(settings=settings_of("dropout=0.3"), epochs=(), device="cpu")
    assert "augment=shift_rotate" in _remedies(run, slower=False)
    assert "augment=shift_rotate" not in _remedies(replace(run, images=False), slower=False)
