"""What a comparison says of the keys that do not vary: everything that is not as usual, and little else."""

from __future__ import annotations

import pytest
from helpers import fake_run, settings_of

from actbench import naming
from actbench.choices import choices_of, usual_parameters
from actbench.command.conf_source import choice_of
from actbench.report.command import make_report
from actbench.report.shared_settings import shared_settings
from actbench.report.tables import tidy
from actbench.settings import GROUPS


def said_of(*commands):
    settings = [settings_of("dataset=digits", *command) for command in commands]
    return shared_settings(settings, naming.varying(settings))


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_what_is_as_usual_stays_short(activation):
    words, unusual = said_of([f"activation={activation}"], ["activation=gelu"])
    assert words == (
        "shared by all: init=he_normal model=mlp optimizer=adam model.width=512 model.depth=1 optimizer.lr=0.001 "
        "train.batch_size=64"
    )
    assert unusual == ("activation",) * 0


@pytest.mark.parametrize(
    "typed",
    [
        "optimizer.weight_decay=0.005", "optimizer.betas=[0.8,0.99]", "model.residual=true", "init.gain=1.5", "init.mode=fan_out",
        "train.precision=bf16", "train.eval_batch_size=100", "dropout=0.1", "norm=batch", "clip=norm", "scheduler=cosine",
        "augment=shift_rotate", "model.width=64", "train.batch_size=32", "optimizer.fused=false",
    ],
)  # fmt: skip
def test_every_value_that_is_not_a_default_is_named(typed):
    words, unusual = said_of(["activation=relu", typed], ["activation=gelu", typed])
    key = typed.partition("=")[0]
    if key == "train.eval_batch_size":  # has no part in the identity: it changes no result
        assert key not in words
        return
    assert typed in words.split()
    assert unusual == (key,)


def test_a_parameter_of_a_choice_that_varies_is_said_with_the_choices_that_have_it():
    swept = ["activation.negative_slope=0.2", "activation=leaky_relu"]
    words, unusual = said_of(["activation=relu"], swept)
    assert "activation.negative_slope=0.2 (leaky_relu)" in words
    assert unusual == ("activation.negative_slope",)
    both = "activation.num_parameters=units"
    words, _ = said_of(["activation=prelu", both], ["activation=swish", both])
    assert words.endswith(both) or f"{both} " in words
    assert "(prelu" not in words
    words, _ = said_of(["optimizer=adam", "optimizer.lr=0.01"], ["optimizer=rmsprop"])  # 0.01 is rmsprop's default
    assert "optimizer.lr=0.01" in words.split()


def test_a_default_that_follows_another_key_is_as_usual():
    words, _ = said_of(["scheduler=onecycle", "optimizer.lr=0.003"], ["scheduler=onecycle", "optimizer.lr=0.001"])
    assert "max_lr" not in words
    words, _ = said_of(["scheduler=onecycle", "scheduler.max_lr=0.02"])
    assert "scheduler.max_lr=0.02" in words.split()


def test_no_choice_of_ours_has_an_odd_parameter_by_itself():
    """Every choice as its file has it: only its own name is unusual."""
    for group in GROUPS:
        for listed in choices_of(group):
            if listed.name in ("hybrid", "auto") or group == "dataset":
                continue
            typed = [f"{group}={listed.name}"]
            _, unusual = said_of(typed)
            assert unusual in ((group,), ()), typed
            assert (
                usual_parameters(group, listed.name).keys() - {"_target_"}
                == choice_of(group, listed.name).params.keys()
            )


def test_the_parameters_of_the_users_own_choices_are_named(tmp_path, monkeypatch):
    (tmp_path / "conf" / "activation").mkdir(parents=True)
    (tmp_path / "conf" / "activation" / "steep.yaml").write_text(
        "# mine\n_target_: torch.nn.LeakyReLU\n_partial_: true\nnegative_slope: 0.7\n"
    )
    monkeypatch.chdir(tmp_path)
    words, unusual = said_of(["activation=steep"], ["activation=relu"])
    assert "activation.negative_slope=0.7 (steep)" in words
    monkeypatch.chdir("/")  # read anywhere
    assert unusual == ("activation.negative_slope",)


def test_the_page_the_terminal_and_the_csv_have_it(actbench, tmp_path):
    for activation in ("relu", "gelu"):
        own = settings_of(
            "dataset=digits", f"activation={activation}", "optimizer.weight_decay=0.005", "model=cnn",
            "model.channels=[4,8]", "num_seeds=3",
        )  # fmt: skip
        fake_run(tmp_path / "s" / own.folder, own, (97.0, 97.5, 98.0))
    shown = actbench("report", "s", "--full").stdout
    folder = tmp_path / "s" / "report"
    for text in (
        shown.replace("\n", " "),
        (folder / "report.html").read_text(),
        (folder / "report.md").read_text().replace("\\", ""),
    ):
        for said in ("optimizer.weight_decay=0.005", "model.channels=[4,8]", "model=cnn"):
            assert said in text
    frame = tidy(make_report([tmp_path / "s"]).comparisons)
    assert set(frame["optimizer.weight_decay"]) == {0.005}
    assert set(frame["model.channels"]) == {"[4,8]"}
    assert set(frame["model"]) == {"cnn"}
    header = (folder / "results.csv").read_text().splitlines()[0].split(",")
    assert {"optimizer.weight_decay", "model.channels", "model"} <= {*header}
