"""The command as a user runs it: what it leaves, what it says, and what bad input gets."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial

import faults
import pytest
import torch
import yaml
from command_lines import answer
from conftest import HAS_MNIST
from processes import Command
from torch import nn

ARTEFACTS = {
    "settings.yaml",
    "environment.json",
    "history.csv",
    "layers.csv",
    "definitions.csv",
    "summary.json",
    "checkpoints/seed=0.pt",
    "checkpoints/seed=1.pt",
    "correct.npz",
    "preactivations.npz",
}


def the_run(folder):
    """The one run folder below `folder`."""
    (found,) = {path.parent for path in folder.glob("**/settings.yaml")}
    return found


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def without_times(folder):
    """What must be equal when a command is repeated: history without times, layers, metrics, checkpoints' bits."""
    history = [
        {k: v for k, v in row.items() if k not in ("seconds", "waiting")} for row in rows(folder / "history.csv")
    ]
    summary = json.loads((folder / "summary.json").read_text())
    for key in ("seconds", "samples_per_second"):
        summary.pop(key)
    checkpoints = {}
    for path in sorted((folder / "checkpoints").glob("*.pt")):
        for name, tensor in torch.load(path, weights_only=True).items():
            checkpoints[path.name, name] = tensor.numpy().tobytes()
    settings = yaml.safe_load((folder / "settings.yaml").read_text())
    settings.pop("study")
    return history, rows(folder / "layers.csv"), summary, checkpoints, settings


# ---------------------------------------------------------------- what a run leaves


def test_a_run_leaves_what_the_design_says(actbench, tiny, tmp_path):
    done = actbench(*tiny, "activation=leaky_relu")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    folder = the_run(tmp_path)
    assert set(files(folder)) == ARTEFACTS  # what one more takes, it takes of each run of a large study
    beside = [re.sub("events.out.*", "events", name) for name in files(folder.parent) if folder.name not in name]
    events = [f"leaky_relu width=16/{name}" for name in (".run", "events", "seed=0/events", "seed=1/events")]
    assert sorted(beside) == sorted(f"tensorboard/{name}" for name in (".places", *events))

    history = rows(folder / "history.csv")
    assert list(history[0]) == [
        "seed", "epoch", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "grad_norm", "seconds",
        "clipped", "waiting",
    ]  # fmt: skip
    assert [(row["epoch"], row["seed"]) for row in history] == [("1", "0"), ("1", "1"), ("2", "0"), ("2", "1")]
    layers = rows(folder / "layers.csv")
    assert list(layers[0]) == [
        "seed", "epoch", "layer", "units", "dead", "dormant", "saturated", "active", "mean", "std", "grad_norm",
        "births", "deaths", "revivals", "dead_at_init", "died", "dead_for",
    ]  # fmt: skip
    assert [row["epoch"] for row in layers] == ["0", "0", "1", "1", "2", "2"]
    assert all(0 <= float(row[k]) <= 1 for row in layers for k in ("dead", "dormant", "saturated", "active"))
    assert all(float(row["grad_norm"]) > 0 for row in layers)

    summary = json.loads((folder / "summary.json").read_text())
    settings = yaml.safe_load((folder / "settings.yaml").read_text())
    assert summary["status"] == "completed"
    assert summary["id"] == settings["id"]
    assert summary["id"] in folder.name
    assert (summary["dataset"], summary["activation"], summary["seeds"]) == ("digits", "leaky_relu", [0, 1])
    assert summary["parameters"] == 784 * 16 + 16 + 16 * 10 + 10
    metric = summary["metrics"]["test_accuracy"]
    a, b = metric["values"]
    assert metric["n"] == 2
    assert metric["mean"] == pytest.approx((a + b) / 2)
    half = 12.7062047 * abs(a - b) / 2  # t(1, .975) · std / sqrt(2)
    assert metric["ci95"] == pytest.approx([metric["mean"] - half, metric["mean"] + half])
    assert summary["metrics"]["val_accuracy"]["values"] == [float(row["val_accuracy"]) for row in history[2:]]
    assert summary["metrics"]["dead_ratio"]["values"] == [float(row["dead"]) for row in layers[4:]]
    assert set(summary["seconds"]) == {"total", "train", "eval", "looks"}
    assert summary["samples_per_second"] > 0
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["packages"]["torch"]
    assert environment["argv"][1:] == environment["overrides"] == [*tiny, "activation=leaky_relu"]

    assert "leaky_relu-mlp on digits" in done.stdout
    assert f"{metric['mean']:.2f} ± " in done.stdout
    assert "epoch 1/2" in done.stdout  # one plain line per epoch where there is no terminal
    assert "tensorboard --logdir" in done.stdout
    for word in ("dead %", "dormant %", "saturated %", "active %", "s / epoch, all seeds", "n = 2"):
        assert word in done.stdout


def test_a_checkpoint_loads_into_a_network_written_with_plain_torch(actbench, tmp_path):
    """No actbench in what scores it: the digits are made anew with scikit-learn and torch as the docstring describes."""
    from actbench.datasets import digits

    actbench("dataset=digits", "train.epochs=2", "num_seeds=2", "train.threads=1", "activation=elu")
    folder = the_run(tmp_path)
    expected = json.loads((folder / "summary.json").read_text())["metrics"]["test_accuracy"]["values"]
    splits = digits()
    for seed in range(2):
        network = nn.Sequential()
        network.add_module("flatten", nn.Flatten())
        hidden = nn.Sequential()
        hidden.add_module("linear", nn.Linear(784, 512))
        hidden.add_module("activation", nn.ELU())
        network.add_module("hidden1", hidden)
        network.add_module("output", nn.Linear(512, 10))
        network.load_state_dict(torch.load(folder / "checkpoints" / f"seed={seed}.pt", weights_only=True))
        accuracy = 100 * (network(splits.test_x).argmax(1) == splits.test_y).float().mean().item()
        assert accuracy == pytest.approx(expected[seed], abs=1e-3)


def test_the_same_command_gives_the_same_numbers(actbench, tiny, tmp_path):
    rich = ["norm=batch", "dropout=0.2", "activation=swish", "clip=norm", "augment=shift_rotate", "scheduler=cosine"]
    for study in ("a", "b"):
        assert actbench(*tiny, *rich, f"study={study}").returncode == 0
    one, two = (without_times(the_run(tmp_path / "outputs" / study)) for study in ("a", "b"))
    assert one == two


def test_sinks_and_probes_off_give_the_same_numbers(actbench, tiny, tmp_path):
    actbench(*tiny, "study=on")
    actbench(*tiny, "study=off", "probe=false", "tensorboard=false")
    on, off = the_run(tmp_path / "outputs" / "on"), the_run(tmp_path / "outputs" / "off")
    assert on.name == off.name  # looking is no part of the identity
    assert not [*off.parent.rglob("tensorboard"), *off.parent.rglob("*tfevents*")]
    assert rows(off / "layers.csv") == []
    assert (on / "preactivations.npz").exists() and not (off / "preactivations.npz").exists()
    unseen = ("seconds", "waiting", "grad_norm")
    histories = [
        [{k: v for k, v in row.items() if k not in unseen} for row in rows(folder / "history.csv")]
        for folder in (on, off)
    ]
    assert histories[0] == histories[1]
    assert without_times(on)[3] == without_times(off)[3]


def test_dataset_auto_falls_back_loudly_and_writes_it_everywhere(actbench, tiny, tmp_path):
    auto = [o.replace("digits", "auto") for o in tiny]
    done = actbench(*auto, env={"ACTBENCH_DATA": str(tmp_path / "empty")})
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("NOT MNIST: ")
    folder = the_run(tmp_path / "outputs")
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["dataset"] == "digits"
    assert summary["dataset_note"].startswith("NOT MNIST")
    settings = yaml.safe_load((folder / "settings.yaml").read_text())
    assert settings["dataset"]["name"] == "digits"


def test_a_configuration_is_shown_without_looking_for_data(actbench, tmp_path):
    for flags in (["--cfg", "job"], ["--cfg", "hydra", "--resolve"]):
        done = actbench(
            *flags, "dataset=auto", env={"ACTBENCH_DATA": str(tmp_path / "empty"), "ACTBENCH_MIRROR": "nope:"}
        )
        assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "empty").exists()


def test_nobody_need_read_what_is_printed(tiny, tmp_path):
    """`actbench ... | head -1`: the run goes on to its end."""
    pipe, closed = tmp_path / "pipe", tmp_path / "closed"
    os.mkfifo(pipe)
    home = tmp_path / "home"
    home.mkdir()
    command = Command(*tiny, cwd=home, before=partial(faults.is_read_once, pipe, closed))
    with pipe.open() as file:
        assert file.readline()
    closed.touch()
    done = command.wait()
    assert (done.returncode, done.stderr) == (0, "the output was closed; training continues\n")
    assert json.loads((the_run(home) / "summary.json").read_text())["status"] == "completed"


def _unread(tmp_path, *words: str) -> tuple[int, str]:
    """The exit code and stderr of `actbench WORDS` whose output goes into a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as nowhere:
        done = subprocess.run(
            [sys.executable, "-m", "actbench", *words], cwd=tmp_path, stdout=nowhere, stderr=subprocess.PIPE,
            text=True, timeout=100,
        )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.parametrize("words", [["list"], ["list", "dead-units"], ["--help"], ["--cfg", "job"]], ids=" ".join)
def test_what_only_prints_stops_where_nobody_reads(words, tmp_path):
    """`actbench list | head`: as any command, by SIGPIPE."""
    assert _unread(tmp_path, *words) == (141, "")


def test_what_hydra_logs_into_a_closed_pipe_gives_no_traceback(tmp_path):
    assert _unread(tmp_path, "--info")[1] == ""


def test_a_report_that_nobody_reads_is_written(actbench, tiny, tmp_path):
    """`actbench -m ... | head`, where the comparison is the first that nobody reads, and `actbench report ... | head`."""
    words = ["-m", *tiny, "activation=relu,gelu", "study=s"]
    assert actbench(*words).returncode == 0
    page = tmp_path / "outputs/s/report/report.html"
    for again in (["report", "outputs/s"], words):
        page.unlink()
        done = Command(*again, cwd=tmp_path, before=faults.nobody_reads).wait()
        assert (done.returncode, page.exists()) == (0, True), done.stderr
        assert done.stderr.startswith("the output was closed; ")
        assert done.stderr.count("\n") == 1


@pytest.mark.skipif(not HAS_MNIST, reason="ACTBENCH_DATA does not point at MNIST")
def test_real_mnist_by_default(actbench, tmp_path):
    done = actbench("train.epochs=1", "num_seeds=2", "model.width=32", "dataset.train_size=5000")
    assert done.returncode == 0, done.stderr
    summary = json.loads((the_run(tmp_path) / "summary.json").read_text())
    assert summary["dataset"] == "mnist"
    assert summary["metrics"]["test_accuracy"]["mean"] > 80


# ---------------------------------------------------------------- studies, interruption, resuming


def test_a_complete_run_is_shown_again_and_nothing_is_written(actbench, tiny, tmp_path):
    first = actbench(*tiny, "study=mine")
    before = files(the_run(tmp_path))
    again = actbench(*tiny, "study=mine")
    assert again.returncode == 0, again.stderr
    assert "already complete" in again.stdout
    assert files(the_run(tmp_path)) == before
    table = first.stdout[first.stdout.index("relu-mlp on digits, 2") :]
    assert table in again.stdout


def test_other_seeds_and_settings_get_folders_of_their_own(actbench, tiny, tmp_path):
    for extra in ([], ["seed=2"], ["optimizer.lr=0.002"], ["model.depth=2"]):
        assert actbench(*tiny, "study=mine", *extra).returncode == 0
    assert len(list((tmp_path / "outputs" / "mine").glob("*/settings.yaml"))) == 4


LONG = [
    "dataset=digits",
    "dataset.train_size=400",
    "num_seeds=2",
    "train.threads=1",
    "study=mine",
    "dropout=0.1",
    "norm=batch",
    "optimizer=nadam",
]


STOPPED = """
import atexit, sys
from actbench import cli
def stopped(_argv):
    atexit.register(print, "closed", flush=True)
    sys.stdout.write("written ")
    raise {how}
cli._main = stopped
cli.main()
"""


@pytest.mark.parametrize(
    ("how", "which"),
    [
        ("KeyboardInterrupt", signal.SIGINT),
        ("SystemExit(130)", signal.SIGINT),
        ("SystemExit(143)", signal.SIGTERM),
        ("SystemExit(3)", None),
    ],
)
def test_a_command_that_a_signal_stops_ends_by_it_once_all_is_closed(how, which):
    """So that the loop of a shell around it stops, too."""
    done = subprocess.run([sys.executable, "-c", STOPPED.format(how=how)], capture_output=True, text=True, check=False)
    assert done.returncode == (3 if which is None else -which), done.stderr
    assert done.stdout == "written closed\n"


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """What twelve epochs come to that nobody stops."""
    home = tmp_path_factory.mktemp("straight")
    done = Command(*LONG, "train.epochs=12", cwd=home).wait()
    assert done.returncode == 0, done.stderr
    return without_times(the_run(home))


@pytest.mark.parametrize(
    ("which", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_stopped_and_continued_is_bit_equal_to_never_stopped(actbench, straight, tmp_path, which, code):
    long = [*LONG, "train.epochs=12"]
    stopped = Command(*long, cwd=tmp_path, before=partial(faults.after_epoch, 3, faults.send_soon, which)).wait()
    assert stopped.returncode == code
    folder = the_run(tmp_path)
    done = max(int(row["epoch"]) for row in rows(folder / "history.csv"))
    assert 3 <= done < 12
    if which != signal.SIGKILL:
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["status"] == "interrupted"
        assert summary["epochs_done"] == done
        assert "test_accuracy" not in summary["metrics"]
        assert "to go on:  actbench" in stopped.stderr
        assert "study=mine" in stopped.stderr
        assert not list(folder.rglob("*.part"))
    for name in ("history.csv", "layers.csv"):
        assert (folder / name).read_text().endswith("\n")

    again = actbench(*long)
    assert again.returncode == 0, again.stderr
    assert re.search(r"going on after epoch \d+ of 12", again.stdout)
    assert without_times(folder) == straight
    assert not (folder / "resume.pt").exists()


def test_the_command_that_goes_on_works_for_a_run_without_a_study(actbench, tmp_path):
    overrides = [o for o in LONG if not o.startswith("study")] + ["train.epochs=12"]
    stop = partial(faults.after_epoch, 2, faults.send_soon, signal.SIGINT)
    stopped = Command(*overrides, cwd=tmp_path, before=stop).wait()
    (arguments,) = re.findall(r"to go on:  actbench (.*)", stopped.stderr)
    again = actbench(*arguments.split())
    assert "going on after epoch" in again.stdout
    assert len(list((tmp_path / "outputs").glob("*/*/settings.yaml"))) == 1


@pytest.mark.parametrize("word", ["output_dir=file", "study=file"])
def test_a_file_where_a_folder_should_be_is_one_clear_error(actbench, tmp_path, word):
    for path in (tmp_path / "file", tmp_path / "outputs" / "file"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    done = actbench("dataset=digits", "model.width=4", word)
    assert done.returncode == 2 and done.stderr.count("error: ") == 1
    assert "file: Not a directory\n    output_dir=FOLDER that you may write to" in done.stderr
    assert (tmp_path / "file").read_text() == (tmp_path / "outputs" / "file").read_text() == "mine"


def test_kill_at_any_moment_leaves_no_half_file(tmp_path):
    """Killed at many moments of starting, training and writing: every file that is there can be read."""
    for number, moment in enumerate((0.01, 0.05, 0.11, 0.23, 0.37, 0.52)):
        small = ["dataset=digits", "num_seeds=2", "train.threads=1", "model.width=64"]
        command = Command(*small, f"study=s{number}", "train.epochs=60", cwd=tmp_path)
        command.wait_for("epoch 1/60")
        time.sleep(moment)
        command.send(signal.SIGKILL)
        command.wait()
        folder = the_run(tmp_path / "outputs" / f"s{number}")
        resume = torch.load(folder / "resume.pt", weights_only=True)
        last = resume["epochs"][-1]["number"]
        written = [int(row["epoch"]) for row in rows(folder / "history.csv")]
        assert max(written) - last in (0, 1)
        assert yaml.safe_load((folder / "settings.yaml").read_text())["id"]
        assert json.loads((folder / "environment.json").read_text())["argv"]


def test_a_seed_that_diverges_is_marked_and_the_run_succeeds(actbench, tmp_path):
    """SGD at a rate at which, of these seeds, some survive the first epochs and some do not."""
    overrides = ["dataset=digits", "train.threads=1", "optimizer=sgd", "activation=squared_relu", "model.depth=3",
                 "model.width=32", "train.epochs=3", "num_seeds=8", "optimizer.lr=0.006"]  # fmt: skip
    done = actbench(*overrides)
    summary = json.loads((the_run(tmp_path) / "summary.json").read_text())
    gone = {int(seed): epoch for seed, epoch in summary["diverged"].items()}
    assert 0 < len(gone) < 8, gone
    assert done.returncode == 0
    assert summary["status"] == "completed"
    metric = summary["metrics"]["test_accuracy"]
    assert metric["n"] == 8 - len(gone)
    assert [value is None for value in metric["values"]] == [seed in gone for seed in range(8)]
    for seed, epoch in gone.items():
        assert f"seed {seed} diverged in epoch {epoch}" in done.stdout
        own = [row for row in rows(the_run(tmp_path) / "history.csv") if int(row["seed"]) == seed]
        assert max(int(row["epoch"]) for row in own) == epoch
    assert "diverged" in done.stdout[done.stdout.index("metric") :]


def test_a_run_in_which_every_seed_diverges_fails(actbench, tiny, tmp_path):
    done = actbench(*tiny, "optimizer=sgd", "optimizer.lr=1e20", "study=mine")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    summary = json.loads((the_run(tmp_path) / "summary.json").read_text())
    assert summary["status"] == "diverged"
    assert summary["metrics"]["val_accuracy"]["mean"] is None
    again = actbench(*tiny, "optimizer=sgd", "optimizer.lr=1e20", "study=mine")
    assert "already complete" in again.stdout
    assert again.returncode == 1


# ---------------------------------------------------------------- sweeps


def test_a_sweep_runs_every_job_in_one_study(actbench, tiny, tmp_path):
    done = actbench("-m", *tiny, "activation=relu,gelu", "optimizer.lr=1e-3,3e-3")
    assert done.returncode == 0, done.stderr
    (study,) = (tmp_path / "outputs").iterdir()
    summaries = [json.loads(p.read_text()) for p in study.glob("*/summary.json")]
    assert sorted(s["activation"] for s in summaries) == ["gelu", "gelu", "relu", "relu"]
    assert len({s["id"] for s in summaries}) == 4


def test_a_sweep_is_checked_whole_before_the_first_job(actbench, tiny, tmp_path):
    done = actbench("-m", *tiny, "activation=relu,gelu,foo", "optimizer.lr=0.1,-1", "train.batch_size=32,5000")
    assert done.returncode == 2
    for part in ("no activation called foo", "optimizer.lr=-1: must be", "train.batch_size=5000: is larger"):
        assert done.stderr.count(part) == 1, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_value_for_sweepers_is_the_mean_validation_accuracy(tmp_path, monkeypatch):
    from hydra import compose, initialize_config_dir
    from hydra.core.hydra_config import HydraConfig

    from actbench.choices import packaged_conf
    from actbench.command import composing, task_function

    composing.register()
    monkeypatch.chdir(tmp_path)
    overrides = ["dataset=digits", "train.epochs=1", "num_seeds=2", "model.width=8", "hydra.runtime.output_dir=out",
                 "hydra.overrides.task=[]"]  # fmt: skip
    with initialize_config_dir(str(packaged_conf()), version_base="1.3"):
        composed = compose("config", overrides=overrides, return_hydra_config=True)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", composed)
    value = task_function.job(composing.without_hydra(composed))
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert value == summary["metrics"]["val_accuracy"]["mean"]


# ---------------------------------------------------------------- bad input


BAD = {
    "misspelt choice": (["activation=reluu"], ["no activation called reluu", "did you mean relu?"]),
    "misspelt group": (["activaton=relu"], ["activaton=relu: no such key", "did you mean activation=relu?"]),
    "misspelt key": (["model.widht=3"], ["model.widht=3: no such key", "did you mean model.width=3?"]),
    "key of a group": (["lr=0.1"], ["did you mean optimizer.lr=0.1?"]),
    "added key": (["+foo=1"], ["foo: no such key"]),
    "added parameter": (["+model.foo=1"], ["model.foo: no such key"]),
    "wrong type": (["optimizer.lr=fast"], ["optimizer.lr=fast: must be a number above 0"]),
    "float for int": (["train.epochs=2.5"], ["train.epochs=2.5: must be a whole number"]),
    "bool for number": (["dropout=true"], ["dropout=true: must be"]),
    "dropout": (["dropout=1.5"], ["dropout=1.5: must be a number from 0 to below 1"]),
    "width": (["model.width=0"], ["model.width=0: must be a whole number of 1 or more"]),
    "lr": (["optimizer.lr=-1"], ["optimizer.lr=-1: must be a number above 0"]),
    "nan": (["optimizer.lr=nan"], ["optimizer.lr=nan: must be"]),
    "num_seeds": (["num_seeds=0"], ["num_seeds=0: must be"]),
    "epochs": (["train.epochs=0"], ["train.epochs=0: must be"]),
    "max_norm": (["clip=norm", "clip.max_norm=0"], ["clip.max_norm=0: must be a number above 0"]),
    "batch": (["train.batch_size=2000"], ["train.batch_size=2000: is larger than the training set of 1,257"]),
    "device word": (
        ["train.device=gpu"],
        ["train.device=gpu: must be one of auto, cpu, cuda, cuda:N, mps", "train.device=cuda?"],
    ),
    "precision": (["train.precision=fp16"], ["must be one of fp32, bf16, tf32"]),
    "sweep without -m": (["activation=relu,gelu"], ["actbench -m activation=relu,gelu"]),
    "values without -m": (["optimizer.lr=0.1,0.2"], ["actbench -m optimizer.lr=0.1,0.2"]),
    "no site left": (["upper_activation=gelu"], ["split=0.5 leaves none to `upper_activation`"]),
    "study": (["study=a/b"], ["study=a/b: must be a plain folder name: letters, digits, blanks within it"]),
    "command": (["lits"], ["lits: is not a command"]),
    "list": (["list", "activatoin"], ["did you mean activation"]),
    "gelu": (["activation=gelu", "activation.approximate=erf"], ["must be one of none, tanh"]),
    "slopes": (["activation=prelu", "activation.num_parameters=3"], ["must be 1 or units"]),
    "in place": (["+activation.inplace=true"], ["activation.inplace"]),
    "batch norm of one": (["norm=batch", "train.batch_size=157"], ["leaves a batch of one sample"]),
    "train_size": (["dataset.train_size=9"], ["dataset.train_size=9", "from 10 to 1257"]),
    "pooled away": (["model=cnn", "model.channels=[2,2,2,2,2]"], ["halve 28×28 pixels to nothing"]),
    "even kernel": (["model=cnn", "model.kernel_size=4"], ["model.kernel_size=4: is even"]),
    "target": (["activation._target_=torch.nn.GELU"], ["activation._target_=torch.nn.GELU: cannot be changed here"]),
    "target within": (["activation=elu", "activation.alpha={_target_: os.getenv}"], ["cannot be changed here"]),
    "case": (["activation=Relu"], ["did you mean relu?"]),
    "a list of choices": (
        ["activation=[relu,gelu]"],
        ["activation=[relu,gelu]: is not one choice", "actbench -m activation=relu,gelu"],
    ),
    "comma and space": (
        ["activation=relu,"],
        ["ends with a comma", "no space behind a comma", "actbench activation=relu"],
    ),
    "another's key": (["activation.negative_slope=0.1"], ["is a key of leaky_relu alone"]),
    "a way to run": (["train.execution=parallel"], ["one of auto, stacked, seed_by_seed"]),
    "an engine": (["train.engine=turbo"], ["must be one of auto, eager, graph, compiled"]),
    "no graph": (
        ["train.engine=graph", "train.device=cpu"],
        ["train.engine=graph: is not possible", "need a CUDA device"],
    ),
    "tf32": (["train.precision=tf32", "train.device=cpu"], ["train.precision=tf32: only CUDA devices have it"]),
    "no convolution": (
        ["train.memory_format=channels_last"],
        ["train.memory_format=channels_last: the network has no"],
    ),
    "memory": (["train.memory_format=nhwc"], ["must be one of auto, contiguous, channels_last"]),
    "plus": (["+experiment=article_mlp"], ["is chosen without a +"]),
    "deleted key": (["~dropout"], ["~dropout: a key cannot be removed"]),
    "deleted train": (["~train.epochs"], ["~train.epochs: a key cannot be removed"]),
    "no group": (["train=3"], ["train"]),
    "null choice": (["activation=null"], ["activation"]),
    "many threads": (["train.threads=10000000000"], ["must be a whole number of 1 to 1024"]),
    "huge batch": (["train.eval_batch_size=1000000000000000000000000"], ["train.eval_batch_size"]),
    "factor": (["scheduler=onecycle", "scheduler.div_factor=0"], ["scheduler.div_factor=0: must be a number above 0"]),
    "bounds": (["activation=hardtanh", "activation.min_val=1", "activation.max_val=-1"], ["error: activation"]),
    "launcher": (["hydra/launcher=foo"], ["hydra/launcher=foo"]),
    "output": (["output_dir=/proc/nowhere"], ["/proc"]),
    "syntax": (["activation=="], ["activation=="]),
}


OF_ITS_OWN = ("misspelt choice", "command", "list", "launcher", "output", "no convolution")


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_clear_message_and_nothing_is_written(tmp_path, monkeypatch, case):
    """Some in processes of their own, most in this one, where what would start is seen."""
    overrides, parts = BAD[case]
    words = overrides if overrides[0] in ("list", "lits") else [*overrides, "dataset=digits"]
    if case in OF_ITS_OWN:
        done = Command(*words, cwd=tmp_path).wait()
        code, told = done.returncode, done.stderr
    else:
        given = answer(words, tmp_path, monkeypatch, checked=True)
        code, told = given.code, given.text
    assert code == 2, told
    assert "Traceback" not in told
    assert told.startswith("error: ")
    for part in parts:
        assert part in told
    assert list(tmp_path.iterdir()) == []


def test_without_a_compiler_nothing_is_compiled_and_nothing_is_written(actbench, tiny, tmp_path):
    (tmp_path / "cache").mkdir()
    env = {"CXX": "/nowhere/c++", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    done = actbench(*tiny, "train.engine=compiled", "train.device=cpu", env=env)
    assert done.returncode == 2
    assert "error: train.engine=compiled: torch.compile failed: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "outputs").exists()


def folder_of(*overrides, cwd):
    """Where a run will be."""
    from actbench.command.composing import register
    from actbench.command.planning import plan

    register()
    ((job,), problems) = plan(overrides, multirun=False)
    assert problems == []
    return cwd / job.folder


def test_a_folder_that_is_no_runs_folder_is_left_alone(actbench, tiny, tmp_path):
    folder = folder_of(*tiny, "study=s", cwd=tmp_path)
    (folder / "tensorboard").mkdir(parents=True)
    (folder / "history.csv").write_text("mine")
    done = actbench(*tiny, "study=s")
    assert done.returncode == 2
    assert "holds history.csv and no settings.yaml" in done.stderr
    assert files(folder) == {"history.csv": b"mine"}


def test_a_broken_file_in_the_users_conf_is_named(actbench, tiny, tmp_path):
    (tmp_path / "conf" / "activation").mkdir(parents=True)
    path = tmp_path / "conf" / "activation" / "bad.yaml"
    path.write_text("a: [1\n")
    for typed in ("activation=bad", "upper_activation=bad"):  # who does not choose it is not stopped by it
        done = actbench(*tiny, typed)
        assert done.returncode == 2
        assert "bad.yaml: is not YAML" in done.stderr
    path.write_bytes(b"# \xe9\n")
    done = actbench("list", "activation")
    assert done.returncode == 0  # nor is who only looks
    assert re.search(r"bad +\(cannot be read\)", done.stdout)
    done = actbench(*tiny, "activation=bad")
    assert done.returncode == 2
    assert "bad.yaml: " in done.stderr


def test_a_users_yaml_with_what_cannot_step_is_refused_before_training(actbench, tiny, tmp_path):
    (tmp_path / "conf" / "optimizer").mkdir(parents=True)
    text = "# L-BFGS\n_target_: torch.optim.LBFGS\n_partial_: true\nlr: 1.0\n"
    (tmp_path / "conf" / "optimizer" / "lbfgs.yaml").write_text(text)
    done = actbench(*tiny, "optimizer=lbfgs")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "closure" in done.stderr


def test_a_resume_file_of_another_device_is_refused(actbench, tmp_path):
    stop = partial(faults.after_epoch, 2, faults.send_soon, signal.SIGTERM)
    Command(*LONG, "train.epochs=40", cwd=tmp_path, before=stop).wait()
    path = the_run(tmp_path) / "resume.pt"
    torch.save({**torch.load(path, weights_only=True), "device": "cuda"}, path)
    done = actbench(*LONG, "train.epochs=40")
    assert done.returncode == 2
    assert "was written on cuda" in done.stderr


def test_leftovers_of_a_killed_process_are_removed(actbench, tiny, tmp_path):
    assert actbench(*tiny, "study=s").returncode == 0
    folder = the_run(tmp_path)
    (folder / ".history.csv.123.part").write_text("half")
    (folder / "resume.pt").write_text("left over")
    assert "already complete" in actbench(*tiny, "study=s").stdout
    assert not list(folder.rglob("*.part"))
    assert not (folder / "resume.pt").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_cuda_and_everything_else_at_once(actbench, tmp_path):
    done = actbench("dataset=digits", "train.device=cuda", "dropout=1.5", "model.widht=3", "num_seeds=0", "activation=reluu",
                    "train.batch_size=2000")  # fmt: skip
    assert done.returncode == 2
    for part in ("CUDA is not available", "dropout=1.5", "model.widht", "num_seeds=0", "reluu", "is larger than"):
        assert part in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_no_network_with_strict_mnist(actbench, tmp_path):
    done = actbench("dataset=mnist", env={"ACTBENCH_DATA": str(tmp_path / "data")})
    assert done.returncode == 2
    assert "MNIST is not in" in done.stderr
    assert "dataset=digits" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "outputs").exists()


def test_data_folder_that_is_not_writable(actbench, tmp_path):
    (tmp_path / "file").write_text("")
    done = actbench("dataset=mnist", env={"ACTBENCH_DATA": str(tmp_path / "file" / "data")})
    assert done.returncode == 2
    assert str(tmp_path / "file") in done.stderr
    assert "ACTBENCH_DATA" in done.stderr
    assert "Traceback" not in done.stderr


def test_damaged_file_is_named(actbench, tmp_path):
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{name}-ubyte").write_bytes(b"\0\0\10\3 truncated")
    for dataset in ("mnist", "auto"):
        done = actbench(f"dataset={dataset}", env={"ACTBENCH_DATA": str(tmp_path / "data")})
        assert done.returncode == 2
        assert f"{raw}/train-images-idx3-ubyte: damaged: 14 bytes instead of 47,040,016" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_folder_of_another_configuration_is_left_alone(actbench, tiny, tmp_path):
    actbench(*tiny, "study=s")
    other = folder_of(*tiny, "study=s", "optimizer.lr=0.1", cwd=tmp_path)
    the_run(tmp_path).rename(other)
    before = files(other)
    done = actbench(*tiny, "study=s", "optimizer.lr=0.1")
    assert done.returncode == 2
    assert f"{other.relative_to(tmp_path)}: holds another run" in done.stderr
    assert files(other) == before


def test_a_hand_edited_summary_is_named(actbench, tiny, tmp_path):
    actbench(*tiny, "study=mine")
    path = the_run(tmp_path) / "summary.json"
    path.write_text("{}")
    done = actbench(*tiny, "study=mine")
    assert done.returncode == 2
    assert "summary.json" in done.stderr
    assert path.read_text() == "{}"


def test_a_full_disk_is_said_and_loses_nothing(tmp_path, tiny):
    """A limit on the size of files stands in for a full disk: resume.pt cannot be written."""
    wide = [o for o in tiny if "width" not in o]
    done = Command(*wide, cwd=tmp_path, before=partial(faults.small_files, 60_000)).wait()
    assert done.returncode == 1, done.stderr
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    folder = the_run(tmp_path)
    assert json.loads((folder / "summary.json").read_text())["status"] == "failed"
    assert len(rows(folder / "history.csv")) == 2
    assert not list(folder.rglob("*.part"))


# ---------------------------------------------------------------- list, help, and a user's own activation


def test_list_shows_every_choice_with_a_line(actbench):
    from actbench.choices import choices_of, groups, packaged_conf

    done = actbench("list")
    assert done.returncode == 0
    for path in packaged_conf().glob("*/*.yaml"):
        assert re.search(rf"^  {path.stem} +\S", done.stdout, re.MULTILINE), path
    assert all(choice.description for group in groups() for choice in choices_of(group))
    one = actbench("list", "activation").stdout
    assert "max(0, z)" in one
    assert "optimizer" not in one


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["--version"]])
def test_showing_imports_neither_torch_nor_hydra(arguments):
    code = (
        "import sys; sys.argv[0] = 'actbench'\nfrom actbench.cli import main\n"
        "try: main()\nexcept SystemExit as e: assert not e.code\n"
        "assert not {'torch', 'hydra', 'scipy', 'numpy'} & set(sys.modules), 'heavy imports'"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_help_names_every_group_and_key(actbench):
    from actbench.settings import GROUPS

    text = actbench("--help").stdout
    for word in (*GROUPS, "experiment", "dropout", "epochs", "num_seeds", "study", "--cfg job"):
        assert word in text


def test_a_sweep_is_not_shown_and_says_so(actbench):
    done = actbench("-m", "--cfg", "job", "activation=relu,gelu")
    assert done.returncode == 2
    assert done.stderr == "error: --multirun, --cfg: exclude each other\n    leave all but one out\n"


def test_cfg_job_prints_the_configuration(actbench):
    done = actbench("--cfg", "job", "activation=elu", "activation.alpha=0.5")
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["activation"]["alpha"] == 0.5


def test_a_users_own_activation(actbench, tiny, tmp_path):
    (tmp_path / "conf" / "activation").mkdir(parents=True)
    (tmp_path / "conf" / "activation" / "bent.yaml").write_text(
        "# (sqrt(z² + 1) - 1) / 2 + z\n_target_: my_acts.Bent\n_partial_: true\nscale: 1.0\n"
    )
    (tmp_path / "my_acts.py").write_text(
        "import torch\nclass Bent(torch.nn.Module):\n"
        "    def __init__(self, scale=1.0):\n        super().__init__()\n        self.scale = scale\n"
        "    def forward(self, z):\n        return self.scale * (((z * z + 1).sqrt() - 1) / 2 + z)\n"
    )
    assert "bent" in actbench("list", "activation").stdout
    refused = actbench(*tiny, "activation=bent")
    assert refused.returncode == 2
    assert "trust=my_acts" in refused.stderr
    done = actbench(*tiny, "activation=bent", "trust=my_acts", "activation.scale=0.9")
    assert done.returncode == 0, done.stderr
    assert "stacked" in done.stdout
    typo = actbench(*tiny, "activation=bent", "trust=my_acts", "activation.scael=0.9")
    assert "did you mean activation.scale=0.9?" in typo.stderr
    upper = actbench(*tiny, "model.depth=2", "upper_activation=bent", "trust=my_acts")
    assert upper.returncode == 0, upper.stderr


@pytest.mark.parametrize("scheduler", ["onecycle", "cosine"])
def test_a_scheduler_causes_no_warning(actbench, tiny, scheduler):
    done = actbench(*tiny, f"scheduler={scheduler}")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_way_to_run_can_be_forced(actbench, tiny, tmp_path):
    results = {}
    for execution in ("stacked", "seed_by_seed"):
        done = actbench(*tiny, f"train.execution={execution}", f"study={execution}")
        assert done.returncode == 0, done.stderr
        folder = the_run(tmp_path / "outputs" / execution)
        results[execution] = json.loads((folder / "summary.json").read_text())
    assert results["stacked"]["execution"] == "stacked, eager"
    assert results["seed_by_seed"]["execution"] == "seed by seed, eager: as requested"
    assert results["stacked"]["id"] == results["seed_by_seed"]["id"]
    losses = [results[execution]["metrics"]["val_loss"]["values"] for execution in results]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_what_cannot_be_stacked_is_refused_where_that_is_insisted_on(actbench, tiny, tmp_path):
    (tmp_path / "conf" / "activation").mkdir(parents=True)
    (tmp_path / "conf" / "activation" / "odd.yaml").write_text("# a·z\n_target_: odd_acts.Odd\n_partial_: true\n")
    (tmp_path / "odd_acts.py").write_text(
        "import torch\nclass Odd(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.a = torch.nn.Parameter(torch.ones(1))\n    def forward(self, z):\n        return self.a * z.relu()\n"
    )
    own = ["activation=odd", "trust=odd_acts"]
    done = actbench(*tiny, *own, "train.execution=stacked")
    assert done.returncode == 2
    assert done.stderr.startswith("error: train.execution=stacked: is not possible: "), done.stderr
    assert not (tmp_path / "outputs").exists()
    done = actbench(*tiny, *own)
    assert done.returncode == 0, done.stderr
    assert "seed by seed, eager: " in done.stdout


def test_a_run_goes_on_in_the_way_it_began(tmp_path):
    from actbench.errors import UserError
    from actbench.store.folder import RunFolder

    folder, cpu = RunFolder(tmp_path), torch.device("cpu")
    folder.write_resume({"network": {}}, [], cpu, stacked=True)
    assert folder.read_resume(cpu, stacked=True) == ({"network": {}}, [])
    with pytest.raises(UserError) as refused:
        folder.read_resume(cpu, stacked=False)
    assert "was written by seeds that were trained stacked" in str(refused.value)
    assert "train.execution=stacked" in str(refused.value)


def test_no_color_is_respected_and_pipes_get_no_escapes(actbench, tiny):
    done = actbench(*tiny, env={"NO_COLOR": "1"})
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("statuses", "code"), [(["completed"] * 2, 0), (["completed", "diverged"], 1), (["completed", ""], 1)]
)
def test_jobs_of_other_processes_are_judged_by_what_they_left(tmp_path, statuses, code):
    """A parallel launcher's workers have exit codes of their own; the command's is made from their summaries."""
    from actbench.command import training
    from actbench.command.planning import Job

    jobs = []
    for number, status in enumerate(statuses):
        folder = tmp_path / str(number)
        folder.mkdir()
        if status:
            (folder / "summary.json").write_text(json.dumps({"status": status}))
        jobs.append(Job((), None, folder))
    assert training._exit_code_by_files(jobs) == code


@pytest.mark.parametrize("subcommand", ["report", "kernels"])
def test_the_help_of_a_subcommand_imports_nothing_heavy(subcommand):
    code = (
        "import sys; sys.argv[0] = 'actbench'\nfrom actbench.cli import main\n"
        "try: main()\nexcept SystemExit as e: assert not e.code\n"
        "assert not {'torch', 'hydra', 'scipy', 'numpy', 'pandas'} & set(sys.modules), 'heavy imports'"
    )
    command = [sys.executable, "-c", code, subcommand, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"usage: actbench {subcommand}" in done.stdout


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_an_encoding_does_not_have_is_a_question_mark_and_no_error(encoding):
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "actbench", "list", "gelu"]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"?" in done.stdout
