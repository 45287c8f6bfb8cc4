"""What is wrong with an activation is said before anything is trained with it, by its name."""

from __future__ import annotations

import pytest
import torch
from helpers import activation_choice, activation_files
from torch import nn

from actbench.activations.examination import RESHAPES, WRITES, examine
from actbench.train.networks import activation_factory

Z = 2 * torch.randn(16, 8, generator=torch.Generator().manual_seed(0))


def made(function):
    class Made(nn.Module):
        def forward(self, z):
            return function(z)

    return Made()


class Keeps(nn.Module):
    """One tensor for all its outputs."""

    def __init__(self):
        super().__init__()
        self.register_buffer("kept", torch.zeros(16, 8))

    def forward(self, z):
        with torch.no_grad():
            self.kept.copy_(torch.relu(z))
        return self.kept


class WritesLater(nn.Module):
    """To what it was given the last time."""

    def forward(self, z):
        if hasattr(self, "last"):
            self.last.data.zero_()
        self.last = z
        return z


def cut(z):
    with torch.no_grad():
        return torch.relu(z)


def past_the_counter(z):
    z.data.mul_(2)
    return torch.tanh(z)


WRONG = {
    "in place": (made(lambda z: z.mul_(torch.sigmoid(z))), "changes its input in place"),
    "in place, returned later": (made(lambda z: (z.clamp_(min=0), torch.tanh(z))[1]), "changes its input in place"),
    "past the counter": (made(past_the_counter), "changes its input in place"),
    "relu": (nn.ReLU(inplace=True), "changes its input in place"),
    "tuple": (made(lambda z: (z, z)), "returns a tuple, not a tensor"),
    "none": (made(lambda z: None), "returns None, not a tensor"),
    "number": (made(lambda z: 3.0), "returns a float, not a tensor"),
    "shape": (made(lambda z: z.mean(1)), "returns another shape than it is given: (16,) for (16, 8)"),
    "dtype": (made(lambda z: z.double()), "returns another dtype than it is given: float64 for float32"),
    "whole": (made(lambda z: z > 0), "returns another dtype than it is given: bool for float32"),
    "nan": (made(lambda z: torch.log(-z * z - 1)), "is NaN for every input"),
    "no_grad": (made(cut), "lets no gradient through"),
    "detach": (made(lambda z: torch.relu(z.detach())), "lets no gradient through"),
    "data": (made(lambda z: torch.relu(z.data)), "lets no gradient through"),
    "numpy": (made(lambda z: torch.from_numpy(z.detach().numpy() ** 2)), "lets no gradient through"),
    "in place before its own gradient": (made(lambda z: torch.exp(z).mul_(z)), "cannot be differentiated"),
    "slope": (made(lambda z: torch.sqrt(z - z) + z), "has a gradient of NaN for every input"),
    "kept": (Keeps(), "overwrites at its next call what it has returned"),
    "later": (WritesLater(), "overwrites at its next call what it has returned"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(name):
    module, said = WRONG[name]
    z, before = Z.clone(), Z.clone()
    found = examine(module, z)
    assert any(complaint.what.startswith(said) for complaint in found), found
    assert all(complaint.how for complaint in found)
    assert torch.equal(z, before) and not hasattr(module, "last")


RIGHT = {
    "identity": nn.Identity(),
    "centred": made(lambda z: z - z.mean(1, keepdim=True)),
    "straight through": made(lambda z: z * torch.sigmoid(z).detach()),
    "in place of its own": made(lambda z: (2 * z).add_(1)),
    "flat": made(torch.sign),
    "partly nan": made(torch.log),
    "view": made(lambda z: z.view(z.shape)),
    "softmax": nn.Softmax(dim=1),
    "noise": nn.RReLU(),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_unusual_and_right_is_left_alone(name):
    before = torch.get_rng_state()
    assert examine(RIGHT[name], Z) == []
    assert torch.equal(before, torch.get_rng_state())


def test_writing_and_reshaping_are_told_apart():
    assert [complaint.kind for complaint in examine(nn.ReLU(inplace=True), Z)] == [WRITES]
    assert [complaint.kind for complaint in examine(nn.GLU(), Z)] == [RESHAPES]


@pytest.mark.parametrize("name", [path.stem for path in activation_files()])
def test_every_choice_is_well(name):
    assert examine(activation_factory(activation_choice(name), ())(8), Z) == []


MODULE = """
import torch
from helpers import activation_files, activation_choice
from torch import nn


class Evil(nn.Module):
    def forward(self, x):
        return x.mul_(torch.sigmoid(x))


class Pair(nn.Module):
    def forward(self, x):
        return x, x


class Spatial(nn.Module):  # takes convolutions alone
    def forward(self, x):
        batch, channels, height, width = x.shape
        return x.mean((2, 3))


def dirty(components, *, inputs, classes):
    class Dirty(nn.Module):
        def __init__(self):
            super().__init__()
            self.output = nn.Linear(inputs[1] * inputs[2], classes)

        def forward(self, x):
            return self.output(x.sub_(0.5).flatten(1))

    return Dirty()
"""


@pytest.fixture
def own(tmp_path):
    """A folder with modules of one's own."""
    (tmp_path / "mine.py").write_text(MODULE)
    for group, name, target in (
        ("activation", "evil", "Evil"), ("activation", "pair", "Pair"), ("activation", "spatial", "Spatial"),
        ("model", "dirty", "dirty"),
    ):  # fmt: skip
        file = tmp_path / f"conf/{group}/{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"# {name}\n_target_: mine.{target}\n_partial_: true\n")


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["upper_activation=evil", "model.depth=2"], "upper_activation=evil: mine.Evil changes its input in place"),
        (["activation=pair", "probe=false"], "activation=pair: mine.Pair returns a tuple, not a tensor"),
        (["activation=spatial", "model=cnn", "init.gain=1"], "activation=spatial: mine.Spatial returns another shape"),
        (["model=dirty"], "model=dirty: writes to the images that it is given"),
    ],
)
def test_the_command_says_it_before_anything_begins(actbench, tmp_path, overrides, said):
    done = actbench("dataset=digits", "train.epochs=1", "num_seeds=2", "train.threads=1", "trust=mine", *overrides)
    assert done.returncode == 2, done.stdout
    assert done.stderr.startswith(f"error: {said}"), done.stderr
    assert done.stdout == "" and "Traceback" not in done.stderr
    assert not (tmp_path / "outputs").exists()


@pytest.mark.usefixtures("own")
def test_all_that_is_wrong_in_a_sweep_is_said_at_once(actbench, tiny):
    done = actbench("-m", "activation=evil,pair,relu", *tiny, "trust=mine")
    assert done.returncode == 2
    assert "mine.Evil changes" in done.stderr and "mine.Pair returns" in done.stderr
