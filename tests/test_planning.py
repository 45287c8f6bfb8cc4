"""Planning: what jobs share is composed once at most, and made once, and a job is what Hydra itself would compose."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest
from hydra import compose
from omegaconf import OmegaConf

import actbench
from actbench.command import batches, composing, launch, planning, starting, task_function, training
from actbench.command.composing import register
from actbench.command.running import Command

SWEEPS = [
    ["activation=relu,gelu", "optimizer.lr=1e-3,3e-3"],
    ["activation=prelu,swish", "activation.num_parameters=choice(units)", "dropout=0,0.1", "study=a"],
    ["optimizer.betas=[0.9,0.99],[0.8,0.9]", "seed=range(0,2)", "+sweep=inits"],
    [
        "experiment=article_cnn",
        "model.channels=[4,4],[8,8]",
        "activation.negative_slope=0.1,0.2",
        "activation=leaky_relu",
    ],
    ["train={epochs:2}", "train.batch_size=32,64"],
]


@pytest.mark.parametrize("overrides", SWEEPS, ids=" ".join)
def test_a_planned_job_is_what_hydra_composes_of_its_overrides(overrides):
    """The oracle is Hydra's own `compose`, for each job anew."""
    register()
    jobs, problems = planning.plan([*overrides, "dataset=digits"], multirun=True)
    assert problems == []
    assert len(jobs) > 1
    for job in jobs:
        with composing.composing():
            expected = compose("config", overrides=list(job.overrides), return_hydra_config=True)
        assert OmegaConf.to_container(job.config) == OmegaConf.to_container(expected)


def test_what_jobs_share_is_composed_once_and_its_settings_are_made_once(tmp_path, monkeypatch, capsys):
    """From the command line to the end of training, in one process."""
    composed, made = [], []
    loads, makes = planning.compose, composing.to_settings

    def counting(*arguments, **options):
        composed.append(options.get("overrides"))
        return loads(*arguments, **options)

    def making(*arguments, **options):
        made.append(arguments)
        return makes(*arguments, **options)

    for module, name, spy in (
        (planning, "compose", counting),
        (planning, "to_settings", making),
        (composing, "to_settings", making),
    ):
        monkeypatch.setattr(module, name, spy)
    commands, attempt = [], task_function.attempt
    monkeypatch.setattr(task_function, "attempt", lambda *given: commands.append(given[1]) or attempt(*given))
    monkeypatch.setattr(training, "_compare", lambda _, **_told: 0)
    monkeypatch.chdir(tmp_path)
    jobs = ["activation=relu,gelu,elu", "optimizer.lr=1e-3,2e-3"]
    tiny = ["dataset=digits", "train.epochs=1", "num_seeds=1", "model.width=4", "tensorboard=false", "train.threads=1"]
    assert launch.launch(["-m", *jobs, *tiny, "study=s"]) == 0
    assert len(list(tmp_path.glob("outputs/s/*/summary.json"))) == 6
    assert len(made) == 3  # an activation each: the others are made of them
    assert len(composed) <= 3 + 1  # an activation each, and what tells the sweeper
    assert commands[0].exit_codes == [0] * 6 and list(commands[0].typed[:1]) == ["-m"]
    capsys.readouterr()


def test_nothing_knows_the_inside_of_hydra_or_rewrites_the_command_line():
    for path in Path(actbench.__file__).parent.rglob("*.py"):
        text = path.read_text()
        assert not re.search(r"(import|from) hydra\._internal|import_module\(.hydra\._internal", text), path
        assert not re.search(r"sys\.argv(\[[^]]*\])?\s*=[^=]", text), path


def test_a_launcher_that_composes_anew_is_told_the_folder_and_the_dataset(monkeypatch, tmp_path):
    from actbench.command import auto

    register()
    monkeypatch.setattr(auto, "decide", lambda: auto.Decision("digits", 'NOT MNIST: "nobody", answers'))
    monkeypatch.chdir(tmp_path)
    jobs, problems = planning.plan(["activation=relu,gelu", "study=s"], multirun=True)
    assert problems == []
    for job in auto.resolve(jobs):
        with composing.composing():
            overrides = batches._for_a_launcher(job)
            config = compose("config", overrides=overrides, return_hydra_config=True)
        assert config.hydra.sweep.subdir == job.folder.name
        settings = composing.to_settings(composing.without_hydra(config), config.hydra.runtime.choices)
        assert settings == job.settings
        assert (settings.dataset.name, settings.dataset_note) == ("digits", 'NOT MNIST: "nobody", answers')


def test_ctrl_c_while_workers_of_a_launcher_train_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(starting, "start", interrupted)
    monkeypatch.setattr(training, "_compare", lambda _, *, told: int(not told))
    monkeypatch.chdir(tmp_path)
    words = ["-m", "dataset=digits", "activation=relu,gelu", "model.width=4", "num_seeds=1", "hydra/launcher=basic"]
    with pytest.raises(KeyboardInterrupt):
        launch.launch(words)
    (told,) = re.findall("^to go on:  actbench (.*) study=[^ ]+$", capsys.readouterr().err, re.MULTILINE)
    assert told.split() == words


def test_what_a_worker_is_sent_knows_what_was_typed_and_has_exit_codes_of_its_own():
    """As launchers send it; a job in the worker adds to a list of its own."""
    cloudpickle = pytest.importorskip("cloudpickle")
    command = Command(("-m", "activation=relu,gelu"), [0])
    sent = cloudpickle.loads(cloudpickle.dumps(partial(task_function.job, command=command)))
    assert sent.func is task_function.job
    assert sent.keywords["command"] == command and sent.keywords["command"] is not command
    sent.keywords["command"].exit_codes.append(1)
    assert command.exit_codes == [0]
