"""Which axis of a tensor counts units: the output features of a linear layer, the channels of a convolution.

`LAYERS` are the functions by which linear layers and convolutions compute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_LAST = {F.linear, F.layer_norm, getattr(F, "rms_norm", F.layer_norm), torch.matmul, Tensor.matmul, Tensor.__matmul__}
_FIRST = {
    F.conv1d, F.conv2d, F.conv3d, F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d, F.batch_norm,
    F.group_norm, F.instance_norm, torch.conv1d, torch.conv2d, torch.conv3d,
}  # fmt: skip
LAYERS = {
    F.linear, torch.matmul, Tensor.matmul, Tensor.__matmul__, F.conv1d, F.conv2d, F.conv3d, F.conv_transpose1d,
    F.conv_transpose2d, F.conv_transpose3d, torch.conv1d, torch.conv2d, torch.conv3d, torch.addmm, torch.bmm,
}  # fmt: skip
_PERMUTES = {torch.permute, Tensor.permute}
_TRANSPOSES = {torch.transpose, Tensor.transpose, torch.swapaxes, Tensor.swapaxes}
_FLATTENS = {torch.flatten, Tensor.flatten}


def usual(z: Tensor) -> int:
    """The axis where nothing is known: the last of (B, F) and (B, T, F), the second of (B, C, H, W)."""
    return z.ndim - 1 if z.ndim == 3 else min(1, z.ndim - 1)


def after(
    function: Callable[..., Any], args: Any, output: Tensor, source: Tensor | None, axis: int | None
) -> int | None:
    """The axis of what a function returns; None where it is not known.

    Args:
        function: which was called with `args`.
        output: what it returned.
        source: of its tensors the one whose axis is known.
        axis: of `source`.
    """
    if function in _LAST:
        return output.ndim - 1
    if function in _FIRST:
        return 1
    if axis is None or source is None:
        return None
    if function in _PERMUTES:
        order = args[1] if len(args) == 2 and isinstance(args[1], (tuple, list)) else args[1:]
        return [place % output.ndim for place in order].index(axis) if len(order) == output.ndim else None
    if function in _TRANSPOSES and len(args) >= 3:
        first, second = args[1] % output.ndim, args[2] % output.ndim
        return {first: second, second: first}.get(axis, axis)
    if function in _FLATTENS and axis == 1 and output.ndim == 2:
        return 1
    return _same_place(source.shape, output.shape, axis)


def _same_place(before: Sequence[int], after: Sequence[int], axis: int) -> int | None:
    """Where an axis is in another shape that has all axes up to it, or from it on; a part of its units may be gone.

    >>> _same_place((2, 8, 5, 5), (2, 8, 25), 1), _same_place((2, 7, 16), (14, 16), 2), _same_place((2, 8), (2, 4), 1)
    (1, 1, 1)
    """
    if before[: axis + 1] == after[: axis + 1]:
        return axis
    if before[axis:] == after[len(before) * -1 + axis :]:
        return len(after) - len(before) + axis
    others = [size for place, size in enumerate(before) if place != axis]
    if len(before) == len(after) and others == [size for place, size in enumerate(after) if place != axis]:
        return axis
    return None
