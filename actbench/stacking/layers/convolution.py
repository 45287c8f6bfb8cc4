"""Convolutions. Shape letters: S seeds, B batch, C channels, H and W height and width."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actbench.stacking.protocol import Generators, NotStackable, StackedLayer, stack_layer, stack_parameters


class StackedConv2d(StackedLayer):
    """`nn.Conv2d` for S seeds.

    On a GPU it is one grouped convolution. On a CPU, where a grouped convolution is no faster and the change of layout
    takes time, the seeds' convolutions run one after the other.

    Args:
        replicas: the layer of every seed; weight (S, C', C, h, w), bias (S, C').

    Raises:
        NotStackable: padding with anything but zeros.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(self, replicas: Sequence[nn.Conv2d]) -> None:
        super().__init__()
        first = replicas[0]
        if first.padding_mode != "zeros":
            raise NotStackable(f"Conv2d with padding_mode={first.padding_mode}")
        self.groups = first.groups
        self._convolve = partial(F.conv2d, stride=first.stride, padding=first.padding, dilation=first.dilation)
        stack_parameters(self, replicas)

    def forward(self, x: Tensor) -> Tensor:
        """x (S, B, C, H, W) -> (S, B, C', H', W')."""
        if x.device.type == "cpu":
            biases: Sequence[Tensor | None] = [None] * len(x) if self.bias is None else self.bias.unbind()
            images = (of_seed.contiguous(memory_format=self.memory_format) for of_seed in x.unbind())
            arguments = zip(images, self.weight.unbind(), biases, strict=True)
            return torch.stack([self._convolve(*of_seed, groups=self.groups) for of_seed in arguments])
        seeds = x.shape[0]
        images_of_all = x.transpose(0, 1).flatten(1, 2).contiguous(memory_format=self.memory_format)  # (B, S·C, H, W)
        bias = None if self.bias is None else self.bias.flatten()
        y = self._convolve(images_of_all, self.weight.flatten(0, 1), bias, groups=seeds * self.groups)
        return y.unflatten(1, (seeds, -1)).transpose(0, 1)  # (S, B, C', H', W')


@stack_layer.register
def _(_layer: nn.Conv2d, replicas: Sequence[nn.Conv2d], _generators: Generators) -> nn.Module:
    return StackedConv2d(replicas)
