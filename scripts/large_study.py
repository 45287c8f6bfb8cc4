"""A synthetic study of as many runs as one likes: copies of a real run with other settings, seeds and results.

    python scripts/large_study.py outputs/one/RUN FOLDER --configurations 2000 --seeds 5

Every file of a run is there and agrees with the others (the accuracies in `summary.json`, `history.csv` and
`correct.npz`), so that the report reads them as it reads any run. Each seed has a run of its own.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml

from actbench.choices import choices_of, usual_parameters
from actbench.settings import Choice, Settings
from actbench.store import correctness, reader

SPREAD = 0.4  # standard deviation over seeds, in points
_PLAIN = ("environment.json", "layers.csv", "units.csv", "definitions.csv", "preactivations.npz")


def make(template: Path, study: Path, *, configurations: int, seeds: int = 1) -> None:
    """Writes a run for each of so many configurations (activations at many learning rates) and seeds into `study`.

    Args:
        template: the folder of a real run of one seed, which is the first of the study in all but its numbers.
        study: a folder; runs that are there already are written again.
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("template", type=Path, help="the folder of a run of one seed")
    parser.add_argument("study", type=Path, help="the folder that is made")
    parser.add_argument("--configurations", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    make(asked.template, asked.study, configurations=asked.configurations, seeds=asked.seeds)


if __name__ == "__main__":
    main()
