"""Samples that do not fit into memory: training sees the same bits as if they did, and what is decoded is kept."""

from __future__ import annotations

import errno
import os
import sys
import time

import numpy as np
import pytest
import torch
from helpers import build_training
from pictures import fill
from torch.utils.data import TensorDataset

from actbench.custom import loading
from actbench.datasets import Splits, arrays, images, memory
from actbench.datasets.assembling import assemble
from actbench.datasets.checks import check_splits
from actbench.datasets.materialise import materialised
from actbench.datasets.remarks import remarks
from actbench.datasets.streaming import Stored, Streamed
from actbench.errors import UserError
from actbench.train import Control, fit

RNG = np.random.default_rng(0)
USES = ("train", "val", "test")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "data_root", lambda: tmp_path / "cache")
    return tmp_path / "cache" / "decoded"


@pytest.fixture
def scarce(monkeypatch):
    """Makes memory scarce from now on."""
    return lambda: monkeypatch.setattr(memory, "free_memory", lambda: 1000)


@pytest.fixture
def photos(tmp_path):
    return fill(tmp_path / "photos", {"cat": 10, "dog": 20, "horse": 30})


def loads(tmp_path):
    """Each source of samples that may be too large."""
    np.savez(tmp_path / "sequences.npz", x=RNG.normal(3, 5, (60, 7, 2)), y=np.arange(60) % 3)
    levels = RNG.integers(0, 256, (60, 6, 5, 3)).astype(np.float32)
    np.savez_compressed(tmp_path / "levels.npz", images=levels, labels=np.arange(60) % 3)
    np.savez(tmp_path / "columns.npz", x=np.asfortranarray(levels), y=np.arange(60) % 3)
    np.save(tmp_path / "x.npy", RNG.integers(0, 256, (60, 6, 5, 3), dtype=np.uint8))
    np.save(tmp_path / "y.npy", np.arange(60) % 3)
    tensors = TensorDataset(torch.randn(60, 3, 4, 4, generator=torch.Generator().manual_seed(1)), torch.arange(60) % 3)
    yield lambda scaling: images(path=str(fill(tmp_path / "p", {"a": 20, "b": 20})), scaling=scaling)
    yield lambda scaling: arrays(path=str(tmp_path / "sequences.npz"), scaling=scaling)
    yield lambda scaling: arrays(path=str(tmp_path / "levels.npz"), scaling=scaling)
    yield lambda scaling: arrays(path=str(tmp_path / "columns.npz"), scaling=scaling)
    yield lambda scaling: arrays(path=str(tmp_path / "x.npy"), scaling=scaling, train_size=20)
    yield lambda scaling: assemble(name="d", where="d", train=materialised(tensors, "d")[0], scaling=scaling)


@pytest.mark.parametrize("scaling", ["standard", "unit", "none"])
def test_streamed_samples_are_those_in_memory(tmp_path, scarce, scaling):
    sources = [*loads(tmp_path)]
    expected = [load(scaling) for load in sources]
    scarce()
    for load, plain in zip(sources, expected, strict=True):
        found = load(scaling)
        check_splits(found, "data")
        assert remarks(found) == remarks(plain) and found.labels == plain.labels and found.inputs == plain.inputs
        assert loading._digest(found, named=True) == loading._digest(plain, named=True)
        assert torch.equal(torch.as_tensor(found.background), torch.as_tensor(plain.background))
        for use in USES:
            samples, whole = getattr(found, f"{use}_x"), getattr(plain, f"{use}_x")
            assert isinstance(samples, Streamed) and torch.equal(getattr(found, f"{use}_y"), getattr(plain, f"{use}_y"))
            rows = torch.randperm(len(whole))[:5]
            assert torch.equal(samples[:], whole) and torch.equal(samples[rows], whole[rows])
            assert torch.equal(torch.cat([*samples.split(4)]), whole)


def trained(splits: Splits, *overrides: str):
    training = build_training(None, splits, "train.epochs=2", "train.batch_size=9", "num_seeds=3", *overrides)
    rows = [row for epoch in fit(training, control=Control()) for row in epoch.rows]
    return training, [
        {name: value for name, value in vars(row).items() if name not in ("seconds", "waiting")} for row in rows
    ]


@pytest.mark.parametrize(
    "overrides",
    [["model.width=8"], ["model.width=8", "augment=crop"], ["model=cnn", "model.channels=[2,3]", "augment=flip"]],
    ids=" ".join,
)
def test_training_on_streamed_samples_has_the_same_bits(photos, scarce, overrides):
    plain, rows = trained(images(path=str(photos)), *overrides)
    scarce()
    streamed, again = trained(images(path=str(photos)), *overrides)
    np.testing.assert_equal(again, rows)
    assert "samples are streamed: " in streamed.execution and "streamed" not in plain.execution
    for ours, theirs in zip(streamed.network.state_dicts(), plain.network.state_dicts(), strict=True):
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_pictures_are_decoded_once_and_again_when_one_has_changed(photos, scarce, cache, monkeypatch):
    scarce()
    first = images(path=str(photos))
    (file,) = cache.glob("*.npy")
    assert not [*cache.glob("*.part")]
    with monkeypatch.context() as context:
        context.setattr(sys.modules["actbench.datasets.images"], "pixels_of", None)  # is not called
        assert torch.equal(images(path=str(photos)).train_x[:], first.train_x[:])
    fill(photos, {"cat": 1}, first=77)
    images(path=str(photos))
    assert len([*cache.glob("*.npy")]) == 2 and file.exists()


def test_what_nobody_has_used_for_a_month_is_removed(photos, scarce, cache):
    scarce()
    images(path=str(photos))
    (used,) = cache.glob("*.npy")
    for number, name in enumerate(("old.npy", "old.part", "recent.npy")):
        (cache / name).write_bytes(b"x")
        days = (40, 40, 20)[number]
        os.utime(cache / name, (time.time() - 86_400 * days,) * 2)
    os.utime(used, (0, 0))
    images(path=str(photos))
    assert used.stat().st_mtime > time.time() - 1000, "it is used now"
    images(path=str(photos), size=4)
    assert {file.name for file in cache.iterdir() if file.suffix} >= {"recent.npy", used.name}
    assert not [*cache.glob("old.*")]


def test_where_the_disk_has_no_room_what_was_used_longest_ago_goes_first(cache, monkeypatch):
    cache.mkdir(parents=True)
    for days, name in enumerate(("new.npy", "middle.npy", "old.npy")):
        (cache / name).write_bytes(b"x" * 100)
        os.utime(cache / name, (time.time() - 86_400 * days,) * 2)

    def free(_folder):
        return type("Usage", (), {"free": 1000 - 100 * len([*cache.glob("*.npy")])})

    monkeypatch.setattr(memory.shutil, "disk_usage", free)
    memory._tidy(cache, 750)
    assert {file.name for file in cache.glob("*.npy")} == {"new.npy", "middle.npy"}


def test_a_disk_that_fills_up_is_told_before_anything_is_written_to_it(photos, scarce, cache, monkeypatch):
    """A mapped file that finds no room while it is filled would end the process."""
    scarce()

    def full(*_arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(memory.os, "posix_fallocate", full, raising=False)
    with pytest.raises(UserError, match="No space left on device"):
        images(path=str(photos))
    assert not [*cache.glob("*.npy")] and not [*cache.glob("*.part")]


def test_a_picture_that_is_damaged_leaves_nothing_behind(photos, scarce, cache):
    scarce()
    picture = photos / "dog" / "3.png"
    picture.write_bytes(picture.read_bytes()[:60])
    with pytest.raises(UserError, match=r"3\.png: is no image that can be read"):
        images(path=str(photos))
    assert not [*cache.glob("*.npy")] and not [*cache.glob("*.part")]


def test_no_room_on_disk_either_is_told(photos, scarce, monkeypatch):
    scarce()
    monkeypatch.setattr(memory.shutil, "disk_usage", lambda _folder: type("Usage", (), {"free": 10}))
    with pytest.raises(UserError, match=r"data that do not fit into memory take 0\.0 MB in .*decoded"):
        images(path=str(photos))


def test_the_limit_is_the_memory_that_is_free(monkeypatch):
    monkeypatch.setattr(memory, "_of_machine", lambda: 10**9)
    monkeypatch.setattr(memory, "_of_container", lambda _folder: None)
    assert memory.fits(1_400, (100_000,)) and not memory.fits(1_401, (100_000,))
    monkeypatch.setattr(memory, "_of_container", lambda _folder: 10**8)
    said = "0.7 GB are needed in memory, more than 70% of the 0.1 GB that are free"
    assert memory.shortage(1_401, (100_000,)) == said


def test_a_container_has_what_its_limit_leaves(tmp_path):
    for name, content in (("memory.current", "700"), ("memory.stat", "anon 5\ninactive_file 200\n")):
        (tmp_path / name).write_text(content)
    (tmp_path / "memory.max").write_text("1000\n")
    assert memory._of_container(tmp_path) == 500
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._of_container(tmp_path) is None


def test_stored_rows_are_taken_without_being_read():
    stored = Stored(np.arange(20).reshape(10, 2), "why").take(np.array([7, 2, 5])).take(slice(1, None))
    assert stored.shape == (2, 2) and stored.size == 4 and stored[:].tolist() == [[4, 5], [10, 11]]
