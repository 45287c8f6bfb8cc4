"""Sweeps that are no product: parameters that only some of the choices have, and presets that list configurations."""

from __future__ import annotations

import csv
import itertools
import shlex

import pytest
from command_lines import answer
from hydra import compose
from omegaconf import OmegaConf

from actbench import naming
from actbench.choices import choices_of
from actbench.command import batches, composing, conditional, listing, planning
from actbench.command.suggestions import names_of, parameters
from actbench.settings import GROUPS

PAIRS = """\
# relu with He, selu with LeCun
configurations:
  - activation=relu init=he_normal
  - activation=selu init=lecun_normal optimizer.lr=3e-4
"""


@pytest.fixture
def preset(tmp_path, monkeypatch):
    """Writes `conf/sweep/NAME.yaml` into the current folder, which is a new one."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "conf" / "sweep"
    folder.mkdir(parents=True)
    return lambda text, name="mine": (folder / f"{name}.yaml").write_text(text)


def planned(*words):
    composing.register()
    return planning.plan([*words, "dataset=digits", "study=x"], multirun=True)


def jobs_of(*words):
    jobs, problems = planned(*words)
    assert problems == []
    assert len({job.folder for job in jobs}) == len(jobs)
    for job in jobs:  # what a launcher's worker composes is the same run, and so is what Hydra composes
        with composing.composing():
            again = compose("config", overrides=list(job.overrides), return_hydra_config=True)
            worker = compose("config", overrides=batches._for_a_launcher(job), return_hydra_config=True)
        assert OmegaConf.to_container(job.config) == OmegaConf.to_container(again)
        settings = composing.to_settings(composing.without_hydra(worker), worker.hydra.runtime.choices)
        assert settings == job.settings
    return jobs


def names(jobs):
    return naming.names([job.settings for job in jobs])


def problems_of(*words):
    return [str(problem) for problem in planned(*words)[1]]


# ---------------------------------------------------------------- parameters of some of the choices


def test_a_parameter_applies_to_the_choices_that_have_it():
    jobs = jobs_of("activation=relu,leaky_relu", "activation.negative_slope=0.01,0.2")
    assert names(jobs) == ["relu", "leaky_relu negative_slope=0.01", "leaky_relu negative_slope=0.2"]
    fixed = jobs_of("activation=relu,leaky_relu", "activation.negative_slope=choice(0.2)")
    assert [job.settings.activation.params for job in fixed] == [{}, {"negative_slope": 0.2}]


def test_several_conditions_at_once_in_different_groups():
    jobs, problems = planned(
        "activation=relu,leaky_relu,gelu", "activation.negative_slope=0.1,0.2", "activation.approximate=choice(tanh)",
        "upper_activation=none,leaky_relu", "upper_activation.negative_slope=choice(0.3)", "optimizer=sgd,adam",
        "optimizer.betas=[0.9,0.99],[0.8,0.9]", "norm=none,batch", "norm.momentum=0.1,0.2",
    )  # fmt: skip
    assert problems == []
    assert len({job.folder for job in jobs}) == len(jobs) == (1 + 2 + 1) * 2 * (1 + 2) * (1 + 2)
    for job in jobs:
        params = {group: getattr(job.settings, group).params for group in GROUPS}
        assert params["activation"].get("approximate", "tanh") == "tanh"
        assert params["upper_activation"].get("negative_slope", 0.3) == 0.3


@pytest.mark.parametrize("group", [group for group in GROUPS if group not in ("dataset", "init")])
def test_the_jobs_are_those_of_each_choice_by_itself(group):
    """The oracle: every choice with the parameters that its own file has, in turn."""
    options = {name: parameters(group, name) for name in names_of(group) if name != "own"}
    common = set.intersection(*map(set, options.values()))
    by_parameter = {p: name for name, own in options.items() for p in own if p not in common}
    for parameter, owner in by_parameter.items():
        default = next(c for c in choices_of(group if group != "upper_activation" else "activation") if c.name == owner)
        value = listing.contents(default)[parameter]
        if not isinstance(value, (int, float)):
            continue
        words = [f"{group}={','.join(options)}", f"{group}.{parameter}=choice({value})"]
        jobs, problems = planned(*words)
        found = [
            (getattr(job.settings, group).name, any(o.startswith(f"{group}.{parameter}=") for o in job.overrides))
            for job in jobs
        ]
        assert problems == []
        assert found == [(name, parameter in own) for name, own in options.items()]
        break  # one parameter of each group


def test_what_applies_to_which_is_said_in_a_line(tmp_path, monkeypatch):
    line = "-m +sweep=activations activation.negative_slope=0.01,0.2 dataset=digits"
    given = answer(shlex.split(line), tmp_path, monkeypatch)
    said = "activation.negative_slope=0.01,0.2 applies to leaky_relu alone: the 22 others have no such parameter"
    assert given.text.splitlines()[0] == said
    jobs, _ = planned("activation=leaky_relu", "activation.negative_slope=0.01,0.2")
    assert conditional.remarks(jobs, ["activation.negative_slope=0.01,0.2", "activation=leaky_relu"]) == []


def test_presets_and_experiments_choose_too(preset):
    preset("defaults:\n  - override /activation: leaky_relu\ntrain:\n  epochs: 2\n")
    assert names(jobs_of("+sweep=mine", "activation.negative_slope=0.1,0.2")) == [
        "negative_slope=0.1", "negative_slope=0.2",
    ]  # fmt: skip
    jobs = jobs_of("experiment=mish_depth,dying_relu", "model.width=16,32", "model.kernel_size=3,5")
    found = [(job.settings.model.name, [word.partition("=")[0] for word in job.task]) for job in jobs]
    both = ["dataset", "experiment", "study"]
    assert [(name, sorted(set(keys) - set(both))) for name, keys in found] == [
        *[("deep_cnn", ["model.kernel_size", "model.width"])] * 4,
        *[("mlp", ["model.width"])] * 2,
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["activation=relu,gelu", "activation.negative_slope=0.1"], "is a key of leaky_relu alone"),
        (["activation=relu", "activation.negative_slope=0.1,0.2"], "is a key of leaky_relu alone"),
        (["activation=relu,leaky_rellu", "activation.negative_slope=0.1"], "did you mean leaky_relu?"),
        (
            ["activation=relu,leaky_relu", "activation.negative_slop=0.1,0.2"],
            "activation.negative_slope is a key of leaky_relu",
        ),
        (["activation=relu,leaky_relu", "+activation.negative_slope=0.1"], "activation.negative_slope"),
        (["activation=relu,leaky_relu", "~activation.negative_slope"], "a key cannot be removed"),
        (["activation=relu,leaky_relu", "activation.negative_slope=a,0.2"], "activation.negative_slope=a: must be"),
    ],
)
def test_a_parameter_that_none_of_them_has_stays_a_mistake(words, said):
    assert {said in problem for problem in problems_of(*words)} == {True}


def test_a_search_says_that_it_needs_parameters_of_all():
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper.optuna_sweeper")
    (problem,) = problems_of(
        "hydra/sweeper=optuna", "activation=relu,leaky_relu", "activation.negative_slope=interval(0.1,0.2)"
    )
    assert "relu has no such parameter" in problem
    assert "one search with activation=leaky_relu" in problem


# ---------------------------------------------------------------- configurations, one a line


def test_a_preset_lists_configurations_and_what_is_typed_multiplies_them(preset):
    preset(PAIRS)
    jobs = jobs_of("+sweep=mine")
    assert [(j.settings.activation.name, j.settings.init.name, j.settings.optimizer.params["lr"]) for j in jobs] == [
        ("relu", "he_normal", 0.001), ("selu", "lecun_normal", 0.0003),
    ]  # fmt: skip
    assert names(jobs) == ["relu init=he_normal lr=0.001", "selu init=lecun_normal lr=0.0003"]
    jobs = jobs_of("+sweep=mine", "model.width=8,16", "dropout=0.1")
    found = [(j.settings.model.params["width"], j.settings.activation.name, j.settings.dropout) for j in jobs]
    assert found == [*itertools.product((8, 16), ("relu", "selu"), (0.1,))]


def test_a_line_with_several_values_is_several_configurations_and_conditions_hold_in_it(preset):
    preset("configurations:\n  - activation=relu,leaky_relu activation.negative_slope=0.1,0.2\n  - init=orthogonal\n")
    assert len(jobs_of("+sweep=mine")) == 4
    jobs = jobs_of("+sweep=mine", "optimizer=sgd,adam", "optimizer.betas=choice([0.8,0.9])")
    assert len(jobs) == 8
    preset(PAIRS.replace("activation=selu", "activation=leaky_relu"))
    jobs = jobs_of("+sweep=mine", "activation.negative_slope=0.1,0.2")
    assert [job.settings.activation.params.get("negative_slope") for job in jobs] == [None, 0.1, 0.2]


def test_quotes_blanks_and_other_settings_of_the_file(preset):
    preset(
        "# @package _global_\ntrain:\n  epochs: 2\nconfigurations:\n"
        "  - activation=relu   'optimizer.betas=[0.9, 0.99]'\n  - \"activation=gelu 'optimizer={lr: 0.1}'\"\n"
    )
    relu, gelu = jobs_of("+sweep=mine")
    assert relu.settings.optimizer.params["betas"] == [0.9, 0.99]
    assert gelu.settings.optimizer.params["lr"] == 0.1
    assert relu.settings.train.epochs == gelu.settings.train.epochs == 2


def test_every_mistake_of_every_line_is_told_with_its_line(preset):
    preset(
        "configurations:\n  - activation=rellu init=he_normal\n  - activation=gelu train.epcohs=3\n"
        "  - activation=selu optimizer.lr=-1\n  - activation=relu activation.negative_slope=0.2\n"
    )
    told = "\n".join(problems_of("+sweep=mine"))
    for line, said in (
        ("activation=rellu init=he_normal", "there is no activation called rellu"),
        ("activation=gelu train.epcohs=3", "did you mean train.epochs=3?"),
        ("activation=selu optimizer.lr=-1", "optimizer.lr=-1: must be a number above 0"),
        ("activation=relu activation.negative_slope=0.2", "is a key of leaky_relu alone"),
    ):
        assert f"conf/sweep/mine.yaml, `- {line}`" in told
        assert said in told


def test_a_line_that_is_the_same_run_as_another_one(preset):
    preset("configurations:\n  - activation=relu\n  - init=he_normal\n  - optimizer.lr=0.1\n  - optimizer.lr=1e-1\n")
    told = problems_of("+sweep=mine")
    assert len(told) == 2
    assert "0.1 and 1e-1 are one run" in told[0]
    assert "activation=relu and init=he_normal: are one run" in told[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("configurations: []", "`configurations` is empty"),
        ("configurations:", "`configurations` is not a list of lines"),
        ("configurations: activation=relu", "`configurations` is not a list of lines"),
        ("configurations:\n  - relu", "`relu` is not KEY=VALUE"),
        ("configurations:\n  - 3", "is no line of GROUP=CHOICE and KEY=VALUE"),
        ("configurations:\n  - {activation: relu}", "with a colon in it the whole line needs quotes"),
        ("configurations:\n  - init=a\n  - init=a", "is there twice"),
        ("configurations:\n  - init=a init=b", "sets init twice"),
        ("configurations:\n  - init=a, b", "has a blank beside a comma"),
        ('configurations:\n  - "init=\'a"', "no closing quotation"),
        ("configurations:\n  - trust=os", "type trust=NAME yourself"),
        ("configurations:\n  - hydra/launcher=joblib", "is not for a line"),
        ("configurations:\n  - hydra.run.dir=/tmp/x", "is not for a line"),
        ("configurations:\n  - output_dir=/tmp/x", "is not for a line"),
        ("configurations:\n  - study=x", "is not for a line"),
        ("configurations:\n  - +sweep=mine", "is nothing that a line can set"),
        ("configuration:\n  - init=orthogonal", "`configuration` is no key\n    did you mean configurations?"),
        ("configurations:\n  - ~dropout", "is nothing that a line can set"),
        ("configurations:\n  - activation._target_=os.system", "is nothing that a line can set"),
        ("configurations:\n  - activation@norm=relu", "is nothing that a line can set"),
        ("configurations:\n  - dropout=${oc.env:HOME}", "look something up"),
        ("configurations:\n  - \"dropout='$''{oc.env:HOME}'\"", "would look something up"),
    ],
)
def test_what_a_file_may_not_list_is_refused_before_anything_is_composed(preset, tmp_path, monkeypatch, text, said):
    preset(text + "\n")
    given = answer(["-m", "+sweep=mine"], tmp_path, monkeypatch)
    assert given.code == 2
    assert "conf/sweep/mine.yaml" in given.text
    assert said in given.text


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("+sweep=mine", "actbench -m +sweep=mine"),
        ("-m +sweep=mine init=orthogonal", "init=orthogonal: is set by 2 lines already: conf/sweep/mine.yaml"),
        ("-m +sweep=mine optimizer.lr=0.1,0.2", "optimizer.lr=0.1,0.2: is set by 1 line already"),
        ("-m +sweep=[mine,other]", "mine and other list configurations"),
        ("-m +sweep=mine,other", "both in one: +sweep=[mine,other]"),
        ("-m +configurations=[init=x]", "conf/sweep/NAME.yaml lists configurations"),
        ("experiment=listing", "is for a file of conf/sweep"),
    ],
)
def test_what_cannot_be_typed_beside_the_lines(preset, tmp_path, monkeypatch, line, said):
    preset(PAIRS)
    preset(PAIRS.replace("3e-4", "3e-3"), "other")
    (tmp_path / "conf" / "experiment").mkdir()
    (tmp_path / "conf" / "experiment" / "listing.yaml").write_text("# @package _global_\n" + PAIRS)
    given = answer(shlex.split(line), tmp_path, monkeypatch)
    assert given.code == 2
    assert said in given.text


def test_a_search_cannot_choose_from_lines(preset):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper.optuna_sweeper")
    preset(PAIRS)
    (problem,) = problems_of("+sweep=mine", "hydra/sweeper=optuna", "optimizer.lr=interval(0.1,0.2)")
    assert "lists 2 configurations, from which a search cannot choose" in problem


def test_list_and_completion_know_the_lines(preset, capsys, monkeypatch):
    from test_completion import offered

    preset(PAIRS.replace("activation=selu", "activation=leaky_relu"))
    monkeypatch.setenv("COLUMNS", "120")
    listing.show(["mine"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "trains activation=relu init=he_normal trains activation=leaky_relu init=lecun_normal" in shown
    assert "actbench -m +sweep=mine" in shown
    assert offered("actbench -m +sweep=mi") == ["mine "]
    assert offered("actbench -m +sweep=mine activation.") == ["activation.negative_slope="]


# ---------------------------------------------------------------- one study from several commands


def test_a_comparison_is_over_everything_in_the_study(actbench, preset, tiny, tmp_path):
    preset(PAIRS)
    small = [*tiny, "train.epochs=1", "num_seeds=3", "tensorboard=false", "study=s"]
    small = [word for word in small if word not in ("train.epochs=2", "num_seeds=2")]
    first = actbench("-m", "+sweep=mine", *small)
    assert first.returncode == 0, first.stderr
    second = actbench("-m", "activation=elu,leaky_relu", "activation.negative_slope=0.1", *small)
    assert second.returncode == 0, second.stderr
    assert "activation.negative_slope=0.1 applies to leaky_relu alone" in second.stderr
    with (tmp_path / "outputs" / "s" / "report" / "results.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "test_accuracy"]
    found = {row["configuration"].split()[0] for row in rows}
    assert found == {"relu", "selu", "elu", "leaky_relu"}
    assert len(rows) == 4 * 3
    assert all(name in second.stdout for name in found)
