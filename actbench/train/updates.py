"""An optimizer's step without torch's overhead around it: the same arithmetic, the same bits, less time.

`Optimizer.step` looks for hooks, talks to the profiler and imports torch's compiler (1.2 s of CPU time, once); the
fused Adam then collects and sorts its parameters and their state in every step. Without all that, a training step of
the article's network takes 3 to 5 % less time with 5 seeds, and 8 to 10 % less with one (BENCHMARKS.md).
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

Update = Callable[[], None]


def update_of(optimizer: Optimizer) -> Update:
    """A function that does what `optimizer.step` does, bit for bit.

    It is `optimizer.step` itself for a user's own optimizer, for one with hooks, and for a version of torch that is not
    built as expected. Call it after `load_state_dict`, which replaces the tensors of the optimizer's state.
    """
    if not _can_be_shortened(optimizer):
        return optimizer.step
    optimizer._opt_called = True  # type: ignore[attr-defined]  # `step` sets it, and a scheduler warns without it
    step = partial(torch.no_grad()(inspect.unwrap(type(optimizer).step)), optimizer)
    if type(optimizer) not in (Adam, AdamW) or not is_fused(optimizer) or len(optimizer.param_groups) > 1:
        return step
    (group,) = optimizer.param_groups
    parameters: list[Tensor] = group["params"]
    decoupled = group.get("decoupled_weight_decay", isinstance(optimizer, AdamW))
    kernel = torch._fused_adamw_ if decoupled else torch._fused_adam_
    state: list[list[Tensor]] = []  # first and second moments, largest second moments, steps

    def update() -> None:
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        complete = len(gradients) == len(parameters)
        if not (state and complete):
            step()  # which makes the state, and leaves out parameters that have no gradient
            if complete:
                of_parameters = [optimizer.state[parameter] for parameter in parameters]
                names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step")
                state[:] = [[values[name] for values in of_parameters if name in values] for name in names]
            return
        beta1, beta2 = group["betas"]
        with torch.no_grad():
            torch._foreach_add_(state[-1], 1)
            kernel(
                parameters, gradients, *state, lr=group["lr"], beta1=beta1, beta2=beta2, eps=group["eps"],
                weight_decay=group["weight_decay"], amsgrad=group["amsgrad"], maximize=group["maximize"],
            )  # fmt: skip

    return update


def _can_be_shortened(optimizer: Optimizer) -> bool:
    """Whether the optimizer is torch's own, without hooks, and torch has what `update_of` needs of it."""
    hooks = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
    return (
        type(optimizer).__module__.startswith("torch.optim.")
        and all(getattr(optimizer, name, None) == {} for name in hooks)
        and hasattr(type(optimizer).step, "__wrapped__")
        and all(hasattr(torch, name) for name in ("_fused_adam_", "_fused_adamw_", "_foreach_add_"))
    )


def is_fused(optimizer: Optimizer) -> bool:
    """Whether one kernel updates all parameters, and accepts a learning rate that is on the device."""
    if type(optimizer) not in (SGD, Adam, AdamW):
        return False
    kinds = {(p.device, p.dtype) for group in optimizer.param_groups for p in group["params"]}
    return all(group["fused"] for group in optimizer.param_groups) and len(kinds) == 1


def spare_dynamo() -> None:
    """Keeps optimizers from importing torch's compiler, 1.2 s of CPU time, unless something else has imported it.

    Their methods import it only in order to be left out of compilation. A method that carries `__dynamo_disable` is
    taken to be left out already.
    """
    if "torch._dynamo" in sys.modules:
        return
    for method in vars(Optimizer).values():
        wrapped = getattr(method, "__wrapped__", None)
        if wrapped is not None and method.__module__ == Optimizer.__module__:
            wrapped.__dynamo_disable = wrapped
