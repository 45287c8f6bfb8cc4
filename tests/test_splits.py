"""Data of the user's own are held to the contract of `Splits` where they enter, with everything that is wrong at once."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import random_splits

from actbench.custom import loading, source_files
from actbench.datasets import TRAINING_SAMPLES, make_splits
from actbench.datasets.checks import check_splits
from actbench.errors import UserError
from actbench.settings import Choice

GOOD = random_splits(train=40, side=8, classes=4)
X, Y = GOOD.train_x, GOOD.train_y


def complaints(**changed) -> dict[str, str]:
    """Field -> what is said of it."""
    with pytest.raises(UserError) as caught:
        check_splits(replace(GOOD, **changed), "dataset=mine")
    assert all(problem.where == "dataset=mine" and problem.how for problem in caught.value.problems)
    return {p.what.split("`")[1]: f"{p.what} {p.how}" for p in caught.value.problems}


def with_nan(x):
    x = x.clone()
    x[3, 0, 1, 1] = float("nan")
    x[5, 0, 0, 0] = float("inf")
    return x


def test_good_data_are_good():
    check_splits(GOOD, "dataset=mine")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("train_x", (X * 255).byte(), "uint8, not float32"),
        ("train_x", X.double(), "float64, not float32 .float()"),
        ("train_x", X.half(), "float16"),
        ("train_x", X.numpy(), "is a ndarray, not a tensor"),
        ("train_x", None, "is a NoneType"),
        ("val_x", X.squeeze(1), "has samples of (8, 8), `train_x` of (1, 8, 8)"),
        ("train_x", X.flatten(), "(2560,), not (N, C, H, W), (N, T, F) or (N, F)"),
        ("train_x", X[None], "(1, 40, 1, 8, 8), not (N, C, H, W)"),
        ("train_x", torch.zeros(40, 32, 32, 3), "looks like (N, H, W, C), not (N, C, H, W) .permute(0, 3, 1, 2)"),
        ("train_x", torch.zeros(40, 28, 28, 1), "looks like (N, H, W, C)"),
        ("train_x", torch.zeros(40, 20, 28, 4), "looks like (N, H, W, C)"),
        ("train_x", with_nan(X), "NaN or infinite values, in 2 samples, the first is number 3"),
        ("train_x", X.clone().requires_grad_(), "not an ordinary tensor on the CPU"),
        ("train_x", X.to_sparse(), "not an ordinary tensor on the CPU"),
        ("val_x", GOOD.val_x[:0], "is empty"),
        ("test_x", torch.zeros(40, 1, 9, 8), "has samples of (1, 9, 8), `train_x` of (1, 8, 8)"),
        ("train_y", Y.int(), "int32, not int64 .long()"),
        ("train_y", Y.byte(), "uint8, not int64"),
        ("train_y", Y.float(), "float32, not int64"),
        ("train_y", torch.nn.functional.one_hot(Y, 4), "one-hot, or of several labels a sample, not (N,) .argmax(1)"),
        ("train_y", Y[:, None], "(40, 1), not (N,) .flatten()"),
        ("train_y", Y.tolist(), "is a list, not a tensor"),
        ("train_y", Y[:-1], "has 39 labels for the 40 images of `train_x`"),
        ("test_y", GOOD.test_y + 1, "has labels from 1 to 4, and `classes` is 4 labels from 0: subtract 1"),
        ("test_y", GOOD.test_y - 1, "has labels from -1 to 2, and `classes` is 4 labels from 0"),
        ("test_y", GOOD.test_y * 3, "has labels from 0 to 9, and `classes` is 4 classes=10"),
        ("train_y", Y.clamp(max=2), "has no sample of class 3 of 4"),
        ("classes", 7, "is 7"),
        ("classes", 4.0, "is 4.0, not a number of classes"),
        ("classes", 1, "is 1, not a number of classes"),
        ("classes", True, "is True"),
        ("background", float("nan"), "is nan, not a number"),
        ("background", X, "not a number"),
        ("background", torch.zeros(2, 1, 1), "not a number"),
        ("labels", ("cat", "dog"), "not a word for each class"),
        ("labels", (0, 1, 2, 3), "not a word for each class"),
        ("labels", ["a", "b", "c", "d"], "not a word for each class"),
        ("name", "", "is '', not a name"),
        ("name", "a\x1b[2J", "not a name"),
        ("note", None, "is None, not a text"),
    ],
)  # fmt: skip
def test_each_mistake_names_its_field_and_how_to_mend_it(field, value, said):
    found = complaints(**{field: value})
    if field == "classes" and value == 7:
        assert "no sample of classes 4, 5, 6 of 7" in found["train_y"]
    else:
        assert said in found[field]


def test_all_mistakes_are_told_at_once():
    found = complaints(
        train_x=X.double(), val_x=with_nan(GOOD.val_x), test_x=GOOD.test_x.squeeze(1), train_y=Y[:-1],
        val_y=GOOD.val_y.int(), test_y=GOOD.test_y + 9, background=None, name="",
    )  # fmt: skip
    assert {*found} == {"train_x", "val_x", "test_x", "train_y", "val_y", "test_y", "background", "name"}


def test_letters_from_1_are_not_27_classes():
    y = torch.arange(260) % 26 + 1
    x = torch.zeros(260, 1, 8, 8)
    letters = {"train_x": x, "val_x": x, "test_x": x, "train_y": y, "val_y": y, "test_y": y}
    assert "labels from 0: subtract 1, and classes=26" in complaints(classes=27, **letters)["train_y"]
    assert "labels from 0: subtract 1" in complaints(classes=26, **letters)["train_y"]


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (5, 4), (7,)])
def test_images_of_colours_sequences_and_features_are_good(shape):
    g = torch.Generator().manual_seed(0)
    train, other = torch.randn(len(Y), *shape, generator=g), torch.randn(40, *shape, generator=g)
    black = torch.zeros(3, 1, 1) if shape[0] == 3 else 0.0
    good = replace(GOOD, train_x=train, val_x=other, test_x=other, background=black, labels=("a", "b", "c", "d"))
    check_splits(good, "dataset=mine")
    assert good.inputs == shape


def test_wide_data_are_not_taken_for_colours():
    for shape in ((16, 16, 16), (9, 128, 1), (3, 32, 32), (1, 28, 28), (4, 4, 4), (64, 1, 1)):
        x = torch.zeros(len(Y), *shape)
        more = torch.zeros(40, *shape)
        check_splits(replace(GOOD, train_x=x, val_x=more, test_x=more), "dataset=mine")


# ---------------------------------------------------------------- make_splits


RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.integers(0, 256, (90, 6, 7), dtype=np.uint8), np.arange(90) % 3


def made(images=IMAGES, labels=LABELS, test=None, **more):
    return make_splits(**{"name": "x", "train": (images, labels), "test": test or (IMAGES[:9], LABELS[:9]),
                          "val_size": 15, **more})  # fmt: skip


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.uint64, np.int64])
def test_labels_of_any_width_and_images_of_grey_or_colours(dtype):
    splits = made(labels=LABELS.astype(dtype))
    check_splits(splits, "x")
    assert splits.inputs == (1, 6, 7) and splits.classes == 3
    colours = RNG.integers(0, 256, (90, 6, 7, 3), dtype=np.uint8)
    splits = made(colours, LABELS.astype(dtype), (colours[:9], LABELS[:9]), mean=0.5, std=0.25)
    check_splits(splits, "x")
    assert splits.inputs == (3, 6, 7)
    assert torch.equal(splits.test_x[4, 2], ((torch.from_numpy(colours[4, :, :, 2]).float() / 255) - 0.5) / 0.25)


def test_mean_and_std_are_those_of_the_training_pixels():
    splits = made()
    pixels = IMAGES.astype(np.float64) / 255
    black = -pixels.mean() / pixels.std()
    assert splits.background == pytest.approx(black, rel=1e-12)
    expected = (pixels[:9] - pixels.mean()) / pixels.std()
    assert np.allclose(splits.test_x.numpy()[:, 0], expected, atol=1e-6)


def test_scaling_leaves_the_split_and_changes_what_the_network_is_fed():
    standard, unit, plain = made(), made(scaling="unit"), made(scaling="none")
    pixels = torch.from_numpy(IMAGES[:9]).float().unsqueeze(1)
    assert torch.equal(plain.test_x, pixels) and torch.equal(unit.test_x, pixels / 255)
    assert (plain.background, unit.background) == (0.0, 0.0)
    mean, std = IMAGES.mean() / 255, (IMAGES / 255).std()
    assert torch.allclose(unit.train_x.sub(mean).div(std), standard.train_x, atol=1e-6)
    for other in (unit, plain):
        check_splits(other, "x")
        assert torch.equal(other.train_y, standard.train_y) and torch.equal(other.val_y, standard.val_y)
    black = made(IMAGES * 0, test=(IMAGES[:9], LABELS[:9]), scaling="unit")  # only `standard` divides by their spread
    assert black.train_x.abs().max() == 0
    with pytest.raises(UserError, match="`scaling` is 'minmax'"):
        made(scaling="minmax")


def test_each_sample_is_in_one_split_and_its_label_with_it():
    images = np.repeat(np.arange(90, dtype=np.uint8), 4).reshape(90, 2, 2)  # each image is its number
    splits = made(images, LABELS, (images[:9], LABELS[:9]), mean=0.0, std=1 / 255)
    numbers = [(x[:, 0, 0, 0] * 1).round().int().numpy() for x in (splits.train_x, splits.val_x)]
    assert sorted(np.concatenate(numbers)) == [*range(90)]
    for number, y in zip(numbers, (splits.train_y, splits.val_y), strict=True):
        assert np.array_equal(LABELS[number], y.numpy())
    assert torch.bincount(splits.val_y).tolist() == [5, 5, 5]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"images": IMAGES / 255}, "`train images` are float64, not uint8"),
        ({"images": IMAGES[:, 0]}, "`train images` have the shape (90, 7)"),
        ({"images": IMAGES[:, None]}, "`train images` have the shape (90, 1, 6, 7)"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "`train images` are empty"),
        ({"labels": LABELS[:80]}, "`train labels` are 80, for 90 images"),
        ({"labels": LABELS + 1}, "`train labels` go from 1 to 3, and there is none of 0"),
        ({"labels": LABELS - 1}, "`train labels` go from -1 to 1, and some are negative"),
        ({"labels": LABELS * 2}, "there is none of 1"),
        ({"labels": LABELS * 0}, "`train labels` are all 0"),
        ({"labels": np.eye(3, dtype=int)[LABELS]}, "`train labels` have the shape (90, 3), not (N,)"),
        ({"labels": LABELS.astype(float)}, "`train labels` are float64, not whole numbers"),
        ({"labels": np.array(["a", "b", "c"])[LABELS]}, "np.unique(labels, return_inverse=True)[1]"),
        ({"labels": LABELS.tolist()}, "`train` is not two NumPy arrays"),
        ({"test": (IMAGES[:9], LABELS[:9] + 5)}, "`test labels` have a 5"),
        ({"test": (IMAGES[:9, :, :5], LABELS[:9])}, "`test images` are of (6, 5), those for training of (6, 7)"),
        ({"test": (IMAGES[:0], LABELS[:0])}, "`test images` are empty"),
        ({"val_size": 0}, "`val_size` is 0"),
        ({"val_size": 90}, "a number from 1 to 87"),
        ({"val_size": 0.2}, "`val_size` is 0.2"),
        ({"train_size": 2}, "dataset.train_size=2"),
        ({"train_size": 76}, "a number from 3 to 75"),
        ({"images": IMAGES * 0, "test": (IMAGES[:9], LABELS[:9])}, "all pixels are alike"),
    ],
)
def test_arrays_that_are_not_as_they_should_be(changed, said):
    with pytest.raises(UserError) as caught:
        made(**changed)
    assert said in str(caught.value)


def test_mistakes_in_arrays_are_told_together():
    with pytest.raises(UserError) as caught:
        made(IMAGES / 255, LABELS[:80], (IMAGES[:0], LABELS[:0]))
    assert len(caught.value.problems) == 3


# ---------------------------------------------------------------- where data enter


@pytest.fixture
def loader(tmp_path, monkeypatch):
    """Writes the body of `splits_data.load` and loads it as the command does."""
    monkeypatch.chdir(tmp_path)
    path = [*sys.path]

    def load(body):
        sys.modules.pop("splits_data", None)
        (tmp_path / "splits_data.py").write_text(f"def load(**params):\n    {body}\n")
        loading._loaded.cache_clear()
        source_files.content.cache_clear()
        return loading.load_splits(Choice("mine", "splits_data.load", {}), ("splits_data",))

    yield load
    sys.path[:] = path
    sys.modules.pop("splits_data", None)
    loading._loaded.cache_clear()


def test_own_data_are_checked_and_have_a_content(loader):
    choice, trust = Choice("mine", "splits_data.load", {}), ("splits_data",)
    loader("from helpers import random_splits; return random_splits(train=40)")
    first = loading.content(choice, trust)
    loader("from helpers import random_splits; return random_splits(train=40)  # again")
    assert loading.content(choice, trust) == first
    loader("from dataclasses import replace; from helpers import random_splits as r; s = r(train=40); "
           "s.train_y[:2] = s.train_y[:2].flip(0); s.train_y[0] = (s.train_y[0] + 1) % 4; return s")  # fmt: skip
    assert loading.content(choice, trust) != first
    for body, said in (
        ("return None", "splits_data.load returned nothing"),
        ("return (1, 2)", "returned a tuple"),
        ("from helpers import random_splits as r; s = r(train=40); s.train_y[:] = 9; return s", "`train_y` has labels"),
        ("return {}['labels']", "KeyError: 'labels' (splits_data.py, line 2, in load)"),
        ("from actbench.datasets import Splits; return Splits(name='x')", "missing 9 required keyword-only arguments"),
    ):
        with pytest.raises(UserError) as caught:
            loader(body)
        assert said in str(caught.value) and caught.value.problems[0].where == "dataset=mine"


@pytest.mark.parametrize("name", ["digits"])
def test_the_training_samples_that_are_promised_are_there(name):
    splits = loading.load_splits(Choice(name, f"actbench.datasets.{name}", {"train_size": None}), ())
    assert len(splits.train_y) == TRAINING_SAMPLES[name]
    check_splits(splits, name)
