"""Datasets of torch and torchvision become samples in memory, each once with its label; what they lack is told."""

from __future__ import annotations

import bz2
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from actbench.custom import loading, source_files
from actbench.datasets import Unavailable, library, torchvision
from actbench.datasets.checks import check_splits
from actbench.datasets.materialise import materialised
from actbench.datasets.on_disk import header_of
from actbench.errors import UserError
from actbench.settings import Choice

RNG = np.random.default_rng(0)


class Items(Dataset):
    """A dataset of some items."""

    def __init__(self, items, length=None):
        self.items, self.length = items, len(items) if length is None else length

    def __len__(self):
        return self.length

    def __getitem__(self, row):
        return self.items[row]() if callable(self.items[row]) else self.items[row]


def image(colour=True, height=6, width=5):
    return Image.fromarray(RNG.integers(0, 256, (height, width, 3) if colour else (height, width), dtype=np.uint8))


# ---------------------------------------------------------------- materialised


@pytest.mark.parametrize(
    ("make", "shape", "dtype"),
    [
        (lambda: image(), (3, 6, 5), np.uint8),
        (lambda: image(colour=False), (1, 6, 5), np.uint8),
        (lambda: torch.rand(3, 6, 5), (3, 6, 5), np.float32),
        (lambda: torch.rand(7), (7,), np.float32),
        (lambda: torch.rand(7).bfloat16(), (7,), np.float32),
        (lambda: np.random.rand(4, 2), (4, 2), np.float64),
        (lambda: [1.0, 2.0, 3.0], (3,), np.float64),
    ],
)
@pytest.mark.parametrize("label", [3, "cat", torch.tensor(3), torch.tensor([3]), np.int64(3), np.array(3), True])
def test_samples_and_labels_of_any_kind(make, shape, dtype, label):
    items = [(make(), label) for _ in range(5)]
    samples, remark = materialised(Items(items), "mine")
    assert (samples.x.shape, samples.x.dtype, remark) == ((5, *shape), dtype, "")
    assert samples.y.tolist() == ["cat" if label == "cat" else 1 if label is True else 3] * 5
    for x, (sample, _) in zip(samples.x, items, strict=True):
        if isinstance(sample, Image.Image):
            pixels = np.asarray(sample)
            assert np.array_equal(x, pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))
        else:
            assert np.array_equal(x, np.asarray(torch.as_tensor(sample, dtype=torch.float64)).astype(dtype))


def test_one_image_of_colours_makes_all_of_colours_and_a_size_brings_all_to_one():
    items = [(image(colour=False), 0), (image(), 1), (image(height=9, width=9), 1)]
    samples, _ = materialised(Items(items), "mine", size=4)
    assert samples.x.shape == (3, 3, 4, 4)
    assert materialised(Items(items[:1]), "mine", size=4, like=samples)[0].x.shape == (1, 3, 4, 4)


def test_one_coloured_image_after_many_grey_ones_makes_all_of_colours(monkeypatch):
    monkeypatch.setattr(sys.modules["actbench.datasets.materialise"], "_LOOKED_AT", 2)
    items = [(image(colour=False), 0), (image(colour=False), 1), (image(colour=False), 0), (image(), 1)]
    samples, _ = materialised(Items(items), "mine")
    assert np.array_equal(samples.x[3], np.asarray(items[3][0]).transpose(2, 0, 1)) and samples.y.tolist() == [
        0,
        1,
        0,
        1,
    ]
    assert all((x == np.asarray(grey)).all() for x, (grey, _) in zip(samples.x[:3], items[:3], strict=True))


def test_samples_that_are_drawn_anew_are_told():
    _, remark = materialised(Items([(lambda: (torch.rand(3), 0)), (torch.rand(3), 1)]), "mine")
    assert "drawn anew at each access" in remark


class NoLength(Dataset):
    def __getitem__(self, row):
        return torch.rand(3), 0


class Endless(IterableDataset):
    def __iter__(self):
        return iter([])


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        (NoLength(), "has no length"),
        (Endless(), "has no items by number"),
        (Items([]), "has 0 samples"),
        (Items([(torch.rand(3), 0)], length=4), "has no sample 1, although its length is 4"),
        (Items([torch.rand(3)]), "returns a Tensor for sample 0"),
        (Items([(torch.rand(3), 0, 1)]), "returns 3 things for sample 0"),
        (Items([{"image": 1, "label": 2}]), "returns a dict (image, label) for sample 0"),
        (Items([(torch.rand(3), 0), (torch.rand(4), 0)]), "sample 1 has the shape (4,), sample 0 (3,)"),
        (Items([(image(), 0), (image(height=7), 0)]), "sample 1 has 7×5 pixels, sample 0 6×5\n    dataset.size=64"),
        (Items([(image(), 0), (torch.rand(3), 0)]), "sample 1 is a Tensor, sample 0 an image"),
        (Items([([1, 2], 0), ([1.5, 2.5], 0)]), "sample 1 is of the type float64, sample 0 of int64"),
        (Items([(Image.fromarray(np.ones((4, 4), np.float32)), 0)]), "sample 0 is no image that can be read"),
        (Items([("a word", 0)]), "sample 0 is a str"),
        (Items([(torch.rand(2, 3, 4, 5), 0)]), "sample 0 has the shape (2, 3, 4, 5)"),
        (Items([(torch.rand(3), 0.5)]), "the label of sample 0 is 0.5, a float"),
        (Items([(torch.rand(3), torch.tensor(0.5))]), "the label of sample 0 is 0.5, a float"),
        (Items([(torch.rand(3), None)]), "the label of sample 0 is None, a NoneType"),
        (Items([(torch.rand(3), "")]), "the label of sample 0 is '', a str"),
        (Items([(torch.rand(3), torch.tensor([0, 1]))]), "the label of sample 0 has the shape (2,)"),
    ],
)
def test_what_a_dataset_lacks(dataset, said):
    with pytest.raises(UserError) as caught:
        materialised(dataset, "mine")
    assert said in str(caught.value) and str(caught.value).startswith("mine: ") and caught.value.problems[0].how


def test_a_tensor_dataset():
    x, y = torch.rand(9, 4), torch.arange(9) % 3
    samples, _ = materialised(TensorDataset(x, y), "mine")
    assert np.array_equal(samples.x, x.numpy()) and samples.y.tolist() == y.tolist()


# ---------------------------------------------------------------- torchvision


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A data folder, and no network."""
    import torchvision as installed

    def offline(*_arguments, **_named):
        raise OSError("no network here")

    for module in ("mnist", "usps", "cifar", "svhn", "utils"):
        found = getattr(installed.datasets, module)
        for name in ("download_url", "download_and_extract_archive", "_urlretrieve"):
            if hasattr(found, name):
                monkeypatch.setattr(found, name, offline)
    monkeypatch.setenv("ACTBENCH_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def test_emnists_letters_are_numbered_from_0_and_upright(root):
    """Its labels go from 1 to 26, and its files have rows and columns exchanged."""
    images, labels = RNG.integers(0, 256, (104, 28, 28), dtype=np.uint8), (np.arange(104) % 26 + 1).astype(np.uint8)
    (root / "EMNIST" / "raw").mkdir(parents=True)
    for use in ("train", "test"):
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            path = root / "EMNIST" / "raw" / f"emnist-letters-{use}-{kind}-ubyte"
            path.write_bytes(header_of(array.shape) + array.tobytes())
    splits = torchvision(name="emnist", split="letters", scaling="none")
    check_splits(splits, "EMNIST")
    assert splits.labels == tuple("abcdefghijklmnopqrstuvwxyz") and splits.name == "EMNIST letters"
    assert torch.equal(splits.test_y, torch.arange(104) % 26)
    assert torch.equal(splits.test_x[:, 0], torch.from_numpy(images).transpose(1, 2).float())


def test_usps_is_read_from_where_torchvision_has_it(root):
    for name, number in (("usps.bz2", 60), ("usps.t.bz2", 20)):
        rows = RNG.uniform(-1, 1, (number, 256))
        lines = [
            f"{n % 10 + 1} " + " ".join(f"{k + 1}:{v:.4f}" for k, v in enumerate(row)) for n, row in enumerate(rows)
        ]
        (root / name).write_bytes(bz2.compress("\n".join(lines).encode()))
    splits = torchvision(name="USPS")
    assert splits.inputs == (1, 16, 16) and splits.classes == 10 and len(splits.test_y) == 20


@pytest.mark.parametrize("name", ["CIFAR10", "cifar-100", "SVHN", "STL10", "EMNIST", "ImageNet"])
def test_what_is_not_on_disk_and_cannot_be_downloaded(root, name):
    split = {"split": "letters"} if name == "EMNIST" else {}
    with pytest.raises(Unavailable) as caught:
        torchvision(name=name, **split)
    said = str(caught.value)
    assert f"is not in {root}" in said and "ACTBENCH_DATA" in said
    assert "downloaded" in said or "does not download" in said


@pytest.mark.parametrize(
    ("params", "where", "said"),
    [
        ({}, "dataset.name", "is missing"),
        ({"name": "COCO"}, "dataset.name", "no classification dataset COCO that is known here"),
        ({"name": "ImageFolder"}, "dataset.name", "no classification dataset ImageFolder"),
        ({"name": "EMNIST"}, "dataset.split", "is missing"),
        ({"name": "EMNIST", "split": "words"}, "dataset.split", "EMNIST has no split words"),
        ({"name": "CIFAR10", "split": "letters"}, "dataset.split", "is for EMNIST, not CIFAR10"),
    ],
)
def test_names_that_are_none(params, where, said):
    with pytest.raises(UserError) as caught:
        torchvision(**params)
    assert caught.value.problems[0].where == where and said in caught.value.problems[0].what


def test_every_dataset_that_is_named_is_one_of_torchvisions():
    """And has the parameters with which it is called."""
    import inspect

    import torchvision as installed

    for name, parts in library._DATASETS.items():
        parameters = inspect.signature(getattr(installed.datasets, name).__init__).parameters
        for part in parts:
            if name != "EMNIST":
                assert {*(part or {})} <= {*parameters}, name


# ---------------------------------------------------------------- the user's own


MODULE = """
import torch
from torch.utils.data import Dataset, TensorDataset

class Points(Dataset):
    classes = ["left", "right"]
    def __init__(self, number=40, train=True):
        self.number = number if train else 10
        g = torch.Generator().manual_seed(int(train))
        self.x = torch.randn(self.number, 3, generator=g)
    def __len__(self):
        return self.number
    def __getitem__(self, row):
        return self.x[row], row % 2

class Parts(Points):
    def __init__(self, split):
        if split not in ("train", "test"):
            raise ValueError(split)
        super().__init__(train=split == "train")

class NoTest(Points):
    def __init__(self, split):
        if split not in ("train", "valid"):
            raise ValueError(split)
        super().__init__(train=split == "train")

def whole():
    return Points()

def pair():
    return Points(), Points(train=False)

def three():
    return {"train": Points(), "val": Points(train=False), "test": Points(12)}

def broken():
    return Points(), 3
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = [*sys.path]
    (tmp_path / "own_points.py").write_text(MODULE)

    def of(name, **params):
        loading._loaded.cache_clear()
        source_files.content.cache_clear()
        choice = Choice("mine", f"own_points.{name}", params)
        return loading.load_splits(choice, ("own_points",)), loading.content(choice, ("own_points",))

    yield of
    sys.path[:] = path
    sys.modules.pop("own_points", None)
    loading._loaded.cache_clear()


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("whole", (28, 4, 8)),
        ("pair", (36, 4, 10)),
        ("three", (40, 10, 12)),
        ("Points", (36, 4, 10)),
        ("Parts", (36, 4, 10)),
        ("NoTest", (36, 4, 10)),
    ],
)
def test_a_dataset_of_ones_own_is_taken_as_it_comes(load, name, sizes):
    splits, content = load(name)
    check_splits(splits, "mine")
    assert (len(splits.train_y), len(splits.val_y), len(splits.test_y)) == sizes
    assert (splits.name, splits.labels, splits.inputs) == ("mine", ("left", "right"), (3,))
    assert content


def test_parameters_go_to_whom_they_belong(load):
    small, content = load("Points", number=20, scaling="none", train_size=6)
    assert len(small.train_y) == 6 and len(small.val_y) == 2
    g = torch.Generator().manual_seed(0)
    assert torch.equal(small.test_x, torch.randn(10, 3, generator=g)), "not scaled"
    assert load("Points", number=20, scaling="standard", train_size=6)[1] != content
    with pytest.raises(UserError, match="broken returned a tuple"):
        load("broken")
    with pytest.raises(UserError, match="unexpected keyword argument 'speed'"):
        load("Points", speed=3)
