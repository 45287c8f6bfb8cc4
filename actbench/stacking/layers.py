"""The layers of a stack: parameters (S, ...), one batched kernel for all seeds where there is one.

A layer type takes part by one function registered with `stack_layer`.

Shape letters: S seeds, B batch, F features, C channels, H and W height and width.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial, singledispatch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Noise = Sequence[torch.Generator]  # one for each seed


class NotStackable(Exception):
    """This network has no stacked form; the message says which part of it."""


# ---------------------------------------------------------------- layers with a leading seed dimension


class StackedLayer(nn.Module):
    """A layer whose parameters and buffers have the seeds in front. Final classes override `forward` alone, or both."""

    def seed_state(self, seed: int) -> dict[str, Tensor]:
        """The state that the plain layer of one seed would have, by its plain names."""
        own = [*self.named_parameters(recurse=False), *self.named_buffers(recurse=False)]
        return {name: tensor[seed] for name, tensor in own}


def gather(peers: Sequence[nn.Module], name: str) -> Tensor:
    """The parameter or buffer `name` of all peers, with the seeds in front."""
    return torch.stack([getattr(peer, name).detach() for peer in peers])


def adopt(layer: StackedLayer, peers: Sequence[nn.Module]) -> None:
    """Gives `layer` the parameters and buffers of `peers`, stacked, under the same names."""
    for name, parameter in peers[0]._parameters.items():
        layer.register_parameter(name, None if parameter is None else nn.Parameter(gather(peers, name)))
    for name, _ in peers[0].named_buffers(recurse=False):
        layer.register_buffer(name, gather(peers, name))


class StackedLinear(StackedLayer):
    """x (S, B, ..., in) -> (S, B, ..., out) by one batched matrix product.

    The weights are kept as (S, in, out) and the bias as (S, 1, out), as the product takes them.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(self, peers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(gather(peers, "weight").mT.contiguous())  # (S, in, out)
        self.bias = None if peers[0].bias is None else nn.Parameter(gather(peers, "bias").unsqueeze(1))

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim > 3:
            return self.forward(x.flatten(1, -2)).unflatten(1, x.shape[1:-1])
        return torch.bmm(x, self.weight) if self.bias is None else torch.baddbmm(self.bias, x, self.weight)

    def seed_state(self, seed: int) -> dict[str, Tensor]:
        state = super().seed_state(seed)
        bias = {} if self.bias is None else {"bias": state["bias"].squeeze(0)}
        return {**state, "weight": state["weight"].mT, **bias}


class StackedConv2d(StackedLayer):
    """x (S, B, C, H, W) -> (S, B, C', H', W').

    On a GPU one grouped convolution; on a CPU, where grouping gains nothing and the change of layout costs, one after
    the other.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(self, peers: Sequence[nn.Conv2d]) -> None:
        super().__init__()
        first = peers[0]
        if first.padding_mode != "zeros":
            raise NotStackable(f"Conv2d with padding_mode={first.padding_mode}")
        self.groups = first.groups
        self.memory_format = torch.contiguous_format
        self._convolve = partial(F.conv2d, stride=first.stride, padding=first.padding, dilation=first.dilation)
        adopt(self, peers)  # weight (S, C', C, h, w), bias (S, C')

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu":
            biases: Sequence[Tensor | None] = [None] * len(x) if self.bias is None else self.bias.unbind()
            images = (part.contiguous(memory_format=self.memory_format) for part in x.unbind())
            parts = zip(images, self.weight.unbind(), biases, strict=True)
            return torch.stack([self._convolve(*part, groups=self.groups) for part in parts])
        seeds = x.shape[0]
        beside = x.transpose(0, 1).flatten(1, 2).contiguous(memory_format=self.memory_format)  # (B, S·C, H, W)
        bias = None if self.bias is None else self.bias.flatten()
        y = self._convolve(beside, self.weight.flatten(0, 1), bias, groups=seeds * self.groups)
        return y.unflatten(1, (seeds, -1)).transpose(0, 1)  # (S, B, C', H', W')


class StackedBatchNorm(StackedLayer):
    """x (S, B, F) or (S, B, C, H, W), each seed normalised by its own statistics and with its own running ones."""

    weight: nn.Parameter
    bias: nn.Parameter
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, peers: Sequence[nn.BatchNorm1d | nn.BatchNorm2d]) -> None:
        super().__init__()
        first = peers[0]
        if not (first.affine and first.track_running_stats):
            raise NotStackable(f"{type(first).__name__} without affine or running statistics")
        self.momentum, self.eps = first.momentum, first.eps
        adopt(self, peers)  # weight, bias, running_mean, running_var (S, F), num_batches_tracked (S,)

    def forward(self, x: Tensor) -> Tensor:
        momentum = self.momentum
        if self.training:
            self.num_batches_tracked += 1
            if momentum is None:  # a cumulative average, as in torch
                momentum = 1.0 / float(self.num_batches_tracked[0])
        beside = x.transpose(0, 1).flatten(1, 2)  # (B, S·F) or (B, S·C, H, W): one call for all seeds
        y = F.batch_norm(
            beside, self.running_mean.view(-1), self.running_var.view(-1), self.weight.view(-1), self.bias.view(-1),
            self.training, momentum or 0.0, self.eps,
        )  # fmt: skip
        return y.unflatten(1, (x.shape[0], -1)).transpose(0, 1)


class StackedNorm(StackedLayer):
    """Layer and group normalisation: the plain one without its affine part, then each seed's own weight and bias."""

    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(self, peers: Sequence[nn.LayerNorm | nn.GroupNorm]) -> None:
        super().__init__()
        self.plain = copy.deepcopy(peers[0])
        self.plain.register_parameter("weight", None)
        self.plain.register_parameter("bias", None)
        self.spatial = isinstance(peers[0], nn.GroupNorm)
        adopt(self, peers)  # (S, F...)

    def forward(self, x: Tensor) -> Tensor:
        y = self.plain(x.flatten(0, 1)).view_as(x)  # the plain layer sees S·B samples
        if self.weight is not None:
            y = y * self._beside(self.weight, x)
        if self.bias is not None:
            y = y + self._beside(self.bias, x)
        return y

    def _beside(self, affine: Tensor, x: Tensor) -> Tensor:
        if self.spatial:  # (S, C) against (S, B, C, H, W)
            return affine.view(*affine.shape[:1], 1, *affine.shape[1:], *(1,) * (x.ndim - 3))
        between = x.ndim - affine.ndim  # (S, F...) against (S, B, ..., F...)
        return affine.view(affine.shape[0], *(1,) * between, *affine.shape[1:])


class StackedDropout(StackedLayer):
    """In training zeroes elements with probability p, by masks of each seed's generator, and scales by 1/(1 - p)."""

    def __init__(self, p: float, noise: Noise) -> None:
        super().__init__()
        self.p, self.noise = p, noise

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0.0:
            return x
        keep = torch.empty_like(x, memory_format=torch.contiguous_format)
        for mask, generator in zip(keep, self.noise, strict=True):
            mask.bernoulli_(1.0 - self.p, generator=generator)
        return x * keep.div_(1.0 - self.p)


class PerSample(StackedLayer):
    """A layer without parameters that treats every sample alike (pooling, top-k): it sees S·B samples."""

    def __init__(self, plain: nn.Module) -> None:
        super().__init__()
        self.plain = plain

    def forward(self, x: Tensor) -> Tensor:
        return self.plain(x.flatten(0, 1)).unflatten(0, x.shape[:2])


@singledispatch
def stack_layer(layer: nn.Module, peers: Sequence[nn.Module], noise: Noise) -> nn.Module:
    """The stacked form of `peers`, the same layer of every seed; `layer` is the first of them.

    Register one function for each layer type: `@stack_layer.register`. `noise` holds one generator for each seed.
    A module without parameters, buffers and children is taken to be elementwise.

    Raises:
        NotStackable: nothing is registered for this type.
    """
    if not [*layer.parameters(), *layer.buffers(), *layer.children()]:  # `assemble` puts it to the test
        return copy.deepcopy(layer)
    raise NotStackable(f"{type(layer).__module__}.{type(layer).__qualname__} has no stacked form")


def stack_children(layer: nn.Module, peers: Sequence[nn.Module], noise: Noise) -> nn.Module:
    """The stacked form of a module that only ties its children together, and takes leading dimensions as they come.

    It is a module of the same kind around the stacked children. `stack_layer.register(Kind)(stack_children)` is all
    that a `Kind` of one's own needs whose `forward` counts dimensions from the last.

    Raises:
        NotStackable: the module has parameters or buffers of its own, or a child that has no stacked form.
    """
    if [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]:
        raise NotStackable(f"{type(layer).__qualname__} has parameters of its own")
    stacked = copy.deepcopy(layer, {id(child): child for child in layer.children()})  # all but the children
    for name, child in layer._modules.items():  # by all its names, where one module has several
        if child is not None:
            stacked._modules[name] = stack_layer(child, [peer.get_submodule(name) for peer in peers], noise)
    return stacked


stack_layer.register(nn.Sequential)(stack_children)


@stack_layer.register
def _(layer: nn.Linear, peers: Sequence[nn.Linear], noise: Noise) -> nn.Module:
    return StackedLinear(peers)


@stack_layer.register
def _(layer: nn.Conv2d, peers: Sequence[nn.Conv2d], noise: Noise) -> nn.Module:
    return StackedConv2d(peers)


@stack_layer.register(nn.BatchNorm1d)
@stack_layer.register(nn.BatchNorm2d)
def _(layer: nn.Module, peers: Sequence[nn.BatchNorm1d], noise: Noise) -> nn.Module:
    return StackedBatchNorm(peers)


@stack_layer.register(nn.LayerNorm)
@stack_layer.register(nn.GroupNorm)
def _(layer: nn.Module, peers: Sequence[nn.LayerNorm], noise: Noise) -> nn.Module:
    return StackedNorm(peers)


@stack_layer.register
def _(layer: nn.Dropout, peers: Sequence[nn.Dropout], noise: Noise) -> nn.Module:
    return StackedDropout(layer.p, noise)


@stack_layer.register
def _(layer: nn.Flatten, peers: Sequence[nn.Flatten], noise: Noise) -> nn.Module:
    start, end = (dim + 1 if dim >= 0 else dim for dim in (layer.start_dim, layer.end_dim))
    return nn.Flatten(start, end)


@stack_layer.register(nn.MaxPool2d)
@stack_layer.register(nn.AvgPool2d)
@stack_layer.register(nn.AdaptiveAvgPool2d)
def _(layer: nn.Module, peers: Sequence[nn.Module], noise: Noise) -> nn.Module:
    return PerSample(copy.deepcopy(layer))
