"""Normalisation layers. Shape letters: S seeds, B batch, F features, C channels, H and W height and width."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from actbench.stacking.protocol import Generators, NotStackable, StackedLayer, stack_layer, stack_parameters


class StackedBatchNorm(StackedLayer):
    """`nn.BatchNorm1d` or `nn.BatchNorm2d` for S seeds, each with its own batch statistics and running statistics.

    Args:
        replicas: the layer of every seed; weight, bias, running_mean and running_var (S, F), num_batches_tracked (S,).

    Raises:
        NotStackable: a layer without affine parameters or without running statistics.
    """

    weight: nn.Parameter
    bias: nn.Parameter
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, replicas: Sequence[nn.BatchNorm1d | nn.BatchNorm2d]) -> None:
        super().__init__()
        first = replicas[0]
        if not (first.affine and first.track_running_stats):
            raise NotStackable(f"{type(first).__name__} without affine or running statistics")
        self.momentum, self.eps = first.momentum, first.eps
        stack_parameters(self, replicas)

    def forward(self, x: Tensor) -> Tensor:
        """x (S, B, F) or (S, B, C, H, W) -> the same shape."""
        momentum = self.momentum
        if self.training:
            self.num_batches_tracked += 1
            if momentum is None:  # a cumulative average, as in torch
                momentum = 1.0 / float(self.num_batches_tracked[0])
        features_of_all = x.transpose(0, 1).flatten(1, 2)  # (B, S·F) or (B, S·C, H, W): one call for all seeds
        y = F.batch_norm(
            features_of_all, self.running_mean.view(-1), self.running_var.view(-1), self.weight.view(-1),
            self.bias.view(-1), self.training, momentum or 0.0, self.eps,
        )  # fmt: skip
        return y.unflatten(1, (x.shape[0], -1)).transpose(0, 1)


class StackedNorm(StackedLayer):
    """`nn.LayerNorm` or `nn.GroupNorm` for S seeds: the normalisation of all samples, then each seed's weight and bias.

    Args:
        replicas: the layer of every seed; weight and bias (S, F...), where the layer has them.
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(self, replicas: Sequence[nn.LayerNorm | nn.GroupNorm]) -> None:
        super().__init__()
        self.plain = copy.deepcopy(replicas[0])
        self.plain.register_parameter("weight", None)
        self.plain.register_parameter("bias", None)
        self.spatial = isinstance(replicas[0], nn.GroupNorm)
        stack_parameters(self, replicas)

    def forward(self, x: Tensor) -> Tensor:
        """x (S, B, ..., F) or, for group normalisation, (S, B, C, ...) -> the same shape."""
        y = self.plain(x.flatten(0, 1)).view_as(x)  # the plain layer is given S·B samples
        if self.weight is not None:
            y = y * self._broadcast(self.weight, x)
        if self.bias is not None:
            y = y + self._broadcast(self.bias, x)
        return y

    def _broadcast(self, affine: Tensor, x: Tensor) -> Tensor:
        if self.spatial:  # (S, C) against (S, B, C, H, W)
            return affine.view(*affine.shape[:1], 1, *affine.shape[1:], *(1,) * (x.ndim - 3))
        between = x.ndim - affine.ndim  # (S, F...) against (S, B, ..., F...)
        return affine.view(affine.shape[0], *(1,) * between, *affine.shape[1:])


@stack_layer.register(nn.BatchNorm1d)
@stack_layer.register(nn.BatchNorm2d)
def _(_layer: nn.Module, replicas: Sequence[nn.BatchNorm1d], _generators: Generators) -> nn.Module:
    return StackedBatchNorm(replicas)


@stack_layer.register(nn.LayerNorm)
@stack_layer.register(nn.GroupNorm)
def _(_layer: nn.Module, replicas: Sequence[nn.LayerNorm], _generators: Generators) -> nn.Module:
    return StackedNorm(replicas)
