"""MNIST-1D has the numbers of its package; MedMNIST is read through its own."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from actbench.datasets import Unavailable, medmnist, mnist1d
from actbench.datasets.checks import check_splits
from actbench.errors import UserError

# ---------------------------------------------------------------- mnist1d

# What `mnist1d.data.make_dataset` of the package mnist1d 0.0.2 gives with `num_samples` 300, and its other defaults.
FIRST = [-0.39569256, -0.59340585, -0.63684689, -0.73042566]  # the first four points of the first curve
LAST = [-1.49248222, -1.44057156, -1.39908847, -1.06459518]  # the last four of the last one
DIGITS = [9, 8, 8, 2, 8, 2, 0, 6, 5, 9]


def test_the_numbers_are_those_of_the_package():
    splits = mnist1d(samples=300, scaling="none")
    check_splits(splits, "mnist1d")
    assert (splits.inputs, splits.classes) == ((1, 40), 10)
    assert [len(y) for y in (splits.train_y, splits.val_y, splits.test_y)] == [
        218,
        22,
        60,
    ]  # in the proportions of the digits
    training = torch.cat([splits.train_x, splits.val_x])[:, 0]
    (place,) = (training[:, :4] - torch.tensor(FIRST)).abs().amax(1).lt(1e-6).nonzero()
    assert torch.cat([splits.train_y, splits.val_y])[place] == DIGITS[0]
    assert torch.allclose(splits.test_x[-1, 0, -4:], torch.tensor(LAST), atol=1e-6)


def test_all_samples_are_scaled_as_one_feature_by_the_training_split():
    plain, standard, unit = (mnist1d(samples=300, scaling=scaling) for scaling in ("none", "standard", "unit"))
    mean, std = plain.train_x.double().mean(), plain.train_x.double().std(correction=0)
    for use in ("train_x", "val_x", "test_x"):
        assert torch.allclose(getattr(standard, use).double(), (getattr(plain, use).double() - mean) / std, atol=1e-5)
    assert (unit.train_x.min(), unit.train_x.max()) == (0, 1)


def test_classes_are_even_and_more_can_be_made():
    splits = mnist1d(samples=1_000, train_size=100)
    assert len(splits.train_y) == 100
    whole = mnist1d(samples=1_000)
    assert torch.bincount(torch.cat([whole.train_y, whole.val_y, whole.test_y])).tolist() == [100] * 10


# ---------------------------------------------------------------- medmnist


class Blood:
    """As the package has it: images (N, 28, 28, 3), labels (N, 1)."""

    def __init__(self, split, root, download=False, size=None):
        if download:
            raise RuntimeError("Automatic download failed!")
        assert size in (None, 64)
        with np.load(f"{root}/bloodmnist{f'_{size}' if size else ''}.npz") as content:
            self.imgs, self.labels = content[f"{split}_images"], content[f"{split}_labels"]


@pytest.fixture
def package(monkeypatch, tmp_path):
    info = {
        "bloodmnist": {"python_class": "Blood", "task": "multi-class", "label": {"0": "basophil", "1": "eosinophil"}},
        "chestmnist": {"python_class": "Chest", "task": "multi-label, binary-class", "label": {"0": "a"}},
        "organmnist3d": {"python_class": "Organ", "task": "multi-class", "label": {"0": "liver"}},
    }
    monkeypatch.setitem(sys.modules, "medmnist", SimpleNamespace(INFO=info, Blood=Blood))
    monkeypatch.setenv("ACTBENCH_DATA", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "medmnist"


def test_a_set_of_medmnist_keeps_its_splits_and_the_names_of_its_labels(package):
    rng = np.random.default_rng(0)
    content = {}
    for use, n in (("train", 30), ("val", 6), ("test", 8)):
        content[f"{use}_images"] = rng.integers(0, 256, (n, 28, 28, 3), dtype=np.uint8)
        content[f"{use}_labels"] = (np.arange(n) % 2).astype(np.uint8)[:, None]
    package.mkdir()
    np.savez(package / "bloodmnist.npz", **content)
    splits = medmnist(name="BloodMNIST", scaling="none")
    check_splits(splits, "bloodmnist")
    assert (splits.inputs, splits.labels) == ((3, 28, 28), ("basophil", "eosinophil"))
    assert [len(y) for y in (splits.train_y, splits.val_y, splits.test_y)] == [30, 6, 8]
    assert np.array_equal(splits.val_x.numpy(), content["val_images"].transpose(0, 3, 1, 2))
    np.savez(package / "bloodmnist.npz", **{key: content[key] for key in content if "val" not in key})
    with pytest.raises(UserError, match=r"is damaged: KeyError"):
        medmnist(name="bloodmnist")


def test_what_medmnist_does_not_have(package, monkeypatch):
    for name, said in (
        (None, "is missing"),
        ("chestmnist", "no set chestmnist"),
        ("organmnist3d", "no set organmnist3d"),
    ):
        with pytest.raises(UserError, match=said) as caught:
            medmnist(name=name)
        assert caught.value.problems[0].how == "one of bloodmnist"
    with pytest.raises(UserError, match="is no size of MedMNIST's images: 32"):
        medmnist(name="bloodmnist", size=32)
    with pytest.raises(Unavailable) as caught:
        medmnist(name="bloodmnist")
    assert f"bloodmnist.npz is not in {package}, and it cannot be downloaded" in str(caught.value)
    monkeypatch.setitem(sys.modules, "medmnist", None)
    with pytest.raises(UserError, match="the package medmnist is not installed") as caught:
        medmnist(name="bloodmnist")
    assert "pip install 'actbench[medmnist]'" in caught.value.problems[0].how
