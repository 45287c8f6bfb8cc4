"""How fast actbench is, measured side by side with a plain loop on the machine it runs on.

    python scripts/benchmark.py            a few minutes
    python scripts/benchmark.py --quick    fewer repeats, on a fifth of the training set

Everything is measured in one process and in turn (A B C A B C ...), and reported as ratios with minimum, median and
maximum: single times say little on a machine that others use too. MNIST has to be in $ACTBENCH_DATA or the cache
folder.
"""

from __future__ import annotations

import argparse
import io
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from actbench.machine import prepare

prepare(threads=None)  # as the command does, before the first parallel operation

from hydra import compose, initialize_config_dir  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.data import DataLoader, Subset  # noqa: E402

from actbench import build, config, stored  # noqa: E402
from actbench.choices import choices_of, packaged_conf  # noqa: E402
from actbench.datasets.idx import data_root  # noqa: E402
from actbench.records import Estimate  # noqa: E402
from actbench.run import Progress, Sinks  # noqa: E402
from actbench.settings import Settings  # noqa: E402
from actbench.sinks.files import RunFolder  # noqa: E402
from actbench.sinks.terminal import TerminalSink  # noqa: E402
from actbench.train import Control, fit  # noqa: E402

VALIDATION = 5_000


def article_loop(train_size: int) -> Callable[[], None]:
    """One epoch of training and validation as scripts do it: DataLoader, torchvision transforms, 2 workers."""
    from torchvision import datasets, transforms

    steps = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    everything = datasets.MNIST(str(data_root()), train=True, transform=steps)
    train = DataLoader(Subset(everything, range(train_size)), batch_size=64, shuffle=True, num_workers=2)
    val = DataLoader(Subset(everything, range(55_000, 55_000 + VALIDATION)), batch_size=1000, num_workers=2)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()

    def epoch() -> None:
        model.train()
        total = 0.0
        for x, y in train:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item()
        model.eval()
        correct = 0
        with torch.no_grad():
            for x, y in val:
                correct += (model(x).argmax(1) == y).sum().item()

    return epoch


def settings_of(train_size: int, *overrides: str) -> Settings:
    """The settings of `actbench experiment=article_mlp dataset=mnist ...`."""
    part = [] if train_size == 55_000 else [f"dataset.train_size={train_size}"]
    base = ["study=benchmark", "experiment=article_mlp", "dataset=mnist", "train.epochs=1000", *part, *overrides]
    with initialize_config_dir(str(packaged_conf()), version_base="1.3"):
        composed = compose("config", overrides=base, return_hydra_config=True)
    return config.to_settings(config._without_hydra(composed), composed.hydra.runtime.choices)


def ours(train_size: int, folder: Path | None, *overrides: str) -> Callable[[], None]:
    """One epoch of training and validation with everything on (a folder to write to), or with probes and sinks off."""
    looking = [] if folder else ["probe=false", "tensorboard=false"]
    settings = settings_of(train_size, *looking, *overrides)
    parts = build.build(settings)
    epochs = fit(parts, control=Control())
    progress = Progress()
    sinks = None
    if folder:
        folder.mkdir(parents=True)
        sinks = Sinks(settings, RunFolder(folder), TerminalSink(Console(file=io.StringIO()), live=False))
        progress.epochs.append(next(epochs))  # the look at the untrained network comes once in a run
        sinks.epoch(parts, progress)

    def epoch() -> None:
        progress.epochs.append(next(epochs))
        if sinks:
            sinks.epoch(parts, progress)

    return epoch


def command(*arguments: str) -> Callable[[], None]:
    """The command as typed."""

    def call() -> None:
        subprocess.run([sys.executable, "-m", "actbench", *arguments], check=True, stdout=subprocess.DEVNULL)

    return call


def in_turn(repeats: int, subjects: dict[str, Callable[[], None]]) -> dict[str, list[float]]:
    """Seconds of each subject, A B C A B C ..., after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    for number in range(repeats + 1):
        for name, subject in subjects.items():
            began = time.perf_counter()
            subject()
            if number:
                seconds[name].append(time.perf_counter() - began)
    return seconds


@dataclass
class Row:
    """One line of the table: a figure in each round, and the bound it is held against."""

    what: str
    values: list[float]
    bound: str
    unit: str = ""

    def cells(self) -> tuple[str, ...]:
        low, middle, high = min(self.values), statistics.median(self.values), max(self.values)
        return self.what, *(f"{value:.3g}{self.unit}" for value in (low, middle, high)), self.bound


def ratio(seconds: dict[str, list[float]], above: str, below: str) -> list[float]:
    """Round by round, so that a machine that slows down slows both."""
    return [a / b for a, b in zip(seconds[above], seconds[below], strict=True)]


def measure(quick: bool) -> list[Row]:
    """All rows of the table."""
    train_size, repeats = (11_000, 3) if quick else (55_000, 5)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        epochs = in_turn(
            repeats,
            {
                "article": article_loop(train_size),
                "five": ours(train_size, Path(folder) / "five"),
                "one": ours(train_size, Path(folder) / "one", "num_seeds=1"),
            },
        )
        rows += [
            Row("article's loop, one model: epoch", epochs["article"], "", " s"),
            Row("actbench, 5 seeds: epoch, everything on", epochs["five"], "", " s"),
            Row("5 seeds ÷ article's loop, one model", ratio(epochs, "five", "article"), "≤ 0.5"),
            Row("1 seed ÷ article's loop", ratio(epochs, "one", "article"), ""),
        ]
        looks = in_turn(
            2 * repeats, {"on": ours(train_size, Path(folder) / "on"), "off": ours(train_size, None)}
        )  # many rounds: the difference is small
        rows.append(Row("probes, files and TensorBoard on ÷ off", ratio(looks, "on", "off"), "≤ 1.03"))
    shows = in_turn(2 * repeats, {"help": command("--help"), "list": command("list")})
    rows += [
        Row("actbench --help", shows["help"], "≤ 0.7 s", " s"),
        Row("actbench list", shows["list"], "≤ 0.7 s", " s"),
    ]
    rows.append(Row("peak memory of the default run", [peak_memory()], "< 2.5 GB", " GB"))
    rows += reports(quick)
    if not quick:
        rows.append(Row("sweep of 6 activations × 3 epochs ÷ article's loop epoch", sweeps(), "≤ 10"))
    return rows


def sweeps() -> list[float]:
    """All-in: the whole command with its comparison, in epochs of a script with the article's loop and ten epochs."""
    activations = "activation=relu,leaky_relu,elu,gelu,swish,sigmoid"
    asked = ["-m", activations, "experiment=article_mlp", "dataset=mnist", "train.epochs=3"]
    ratios = []
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            script = [sys.executable, __file__, "--article", "10"]
            began = time.perf_counter()
            subprocess.run(script, check=True)
            between = time.perf_counter()
            command(*asked, f"output_dir={folder}")()
            ratios.append(10 * (time.perf_counter() - between) / (between - began))
    return ratios


def reports(quick: bool) -> list[Row]:
    """`actbench report` over many runs: copies of a real one under other learning rates."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        command("dataset=digits", "train.epochs=10", "model.depth=2", "model.width=32", f"output_dir={home / 'one'}")()
        (template,) = (path.parent for path in home.glob("one/**/settings.yaml"))
        for count, goals in ((100, ("≤ 3 s", "≤ 15 s")), *(() if quick else ((5000, ("", "≤ 90 s")),))):
            many = home / str(count)
            copies(template, many, count)
            repeats = 1 if count > 100 else 3
            table, whole = command("report", str(many), "--table"), command("report", str(many))
            taken = in_turn(repeats, {"table": table, "whole": whole})
            rows.append(Row(f"report of {count:,} runs, the table", taken["table"], goals[0], " s"))
            rows.append(Row(f"report of {count:,} runs, with plots and page", taken["whole"], goals[1], " s"))
    return rows


def copies(template: Path, folder: Path, count: int) -> None:
    """Runs that differ from `template` in their learning rate and their accuracies."""
    settings = stored.settings_of(template)
    summary = stored.summary(template)
    assert summary is not None
    names = [choice.name for choice in choices_of("activation")]
    shift = random.Random(0)
    for number in range(count):
        params = {**settings.optimizer.params, "lr": 1e-4 * 1.01 ** (number // len(names))}
        activation = replace(settings.activation, name=names[number % len(names)], params={"copy": number % len(names)})
        own = replace(settings, activation=activation, optimizer=replace(settings.optimizer, params=params))
        values = [value - shift.random() for value in summary.metrics["test_accuracy"].values if value is not None]
        metrics = {**summary.metrics, "test_accuracy": Estimate.of(values)}
        files = RunFolder(folder / own.folder)
        shutil.copytree(template, files.path, ignore=shutil.ignore_patterns("checkpoints", "tensorboard", ".hydra"))
        files.write_settings(own)
        files.write_summary(replace(summary, id=own.id, activation=activation.name, metrics=metrics))


def peak_memory() -> float:
    """GB of the default command with 5 seeds on the whole of MNIST, two epochs."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [sys.executable, "-m", "actbench", "dataset=mnist", "train.epochs=2", f"output_dir={folder}"]
        subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repeats, on a fifth of the training set")
    parser.add_argument("--article", type=int, metavar="EPOCHS", help="only train with the article's loop, and stop")
    asked = parser.parse_args()
    if asked.article:
        epoch = article_loop(55_000)
        for _ in range(asked.article):
            epoch()
        return
    quick = asked.quick
    config.register()
    console = Console(width=110)
    console.print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    )
    table = Table("what", "min", "median", "max", "goal")
    for row in measure(quick):
        table.add_row(*row.cells())
    console.print(table)


if __name__ == "__main__":
    main()
