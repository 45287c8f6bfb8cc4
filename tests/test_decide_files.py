"""What a study keeps for its decision: which test images each seed got right, its terms, and the looks at its results."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
from helpers import random_splits, settings_of, training_of

from actbench.errors import UserError
from actbench.records import Estimate
from actbench.store import correctness, decide
from actbench.store.decide import Decide, earlier_looks, number_of_looks, with_look
from actbench.train import evaluate


@pytest.mark.parametrize("images", [1, 7, 8, 9, 1797])
def test_correctness_is_read_as_it_was_written(images, tmp_path):
    correct = np.random.default_rng(0).random((3, images)) < 0.9
    correctness.write(tmp_path, [4, 0, 9], correct)
    stored = correctness.read(tmp_path)
    assert list(stored) == [4, 0, 9]
    for seed, expected in zip(stored, correct, strict=True):
        np.testing.assert_array_equal(stored[seed], expected)
    first = (tmp_path / correctness.FILE).read_bytes()
    correctness.write(tmp_path, [4, 0, 9], correct)
    assert (tmp_path / correctness.FILE).read_bytes() == first, "the same results give the same bytes"


def test_ten_thousand_images_are_a_few_kilobytes_a_seed(tmp_path):
    correctness.write(tmp_path, range(5), np.random.default_rng(0).random((5, 10_000)) < 0.5)
    assert (tmp_path / correctness.FILE).stat().st_size < 5 * 1500


def _archive(**arrays):
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def _bomb():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bits.npy", bytes(correctness.LARGEST + 1))
    return content.getvalue()


BITS = np.zeros((2, 2), dtype=np.uint8)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive",
        _archive(seeds=[0, 1], images=16),
        _archive(seeds=[0, 1], images=17, bits=BITS),
        _archive(seeds=[0, 0], images=16, bits=BITS),
        _archive(seeds=[0.5, 1.0], images=16, bits=BITS),
        _archive(seeds=[0, 1], images=-16, bits=BITS),
        _archive(seeds=[0, 1], images=16, bits=BITS.astype(float)),
        _archive(seeds=np.array([0, {}], dtype=object), images=16, bits=BITS),
        _archive(seeds=[0, 1], images=16, bits=BITS)[:-40],
        _bomb(),
    ],
)
def test_what_actbench_did_not_write_is_one_message(content, tmp_path):
    (tmp_path / correctness.FILE).write_bytes(content)
    with pytest.raises(UserError, match=r"cannot be read") as raised:
        correctness.read(tmp_path)
    assert raised.value.problems[0].where == str(tmp_path / correctness.FILE)


def test_a_run_without_the_file_has_none(tmp_path):
    assert correctness.read(tmp_path) == {}


def test_hits_are_those_of_which_the_accuracy_is_the_mean():
    training = training_of(settings_of("num_seeds=3", "model.width=8"), random_splits())
    test = evaluate(training, training.splits.test_x, training.splits.test_y)
    assert test.hits.shape == (3, len(training.splits.test_y))
    for hits, accuracy in zip(test.hits, test.accuracies, strict=True):
        assert Estimate.of([100.0 * hits.double().mean().item()]).mean == pytest.approx(accuracy, abs=1e-9)
    network = training.network.plain_network(1).eval()
    labels = network(training.splits.test_x).argmax(-1)
    np.testing.assert_array_equal(test.hits[1].numpy(), (labels == training.splits.test_y).numpy())


# ---------------------------------------------------------------- the terms, and the looks


def test_terms_and_looks_are_read_as_they_were_written(tmp_path):
    assert decide.read(tmp_path) == Decide()
    asked = with_look(Decide(0.2, "fixed"), {"b": [1, 0], "a": [0], "nothing": []})
    decide.write(tmp_path, asked)
    assert decide.read(tmp_path) == asked == Decide(0.2, "fixed", ({"a": (0,), "b": (0, 1)},))


def test_looks_count_where_seeds_were_added_since():
    once = with_look(Decide(), {"a": [0, 1], "b": [0, 1]})
    assert with_look(once, {"a": [0, 1], "b": [1, 0]}) == once, "nothing new was seen"
    assert number_of_looks(Decide(), {"a": [0]}) == 1
    assert number_of_looks(once, {"a": [0, 1], "b": [0, 1]}) == 1, "the same results, again"
    assert number_of_looks(once, {"a": [0, 1], "b": [0, 1], "new": [0]}) == 1, "nobody has seen the new one"
    assert number_of_looks(once, {"a": [0, 1, 2], "b": [0, 1]}) == 2
    twice = with_look(once, {"a": [0, 1, 2], "b": [0, 1]})
    assert number_of_looks(twice, {"a": [0, 1, 2], "b": [0, 1]}) == 2
    assert number_of_looks(twice, {"a": [0, 1, 2, 3], "b": [0, 1]}) == 3
    assert number_of_looks(twice, {"b": [0, 1]}) == 1


GOOD = {"margin": 0.1, "test_set": "new", "looks": [{"a": [0]}]}


@pytest.mark.parametrize(
    "change",
    [
        {"margin": 0}, {"margin": -1}, {"margin": True}, {"margin": "wide"}, {"test_set": "old"}, {"looks": 3},
        {"looks": [3]}, {"looks": [{"a": 3}]}, {"looks": [{"a": ["x"]}]}, {"looks": [{"a": [True]}]},
    ],
)  # fmt: skip
def test_terms_that_cannot_be_are_one_message(change, tmp_path):
    (tmp_path / decide.FILE).write_text(json.dumps(GOOD | change))
    with pytest.raises(UserError, match="cannot be read"):
        decide.read(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "3", "{", "null", '{"margin": null}'])
def test_a_file_that_is_no_terms_is_one_message(text, tmp_path):
    (tmp_path / decide.FILE).write_text(text)
    with pytest.raises(UserError, match="cannot be read"):
        decide.read(tmp_path)


def test_earlier_looks_have_the_numbers_that_they_had():
    looked = Decide()
    for seeds in ({"a": [0, 1, 2], "b": [0, 1, 2]}, {"a": [0, 1, 2, 3], "b": [0, 1, 2, 3]}, {"c": [0, 1, 2]}):
        looked = with_look(looked, seeds)
    now = {"a": (0, 1, 2, 3, 4), "b": (0, 1, 2, 3)}
    earlier = earlier_looks(looked, now)
    assert [(look.number, dict(look.seeds)) for look in earlier] == [
        (1, {"a": (0, 1, 2), "b": (0, 1, 2)}),
        (2, {"a": (0, 1, 2, 3), "b": (0, 1, 2, 3)}),
    ]
    assert number_of_looks(looked, now) == 3
    assert earlier_looks(looked, {"a": (0, 1, 2), "b": (0, 1, 2)})[0].number == 2, "a folder that lost seeds since"
    assert earlier_looks(looked, {"c": (0, 1, 2)}) == (), "this look is not before itself"
