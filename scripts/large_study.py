"""A synthetic study of as many runs as one likes: copies of a real run with other settings, seeds and results.

    python scripts/large_study.py outputs/one/RUN FOLDER --configurations 2000 --seeds 5
    python scripts/large_study.py outputs/one/RUN FOLDER --configurations 2000 --seeds 1 --tensorboard

Every file of a run is there and agrees with the others (the accuracies in `summary.json`, `history.csv` and
`correct.npz`), so that the report reads them as it reads any run. Each seed has a run of its own. With `--tensorboard`
each has the events of the real run too, and it is measured how long TensorBoard takes until it shows all of them.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml

from actbench.choices import choices_of, usual_parameters
from actbench.settings import Choice, Settings
from actbench.sinks import logdir
from actbench.store import correctness, reader

SPREAD = 0.4  # standard deviation over seeds, in points
_PLAIN = ("environment.json", "layers.csv", "units.csv", "definitions.csv", "preactivations.npz")


def make(template: Path, study: Path, *, configurations: int, seeds: int = 1, events: bool = False) -> None:
    """Writes a run for each of so many configurations (activations at many learning rates) and seeds into `study`.

    Args:
        template: the folder of a real run of one seed, which is the first of the study in all but its numbers.
        study: a folder; runs that are there already are written again.
        events: whether each run has the events of the template, which TensorBoard shows.
    """
    original = reader.settings_of(template)
    summary = json.loads((template / "summary.json").read_text())
    history = list(csv.reader(io.StringIO((template / "history.csv").read_text())))
    plain = {name: (template / name).read_bytes() for name in _PLAIN if (template / name).is_file()}
    images = len(next(iter(correctness.read(template).values())))
    draw = np.random.default_rng(0)
    for number, settings in enumerate(_settings(original, configurations)):
        level = 97.5 - 3 * draw.random() ** 2 - 0.01 * (number % 7)
        for seed in range(seeds):
            own = replace(settings, seed=seed, study=study.name)
            folder = study / own.folder
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in plain.items():
                (folder / name).write_bytes(content)
            hits = draw.random(images) < (level + SPREAD * draw.standard_normal()) / 100
            correctness.write(folder, [seed], hits[None])
            validation = round(level + SPREAD * draw.standard_normal(), 2)
            _write_history(folder, history, seed, validation)
            text = yaml.dump(own.to_dict(), Dumper=_DUMPER, sort_keys=False, allow_unicode=True)
            (folder / "settings.yaml").write_text(text)
            values = {"test_accuracy": 100 * float(hits.mean()), "val_accuracy": validation}
            metrics = {
                name: {**metric, "mean": values.get(name, metric["mean"]), "values": [values.get(name, metric["mean"])]}
                for name, metric in summary["metrics"].items()
            }
            about = {"id": own.id, "label": own.label, "activation": own.activation.name, "seeds": [seed]}
            (folder / "summary.json").write_text(json.dumps({**summary, **about, "metrics": metrics}, indent=2))
            if events:
                _copy_events(template, folder, own)


_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # they write the same


def _settings(original: Settings, count: int) -> Iterator[Settings]:
    """So many different settings: every activation at each of as many learning rates as it takes."""
    names = [choice.name for choice in choices_of("activation") if choice.name not in ("none", "own")]
    for number in range(count):
        name = names[number % len(names)]
        params = dict(usual_parameters("activation", name) or {})
        activation = Choice(name, params.pop("_target_", None), params)
        rate = float(f"{1e-4 * 1.01 ** (number // len(names)):.6g}")
        optimizer = replace(original.optimizer, params={**original.optimizer.params, "lr": rate})
        yield replace(original, activation=activation, optimizer=optimizer)


def _write_history(folder: Path, history: list[list[str]], seed: int, validation: float) -> None:
    header, *rows = history
    own = [dict(zip(header, row, strict=True)) | {"seed": str(seed)} for row in rows]
    own[-1]["val_accuracy"] = repr(validation)
    lines = [",".join(row.values()) for row in own]
    (folder / "history.csv").write_text("\n".join([",".join(header), *lines, ""]))


def _copy_events(template: Path, folder: Path, settings: Settings) -> None:
    """The events of the mean and of the seed, where a run with these settings would have them."""
    original, place = logdir.events_of(template), logdir.claim(folder, settings, settings.label)
    if original is None:
        raise SystemExit(f"{template} has no events: train it with tensorboard=true")
    (of_seed,) = original.glob("seed=*")
    for source, target in ((original, place), (of_seed, place / f"seed={settings.seed}")):
        for path in source.glob("*tfevents*"):
            shutil.copy(path, target)


def until_all_are_shown(root: Path) -> tuple[int, float, float]:
    """Starts TensorBoard on a folder, and ends it: its number of runs, seconds to its first answer and to all runs."""
    runs = logdir.number(root)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(root), "--port", str(port)]
    first, began = 0.0, time.perf_counter()
    board = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while board.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/data/runs") as answer:
                    shown = json.load(answer)
            except urllib.error.URLError:
                time.sleep(0.05)
                continue
            first = first or time.perf_counter() - began
            if len(shown) >= runs:
                return runs, first, time.perf_counter() - began
            time.sleep(0.25)
        raise SystemExit(f"TensorBoard ended with exit code {board.returncode}")
    finally:
        board.kill()
        board.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("template", type=Path, help="the folder of a run of one seed")
    parser.add_argument("study", type=Path, help="the folder that is made")
    parser.add_argument("--configurations", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tensorboard", action="store_true", help="with events; starts TensorBoard, and times it")
    asked = parser.parse_args()
    make(
        asked.template, asked.study, configurations=asked.configurations, seeds=asked.seeds, events=asked.tensorboard
    )  # fmt: skip
    if asked.tensorboard:
        runs, first, all_of_them = until_all_are_shown(asked.study / logdir.FOLDER)
        print(f"TensorBoard: {runs:,} runs; answers after {first:.1f} s, shows all after {all_of_them:.1f} s")


if __name__ == "__main__":
    main()
