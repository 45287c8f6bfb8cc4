"""NumPy and CSV files of one's own: what is in them is what is trained on, and what is wrong is named with its place."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from pictures import fill

from actbench.datasets import arrays, csv, images, memory
from actbench.datasets.checks import check_splits
from actbench.datasets.csv_file import table_of
from actbench.errors import UserError

RNG = np.random.default_rng(0)
IMAGES, WORDS = RNG.integers(0, 256, (60, 6, 5), dtype=np.uint8), np.array(["cat", "dog", "eel"])[np.arange(60) % 3]
FEATURES = RNG.normal([5, -100, 1e6], [1, 30, 1e5], (60, 3))


def complaint(load, *args, **params) -> str:
    with pytest.raises(UserError) as caught:
        load(*args, **params)
    assert all(problem.how for problem in caught.value.problems)
    return str(caught.value)


def sizes(splits):
    return [len(y) for y in (splits.train_y, splits.val_y, splits.test_y)]


def samples_of(splits):
    """Sample -> its label in words, of all splits."""
    parts = [(splits.train_x, splits.train_y), (splits.val_x, splits.val_y), (splits.test_x, splits.test_y)]
    return {tuple(x.flatten().tolist()): splits.labels[y] for xs, ys in parts for x, y in zip(xs, ys, strict=True)}


@pytest.fixture
def npz(tmp_path):
    def save(**content):
        np.savez(tmp_path / "data.npz", **content)
        return str(tmp_path / "data.npz")

    return save


# ---------------------------------------------------------------- arrays


@pytest.mark.parametrize("names", ["x y", "X Y", "images labels", "data target", "features classes", "arr_0 arr_1"])
def test_one_pair_of_arrays_is_split_and_each_sample_keeps_its_label(npz, names):
    x, y = names.split()
    splits = arrays(path=npz(**{x: IMAGES, y: WORDS}), scaling="none")
    check_splits(splits, "data")
    assert (splits.inputs, splits.labels, sizes(splits)) == ((1, 6, 5), ("cat", "dog", "eel"), [42, 6, 12])
    expected = {tuple(map(float, image.flatten())): word for image, word in zip(IMAGES, WORDS, strict=True)}
    assert samples_of(splits) == expected


@pytest.mark.parametrize(
    "names",
    [
        "x_train y_train x_test y_test", "train_images train_labels test_images test_labels", "X_train Y_train X_test Y_test",
        "trainX trainY testX testY", "xtrain ytrain xtest ytest", "training_data training_targets testing_data testing_targets",
    ],
)  # fmt: skip
def test_training_and_test_arrays_of_any_usual_names(npz, names):
    """Keras' mnist.npz is the first."""
    first, second, third, fourth = names.split()
    content = {first: IMAGES[:40], second: np.arange(40) % 10, third: IMAGES[40:], fourth: np.arange(20) % 10}
    splits = arrays(path=npz(**content), scaling="none")
    assert splits.labels == tuple(map(str, range(10))) and len(splits.test_y) == 20
    assert torch.equal(splits.test_x[:, 0], torch.from_numpy(IMAGES[40:]).float())
    assert torch.equal(splits.test_y, torch.arange(20) % 10)


def test_medmnist_has_a_validation_split_of_its_own(npz):
    content = {f"{use}_images": IMAGES[:n] for use, n in (("train", 30), ("val", 12), ("test", 9))}
    content |= {f"{use}_labels": (np.arange(n) % 3)[:, None] for use, n in (("train", 30), ("val", 12), ("test", 9))}
    assert sizes(arrays(path=npz(**content))) == [30, 12, 9]


def test_npy_files_beside_each_other(tmp_path):
    for name, array in (("x_train", IMAGES), ("y_train", WORDS), ("other_x", IMAGES[:9]), ("other_y", WORDS[:9])):
        np.save(tmp_path / f"{name}.npy", array)
    assert sizes(arrays(path=str(tmp_path / "x_train.npy"))) == [42, 6, 12]
    assert sizes(arrays(path=str(tmp_path / "y_train.npy"))) == [42, 6, 12]
    assert sum(sizes(arrays(path=str(tmp_path / "other_x.npy")))) == 9
    assert "is the same as" in complaint(arrays, path=str(tmp_path))


@pytest.mark.parametrize(
    ("x", "shape", "inputs"),
    [
        (IMAGES, None, (1, 6, 5)),
        (IMAGES.astype(np.int64), None, (1, 6, 5)),
        (IMAGES / 255, None, (6, 5)),
        (IMAGES / 255, [1, 6, 5], (1, 6, 5)),
        (IMAGES.reshape(60, 30), None, (30,)),
        (IMAGES.reshape(60, 30), [1, 6, 5], (1, 6, 5)),
        (RNG.integers(0, 256, (60, 8, 8, 3)), None, (3, 8, 8)),
        (RNG.integers(0, 256, (60, 3, 8, 8)), None, (3, 8, 8)),
        (FEATURES, None, (3,)),
        (RNG.normal(size=(60, 7, 2)), None, (7, 2)),
    ],
)
def test_the_shape_of_a_sample_follows_from_its_array(npz, x, shape, inputs):
    splits = arrays(path=npz(x=x, y=WORDS), shape=shape)
    check_splits(splits, "data")
    assert splits.inputs == inputs


def test_features_are_scaled_one_by_one_by_the_training_split(npz):
    path = npz(x=np.column_stack([FEATURES, np.full(60, 7.0)]), y=WORDS)
    plain, standard, unit = (arrays(path=path, scaling=scaling) for scaling in ("none", "standard", "unit"))
    x = plain.train_x.double()
    assert torch.allclose(standard.train_x.mean(0), torch.zeros(4), atol=1e-6)
    assert torch.allclose(standard.train_x[:, :3].std(0, correction=0), torch.ones(3), atol=1e-5)
    assert (standard.train_x[:, 3] == 0).all(), "a feature that never changes"
    assert torch.equal(unit.train_x.amin(0), torch.zeros(4)) and unit.train_x[:, :3].amax(0).tolist() == [1, 1, 1]
    expected = (plain.test_x.double() - x.mean(0)) / x.std(0, correction=0).clamp(min=1e-30)
    assert torch.allclose(standard.test_x[:, :3].double(), expected[:, :3], rtol=1e-4, atol=1e-4)
    assert standard.background == 0.0


def test_sequences_are_scaled_by_feature_over_all_times(npz):
    splits = arrays(path=npz(x=RNG.normal([0, 50], [1, 9], (60, 7, 2)), y=WORDS))
    assert torch.allclose(splits.train_x.mean((0, 1)), torch.zeros(2), atol=1e-5)
    assert torch.allclose(splits.train_x.std((0, 1), correction=0), torch.ones(2), atol=1e-5)


def test_pixels_of_any_type_are_divided_by_255(npz):
    for x in (IMAGES, IMAGES.astype(np.int32), IMAGES.astype(np.float32)[:, None]):
        splits = arrays(path=npz(x=x, y=WORDS), scaling="unit")
        assert torch.equal(splits.train_x * 255, (splits.train_x * 255).round()) and splits.train_x.max() <= 1


NAN = np.where(np.arange(180).reshape(60, 3) == 50, np.nan, FEATURES)


def test_bytes_of_0_and_1_are_fed_as_such(npz):
    """`unit` divides levels of 0..255 by 255, and not a mask."""
    splits = arrays(path=npz(x=(IMAGES > 127).astype(np.uint8), y=WORDS), scaling="unit")
    assert splits.train_x.unique().tolist() == [0, 1]


def test_square_numbers_that_are_no_levels_are_told_to_be_sequences(npz):
    x = RNG.random((60, 6, 6))
    assert "dataset.shape=[1,6,6] makes images" in arrays(path=npz(x=x, y=WORDS)).note
    assert arrays(path=npz(x=x, y=WORDS), shape=[1, 6, 6]).note == ""
    whole = np.floor(256 * x)
    assert arrays(path=npz(x=whole, y=WORDS)).inputs == (1, 6, 6), "whatever their type is"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"x": IMAGES}, "array x: there are no labels for it"),
        ({"y_test": WORDS, "x": IMAGES, "y": WORDS}, "array y_test: there are no samples for it"),
        ({"x_test": IMAGES, "y_test": WORDS}, "has no training samples"),
        ({"foo": IMAGES, "bar": WORDS}, "has no array with a name that says what it is: foo, bar"),
        ({"x": IMAGES, "X": IMAGES, "y": WORDS}, "by its name"),
        ({"x": IMAGES, "y": WORDS[:50]}, "there are 50 labels for 60 train samples"),
        ({"x": IMAGES, "y": np.arange(60) / 2}, "array y: is float64: labels are whole numbers"),
        ({"x": IMAGES, "y": np.full(60, np.nan)}, "array y: has 60 labels that are missing (NaN)"),
        ({"x": IMAGES, "y": np.eye(3)[np.arange(60) % 3]}, "one-hot"),
        ({"x": IMAGES, "y": np.where(np.arange(60) == 4, "", WORDS)}, "1 labels that are empty, the first is number 4"),
        ({"x": NAN, "y": WORDS}, "NaN or infinite values are in 1 of the train samples, first in sample 16"),
        ({"x": WORDS, "y": WORDS}, "array x: is <U3, not numbers"),
        ({"x": IMAGES.astype(object), "y": WORDS}, "holds Python objects"),
        ({"x": np.zeros((60, 2, 2, 2, 2)), "y": WORDS}, "array x: has the shape (60, 2, 2, 2, 2)"),
        ({"x": IMAGES[:0], "y": WORDS[:0]}, "there is no train sample"),
        ({"x": IMAGES, "y": WORDS, "x_test": IMAGES[:, :5], "y_test": WORDS}, "test samples have the shape (1, 5, 5)"),
        ({"x": IMAGES * 0, "y": WORDS}, "all training samples are alike"),
        ({"x": IMAGES, "y": np.arange(60) // 59}, "class with too few samples"),
        ({"x": IMAGES, "y": np.zeros(60, int)}, "all samples are of one class, 0"),
        ({"x": IMAGES[..., None], "y": WORDS, "x_test": IMAGES[..., None] / 255, "y_test": WORDS},
         "test images have values up to 1, training images up to 255"),
        ({"x": IMAGES, "y": np.array([b"a", b"b", b"\xff"])[np.arange(60) % 3]}, "array y: has labels that are not UTF-8"),
        ({"x": RNG.normal(size=(60, 3)) * 1e200, "y": WORDS}, "values are too large to be scaled"),
        ({"x": FEATURES * 1e300, "y": WORDS}, ""),
    ],
)  # fmt: skip
def test_what_is_wrong_with_arrays_is_told_with_their_names(npz, content, said):
    path = npz(**content)
    if said:
        assert said in complaint(arrays, path=path)
    else:
        assert "beyond float32" in complaint(arrays, path=path, scaling="none")


def test_files_that_are_no_arrays(tmp_path, npz):
    assert "dataset.path: is missing" in complaint(arrays)
    assert "there is no such file" in complaint(arrays, path=str(tmp_path / "nothing.npz"))
    (tmp_path / "page.npz").write_text("<html>")
    assert "page.npz: is no archive of arrays, whatever its name says" in complaint(
        arrays, path=str(tmp_path / "page.npz")
    )
    half = tmp_path / "half.npz"
    half.write_bytes(Path(npz(x=IMAGES, y=WORDS)).read_bytes()[:-500])
    assert "half.npz: is no archive" in complaint(arrays, path=str(half))
    np.save(tmp_path / "x.npy", IMAGES)
    (tmp_path / "y.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-100])
    assert "y.npy: cannot be read" in complaint(arrays, path=str(tmp_path / "x.npy"))
    (tmp_path / "table.txt").write_text("1 2 3")
    assert "is neither .npz nor .npy" in complaint(arrays, path=str(tmp_path / "table.txt"))
    assert "has 30 values a sample" in complaint(arrays, path=npz(x=IMAGES, y=WORDS), shape=[1, 28, 28])


# ---------------------------------------------------------------- csv


def kaggle(rows=60, side=5):
    pixels = RNG.integers(0, 256, (rows, side * side))
    table = pandas.DataFrame(pixels, columns=[f"pixel{n}" for n in range(side * side)])
    table.insert(0, "label", np.arange(rows) % 3)
    return table


def tabular():
    table = pandas.DataFrame(FEATURES, columns=["age", "height", "income"])
    table["kind"] = WORDS
    table.insert(0, "id", range(60))
    return table


def changed(table, row, column, value):
    table = table.astype(object)
    table.loc[row, column] = value
    return table


@pytest.fixture
def write(tmp_path):
    def save(table, name="data.csv", **how):
        table.to_csv(tmp_path / name, index=False, **how)
        return str(tmp_path / name)

    return save


def test_kaggles_digits_are_images(write):
    table = kaggle()
    splits = csv(path=write(table), scaling="none")
    check_splits(splits, "data")
    assert (splits.inputs, splits.labels, sizes(splits), splits.name) == (
        (1, 5, 5),
        ("0", "1", "2"),
        [42, 6, 12],
        "data",
    )
    expected = {tuple(map(float, row[1:])): str(row[0]) for row in table.to_numpy()}
    assert samples_of(splits) == expected
    assert csv(path=write(table), scaling="unit").train_x.max() <= 1


def test_columns_of_numbers_are_features_and_labels_may_be_words(write):
    splits = csv(path=write(tabular()), label="kind", drop=["id"], scaling="none")
    check_splits(splits, "data")
    assert splits.inputs == (3,) and splits.labels == ("cat", "dog", "eel")
    expected = {tuple(np.float32(row).tolist()): word for row, word in zip(FEATURES, WORDS, strict=True)}
    assert samples_of(splits) == expected
    assert csv(path=write(tabular()), label="kind").inputs == (4,)


def test_columns_of_words_are_one_hot_by_the_words_of_the_training_split(write):
    table = tabular().drop(columns="id")
    table.insert(1, "town", np.array(["Rom", "Åbo ", "NRW", "Rom", "Åbo"])[np.arange(60) % 5])
    train = csv(path=write(table), label="kind")
    check_splits(train, "data")
    assert train.inputs == (6,) and train.note.startswith("Columns of words are one-hot")
    assert train.note.endswith(": town (3)")
    words = train.train_x[:, 1:4]
    assert set(words.unique().tolist()) == {0.0, 1.0} and (words.sum(1) == 1).all()
    numbers = torch.cat([train.train_x[:, :1], train.train_x[:, 4:]], 1).double()
    assert numbers.mean(0).abs().max() < 1e-6 and (numbers.var(0, correction=0) - 1).abs().max() < 1e-5
    plain = csv(path=write(table), label="kind", scaling="none")
    town_of = {np.float32(row.age).item(): row.town.strip() for row in table.itertuples()}
    for sample in plain.test_x:  # in the order of the alphabet, by code point
        assert ["NRW", "Rom", "Åbo"][int(sample[1:4].argmax())] == town_of[sample[0].item()]


def test_a_word_that_only_the_test_has_is_none_of_them_and_is_told(write):
    table = tabular().drop(columns="id").assign(town=np.array(["Rom", "Oslo"])[np.arange(60) % 2])
    test = changed(table, 4, "town", "Bonn")
    splits = csv(path=write(table), test_path=write(test, "test.csv"), label="kind")
    assert splits.inputs == (5,) and splits.test_x[4, 3:].tolist() == [0, 0]
    assert splits.note.endswith("town (2); 1 of 60 test samples have a word that it does not have")


@pytest.mark.parametrize("how", [{"sep": ";"}, {"sep": "\t"}, {"encoding": "utf-8-sig"}, {"compression": "gzip"}])
def test_a_file_may_be_separated_and_packed_in_any_usual_way(write, how):
    path = write(kaggle(), "data.csv.gz" if "compression" in how else "data.csv", **how)
    assert csv(path=path).inputs == (1, 5, 5)


def test_a_file_without_names_has_columns_by_number(write):
    path = write(kaggle(), header=False)
    splits = csv(path=path, label=0, shape=[1, 5, 5])
    assert splits.inputs == (1, 5, 5) and sizes(splits) == [42, 6, 12]
    assert csv(path=path, label=0).inputs == (25,)


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("5.1,3.5,Iris a\n", ["0", "1", "2"]),
        ("0,1,label\n1,2,x\n", ["0", "1", "label"]),
        ('\ufeff"age, years";"b;c";d\n"1,5";2;x\n', ["age, years", "b;c", "d"]),
    ],
)
def test_a_first_line_with_numbers_in_it_is_a_sample_unless_they_count_the_columns(tmp_path, content, names):
    (tmp_path / "some.csv").write_text(content, encoding="utf-8")
    table = table_of(tmp_path / "some.csv")
    assert [*table.columns] == names and len(table) == 1


@pytest.mark.parametrize(
    "content",
    [
        ",a,b,label\n0,1000,1,x\n1,1250,2,y\n2,7,9,x\n",  # as pandas writes it
        "a|b|label\n1000|1|x\n1250|2|y\n7|9|x\n",
        'a,b,label\n"1,000",1,x\n"1,250",2,y\n7,9,x\n',
        "a,b,label\n1000,1,x,\n1250,2,y,\n7,9,x,\n",  # lines end with a separator
        "a,b,label,\n1000,1,x,\n1250,2,y,\n7,9,x,\n",
    ],
    ids=["row numbers", "bars", "thousands", "open lines", "open lines and header"],
)
def test_the_same_table_written_in_other_ways(tmp_path, content):
    (tmp_path / "some.csv").write_text(content)
    table = table_of(tmp_path / "some.csv")
    assert table.to_dict("list") == {"a": [1000, 1250, 7], "b": [1, 2, 9], "label": ["x", "y", "x"]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,label\n1,2,x\n", "has 3 values in its first row, and 2 names in its header"),
        ("<!DOCTYPE html>\n<html></html>\n", "it is an HTML page"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS's pointer"),
        ("a b label\n1 2 x\n", "has a single column"),
    ],
)
def test_tables_that_are_none(tmp_path, content, said):
    (tmp_path / "some.csv").write_text(content)
    assert said in complaint(csv, path=str(tmp_path / "some.csv"))


def test_a_table_that_is_larger_than_memory_is_told_before_it_is_read(write, monkeypatch):
    path = write(tabular())
    monkeypatch.setattr(memory, "free_memory", lambda: 1000)
    assert "is read whole: " in (said := complaint(csv, path=path, label="kind")) and "dataset=arrays" in said


def test_columns_may_be_named_by_their_number(write):
    table = tabular()
    by_name = csv(path=write(table), label="kind", drop=["id"])
    number = [*table.columns].index
    by_number = csv(path=write(table), label=number("kind"), drop=[number("id") - len(table.columns)])
    assert torch.equal(by_name.train_x, by_number.train_x) and by_name.labels == by_number.labels


def test_a_column_that_numbers_the_rows_is_told_unless_it_is_dropped(write):
    path = write(tabular().assign(id=np.arange(60)))
    assert "Column id numbers the rows" in csv(path=path, label="kind").note
    assert "numbers the rows" not in csv(path=path, label="kind", drop=["id"]).note


def test_whole_numbers_beyond_64_bits_are_numbers(write):
    splits = csv(path=write(tabular().assign(age=[10**25 + 10**20 * n for n in range(60)])), label="kind")
    assert splits.inputs == csv(path=write(tabular()), label="kind").inputs


def test_a_test_without_labels_is_no_test(write):
    path = write(tabular())
    other = write(tabular().drop(columns="kind"), "other.csv")
    assert "has no column kind" in complaint(csv, path=path, label="kind", test_path=other)


def test_numbers_may_have_decimal_commas_where_no_comma_separates(write):
    plain = csv(path=write(tabular()), label="kind", drop=["id"])
    german = csv(path=write(tabular(), "german.csv", sep=";", decimal=","), label="kind", drop=["id"])
    assert torch.equal(plain.train_x, german.train_x)


def test_a_file_for_the_test(write):
    table = kaggle(80)
    train, test = write(table[:60]), write(table[60:][[*table.columns[::-1]]], "test.csv")
    splits = csv(path=train, test_path=test, scaling="none")
    assert sizes(splits) == [54, 6, 20]
    assert np.array_equal(splits.test_x.flatten(1).numpy(), table.to_numpy()[60:, 1:])
    assert "has no column pixel3" in complaint(
        csv, path=train, test_path=write(table.drop(columns="pixel3"), "bad.csv")
    )


@pytest.mark.parametrize(
    ("table", "params", "said"),
    [
        (tabular(), {}, "which column has the labels is not said\n    dataset.label=COLUMN, one of id, age, height, income, kind"),
        (kaggle(), {"label": "digit"}, "has no column digit"),
        (kaggle(), {"drop": ["id"]}, "has no column id"),
        (changed(kaggle(), 7, "label", None), {}, "column label: 1 label is missing, the first in row 8"),
        (kaggle().assign(label=np.linspace(0, 2, 60)), {}, "labels are numbers with a decimal point, such as 0.0"),
        (changed(kaggle(), 3, "pixel2", None), {}, "1 value is missing or not finite, the first in row 4, column pixel2"),
        (changed(tabular(), 5, "age", "old"), {"label": "kind"}, "column age: is not of numbers: row 6 has 'old'"),
        (tabular().assign(name="x"), {"label": "kind"}, "dataset.drop=[name]"),
        (tabular().assign(name=[f"n{n}" for n in range(60)]), {"label": "kind"}, "has 60 different words in 60 rows"),
        (changed(tabular().assign(town=WORDS), 8, "town", None), {"label": "kind"}, "the first in row 9, column town"),
        (changed(tabular().assign(town=WORDS), 8, "town", 3), {"label": "kind"}, "column town: is not of numbers"),
        (tabular().assign(town=WORDS), {"label": "kind", "shape": [5]}, "dataset.shape: is for columns of numbers"),
        (tabular()[["kind"]], {"label": "kind"}, "has a single column"),
        (tabular()[["age", "kind"]], {"label": "kind", "drop": ["age"]}, "has no column but that of the labels"),
        (tabular()[:0], {"label": "kind"}, "has no rows of samples"),
        (changed(tabular(), 9, "kind", "unicorn"), {"label": "kind"}, "class with too few samples to be split"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_table_is_told_with_row_and_column(write, table, params, said):
    assert said in complaint(csv, path=write(table), **params)


def test_several_mistakes_in_a_table_are_told_at_once(write):
    table = changed(changed(changed(tabular(), 5, "age", "old"), 7, "kind", None), 8, "income", np.inf)
    said = complaint(csv, path=write(table), label="kind")
    for part in ("column kind: 1 label is missing", "column age: is not of numbers", "row 9, column income"):
        assert part in said


def test_files_that_are_no_tables(tmp_path):
    assert "dataset.path: is missing" in complaint(csv)
    assert "there is no such file" in complaint(csv, path=str(tmp_path / "nothing.csv"))
    assert "is a folder, not a file" in complaint(csv, path=str(tmp_path))
    for content, said in (
        (b"", "is empty"),
        (b"\xff\xfe\x00\x81" * 9, "cannot be read"),
        (gzip.compress(b"x")[:-4], ""),
    ):
        (tmp_path / "bad.csv").write_bytes(content)
        assert f"bad.csv: {said}" in complaint(csv, path=str(tmp_path / "bad.csv"), label=0)
    (tmp_path / "ragged.csv").write_text("label,a\n1,2\n1,2,3,4\n")
    assert "ragged.csv: cannot be read" in complaint(csv, path=str(tmp_path / "ragged.csv"))


# ---------------------------------------------------------------- as a dataset of a run


def test_runs_on_features_and_on_sequences(actbench, write, npz):
    small = ["train.epochs=1", "num_seeds=2", "model.width=8", "study=s", "train.threads=1", "train.batch_size=10",
             "tensorboard=false"]  # fmt: skip
    done = actbench(
        "dataset=csv", f"dataset.path={write(tabular())}", "dataset.label=kind", "dataset.drop=[id]", *small
    )
    assert done.returncode == 0, done.stderr
    assert "relu-mlp on data (42 / 6 / 12 samples)" in done.stdout
    done = actbench("dataset=arrays", f"dataset.path={npz(x=RNG.normal(size=(60, 7, 2)), y=WORDS)}", *small)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", [True, 1.5, ["a"], "", {"a": 1}])
@pytest.mark.parametrize("load", [arrays, csv, images])
def test_a_path_that_is_no_name(load, path):
    assert f"dataset.path: is {path!r}, not a name" in complaint(load, path=path)


def test_a_number_is_a_name_as_well(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "2024", {"a": 5, "b": 5})
    assert images(path=2024).name == "2024"
