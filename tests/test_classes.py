"""The accuracy of each class and their mean: against scikit-learn, and where accuracy misleads."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import random_splits
from sklearn.metrics import balanced_accuracy_score, recall_score

from actbench.datasets.remarks import is_uneven, remarks
from actbench.measures.classes import BalancedScore, ClassRecord, score
from actbench.report import class_table as class_tables

SPLITS = random_splits(classes=4)


def with_labels(y, *, train=None, labels=()):
    y = torch.as_tensor(y)
    train = y if train is None else torch.as_tensor(train)
    x = torch.randn(len(y), 1, 2, 2, generator=torch.Generator().manual_seed(0))
    more = torch.randn(len(train), 1, 2, 2, generator=torch.Generator().manual_seed(1))
    return replace(SPLITS, train_x=more, train_y=train, test_x=x, test_y=y, labels=labels)


def test_both_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    y = rng.choice(4, 200, p=[0.6, 0.2, 0.15, 0.05])
    predicted = np.where(rng.random((3, 200)) < 0.7, y, rng.integers(0, 4, (3, 200)))
    rows = list(score(with_labels(y), torch.from_numpy(predicted == y), [5, 6, 9]))
    balanced = {row.seed: row.balanced_accuracy for row in rows if isinstance(row, BalancedScore)}
    for seed, of_seed in zip((5, 6, 9), predicted, strict=True):
        assert balanced[seed] == pytest.approx(100 * balanced_accuracy_score(y, of_seed))
        of_classes = [row for row in rows if isinstance(row, ClassRecord) and row.seed == seed]
        assert [row.class_accuracy for row in of_classes] == pytest.approx(100 * recall_score(y, of_seed, average=None))
        assert [row.samples for row in of_classes] == np.bincount(y).tolist()
        assert [row.label for row in of_classes] == ["0", "1", "2", "3"]


def test_a_class_without_test_samples_has_no_accuracy_and_no_part_in_the_mean():
    splits = with_labels([0, 0, 0, 0, 1, 2], train=[0, 1, 2, 3])
    hits = torch.tensor([[True, True, True, False, True, False]])
    *of_classes, balanced = score(splits, hits, [0])
    assert [row.class_accuracy for row in of_classes[:3]] == [75.0, 100.0, 0.0]
    assert np.isnan(of_classes[3].class_accuracy)
    assert balanced.balanced_accuracy == pytest.approx((75 + 100) / 3)


def test_even_classes_are_scored_one_by_one_only_where_they_have_names():
    even = torch.arange(40) % 4
    hits = torch.ones(1, 40, dtype=torch.bool)
    assert list(score(with_labels(even), hits, [0])) == []
    rows = list(score(with_labels(even, labels=("a", "b\nc", "d\x1b", "e")), hits, [0]))
    assert all(isinstance(row, ClassRecord) for row in rows)
    assert [row.label for row in rows] == ["a", "b c", "d\\x1b", "e"], "as a table can hold them"


@pytest.mark.parametrize(
    ("counts", "uneven"),
    [((10, 10, 10, 10), False), ((12, 10, 10, 9), False), ((15, 10, 10, 10), False), ((16, 10, 10, 10), True),
     ((90, 10, 10, 10), True), ((3, 1, 1, 1), False), ((4, 1, 1, 1), True)],
)  # fmt: skip
def test_uneven_is_half_as_many_again_and_more_than_a_sample_or_two(counts, uneven):
    y = np.repeat(np.arange(4), counts)
    splits = with_labels(y)
    assert is_uneven(splits) is uneven
    assert any("Classes are uneven" in remark for remark in remarks(splits)) is uneven
    assert is_uneven(with_labels(torch.arange(40) % 4, train=y)) is uneven
    assert is_uneven(with_labels(y, train=torch.arange(40) % 4)) is uneven, "of the test set alone"


def test_the_table_has_the_worst_classes_and_counts_the_rest(monkeypatch):
    labels = [f"class {number}" for number in range(11)]
    of_seed = {
        seed: [ClassRecord(seed, label, 10, 50.0 + 10 * seed - place) for place, label in enumerate(labels)]
        for seed in (0, 1)
    }
    of_seed[1].append(ClassRecord(1, "without samples", 0, float("nan")))
    monkeypatch.setattr(class_tables, "records_by_seed", lambda configuration, _kind: of_seed if configuration else {})
    monkeypatch.setattr(class_tables, "read_each", lambda names, read, _problems: {name: read(name) for name in names})
    table = class_tables.class_table(["relu", ""], [])
    assert table.header == ("configuration", *(f"class {number} (10)" for number in range(10, 2, -1)))
    ((name, first, *_),) = table.rows
    assert name == "relu" and first.startswith("45.0 ± ") and "3 more classes do better" in table.note
    assert class_tables.class_table([""], []) is None


def test_a_run_with_a_rare_class_says_so_and_has_both_scores(actbench, tmp_path):
    rng = np.random.default_rng(1)
    y = np.array(["common"] * 150 + ["rare"] * 15)
    np.savez(tmp_path / "data.npz", x=rng.normal(size=(165, 4)), y=y)  # nothing to be learned
    done = actbench("dataset=arrays", "dataset.path=data.npz", "train.epochs=3", "num_seeds=2", "model.width=4", "study=s",
                    "train.threads=1", "tensorboard=false")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "balanced accuracy %" in done.stdout and "Classes are uneven" in done.stdout
    (folder,) = (tmp_path / "outputs" / "s").glob("relu*")
    metrics = json.loads((folder / "summary.json").read_text())["metrics"]
    with (folder / "classes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["label"], row["samples"]) for row in rows] == [("common", "30"), ("rare", "3")] * 2
    for place, seed in enumerate((0, 1)):
        accuracies = [float(row["class_accuracy"]) for row in rows if row["seed"] == str(seed)]
        assert metrics["balanced_accuracy"]["values"][place] == pytest.approx(sum(accuracies) / 2)
        share = (30 * accuracies[0] + 3 * accuracies[1]) / 33
        assert metrics["test_accuracy"]["values"][place] == pytest.approx(share, abs=1e-4)
    done = actbench("report", "outputs/s", env={"COLUMNS": "200"})
    assert done.returncode == 0, done.stderr
    assert "balanced accuracy" in (tmp_path / "outputs" / "s" / "report" / "report.md").read_text()
    page = (tmp_path / "outputs" / "s" / "report" / "report.md").read_text()
    (line,) = [line for line in page.splitlines() if "| configuration" in line and "rare (3)" in line]
    assert line.index("rare (3)") < line.index("common (30)"), "the worst class comes first"
