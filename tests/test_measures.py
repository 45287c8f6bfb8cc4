"""What is measured is declared once: the glossary knows every column, metric and tag of a real run; and the user's own measurements."""

from __future__ import annotations

import csv
import json
import os
import re
import string
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from processes import Command
from sklearn.datasets import load_digits
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from actbench.errors import UserError
from actbench.measures import glossary, glossary_markdown, own, registry
from actbench.measures.quantities import column_kinds, quantities_of
from actbench.settings import Choice
from actbench.sinks.logdir import events_of
from actbench.store import own_tables, reader

SMALL = ["dataset=digits", "train.epochs=2", "num_seeds=2", "model.width=16", "model.depth=2", "train.threads=1"]
README = Path(__file__).parents[1] / "README.md"


def folder_of(home, study):
    (folder,) = {path.parent for path in (home / "outputs" / study).glob("*/settings.yaml")}
    return folder


# ---------------------------------------------------------------- one declaration


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """A run that leaves all files: units die, PReLU learns, INT8 is asked for, bf16 trains, there are looks between.

    Of its classes, some are rare.
    """
    home = tmp_path_factory.mktemp("everything")
    x, y = load_digits(return_X_y=True)
    kept = (y < 5) | (np.arange(len(y)) % 3 == 0)
    np.savez(home / "digits.npz", x=x[kept].reshape(-1, 8, 8).astype(np.uint8), y=y[kept])
    done = Command(*SMALL[1:], "dataset=arrays", "dataset.path=digits.npz", "optimizer.lr=0.3", "activation=relu", "upper_activation=prelu", "probe_every=20", "quantise=int8",
                   "train.precision=bf16", "clip=norm", "study=all", cwd=home).wait()  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder_of(home, "all")


def test_every_column_of_every_table_is_declared(everything):
    tables = {path.stem: path for path in everything.glob("*.csv")}
    assert tables.keys() == registry.tables().keys()
    entries = {(table, quantity.key) for quantity in glossary() for table in quantity.tables}
    for name, path in tables.items():
        with path.open(newline="") as file:
            columns = next(csv.reader(file))
        assert columns == [quantity.key for quantity in quantities_of(registry.tables()[name])]
        assert {(f"{name}.csv", column) for column in columns} <= entries


def test_every_metric_of_a_summary_is_declared(everything):
    metrics = json.loads((everything / "summary.json").read_text())["metrics"]
    declared = [quantity.summary for quantity in registry.declared() if quantity.summary]
    assert sorted(metrics) == sorted(declared)  # and each once


def test_every_tag_is_declared(everything):
    templates = [quantity.tag for quantity in registry.declared() if quantity.tag]
    assert len({*templates}) == len(templates)
    patterns = {template: re.compile(re.sub(r"\\{\w+\\}", r"[\\w.]+", re.escape(template))) for template in templates}
    views = [EventAccumulator(str(path)).Reload() for path in (events_of(everything), events_of(everything) / "seed=0")]
    tags = {tag for view in views for tag in view.Tags()["scalars"]}
    of_tags = {tag: [t for t, pattern in patterns.items() if pattern.fullmatch(tag)] for tag in tags}
    # `grad_norm/all` is the network's own, and no layer is called `all`
    assert all(len(found) == 1 or tag == "grad_norm/all" for tag, found in of_tags.items()), of_tags
    assert {t for found in of_tags.values() for t in found} == {*templates}  # all of them can be seen


def test_declarations_are_whole():
    for quantity in registry.declared():
        assert quantity.definition.endswith("."), quantity.key
        assert quantity.title and quantity.taken, quantity.key
    for kind in registry.row_types():
        kinds = column_kinds(kind)
        for quantity in quantities_of(kind):
            names = [name for _, name, _, _ in string.Formatter().parse(quantity.tag) if name]
            assert {*names} <= kinds.keys()
            assert not quantity.over_layers or {"layer", "units"} <= kinds.keys()


def test_the_glossary_names_each_once_and_says_where_it_is():
    entries = [(table, quantity.key) for quantity in glossary() for table in quantity.tables]
    assert len({*entries}) == len(entries)
    assert {quantity.key for quantity in glossary()} == {quantity.key for quantity in registry.declared()}
    lines = glossary_markdown().splitlines()
    assert len(lines) == 2 + sum(not quantity.identifies for quantity in glossary()) and all(
        line.count(" |") >= 5 for line in lines[2:]
    )


def test_the_readme_has_the_glossary():
    _, _, rest = README.read_text(encoding="utf-8").partition("<!-- glossary -->")
    assert rest.partition("<!-- /glossary -->")[0].strip() == glossary_markdown()


def test_declarations_need_no_torch():
    """The report and the diagnosis import them."""
    modules = [f"actbench.measures.{path.stem}" for path in Path(registry.__file__).parent.glob("[a-z]*.py")]
    code = f"import sys, {', '.join(modules)}\nfrom actbench.store import reader, own_tables\nimport actbench.report.command\n"
    code += "from actbench.measures import glossary\nglossary()\nassert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------- of the user's own

MINE = '''
"""Looks at what it is given, and does all that could disturb the training."""
import os, random
from dataclasses import dataclass

import numpy as np
import torch

from actbench.measures import Moment, measured


@dataclass(frozen=True)
class Row:
    seed: int
    epoch: int
    layer: str
    units: int
    above: float = measured("Share of pre-activations above the margin.", title="above margin", percent=True, digits=1,
                            over_layers="units", tag="above/{layer}", summary="above_ratio")
    largest: float = measured("Largest output.", better="lower")


class Above:
    row, when = Row, ("start", "epoch")

    def __init__(self, margin=0.0):
        self.margin = margin

    def measure(self, moment: Moment):
        torch.manual_seed(3), np.random.seed(1), random.seed(5), torch.set_num_threads(2), os.environ.update(A="b")
        assert moment.step == moment.epoch * 20 and moment.last == (moment.epoch == 2)
        assert len(moment.x) == len(moment.y) == 180
        for layer, z in moment.z.items():
            for k, seed in enumerate(moment.seeds):
                network = moment.network(seed)
                kept = []
                network.get_submodule(layer).activation.register_forward_pre_hook(lambda _, a: kept.append(a[0]))
                network(moment.x)
                assert torch.allclose(kept[0], z[k], atol=1e-5)
                assert torch.equal(network.get_submodule(layer).activation(z[k]), moment.h[layer][k])
                loss = torch.nn.functional.cross_entropy(network(moment.x), moment.y)
                loss.backward()
                yield Row(seed, np.int64(moment.epoch), layer, z.shape[2], (z[k] > self.margin).float().mean(), moment.h[layer][k].max())
                for parameter in network.parameters():
                    parameter.data.zero_()
        moment.x.zero_(), moment.y.zero_()
        for tensor in (*moment.z.values(), *moment.h.values()):
            tensor.zero_()


@dataclass(frozen=True)
class Total:
    seed: int
    epoch: int
    step: int
    weights: int = measured("Number of weights that are not 0.", title="weights", digits=0, tag="weights/all", summary="weights")


class Weights:
    row, when = Total, ("end",)

    def measure(self, moment):
        return [Total(s, moment.epoch, moment.step, sum(int((p != 0).sum()) for p in moment.network(s).parameters()))
                for s in moment.seeds]
'''


def place(home, **files):
    """`conf/measure/NAME.yaml` for each, and the module that they name."""
    (home / "conf" / "measure").mkdir(parents=True)
    (home / "my_measures.py").write_text(MINE)
    for name, text in files.items():
        (home / "conf" / "measure" / f"{name}.yaml").write_text(text)


@pytest.fixture(scope="module")
def with_own(tmp_path_factory):
    """One study without trust, and one with two measurements that are trusted: the folders and what was printed."""
    home = tmp_path_factory.mktemp("own")
    place(
        home, above="# a margin\n_target_: my_measures.Above\nmargin: 0.5\n", weights="_target_: my_measures.Weights\n"
    )
    plain = Command(*SMALL, "study=plain", cwd=home).wait()
    trusted = Command(*SMALL, "study=mine", "trust=my_measures", cwd=home).wait()
    assert plain.returncode == trusted.returncode == 0, plain.stderr + trusted.stderr
    return home, plain, trusted


def test_what_is_not_trusted_is_not_imported_and_one_line_says_so(with_own):
    home, plain, _ = with_own
    said = [line for line in plain.stderr.splitlines() if "conf/measure" in line]
    assert said == [
        f"conf/measure/{name}.yaml is not used: trust=my_measures measures what it names"
        for name in ("above", "weights")
    ]
    folder = folder_of(home, "plain")
    assert not (folder / "measures.json").exists() and not (folder / "above.csv").exists()
    assert "measures" not in (folder / "settings.yaml").read_text()


def test_its_rows_are_a_table(with_own):
    home, _, trusted = with_own
    folder = folder_of(home, "mine")
    kinds = own_tables.read(folder)
    rows = reader.records(folder / "above.csv", kinds["above"])
    assert [(row.epoch, row.layer, row.seed) for row in rows] == [
        (epoch, layer, seed) for epoch in range(3) for layer in ("hidden1", "hidden2") for seed in (0, 1)
    ]
    assert all(row.units == 16 and 0 < row.above < 1 for row in rows)
    assert len(reader.records(folder / "weights.csv", kinds["weights"])) == 2  # at the end alone
    assert "above margin %" in trusted.stdout
    metrics = json.loads((folder / "summary.json").read_text())["metrics"]
    last = [row.above for row in rows if row.epoch == 2 and row.seed == 1]
    assert metrics["above_ratio"]["values"][1] == pytest.approx(sum(last) / 2)
    assert len(metrics["weights"]["values"]) == 2


def test_looking_changes_nothing(with_own):
    home, *_ = with_own
    plain, mine = folder_of(home, "plain"), folder_of(home, "mine")
    assert plain.name == mine.name  # it is no part of the identity
    for seed in (0, 1):
        name = f"checkpoints/seed={seed}.pt"
        assert (plain / name).read_bytes() == (mine / name).read_bytes()
    assert (plain / "layers.csv").read_bytes() == (mine / "layers.csv").read_bytes()


def test_its_tags_are_in_tensorboard(with_own):
    home, *_ = with_own
    folder = folder_of(home, "mine")
    rows = reader.records(folder / "above.csv", own_tables.read(folder)["above"])
    view = EventAccumulator(str(events_of(folder) / "seed=1")).Reload()
    told = [(event.step, event.value) for event in view.Scalars("above/hidden2")]
    assert told == [(r.epoch, pytest.approx(r.above)) for r in rows if (r.seed, r.layer) == (1, "hidden2")]
    mean = EventAccumulator(str(events_of(folder))).Reload()
    assert {"above/all", "weights/all"} <= {*mean.Tags()["scalars"]}


def test_the_report_has_its_table_without_its_code(with_own, tmp_path):
    home, *_ = with_own
    done = Command("report", str(home / "outputs" / "mine"), "--full", cwd=tmp_path).wait()  # where its module is not
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["configuration", "layer", "above", "margin", "%", "largest"] in lines
    assert any(line[:2] == ["relu", "all"] and line[-1] == "–" for line in lines)  # `largest` has none over layers
    assert ["configuration", "weights"] in lines
    assert "Share of pre-activations above the margin" in (home / "outputs/mine/report/report.md").read_text()


def test_a_complete_run_without_it_is_shown_as_it_is(with_own):
    home, *_ = with_own
    done = Command(*SMALL, "study=plain", "trust=my_measures", cwd=home).wait()
    assert done.returncode == 0
    assert "trained without conf/measure/above.yaml: another study=NAME trains it again" in done.stdout
    assert not (folder_of(home, "plain") / "above.csv").exists()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise KeyError('gone')", r"KeyError: 'gone' \(my_measures.py, line \d+, in measure\)"),
        ("return [1]", "gave an int where a Row is expected"),
        ("return [Row(9, moment.epoch, 'a', 1, 0.5, 0.5)]", r"a row for seed 9; there are \[0, 1\]"),
        ("return [Row(0, 7, 'a', 1, 0.5, 0.5)]", "a row for epoch 7 after epoch 0"),
        ("return [Row(0, 0, 'a', 1, 'much', 0.5)]", "`above` of a row is 'much', and is declared as float"),
        ("return [Row(0, 0, 'a', 1.5, 0.5, 0.5)]", "`units` of a row is 1.5, and is declared as int"),
        ("return [Row(0, 0, 'a\\x1b', 1, 0.5, 0.5)]", "`layer` of a row is "),
        ("return [Row(0, 0, 'a', 1, 0.5, 0.5)] * 2", "two rows for seed 0, epoch 0, layer a"),
        ("return None", "TypeError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)  # fmt: skip
def test_bad_code_is_one_clear_message(code, said, tmp_path, monkeypatch):
    (measurement,) = loaded(tmp_path, monkeypatch, f"    def measure(self, moment):\n        {code}\n")
    moment = own.Moment(seeds=(0, 1), epoch=0, step=0, last=False, x=None, y=None, z={}, h={}, plain_network=None)
    with pytest.raises(UserError, match=said) as caught:
        measurement.rows(moment)
    assert str(caught.value).startswith("conf/measure/bad.yaml: ")
    assert "mend my_measures.Bad, or move the file away to train without it" in str(caught.value)


@pytest.fixture(autouse=True)
def _forget():
    """What a test imports as `my_measures` is not another's."""
    yield
    sys.modules.pop("my_measures", None)


def loaded(home, monkeypatch, body, name="bad", row=None):
    monkeypatch.chdir(home)
    head = MINE if row is None else f"{MINE}\n@dataclass(frozen=True)\nclass Row:\n{textwrap.indent(row, '    ')}\n"
    (home / "my_measures.py").write_text(f"{head}\n\nclass Bad:\n    row, when = Row, ('start', 'epoch')\n{body}")
    from actbench.custom import source_files

    source_files.content.cache_clear()
    return own.load([Choice(name, "my_measures.Bad")], ["my_measures"])


@pytest.mark.parametrize(
    ("name", "row", "said"),
    [
        ("layers", None, "a run has a layers.csv already"),
        ("no.name", None, "is no name for a table"),
        ("x", "seed: int\nvalue: float = measured('It.')", "needs the fields seed: int and epoch: int"),
        ("x", "seed: int\nepoch: int\nvalue: float = 0.0", "no field that is `measured`"),
        ("x", "seed: int\nepoch: int\nvalue: list = measured('It.')", "`value` is of type list; a column is int, float or str"),
        ("x", "seed: str\nepoch: int\nvalue: float = measured('It.')", "`seed` of `Row` is str, and has to be int"),
        ("x", "seed: int\nepoch: int\nvalue: float = measured('It.', tag='t/{layer}')", "names `layer`, which is no field"),
        ("x", "seed: int\nepoch: int\nvalue: float = measured('It.', summary='test_loss')", "`test_loss` is a name that actbench has already"),
        ("x", "seed: int\nepoch: int\nvalue: float = measured('It.', tag='loss/train')", "`loss/train` is a name that actbench has already"),
        ("x", "seed: int\nepoch: int\nlayer: str\nvalue: float = measured('It.', summary='s')", "`over_layers` has to say how"),
        ("x", "seed: int\nepoch: int\nlayer: str\nvalue: float = measured('It.', over_layers='units')", "there is no field `units`"),
        ("x", "seed: int\nepoch: int\nvalue: float = measured('It.', over_layers='median')", "has to be units, mean or sum"),
        ("x", "seed: int\nepoch: int\nvalue: float = measured('It.', colour=1)", "colour"),
        ("x", "seed: int\nepoch: int\nvalue: float = measured('It.', title=5)", "`title` of `value` is 5"),
        ("x", "seed: int\nepoch: int\nvalue: float = measured('It.', digits=10**6)", "`digits` of `value` is 1000000, and has to be 0 to 12"),
    ],
)  # fmt: skip
def test_a_class_that_is_not_like_that_is_told_before_training(name, row, said, tmp_path, monkeypatch):
    with pytest.raises(UserError) as caught:
        loaded(tmp_path, monkeypatch, "    def measure(self, moment):\n        return []\n", name, row)
    assert said in str(caught.value)


def test_it_is_told_at_once_by_the_command(tmp_path):
    place(tmp_path, layers="_target_: my_measures.Above\n", above="_target_: my_measures.Above\nmargn: 1\n")
    done = Command(*SMALL, "trust=my_measures", cwd=tmp_path).wait()
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "conf/measure/above.yaml" in done.stderr and "margn" in done.stderr
    assert not list((tmp_path / "outputs").glob("*/*"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("_target_: os.system\ncommand: id\n", "trust=os measures what it names"),
        ("_target_: torch.save\n", "does not name a measurement of yours"),
        ("margin: 1\n", "does not name a measurement of yours"),
        ("_target_: my_measures.Above\nmargin: ${oc.env:HOME}\n", "would look something up"),
        ("trust: my_measures\n_target_: my_measures.Above\n", "`trust` cannot be switched on by a file"),
    ],
)
def test_a_strangers_file_does_nothing(text, said, tmp_path, monkeypatch):
    from actbench.custom import measure_files

    place(tmp_path, evil=text)
    monkeypatch.chdir(tmp_path)
    try:
        assert measure_files.enrolled(()) == ()
        lines = measure_files.unused(())
    except UserError as error:
        lines = [str(error)]
    assert said in "\n".join(lines) and "my_measures" not in sys.modules


def test_a_damaged_measures_json_is_told(tmp_path):
    for text in ("[]", "{", '{"a": {"seed": {"type": "list"}}}', '{"../a": {}}', '{"a": {"seed": {"type": "int"}}}',
                 '{"a": {"seed": {"type": "int", "digits": "2"}, "epoch": {"type": "int"}}}',
        '{"a": {"seed": {"type": "int", "digits": 999999999}, "epoch": {"type": "int"}}}',
        '{"a": {"seed": {"type": "int"}, "epoch": {"type": "int"}, "layer": {"type": "str"}, "v": {"type": "float", "definition": "x", "over_layers": "units"}}}', '{"a\\u001b": {}}'):  # fmt: skip
        (tmp_path / "measures.json").write_text(text)
        with pytest.raises(UserError, match=r"measures\.json"):
            own_tables.read(tmp_path)
        assert own_tables.metrics(tmp_path) == []


def test_a_table_that_every_run_has_is_no_own_one(tmp_path):
    content = (
        '{"History": {"seed": {"type": "int"}, "epoch": {"type": "int"}, "v": {"type": "float", "definition": "x"}}}'
    )
    (tmp_path / "measures.json").write_text(content)
    with pytest.raises(
        UserError, match=r"measures\.json: does not describe tables \(History\.csv is a table of actbench"
    ):
        own_tables.read(tmp_path)


@pytest.mark.parametrize("when", [3, None, "start", [], ["start", "later"], [["start"]], {"start": 1}])
def test_when_is_a_list_of_moments(when):
    measurement = type("Measurement", (), {"when": when, "row": None, "measure": print})
    with pytest.raises(ValueError, match=r"`when` is .* has to be a list of some of start, epoch, end"):
        own.checked_row_type("mine", measurement)


@pytest.mark.parametrize(
    ("make", "said"), [(Path.mkdir, "is a folder"), (os.mkfifo, "cannot be read (it is not a plain file)")]
)
def test_what_is_no_file_is_told_as_what_it_is(make, said, tmp_path, monkeypatch):
    from actbench.custom import measure_files

    (tmp_path / "conf/measure").mkdir(parents=True)
    make(tmp_path / "conf/measure/mine.yaml")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        measure_files.enrolled(())
    assert f"conf/measure/mine.yaml: {said}" in str(error.value) and str(tmp_path) not in str(error.value)


def test_an_interrupted_run_goes_on_with_it(tmp_path, monkeypatch):
    """And with one that was not there when it began, whose table begins where it goes on."""
    import torch
    from helpers import random_splits, settings_of

    from actbench.store.folder import RunFolder
    from actbench.train import Control, build, fit

    (measurement,) = loaded(tmp_path, monkeypatch, (
        "    def measure(self, moment):\n        assert not torch.is_inference_mode_enabled()\n"
        "        return [Row(s, moment.epoch, 'a', 1, 0.25 + torch.rand(()).item() / 2, 1.0) for s in moment.seeds]\n"
    ))  # fmt: skip
    monkeypatch.setattr(build, "load_splits", lambda settings: random_splits())

    def training():
        made = build.build(settings_of("num_seeds=2", "model.width=8", "train.batch_size=16", "train.epochs=2"))
        made.measurements = (measurement,)
        return made

    whole = list(fit(training(), control=Control()))
    first, folder = training(), RunFolder(tmp_path / "run", {"bad": measurement.row})
    (tmp_path / "run").mkdir()
    head = [next(fit_) for fit_ in [fit(first, control=Control())] for _ in range(2)]
    folder.write_epochs(head)
    folder.write_resume(first.state(), head, torch.device("cpu"), True)
    state, again = RunFolder(tmp_path / "run", {"bad": measurement.row}).read_resume(torch.device("cpu"), True)
    second = training()
    second.load_state(state)
    tail = list(fit(second, control=Control(), done=1))
    rows = [epoch.of(measurement.row) for epoch in (*again, *tail)]
    assert rows == [epoch.of(measurement.row) for epoch in whole] and all(rows)


def test_a_file_whose_name_ends_otherwise_is_not_ignored_without_a_word(tmp_path, monkeypatch):
    from actbench.custom import measure_files

    (tmp_path / "conf/measure").mkdir(parents=True)
    (tmp_path / "conf/measure/mine.yml").write_text("_target_: my_measures.Positive\n")
    monkeypatch.chdir(tmp_path)
    assert measure_files.enrolled(["my_measures"]) == ()
    assert measure_files.unused(["my_measures"]) == ["conf/measure/mine.yml is not used: its name has to end in .yaml"]
