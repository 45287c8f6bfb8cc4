"""Code of the user's own that draws from global random numbers is refused: a seed has to give what it gives alone."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import settings_of
from torch import nn

from actbench import augment
from actbench.clipping import clip_value
from actbench.custom.randomness import check_augmentation, check_clip, check_optimizer_step, drawn_globally
from actbench.errors import UserError
from actbench.settings import Choice
from actbench.train import checks

MINE = Choice("mine", "own_augment.flip")


def own(images, *, generators, background):
    """As it should be: one portion of random numbers for each seed, from its own generator."""
    flipped = torch.stack([torch.rand(images.shape[1], generator=g) < 0.5 for g in generators])  # (S, B)
    return images.where(~flipped[..., None, None, None], images.flip(-1) + 0 * background)


def check(function, choice=MINE):
    check_augmentation(choice, function, inputs=(1, 8, 8), background=-0.4, trust=("own_augment",))


@pytest.mark.parametrize(
    ("call", "libraries"),
    [
        (lambda: torch.rand(3), ["torch"]),
        (lambda: torch.nn.functional.dropout(torch.ones(3)), ["torch"]),
        (lambda: np.random.rand(3), ["numpy"]),
        (random.random, ["random"]),
        (lambda: (torch.randperm(3), np.random.permutation(3), random.shuffle([1, 2])), ["torch", "numpy", "random"]),
        (lambda: torch.rand(3, generator=torch.Generator().manual_seed(1)), []),
        (lambda: np.random.default_rng(0).random(3), []),
        (lambda: random.Random(0).random(), []),
        (lambda: torch.ones(3).sum(), []),
    ],
)
def test_what_is_drawn_from_is_named_and_given_back(call, libraries):
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    assert drawn_globally(call) == libraries
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all() and before[2] == random.getstate()


def test_an_augmentation_with_the_generators_of_its_seeds_is_well():
    check(own)
    check(lambda images, **_: images.flip(-1))


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda images, **_: images + torch.randn_like(images), "the global random numbers of torch, so that"),
        (lambda images, **_: images * random.choice([1, -1]), "the global random numbers of random, so that"),
        (lambda images, **_: images * float(np.random.rand()) + torch.rand(1), "of torch and numpy, so that"),
        (lambda images, **_: images[:, :2], "returns (2, 2, 1, 8, 8) for images (2, 4, 1, 8, 8)"),
        (lambda images, **_: None, "returns a NoneType for images"),
        (lambda images, **_: images.nothing(), "has no attribute 'nothing'"),
    ],
)
def test_one_that_is_not_says_so(function, said):
    with pytest.raises(UserError) as caught:
        check(function)
    (problem,) = caught.value.problems
    assert said in problem.what and problem.where == "augment=mine" and problem.how


def test_one_of_ours_is_not_tried():
    ours = Choice("shift_rotate", "actbench.augment.shift_rotate", {"degrees": 10.0, "translate": 0.1})
    check(lambda *_, **__: pytest.fail("it was called"), ours)
    assert (
        drawn_globally(
            lambda: augment.shift_rotate(
                torch.zeros(1, 2, 1, 8, 8), generators=[torch.Generator()], background=0.0, degrees=9.0, translate=0.1
            )
        )
        == []
    )


def shaken(gradients):
    for gradient in gradients:
        gradient.add_(torch.randn_like(gradient))


def halved(gradients):
    for gradient in gradients:
        gradient.mul_(0.5)


def test_a_clip_that_draws_globally_is_refused():
    gradients = [torch.ones(1, 3, 2), torch.ones(1, 3)]
    with pytest.raises(UserError, match="global random numbers of torch") as caught:
        check_clip(Choice("shaken", "own_clips.shaken"), lambda: shaken(gradients))
    assert caught.value.problems[0].where == "clip=shaken"
    check_clip(Choice("halved", "own_clips.halved"), lambda: halved(gradients))
    check_clip(Choice("value", "actbench.clipping.clip_value"), lambda: clip_value(gradients, clip_value=0.1))
    assert all(gradient.abs().max() <= 0.1 for gradient in gradients)


@pytest.mark.parametrize(
    ("body", "said"),
    [("gradients[0].add_(torch.rand(1))", "draws from the global"), ("gradients.boom()", "has no attribute 'boom'")],
)
def test_a_clip_of_the_users_own_is_tried_before_anything_is_trained(body, said, tmp_path, monkeypatch):
    name = f"own_clips_{abs(hash(body))}"
    (tmp_path / f"{name}.py").write_text(
        f"import torch\n\ndef clip(gradients):\n    assert gradients[0].shape[0] == 1\n    {body}\n"
    )
    monkeypatch.chdir(tmp_path)
    settings = replace(
        settings_of("dataset=digits", "model.width=4", "num_seeds=1"), clip=Choice("own", f"{name}.clip"), trust=(name,)
    )
    with pytest.raises(UserError) as caught:
        checks.check(settings)
    (problem,) = caught.value.problems
    assert said in problem.what and problem.where == "clip=own"


class Langevin(torch.optim.SGD):
    """Adds noise to every step."""

    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad.add_(torch.randn_like(parameter))
        return super().step(closure)


@pytest.mark.parametrize(("kind", "refused"), [(Langevin, True), (torch.optim.SGD, False)])
def test_an_optimizer_that_draws_globally_is_refused(kind, refused):
    network = nn.Linear(3, 2)
    network(torch.ones(1, 3)).sum().backward()
    optimizer = kind(network.parameters(), lr=0.1)
    before = network.weight.detach().clone()
    if refused:
        with pytest.raises(UserError, match="global random numbers of torch"):
            check_optimizer_step(Choice("noisy", "own_optim.Langevin"), optimizer.step)
    else:
        check_optimizer_step(Choice("plain", "own_optim.Plain"), optimizer.step)
    assert not torch.equal(network.weight, before), "it is a whole step"
    check_optimizer_step(Choice("sgd", "torch.optim.SGD"), optimizer.step)
