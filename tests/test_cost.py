"""What an epoch costs: known times give known medians, and what is noisy is never compared."""

from __future__ import annotations

import json
import math
import random

import numpy as np
import pandas as pd
import pytest
from helpers import fake_run, settings_of

from actbench.report import labels
from actbench.report.command import make_report
from actbench.report.cost import NOISY, cost_table, costs, of_epochs
from actbench.report.plots import cost as plot
from actbench.report.recommendation import recommend
from actbench.report.tables import comparison_tables
from actbench.train import waiting


def a_run(home, activation, seconds, *, waited=math.nan, accuracy=97.5, seeds=5, first=0, host="here", **other):
    """A run whose epochs took `seconds` in all for each seed."""
    own = settings_of(
        "dataset=digits",
        f"num_seeds={seeds}",
        f"seed={first}",
        f"train.epochs={len(seconds)}",
        f"activation={activation}",
    )
    accuracies = np.round(accuracy + 0.02 * np.sin(np.arange(seeds) + first), 2)
    folder = fake_run(home / own.folder, own, accuracies, images=10_000, **other)
    history = pd.read_csv(folder / "history.csv")
    times = [seeds * seconds[int(epoch) - 1] for epoch in history["epoch"]]
    history.assign(seconds=times, waiting=waited).to_csv(folder / "history.csv", index=False, na_rep="nan")
    environment = json.loads((folder / "environment.json").read_text())
    (folder / "environment.json").write_text(json.dumps({**environment, "host": host}))
    return folder


def the_comparison(home):
    made = make_report([home])
    assert not made.problems
    (comparison,) = made.comparisons
    return comparison


def by_name(comparison):
    configurations = comparison.block.configurations
    return dict(zip([one.name for one in configurations], costs(configurations), strict=True))


def cells(table, column):
    return {row[0]: row[table.header.index(column)] for row in table.rows}


QUIET = (0.36, 0.41, 0.38, 0.38, 0.50)


@pytest.mark.parametrize(
    ("times", "waited", "cell", "obstacle"),
    [
        (QUIET, 0.01, "0.38 (0.38–0.41)", ""),
        (QUIET, math.nan, "0.38 (0.38–0.41)", ""),
        (QUIET, 0.4, NOISY, "the machine was busy: threads waited for a core in 40 % of the time"),
        ((0.1, 0.38, 0.1, 0.38, 0.2), 0.0, NOISY, "epochs vary: half of them took 0.10 to 0.38 s"),
        ((0.4, 0.1), 0.0, "0.25", "fewer than 3 epochs were timed"),
        ((2.0,), 0.9, NOISY, "the machine was busy: threads waited for a core in 90 % of the time"),
        ((0.128, 0.129, 0.127), 0.0, "0.128 (0.128–0.129)", ""),
        ((12.0, 12.2, 12.9), 0.0, "12 (12–13)", ""),
        ((), 0.0, "–", "fewer than 3 epochs were timed"),
    ],
)
def test_known_times_give_known_costs(times, waited, cell, obstacle):
    cost = of_epochs(times, [waited] * len(times))
    assert (cost.cell, cost.obstacle, cost.comparable) == (cell, obstacle, not obstacle)
    if times:
        assert cost.median == np.median(times)
    if len(times) > 1:
        assert (cost.low, cost.high) == pytest.approx(tuple(np.quantile(times, [0.25, 0.75])))


def test_the_tables_show_the_median_of_all_epochs_and_what_is_too_noisy(tmp_path):
    a_run(tmp_path, "relu", (0.2, 0.21, 0.2), waited=0.0)
    a_run(tmp_path, "gelu", (0.5, 0.4, 0.45), waited=0.5)
    comparison = the_comparison(tmp_path)
    results, table = comparison_tables(comparison)[0], cost_table(comparison.block)
    assert cells(results, "s / epoch") == {"relu": "0.20 (0.20–0.21)", "gelu": NOISY}
    assert "samples / s" not in results.header
    assert cells(table, "comparable")["relu"] == "yes"
    assert cells(table, "comparable")["gelu"] == "no: busy 50 %"
    assert "cannot be compared here: the machine was busy" in table.note
    assert cells(table, "middle half") == {"relu": "0.20–0.21", "gelu": "–"}
    assert (table.section, table.gist) == ("cost", "relu: 0.20 s / epoch and seed; gelu too noisy to compare")
    (relu,) = [one for one in comparison.block.configurations if one.name == "relu"]
    assert relu.seconds_per_epoch == pytest.approx(0.2)


@pytest.mark.parametrize("waited", [0.0, math.nan, 0.5])
def test_the_cheapest_is_never_so_by_noise(tmp_path, waited):
    a_run(tmp_path, "relu", (0.40, 0.41, 0.40), waited=0.0)
    a_run(tmp_path, "gelu", (0.10, 0.11, 0.10), waited=waited)
    verdict = the_comparison(tmp_path).verdict
    use, why = recommend(verdict)
    assert (use.name, why) == (("relu", "usual") if waited == 0.5 else ("gelu", "cheapest"))


def test_what_was_measured_otherwise_is_no_part_of_the_comparison(tmp_path):
    """Seven further seeds at once, and two configurations on another machine."""
    for name in ("relu", "gelu"):
        a_run(tmp_path, name, (0.40, 0.41, 0.40))
    a_run(tmp_path, "relu", (0.10, 0.11, 0.10), seeds=7, first=5)
    of = by_name(the_comparison(tmp_path))
    assert [of[name].median for name in ("relu", "gelu")] == pytest.approx([0.40, 0.40])
    assert all(cost.comparable for cost in of.values())
    a_run(tmp_path, "elu", (0.20, 0.21, 0.20), host="elsewhere")
    of = by_name(the_comparison(tmp_path))
    assert {name: cost.comparable for name, cost in of.items()} == {"relu": True, "gelu": True, "elu": False}
    assert "measured on another machine" in of["elu"].obstacle
    assert of["elu"].cell == "0.20 (0.20–0.21)"  # the number is not wrong


def test_a_run_of_an_earlier_version_says_nothing_of_waiting(tmp_path):
    folder = a_run(tmp_path, "relu", (0.40, 0.41, 0.40), waited=0.9)
    history = pd.read_csv(folder / "history.csv")
    history.drop(columns="waiting").to_csv(folder / "history.csv", index=False, na_rep="nan")
    (cost,) = by_name(the_comparison(tmp_path)).values()
    assert math.isnan(cost.waiting) and cost.comparable


# ---------------------------------------------------------------- the plot


def test_the_plot_draws_what_can_be_compared_and_names_the_rest(tmp_path):
    for place, name in enumerate(("relu", "gelu", "elu")):
        a_run(tmp_path, name, (0.40, 0.41, 0.40), waited=0.5 * (name == "elu"), accuracy=97 + place)
    drawing = plot.draw(the_comparison(tmp_path), [])
    assert {tip.series for tip in drawing.tips} == {"relu", "gelu"}
    assert drawing.caption.endswith("Not drawn, since their times cannot be compared: elu.")


def test_where_everything_is_noisy_nothing_is_drawn_and_a_sentence_says_why(tmp_path):
    for name in ("relu", "gelu"):
        a_run(tmp_path, name, (0.40, 0.41, 0.40), waited=0.5)
    comparison = the_comparison(tmp_path)
    assert plot.draw(comparison, []) is None
    table = cost_table(comparison.block)
    assert table.note.count("cannot be compared here: the machine was busy") == 1
    assert table.gist == "not comparable: the machine was busy"
    assert {*cells(table, "comparable").values()} == {"no: busy 50 %"}


@pytest.mark.parametrize(("number", "seed"), [(2, 0), (6, 1), (6, 2), (22, 3), (22, 4)])
def test_no_name_covers_another_name_or_a_point(number, seed):
    draw = random.Random(seed)
    points = [(draw.gauss(500, 120), draw.gauss(350, 80)) for _ in range(number)]
    sizes = [(draw.uniform(30, 90), 15.0) for _ in points]
    centres = labels.place(points, sizes, [], (0, 0, 1000, 700))
    boxes = [
        (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        for (x, y), (width, height) in zip(centres, sizes, strict=True)
    ]
    for k, (left, bottom, right, top) in enumerate(boxes):
        assert left >= 0 and bottom >= 0 and right <= 1000 and top <= 700
        assert not any(left <= x <= right and bottom <= y <= top for x, y in points)
        for other in boxes[k + 1 :]:
            assert left >= other[2] or right <= other[0] or bottom >= other[3] or top <= other[1]


# ---------------------------------------------------------------- how long threads wait


def test_the_share_of_waiting_is_that_of_the_kernels_counters(monkeypatch, tmp_path):
    (tmp_path / "1").mkdir()
    clock = iter([10.0, 13.0])
    monkeypatch.setattr(waiting, "_TASKS", tmp_path)
    monkeypatch.setattr(waiting.time, "process_time", lambda: next(clock))
    (tmp_path / "1" / "schedstat").write_text("5 2000000000 7\n")
    share = waiting.WaitingShare()
    (tmp_path / "1" / "schedstat").write_text("5 3000000000 7\n")
    assert share.now() == pytest.approx(1 / 4)  # a second of waiting, three of computing
    monkeypatch.setattr(waiting, "_TASKS", tmp_path / "none")
    monkeypatch.setattr(waiting.time, "process_time", lambda: 0.0)
    assert math.isnan(waiting.WaitingShare().now())
