"""Learning-rate schedules that torch.optim.lr_scheduler lacks.

A schedule is a function `(optimizer, ...)` that returns a scheduler of torch's, which is stepped after each optimizer
step or after each epoch, as the YAML file's `interval` says.
"""

from __future__ import annotations

import math
from functools import partial

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def warmup_cosine(optimizer: Optimizer, *, total_steps: int, warmup: float = 0.1, eta_min: float = 0.0) -> LambdaLR:
    """A linear warm-up, then half a cosine down to `eta_min` at the last step.

    With w = round(warmup · total_steps), step t (from 0) has the rate lr·(t + 1)/w for t < w, and
    eta_min + (lr - eta_min)·(1 + cos(π·(t - w)/(total_steps - w)))/2 afterwards.

    Args:
        optimizer: whose parameter groups hold lr, the largest rate.
        total_steps: optimizer steps of the whole run.
        warmup: share of the steps, 0..1, that the warm-up takes.
        eta_min: the last learning rate.

    Raises:
        ValueError: `warmup` is no share.

    Source: Loshchilov & Hutter 2017, "SGDR", arXiv:1608.03983, eq. 5; the warm-up is that of Goyal et al. 2017,
    arXiv:1706.02677, § 2.2.
    """
    if not 0.0 <= warmup <= 1.0:
        raise ValueError(f"warmup is a share between 0 and 1, not {warmup}")
    rising = round(warmup * total_steps)

    def factor(step: int, base: float) -> float:
        if step < rising:
            return (step + 1) / rising
        along = min(1.0, (step - rising) / max(1, total_steps - rising))
        return (eta_min + (base - eta_min) * (1 + math.cos(math.pi * along)) / 2) / base

    return LambdaLR(optimizer, [partial(factor, base=group["lr"]) for group in optimizer.param_groups])
