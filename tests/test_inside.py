"""What the command leaves of the inside of a run: tables, findings, INT8; and what it does with wrong requests for them."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from dataclasses import asdict, replace

import pytest
import torch
from helpers import settings_of
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from actbench.errors import UserError
from actbench.job import Sinks, run
from actbench.measures.definitions import DefinitionRecord
from actbench.measures.layers import LayerRecord
from actbench.measures.lives import LookRecord, UnitEvent
from actbench.measures.scores import EpochRecord
from actbench.measures.shapes import ShapeRecord
from actbench.records import Epoch, Finding, RunSummary
from actbench.sinks.logdir import events_of
from actbench.sinks.terminal import TerminalSink
from actbench.store import reader
from actbench.store.folder import RunFolder

DYING = ["dataset=digits", "train.epochs=2", "num_seeds=2", "model.width=16", "model.depth=2", "train.threads=1",
         "optimizer.lr=0.3", "tensorboard=false"]  # fmt: skip


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def plain(value):
    """With None for NaN, which is not equal to itself."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def test_tables_read_back_exactly_as_they_were(tmp_path):
    files = RunFolder(tmp_path)
    epochs = [
        Epoch(
            number=0,
            rows=(
                LayerRecord(0, 0, "hidden1", 4, 0.25, 0, 0, 0.5, 0.1, 1.0, 0.3, 0, 0, 0, 0.25, 0.0, 0.0),
                UnitEvent(0, 0, 0.0, "hidden1", 3, "dead"),
                ShapeRecord(0, 0, "hidden1", "weight", 0.25, 0.0, 0.25, 0.25),
            ),
        ),
        Epoch(
            number=1,
            rows=(
                EpochRecord(0, 1, 1e-3, 0.5, 90.0, 0.6, 89.0, 1.0, 2.0, 0.125),
                LayerRecord(0, 1, "hidden1", 4, 0.0, 0, 0, 0.5, 0.1, 1.0, 0.3, 1, 0, 0, 0.0, 0.0, math.nan),
                LookRecord(0, 5, 5 / 7, "hidden1", 4, 0.0, 1, 0, 0, 0.0, 0.0, math.nan),
                UnitEvent(0, 5, 5 / 7, "hidden1", 3, "birth"),
                DefinitionRecord(0, 1, "hidden1", 4, "fires<1%", 1 / 3),
            ),
            train_seconds=1.5,
            look_seconds=0.5,
        ),
    ]
    files.write_epochs(epochs)
    files.write_resume({"some": torch.ones(2)}, epochs, torch.device("cpu"), True)
    state, again = RunFolder(tmp_path).read_resume(torch.device("cpu"), True)
    assert torch.equal(state["some"], torch.ones(2))
    for ours, theirs in zip(again, epochs, strict=True):
        assert replace(ours, rows=(), busy=0) == replace(theirs, rows=(), busy=0)
        assert ours.tables().keys() == theirs.tables().keys()
        for kind, rows_of_kind in theirs.tables().items():
            assert [plain(asdict(row)) for row in ours.of(kind)] == [plain(asdict(row)) for row in rows_of_kind]


def test_a_table_with_nothing_to_tell_is_not_there(tmp_path):
    for name in ("units.csv", "looks.csv"):
        (tmp_path / name).write_text("of an earlier attempt\n")
    RunFolder(tmp_path).write_epochs([Epoch(number=0)])
    assert {path.name for path in tmp_path.iterdir()} == {"history.csv", "layers.csv"}


def test_records_of_earlier_versions_are_read(tmp_path):
    (tmp_path / "history.csv").write_text(
        "seed,epoch,lr,train_loss,train_accuracy,val_loss,val_accuracy,grad_norm,seconds\n0,1,0.1,1,2,3,4,5,6\n"
    )
    (record,) = reader.table(tmp_path, EpochRecord)
    assert record.seconds == 6
    assert math.isnan(record.clipped)
    assert reader.table(tmp_path, UnitEvent) == []


def test_summaries_and_settings_of_earlier_versions_are_read(tmp_path):
    """They say nothing of what there was no choice of then."""
    from helpers import fake_run

    settings = settings_of("num_seeds=2")
    folder = fake_run(tmp_path / "run", settings, [97.0, 98.0])
    content = json.loads((folder / "summary.json").read_text())
    del content["findings"]
    (folder / "summary.json").write_text(json.dumps(content))
    text = (folder / "settings.yaml").read_text()
    kept = [line for line in text.splitlines() if not line.startswith(("probe_every", "quantise"))]
    (folder / "settings.yaml").write_text("\n".join(kept))
    assert reader.settings_of(folder) == settings
    assert reader.summary(folder).findings is None


def test_findings_survive_the_file(tmp_path):
    from helpers import fake_run

    folder = fake_run(tmp_path / "run", settings_of("num_seeds=2"), [97.0, 98.0])
    summary = reader.summary(folder)
    finding = Finding("units died", "hidden1: 75 %", "Steps too long.", ("optimizer.lr=0.001", "norm=batch"))
    RunFolder(folder).write_summary(replace(summary, findings=(finding,)))
    assert reader.summary(folder).findings == (finding,)
    assert isinstance(reader.summary(folder), RunSummary)


# ---------------------------------------------------------------- by a job, and by the command


def job(folder, *overrides, **about):
    """A job in this process: its summary, and what it says."""
    console = Console(file=io.StringIO(), width=100)
    summary = run(settings_of(*overrides), folder, terminal=TerminalSink(console, live=False, name="relu"), **about)
    return summary, console.file.getvalue()


def metrics_of(folder):
    return json.loads((folder / "summary.json").read_text())["metrics"]


def test_a_run_whose_units_die_says_so(tmp_path):
    folder = tmp_path / "dying"
    _, said = job(folder, *DYING, "probe_every=5")
    assert "dead-units: units died" in said
    assert re.search(r"^  try  optimizer\.lr=", said, re.MULTILINE)
    assert "of them probe_every" in said
    summary = json.loads((folder / "summary.json").read_text())
    assert "units died" in [finding["symptom"] for finding in summary["findings"]]
    assert 0 < summary["seconds"]["looks"] < summary["seconds"]["total"]
    died = {(r["seed"], r["layer"], r["unit"]) for r in rows(folder / "units.csv") if r["event"] == "death"}
    counted = sum(int(row["deaths"]) for row in rows(folder / "layers.csv"))
    assert counted >= len(died) > 10
    steps = {int(row["step"]) for row in rows(folder / "looks.csv")}
    assert {0, 5, 10} <= steps
    definitions = {row["definition"] for row in rows(folder / "definitions.csv")}
    assert {"exact", "dormant<=0.025", "fires<1%"} <= definitions
    _, again = job(folder, *DYING, "probe_every=5")  # the stored result says the same
    assert "already complete" in again and "units died" in again


HEALTHY = ["dataset=digits", "train.epochs=8", "num_seeds=2", "model.width=64", "train.threads=1"]


def test_int8_scores_every_seed_of_a_healthy_run_once_more(tmp_path):
    _, said = job(tmp_path, *HEALTHY, "activation=gelu", "quantise=int8")
    assert "nothing alarming" in said
    assert "INT8 affine" in said
    metrics = metrics_of(tmp_path)
    exact = metrics["test_accuracy"]["values"]
    for scheme in ("symmetric", "affine"):
        assert metrics[f"int8_{scheme}_accuracy"]["values"] == pytest.approx(exact, abs=2.5)
        assert all(20 < snr < 60 for snr in metrics[f"int8_{scheme}_snr"]["values"])
    board = EventAccumulator(str(events_of(tmp_path) / "seed=1")).Reload()
    for tag, name in (("int8_accuracy/affine", "int8_affine_accuracy"), ("int8_snr/symmetric", "int8_symmetric_snr")):
        (scalar,) = board.Scalars(tag)
        assert scalar.value == pytest.approx(metrics[name]["values"][1], rel=1e-5)
    table = rows(tmp_path / "quantised.csv")
    assert {(r["seed"], r["scheme"], r["layer"]) for r in table} == {
        (seed, scheme, layer) for seed in "01" for scheme in ("symmetric", "affine") for layer in ("hidden1", "output")
    }


@pytest.fixture
def complete(tmp_path, tiny):
    """A complete run without INT8: its folder, and its overrides."""
    asked = [*tiny, "tensorboard=false"]
    job(tmp_path / "later", *asked)
    return tmp_path / "later", asked


def test_int8_of_a_complete_run_comes_from_its_checkpoints(complete, tmp_path):
    folder, asked = complete
    before = json.loads((folder / "summary.json").read_text())
    trained = (folder / "checkpoints" / "seed=0.pt").stat().st_mtime_ns
    _, said = job(folder, *asked, "quantise=int8")
    assert "already complete" in said
    after = json.loads((folder / "summary.json").read_text())
    assert (folder / "checkpoints" / "seed=0.pt").stat().st_mtime_ns == trained
    added = {key: after["metrics"].pop(key) for key in list(after["metrics"]) if key.startswith("int8")}
    assert after == before
    job(tmp_path / "direct", *asked, "quantise=int8")
    assert added == {key: value for key, value in metrics_of(tmp_path / "direct").items() if key.startswith("int8")}
    assert (folder / "quantised.csv").read_bytes() == (tmp_path / "direct" / "quantised.csv").read_bytes()
    assert reader.settings_of(folder).quantise == "int8"
    _, shown = job(folder, *asked)
    assert "INT8 affine" in shown  # what was measured is shown, asked for or not


def test_a_sweep_says_which_run_was_scored_in_int8(actbench, tmp_path):
    asked = ["dataset=digits", "train.epochs=1", "num_seeds=1", "model.width=16", "train.threads=1", "study=several",
             "tensorboard=false"]  # fmt: skip
    for name in ("relu", "gelu"):
        settings = settings_of(*asked, f"activation={name}")
        job(tmp_path / "outputs" / "several" / settings.folder, *asked, f"activation={name}")
    lines = actbench("-m", *asked, "activation=relu,gelu", "quantise=int8").stdout.splitlines()
    scored = [line for line in lines if line.endswith("scored in INT8, from its checkpoints")]
    assert [line.split()[:2] for line in scored] == [["[1/2]", "relu"], ["[2/2]", "gelu"]]


def test_checkpoints_are_left_away_where_nobody_wants_them(tmp_path, monkeypatch):
    """The rest of the run is as with them, killed and gone on or not; INT8, which needs them later, says what is missing."""
    words = ["dataset=digits", "num_seeds=1", "train.epochs=2", "model.width=16", "tensorboard=false"]
    whole, without = [settings_of(*words, f"checkpoints={kept}") for kept in ("true", "false")]
    assert whole.id == without.id and "checkpoints" not in whole.to_dict()
    found = {}
    with monkeypatch.context() as patch:
        patch.setattr(Sinks, "epoch", _killed_after(1, Sinks.epoch))
        with pytest.raises(_Killed):
            _train(without, tmp_path / "without")
    assert (tmp_path / "without" / "resume.pt").exists()
    for name, settings in (("whole", whole), ("without", without)):
        found[name] = _train(settings, tmp_path / name).metrics
    left = {name: {str(path.relative_to(tmp_path / name)) for path in (tmp_path / name).rglob("*")} for name in found}
    assert left["whole"] - left["without"] == {"checkpoints", "checkpoints/seed=0.pt"}
    assert left["without"] < left["whole"] and found["without"] == found["whole"]
    folder = tmp_path / "without"
    with pytest.raises(UserError, match=r"has no checkpoints: it was trained with checkpoints=false.*\n.*study=NAME"):
        _train(replace(without, quantise="int8"), folder)
    assert {str(path.relative_to(folder)) for path in folder.rglob("*")} == left["without"]
    assert _train(without, folder).status == "completed"  # it is still complete


class _Killed(BaseException):
    """Nobody expects it."""


def _killed_after(number, epoch):
    def then(self, training, progress):
        epoch(self, training, progress)
        if progress.done == number:
            raise _Killed

    return then


def _train(settings, folder):
    return run(settings, folder, terminal=TerminalSink(Console(file=io.StringIO()), live=False))


def test_int8_without_checkpoints_is_a_clear_message(complete):
    folder, asked = complete
    (folder / "checkpoints" / "seed=1.pt").unlink()
    before = (folder / "summary.json").read_text()
    with pytest.raises(UserError, match=r"seed=1\.pt: cannot be read"):
        job(folder, *asked, "quantise=int8")
    assert (folder / "summary.json").read_text() == before


def test_wrong_requests_are_told_before_anything_is_written(actbench, tmp_path):
    done = actbench("probe_every=0", "quantise=int4", "probe.evry=3")
    assert done.returncode == 2
    assert "probe_every=0: must be a whole number of 1 or more, or null" in done.stderr
    assert "quantise=int4: must be one of none, int8" in done.stderr
    assert "did you mean probe_every=3?" in done.stderr
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [("probe_every=often", "probe_every=often: must be a whole number"), ("probe=2", "probe=2: must be true or false")],
)
def test_a_wrong_value_is_told(wrong, said):
    with pytest.raises(UserError, match=re.escape(said)):
        settings_of(wrong)


def test_neither_looks_nor_int8_are_part_of_the_identity():
    base = settings_of()
    for overrides in (["probe_every=7"], ["quantise=int8"], ["probe=false"]):
        assert settings_of(*overrides).id == base.id
    assert (settings_of("probe=false").probe, settings_of("probe=false").probe_every) == (False, None)
    assert (settings_of("probe_every=7").probe, settings_of("probe_every=7").probe_every) == (True, 7)
