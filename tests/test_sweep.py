"""Sweeps as a user runs them: they end in a comparison, go on where they stopped, and survive what fails."""

from __future__ import annotations

import csv
import itertools
import json
import math
import os
import re
import shlex
import signal
import statistics
import subprocess
import sys
from functools import partial

import faults
import pytest
import torch
from command_lines import answer
from conftest import HAS_MNIST
from processes import OFFLINE, Command
from scipy import stats
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch import nn

from actbench.choices import choices_of
from actbench.command.composing import register
from actbench.command.override import read
from actbench.command.planning import plan
from actbench.command.repeated_keys import narrow, without_repeats
from actbench.files.reading import read_yaml
from actbench.store import reader


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def the_folder(study, start):
    (found,) = study.glob(f"{start}-*")
    return found


@pytest.fixture
def three(tiny):
    """A second's run with enough seeds for a test."""
    return ["-m", *(word for word in tiny if "num_seeds" not in word), "num_seeds=3", "study=s"]


# ---------------------------------------------------------------- the end of a sweep


@pytest.mark.rendered
def test_a_sweep_ends_in_a_comparison(actbench, three, tmp_path):
    done = actbench(*three, "activation=relu,gelu", "optimizer.lr=1e-3,3e-3")
    assert (done.returncode, done.stderr) == (0, "")
    report = tmp_path / "outputs" / "s" / "report"
    assert {path.name for path in report.iterdir()} == {
        "report.html",
        "report.md",
        "verdict.json",
        "results.csv",
        "plots",
    }
    assert (report / "plots" / "heatmap.png").stat().st_size > 5000
    results = rows(report / "results.csv")
    names = {f"{activation} lr={lr}" for activation in ("relu", "gelu") for lr in ("0.001", "0.003")}
    assert {row["configuration"] for row in results} == names
    assert "\nconfiguration " in done.stdout
    assert "\ntuned per activation, on equal terms: " in done.stdout
    again = actbench("report", "outputs/s")
    assert done.stdout.endswith(again.stdout)


def test_every_session_of_a_study_is_named_so_that_a_person_finds_it(actbench, three, tmp_path):
    """Rows of HParams are runs of TensorBoard, which are called what the sweep varies; their columns are alike."""
    actbench(*three, "activation=leaky_relu,prelu", "optimizer.lr=3e-3,1e-2")
    columns = {}
    for folder in (tmp_path / "outputs" / "s" / "tensorboard").glob("[!.]*"):
        metadata = EventAccumulator(str(folder)).Reload().summary_metadata
        start, about = (
            HParamsPluginData.FromString(metadata[f"_hparams_/{name}"].plugin_data.content)
            for name in ("session_start_info", "experiment")
        )
        assert start.session_start_info.group_name == ""  # which makes it a row of its own, called as the run is
        columns[folder.name] = [info.name for info in about.experiment.hparam_infos]
        assert {*columns[folder.name]} <= {*start.session_start_info.hparams}
    assert {*columns} == {f"{activation} lr={lr}" for activation in ("leaky_relu", "prelu") for lr in ("0.003", "0.01")}
    assert {len({*names}) for names in columns.values()} == {len(names) for names in columns.values()}
    assert len({tuple(names) for names in columns.values()}) == 1
    assert {"activation", "optimizer.lr"} <= {*next(iter(columns.values()))}


# ---------------------------------------------------------------- resumable


def test_a_repeated_sweep_skips_what_is_complete(actbench, three, tmp_path):
    actbench(*three, "activation=relu,gelu")
    study = tmp_path / "outputs" / "s"
    before = {path: path.stat().st_mtime_ns for path in study.glob("*/summary.json")}
    done = actbench(*three, "activation=relu,gelu,tanh")
    assert done.returncode == 0, done.stderr
    assert "2 of 3 already complete\n" in done.stdout
    assert re.findall(r"(?m)^\[(\S+)\] (\w+)", done.stdout) == [("3/3", "tanh")]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert {row["configuration"] for row in rows(study / "report" / "results.csv")} == {"relu", "gelu", "tanh"}


def test_more_seeds_later_make_n_grow(actbench, three, tmp_path):
    actbench(*three, "activation=relu,gelu")
    done = actbench(*three, "activation=relu,gelu", "seed=3")
    assert done.returncode == 0, done.stderr
    results = rows(tmp_path / "outputs" / "s" / "report" / "results.csv")
    seeds = [r["seed"] for r in results if r["metric"] == "test_accuracy" and r["configuration"] == "gelu"]
    assert seeds == ["0", "1", "2", "3", "4", "5"]
    verdict = json.loads((tmp_path / "outputs" / "s" / "report" / "verdict.json").read_text())["blocks"][0]
    assert [(one["n"], one["low"] < one["high"]) for one in verdict["configurations"]] == [(6, True), (6, True)]
    assert verdict["look"] == 2  # the first command has shown its verdict


def a_burst(folder, at):
    """An activation of the user's own that fails at its call number `at`, which is no part of its code."""
    (folder / "at.txt").write_text(str(at))
    (folder / "conf" / "activation").mkdir(parents=True, exist_ok=True)
    (folder / "conf" / "activation" / "burst.yaml").write_text(
        "# fails\n_target_: my_acts.Burst\n_partial_: true\nsize: 1.0\n"
    )
    (folder / "my_acts.py").write_text(
        "from torch import nn\nclass Burst(nn.Module):\n    calls, at = 0, int(open('at.txt').read())\n"
        "    def __init__(self, size=1.0):\n        super().__init__()\n        self.size = size\n"
        "    def forward(self, z):\n        Burst.calls += 1\n"
        "        if Burst.calls > Burst.at: raise RuntimeError('too <b>hot</b>\\nand more')\n"
        "        return self.size * z.relu()\n"
    )


def test_a_job_that_fails_stops_no_other_and_is_repeated(actbench, three, tmp_path):
    a_burst(tmp_path, at=90)
    command = [*three, "activation=relu,burst,gelu", "trust=my_acts"]
    done = actbench(*command)
    study = tmp_path / "outputs" / "s"
    assert done.returncode == 1
    assert done.stderr.count("error:") == 1
    said = "the run failed in activation=burst: RuntimeError: too <b>hot</b> (my_acts.py, line "
    assert said in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "[2/3] burst  failed in activation=burst: RuntimeError: too <b>hot</b> (my_acts.py, line " in done.stdout
    failed = the_folder(study, "burst")
    assert "and more" in (failed / "traceback.txt").read_text()
    assert json.loads((failed / "summary.json").read_text())["status"] == "failed"
    assert "\nwithout results: burst (failed: RuntimeError: too" in done.stdout
    assert done.stderr.endswith(f"to go on:  {shlex.join(['actbench', *command])}\n")
    assert "&lt;b&gt;hot" in (study / "report" / "report.html").read_text()
    assert {row["configuration"] for row in rows(study / "report" / "results.csv")} == {"relu", "gelu"}

    a_burst(tmp_path, at=10**9)
    done = actbench(*command)
    assert done.returncode == 0, done.stderr
    assert "2 of 3 already complete\n" in done.stdout
    assert not (failed / "traceback.txt").exists()
    assert json.loads((failed / "summary.json").read_text())["status"] == "completed"
    assert {row["configuration"] for row in rows(study / "report" / "results.csv")} == {"relu", "gelu", "burst"}


def test_a_run_that_cannot_be_built_is_listed_and_repeated(monkeypatch, tmp_path):
    """What goes wrong before the first epoch leaves a folder that says so, and of an earlier attempt nothing is lost."""
    from helpers import settings_of
    from rich.console import Console

    from actbench.job import job as run
    from actbench.sinks.terminal import TerminalSink
    from actbench.store import reader

    settings = settings_of("dataset=digits", "num_seeds=1", "model.width=8", "train.epochs=1")

    def no_memory(_settings):
        raise MemoryError("no room for it")

    def attempt():
        return run.run(settings, tmp_path / "r", terminal=TerminalSink(Console(), live=False))

    with monkeypatch.context() as failing:
        failing.setattr(run, "build", no_memory)
        with pytest.raises(MemoryError):
            attempt()
        summary = reader.summary(tmp_path / "r")
        assert (summary.status, summary.reason) == ("failed", "MemoryError: no room for it")
        (tmp_path / "r" / "resume.pt").write_bytes(b"of an earlier attempt")
        before = (tmp_path / "r" / "settings.yaml").read_bytes()
        with pytest.raises(MemoryError):
            attempt()
        assert (tmp_path / "r" / "settings.yaml").read_bytes() == before
        assert (tmp_path / "r" / "resume.pt").exists()
    (tmp_path / "r" / "resume.pt").unlink()
    assert attempt().status == "completed"
    assert reader.settings_of(tmp_path / "r").dataset.name == "digits"


def test_ctrl_c_leaves_the_comparison_of_what_is_complete(three, tmp_path):
    long = [word for word in three if "epochs" not in word and "study" not in word]
    command = [*long, "dataset.train_size=400", "train.epochs=8", "model.depth=3", "activation=relu,gelu,tanh"]
    stop = partial(faults.after_epoch, 2, faults.send_soon, signal.SIGINT, job=2)
    done = Command(*command, "study=s", cwd=tmp_path, before=stop).wait()
    assert done.returncode == 130
    study = tmp_path / "outputs" / "s"
    assert {row["configuration"] for row in rows(study / "report" / "results.csv")} == {"relu"}
    assert re.search(r"without results: gelu \(interrupted: after epoch", done.stdout)
    assert "tanh" not in done.stdout.split("\nconfiguration ")[1]
    assert "There is nothing to compare it with yet." in done.stdout and "for lack of results: gelu" in done.stdout
    assert "\nnot started: tanh\n" in done.stderr
    told = f"{done.stdout}{done.stderr}".lower()
    assert told.count("to go on") == 1 and done.stderr.splitlines()[-1].startswith("to go on:  actbench -m ")

    gone_on = Command(*command, "study=s", cwd=tmp_path).wait()
    assert gone_on.returncode == 0, gone_on.stderr
    assert "1 of 3 already complete\n" in gone_on.stdout
    assert "[2/3] gelu  going on after epoch" in gone_on.stdout
    whole = Command(*command, "study=whole", cwd=tmp_path).wait()
    assert whole.returncode == 0, whole.stderr

    def results(name):
        found = rows(tmp_path / "outputs" / name / "report" / "results.csv")
        return [row for row in found if row["metric"] != "grad_norm"], len(found)

    assert results("s") == results("whole")


def test_ctrl_c_after_the_last_step_of_a_run_stops_the_runs_that_follow(three, tmp_path):
    stop = partial(faults.after_epoch, 2, signal.raise_signal, signal.SIGINT)
    done = Command(*three, "activation=relu,gelu", cwd=tmp_path, before=stop).wait()
    assert done.returncode == 130
    assert re.search(r"interrupted; outputs/\S+ is complete\nnot started: gelu\nto go on:  actbench -m ", done.stderr)
    assert "There is nothing to compare it with yet." in done.stdout and "actbench -m" not in done.stdout
    (only,) = tmp_path.glob("outputs/*/*/settings.yaml")
    assert json.loads((only.parent / "summary.json").read_text())["status"] == "completed"


# ---------------------------------------------------------------- presets


def planned(*overrides, multirun=True):
    register()
    return plan([*overrides, "dataset=digits", "study=x"], multirun=multirun)


@pytest.mark.parametrize(
    ("preset", "group"), [("activations", "activation"), ("inits", "init"), ("optimizers", "optimizer")]
)
def test_a_preset_names_every_choice_of_its_group(preset, group):
    jobs, problems = planned(f"+sweep={preset}")
    assert not problems
    names = [getattr(job.settings, group).name for job in jobs]
    assert set(names) == {choice.name for choice in choices_of(group)} - {"identity", "own"}
    assert len(names) == len(set(names))


@pytest.mark.parametrize("preset", [choice.name for choice in choices_of("sweep")])
def test_every_preset_is_a_sweep_of_different_runs_that_can_be_built(preset):
    from actbench.train import checks

    jobs, problems = planned(f"+sweep={preset}", "num_seeds=1")
    assert not problems
    assert len({job.settings.id for job in jobs}) == len(jobs) > 4
    for job in jobs:
        checks.check(job.settings)


def test_presets_combine_with_each_other_and_with_what_is_typed():
    jobs, problems = planned("+sweep=learning_rates", "activation=relu,gelu")
    assert not problems
    assert len(jobs) == 12
    jobs, problems = planned("+sweep=[learning_rates,inits]")
    assert not problems
    assert len(jobs) == 42


@pytest.mark.parametrize(
    ("overrides", "multirun", "complaint"),
    [
        (["+sweep=activations"], False, "+sweep=activations: several values need a sweep"),
        (["sweep=activations"], True, "sweep=activations: is chosen with a +"),
        (
            ["+sweep=activation"],
            True,
            "+sweep=activation: there is no sweep called activation\n    did you mean activa",
        ),
    ],
)
def test_a_wrong_preset_gets_one_clear_message(overrides, multirun, complaint):
    _, problems = planned(*overrides, multirun=multirun)
    assert len(problems) == 1
    assert str(problems[0]).startswith(complaint), problems[0]


@pytest.mark.parametrize(
    ("typed", "kept", "repeated"),
    [
        (["optimizer.lr=0.01", "optimizer.lr=0.001"], ["optimizer.lr=0.001"], {"optimizer.lr"}),
        (["activation=topk", "activation.k=5", "seed=3", "activation=leaky_relu"], ["seed=3", "activation=leaky_relu"],
         {"activation"}),
        (["activation.negative_slope=0.1", "activation=leaky_relu"], None, set()),
        (["activation=elu", "activation=leaky_relu", "activation.negative_slope=0.1"],
         ["activation=leaky_relu", "activation.negative_slope=0.1"], {"activation"}),
        (["clip=norm", "clip.max_norm=2", "clip=none"], ["clip=none"], {"clip"}),
        (["seed=1", "seed=2", "seed=3"], ["seed=3"], {"seed"}),
        (["seed=1", "seed=1"], ["seed=1"], set()),  # the same thing said twice contradicts nothing
    ],
)  # fmt: skip
def test_a_key_that_is_typed_twice_is_a_mistake_and_the_last_value_is_offered(typed, kept, repeated):
    words, problems = without_repeats(typed)
    assert words == (typed if kept is None else kept)
    assert {problem.where for problem in problems} == repeated
    for problem in problems:
        assert all(word in problem.what for word in typed if word.startswith(f"{problem.where}="))


@pytest.mark.parametrize(
    ("typed", "kept", "gave_way"),
    [
        (["+sweep=deep", "model.depth=2,3"], ["clip=norm,none", "model.depth=2,3"],
         [("+sweep=deep", "its rest, clip=norm,none")]),
        (["+sweep=depths", "model.depth=2"], ["model.depth=2"], [("+sweep=depths", "what is typed")]),
        (["+sweep=deep", "activation=relu,gelu"], None, []),
        (["+sweep=nothing", "model.depth=2"], None, []),
    ],
)  # fmt: skip
def test_a_preset_is_narrowed_to_what_is_not_typed_beside_it(typed, kept, gave_way):
    overrides, narrowed = narrow([*map(read, typed)])
    assert [override.text for override in overrides] == (typed if kept is None else kept)
    assert narrowed == gave_way


def test_a_parameter_that_all_choices_of_a_swept_group_have(actbench, tmp_path):
    """Though the group's default, which Hydra composes first, has no such key."""
    small = ["dataset=digits", "train.epochs=1", "model.width=8", "num_seeds=1", "tensorboard=false", "study=s"]
    done = actbench("-m", "activation=prelu,swish", "activation.num_parameters=units", *small)
    assert (done.returncode, done.stderr) == (0, "")
    trained = [reader.settings_of(folder) for folder in (tmp_path / "outputs" / "s").glob("*seed0")]
    assert {one.activation.name: one.activation.params["num_parameters"] for one in trained} == {
        "prelu": "units",
        "swish": "units",
    }


def test_a_parameter_that_no_choice_of_a_swept_group_has_is_told_once(actbench):
    done = actbench("-m", "+sweep=activations", "activation.nope=3")
    assert done.returncode == 2
    assert done.stderr.count("activation.nope=3: no such key") == 1


def test_a_key_that_is_typed_twice_gets_the_whole_command(tmp_path, monkeypatch):
    typed = ["dataset=digits", "activation=topk", "activation.k=3", "study=a b", "activation=leaky_relu"]
    given = answer(typed, tmp_path, monkeypatch)
    assert given.code == 2
    assert "activation: is typed twice: activation=topk and activation=leaky_relu" in given.text
    whole = given.text.rstrip().splitlines()[-1].strip()
    assert whole == "actbench dataset=digits 'study=a b' activation=leaky_relu"
    assert "starts:" in answer(shlex.split(whole)[1:], tmp_path, monkeypatch).text


def test_a_preset_is_narrowed_by_what_is_typed_beside_it(actbench, tiny, tmp_path):
    small = [o for o in tiny if "depth" not in o]
    done = actbench("-m", "+sweep=deep", *small, "model.depth=1,2", "clip=none", "study=n", "tensorboard=false")
    assert done.returncode == 0, done.stderr
    assert "+sweep=deep: replaced by what is typed" in done.stderr
    assert len(list((tmp_path / "outputs" / "n").glob("relu-*"))) == 2


# ---------------------------------------------------------------- launchers and sweepers


def as_typed(*arguments, cwd):
    """In a process of its own, as a parallel launcher wants it: its workers outlive a fork."""
    environment = {**os.environ, **OFFLINE, "COLUMNS": "120"}
    command = [sys.executable, "-m", "actbench", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=200)


@pytest.fixture(scope="module")
def in_workers(tmp_path_factory):
    """A sweep in joblib's workers of which the last job kills its process, and then fails: where, and how it ended."""
    home = tmp_path_factory.mktemp("joblib")
    a_burst(home, at=90)
    module = home / "my_acts.py"
    deadly = "if Burst.calls == 60 and not os.path.exists('once'): open('once', 'w').close(); os.kill(os.getpid(), 9)"
    counts = "        Burst.calls += 1\n"
    module.write_text("import os\n" + module.read_text().replace(counts, f"{counts}        {deadly}\n"))
    parallel = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    done = as_typed("-m", *IN_WORKERS, "study=p", "activation=relu,gelu,burst", "trust=my_acts", *parallel, cwd=home)
    return home, done


IN_WORKERS = ["dataset=digits", "train.epochs=2", "num_seeds=3", "model.width=16"]


def test_joblib_shares_the_cores_and_ends_in_the_same_comparison(in_workers, actbench, tmp_path):
    home, done = in_workers
    study = home / "outputs" / "p"
    threads = [json.loads(path.read_text())["threads"] for path in study.glob("*/environment.json")]
    assert threads == [max(os.cpu_count() // 2, 1)] * 3
    lines = [line for line in done.stdout.splitlines() if "train loss" in line and not line.startswith("burst")]
    epochs = {(name, f"epoch {number}/2") for name in ("relu", "gelu") for number in (1, 2)}
    assert {(*line.split("  ")[:2],) for line in lines} == epochs
    alone = actbench("-m", *IN_WORKERS, "study=q", "activation=relu,gelu", "train.threads=1")
    assert alone.returncode == 0, alone.stderr
    values = [
        [(r["configuration"], r["seed"], r["metric"], float(r["value"])) for r in rows(path)]
        for path in (study / "report" / "results.csv", tmp_path / "outputs" / "q" / "report" / "results.csv")
    ]
    for one, other in zip(*(sorted(of) for of in values), strict=True):
        assert one[:3] == other[:3]
        assert one[3] == pytest.approx(other[3], rel=1e-3, abs=0.6)


def test_a_job_that_fails_in_a_worker_is_told_all_the_same(in_workers):
    home, done = in_workers
    assert done.returncode == 1
    said = "the run failed in activation=burst: RuntimeError: too <b>hot</b> (my_acts.py, line "
    assert said in done.stderr
    assert "\nconfiguration " in done.stdout
    results = rows(home / "outputs" / "p" / "report" / "results.csv")
    assert {row["configuration"] for row in results} == {"relu", "gelu"}


def test_a_worker_of_joblibs_that_is_killed_is_told_and_all_goes_on(in_workers):
    _, done = in_workers
    said = r"a worker process was killed or crashed .*; (1 run goes|\d runs go) on from the last epoch\n"
    assert len(re.findall(said, done.stderr)) == 1
    assert "could not be started" not in done.stderr and "Traceback" not in done.stderr
    assert re.search(r"(?m)^[012]/3 done here, [123] elsewhere, or not yet$", done.stdout)


def test_a_search_goes_for_validation_accuracy_and_is_compared(actbench, three, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper.optuna_sweeper")
    done = actbench(
        *three, "activation=relu,gelu", "optimizer.lr=tag(log,interval(1e-4,1e-1))", "hydra/sweeper=optuna",
        "hydra.sweeper.n_trials=4", "hydra.sweeper.sampler.seed=1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = rows(tmp_path / "outputs" / "s" / "report" / "results.csv")
    validation = {}
    for row in results:
        if row["metric"] == "val_accuracy":
            validation.setdefault(row["configuration"], []).append(float(row["value"]))
    best = max(statistics.mean(values) for values in validation.values())
    assert len(validation) == 4
    found = read_yaml(tmp_path / "outputs" / "s" / "optimization_results.yaml")
    assert found["best_value"] == pytest.approx(best)
    assert f"best by validation accuracy, {best:.2f} %: " in done.stdout


# ---------------------------------------------------------------- right?


def test_the_report_is_right_against_a_recomputation(actbench, tmp_path):
    """From history.csv and the checkpoints with plain torch, SciPy and the data: no code of actbench's (where there is
    no MNIST, only the digits' images come from its reader)."""
    data = ["dataset=mnist", "dataset.train_size=3000"] if HAS_MNIST else ["dataset=digits"]
    done = actbench("-m", "activation=relu,tanh", "init=torch_default", *data, "model.width=32", "train.epochs=2",
                    "num_seeds=4", "train.threads=1", "study=s")  # fmt: skip
    assert done.returncode == 0, done.stderr
    study = tmp_path / "outputs" / "s"
    images, labels = the_test_set(HAS_MNIST)
    accuracy, validation = {}, {}
    for name, activation in (("relu", nn.ReLU()), ("tanh", nn.Tanh())):
        folder = the_folder(study, name)
        accuracy[name] = []
        for seed in range(4):
            state = torch.load(folder / "checkpoints" / f"seed={seed}.pt", weights_only=True)
            hidden = activation(images @ state["hidden1.linear.weight"].T + state["hidden1.linear.bias"])
            logits = hidden @ state["output.weight"].T + state["output.bias"]
            accuracy[name].append(100 * (logits.argmax(1) == labels).double().mean().item())
        last = [row for row in rows(folder / "history.csv") if row["epoch"] == "2"]
        validation[name] = statistics.mean(float(row["val_accuracy"]) for row in last)
    tidy = rows(study / "report" / "results.csv")
    for name, expected in accuracy.items():
        told = [float(r["value"]) for r in tidy if r["configuration"] == name and r["metric"] == "test_accuracy"]
        assert told == pytest.approx(expected, abs=1e-6)
    assert actbench("report", "outputs/s", "--test-set", "fixed").returncode == 0
    page = (study / "report" / "report.md").read_text()
    of = json.loads((study / "report" / "verdict.json").read_text())["blocks"][0]
    told = next(one for one in of["configurations"] if one["name"] == "tanh")
    differences = [a - b for a, b in zip(accuracy["tanh"], accuracy["relu"], strict=True)]
    apart = [b - a for a, b in itertools.pairwise(sorted(accuracy["tanh"] + accuracy["relu"])) if b - a > 1e-6]
    variance = statistics.variance(differences) + min(apart) ** 2 / 4  # equal values are known to one image alone
    half = stats.t.isf(of["level"] / 2, 3) * math.sqrt(variance / 4)
    mean = statistics.mean(differences)
    assert told["difference"] == pytest.approx(mean)
    assert (told["low"], told["high"]) == pytest.approx((mean - half, mean + half), rel=1e-4)
    for name in accuracy:
        half = stats.t.ppf(0.975, 3) * statistics.stdev(accuracy[name]) / 2
        mean = statistics.mean(accuracy[name])
        line = rf"^\| {name} \| {mean:.2f} ± {half:.2f} .*\| 4 \| {validation[name]:.2f} \|"
        assert re.search(line, page, re.MULTILINE)


def the_test_set(mnist):
    """Flat, normalised images and labels, read without actbench."""
    import gzip
    import os
    from pathlib import Path

    import numpy as np

    if not mnist:
        from actbench.datasets import digits

        splits = digits()
        return splits.test_x.flatten(1), splits.test_y

    def read(name, header):
        raw = Path(os.environ["ACTBENCH_DATA"]) / "MNIST" / "raw"
        path = raw / name
        content = path.read_bytes() if path.exists() else gzip.decompress((raw / f"{name}.gz").read_bytes())
        return np.frombuffer(content, dtype=np.uint8, offset=header)

    images = torch.tensor(read("t10k-images-idx3-ubyte", 16).reshape(-1, 784)).float() / 255
    return (images - 0.1307) / 0.3081, torch.tensor(read("t10k-labels-idx1-ubyte", 8)).long()


def test_a_launcher_that_cannot_start_is_one_message(actbench, tiny, tmp_path):
    """Nothing has begun, so there is nothing to compare, which need not be said as well."""
    done = actbench("-m", *tiny, "activation=relu,gelu", "hydra/launcher=joblib", "hydra.launcher.pre_dispatch=x",
                    "hydra.launcher.n_jobs=2", "study=s")  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("error: ") == 1
    assert "hydra.launcher.pre_dispatch=x" in done.stderr and "could not be started" in done.stderr
    assert not list((tmp_path / "outputs" / "s").glob("*/settings.yaml"))
