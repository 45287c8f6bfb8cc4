"""A folder that a stranger made: neither its `conf` nor its runs make anything happen but a message."""

from __future__ import annotations

import csv
import json
import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
import torch
import yaml
from helpers import fake_run, settings_of
from processes import Command
from rich.console import Console

from actbench.choices import packaged_conf
from actbench.command import arguments
from actbench.custom import conf_files
from actbench.errors import UserError, printable
from actbench.files import reading
from actbench.measures.layers import LayerRecord
from actbench.measures.scores import EpochRecord
from actbench.report import command
from actbench.report.command import make_report, write
from actbench.report.runs import find
from actbench.settings import GROUPS
from actbench.sinks.terminal import TerminalSink
from actbench.store import reader
from actbench.store.folder import RunFolder

# ---------------------------------------------------------------- what happens in a process


WATCHED = """
import os, sys
events, folder = [], os.getcwd()
def hook(event, args):
    if event in ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "os.remove",
                 "os.rename", "os.mkdir", "os.rmdir", "os.putenv", "shutil.rmtree", "os.symlink", "os.link", "os.chmod"):
        events.append((event, repr(args)))
    elif event == "open" and args[0] not in (os.getcwd(), os.devnull):  # a folder is opened for a file without a name
        if set(args[1] or "") & set("wax+") or args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            events.append((event, repr(args)))
    elif event == "import" and args[0] in ("mine", "evil", "helper"):
        events.append((event, args[0]))
"""

SHOWS = (
    WATCHED
    + """
sys.addaudithook(hook)
import subprocess
os.system("true"); subprocess.run(["true"]); open("written", "w").close(); os.mkdir("made"); os.remove("written")
import socket
try: socket.create_connection(("127.0.0.1", 9), timeout=1)
except OSError: pass
sys.path.insert(0, folder)
try: import mine
except ImportError: pass
print(sorted({event for event, _ in events}))
"""
)

RUNS = (
    WATCHED
    + """
import contextlib, io, json
from actbench import cli, run
from actbench.command import composing, digests, launch, listing, planning, starting, task_function
from actbench.custom import loading
from actbench.store import reader
from actbench.train import build, checks
import sklearn.datasets, torchvision.ops  # which set variables of the environment when they are first imported
from hydra.core.global_hydra import GlobalHydra
sys.dont_write_bytecode = True
tests, lines = json.loads(sys.stdin.read())
sys.path.insert(0, tests)
from quick_yaml import remember_files
remember_files()
del sys.path[0]
import gc
gc.freeze()
gc.set_threshold(50_000, 20, 100)
sys.addaudithook(hook)
answers = []
for place, line in lines:
    os.chdir(place)
    events.clear()
    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["actbench", *line]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code
    GlobalHydra.instance().clear()
    answers.append([code, out.getvalue(), err.getvalue(), [*events]])
print(json.dumps(answers))
"""
)


def in_a_process(code: str, folder: Path, given: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, input=given, capture_output=True, text=True, timeout=300,
        env={**os.environ, "ACTBENCH_MIRROR": "http://127.0.0.1:9", "COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_hook_sees_what_it_is_for(tmp_path):
    (tmp_path / "mine.py").write_text("")
    seen = in_a_process(SHOWS, tmp_path)
    for event in ("os.system", "subprocess.Popen", "open", "os.mkdir", "os.remove", "socket.connect", "import"):
        assert event in seen, seen


# ---------------------------------------------------------------- conf


G = "# @package _global_\n"
HOSTILE = [  # file below conf, its text, what is typed, what is said
    ("activation/evil", "_target_: torch.save\nobj: 1\nf: written", "activation=evil", "is not an activation"),
    ("activation/evil", "_target_: torch.load\nf: x.pt", "activation=evil", "is not an activation"),
    ("activation/evil", "_target_: torch.hub.load\nrepo_or_dir: a/b\nmodel: c", "activation=evil", "is not an activation"),
    ("activation/evil", "_target_: torch.utils.cpp_extension.load\nname: x\nsources: [a.cpp]", "activation=evil", "is not"),
    ("activation/evil", "_target_: torch.jit.load\nf: x.pt", "activation=evil", "is not an activation"),
    ("activation/evil", "_target_: torch.os.system\ncommand: touch written", "activation=evil", "is not an activation"),
    ("activation/evil", "_target_: os.system\ncommand: touch written", "activation=evil", "not trusted"),
    ("activation/evil", "_target_: builtins.exec\nsource: 1", "activation=evil", "not trusted"),
    ("activation/evil", "_target_: mine.Act", "activation=evil", "trust=mine if it is yours"),
    ("activation/evil", "_target_: torch.nn.ELU\nalpha: ${oc.env:HOME}", "activation=evil", "would look something up"),
    ("activation/evil", "_target_: torch.nn.ELU\nalpha: ${oc.decode:'1'}", "activation=evil", "would look something up"),
    ("activation/evil", "_target_: torch.nn.ELU\nalpha: ${hydra:runtime.cwd}", "activation=evil", "would look"),
    ("activation/evil", "_target_: torch.nn.ELU\nalpha: ${${a}b:c}", "activation=evil", "would look something up"),
    ("activation/evil", "_target_: torch.nn.ELU\nalpha: {_target_: os.system, command: id}", "activation=evil", "plain value"),
    ("activation/evil", "_target_: torch.nn.ELU\n_args_: [1]", "activation=evil", "Hydra would obey"),
    ("activation/evil", "_target_: torch.nn.ELU\n_convert_: all\n_recursive_: true", "activation=evil", "Hydra would obey"),
    ("activation/evil", "_target_: !!python/name:os.system x", "activation=evil", "is not YAML"),
    ("activation/evil", "x: !!python/object/apply:os.system [touch written]", "activation=evil", "is not YAML"),
    ("activation/evil", "_target_: torch.nn.ELU\na: &a [1]\nb: [*a,*a]\nc: &c [*c]", "activation=evil", "stands for something"),
    ("activation/evil", "a: &a [0,0,0,0,0,0,0,0,0]\n" + "".join(
        f"{y}: &{y} [{','.join([f'*{x}'] * 9)}]\n" for x, y in zip("abcdefgh", "bcdefghi", strict=True)), "activation=evil", "values"),
    ("activation/evil", "a: " + "[" * 3000, "activation=evil", "is not YAML"),
    ("activation/evil", "a: 1\na: 2", "activation=evil", "is in it twice"),
    ("activation/evil", "# @package hydra.callbacks.x\n_target_: torch.nn.ELU", "activation=evil", "do not belong"),
    ("activation/evil", "#a\n# @package hydra.launcher\n_target_: torch.nn.ELU", "activation=evil", "do not belong"),
    ("activation/evil", "defaults:\n- /model@hydra.callbacks.x: mlp\n_target_: torch.nn.ELU", "activation=evil", "do not belong"),
    ("activation/evil", "- 1", "activation=evil", "does not hold keys"),
    ("activation/evil", "_target_: torch.nn.ELU\nalpha: 1" + "0" * 5000, "activation=evil", "evil"),
    ("upper_activation/evil", "_target_: torch.save", "upper_activation=evil model.depth=2", "evil"),
    ("activation/evil", "_target_: torch.save", "upper_activation=evil model.depth=2", "is not an activation"),
    ("upper_activation/relu", "_target_: torch.save", "upper_activation=relu activation=wrong", "no activation called wrong"),
    ("activation/relu", "_target_: torch.save", "upper_activation=relu activation=wrong", "no activation called wrong"),
    ("optimizer/evil", "_target_: torch.save\nlr: 1.0", "optimizer=evil", "is not an optimizer"),
    ("optimizer/evil", "_target_: torch.nn.ReLU\nlr: 1.0", "optimizer=evil", "is not an optimizer"),
    ("scheduler/evil", "_target_: torch.optim.lr_scheduler.warnings.warn\nmessage: x", "scheduler=evil", "no `warn`"),
    ("scheduler/evil", "_target_: torch.optim.lr_scheduler.LambdaLR\nlr_lambda: print", "scheduler=evil", "scheduler"),
    ("model/evil", "_target_: torchvision.models.resnet18\nweights: DEFAULT", "model=evil", "is not a model"),
    ("model/evil", "_target_: actbench.store.folder.RunFolder\npath: made", "model=evil", "is not a model"),
    ("init/evil", "_target_: torch.nn.init._no_grad_fill_\nval: 1", "init=evil", "is not an init"),
    ("norm/evil", "_target_: pathlib.Path.touch\nself: written", "norm=evil", "not trusted"),
    ("clip/evil", "_target_: shutil.rmtree\npath: conf", "clip=evil", "not trusted"),
    ("augment/evil", "_target_: actbench.files.atomic.write_text\npath: written\ntext: x", "augment=evil", "is not an augmentation"),
    ("dataset/evil", "_target_: torchvision.datasets.utils.download_url\nurl: http://127.0.0.1:9\nroot: .", "dataset=evil", "is not a"),
    ("dataset/evil", "_target_: torchvision.datasets.MNIST\nroot: made\ndownload: true", "dataset=evil", "is not a dataset"),
    ("dataset/evil", "_target_: subprocess.run\nargs: [touch, written]", "dataset=evil", "dataset=evil: `_target_: subprocess"),
    ("dataset/evil", "_target_: mine.load", "dataset=evil", "trust=mine"),
    ("experiment/evil", G + "trust: mine\nactivation: {_target_: mine.Act}", "experiment=evil", "cannot be switched on by a file"),
    ("experiment/evil", G + "activation: {_target_: torch.save}", "experiment=evil", "is not an activation"),
    ("experiment/evil", G + "hydra: {callbacks: {x: {_target_: os.system}}}", "experiment=evil", "is not for a file"),
    ("experiment/evil", G + "hydra: {job: {env_set: {LD_PRELOAD: x.so}}}", "experiment=evil", "is not for a file"),
    ("experiment/evil", G + "hydra: {launcher: {_target_: os.system}}", "experiment=evil", "is not for a file"),
    ("experiment/evil", G + "hydra: {launcher: {setup: [touch written]}}", "experiment=evil", "is not for a file"),
    ("experiment/evil", G + "hydra: {launcher: {partition: \"a\\nrm -rf x\"}}", "experiment=evil", "not a plain word"),
    ("experiment/evil", G + "hydra: {run: {dir: /tmp/elsewhere}}", "experiment=evil", "is not for a file"),
    ("experiment/evil", G + "hydra: {searchpath: [file:///tmp]}", "experiment=evil", "is not for a file"),
    ("experiment/evil", G + "hydra: {mode: MULTIRUN}", "experiment=evil", "is not for a file"),
    ("experiment/evil", G + "output_dir: /tmp/elsewhere", "experiment=evil", "leads out of this folder"),
    ("experiment/evil", G + "output_dir: ../elsewhere", "experiment=evil", "leads out of this folder"),
    ("experiment/evil", G + "study: ${oc.env:HOME}", "experiment=evil", "would look something up"),
    ("experiment/evil", G + "defaults:\n- override /hydra/callbacks: x", "experiment=evil", "not for a file"),
    ("experiment/evil", G + "defaults:\n- /activation@hydra.callbacks.x: relu", "experiment=evil", "do not belong"),
    ("experiment/evil", G + "defaults:\n- /activation/relu@hydra.callbacks.x", "experiment=evil", "do not belong"),
    ("experiment/evil", G + "defaults:\n- ../../secrets", "experiment=evil", "is not a choice"),
    ("experiment/evil", "# @package _global_.hydra\njob: {env_set: {A: b}}", "experiment=evil", "do not belong"),
    ("experiment/evil", "# @package hydra.callbacks\nx: {_target_: os.system}", "experiment=evil", "do not belong"),
    ("sweep/evil", G + "hydra: {sweeper: {params: {trust: mine}}}", "-m +sweep=evil", "cannot be swept by a file"),
    ("sweep/evil", G + "hydra: {sweeper: {params: {trust: mine, seed: '1,2'}}}", "-m +sweep=evil seed=1", "cannot be swept"),
    ("sweep/evil", G + "hydra: {sweeper: {params: {+activation._target_: torch.save}}}", "-m +sweep=evil", "no key that can be"),
    ("sweep/evil", G + "hydra: {sweeper: {params: {hydra.launcher.n_jobs: 1}}}", "-m +sweep=evil", "cannot be swept by a file"),
    ("sweep/evil", G + "hydra: {sweeper: {_target_: os.system}}", "-m +sweep=evil", "is not for a file"),
    ("sweep/evil", G + "hydra: {sweeper: {storage: 'sqlite:///written'}}", "-m +sweep=evil", "is not for a file"),
    ("sweep/evil", G + "hydra: {sweeper: {params: {seed: \"${oc.env:HOME}\"}}}", "-m +sweep=evil", "would look something up"),
    ("hydra/launcher/evil", "_target_: os.system", "-m hydra/launcher=evil activation=relu,elu", "evil"),
    ("hydra/launcher/evil", "defaults: [basic]\nsetup: [touch written]", "-m hydra/launcher=evil seed=1,2", "must be an installed plugin"),
    ("hydra/launcher/evil", "defaults: [/activation: relu]", "-m hydra/launcher=evil seed=1,2", "must be an installed plugin"),
    ("hydra/callbacks/evil", "x: {_target_: os.system}", "+hydra/callbacks=evil", "evil"),
    ("hydra/job_logging/evil", "handlers: {a: {class: logging.FileHandler, filename: written}}", "hydra/job_logging=evil", "evil"),
    ("mine/evil", G + "trust: mine", "+mine=evil", "cannot be switched on by a file"),
    ("hydra.launcher/evil", "_target_: os.system", "+hydra.launcher=evil", "evil"),
    ("_global_/evil", "trust: mine", "+_global_=evil", "evil"),
    ("trust/mine", G + "trust: mine", "activation=mine", "no activation called mine"),
    ("trust/mine", G + "trust: mine", "+trust=mine activation=wrong", "no activation called wrong"),
    ("evil", "trust: mine", "+evil", "evil"),
    ("config", "trust: mine\nactivation: {_target_: mine.Act}", "activation=wrong", "no activation called wrong"),
    ("config", "hydra: {callbacks: {x: {_target_: os.system}}}", "activation=wrong", "no activation called wrong"),
    ("experiment/article_mlp", G + "trust: mine", "experiment=article_mlp activation=wrong", "no activation called wrong"),
]  # fmt: skip


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What came of each hostile file: all in one process, each in a folder of its own below one `conf` after another."""
    home = tmp_path_factory.mktemp("hostile")
    found = []
    for number, (name, text, typed, _) in enumerate(HOSTILE):
        folder = home / str(number)
        path = folder / "conf" / f"{name}.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(text + "\n")
        (folder / "mine.py").write_text("raise SystemExit('imported')\n")
        found.append([str(folder), [*typed.split(), "dataset=digits" if "dataset=" not in typed else "num_seeds=1"]])
    given = json.dumps([str(Path(__file__).parent), found])
    told = json.loads(in_a_process(RUNS, home, given).splitlines()[-1])
    return [(Path(folder), *answer) for (folder, _), answer in zip(found, told, strict=True)]


@pytest.mark.parametrize("number", range(len(HOSTILE)), ids=[f"{n}-{h[0]}" for n, h in enumerate(HOSTILE)])
def test_a_hostile_file_does_nothing_and_is_told(answers, number):
    name, _, typed, said = HOSTILE[number]
    folder, code, out, err, events = answers[number]
    assert events == [], (events, err)
    assert code == 2, (out, err)
    assert said in err and "Traceback" not in err and "HYDRA_FULL_ERROR" not in err, err
    left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert left == sorted([f"conf/{name}.yaml", "mine.py"]), (typed, left)


def test_enough_of_them_over_all_groups():
    tried = {name.split("/")[0] for name, *_ in HOSTILE}
    assert len(HOSTILE) >= 25 and {*GROUPS, "experiment", "sweep", "hydra", "config"} <= tried


FRIENDLY = [
    ("activation/mine", "# x\n_target_: torch.nn.ELU\n_partial_: true\nalpha: ${optimizer.lr}\n"),
    ("model/pair", "defaults:\n- override /upper_activation@_global_.upper_activation: gelu\n_target_: actbench.models.hybrid\n"),
    ("experiment/e", G + "defaults:\n- override /activation: elu\n- override /hydra/launcher: joblib\ntrain: {epochs: 2}\n"),
    ("experiment/e", G + "hydra: {launcher: {n_jobs: 2, partition: gpu, timeout_min: 60}}\noutput_dir: results/mine\n"),
    ("experiment/e", "# @package _global_\ndefaults:\n- article_mlp\n- _self_\nseed: 3\n"),
    ("sweep/s", G + "hydra:\n  sweeper:\n    params:\n      activation: relu,gelu\n      optimizer.lr: 1e-3,1e-2\n"),
    ("hydra/launcher/cluster", "defaults:\n- submitit_slurm\npartition: gpu\nmem_gb: 8\n"),
    ("mine/x", G + "dropout: 0.5\n"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text"), FRIENDLY)
def test_what_a_user_may_want_in_a_file_is_allowed(tmp_path, name, text):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    assert conf_files.load(path, name) == text


def test_every_file_of_ours_would_be_allowed():
    for path in packaged_conf().glob("*/*.yaml"):
        conf_files.load(path, f"{path.parent.name}/{path.stem}")


NO_FILE = {
    "pipe": "cannot be read (it is not a plain file)",
    "device": "cannot be read (it is not a plain file)",
    "large": "cannot be read (it has 10,000 MB; at most 200,000 bytes are read)",
    "latin": "is not YAML: ",
    "folder": "is a folder, where a YAML file is expected",
}


@pytest.mark.parametrize("kind", NO_FILE)
def test_a_file_of_conf_that_is_none(tmp_path, kind):
    path = tmp_path / "x.yaml"
    make_strange(path, kind)
    with pytest.raises(UserError) as caught:
        conf_files.load(path, "activation/x")
    assert f"{path}: {NO_FILE[kind]}" in str(caught.value)


def make_strange(path: Path, kind: str) -> None:
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "large":
        with path.open("wb") as file:
            file.truncate(10_000_000_000)
    elif kind == "latin":
        path.write_bytes("activation: häßlich\n".encode("latin-1"))
    elif kind == "folder":
        path.mkdir()


# ---------------------------------------------------------------- the folders of runs


@pytest.fixture
def study(tmp_path):
    """A good run, and one to be spoilt."""
    for activation in ("relu", "gelu"):
        settings = settings_of("dataset=digits", f"activation={activation}", "num_seeds=3")
        fake_run(tmp_path / "study" / activation, settings, [90.0, 91.0, 92.0])
    return tmp_path / "study"


def reported(study: Path) -> str:
    """The report with its files; returns what could not be used. The good run is always in it."""
    answer = make_report([study])
    write(answer, study / "report")
    assert "relu" in [one.name for of in answer.comparisons for one in of.block.configurations]
    return "\n".join(map(str, answer.problems))


def told_of(study: Path) -> str:
    """The same without files, which take a second."""
    return "\n".join(map(str, make_report([study]).problems))


JSON = {
    "deep": "[" * 100_000 + "]" * 100_000,
    "deep mappings": '{"a":' * 5_000 + "1" + "}" * 5_000,
    "NaN": '{"status": NaN}',
    "Infinity": '{"status": -Infinity}',
    "huge integer": '{"status": ' + "9" * 5000 + "}",
    "twice": '{"status": "completed", "status": "failed"}',
    "not UTF-8": b'{"status": "\xff\xfe"}',
    "list": "[1, 2]",
    "word": '"completed"',
    "empty": "",
}


@pytest.mark.parametrize("kind", JSON)
def test_a_summary_that_is_none(study, kind):
    content = JSON[kind]
    (study / "gelu" / "summary.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    told = told_of(study)
    assert told.startswith(f"{study}/gelu/summary.json: ") and len(told) < 1000


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epochs_done", 10**400), ("parameters", 10**400), ("samples_per_second", 10**400), ("seeds", [10**400]),
        ("seeds", [0, 0, 0]), ("diverged", {"0": 10**400}), ("diverged", {"x": 1}), ("seconds", {"total": 10**400}),
        ("metrics", {"test_accuracy": 1}), ("metrics", [1]), ("findings", [{"symptom": 1}]), ("label", ["x"]),
        ("metrics", {"test_accuracy": {"mean": 10**400, "std": 1, "ci95": None, "n": 3, "values": [10**400] * 3}}),
    ],
)  # fmt: skip
def test_numbers_beyond_all_bounds_in_a_summary(study, key, value):
    path = study / "gelu" / "summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    assert str(path) in told_of(study)


YAMLS = {
    "aliases": "a: &a [0,0,0,0,0,0,0,0,0]\n" + "".join(
        f"{y}: &{y} [{','.join([f'*{x}'] * 9)}]\n" for x, y in zip("abcdefgh", "bcdefghi", strict=True)),
    "circle": "a: &a [*a]",
    "deep": "[" * 10_000,
    "deep block": "- " * 5_000 + "1",
    "deep indented": "".join(" " * n + "a:\n" for n in range(300)),
    "code": "!!python/object/apply:os.system ['touch written']",
    "twice": "id: 1\nid: 2",
    "binary": "\x00\x01",
    "list": "[1]",
    "nothing": "",
}  # fmt: skip


@pytest.mark.parametrize("kind", YAMLS)
def test_settings_that_are_none(study, kind):
    (study / "gelu" / "settings.yaml").write_text(YAMLS[kind])
    told = told_of(study)
    assert told.startswith(f"{study}/gelu/settings.yaml: ") and len(told) < 1000
    assert not Path("written").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"num_seeds": 2**31 - 1}, {"num_seeds": 10**400}, {"seed": -1}, {"dropout": 10**400}, {"trust": 7},
        {"study": "a\x1b[2J"}, {"activation": {"name": "a\u202eb", "target": "x", "params": {}}},
        {"activation": {"name": "x", "target": "x", "params": {}, "content": 7}},
        {"activation": {"name": "x", "target": "x", "params": {}, "more": 7}}, {"more": 1},
    ],
)  # fmt: skip
def test_settings_with_values_that_cannot_be(study, change):
    path = study / "gelu" / "settings.yaml"
    content = {**yaml.safe_load(path.read_text()), **change}
    path.write_text(yaml.safe_dump(content))
    told = told_of(study)
    assert str(path) in told and "\x1b" not in told and "\u202e" not in told


@pytest.mark.parametrize("file", ["settings.yaml", "summary.json", "history.csv", "layers.csv", "environment.json"])
@pytest.mark.parametrize("kind", ["pipe", "device", "large", "folder", "latin"])
def test_files_that_are_none_are_not_read(study, file, kind):
    make_strange(study / "gelu" / file, kind)
    told = told_of(study)
    assert f"gelu/{file}" in told or file == "environment.json"
    if kind == "large" and file != "environment.json":
        assert "10,000 MB" in told


@pytest.mark.parametrize("file", ["settings.yaml", "summary.json", "history.csv", "layers.csv", "environment.json"])
def test_links_out_of_a_runs_folder_are_not_followed(study, file, tmp_path):
    """Even where what they lead to would do."""
    secret = tmp_path / "secret"
    shutil.move(study / "gelu" / file, secret)
    (study / "gelu" / file).symlink_to(secret)
    told = told_of(study)
    assert "a link that leads out of the run's folder" in told or file == "environment.json"
    if file == "environment.json":
        assert reader.environment(study / "gelu") == {}
    (study / "gelu" / file).unlink()
    shutil.move(secret, study / "gelu" / "kept")
    (study / "gelu" / file).symlink_to("kept")  # within the folder it is a file like another
    assert told_of(study) == ""


def test_links_out_of_a_study_are_not_followed_and_circles_are_none(study, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(study / "gelu", other / "gelu")
    (study / "linked").symlink_to(other)
    (study / "inner").symlink_to(study / "gelu")
    (study / "up").symlink_to(tmp_path)
    found = find([study])
    assert sorted(run.folder.name for run in found.runs) == ["gelu", "relu"] or len(found.runs) == 2
    (problem,) = found.problems
    assert problem.where == str(study / "linked") and "leads out of what was asked for" in problem.what


@pytest.mark.parametrize("name", ["report", "report/plots"])
def test_nothing_is_written_or_removed_through_a_link(study, tmp_path, name):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "holiday.png").write_bytes(b"mine")
    (study / name).parent.mkdir(exist_ok=True)
    (study / name).symlink_to(pictures)
    with pytest.raises(UserError, match="is a link"):
        reported(study)
    assert [path.name for path in pictures.iterdir()] == ["holiday.png"]


def test_nothing_is_trained_into_a_folder_with_a_link_out_of_it(tmp_path):
    settings = settings_of("dataset=digits", "num_seeds=3")
    folder = fake_run(tmp_path / "run", settings, [90.0] * 3)
    reader.check_owner(folder, settings)
    (folder / "checkpoints").symlink_to(tmp_path)
    with pytest.raises(UserError, match="leads out of the run's folder"):
        reader.check_owner(folder, settings)


TABLES = {
    "no header": "\n\n",
    "a column twice": "seed,seed\n1,2\n",
    "too many cells": "1,2,3\n" * 3,
    "a long line": "x" * 1_000_000,
    "a quote without end": '"' + "x\n" * 200_000,
    "a huge number": None,
    "a name to obey": None,
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables_that_are_none(study, kind):
    path = study / "gelu" / "layers.csv"
    header, first, *rest = path.read_text().splitlines()
    text = TABLES[kind]
    if text is None:
        cells = first.split(",")
        cells[1 if kind == "a huge number" else 2] = "9" * 400 if kind == "a huge number" else "a\x1b[31m"
        text = "\n".join([header, ",".join(cells), *rest]) + "\n"
    path.write_text(text)
    with pytest.raises(UserError, match="cannot be read"):
        reader.records(path, LayerRecord)
    assert str(path) in reported(study)


def test_a_million_layers_are_refused_before_they_are_drawn(study):
    path = study / "gelu" / "layers.csv"
    header, first, *_ = path.read_text().splitlines()
    head, tail = first.split("hidden1")
    with path.open("w") as file:
        file.write(header + "\n")
        file.writelines(f"{head}layer{number}{tail}\n" for number in range(21_000))
    assert "it names 21,000 layers" in reported(study)


@pytest.mark.rendered
def test_names_are_words_wherever_they_are_shown(tmp_path, capsys):
    """HTML, Markdown, rich's markup, terminal commands and formulas in all that a run's files may say."""
    nasty = '<script>alert(1)</script>[red]x[/red] |`*_ $x$ "&'
    study = tmp_path / "study\x1b[31m"
    for number, name in enumerate((nasty, "=HYPERLINK(1)", "@cmd", "-1+1")):
        settings = settings_of("dataset=digits", "num_seeds=3")
        settings = replace(settings, activation=replace(settings.activation, name=name, target=f"mine.{name}"))
        folder = fake_run(study / f"run{number}", settings, [90.0 + number, 91.0, 92.0], reason="\x1b]0;owned\x07")
        content = json.loads((folder / "environment.json").read_text())
        content["argv"] = ["actbench", "\n<script>alert(2)</script>\n", "\x1b[2J"]
        content["packages"]["<img src=x onerror=alert(3)>"] = "<b>"
        (folder / "environment.json").write_text(json.dumps(content))
    command.main(arguments.report([str(study)]))
    out = capsys.readouterr().out
    assert "\x1b[31m" not in out and "\x1b]0" not in out and "<script>" in out
    html, markdown = ((study / "report" / f"report.{end}").read_text() for end in ("html", "md"))
    for text in (html, "\n".join(line for line in markdown.splitlines() if not line.startswith("    "))):
        assert "\x1b" not in text and "<img src=x" not in text and "<script>alert" not in text
    svgs = [path.read_text() for path in (study / "report" / "plots").glob("*.svg")]
    assert svgs and not any("<script" in svg for svg in svgs)
    with (study / "report" / "results.csv").open(newline="") as file:
        cells = {cell for row in csv.reader(file) for cell in row}
    assert {"'=HYPERLINK(1)", "'@cmd", "'-1+1"} <= cells
    assert not any(cell[:1] in ("=", "+", "@", "\t") for cell in cells)


def test_a_stored_result_is_shown_without_obeying_it(tmp_path):
    settings = settings_of("dataset=digits", "num_seeds=3")
    folder = fake_run(tmp_path / "run", settings, [90.0] * 3, label="[link=http://x]a[/link]", device="\x1b[2J")
    console = Console(file=StringIO(), width=120)
    layers = [LayerRecord(0, 1, "[/red]", 16, 0.1, 0.1, 0.1, 0.5, 0.0, 1.0, 1.0)]
    TerminalSink(console, live=False).end(reader.summary(folder), layers, folder, stored=True)
    text = console.file.getvalue()
    assert "[link=http://x]a[/link]" in text and "[/red]" in text and "\x1b[2J" not in text


def test_pickles_are_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "written",))

    folder = RunFolder(tmp_path / "run")
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    for path in (folder.path / "resume.pt", folder.path / "checkpoints" / "seed=0.pt"):
        for save in (torch.save, lambda content, to: to.write_bytes(pickle.dumps(content))):
            save({"state": Evil()}, path)
            with pytest.raises(UserError, match="cannot be read"):
                folder.read_resume(torch.device("cpu"), stacked=True) if path.name == "resume.pt" else (
                    folder.read_checkpoints([0])
                )
    assert not (tmp_path / "written").exists()
    pickle.loads(pickle.dumps(Evil()))
    assert (tmp_path / "written").exists(), "the law would not be held by this test"


def test_readers_are_exact_about_what_is_ours(study):
    before = reader.records(study / "relu" / "history.csv", EpochRecord)
    assert len(before) == 30 and reported(study) == ""


@pytest.mark.parametrize("text", ["a: 1\nb: [1, 2.5, x]\n", "a: &x {b: 1}\nc: *x\n", "a:\n  - b: null\n"])
def test_plain_yaml_is_what_pyyaml_says(text):
    assert reading.parse_yaml(text) == yaml.safe_load(text)


def test_printable_keeps_what_people_write():
    text = "naïve ± 1 µs, 日本語, “quotes”, 😀\nnext"
    assert printable(text) == text
    assert printable("\x1b[0m\x9b\u202e\ud800\u2028") == "\\x1b[0m\\x9b\\u202e\\ud800\\u2028"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Where a run was trained into `outputs/s`, and the words of its command."""
    home = tmp_path_factory.mktemp("trained")
    words = ["dataset=digits", "dataset.train_size=200", "train.epochs=1", "num_seeds=1", "model.width=8",
             "train.threads=1", "study=s"]  # fmt: skip
    assert Command(*words, cwd=home).wait().returncode == 0
    return home, words


@pytest.mark.parametrize("link", [".hydra", "tensorboard/seed=0", "checkpoints", "history.csv", ""])
@pytest.mark.parametrize("settings", [True, False])
def test_nothing_is_written_through_a_link_in_a_runs_folder(actbench, tmp_path, trained, link, settings):
    """Nor where a link is that nobody would follow. The last one is the run's folder itself."""
    home, words = trained
    shutil.copytree(home / "outputs", tmp_path / "outputs")
    (run,) = (tmp_path / "outputs/s").glob("*-seed*")
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "config.yaml").write_text("precious")
    (run / "summary.json").unlink()
    if not settings:
        for path in sorted(run.iterdir()):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    place = run / link
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    place.parent.mkdir(exist_ok=True, parents=True)
    place.symlink_to(victim, target_is_directory=True)
    done = actbench(*words)
    assert done.returncode == 2
    assert "nothing is written through it" in done.stderr
    assert [path.name for path in victim.iterdir()] == ["config.yaml"]
    assert (victim / "config.yaml").read_text() == "precious"


def test_a_study_that_is_a_link_is_not_written_through(actbench, tmp_path, tiny):
    (tmp_path / "victim").mkdir()
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs/s").symlink_to(tmp_path / "victim", target_is_directory=True)
    assert actbench(*tiny, "study=s").returncode == 2
    assert [*(tmp_path / "victim").iterdir()] == []
