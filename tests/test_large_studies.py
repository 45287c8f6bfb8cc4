"""Large studies: what is kept of the runs never changes what a report says, and files are read once; long tables."""

from __future__ import annotations

import base64
import io
import json
import math
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import zlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from helpers import fake_run, settings_of
from rich.console import Console

from actbench import naming
from actbench.files import output, reading
from actbench.files.sections import parse_in_sections
from actbench.records import Estimate
from actbench.report import command, drawing, page, runs, side_by_side
from actbench.report import plots as drawn
from actbench.report.comparison import Comparison
from actbench.report.configurations import Block, Configuration
from actbench.report.plots import differences
from actbench.report.shared_settings import shared_settings
from actbench.report.text_table import Rows, TextTable
from actbench.report.values import Values
from actbench.report.verdict import decide
from actbench.settings import GROUPS, Choice
from actbench.sinks.tags import Thin
from actbench.store import packed, read_before
from actbench.store.read_before import FILE, ReadBefore

NAMES = ("relu", "gelu", "elu")
IMAGES = 1000


@pytest.fixture(autouse=True)
def _any_study_is_large(monkeypatch):
    monkeypatch.setattr(read_before, "AT_LEAST", 2)
    monkeypatch.setattr(read_before, "_RECENT", 0)


def one(folder, name, number, seed, level=None):
    settings = settings_of("dataset=digits", "num_seeds=1", "train.epochs=3", f"seed={seed}")
    optimizer = replace(settings.optimizer, params={**settings.optimizer.params, "lr": 1e-3 * (1 + number)})
    own = replace(settings, activation=Choice(name, "torch.nn.ReLU", {"p": NAMES.index(name)}), optimizer=optimizer)
    accuracy = level or round(95 + NAMES.index(name) / 2 + number / 5 + np.random.default_rng(seed).normal() / 3, 1)
    fake_run(folder / own.folder, own, [accuracy], images=IMAGES, time=f"2026-01-0{seed + 1}T00:00:00")
    return folder / own.folder


@pytest.fixture
def study(tmp_path):
    """Three activations at two learning rates with three seeds, each a run of its own."""
    for name in NAMES:
        for number in range(2):
            for seed in range(3):
                one(tmp_path / "s", name, number, seed)
    return tmp_path / "s"


@pytest.fixture
def opened(monkeypatch):
    """The names of the files that were opened, in a list that grows."""
    names = []
    plain = reading.open_plain

    def note(path, limit):
        names.append(Path(path).name)
        return plain(path, limit)

    monkeypatch.setattr(reading, "open_plain", note)
    return names


def outputs(study, *, cached=True, plots=False):
    """All that a report of a study says and writes, but for the time; `cached`: as it does, else from the files."""
    with pytest.MonkeyPatch.context() as patch:
        if not plots:
            patch.setattr(drawn, "plot_modules", list)
        if not cached:
            patch.setattr(runs.ReadBefore, "of", classmethod(lambda cls, study: cls(study)))
            patch.setattr(runs.ReadBefore, "save", lambda self: None)
        folder = study.parent / "report"
        report = command.make_report([study])
        command.write(report, folder)
    written = {
        path.relative_to(folder).as_posix(): re.sub(rb"\d{4}-\d\d-\d\d \d\d:\d\d", b"", path.read_bytes())
        for path in sorted(folder.rglob("*")) if path.is_file()
    }  # fmt: skip
    return written, [str(problem) for problem in report.problems]


def change(folder):
    files = folder / "environment.json"
    files.write_text(files.read_text().replace('"cpu"', '"cuda"'))


def contradict(folder):
    path = folder / "summary.json"
    path.write_text(path.read_text().replace('"epochs_done": 3', '"epochs_done": 2'))


def retrain(folder):
    settings = runs.find([folder]).runs[0].settings
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    fake_run(folder, settings, [99.9], images=IMAGES)


def remove(folder):
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


CHANGES = {
    "nothing": lambda study, folder: None,
    "a run that was changed": lambda study, folder: change(folder),
    "a run that contradicts itself": lambda study, folder: contradict(folder),
    "a run that was trained again": lambda study, folder: retrain(folder),
    "a run that is gone": lambda study, folder: remove(folder),
    "a run more": lambda study, folder: one(study, "relu", 1, 7),
    "a cache that is cut": lambda study, folder: os.truncate(study / FILE, 5000),
    "a cache that is empty": lambda study, folder: os.truncate(study / FILE, 0),
    "a cache that is something else": lambda study, folder: (study / FILE).write_bytes(b"relu" * 9999),
    "a cache of an older version": lambda study, folder: edited(study, "UPDATE about SET version = '0.1.0 1'"),
    "a cache with a run of other results": lambda study, folder: edited(study, "UPDATE runs SET run = replace(run, '9', '8')"),
    "a cache with other parts": lambda study, folder: edited(study, "UPDATE parts SET part = replace(part, 'elu', 'ELU')"),
    "a cache without tables": lambda study, folder: edited(study, "DROP TABLE runs"),
    "a cache of runs that were exchanged": lambda study, folder: exchanged(study),
    "a cache that others may write": lambda study, folder: (study / FILE).chmod(0o666),
}  # fmt: skip


def edited(study, line):
    database = sqlite3.connect(study / FILE)
    with database:
        database.execute(line)
    database.close()


def exchanged(study):
    """The rows of two runs under each other's names: the inodes of the files tell."""
    database = sqlite3.connect(study / FILE)
    with database:
        (a, *one), (b, *other) = database.execute("SELECT * FROM runs ORDER BY name LIMIT 2").fetchall()
        for name, row in ((a, other), (b, one)):
            database.execute("UPDATE runs SET files = ?, run = ?, checksum = ? WHERE name = ?", (*row, name))
    database.close()


@pytest.mark.parametrize("case", CHANGES)
def test_a_report_says_the_same_with_what_was_kept(study, case):
    outputs(study)
    assert (study / FILE).is_file()
    CHANGES[case](study, sorted(path for path in study.iterdir() if path.is_dir())[3])
    kept = outputs(study, plots=case == "nothing")
    assert kept == outputs(study, cached=False, plots=case == "nothing")
    assert case == "nothing" or outputs(study) == kept


def test_what_was_kept_is_not_read_again_and_nothing_is_read_twice(study, opened):
    command.make_report([study])
    of_run = ("settings.yaml", "summary.json", "history.csv", "environment.json")
    assert {name: opened.count(name) for name in of_run} == dict.fromkeys(of_run, 18)
    opened.clear()
    command.make_report([study])
    assert not {*of_run} & {*opened}


def test_only_the_runs_that_changed_are_read(study, opened):
    runs.find([study])
    folder = next(path for path in study.iterdir() if path.is_dir())
    change(folder)
    opened.clear()
    runs.find([study])
    assert opened == ["settings.yaml", "summary.json", "environment.json", "history.csv"]


def test_runs_are_kept_as_they_are(study):
    first = {run.folder: run for run in runs.find([study]).runs}
    for run in runs.find([study]).runs:
        before = first[run.folder]
        assert (run, run.surroundings) == (before, before.surroundings)
        assert repr(run.epochs) == repr(before.epochs)  # NaN is not equal to itself
        assert run.settings.id == replace(run.settings).id


def test_some_of_the_runs_leave_the_rest_of_the_cache(study, opened):
    runs.find([study])
    runs.find(sorted(path for path in study.iterdir() if path.is_dir())[:9])
    opened.clear()
    runs.find([study])
    assert opened == []


def test_where_the_cache_cannot_be_written_there_is_none(study, monkeypatch):
    def full(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(read_before, "replacing", full)
    assert outputs(study) == outputs(study, cached=False)
    assert not (study / FILE).exists()


def test_a_cache_that_is_a_link_is_neither_read_nor_written(study, tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"")
    (study / FILE).symlink_to(tmp_path / "elsewhere")
    runs.find([study])
    assert (tmp_path / "elsewhere").read_bytes() == b"" and (study / FILE).is_symlink()


def test_what_does_not_read_back_is_not_kept(study):
    run = runs.find([study]).runs[0]
    odd = replace(run.settings, activation=Choice("relu", "torch.nn.ReLU", {1: 2}))  # JSON has no such key
    stored = packed.Stored(odd, run.summary, (), {})
    assert packed.pack(stored, packed.Parts()) is None


FINDS = """
import os, sys
from pathlib import Path
from actbench.report import runs
from actbench.store import read_before
read_before.AT_LEAST, read_before._RECENT = 2, 0
study, other, *user = sys.argv[1:]
runs.find([Path(other)])  # imports what it needs
if user:
    os.seteuid(int(user[0]))
for _ in range(3):
    found = runs.find([Path(study)])
    print(len(found.runs), found.problems, sorted(repr((run, run.epochs, run.surroundings)) for run in found.runs))
"""


def finding(*words):
    """Another process that finds the runs of a study three times, and prints them."""
    words = [sys.executable, "-c", FINDS, *map(str, words)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_processes_that_read_and_write_the_cache_at_once_all_find_the_same(study, tmp_path):
    one(tmp_path / "t", "relu", 0, 0)
    processes = [finding(study, tmp_path / "t") for _ in range(3)]
    printed = [process.communicate(timeout=300)[0].splitlines() for process in processes]
    assert {len(lines) for lines in printed} == {3} and len({line for lines in printed for line in lines}) == 1
    assert printed[0][0].startswith("18 [] ")
    assert len(ReadBefore.of(study).rows) == 18
    assert [path.name for path in study.iterdir() if not path.is_dir()] == [FILE]  # nothing is left behind


@pytest.mark.skipif(os.name != "posix", reason="folders of others are those of POSIX")
def test_who_may_only_read_a_study_reads_it_without_a_cache(study):
    """Neither is that of another user read, nor one written."""
    runs.find([study])
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to other users
        Path(folder).chmod(0o755)
        theirs, other = Path(shutil.copytree(study, Path(folder) / "s")), Path(folder) / "t"
        one(other, "relu", 0, 0)
        edited(theirs, "UPDATE runs SET run = 'not read'")
        before = (theirs / FILE).read_bytes()
        theirs.chmod(0o555)
        another = [NOBODY] if os.geteuid() == 0 else []
        printed = finding(theirs, other, *another).communicate(timeout=300)[0].splitlines()
        assert len({*printed}) == 1 and printed[0].startswith("18 [] "), printed
        assert (theirs / FILE).read_bytes() == before
        theirs.chmod(0o755)


NOBODY = 65534

# ---------------------------------------------------------------- settings.yaml, section by section

TEXTS = (
    "id: 85c56884dd\nseed: 0\n", "id: 1234567890\n", "id: 0b01010101\n", "a: yes\nno: 1\n", "a: 1\na: 2\n", "a: ~\nb:\n",
    "a:\n- 1\n- b: 2\nc: 1.0e-08\n", "a: &x 1\nb: *x\n", 'a: "1"\n', "a: {}\nb: []\n", "a: {b: 1}\n", "a: x\n  y\nb: 2\n",
    "a: |\n  x\nb: 1\n", "a: b: c\n", "a\n", "- a\n", "---\na: 1\n", "a: 1\n...\nb: 2\n", "a: 1 # b\n", "true: 1\nyes: 2\n",
    "a:\n  b: 1\n c: 2\n", "a: 2026-01-01\n", "a: é\n", "a: \x1b[2J\n", "a:\tb\n", "a: 1", "", "a: 1\n\nb: 2\n", "<<: 1\n",
    "a: 1_000\nb: 0o7\nc: 017\nd: 1e3\ne: .inf\n", "a: 12:30:45\n", "a:\n  b:\n    c: 1\n  b: 2\n",
)  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_sections_say_what_the_whole_says(text):
    def outcome(read):
        try:
            return repr(read(text))
        except (ValueError, yaml.YAMLError) as error:
            return type(error), str(error)

    assert outcome(lambda t: parse_in_sections(t, lambda _, value: value)) == outcome(reading.parse_yaml)


def test_runs_that_are_alike_share_their_choices(study):
    found = runs.find([study]).runs
    for group in ("model", "init", "dataset", "train"):
        assert len({id(getattr(run.settings, group)) for run in found}) == 1


def test_a_choice_that_is_shared_counts_like_one_that_is_read_again():
    """Names and shared settings are made of the few that differ; each with choices of its own gives the same."""
    typed = [("relu", 0.1), ("relu", 0.2), ("gelu", 0.1), ("leaky_relu", 0.1), ("leaky_relu", 0.4), ("gelu", 0.1)]
    apart = [settings_of(f"activation={name}", f"optimizer.lr={rate}", "init.gain=1.5") for name, rate in typed]
    known: dict[str, object] = {}
    alike = [
        replace(one, **{group: known.setdefault(repr(getattr(one, group)), getattr(one, group)) for group in GROUPS})
        for one in apart
    ]
    assert [alike.index(one) for one in naming.distinct(alike)] == [0, 1, 2, 3, 4]
    keys = naming.varying(apart)
    assert keys == naming.varying(alike) == ["activation", "optimizer.lr"]
    assert naming.names(apart) == naming.names(alike)
    assert naming.names(alike[:3]) == ["relu lr=0.1", "relu lr=0.2", "gelu lr=0.1"]
    assert shared_settings(apart, keys) == shared_settings(alike, keys)
    assert "init.gain=1.5" in shared_settings(alike, keys)[0]


# ---------------------------------------------------------------- values, rows and pictures of very many


def test_values_are_those_of_the_newest_run_that_has_the_seed():
    def summary(seeds, **metrics):
        estimates = {name: Estimate.of([math.nan if v is None else v for v in of]) for name, of in metrics.items()}
        return SimpleNamespace(seeds=seeds, metrics=estimates)

    values = Values(
        [summary((2, 0, 1), a=[2.0, 0.5, None], b=[1.0, 1.0, 1.0]), summary((1, 0), a=[7.0, None], c=[3.0, 4.0])]
    )
    assert {**values} == {"a": {1: 7.0, 2: 2.0}, "b": {2: 1.0}, "c": {0: 4.0, 1: 3.0}}
    assert [*values["a"]] == [1, 2] and [*values] == ["a", "b", "c"]
    assert "d" not in values and values.get("d", {}) == {}


def test_rows_are_made_when_they_are_asked_for():
    made = []
    rows = Rows(lambda name, number: made.append(name) or (name, str(number)), ["a", "b", "c"], range(3))
    assert len(rows) == 3 and not made
    assert (rows[1], rows[-1], rows[1:]) == (("b", "1"), ("c", "2"), [("b", "1"), ("c", "2")])
    assert made == ["b", "c"]
    assert [*rows] == [("a", "0"), ("b", "1"), ("c", "2")]
    with pytest.raises(IndexError):
        rows[3]


def test_the_picture_of_differences_has_the_rows_that_its_caption_counts():
    """Of ninety, two of three have too few seeds to be compared."""
    of, metrics = settings_of(), ("test_accuracy", "val_accuracy")
    configurations = [
        Configuration(
            name=f"c{k}", settings=of, runs=(), diverged={}, seconds_per_epoch=1.0, samples_per_second=1.0, parameters=1,
            values={name: {s: 97 - k / 9 + s / 100 for s in range(1 if k % 3 else 5)} for name in metrics},
        )
        for k in range(90)
    ]  # fmt: skip
    block = Block(title="", shared="", configurations=tuple(configurations), waiting=(), remarks=(), varying=())
    comparison = Comparison(block, decide(block), None, None, ())
    found = differences.draw(comparison, [])
    rows = [label.get_text() for label in found.figure.axes[0].get_yticklabels()]
    assert rows == [f"c{3 * k}" for k in range(24)]
    assert found.caption.endswith("The best 24 of 30 configurations that are compared.")
    assert {*rows} | {f"c{k}" for k in range(24)} == {*drawing.names_in_pictures(comparison)}


# ---------------------------------------------------------------- long tables


def test_rows_beyond_the_first_hundred_are_packed():
    rows = tuple((f"relu <b>{number}</b>", f"{number}.5", "actbench more x") for number in range(400))
    marks = tuple("worse" if number % 3 else "" for number in range(400))
    table = TextTable("Long", ("configuration", "value", "command"), rows, marks)
    markup = str(page._template("parts.html").module.table_of(table))
    assert markup.count("<tr") == 101
    assert "300 more rows" in markup
    content = re.search(r'class="rest">([^<]*)<', markup)[1]
    unpacked = json.loads(zlib.decompress(base64.b64decode(content)))
    assert unpacked == [[mark, *row] for mark, row in zip(marks[100:], rows[100:], strict=True)]
    assert (
        str(page._template("parts.html").module.table_of(replace(table, rows=rows[:150], marks=()))).count("<tr") == 151
    )


# ---------------------------------------------------------------- TensorBoard


def test_epochs_that_tensorboard_is_shown():
    thin = Thin(every=4, epochs=10)
    assert [epoch for epoch in range(11) if thin.has(epoch)] == [0, 1, 4, 8, 10]
    assert all(Thin().has(epoch) for epoch in range(11))


def test_what_thins_tensorboard_is_no_part_of_a_run():
    usual, thin = settings_of(), settings_of("tensorboard_every=5", "tensorboard_detail=mean")
    assert usual.id == thin.id and usual.folder == thin.folder
    assert not {"tensorboard_every", "tensorboard_detail"} & usual.to_dict().keys()
    assert Thin.of(thin) == Thin(every=5, epochs=10, layers=False, seeds=False)


# ---------------------------------------------------------------- several processes


def test_runs_that_are_read_side_by_side_are_the_same(study, monkeypatch):
    """Also one that cannot be read: the process that asks says why."""
    contradict(sorted(path for path in study.iterdir() if path.is_dir())[3])
    alone = runs.find([study])
    (study / FILE).unlink()
    monkeypatch.setattr(runs, "_MANY", 2)
    monkeypatch.setattr(side_by_side, "_AT_ONCE", 6)
    monkeypatch.setattr(side_by_side.cores, "available", lambda: 2)
    monkeypatch.setattr(runs.gc, "freeze", lambda: None)
    monkeypatch.setattr(runs.gc, "set_threshold", lambda *_: None)
    monkeypatch.setattr(side_by_side.ProcessPoolExecutor, "submit", watched(asked := []))
    together = runs.find([study], of_command=True)
    assert len(asked) == 3  # chunks of six
    assert repr(together) == repr(alone)
    assert [run.surroundings for run in together.runs] == [run.surroundings for run in alone.runs]
    assert len(ReadBefore.of(study).rows) == len(alone.runs) == 17


def test_files_are_fetched_for_each_folder_once_and_before_it_is_read(tmp_path, monkeypatch):
    """Whatever is there in their place: no file, a folder, a pipe without a writer."""
    folders = [str(tmp_path / f"{number:03}") for number in range(3 * reading._AHEAD + 5)]
    for folder in folders:
        Path(folder).mkdir()
    Path(folders[0], "a").mkdir()
    os.mkfifo(Path(folders[1], "a"))
    opened, original = [], os.open
    monkeypatch.setattr(os, "open", lambda path, *flags: opened.append(path) or original(path, *flags))
    for number, folder in enumerate(reading.fetched(folders, ["a", "b"])):
        assert folder == folders[number] and f"{folder}/b" in opened
    assert sorted(opened) == sorted(f"{folder}/{name}" for folder in folders for name in "ab")
    assert not [*reading.fetched([], ["a"])]


@pytest.mark.parametrize("size", [10, reading.LINE // 8, reading._PART // 8, 60_000])
def test_a_small_file_reads_like_a_large_one(tmp_path, size):
    """Python's own text files are the oracle, also for line breaks of other systems."""
    path = tmp_path / "x.csv"
    rows = [["a", "b"], *([str(number), "é"] for number in range(size))]
    for end in ("\n", "\r\n", "\r"):
        path.write_bytes("".join(",".join(row) + end for row in rows).encode())
        assert reading.read_text(path) == path.read_text(encoding="utf-8")
        assert reading.read_bytes(path) == path.read_bytes()
        assert [*reading.rows(path, reading.MB)] == rows
    with pytest.raises(reading.NotReadable):
        reading.read_bytes(path, path.stat().st_size - 1)


def test_a_terminal_shows_how_far_it_is_and_a_file_does_not(study, monkeypatch):
    told = []
    monkeypatch.setattr(runs, "_MANY", 2)
    runs.find([study], tell=told.append)
    assert told == ["reading 18 runs", "comparing 18 runs"]
    for terminal in (True, False):
        screen = io.StringIO()
        monkeypatch.setattr(output.console, "Console", partial(Console, file=screen, force_terminal=terminal))
        with output.telling() as tell:
            tell("reading 18 runs")
        assert ("reading 18 runs" in screen.getvalue()) == terminal


def watched(asked):
    submit = side_by_side.ProcessPoolExecutor.submit
    return lambda pool, *words: asked.append(words) or submit(pool, *words)


def test_who_asks_for_runs_in_python_keeps_garbage_collection_as_it_is(study, monkeypatch):
    monkeypatch.setattr(runs, "_MANY", 2)
    monkeypatch.setattr(runs.gc, "freeze", lambda: pytest.fail("frozen"))
    monkeypatch.setattr(runs, "_read_side_by_side", lambda *_: pytest.fail("started"))
    before = runs.gc.get_threshold()
    assert len(runs.find([study]).runs) == 18
    assert (runs.gc.isenabled(), runs.gc.get_threshold()) == (True, before)
