"""`actbench.compare`, `run` and `load`: the command from Python, within a program whose state stays what it was."""

from __future__ import annotations

import ast
import asyncio
import json
import logging
import os
import random
import re
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import fake_run, settings_of, shell_words_in

import actbench
from actbench import UserError
from actbench.errors import Failure
from actbench.job.job import Sinks
from actbench.records import Finding
from actbench.store import joint
from actbench.store.lock import Hold

TINY = {"train__epochs": 1, "model__width": 8, "train__threads": 1, "tensorboard": False}
WORDS = ["dataset=digits", "train.epochs=1", "model.width=8", "train.threads=1", "tensorboard=false", "num_seeds=3"]


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    """A comparison of three activations, and the folder in which it was called."""
    home, before = tmp_path_factory.mktemp("api"), Path.cwd()
    os.chdir(home)
    try:
        found = actbench.compare(
            data="digits", activations=["relu", "gelu", "tanh"], seeds=3, study="s", progress=False, **TINY
        )
    finally:
        os.chdir(before)
    return found, home


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def summaries(study):
    """Configuration and seeds -> the metrics, of a study."""
    found = {}
    for path in sorted(Path(study).glob("*/summary.json")):
        content = json.loads(path.read_text())
        found[path.parent.name] = {name: metric["values"] for name, metric in content["metrics"].items()}
    return found


def small(*activations, **more):
    return actbench.compare(
        data="digits", activations=activations or ["relu"], progress=False, **{"seeds": 2, "study": "s", **TINY, **more}
    )


# ---------------------------------------------------------------- the same as the command


def test_it_is_what_the_command_leaves(studied, actbench, tmp_path):
    found, home = studied
    done = actbench("-m", "activation=relu,gelu,tanh", *WORDS, "study=s")
    assert done.returncode == 0, done.stderr
    ours, theirs = summaries(home / found.folder), summaries(tmp_path / "outputs" / "s")
    assert ours == theirs and len(ours) == 3
    stored = json.loads((tmp_path / "outputs" / "s" / "report" / "verdict.json").read_text())["blocks"][0]
    assert shell_words_in(stored["sentences"]) and not shell_words_in(found.verdict.sentences)
    for said, written in zip(found.verdict.sentences, stored["sentences"], strict=True):
        assert said.partition("`")[0] == written.partition("`")[0]
    for decision, theirs in zip(found.verdict.decisions, stored["configurations"], strict=True):
        assert (decision.name, decision.word, decision.n) == (theirs["name"], theirs["word"], theirs["n"])
        assert decision.interval.low == theirs["low"] and decision.interval.high == theirs["high"]
    assert (home / found.folder / "report" / "report.html").exists()


def test_a_call_tries_no_more_what_has_failed_in_another_process_at_work_in_the_study(tmp_path):
    folder = tmp_path / "outputs" / "s" / settings_of(*WORDS, "activation=relu").folder
    folder.mkdir(parents=True)
    with joint.command_in(folder.parent) as command:
        hold = Hold(folder, command)
        hold.begin()
        hold.fail()
        hold.release(complete=False)
        with pytest.raises(UserError, match=f"the run failed in process {os.getpid()} on "):
            actbench.run(*WORDS, "activation=relu", "study=s", progress=False)
    assert actbench.run(*WORDS, "activation=relu", "study=s", progress=False).status == "completed"


def test_its_tables_are_those_of_the_files(studied):
    found, home = studied
    results = pd.read_csv(home / found.folder / "report" / "results.csv")
    means = results[results["metric"] == "test_accuracy"].groupby("configuration")["value"].mean()
    for name, accuracy in found.table["test_accuracy"].items():
        assert accuracy == pytest.approx(means[name])
    assert list(found.table["test_accuracy"]) == pytest.approx(sorted(means, reverse=True))
    run = found["gelu"]
    folder = home / run.folder
    pd.testing.assert_frame_equal(run.layers, pd.read_csv(folder / "layers.csv"), check_dtype=False)
    pd.testing.assert_frame_equal(run.history, pd.read_csv(folder / "history.csv"), check_dtype=False)
    stored = json.loads((folder / "summary.json").read_text())["metrics"]["test_accuracy"]
    assert list(run.by_seed["test_accuracy"]) == stored["values"]
    assert [run.metrics.loc["test_accuracy", key] for key in ("mean", "std", "low", "high")] == pytest.approx(
        [stored["mean"], stored["std"], *stored["ci95"]]
    )
    assert run.status == "completed" and run.seeds == [0, 1, 2] and run.units.columns[0] == "seed"
    assert [one.settings.activation.name for one in found.runs] == list(found.table.index) == list(found)


def test_the_verdict_reads_as_the_sentences(studied):
    verdict = studied[0].verdict
    assert str(verdict) == "\n".join(verdict.sentences) and verdict.sentences
    assert verdict["relu"].name == "relu" and verdict.margin == 0.1
    with pytest.raises(KeyError, match="relo: there are"):
        verdict["relo"]


def test_another_margin_asks_on_other_terms(studied, monkeypatch):
    monkeypatch.chdir(studied[1])
    wide = actbench.load("s", margin=99)
    assert wide.verdict.settled and wide.verdict.margin == 99
    assert str(wide.verdict).startswith("Use ")
    assert not studied[0].verdict.settled


@pytest.mark.rendered
def test_its_pictures_are_those_of_the_report(studied, monkeypatch, tmp_path):
    found, home = studied
    monkeypatch.chdir(home)
    picture = found.plot.differences()
    assert picture.svg.startswith(b"<?xml") or b"<svg" in picture.svg[:500]
    assert picture.save(tmp_path / "d.png").read_bytes() == picture.png == picture._repr_png_()
    assert {"differences", "curves", "accuracy"} <= {*dir(found.plot)}
    assert found.plot.curves().name == "curves"
    with pytest.raises(AttributeError, match="did you mean differences"):
        found.plot.diferences()
    with pytest.raises(UserError, match="has no data in this comparison"):
        found.plot.depth()
    for path, expected in (("d.gif", r"neither .svg nor .png"), ("no/d.png", "No such file or directory")):
        with pytest.raises(UserError, match=expected):
            picture.save(tmp_path / path)


def test_a_notebook_shows_it_as_safe_html(studied, monkeypatch):
    found, home = studied
    monkeypatch.chdir(home)
    page = found._repr_html_()
    assert "<script" not in page and "data:image/svg+xml;base64," in page
    assert "color:inherit" in page and not re.search(r"<style|onload|onerror", page)
    monkeypatch.setattr(found, "verdict", found.verdict.__class__(
        None, None, False, 0.1, 0.05, ("<script>alert(1)</script> \x1b[2J",), ()
    ))  # fmt: skip
    page = found._repr_html_()
    assert "<script" not in page and "&lt;script&gt;" in page and "\x1b" not in page
    text = found["relu"]._repr_html_()
    assert "test accuracy %" in text and "hidden1" in text


def test_a_run_is_what_the_command_leaves(studied, monkeypatch):
    monkeypatch.chdir(studied[1])
    run = actbench.run("activation=gelu", *WORDS, "study=alone", progress=False)
    assert run.by_seed.equals(studied[0]["gelu"].by_seed)
    again = actbench.load(run.folder)
    assert again.history.equals(run.history) and again.findings == run.findings
    assert repr(run).startswith("<Run gelu: test accuracy ")
    with pytest.raises(UserError, match="there is no such table"):
        run.table("histroy")


def test_more_seeds_of_a_run_are_trained_beside_those_there_are(home):
    first = actbench.run("activation=gelu", data="digits", num_seeds=1, study="s", progress=False, **TINY)
    both = actbench.run("activation=gelu", data="digits", num_seeds=2, study="s", progress=False, **TINY)
    assert both.seeds == [0, 1] and len(list((home / "outputs" / "s").glob("gelu*"))) == 2
    assert both.by_seed.loc[0].equals(first.by_seed.loc[0])


def test_numbers_of_numpy_are_numbers():
    found = small("relu", seeds=np.int64(1), margin=np.float32(0.5), optimizer__lr=np.float64(0.01))
    assert found.verdict.margin == 0.5 and found["relu"].settings.optimizer.params["lr"] == 0.01


def test_words_of_the_command_and_keywords_are_the_same(home):
    found = actbench.compare(
        "activation=relu", "optimizer.lr=0.01,0.02", data="digits", seeds=1, study="s", progress=False, **TINY
    )
    assert sorted(found.table["optimizer.lr"]) == [0.01, 0.02]
    dotted = {key.replace("__", "."): value for key, value in TINY.items()}
    run = actbench.run("activation=relu", data="digits", num_seeds=1, study="t", progress=False, **dotted,
                       optimizer__lr=0.01, model__depth=1, output_dir=Path("other place"))  # fmt: skip
    assert run.folder.parent == home / "other place" / "t"
    assert run.settings.optimizer.params["lr"] == 0.01 and run.settings.train.epochs == 1


# ---------------------------------------------------------------- the caller's program


def state():
    """Everything of this process that a call could change."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.version import VersionBase

    root = logging.getLogger()
    return {
        "hydra": id(GlobalHydra.instance().hydra),
        "config": HydraConfig.instance().cfg,
        "version": VersionBase.instance().version_base,
        "logging": (root.level, [*root.handlers], logging.raiseExceptions, logging.getLogger("hydra").level),
        "loggers": {name: getattr(one, "disabled", None) for name, one in root.manager.loggerDict.items()
                    if name.startswith("caller")},
        "random": (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()),
        "torch": (torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled(),
                  torch.are_deterministic_algorithms_enabled()),
        "denormals": float(torch.tensor(1e-40) * 1),
        "signals": [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)],
        "warnings": [*warnings.filters],
        "folder": Path.cwd(),
        "environment": dict(os.environ),
        "streams": (sys.stdout, sys.stderr, [*sys.path]),
        "backend": dict.get(sys.modules["matplotlib"].rcParams, "backend"),
    }  # fmt: skip


def test_it_leaves_the_program_as_it_was(home, monkeypatch):
    """Also with Hydra in use, an own handler, an own logger, another dtype, and after an error."""
    from hydra import compose, initialize_config_dir

    (home / "theirs").mkdir()
    (home / "theirs" / "config.yaml").write_text("mine: 1\n")
    logger = logging.getLogger("caller.own")
    monkeypatch.setattr(logger, "disabled", False)
    before_int = signal.signal(signal.SIGINT, lambda *_: None)
    torch.set_default_dtype(torch.float64)
    try:
        with initialize_config_dir(str(home / "theirs"), version_base="1.2"), torch.no_grad():
            before = state()
            small("relu", study="a")
            assert state() == before
            with pytest.raises(UserError):
                small("geluu", study="a")
            assert state() == before
            assert compose("config") == {"mine": 1}  # their own, and not ours
    finally:
        signal.signal(signal.SIGINT, before_int)
        torch.set_default_dtype(torch.float32)
    with initialize_config_dir(str(home / "theirs"), version_base="1.3"):
        assert compose("config") == {"mine": 1}


def test_it_can_be_called_anywhere():
    """Within a loop of asyncio, in another thread, and in two threads at once: the results are the same."""

    async def within():
        return small("relu", study="loop")

    asyncio.run(within())
    results: dict[str, object] = {}
    threads = [threading.Thread(target=lambda n=n: results.update({n: small("relu", study=n)})) for n in ("b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    small("relu", study="main")
    found = [summaries(f"outputs/{name}") for name in ("loop", "b", "c", "main")]
    assert len(found[0]) == 1 and all(one == found[0] for one in found)


def test_interrupted_it_goes_on_when_it_is_called_again(home, monkeypatch):
    """Ctrl-C leaves what is done; the kernel lives on, with its handlers; and the results are as if nothing had been."""
    plain, interrupted = Sinks.epoch, []

    def epoch(self, training, progress):
        plain(self, training, progress)
        if progress.done == 1 and self.settings.activation.name == "gelu" and not interrupted:
            interrupted.append(True)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Sinks, "epoch", epoch)
    before, longer = signal.getsignal(signal.SIGINT), {**TINY, "train__epochs": 3}
    with pytest.raises(KeyboardInterrupt, match="study='s' goes on"):
        small("relu", "gelu", **longer)
    assert signal.getsignal(signal.SIGINT) is before
    status = {
        path.parent.name[:4]: json.loads(path.read_text())["status"] for path in home.glob("outputs/s/*/summary.json")
    }
    assert status == {"relu": "completed", "gelu": "interrupted"}
    with pytest.raises(UserError, match=r"has no results: interrupted"):
        actbench.load(next(home.glob("outputs/s/gelu*")))
    assert "gelu" in actbench.load("s")._repr_html_()  # without results
    small("relu", "gelu", **longer)
    small("relu", "gelu", **longer, study="whole")
    assert summaries("outputs/s") == summaries("outputs/whole")


def test_sigterm_reaches_the_callers_handler(monkeypatch):
    plain, told = Sinks.epoch, []

    def epoch(self, training, progress):
        plain(self, training, progress)
        if progress.done == 1 and not told:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Sinks, "epoch", epoch)
    before = signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    try:
        with pytest.raises(UserError, match="has no results"):
            actbench.run(
                "activation=relu", data="digits", num_seeds=1, study="s", progress=False, **{**TINY, "train__epochs": 3}
            )
    finally:
        signal.signal(signal.SIGTERM, before)
    assert told == [signal.SIGTERM]


def test_a_run_that_fails_is_an_error_and_stops_no_other(monkeypatch):
    import actbench.job.job as job

    plain = job.build

    def build(settings):
        if settings.activation.name == "gelu":
            raise RuntimeError("out of memory")
        return plain(settings)

    monkeypatch.setattr(job, "build", build)
    found = small("gelu", "relu")
    assert list(found.table.index) == ["relu"] and "out of memory" in str(found.problems[0])
    with pytest.raises(UserError, match="the run failed"):
        small("gelu", study="alone")
    with pytest.raises(UserError, match="the run failed"):
        actbench.run("activation=gelu", data="digits", num_seeds=1, study="t", progress=False, **TINY)


def test_what_goes_on_is_shown(capsys):
    actbench.compare(data="digits", activations=["relu", "gelu"], seeds=1, study="s", **TINY)
    said = capsys.readouterr()
    assert "[2/2] gelu  test accuracy" in said.out and "report" not in said.out
    actbench.compare(data="digits", activations=["relu", "gelu"], seeds=2, study="s", **TINY)
    assert "is there already" in capsys.readouterr().err
    small("relu", study="t")
    assert capsys.readouterr() == ("", "")


# ---------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"activations": ["relu"], "seeds": 0}, "seeds=0: is not the number of seeds, 1 or more"),
        ({"activations": ["relu"], "seeds": True}, "seeds=True: is not the number of seeds"),
        ({"activations": ["relu"], "margin": -1}, "margin=-1: is not a number of percentage points above 0"),
        ({"activations": ["geluu", "relo"]}, "did you mean gelu?"),
        ({"activations": ["geluu", "relo"]}, "did you mean relu?"),
        ({"activations": []}, "activations: there are none to compare"),
        ({}, "activations: there are none to compare"),
        ({"activations": "relu"}, "activations: is a str, not a list"),
        ({"activations": ["relu,gelu"]}, "is not one name"),
        ({"activations": [torch.nn.ReLU()]}, "a function that returns a new one: each layer has its own"),
        ({"activations": [3]}, "is an int, neither a name nor a class or function"),
        ({"activations": [lambda z: z]}, "is defined within a function, or is a lambda"),
        ({"activations": ["relu"], "model": 3}, "model: is an int, neither the name of a model"),
        ({"activations": ["relu"], "model": torch.nn.Linear(2, 2)}, "each seed begins with its own"),
        ({"activations": ["relu"], "model": torch.nn.Linear}, "a function that returns one: def make()"),
        ({"activations": ["relu"], "model": "mpl"}, "did you mean mlp?"),
        ({"activations": ["relu"], "data": 3}, "data: is an int"),
        ({"activations": ["relu"], "data": "digit"}, "did you mean digits?"),
        ({"activations": ["relu"], "data": "no/such.csv"}, "data=no/such.csv: there is no such file or folder"),
        ({"activations": ["relu"], "data": (np.zeros((5, 3)), np.zeros(4, int))}, "5 samples and 4 labels"),
        ({"activations": ["relu"], "data": (np.zeros(5), np.zeros(5, int))}, "data, x: has the shape (5,)"),
        ({"activations": ["relu"], "data": (np.zeros((50, 3)), np.zeros(50))}, "labels are whole numbers"),
        ({"activations": ["relu"], "data": (np.zeros((2, 3)), np.zeros(2, int), 3)}, "data: is a tuple of 3"),
        ({"activations": ["relu"], "data": ""}, "data: is empty"),
        ({"activations": ["relu"], "data": (torch.eye(9).to_sparse(), range(9))}, "data: is a tuple of 2"),
        ({"activations": ["relu"], "data": (torch.eye(9).to_sparse(), np.arange(9))}, "is a tensor that is not dense"),
        ({"activations": ["relu"], "data": (np.full((9, 3), np.nan), np.arange(9) % 2)}, "data: NaN or infinite"),
        ({"activations": ["relu"], "seeds": 10**9}, "num_seeds=1000000000"),
        ({"activations": ["relu"], "epochs": 3}, "did you mean train.epochs=3?"),
        ({"activations": ["relu"], "optimizer__lr": "much"}, "optimizer.lr=much"),
        ({"activations": ["relu"], "optimizer__lr": object()}, "optimizer.lr: is an object, not a plain value"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_one_clear_error(home, arguments, expected):
    with pytest.raises(UserError) as error:
        actbench.compare(study="s", progress=False, **arguments)
    assert expected in str(error.value)
    assert [*home.iterdir()] == []  # nothing was written


_OF_COMMANDS = (  # modules whose messages only a command gives
    "arguments", "checking_terms", "cli", "completion", "cures", "flags", "help", "launch", "listing", "more", "opening",
    "remedies", "remedies_shown", "slurm", "stored", "trying", "ray_node",
)  # fmt: skip


def messages():
    """The texts of all problems that a call may have, with `X` for what is filled in."""
    package = Path(actbench.__file__).parent
    for folder in ("command", "custom", "datasets", "files", "job", "sites", "store", "train"):
        for path in sorted((package / folder).glob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())) if path.stem not in _OF_COMMANDS else ():
                named = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("how", "what", "what, how")
                called = isinstance(node, ast.Call) and ast.unparse(node.func) in ("Problem", "UserError", "Failure")
                for one in ast.walk(node) if named or called else ():
                    if isinstance(one, ast.JoinedStr):
                        parts = [str(part.value) if isinstance(part, ast.Constant) else "X" for part in one.values]
                        yield path.stem, "".join(parts)
                    elif isinstance(one, ast.Constant) and " " in str(one.value):
                        yield path.stem, str(one.value)


def test_what_a_call_says_is_said_in_python():
    """No message speaks of a command line to somebody who has none."""
    from actbench.api.asking import in_python

    shell = {(module, text) for module, text in messages() if shell_words_in([text]) and "--package" not in text}
    assert len(shell) > 10
    assert [(module, text) for module, text in shell if shell_words_in([in_python(text)])] == []


def test_what_is_printed_meanwhile_is_said_in_python_too(monkeypatch, capsys):
    import actbench.job.job as job

    def failing(_):
        raise Failure("has failed", how="typed again, the command tries it again")

    monkeypatch.setattr(job, "build", failing)
    with pytest.raises(UserError, match="the same call tries it again"):
        actbench.compare(data="digits", activations=["relu"], seeds=1, study="s", **TINY)
    assert "the same call tries it again" in capsys.readouterr().err


def test_everything_wrong_is_said_at_once():
    with pytest.raises(UserError) as error:
        actbench.compare("--cfg", model=3, data=4, activations=["geluu"], seeds=0, margin="a", epochs=1, progress=False)
    said = str(error.value)
    for words in (
        "--cfg: is a flag",
        "model: is an int",
        "data: is an int",
        "mean gelu?",
        "seeds=0",
        "margin='a'",
        "epochs",
    ):
        assert words in said
    assert len(error.value.problems) == 7
    with pytest.raises(UserError, match="model: is an int") as error:  # what is about this model is no error of its own
        actbench.compare(model=3, activations=["own", "gelu"], model__hidden=8, sites="all", progress=False)
    assert len(error.value.problems) == 1


def test_a_wrong_call_leaves_an_earlier_study_alone(home):
    small("relu")
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    with pytest.raises(UserError):
        small("geluu")
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before


def test_loading_what_is_not_there(home):
    (home / "empty").mkdir()
    for path, expected in [("nowhere", "there is no such folder"), ("empty", "there is no run in it")]:
        with pytest.raises(UserError, match=expected):
            actbench.load(path)
    (home / "outputs" / "study").mkdir(parents=True)
    with pytest.raises(UserError, match=r"did you mean outputs/study\?"):
        actbench.load("studyy")
    with pytest.raises(UserError, match="margin=0: is not a number"):
        actbench.load("study", margin=0)
    for wrong, expected in ((3, "is an int"), ("", "is empty"), ("~nobody_is_called_so/s", "there is no such folder")):
        with pytest.raises(UserError, match=expected):
            actbench.load(wrong)


def test_a_run_has_one_configuration(home):
    with pytest.raises(UserError, match=r"activation=relu,gelu: has several values\n    actbench.compare trains"):
        actbench.run("activation=relu,gelu", data="digits", optimizer__lr="0.1,0.2", progress=False)
    assert [*home.iterdir()] == []


def test_what_is_never_ranked_together_is_beside_it(home):
    for number, epochs in enumerate([1, 1, 2]):
        settings = settings_of(
            "dataset=digits", f"activation={('relu', 'gelu')[number % 2]}", f"train.epochs={epochs}", "num_seeds=3"
        )
        fake_run(home / "s" / settings.folder, settings, [90.0, 91.0, 92.0])
    found = actbench.load(home / "s")
    assert list(found.table.index) == ["gelu", "relu"] and len(found.others) == 1
    assert found.others[0].runs[0].settings.train.epochs == 2


def test_that_nothing_was_learned_is_said(home):
    """The best of networks that all guess is no advice; one that has learned is compared as ever."""
    finding = Finding("loss does not fall early", "2.3 → 2.3", "Steps are too short.", ("x",), code="stalled-loss")
    for study, findings in (("guessing", [(finding,), (finding,)]), ("one_learns", [(finding,), ()])):
        for activation, found, mean in zip(("relu", "gelu"), findings, (10.0, 12.0), strict=True):
            settings = settings_of("dataset=digits", f"activation={activation}", "num_seeds=3")
            fake_run(home / study / settings.folder, settings, [mean, mean + 0.1, mean + 0.2], findings=found)
        assert ("None of them has learned much" in str(actbench.load(study).verdict)) is (study == "guessing")


def test_no_command_is_offered_that_lacks_what_python_was_given(home, monkeypatch):
    """A shell does not know the network of a notebook; `actbench more` finds it in the study."""
    from actbench.report import runs, typed_command

    words = ["-m", "activation=own,gelu", "model=Net", "study=s"]
    monkeypatch.setattr(runs, "environment", lambda _: {"argv": ["actbench", *words]})
    run = runs.Run(home / "s" / "own-Net", settings_of("activation=relu"), None)
    run.folder.mkdir(parents=True)
    assert typed_command.going_on([run]) == f"actbench {' '.join(words)}"
    (home / "s" / "own").mkdir()
    assert typed_command.going_on([run]) == ""


def test_a_study_is_found_beside_a_folder_of_its_name(studied, monkeypatch):
    """`compare(study="s")` beside the code in a folder `s`."""
    monkeypatch.chdir(studied[1])
    (studied[1] / "s").mkdir()
    try:
        assert actbench.load("s").folder == studied[1] / "outputs" / "s"
    finally:
        (studied[1] / "s").rmdir()


def test_a_program_may_go_elsewhere(studied, tmp_path, monkeypatch):
    """Pictures and tables are read again from where the results were, and the current folder is never changed."""
    found, home = studied
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "chdir", lambda _: pytest.fail("another thread may need the current folder"))
    assert found.plot.curves().svg
    assert len(found["relu"].history) == 3 and str(home) in repr(found)


@pytest.mark.rendered
def test_pictures_are_the_same_in_any_style(studied):
    """A notebook has its own; the report is to look as it does everywhere."""
    import matplotlib

    def drawn():
        return re.sub(rb"zero:\d+", b"", studied[0].plot.differences().svg)  # it is counted

    before, backend = drawn(), matplotlib.get_backend()
    style = {"axes.facecolor": "black", "axes.grid": True, "font.size": 30, "text.color": "white", "lines.linewidth": 9}
    with matplotlib.rc_context(style):
        assert drawn() == before
        assert {key: matplotlib.rcParams[key] for key in style} == style
    assert matplotlib.get_backend() == backend


def test_an_interruption_before_the_first_run_leaves_nothing(home, monkeypatch):
    from actbench.command import launch

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(launch, "prepare", interrupted)
    with pytest.raises(KeyboardInterrupt):
        actbench.compare(data=(np.eye(8), np.arange(8) % 2), activations=["relu"], study="s", progress=False)
    assert [*home.iterdir()] == []


def test_a_place_that_cannot_be_written_to(home):
    """Arrays are kept before anything else is written."""
    (home / "file").write_text("")
    data = np.eye(8), np.arange(8) % 2
    with pytest.raises(UserError, match=r"output_dir=FOLDER that you may write to"):
        actbench.compare(data=data, activations=["relu"], study="s", output_dir="file", progress=False)
    assert [path.name for path in home.iterdir()] == ["file"]


# ---------------------------------------------------------------- the package


def test_importing_it_is_light():
    """Neither torch nor Hydra nor pandas, for what only asks for a name."""
    code = (
        "import sys, actbench; actbench.UserError; dir(actbench); "
        "print(sorted({'torch', 'hydra', 'pandas', 'numpy', 'omegaconf', 'rich', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_its_names_are_what_they_say():
    import actbench.api
    import actbench.job  # a subpackage does not take the place of a function

    assert {*actbench.__all__} <= {*dir(actbench)}
    assert callable(actbench.run) and actbench.compare is actbench.api.compare
    with pytest.raises(AttributeError, match="module 'actbench' has no attribute 'comprae'") as error:
        actbench.comprae  # noqa: B018
    assert (error.value.name, error.value.obj) == ("comprae", actbench)  # of which Python makes a suggestion
    assert (Path(actbench.__file__).parent / "py.typed").exists()


def test_types_are_seen_from_outside(tmp_path, monkeypatch):
    (tmp_path / "example.py").write_text(
        "import actbench\n"
        "found = actbench.compare(activations=['relu'], seeds=2)\n"
        "reveal_type(found.verdict)\nreveal_type(found.runs)\nreveal_type(actbench.run('a=b').findings)\n"
        "reveal_type(found.verdict.decisions[0].word)\nactbench.compare(seeds='x')\n"
    )
    from mypy import api

    monkeypatch.setenv("MYPYPATH", str(Path(actbench.__file__).parents[1]))
    light = ["--config-file=", "--no-site-packages", "--ignore-missing-imports", "--follow-imports=silent"]  # no torch
    out, _, _ = api.run([str(tmp_path / "example.py"), *light, "--cache-dir", str(tmp_path / "cache")])
    for words in ("actbench.api.verdicts.Verdict", "list[actbench.api.runs.Run]", "Finding", "'as good'", '"seeds"'):
        assert words in out.replace("builtins.", ""), out
