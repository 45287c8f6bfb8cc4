"""An optimizer's step without what torch wraps around it: the same arithmetic, the same bits, less time.

`Optimizer.step` looks for hooks, tells the profiler, breaks graphs of a compiler that nobody asked for and sorts the
parameters by device, each time anew: a tenth of the training step of a small network.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

Update = Callable[[], None]


def update_of(optimizer: Optimizer) -> Update:
    """What `optimizer.step` does, bit for bit, as fast as it can be had.

    Call it after `load_state_dict`, which puts other tensors into the place of the optimizer's state.
    """
    if not type(optimizer).__module__.startswith("torch.optim.") or _has_hooks(optimizer):
        return optimizer.step
    optimizer._opt_called = True  # type: ignore[attr-defined]  # what a scheduler asks after, and `step` would say
    plain = partial(torch.no_grad()(inspect.unwrap(type(optimizer).step)), optimizer)
    return _Fused(optimizer, plain) if is_fused(optimizer) else plain


def is_fused(optimizer: Optimizer) -> bool:
    """Whether one kernel updates all parameters, and takes a learning rate that lies on the device."""
    if type(optimizer) not in (SGD, Adam, AdamW) or len(optimizer.param_groups) > 1:
        return False
    (group,) = optimizer.param_groups
    return bool(group["fused"]) and len({(p.device, p.dtype) for p in group["params"]}) == 1


def _has_hooks(optimizer: Optimizer) -> bool:
    return bool(optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks)


class _Fused:
    """The fused kernel itself, from the second step on: the first one makes the optimizer's state."""

    def __init__(self, optimizer: Optimizer, plain: Update) -> None:
        self.optimizer, self.plain = optimizer, plain
        (self.group,) = optimizer.param_groups
        self.kernel: Callable[[list[Tensor]], Any] | None = None

    def __call__(self) -> None:
        gradients = [parameter.grad for parameter in self.group["params"]]
        if any(gradient is None for gradient in gradients):
            self.plain()  # which leaves out what has no gradient
        elif self.kernel is None:
            self.plain()
            self.kernel = self._kernel()
        else:
            with torch.no_grad():
                self.kernel(gradients)

    def _kernel(self) -> Callable[[list[Tensor]], Any]:
        group, state_of = self.group, self.optimizer.state
        parameters = group["params"]
        if isinstance(self.optimizer, SGD):
            momenta = [state_of[p]["momentum_buffer"] for p in parameters] if group["momentum"] else []
            return partial(_sgd, group, parameters, momenta)
        states = [state_of[parameter] for parameter in parameters]
        moments = [[state[name] for state in states] for name in ("exp_avg", "exp_avg_sq")]
        largest = [state["max_exp_avg_sq"] for state in states] if group["amsgrad"] else []
        steps = [state["step"] for state in states]
        decoupled = group.get("decoupled_weight_decay", isinstance(self.optimizer, AdamW))
        lists = [parameters, *moments, largest, steps]
        return partial(_adam, torch._fused_adamw_ if decoupled else torch._fused_adam_, group, *lists)


def _adam(
    kernel: Callable[..., Any], group: dict[str, Any], parameters: list[Tensor], first: list[Tensor],
    second: list[Tensor], largest: list[Tensor], steps: list[Tensor], gradients: list[Tensor],
) -> None:  # fmt: skip
    torch._foreach_add_(steps, 1)
    beta1, beta2 = group["betas"]
    kernel(
        parameters, gradients, first, second, largest, steps, lr=group["lr"], beta1=beta1, beta2=beta2,
        weight_decay=group["weight_decay"], eps=group["eps"], amsgrad=group["amsgrad"], maximize=group["maximize"],
    )  # fmt: skip


def _sgd(group: dict[str, Any], parameters: list[Tensor], momenta: list[Tensor], gradients: list[Tensor]) -> None:
    torch._fused_sgd_(
        parameters, gradients, momenta, weight_decay=group["weight_decay"], momentum=group["momentum"], lr=group["lr"],
        dampening=group["dampening"], nesterov=group["nesterov"], maximize=group["maximize"], is_first_step=False,
    )  # fmt: skip


def spare_dynamo() -> None:
    """Keeps optimizers from importing torch's compiler (1.4 s), where nothing has asked for it yet.

    Their methods import it to be left out of compilation. A method that carries `__dynamo_disable` is taken at that.
    """
    if "torch._dynamo" in sys.modules:
        return
    for method in vars(Optimizer).values():
        wrapped = getattr(method, "__wrapped__", None)
        if wrapped is not None and method.__module__ == Optimizer.__module__:
            wrapped.__dynamo_disable = wrapped
