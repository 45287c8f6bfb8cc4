"""What a run or a study came to, for comparing one that was disturbed with one that was not: all bits but times."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import torch
import yaml
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from actbench.sinks import logdir

_TIMES = ("seconds", "waiting")  # columns


def outcome_of_run(folder: Path) -> dict:
    """Everything in a run's folder by name, without times."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir() or name.startswith("tensorboard") or name == "environment.json":
            continue
        if path.suffix == ".csv":
            found[name] = _rows(path)
        elif path.suffix == ".pt":
            state = torch.load(path, weights_only=True)
            found[name] = {key: tensor.numpy().tobytes() for key, tensor in state.items()}
        elif name == "summary.json":
            content = json.loads(path.read_text())
            found[name] = {k: v for k, v in content.items() if k not in ("seconds", "samples_per_second")}
        elif name == "settings.yaml":
            found[name] = {k: v for k, v in yaml.safe_load(path.read_text()).items() if k != "study"}
        else:
            found[name] = path.read_bytes()  # whatever it is: a stray file is a difference
    return found | {f"tensorboard/{name}": events for name, events in events_of_run(folder).items()}


def _rows(path):
    with path.open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in _TIMES} for row in csv.DictReader(file)]


def events_of_run(folder: Path) -> dict[str, list]:
    """Run of TensorBoard, by its path below the configuration's -> what is in its event files, in order, without times.

    Each tag has each step once, and the mean has one session of hyperparameters, begun once and ended once.
    """
    found = {}
    place = logdir.events_of(folder)
    for below in [] if place is None else sorted({path.parent for path in place.rglob("*tfevents*")}):
        name = str(below.relative_to(place))
        found[name] = content = []
        for path in sorted(below.glob("*tfevents*")):
            for event in EventFileLoader(str(path)).Load():
                for value in event.summary.value:
                    hparams = value.tag.startswith("_hparams_")  # has the time in it
                    content.append((value.tag, event.step, None if hparams else value.tensor.SerializeToString()))
        twice = [key for key, n in Counter((tag, step) for tag, step, _ in content).items() if n > 1]
        assert not twice, (below, twice)
        sessions = [tag for tag, _, _ in content if tag.startswith("_hparams_")]
        parts = ["_hparams_/experiment", "_hparams_/session_start_info", "_hparams_/session_end_info"]
        assert sessions == (parts if name == "." else []), (below, sessions)
    return found


def outcome_of_study(folder: Path) -> dict:
    """Its runs, and its report's data."""
    found = {path.parent.name: outcome_of_run(path.parent) for path in folder.glob("*/settings.yaml")}
    names = {path.name for path in folder.iterdir()} - {"tensorboard"}  # of runs that have it, their events are in them
    assert names == {*found, "report", "multirun.yaml", "decide.json"}, names
    return found | {"report": outcome_of_report(folder / "report")}


def outcome_of_report(folder: Path) -> dict:
    """Names of files, and the data, without times; whether costs have a picture depends on how busy the machine was."""
    for name in ("report.html", "report.md"):
        assert (folder / name).read_text().strip(), name
    data = [row for row in _rows(folder / "results.csv") if "second" not in row["metric"]]
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.stem != "cost")
    return {"files": files, "data": data}
