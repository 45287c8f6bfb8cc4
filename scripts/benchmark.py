"""How fast actbench is, measured side by side with plain loops on the machine it runs on.

    python scripts/benchmark.py                    about twelve minutes
    python scripts/benchmark.py --quick            under a minute: fewer repeats on a part of the training set
    python scripts/benchmark.py --device cuda      the table of a GPU
    python scripts/benchmark.py --only cnn,dead    some of its parts
    python scripts/benchmark.py --only sweep       a part that takes minutes by itself

Everything is measured in turn (A B C A B C ...), and reported as ratios with minimum, median and maximum: single times
say little on a machine that others use too. MNIST has to be in $ACTBENCH_DATA or the cache folder.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from actbench.train.machine import choose_device, describe, prepare

prepare(threads=None)  # as the command does, before the first parallel operation

import article  # noqa: E402
import large_study  # noqa: E402
import neighbours  # noqa: E402
import references  # noqa: E402
import streams  # noqa: E402
from hydra import compose, initialize_config_dir  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

import actbench  # noqa: E402
from actbench import watching  # noqa: E402
from actbench.choices import choices_of, packaged_conf  # noqa: E402
from actbench.command import composing  # noqa: E402
from actbench.datasets.idx import data_root  # noqa: E402
from actbench.job import Progress, Sinks  # noqa: E402
from actbench.records import Estimate  # noqa: E402
from actbench.settings import Settings  # noqa: E402
from actbench.sinks.terminal import TerminalSink  # noqa: E402
from actbench.stacking import choosing  # noqa: E402
from actbench.store import reader  # noqa: E402
from actbench.store.folder import RunFolder  # noqa: E402
from actbench.train import Control, Training, build, fit  # noqa: E402

Subject = Callable[[], object]
SCRIPT = Path(__file__).parent / "article.py"


@dataclass
class Row:
    """One line of the table: a figure in each round, and the bound it is held against."""

    what: str
    values: Sequence[float]
    goal: str = ""
    unit: str = ""

    def cells(self) -> tuple[str, ...]:
        low, middle, high = min(self.values), statistics.median(self.values), max(self.values)
        return self.what, *(f"{value:.3g}{self.unit}" for value in (low, middle, high)), self.goal


@dataclass(frozen=True)
class Bench:
    """Where and how thoroughly to measure."""

    device: torch.device
    quick: bool

    @property
    def rounds(self) -> int:
        return 3 if self.quick else 5

    def size(self, samples: int) -> int:
        """Training samples of one round."""
        return samples // 5 if self.quick else samples

    def training(self, samples: int, *overrides: str) -> Training:
        """The parts of `actbench dataset=mnist ...` on so many training samples."""
        return build.build(settings_of(samples, f"train.device={self.device}", *overrides))

    def article(self, samples: int, **options: bool) -> Subject:
        return article.loop(str(data_root()), str(self.device), samples, **options)[0]


# ---------------------------------------------------------------- what is timed


def settings_of(samples: int, *overrides: str) -> Settings:
    """The settings of `actbench dataset=mnist dataset.train_size=SAMPLES ...`."""
    part = [] if samples == 55_000 else [f"dataset.train_size={samples}"]
    base = ["study=benchmark", "dataset=mnist", *part, *overrides, "train.epochs=100000"]
    with initialize_config_dir(str(packaged_conf()), version_base="1.3"):
        composed = compose("config", overrides=base, return_hydra_config=True)
    return composing.to_settings(composing.without_hydra(composed), composed.hydra.runtime.choices)


def fitting(training: Training) -> Subject:
    """One epoch of training, validation left out of the time that it returns; nothing looks."""
    epochs = fit(replace(training, probe=False), control=Control())
    return lambda: next(epochs).train_seconds


def whole_epoch(training: Training, settings: Settings, folder: Path) -> Subject:
    """One epoch of training and validation as the command has it: probes, files, TensorBoard."""
    folder.mkdir(parents=True)
    sinks = Sinks(settings, RunFolder(folder), TerminalSink(Console(file=io.StringIO()), live=False))
    epochs, progress = fit(training, control=Control()), Progress()
    progress.epochs.append(next(epochs))  # the look at the untrained network comes once in a run
    sinks.epoch(training, progress)

    def epoch() -> None:
        progress.epochs.append(next(epochs))
        sinks.epoch(training, progress)

    return epoch


@contextmanager
def everything_on(bench: Bench, samples: int) -> Iterator[Callable[..., Subject]]:
    """Makes subjects of `whole_epoch` with a folder for each."""
    with tempfile.TemporaryDirectory() as home:

        def make(*overrides: str) -> Subject:
            settings = settings_of(samples, f"train.device={bench.device}", *overrides)
            return whole_epoch(build.build(settings), settings, Path(home) / str(len(list(Path(home).iterdir()))))

        yield make


def command(*arguments: str) -> Subject:
    """`actbench` as typed."""
    return partial(_call, [sys.executable, "-m", "actbench", *arguments])


def script(*arguments: str) -> Subject:
    """The article's script as typed."""
    return partial(_call, [sys.executable, str(SCRIPT), "--data", str(data_root()), *arguments])


def _call(arguments: list[str]) -> None:
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def in_turn(rounds: int, subjects: dict[str, Subject], warm: bool = True) -> dict[str, list[float]]:
    """Seconds of each subject, A B C A B C ..., after one round that does not count (with `warm`).

    A subject that returns a number has measured itself.
    """
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    for number in range(rounds + warm):
        for name, subject in subjects.items():
            began = time.perf_counter()
            own = subject()
            taken = own if isinstance(own, float) else time.perf_counter() - began
            if number >= warm:
                seconds[name].append(taken)
    return seconds


def ratio(seconds: dict[str, list[float]], above: str, below: str, times: float = 1.0) -> list[float]:
    """Round by round, so that a machine that slows down slows both."""
    return [times * a / b for a, b in zip(seconds[above], seconds[below], strict=True)]


# ---------------------------------------------------------------- the parts of the table


def seeds(bench: Bench) -> list[Row]:
    """The article's MLP beside the article's loop, an ordinary loop in memory, and the floor."""
    samples, mlp = bench.size(55_000), "experiment=article_mlp"
    many = 16 if bench.device.type == "cuda" else 5
    with everything_on(bench, samples) as subject:
        epochs = in_turn(
            bench.rounds,
            {
                "article": bench.article(samples),
                "one": subject(mlp, "num_seeds=1"),
                "many": subject(mlp, f"num_seeds={many}"),
            },
        )
    splits = bench.training(samples, mlp, "num_seeds=1").splits
    eight = in_turn(
        bench.rounds,
        {
            "ordinary": references.in_memory(article.mlp(), splits.train_x[:], splits.train_y),
            "one": fitting(bench.training(samples, mlp, "num_seeds=1")),
            "eight": fitting(bench.training(samples, mlp, "num_seeds=8")),
            "floor": references.floor(8, -(-samples // 64), bench.device),
        },
    )
    goals = ("", "≤ 0.05") if bench.device.type == "cuda" else ("≤ 0.17", "≤ 0.42")
    return [
        Row("the article's loop, one model: an epoch", epochs["article"], unit=" s"),
        Row("1 seed, everything on ÷ the article's loop", ratio(epochs, "one", "article"), goals[0]),
        Row(f"{many} seeds, everything on ÷ the article's loop, one model", ratio(epochs, "many", "article"), goals[1]),
        Row("1 seed ÷ ordinary loop in memory", ratio(eight, "one", "ordinary")),
        Row("8 seeds ÷ the bare floor of eight", ratio(eight, "eight", "floor"), "≤ 1.35"),
    ]


def jax(bench: Bench) -> list[Row]:
    """The article's MLP beside JAX's `jit(vmap(scan))` over seeds; ours with probes and files, JAX's without."""
    if not references.has_jax():
        return [Row("JAX is not installed: pip install jax", [math.nan])]
    rows, samples = [], bench.size(55_000)
    splits = bench.training(samples, "experiment=article_mlp", "num_seeds=1").splits
    data = splits.train_x[:].cpu(), splits.train_y.cpu()
    for many, goal in ((1, ""), (5, "≤ 0.85"), (8, "≤ 0.80")):
        with everything_on(bench, samples) as subject:
            ours = subject("experiment=article_mlp", f"num_seeds={many}")
            taken = in_turn(bench.rounds, {"ours": ours, "jax": references.in_jax(many, *data)})
        rows.append(Row(f"{many} seed{'s' * (many > 1)} ÷ JAX's jit(vmap(scan))", ratio(taken, "ours", "jax"), goal))
    return rows


def stacks(bench: Bench) -> list[Row]:
    """Stacked beside one seed after the other."""
    cuda = bench.device.type == "cuda"
    many, cnn = 16 if cuda else 8, "experiment=article_cnn"
    kinds = {
        "MLP 784-512-10": (12_000, "≤ 0.15" if cuda else "≤ 0.55", ["experiment=article_mlp"]),
        "50 hidden layers of 128": (3_000, "" if cuda else "≤ 0.40", ["model.depth=50", "model.width=128"]),
        "MLP with batch norm and dropout": (
            8_000, "" if cuda else "≤ 0.70", ["experiment=article_mlp", "norm=batch", "dropout=0.2"]
        ),
        "MLP 784-2048-10": (2_000, "", ["model.width=2048"]),
        "CNN": (3_000, "≤ 0.4" if cuda else "", [cnn]),
    }  # fmt: skip
    rows = []
    for name, (samples, goal, overrides) in kinds.items():
        ways = {
            way: fitting(bench.training(bench.size(samples), f"num_seeds={many}", f"train.execution={way}", *overrides))
            for way in ("stacked", "seed_by_seed")
        }
        taken = in_turn(bench.rounds, ways)
        rows.append(Row(f"{many} seeds, stacked ÷ seed by seed: {name}", ratio(taken, "stacked", "seed_by_seed"), goal))
    taken = in_turn(
        bench.rounds,
        {
            "auto": fitting(bench.training(bench.size(3_000), f"num_seeds={many}", cnn)),
            "one": fitting(bench.training(bench.size(3_000), "num_seeds=1", cnn)),
        },
    )
    rows.append(
        Row(f"CNN, {many} seeds as chosen ÷ {many} runs of one", ratio(taken, "auto", "one", 1 / many), "≤ 1.00")
    )
    return rows


def cnn(bench: Bench) -> list[Row]:
    """The article's CNN, one seed, beside an ordinary loop in memory."""
    samples, own = bench.size(10_000), ("experiment=article_cnn", "num_seeds=1")
    training = bench.training(samples, *own)
    precisions = ("tf32", "bf16") if bench.device.type == "cuda" else ("bf16",)
    taken = in_turn(
        bench.rounds,
        {
            "ordinary": references.in_memory(article.cnn(), training.splits.train_x[:], training.splits.train_y),
            "fp32": fitting(training),
            **{p: fitting(bench.training(samples, *own, f"train.precision={p}")) for p in precisions},
            **{
                f: fitting(bench.training(samples, *own, f"train.memory_format={f}"))
                for f in ("contiguous", "channels_last")
            },
        },
    )
    goals = {"fp32": "≤ 0.75", "bf16": "≤ 0.60"}
    return [
        Row(
            f"CNN, one seed, {name} ÷ ordinary loop in memory, fp32",
            ratio(taken, name, "ordinary"),
            goals.get(name, ""),
        )
        for name in taken
        if name != "ordinary"
    ]


def own(bench: Bench) -> list[Row]:
    """A network of one's own, ResNet-18 on 32×32 pixels, one seed, beside an ordinary loop in memory."""
    samples, network = bench.size(1_600), ("model=references:resnet18", "trust=references", "num_seeds=1")
    training = bench.training(samples, *network, "activation=own")
    inputs = training.splits.train_x[:]  # a tensor, whether the samples are in memory or streamed
    taken = in_turn(
        bench.rounds,
        {
            "ordinary": references.in_memory(references.resnet18(), inputs, training.splits.train_y),
            "own": fitting(training),
            "gelu": fitting(bench.training(samples, *network, "activation=gelu")),
            "own, contiguous": fitting(
                bench.training(samples, *network, "activation=own", "train.memory_format=contiguous")
            ),
        },
    )
    goals = {"own": "≤ 1.05", "own, contiguous": "≤ 1.05"}
    return [
        Row(f"ResNet-18, one seed, activation={name} ÷ ordinary loop in memory", ratio(taken, name, "ordinary"), goal)
        for name in taken
        if name != "ordinary"
        for goal in [goals.get(name, "")]
    ]


def streaming(bench: Bench) -> list[Row]:
    """Samples read from a file whenever a batch asks for them, beside the same samples in memory."""
    rows = []
    for name, samples, own in (
        ("MLP, 1 seed", 55_000, ["experiment=article_mlp", "num_seeds=1"]),
        ("MLP, 5 seeds", 55_000, ["experiment=article_mlp", "num_seeds=5"]),
        ("CNN, 1 seed", 10_000, ["experiment=article_cnn", "num_seeds=1"]),
    ):
        settings = settings_of(bench.size(samples), f"train.device={bench.device}", "dataset.scaling=none", *own)
        with streams.both(settings) as trainings:
            taken = in_turn(bench.rounds, {way: fitting(training) for way, training in trainings.items()})
        rows.append(Row(f"{name}: samples streamed from a file ÷ in memory", ratio(taken, "streamed", "memory")))
    return rows


def activations(bench: Bench) -> list[Row]:
    """The training step of every activation beside ReLU's: the article's MLP, 5 seeds."""
    names = [choice.name for choice in choices_of("activation")]
    own = ("experiment=article_mlp", "num_seeds=5")
    subjects = {name: fitting(bench.training(bench.size(10_000), *own, f"activation={name}")) for name in names}
    taken = in_turn(bench.rounds, subjects)
    rows = [Row(f"{name}'s step ÷ relu's", ratio(taken, name, "relu")) for name in names if name != "relu"]
    return sorted(rows, key=lambda row: statistics.median(row.values))


def dead(bench: Bench) -> list[Row]:
    """70 % of the hidden units dead, for so long that Adam's moments have decayed, beside none."""
    samples = 10_000
    subjects = {}
    for name, share in (("none", 0.0), ("dead", 0.7)):
        training = bench.training(samples, "experiment=article_mlp")
        with torch.no_grad():
            for group in training.network.groups:
                bias = group.network.get_parameter("hidden1.linear.bias")  # (s, 1, 512)
                bias.abs_().add_(1.0)  # alive for every input
                bias[..., : int(share * bias.shape[-1])] = -1e4
        subjects[name] = fitting(training)
        for _ in range(8):  # 0.9 to the power of 1,256 steps
            subjects[name]()
    return [Row("70 % dead units ÷ none", ratio(in_turn(2 * bench.rounds, subjects), "dead", "none"), "≤ 1.10")]


def looking(bench: Bench) -> list[Row]:
    """Probes, files and TensorBoard beside nothing but training and validation."""
    rows = []
    samples = bench.size(55_000)
    for name, rounds, own in (
        ("MLP, 5 seeds", 2 * bench.rounds, ["experiment=article_mlp"]),
        ("CNN, 1 seed", 3, ["experiment=article_cnn", "num_seeds=1"]),
    ):
        with everything_on(bench, samples) as subject:
            bare = fit(replace(bench.training(samples, *own), probe=False), control=Control())
            taken = in_turn(rounds, {"on": subject(*own), "off": partial(next, bare)})
        rows.append(Row(f"probes, files and TensorBoard on ÷ off: {name}", ratio(taken, "on", "off"), "≤ 1.02"))
    return rows


def watch(bench: Bench) -> list[Row]:
    """An ordinary loop in memory, watched by `actbench.watch(every=100)`, beside the same loop without it."""
    rows = []
    splits = bench.training(6_400, "num_seeds=1").splits  # 100 steps: one look in each pass
    data = splits.train_x[:], splits.train_y
    for name, make, rounds, alternations in (
        ("MLP", article.mlp, 2 * bench.rounds, 15),
        ("ResNet-18 on 32×32", references.resnet18, 3, 1),
    ):
        ratios = [_watched_by_not(make, data, alternations) for _ in range(rounds)]
        rows.append(Row(f"actbench.watch on ÷ off, every=100: {name}", ratios, "≤ 1.03"))
    return rows


def _watched_by_not(make: Callable[[], torch.nn.Module], data: tuple[Any, Any], alternations: int) -> float:
    """Of networks that are made anew, since where they come to lie in memory is 2 % by itself."""
    networks = make(), make()
    with watching.watch(networks[0], every=100):
        subjects: dict[str, Subject] = {
            "on": references.in_memory(networks[0], *data),
            "off": references.in_memory(networks[1], *data),
        }
        taken = in_turn(alternations, subjects)
    return sum(taken["on"]) / sum(taken["off"])


def engines(bench: Bench) -> list[Row]:
    """The ways to execute a step."""
    rows = []
    others = ("graph", "compiled") if bench.device.type == "cuda" else ("compiled",)
    for name, own in (("MLP", "experiment=article_mlp"), ("CNN", "experiment=article_cnn")):
        ways = {e: fitting(bench.training(bench.size(10_000), own, f"train.engine={e}")) for e in ("eager", *others)}
        taken = in_turn(bench.rounds, ways)
        rows += [Row(f"{name}, 5 seeds, train.engine={e} ÷ eager", ratio(taken, e, "eager")) for e in others]
    return rows


def rules(bench: Bench) -> list[Row]:
    """What the rules of `stacking.choosing` come from: where stacking pays."""
    rows = []
    shapes = [(1, width, 64, 5) for width in (512, 1024, 2048, 4096)]
    shapes += [(2, width, 64, 5) for width in (256, 512, 1024, 2048)]
    shapes += [(2, 512, 256, 5), (2, 1024, 256, 5), (2, 512, 64, 16), (2, 1024, 64, 3), (2, 1024, 64, 8)]
    for depth, width, batch, many in shapes:
        own = [f"model.depth={depth}", f"model.width={width}", f"train.batch_size={batch}", f"num_seeds={many}"]
        samples = batch * (30 if width < 2000 else 12)
        ways = {
            way: fitting(bench.training(samples, f"train.execution={way}", *own)) for way in ("stacked", "seed_by_seed")
        }
        what = f"stacked ÷ seed by seed: depth {depth}, width {width}, batch {batch}, {many} seeds"
        rows.append(Row(what, ratio(in_turn(bench.rounds, ways), "stacked", "seed_by_seed")))
    return rows


def shards(bench: Bench) -> list[Row]:
    """Seeds side by side, one thread each, beside kernels of as many threads: where a stack is split."""
    rows = []
    shapes = [(1, 16, 64), (1, 64, 64), (1, 512, 64), (3, 128, 64), (3, 64, 256), (10, 256, 64), (50, 128, 64)]
    kinds = {
        f"{depth} hidden layers of {width}, batch {batch}": (
            [f"model.depth={depth}", f"model.width={width}", f"train.batch_size={batch}"],
            5_000,
        )
        for depth, width, batch in shapes
    }
    kinds |= {"CNN": (["experiment=article_cnn"], 1_000)}
    for name, (own, samples) in kinds.items():
        for many in (5, 8):
            ways = {
                "workers": _on_cores(bench, samples, 0, *own, f"num_seeds={many}"),
                "kernels": _on_cores(bench, samples, 1 << 60, *own, f"num_seeds={many}"),
            }
            rows.append(
                Row(
                    f"{many} seeds side by side ÷ kernels of all threads: {name}",
                    ratio(in_turn(bench.rounds, ways), "workers", "kernels"),
                )
            )
    return rows


def workers(bench: Bench) -> list[Row]:
    """A sweep of 6 activations × 8 seeds that worker processes share, beside the same one after the other."""
    rows, names = [], "activation=relu,gelu,elu,tanh,silu,mish"
    kinds = {
        "article's MLP": ["experiment=article_mlp", f"dataset.train_size={bench.size(20_000)}", "train.epochs=3"],
        "CNN": ["experiment=article_cnn", f"dataset.train_size={bench.size(2_500)}", "train.epochs=2"],
    }
    for name, own in kinds.items():
        sweep = ["-m", *own, "dataset=mnist", "num_seeds=8", f"train.device={bench.device}", names]
        ways: dict[str, Subject] = {
            "shared": partial(_at_once, 1, "-m", "actbench", *sweep),
            "in turn": partial(_at_once, 1, "-m", "actbench", *sweep, "workers=1"),
            "kernels": partial(_at_once, 1, "-c", _WIDE_KERNELS, *sweep, "workers=1"),
            "beside": partial(_at_once, 2, "-m", "actbench", *sweep),
        }
        taken = in_turn(1 if bench.quick else 2, ways, warm=False)
        what = f"{name}, 6 activations × 8 seeds: worker processes ÷ one after the other"
        rows += [
            Row(f"{what}, kernels of all threads", ratio(taken, "shared", "kernels"), "≤ 0.88 on two cores"),
            Row(f"{what}, seeds side by side", ratio(taken, "shared", "in turn")),
            Row(f"{name}, the same sweep twice at once ÷ alone", ratio(taken, "beside", "shared"), "≤ 2.3"),
        ]
    return rows


_WIDE_KERNELS = """
from actbench.cli import main
from actbench.train import build
build.usable_cores = lambda *_: 1  # seeds that do not train side by side
main()
"""


def _at_once(times: int, *words: str) -> None:
    """The same command so many times at once, each with a folder of its own."""
    with tempfile.TemporaryDirectory() as home:
        started = [
            subprocess.Popen(
                [sys.executable, *words, f"output_dir={home}/{number}", "study=s"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for number in range(times)
        ]
        codes = [process.wait() for process in started]
        assert not any(codes), codes


def _on_cores(bench: Bench, samples: int, worth: int, *own: str) -> Subject:
    """An epoch of training with the seeds split over the cores where a layer has `worth` multiplications or more."""
    cores, usual = torch.get_num_threads(), choosing.WORTH_A_THREAD
    torch.set_num_threads(1 if worth > 1 << 50 else cores)
    choosing.WORTH_A_THREAD = worth
    try:
        return fitting(bench.training(bench.size(samples), *own))
    finally:
        torch.set_num_threads(cores)
        choosing.WORTH_A_THREAD = usual


def beside(bench: Bench) -> list[Row]:
    """Whole commands beside others that do the same."""
    rows = []
    for name, own in neighbours.KINDS.items():
        for many, goal in ((1, "≤ 2.3"), (3, "≤ 4.6")):
            what = f"{name}: an epoch beside {many} equal neighbour{'s' * (many > 1)} ÷ alone"
            rows.append(Row(what, neighbours.slowdowns(own, many, bench.rounds), goal))
        rows.append(Row(f"{name}: after a neighbour has come ÷ before", neighbours.late(own, bench.rounds), "≤ 3"))
    return rows


def commands(bench: Bench) -> list[Row]:
    """Whole commands, from the shell and back to it."""
    where = f"train.device={bench.device}"
    with tempfile.TemporaryDirectory() as folder:
        ours = [
            "experiment=article_mlp",
            "dataset=mnist",
            "train.epochs=1",
            "num_seeds=1",
            where,
            f"output_dir={folder}",
        ]
        taken = in_turn(
            2 if bench.quick else 3,
            {"article": script("--epochs", "1", "--device", str(bench.device)), "ours": command(*ours)},
            warm=not bench.quick,
        )
    shows = in_turn(bench.rounds, {"help": command("--help"), "list": command("list")})
    return [
        Row("1 epoch, 1 seed, all-in: actbench ÷ the article's script", ratio(taken, "ours", "article"), "≤ 0.60"),
        Row("actbench --help", shows["help"], "≤ 0.6 s", " s"),
        Row("actbench list", shows["list"], "≤ 0.7 s", " s"),
    ]


def api(bench: Bench) -> list[Row]:
    """`actbench.compare` in a process that is up, against the same command, which starts one of its own."""
    words = [
        "dataset=mnist",
        f"dataset.train_size={bench.size(10_000)}",
        "train.epochs=2",
        f"train.device={bench.device}",
    ]
    with tempfile.TemporaryDirectory() as folder:
        place = f"output_dir={folder}"  # each call makes a study of its own there
        subjects = {
            "called": lambda: actbench.compare(*words, place, activations=["relu", "gelu"], progress=False),
            "typed": command("-m", "activation=relu,gelu", *words, place),
        }
        taken = in_turn(bench.rounds, subjects)
    composing.register()  # which a call has taken back
    return [Row("actbench.compare ÷ the same command", ratio(taken, "called", "typed"), "≤ 1.0")]


def jobs(bench: Bench) -> list[Row]:
    """What one more job costs a sweep of tiny ones beside its training, and whether later ones cost more."""
    more, growth = [], []
    for _ in range(2):
        few, _ = tiny_jobs(bench, 1)
        many, ends = tiny_jobs(bench, 20)
        half = len(ends) // 2
        more.append((many - few) / 95)
        growth.append((ends[-1] - ends[half]) / (ends[half - 1] - ends[0]))
    return [
        Row("100 tiny jobs: one more of them, beside its training", more, "≤ 0.25 s", " s"),
        Row("100 tiny jobs: the later half ÷ the earlier half", growth, "1"),
    ]


def tiny_jobs(bench: Bench, rates: int) -> tuple[float, list[float]]:
    """A sweep of 5 activations and so many learning rates: its seconds without training, and when each job ended."""
    listed = ",".join(f"{1e-3 * 1.02**k:.6f}" for k in range(rates))
    tiny = ["dataset=digits", "train.epochs=1", "num_seeds=1", "model.width=8", f"train.device={bench.device}"]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        command("-m", *tiny, "activation=relu,gelu,elu,tanh,silu", f"optimizer.lr={listed}", f"output_dir={folder}")()
        taken = time.perf_counter() - began
        written = sorted(Path(folder).glob("*/*/summary.json"), key=lambda path: path.stat().st_mtime_ns)
        trained = sum(json.loads(path.read_text())["seconds"]["total"] for path in written)
        return taken - trained, [path.stat().st_mtime for path in written]


def planning(bench: Bench) -> list[Row]:
    """What a sweep of many jobs costs before it trains the first one: CPU time alone, since it needs one core."""
    rows = []
    for count in (500,) if bench.quick else (2000, 10_000):
        with tempfile.TemporaryDirectory() as folder:
            words = ["-m", *_TINY, *_products(count // 5), "workers=1", f"output_dir={folder}", "study=s"]
            taken = subprocess.run([sys.executable, "-c", _UNTIL_THE_FIRST, *words], capture_output=True, text=True)
            seconds, megabytes = map(float, taken.stderr.split()[-2:])
        rows.append(Row(f"a sweep of {count:,} jobs: until the first one trains", [seconds], "≤ 5 ms a job", " s"))
        rows.append(Row(f"a sweep of {count:,} jobs: memory by then", [megabytes], "", " MB"))
    return rows


_TINY = ["dataset=digits", "train.epochs=1", "num_seeds=1", "model.width=8"]
_UNTIL_THE_FIRST = """
import os, resource, sys, time
from actbench import job
from actbench.command import launch

def first(*arguments, **options):
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(time.process_time(), megabytes, file=sys.__stderr__, flush=True)
    os._exit(0)

job.run = first
launch.launch(sys.argv[1:])
"""


def _products(rates: int) -> list[str]:
    """Five activations at so many learning rates."""
    listed = ",".join(f"{1e-3 * 1.001**k:.8f}" for k in range(rates))
    return ["activation=relu,gelu,elu,tanh,silu", f"optimizer.lr={listed}"]


def memory(bench: Bench) -> list[Row]:
    """GB of the default command with 5 seeds on the whole of MNIST, two epochs."""
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )  # in a process of its own: what a child inherits before it begins its program counts, too
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["dataset=mnist", "train.epochs=2", f"train.device={bench.device}", f"output_dir={folder}"]
        asked = [sys.executable, "-c", code, sys.executable, "-m", "actbench", *arguments]
        peak = int(subprocess.run(asked, check=True, capture_output=True, text=True).stdout) / 1e6
    return [Row("peak memory of the default run", [peak], "< 2.5 GB", " GB")]


def sweep(bench: Bench) -> list[Row]:
    """All-in: a sweep with its comparison, in epochs of the article's script."""
    cuda = bench.device.type == "cuda"
    names = "relu,leaky_relu,elu,gelu,swish,sigmoid" + (",mish,tanh" if cuda else "")
    size = ["num_seeds=16", "train.epochs=10"] if cuda else ["train.epochs=3"]
    ratios = []
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            script("--epochs", "10", "--device", str(bench.device))()
            between = time.perf_counter()
            asked = ["experiment=article_mlp", "dataset=mnist", f"train.device={bench.device}", f"output_dir={folder}"]
            command("-m", f"activation={names}", *asked, *size)()
            ratios.append((time.perf_counter() - between) / (between - began))
    if cuda:
        return [Row("8 activations × 16 seeds × 10 epochs, all-in ÷ the script's 10 epochs of one", ratios, "< 1")]
    epochs = [10 * value for value in ratios]
    return [Row("6 activations × 5 seeds × 3 epochs, all-in ÷ an epoch of the article's script", epochs, "≤ 10")]


def speedrun(bench: Bench) -> list[Row]:
    """MNIST to 99 %: training seconds of `experiment=speedrun` for one seed, and what it reaches."""
    with tempfile.TemporaryDirectory() as folder:
        command(
            "experiment=speedrun",
            "dataset=mnist",
            "num_seeds=1",
            f"train.device={bench.device}",
            f"output_dir={folder}",
        )()
        (path,) = Path(folder).glob("*/*/summary.json")
        summary = json.loads(path.read_text())
    goal = "≤ 3 s" if bench.device.type == "cuda" else ""
    return [
        Row("experiment=speedrun, one seed: training", [summary["seconds"]["train"]], goal, " s"),
        Row(
            "experiment=speedrun, one seed: test accuracy",
            [summary["metrics"]["test_accuracy"]["mean"]],
            "≥ 99 %",
            " %",
        ),
    ]


def reports(bench: Bench) -> list[Row]:
    """`actbench report` over many runs: copies of a real one under other learning rates."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        command("dataset=digits", "train.epochs=10", "model.depth=2", "model.width=32", f"output_dir={home / 'one'}")()
        (template,) = (path.parent for path in home.glob("one/**/settings.yaml"))
        for count, goals in ((100, ("≤ 3 s", "≤ 15 s")), *(() if bench.quick else ((5000, ("", "≤ 90 s")),))):
            many = home / str(count)
            copies(template, many, count)
            repeats = 1 if count > 100 else 3
            table, whole = command("report", str(many), "--table"), command("report", str(many))
            taken = in_turn(repeats, {"table": table, "whole": whole}, warm=count <= 100)
            rows.append(Row(f"report of {count:,} runs, the table", taken["table"], goals[0], " s"))
            rows.append(Row(f"report of {count:,} runs, with plots and page", taken["whole"], goals[1], " s"))
    return rows


def studies(bench: Bench) -> list[Row]:
    """Large studies of runs of one seed each: seconds and memory of the table, from the files and from the cache."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        command("dataset=digits", "num_seeds=1", "tensorboard=false", f"output_dir={home / 'one'}")()
        (template,) = (path.parent for path in home.glob("one/**/settings.yaml"))
        sizes = ((500, 1, "", ""),) if bench.quick else ((2000, 5, "≤ 8 s", "≤ 2 s"), (10_000, 1, "≤ 8 s", "≤ 2 s"))
        for configurations, seeds, cold, cached in sizes:
            study = home / f"{configurations}x{seeds}"
            large_study.make(template, study, configurations=configurations, seeds=seeds)
            time.sleep(3)  # files that were written just now are not kept
            what = f"{configurations:,} configurations × {seeds} runs of one seed"
            for name, goal, *options in (("cold", cold, "--table"), ("cached", cached, "--table"), ("page", "")):
                seconds, megabytes = _with_memory("report", str(study), *options)
                rows.append(Row(f"{what}: {name}", [seconds], goal, " s"))
                rows.append(Row(f"{what}: {name}", [megabytes], "≤ 1,000 MB", " MB"))
            page = (study / "report" / "report.html").stat().st_size / 1e6
            rows.append(Row(f"{what}: report.html", [page], "≤ 3 MB", " MB"))
    return rows


def _with_memory(*arguments: str) -> tuple[float, float]:
    """Seconds of a command, and the MB that it needed at most."""
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    began = time.perf_counter()
    asked = [sys.executable, "-c", code, sys.executable, "-m", "actbench", *arguments]
    peak = int(subprocess.run(asked, check=True, capture_output=True, text=True).stdout) / 1e3
    return time.perf_counter() - began, peak


def copies(template: Path, folder: Path, count: int) -> None:
    """Runs that differ from `template` in their learning rate and their accuracies."""
    settings = reader.settings_of(template)
    summary = reader.summary(template)
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
        shutil.copytree(template, files.path, ignore=shutil.ignore_patterns("checkpoints", "tensorboard"))
        files.write_settings(own)
        files.write_summary(replace(summary, id=own.id, activation=activation.name, metrics=metrics))


SECTIONS = {
    section.__name__: section
    for section in (
        seeds,
        stacks,
        cnn,
        jax,
        own,
        dead,
        looking,
        streaming,
        watch,
        activations,
        commands,
        memory,
        api,
        jobs,
        planning,
        engines,
        rules,
        shards,
        workers,
        beside,
        speedrun,
        reports,
        studies,
        sweep,
    )
}
USUAL = ("seeds", "stacks", "cnn", "dead", "looking", "activations", "commands", "memory", "jobs")
QUICK = ("seeds", "cnn", "dead")
ON_A_GPU = ("seeds", "stacks", "cnn", "looking", "engines", "speedrun", "activations", "commands", "sweep")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{', '.join(QUICK)} alone, on a fifth of the samples")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N or mps")
    parser.add_argument("--only", metavar="PARTS", help=f"some of {', '.join(SECTIONS)}; all")
    asked = parser.parse_args()
    composing.register()
    bench = Bench(choose_device(asked.device), asked.quick)
    usual = ON_A_GPU if bench.device.type == "cuda" else QUICK if bench.quick else USUAL
    chosen = SECTIONS if asked.only == "all" else asked.only.split(",") if asked.only else usual
    unknown = [name for name in chosen if name not in SECTIONS]
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    console = Console(width=120)
    capability = torch.backends.cpu.get_cpu_capability()
    console.print(f"{describe(bench.device)}, torch {torch.__version__}, {capability}")
    table = Table("what", "min", "median", "max", "goal")
    began = time.perf_counter()
    for name in chosen:
        for row in SECTIONS[name](bench):
            table.add_row(*row.cells())
        console.print(f"{name}: done after {time.perf_counter() - began:.0f} s", style="dim")
    console.print(table)


if __name__ == "__main__":
    main()
