"""`actbench kernels`: what is measured, beside what; and what it leaves. No test depends on a time."""

from __future__ import annotations

import csv
import json
import math

import pytest
import torch
from torch import nn

from actbench.activations import Swish
from actbench.kernels import resnet
from actbench.kernels.measure import kept_for_backward, measure, ratio, seconds

CPU = torch.device("cpu")


def test_every_activation_is_measured_in_every_way_and_round():
    makes = {"relu": lambda units: nn.ReLU(), "prelu": nn.PReLU, "gelu": lambda units: nn.GELU()}
    in_place = {"relu": lambda units: nn.ReLU(inplace=True)}
    costs = measure(makes, (4, 8, 3), device=CPU, rounds=2, in_place=in_place)
    assert [(cost.activation, cost.way) for cost in costs] == [
        ("relu", "eager"), ("relu", "in place"), ("prelu", "eager"), ("gelu", "eager"),
    ]  # fmt: skip
    for cost in costs:
        assert cost.shape == (4, 8, 3)
        assert len(cost.forward) == len(cost.copy) == 2
        assert len(cost.training) == (0 if cost.way == "in place" else 2)
        assert all(value > 0 for value in (*cost.forward, *cost.training, *cost.copy))


@pytest.mark.parametrize(
    ("module", "kept"),
    [
        (nn.ReLU(), 0),  # its output says where the slope is 1
        (nn.Tanh(), 0),
        (nn.Sigmoid(), 0),
        (nn.GELU(), 4),  # the input, in float32
        (nn.LeakyReLU(0.1), 4),
        (nn.PReLU(8), 4),
        (Swish(), 8),  # the input, and the sigmoid that β needs
    ],
)
def test_what_the_backward_pass_keeps_beside_the_output(module, kept):
    assert kept_for_backward(module, torch.randn(16, 8)) == pytest.approx(kept, abs=0.1)


def test_a_ratio_is_taken_round_by_round():
    assert ratio([2.0, 30.0, 4.0], [1.0, 10.0, 2.0]) == 2.0
    assert math.isnan(ratio([], []))


def test_a_call_is_repeated_until_it_can_be_timed():
    calls = []
    taken = seconds(lambda: calls.append(1), CPU)
    assert 0 < taken < 0.002
    assert len(calls) > 10


def test_a_resnet_gets_another_activation_everywhere():
    from torchvision import models

    network = models.resnet18()
    before = sum(isinstance(module, nn.ReLU) for module in network.modules())
    resnet._replace(network, nn.SiLU)
    kinds = [type(module) for module in network.modules()]
    assert (kinds.count(nn.ReLU), kinds.count(nn.SiLU)) == (0, before)


def test_the_share_of_activations_is_what_is_missing_without_them():
    steps = [resnet.Step("no activation", (0.9, 1.8)), resnet.Step("ReLU", (1.0, 2.0)), resnet.Step("GELU", (1.2, 2.4))]
    assert resnet.share(steps, "ReLU") == pytest.approx(0.1)
    assert resnet.share(steps, "GELU") == pytest.approx(0.25)


def test_a_small_resnet_is_timed_with_each_variant():
    steps = resnet.steps(18, batch=2, size=32, device=CPU, rounds=1)
    assert [step.variant for step in steps] == list(resnet.VARIANTS)
    assert all(len(step.seconds) == 1 and step.seconds[0] > 0 for step in steps)


@pytest.mark.rendered
def test_the_command_prints_and_leaves_its_figures(actbench, tmp_path):
    done = actbench("kernels", "gelu", "swish", "--sizes", "8x16,4x8x2x2", "--rounds", "2", "--threads", "1")
    assert (done.returncode, done.stderr) == (0, "")
    folder = tmp_path / "outputs" / "kernels" / "cpu"
    with (folder / "kernels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["shape"], row["activation"]) for row in rows] == [
        (shape, name) for shape in ("8x16", "4x8x2x2") for name in ("relu", "gelu", "swish")
    ]
    assert all(float(row["forward / relu"]) == 1 for row in rows if row["activation"] == "relu")
    assert [float(row["kept"]) for row in rows[:2]] == [0, 4]
    assert (folder / "kernels.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "kernels.svg").stat().st_size > 1000
    assert json.loads((folder / "environment.json").read_text())["threads"] == 1
    assert all(word in done.stdout for word in ("8×16", "4×8×2×2", "swish", "÷ relu", "÷ copy"))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["reluu"], "error: reluu: there is no such activation\n    did you mean relu?"),
        (["--sizes", "12"], "error: --sizes 12: is not a shape"),
        (["--sizes", "0x4"], "error: --sizes 0x4: is not a shape"),
        (["--rounds", "no"], "error: actbench kernels: argument --rounds: invalid int value: 'no'"),
        (["--rounds", "0"], "error: --rounds 0: is not a number of 1 or more"),
        (["--device", "cuda:7"], "error: --device cuda:7: "),
        (["--device", "tpu"], "error: --device tpu: there is no such device"),
        (["--resnet", "19"], "error: actbench kernels: argument --resnet: invalid choice: 19"),
    ],
)
def test_bad_input_gets_one_clear_message(actbench, arguments, complaint):
    done = actbench("kernels", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(complaint), done.stderr
    assert "Traceback" not in done.stderr


def test_help(actbench):
    done = actbench("kernels", "--help")
    assert done.returncode == 0
    assert "--resnet" in done.stdout
