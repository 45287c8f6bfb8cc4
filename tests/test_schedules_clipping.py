"""The learning rate over a run, and gradients clipped for each seed as torch clips those of one model."""

import math
from functools import partial

import pytest
import torch
from torch import nn

from actbench.clipping import clip_norm, clip_value, seed_norms
from actbench.schedules import warmup_cosine

# ---------------------------------------------------------------- warmup_cosine


def optimizer_of(*rates):
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates]
    return torch.optim.SGD(groups, lr=1.0)


def group_rates(optimizer, scheduler, steps):
    """The rates of all groups at each step, as a training loop would use them."""
    used = []
    for _ in range(steps):
        used.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return used


def rates(optimizer, scheduler, steps):
    """The rates of the only group at each step."""
    return [rate for (rate,) in group_rates(optimizer, scheduler, steps)]


def formula(step, *, base, total, warmup, eta_min):
    w = round(warmup * total)
    if step < w:
        return base * (step + 1) / w
    return eta_min + 0.5 * (base - eta_min) * (1 + math.cos(math.pi * (step - w) / (total - w)))


@pytest.mark.parametrize("total", [1, 7, 100])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.25, 0.99, 1.0])
@pytest.mark.parametrize("eta_min", [0.0, 1e-4])
def test_warmup_cosine_follows_its_formula(total, warmup, eta_min):
    optimizer = optimizer_of(0.3, 0.02)
    used = group_rates(optimizer, warmup_cosine(optimizer, total_steps=total, warmup=warmup, eta_min=eta_min), total)
    for step, by_group in enumerate(used):
        expected = [formula(step, base=b, total=total, warmup=warmup, eta_min=eta_min) for b in (0.3, 0.02)]
        assert by_group == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_without_warmup_it_is_torchs_cosine():
    ours, theirs = optimizer_of(0.1), optimizer_of(0.1)
    mine = rates(ours, warmup_cosine(ours, total_steps=20, warmup=0.0, eta_min=0.01), 20)
    its = rates(theirs, torch.optim.lr_scheduler.CosineAnnealingLR(theirs, T_max=20, eta_min=0.01), 20)
    assert mine == pytest.approx(its, rel=1e-9)
    assert mine[0] == 0.1


def test_with_nothing_but_warmup_the_rate_rises_to_its_full_height_at_the_last_step():
    optimizer = optimizer_of(0.1)
    used = rates(optimizer, warmup_cosine(optimizer, total_steps=10, warmup=1.0), 10)
    assert used == pytest.approx([0.01 * (step + 1) for step in range(10)], rel=1e-12)


def test_the_rate_is_positive_while_training_rises_then_falls_and_stays_at_eta_min_after_the_end():
    optimizer = optimizer_of(0.1)
    used = rates(optimizer, warmup_cosine(optimizer, total_steps=40, warmup=0.25, eta_min=0.001), 60)
    assert used[:10] == sorted(used[:10])
    assert used[9] == pytest.approx(0.1)
    assert used[10:41] == sorted(used[10:41], reverse=True)
    assert min(used[:40]) > 0.001
    assert used[40:] == pytest.approx([0.001] * 20)


@pytest.mark.parametrize("warmup", [-0.01, 1.01, 10, math.nan])
def test_a_warmup_that_is_no_share_is_refused(warmup):
    with pytest.raises(ValueError, match="between 0 and 1"):
        warmup_cosine(optimizer_of(0.1), total_steps=10, warmup=warmup)


def test_a_saved_schedule_goes_on_where_it_was():
    whole = optimizer_of(0.1)
    expected = rates(whole, warmup_cosine(whole, total_steps=20, warmup=0.3), 20)
    first = optimizer_of(0.1)
    scheduler = warmup_cosine(first, total_steps=20, warmup=0.3)
    begun = rates(first, scheduler, 11)
    second = optimizer_of(0.1)
    resumed = warmup_cosine(second, total_steps=20, warmup=0.3)
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(scheduler.state_dict())
    assert begun + rates(second, resumed, 9) == expected


# ---------------------------------------------------------------- clipping

SCALES = [1e-3, 1.0, 30.0, 1e4]  # of the seeds' gradients


def models(dtype=torch.float64):
    """One small network for each seed with gradients of very different sizes."""
    generator = torch.Generator().manual_seed(0)
    built = []
    for scale in SCALES:
        network = nn.Sequential(nn.Conv2d(1, 2, 2), nn.PReLU(2), nn.Flatten(), nn.Linear(8, 3)).to(dtype)
        for parameter in network.parameters():
            parameter.grad = scale * torch.randn(parameter.shape, generator=generator, dtype=dtype)
        built.append(network)
    return built


def stacked(networks):
    """The gradients with the seeds in front: (S, ...)."""
    return [torch.stack([p.grad for p in peers]) for peers in zip(*(n.parameters() for n in networks), strict=True)]


CLIPS = [partial(clip_norm, max_norm=0.5), partial(clip_norm, max_norm=100.0), partial(clip_value, clip_value=0.7)]
CLIP_IDS = ["norm 0.5", "norm 100", "value 0.7"]


@pytest.mark.parametrize("max_norm", [1e-4, 0.5, 1.0, 100.0, 1e9])
def test_clip_norm_does_to_each_seed_what_torch_does_to_one_model(max_norm):
    networks = models()
    gradients = stacked(networks)
    norms = seed_norms(gradients)
    clip_norm(gradients, max_norm=max_norm)
    for s, network in enumerate(networks):
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), max_norm)
        torch.testing.assert_close(norms[s], norm, rtol=1e-12, atol=0)
        for ours, parameter in zip(gradients, network.parameters(), strict=True):
            torch.testing.assert_close(ours[s], parameter.grad, rtol=1e-12, atol=0)


@pytest.mark.parametrize("limit", [1e-4, 0.7, 1e9])
def test_clip_value_does_to_each_seed_what_torch_does_to_one_model(limit):
    networks = models()
    gradients = stacked(networks)
    clip_value(gradients, clip_value=limit)
    for s, network in enumerate(networks):
        torch.nn.utils.clip_grad_value_(network.parameters(), limit)
        for ours, parameter in zip(gradients, network.parameters(), strict=True):
            assert torch.equal(ours[s], parameter.grad)


@pytest.mark.parametrize("clip", CLIPS, ids=CLIP_IDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 3e38])
@pytest.mark.parametrize("everywhere", [True, False])
def test_a_seed_whose_gradient_is_not_finite_leaves_the_others_bit_equal(clip, dtype, bad, everywhere):
    healthy, ill = stacked(models(dtype)), stacked(models(dtype))
    if everywhere:
        for gradient in ill:
            gradient[2] = bad
    else:
        ill[0][2].view(-1)[0] = bad
    clip(healthy)
    clip(ill)
    for mine, theirs in zip(healthy, ill, strict=True):
        for s in (0, 1, 3):
            assert torch.equal(mine[s], theirs[s])


@pytest.mark.parametrize("clip", CLIPS, ids=CLIP_IDS)
def test_clipping_one_seed_by_itself_changes_its_gradients_in_place(clip):
    networks = models()
    together = stacked(networks)
    clip(together)
    for s, network in enumerate(networks):
        clip([p.grad.unsqueeze(0) for p in network.parameters()])  # views with S = 1
        for ours, parameter in zip(together, network.parameters(), strict=True):
            torch.testing.assert_close(ours[s], parameter.grad, rtol=1e-12, atol=0)


def test_a_gradient_within_the_limit_stays_bit_equal():
    before, after = stacked(models()), stacked(models())
    longest = seed_norms(before).max().item()
    clip_norm(after, max_norm=2 * longest)
    clip_value(after, clip_value=2 * longest)
    for mine, theirs in zip(before, after, strict=True):
        assert torch.equal(mine, theirs)


def test_a_zero_gradient_stays_zero():
    gradients = [torch.zeros(2, 3), torch.zeros(2, 4, 5)]
    clip_norm(gradients, max_norm=1.0)
    assert not any(gradient.any() for gradient in gradients)
