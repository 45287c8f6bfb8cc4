"""A folder of images by class: each layout is found, pixels and labels are those of the files, what is wrong is named."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from pictures import fill, pixels, save
from PIL import Image

from actbench.custom import loading
from actbench.datasets import images
from actbench.datasets.checks import check_splits
from actbench.errors import UserError
from actbench.report import provenance
from actbench.settings import Choice

COUNTS = {"cat": 10, "dog": 20, "horse": 30}


@pytest.fixture
def photos(tmp_path):
    return fill(tmp_path / "photos", COUNTS)


def complaint(folder, **params) -> str:
    with pytest.raises(UserError) as caught:
        images(path=str(folder), **params)
    assert all(problem.how for problem in caught.value.problems)
    return str(caught.value)


def raw(folder, **params):
    return images(path=str(folder), scaling="none", **params)


def rows(x):
    return {sample.numpy().astype(np.uint8).tobytes() for sample in x}


# ---------------------------------------------------------------- what is found


def test_each_image_is_in_one_split_with_the_class_of_its_folder(photos):
    splits = raw(photos)
    check_splits(splits, "photos")
    assert (splits.name, splits.labels, splits.inputs) == ("photos", ("cat", "dog", "horse"), (3, 8, 8))
    assert [torch.bincount(y).tolist() for y in (splits.test_y, splits.val_y, splits.train_y)] == [
        [2, 4, 6], [1, 2, 3], [7, 14, 21],
    ]  # fmt: skip
    label_of = {}
    for number, name in enumerate(splits.labels):
        for path in (photos / name).iterdir():
            label_of[np.asarray(Image.open(path)).transpose(2, 0, 1).tobytes()] = number
    seen = []
    for x, y in ((splits.train_x, splits.train_y), (splits.val_x, splits.val_y), (splits.test_x, splits.test_y)):
        for sample, label in zip(x, y, strict=True):
            key = sample.numpy().astype(np.uint8).tobytes()
            assert label_of[key] == label
            seen.append(key)
    assert sorted(seen) == sorted(label_of), "each image once"


def test_the_split_is_always_the_same_wherever_the_folder_is(photos, tmp_path):
    one = raw(photos)
    shutil.copytree(photos, tmp_path / "elsewhere" / "moved")
    np.random.seed(7)
    other = raw(tmp_path / "elsewhere" / "moved")
    assert all(torch.equal(getattr(one, key), getattr(other, key)) for key in ("train_x", "val_x", "test_x", "train_y"))


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Training", "Validation", "Testing"), ("train_set", "dev", "Test Set")]
)
def test_folders_for_each_use_are_kept_apart(tmp_path, names):
    for first, (name, number) in enumerate(zip(names, (6, 2, 3), strict=True)):
        fill(tmp_path / "data" / name, {"a": number, "b": number}, first=100 * first)
    splits = raw(tmp_path / "data")
    assert [len(y) for y in (splits.train_y, splits.val_y, splits.test_y)] == [12, 4, 6]
    assert rows(splits.test_x) == {pixels(201 + n).transpose(2, 0, 1).tobytes() for n in range(6)}
    assert splits.note == ""


def test_a_validation_folder_without_one_for_the_test_is_the_test_set(tmp_path):
    fill(tmp_path / "train", {"a": 20, "b": 20})
    fill(tmp_path / "val", {"a": 4, "b": 4}, first=100)
    splits = raw(tmp_path)
    assert [len(y) for y in (splits.train_y, splits.val_y, splits.test_y)] == [36, 4, 8]
    assert "The validation folder is the test set" in splits.note


def test_what_lies_around_is_passed_over(tmp_path):
    folder = fill(tmp_path / "outer" / "photos", COUNTS)
    for name in (
        ".DS_Store",
        "cat/.hidden.png",
        "cat/notes.txt",
        "cat/Thumbs.db",
        "README.md",
        "._cat/1.png",
        "cat/__MACOSX/1.png",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    shutil.move(folder / "dog" / "0.png", folder / "dog" / "deeper.PNG")
    (folder / "dog" / "more").mkdir()
    shutil.move(folder / "dog" / "1.png", folder / "dog" / "more" / "1.png")
    splits = raw(tmp_path / "outer")
    assert sum(len(y) for y in (splits.train_y, splits.val_y, splits.test_y)) == sum(COUNTS.values())


def test_classes_that_are_numbers_are_in_their_order(tmp_path):
    fill(tmp_path / "data", {"10": 3, "2": 3, "1": 3})
    assert raw(tmp_path / "data").labels == ("1", "2", "10")


# ---------------------------------------------------------------- pixels


def test_grey_images_stay_grey_and_one_of_colours_makes_all_of_colours(tmp_path):
    grey = fill(tmp_path / "grey", {"a": 4, "b": 4}, colours=False)
    assert raw(grey).inputs == (1, 8, 8)
    assert raw(grey, colour="rgb").inputs == (3, 8, 8)
    save(grey / "a" / "extra.png", pixels(50))
    both = raw(grey)
    assert both.inputs == (3, 8, 8)
    assert sum(bool((x[0] == x[1]).all()) for x in torch.cat([both.train_x, both.val_x, both.test_x])) == 8
    assert raw(grey, colour="grey").inputs == (1, 8, 8)


def test_images_of_any_kind_become_eight_bits(tmp_path):
    folder = fill(tmp_path / "data", {"a": 4, "b": 4}, colours=False)
    deep = np.full((8, 8), 65535, dtype=np.uint16)
    deep[0, 0] = 257 * 100
    save(folder / "a" / "deep.png", deep)
    Image.fromarray(pixels(1, colours=True)).convert("P").save(folder / "b" / "palette.gif")
    Image.fromarray(pixels(2)).convert("CMYK").save(folder / "b" / "print.jpg")
    splits = raw(folder, colour="grey")
    everything = torch.cat([splits.train_x, splits.val_x, splits.test_x])
    assert sum((x[0, 0, 0] == 100 and (x.flatten()[1:] == 255).all()).item() for x in everything) == 1


def test_a_photo_that_lies_on_its_side_is_set_upright(tmp_path):
    folder = fill(tmp_path / "data", {"a": 4, "b": 4}, height=6, width=4)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees to the right
    lying = pixels(70, height=4, width=6)
    save(folder / "a" / "turned.png", lying, exif=exif)
    splits = raw(folder)
    assert splits.inputs == (3, 6, 4)
    upright = np.rot90(lying, -1).transpose(2, 0, 1).copy().tobytes()
    assert upright in rows(torch.cat([splits.train_x, splits.val_x, splits.test_x]))


def test_a_size_scales_the_shorter_side_and_crops_the_longer_one(tmp_path):
    folder = fill(tmp_path / "data", {"a": 4, "b": 4}, height=8, width=8)
    wide = np.zeros((8, 24, 3), dtype=np.uint8)
    wide[:, 4:20] = 200  # its middle and a little beside it, which smoothing reaches
    save(folder / "a" / "wide.png", wide)
    splits = raw(folder, size=4)
    assert splits.inputs == (3, 4, 4)
    assert np.full((3, 4, 4), 200, dtype=np.uint8).tobytes() in rows(
        torch.cat([splits.train_x, splits.val_x, splits.test_x])
    )


def test_scaling_takes_the_statistics_of_the_training_images_of_each_channel(photos):
    plain, standard, unit = (images(path=str(photos), scaling=scaling) for scaling in ("none", "standard", "unit"))
    x = plain.train_x.double()
    mean, std = x.mean((0, 2, 3), keepdim=True), x.std((0, 2, 3), keepdim=True, correction=0)
    for use in ("train_x", "val_x", "test_x"):
        expected = (getattr(plain, use).double() - mean) / std
        assert torch.allclose(getattr(standard, use).double(), expected, atol=1e-6)
        assert torch.allclose(getattr(unit, use), getattr(plain, use) / 255)
    assert torch.allclose(standard.background.double(), (-mean / std)[0], atol=1e-6)
    assert unit.background.abs().max() == 0


# ---------------------------------------------------------------- what is wrong


def test_a_path_is_needed():
    with pytest.raises(UserError) as caught:
        images()
    assert "dataset.path: is missing" in str(caught.value) and "dataset.path=FOLDER" in str(caught.value)


def test_every_file_that_cannot_be_read_is_named(photos):
    (photos / "cat" / "0.png").write_bytes(b"")
    (photos / "cat" / "1.png").write_bytes(b"no image")
    broken = photos / "dog" / "2.png"
    (photos / "dog" / "3.jpg").symlink_to("/nowhere/3.jpg")
    said = complaint(photos)
    assert f"{photos / 'cat' / '0.png'}: is no image that can be read: the file is empty" in said
    assert f"{photos / 'cat' / '1.png'}: is no image that can be read: it is of no format that Pillow knows" in said
    assert f"{photos / 'dog' / '3.jpg'}: is a link to nowhere" in said
    broken.write_bytes(broken.read_bytes()[:-60])  # its head is whole
    assert f"{broken}: is no image that can be read" in complaint(photos)
    for path in ("cat/0.png", "cat/1.png", "dog/3.jpg"):
        (photos / path).unlink()
    assert f"{broken}: is no image that can be read" in complaint(photos)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html>not found</html>", "it is an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1", "it is Git LFS's pointer to the file"),
    ],
)
def test_files_that_are_something_else_are_told_as_such(photos, content, said):
    (photos / "cat" / "1.png").write_bytes(content)
    assert f"1.png: is no image that can be read: {said}" in complaint(photos)


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_numbers_of_32_bits_are_no_pixels(photos, kind):
    """How bright they are is not known: read as 16 bits they would all be black."""
    Image.fromarray(np.ones((8, 8), dtype=kind)).save(photos / "cat" / "deep.tif")
    assert "deep.tif: is no image that can be read: it has numbers of 32 bits" in complaint(photos)


def test_folders_and_images_that_are_not_used_are_told(tmp_path):
    for use in ("train", "test", "extra"):
        fill(tmp_path / use, {"a": 5, "b": 5}, first=len(use) * 100)
    save(tmp_path / "train" / "loose.png", pixels(1))
    note = raw(tmp_path).note
    assert "Not used, besides test, train: extra" in note and "Not used: 1 image in train, in no folder" in note


def test_a_test_folder_without_classes_may_be_moved_away(tmp_path):
    fill(tmp_path / "train", {"a": 5, "b": 5})
    save(tmp_path / "test" / "1.png", pixels(1))
    said = complaint(tmp_path)
    assert "has 1 image in no folder of a class" in said and "move test away" in said


def test_an_image_in_two_classes_is_told(photos):
    shutil.copy(photos / "cat" / "1.png", photos / "dog" / "again.png")
    assert "1 image is there twice or more, with different classes" in load(photos)[0].note


def test_of_many_files_some_are_named_and_the_rest_counted(photos):
    for n in range(12):
        (photos / "dog" / f"{n}.png").write_bytes(b"?")
    said = complaint(photos)
    assert said.count("is no image that can be read") == 5 and "7 more files cannot be read either" in said


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"a": 5, "b": 1}, "class with too few samples to be split into training, validation and test: b has 1"),
        (
            {"a": 2, "b": 1},
            "classes with too few samples to be split into training, validation and test: a has 2, b has 1",
        ),
        ({"a": 5}, "all samples are of one class, a"),
    ],
)
def test_too_few_of_a_class(tmp_path, counts, said):
    assert said in complaint(fill(tmp_path / "data", counts))


def test_sizes_that_differ_are_told_with_a_file_and_the_way_out(tmp_path):
    folder = fill(tmp_path / "data", {"a": 4, "b": 4})
    odd = save(folder / "b" / "odd.png", pixels(9, height=8, width=12))
    said = complaint(folder)
    assert "8 of 9 have 8×8 pixels" in said and f"{odd} has 8×12" in said and "dataset.size=8" in said
    save(folder / "b" / "third.png", pixels(9, height=100, width=120))
    assert "images are of 3 sizes, from 8×8 (height × width) to 100×120 pixels" in complaint(folder)


def test_trains_may_be_a_class_beside_ships(tmp_path):
    for name in ("ship", "train"):
        for number in range(4):
            save(tmp_path / name / f"{number}.png", pixels(number + 10 * len(name)))
    assert images(path=str(tmp_path)).labels == ("ship", "train")


def test_a_test_folder_alone_is_no_class(tmp_path):
    for use in ("test", "val"):
        save(tmp_path / use / "a" / "0.png", pixels(0))
    assert "has test, val, but no folder for training" in complaint(tmp_path)


def test_folders_without_images_by_class(tmp_path):
    assert "there is no such folder" in complaint(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "has no folders of classes" in complaint(tmp_path / "empty")
    save(tmp_path / "flat" / "1.png", pixels(1))
    assert "has 1 image in no folder of a class" in complaint(tmp_path / "flat")
    assert "is a file, not a folder" in complaint(tmp_path / "flat" / "1.png")
    folder = fill(tmp_path / "data", {"a": 4, "b": 4})
    (folder / "c").mkdir()
    (folder / "d").mkdir()
    (folder / "d" / "list.txt").write_text("x")
    said = complaint(folder)
    assert f"{folder / 'c'}: is empty" in said and f"{folder / 'd'}: has no image, only .txt" in said


def test_a_test_image_of_a_class_that_is_not_trained(tmp_path):
    fill(tmp_path / "train", {"a": 5, "b": 5})
    fill(tmp_path / "test", {"a": 2, "zebra": 2}, first=50)
    said = complaint(tmp_path)
    assert f"{tmp_path / 'test' / 'zebra' / '0.png'} (test) is of class zebra" in said


def test_a_training_size_that_leaves_a_class_out(tmp_path):
    folder = fill(tmp_path / "data", {"a": 60, "b": 3})
    assert "leaves no training sample of the smallest class" in complaint(folder, train_size=3)
    assert "has 43 training samples of 2 classes" in complaint(folder, train_size=50)


# ---------------------------------------------------------------- as a dataset of a run


def load(folder):
    loading._loaded.cache_clear()
    choice = Choice("images", "actbench.datasets.images", {"path": str(folder)})
    splits, content = loading.load_splits(choice, ()), loading.content(choice, ())
    loading._loaded.cache_clear()
    return splits, content


def test_the_content_is_that_of_the_pixels_and_classes(photos, tmp_path):
    _, content = load(photos)
    shutil.copytree(photos, tmp_path / "moved")
    assert load(tmp_path / "moved")[1] == content
    (tmp_path / "moved" / "cat").rename(tmp_path / "moved" / "a cat")
    assert load(tmp_path / "moved")[1] != content
    save(photos / "cat" / "0.png", pixels(999))
    assert load(photos)[1] != content


def test_images_of_the_training_in_the_test_are_told(tmp_path):
    fill(tmp_path / "train", {"a": 10, "b": 10})
    fill(tmp_path / "test", {"a": 3, "b": 3}, first=50)
    assert load(tmp_path)[0].note == ""
    shutil.copy(tmp_path / "train" / "a" / "1.png", tmp_path / "test" / "a" / "again.png")
    assert load(tmp_path)[0].note.startswith("1 of 7 test samples are in the training or validation split as well")


def test_uneven_classes_are_told(photos):
    assert "Classes are uneven: 21 training samples of horse, 7 of cat" in load(photos)[0].note


def test_a_run_on_a_folder_of_photos(actbench, photos):
    small = ["dataset=images", f"dataset.path={photos}", "train.epochs=1", "num_seeds=2", "model.width=8", "study=s",
             "train.threads=1", "train.batch_size=10", "tensorboard=false"]  # fmt: skip
    done = actbench(*small)
    assert done.returncode == 0, done.stderr
    assert "relu-mlp on photos (42 / 6 / 12 samples)" in done.stdout and "Classes are uneven" in done.stdout
    (folder,) = (photos.parent / "outputs" / "s").glob("relu*")
    content = json.loads((folder / "environment.json").read_text())
    assert content["data"] == {
        "name": "photos", "samples": {"train": 42, "val": 6, "test": 12}, "sample": [3, 8, 8], "classes": 3,
        "scaling": "standard",
    }  # fmt: skip
    said = dict(provenance.environment([content]))["data"]
    assert said == "photos: 42 / 6 / 12 samples of 3×8×8, 3 classes, scaling standard"
    assert "data" not in dict(provenance.environment([{"data": {"samples": 3}}, {"data": "x"}, {}]))
    (photos / "cat" / "3.png").write_bytes(b"")
    done = actbench(*small)
    assert done.returncode == 2
    assert done.stderr.count("3.png: is no image that can be read") == 1 and "Traceback" not in done.stderr
