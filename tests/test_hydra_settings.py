"""Hydra's own settings: what a user needs may be typed; nothing else changes them, neither typed nor from a file of ./conf."""

from __future__ import annotations

import shlex

import pytest
from command_lines import answer, check

CLOSED = {
    "hydra.run.dir=/": "output_dir=FOLDER study=NAME",
    "++hydra.run.dir=/": "output_dir=FOLDER study=NAME",
    "hydra.sweep.dir=/": "output_dir=FOLDER study=NAME",
    "-m hydra.sweep.subdir=1,2": "output_dir=FOLDER study=NAME",
    "hydra.job.env_set.A=1": "NAME=VALUE actbench",
    "+hydra.job.env_set.A=1": "NAME=VALUE actbench",
    "hydra.job.env_copy=[A]": "NAME=VALUE actbench",
    "hydra.job.chdir=true": "paths count from where you type",
    "hydra.job.name=x": "study=NAME",
    "+hydra.callbacks.x._target_=os.system": "leave it out",
    "hydra/callbacks=x": "leave it out",
    "hydra.launcher._target_=os.system": "hydra/launcher=NAME",
    "+hydra.launcher.x={_target_:os.system}": "what may be changed",
    "hydra.sweeper._target_=os.system": "hydra/sweeper=NAME",
    "hydra.launcher={_target_:os.system}": "what may be changed",
    "hydra/sweeper=optuna hydra.sweeper.custom_search_space=os.system": "interval(1e-4,1e-1)",
    "-m +hydra.sweeper.params.seed=1": "actbench -m KEY=a,b",
    "hydra.searchpath=[file:///tmp]": "`conf` folder",
    "hydra.job_logging.root=x": "> FILE",
    "hydra/job_logging=default": "> FILE",
    "hydra/hydra_logging=none": "> FILE",
    "hydra.output_subdir=.hydra": "environment.json",
    "hydra/output=x": "output_dir=FOLDER",
    "hydra.verbose=true": "--cfg job",
    "hydra.mode=RUN": "-m",
    "hydra.mode=MULTIRUN activation=relu,gelu": "actbench -m activation=relu,gelu",
    "hydra.help.header=x": "--help",
    "hydra/help=x": "--help",
    "hydra.runtime.output_dir=x": "what may be changed",
    "~hydra.callbacks": "cannot be removed",
    "~hydra/launcher": "cannot be removed",
    "+hydra.foo=1": "what may be changed",
    "hydra=1": "what may be changed",
    "hydra/launcher@x=basic": "what may be changed",
    "+activation@hydra.callbacks.x=relu": "activation=relu",
    "hydra/launcher=foo": "there are basic",
    "-m activation=relu,gelu hydra/launcher=baisc": "actbench -m activation=relu,gelu hydra/launcher=basic",
    "hydra/launcher=ray": "pip install 'actbench[ray]'",
    "hydra.launcher.n_jobs=2": "hydra/launcher=NAME",
    "hydra/env=x": "NAME=VALUE actbench",
    "--config-dir=/tmp": "`conf` folder",
    "--config-path /tmp": "`conf` folder",
    "--config-name x": "`conf` folder",
    "--experimental-rerun x": "`conf` folder",
}


@pytest.mark.parametrize("line", CLOSED)
def test_a_door_is_closed_in_one_sentence(line, tmp_path, monkeypatch):
    given = answer(shlex.split(line), tmp_path, monkeypatch)
    assert given.code == 2
    assert CLOSED[line] in given.text, given.text
    check(given, tmp_path)


def test_what_a_user_needs_may_be_typed(tmp_path, monkeypatch):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    for line in (
        "hydra/launcher=joblib hydra.launcher.n_jobs=2",
        "hydra/sweeper=optuna hydra.sweeper.n_trials=3 hydra.sweeper.direction=maximize hydra.sweeper.sampler.seed=1",
        "hydra/sweeper=optuna hydra/sweeper/sampler=random hydra.sweeper.study_name=x",
    ):
        given = answer(["-m", *line.split(), "activation=relu,gelu", "dataset=digits"], tmp_path, monkeypatch)
        assert "starts: --multirun" in given.text, given.text
        check(given, tmp_path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("hydra.launcher.njobs=2", "did you mean hydra.launcher.n_jobs? hydra.launcher has n_jobs, backend"),
        ("hydra.launcher.n_jobs=two", "error: hydra.launcher.n_jobs=two: Value 'two' of type 'str' could not"),
        ("workers=2", "workers=2: has no effect with hydra/launcher=joblib"),
    ],
)
def test_a_parameter_that_a_launcher_does_not_take_is_one_message(words, said, tmp_path, monkeypatch):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    given = answer(["-m", "activation=relu,gelu", "hydra/launcher=joblib", words], tmp_path, monkeypatch)
    assert said in given.text, given.text
    check(given, tmp_path)


FILES = {  # what a file in ./conf/experiment holds -> the key that is named
    "hydra:\n  job:\n    env_set:\n      LD_PRELOAD: x": "hydra.job.env_set.LD_PRELOAD",
    "hydra:\n  job:\n    chdir: true": "hydra.job.chdir",
    "hydra:\n  run:\n    dir: /tmp/x": "hydra.run.dir",
    "hydra:\n  sweep:\n    subdir: ../../x": "hydra.sweep.subdir",
    "hydra:\n  callbacks:\n    a:\n      _target_: os.system\n      command: touch x": "hydra.callbacks.a",
    "hydra:\n  job_logging:\n    handlers:\n      f:\n        filename: x": "hydra.job_logging.handlers",
    "hydra:\n  mode: MULTIRUN": "hydra.mode",
    "hydra:\n  output_subdir: ../x": "hydra.output_subdir",
    "hydra:\n  sweeper:\n    params:\n      hydra.run.dir: /a,/b": "hydra.run.dir",
    "hydra:\n  launcher:\n    _target_: os.system": "os.system",
    "hydra:\n  launcher:\n    _target_: os.system\n    command: touch x": "Key 'command' not in",
    "hydra:\n  sweeper:\n    _target_: os.system": "os.system",
    "hydra:\n  searchpath: [file:///tmp]": "searchpath",
    "defaults:\n  - override /hydra/launcher: evil": "conf/hydra/launcher/evil.yaml",
}


@pytest.mark.parametrize("text", FILES)
@pytest.mark.parametrize("multirun", [False, True])
def test_a_strangers_experiment_opens_none(text, multirun, tmp_path, monkeypatch):
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "hydra" / "launcher").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "x.yaml").write_text(f"# @package _global_\n# x\n{text}\n")
    (tmp_path / "conf" / "hydra" / "launcher" / "evil.yaml").write_text("# x\n_target_: os.system\ncommand: touch x\n")
    given = answer([*(["-m"] if multirun else []), "experiment=x", "dataset=digits"], tmp_path, monkeypatch)
    assert given.code == 2
    assert FILES[text] in given.text or "is not for a file" in given.text, given.text
    check(given, tmp_path, before=["conf"])


def test_a_strangers_files_for_hydra_are_not_taken(tmp_path, monkeypatch):
    folder = tmp_path / "conf" / "hydra" / "launcher"
    folder.mkdir(parents=True)
    (folder / "evil.yaml").write_text("# x\n_target_: os.system\ncommand: touch x\n")
    assert "starts:" in answer(["dataset=digits"], tmp_path, monkeypatch).text  # another program's are left alone
    given = answer(["hydra/launcher=evil"], tmp_path, monkeypatch)
    assert "hydra/launcher=evil: must be an installed plugin" in given.text
    (folder / "evil.yaml").rename(folder / "basic.yaml")
    given = answer(["dataset=digits"], tmp_path, monkeypatch)
    assert "conf/hydra/launcher/basic.yaml: Hydra's own settings are no files of yours" in given.text
    check(given, tmp_path, before=["conf"])


def test_a_package_header_moves_nothing_into_hydra(tmp_path, monkeypatch):
    (tmp_path / "conf" / "activation").mkdir(parents=True)
    text = "# @package hydra.callbacks.x\n# x\n_target_: torch.nn.ReLU\n_partial_: true\n"
    (tmp_path / "conf" / "activation" / "moved.yaml").write_text(text)
    given = answer(["activation=moved"], tmp_path, monkeypatch)
    assert (
        "conf/activation/moved.yaml: `@package hydra.callbacks.x` puts its values where they do not belong"
        in given.text
    )
    check(given, tmp_path, before=["conf"])


def test_a_users_files_may_sweep_and_say_how_many_at_once(tmp_path, monkeypatch):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    (tmp_path / "conf" / "sweep").mkdir(parents=True)
    (tmp_path / "conf" / "experiment").mkdir()
    preset = "hydra:\n  sweeper:\n    params:\n      activation: relu,gelu\n"
    many = "defaults:\n  - override /hydra/launcher: joblib\nhydra:\n  launcher:\n    n_jobs: 2\n"
    (tmp_path / "conf" / "sweep" / "mine.yaml").write_text(f"# @package _global_\n# x\n{preset}")
    (tmp_path / "conf" / "experiment" / "many.yaml").write_text(f"# @package _global_\n# x\n{many}")
    given = answer(["-m", "+sweep=mine", "experiment=many", "dataset=digits"], tmp_path, monkeypatch)
    assert "starts:" in given.text, given.text


def test_a_launcher_that_cannot_start_is_told_in_one_sentence(actbench, tiny):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    done = actbench("-m", *tiny, "activation=relu,gelu", "hydra/launcher=joblib", "hydra.launcher.batch_size=-5")
    assert done.returncode == 2
    assert "could not be started: ValueError" in done.stderr
    assert "Traceback" not in done.stderr
    assert "HYDRA_FULL_ERROR" not in done.stderr
