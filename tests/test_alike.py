"""Jobs that differ in plain values alone are made of one of them: they are what they are when each is composed alone."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
from helpers import settings_of
from hydra import compose
from omegaconf import OmegaConf

from actbench.command import auto, checking, composing, planning
from actbench.command.alike import Alike
from actbench.errors import UserError
from actbench.settings import Choice
from actbench.train import checked, checks

FILES = {
    "experiment/following.yaml": "# @package _global_\nsplit: ${dropout}\noptimizer:\n  eps: ${optimizer.lr}\n",
    "sweep/mine.yaml": "configurations:\n  - dropout=0.1\n  - dropout=0.1 optimizer.lr=0.02,0.03\n  - optimizer.lr=1\n",
}
SWEEPS = {  # and how many of their jobs are made of another one
    "activation=relu,gelu optimizer.lr=1e-3,3e-3,1": 4,
    "scheduler=onecycle optimizer.lr=1e-3,3e-3": 1,
    "experiment=following optimizer.lr=1e-3,3e-3 dropout=0,0.1": 3,
    "optimizer.lr=1e-3,3e-3 optimizer.eps=${optimizer.lr}": 1,
    "dropout=0.1,${split},0.2,0.3": 2,
    "dropout=1e-1,0.25 dropout_kind=standard,alpha": 3,
    "model.width=8,[8,16],16 optimizer.amsgrad=true,false": 5,
    "dataset=digits dataset.train_size=null,100,200 sites=all,[0,2]": 5,
    "+sweep=mine init.gain=auto,1.5": 5,
    "study=2024 seed=range(0,3) num_seeds=1,2 hydra.sweeper.max_batch_size=3": 5,
    "activation=leaky_relu activation.negative_slope=0.1,0.2 hydra/launcher=basic": 1,
    "train={epochs:2} train.batch_size=32,64": 0,  # which sets more than the one key
}
WRONG = (
    "optimizer.lr=1e-3,-1,2e-3 dropout=0.1,0.2",
    "dropout=0.1,2,word",
    "dropout=0.1,0.2 optimizer.lrr=1,2",
    "dropout=0.1,??? split=0.1,0.2",
    "~dropout optimizer.lr=0.1,0.2",
    "+optimizer.more=1,2 dropout=0.1,0.2",
    "dropout=0.1,${nowhere}",
    "dropout=0.1,{a:1}",
    "optimizer.betas=[0.9,0.99],[2,3],[0.9] dropout=0.1,0.2",
    "optimizer.lr=0.1,0.10 dropout=0.1,0.2",
    "trust=a,b dropout=0.1,0.2",
    "weights=here,there",
    "dataset=csv dataset.path=a.csv,b.csv",
)


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    for name, text in FILES.items():
        path = tmp_path / "conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    composing.register()


@pytest.fixture
def made(monkeypatch):
    """The jobs that were made of another one."""
    found, make = [], Alike.job

    def job(self, overrides, values):
        found.append(make(self, overrides, values))
        return found[-1]

    monkeypatch.setattr(Alike, "job", job)
    return found


@pytest.mark.parametrize(("words", "expected"), SWEEPS.items())
def test_a_job_is_what_it_is_when_it_is_composed_alone(words, expected, made):
    """The oracle is Hydra's own `compose`, and the settings of its result."""
    jobs, problems = planning.plan(words.split(), multirun=True)
    assert problems == []
    assert len([job for job in made if job is not None]) == expected
    for job in jobs:
        with composing.composing():
            alone = compose("config", overrides=list(job.overrides), return_hydra_config=True)
        assert repr(OmegaConf.to_container(job.config)) == repr(OmegaConf.to_container(alone))
        names = alone.hydra.runtime.choices
        settings = composing.to_settings(composing.without_hydra(alone), names, dataset=auto.ASSUMED)
        assert repr(job.settings) == repr(settings)
        assert str(job.folder) == f"{alone.hydra.sweep.dir}/{settings.folder}"
        assert job.automatic == (names.dataset == "auto")


@pytest.mark.parametrize("words", WRONG)
def test_what_is_wrong_is_said_as_if_each_job_were_composed_alone(words, monkeypatch):
    jobs, problems = planning.plan(words.split(), multirun=True)
    monkeypatch.setattr(Alike, "job", lambda *_: None)
    alone, expected = planning.plan(words.split(), multirun=True)
    assert problems == expected != []
    assert [(job.overrides, repr(job.settings), job.folder) for job in jobs] == [
        (job.overrides, repr(job.settings), job.folder) for job in alone
    ]


def test_jobs_share_one_composition_which_knows_the_name_of_the_study():
    jobs, _ = planning.plan(["optimizer.lr=1e-3,2e-3,3e-3"], multirun=True)
    assert len({id(job.composed) for job in jobs}) == 1
    composing._stamp.cache_clear()  # as in another process
    sent = pickle.loads(pickle.dumps(jobs))
    assert [str(job.config.hydra.sweep.dir) for job in sent] == [str(job.folder.parent) for job in jobs]


# ---------------------------------------------------------------- checks before the first job starts

SMALL = ("dataset=digits", "model.width=8", "num_seeds=1", "clip=norm", "scheduler=cosine")


def with_params(settings, group, **params):
    choice = getattr(settings, group)
    return replace(settings, **{group: replace(choice, params={**choice.params, **params})})


@pytest.fixture
def seen():
    settings = settings_of(*SMALL)
    found = checked.Checked()
    assert not found.covers(settings)
    checks.check(settings)
    found.add(settings)
    return settings, found


def test_a_job_that_differs_in_numbers_alone_is_not_checked_as_a_whole(seen):
    settings, found = seen
    assert found.covers(settings)
    assert found.covers(replace(settings, seed=7))
    assert found.covers(with_params(settings, "optimizer", lr=0.3, betas=[0.5, 0.6]))
    assert found.covers(with_params(settings, "clip", max_norm=3.0))


@pytest.mark.parametrize(
    "change",
    [
        lambda s: replace(s, dropout=0.5),
        lambda s: replace(s, num_seeds=2),
        lambda s: replace(s, train=replace(s.train, batch_size=32)),
        lambda s: with_params(s, "model", width=16),
        lambda s: with_params(s, "optimizer", amsgrad=True),
        lambda s: replace(s, activation=Choice("gelu", "torch.nn.GELU")),
        lambda s: replace(s, optimizer=Choice("own", "own_module.Own", {"lr": 0.1})),
        lambda s: replace(s, optimizer=Choice("muon", "torch.optim.Rprop", {"lr": 0.1})),
    ],
)
def test_any_other_job_is_checked_as_a_whole(seen, change):
    settings, found = seen
    assert not found.covers(change(settings))


def test_code_of_the_users_own_is_checked_in_every_job():
    settings, found = settings_of(*SMALL), checked.Checked()
    own = replace(settings, optimizer=Choice("own", "own_module.Own", {"lr": 0.1}), trust=("own_module",))
    found.add(own)
    assert not found.covers(own)


def test_numbers_that_an_optimizer_refuses_are_found_behind_others_that_it_takes(seen):
    """By the whole check, so that the message is the same: rules are for files of ours, and a user's may have none."""
    settings, found = seen
    wrong = with_params(settings, "optimizer", betas=[0.9, 1.5])
    assert not found.covers(wrong)
    with pytest.raises(UserError) as alone:
        checks.check(wrong)
    jobs, _ = planning.plan([*SMALL, "study=s", "optimizer.lr=1e-3,2e-3,3e-3"], multirun=True)
    jobs[2] = replace(jobs[2], settings=wrong, folder=jobs[2].folder.with_name(wrong.folder))
    with pytest.raises(UserError) as together:
        checking.check(jobs, [])
    assert together.value.problems == alone.value.problems
