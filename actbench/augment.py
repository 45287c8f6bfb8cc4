"""Augmentation: what is done to training images on their way into the network.

An augmentation is a function `(images, *, generators, background, ...)` that returns images (S, B, C, H, W) of the same
shape, on their device. It draws from `generators` alone, so that a seed sees the same images whatever it is trained
with. Evaluation sees the images as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def shift_rotate(
    images: Tensor, *, generators: Sequence[torch.Generator], background: float, degrees: float, translate: float
) -> Tensor:
    """Each image rotated by U(-degrees, degrees) about its centre and shifted by U(-translate, translate) of its size.

    Args:
        images: (S, B, C, H, W), one batch for each seed.
        generators: one for each seed, on the images' device.
        background: the value of what comes in from outside.
        degrees: largest angle, in degrees.
        translate: largest shift in each direction, as a share of the image's height and width.

    Returns:
        New images of the same shape, interpolated bilinearly.

    Source: the affine part of Simard et al. 2003, "Best Practices for Convolutional Neural Networks Applied to Visual
    Document Analysis", § 2.
    """
    seeds, batch = images.shape[:2]
    draws = torch.stack(
        [torch.rand(batch, 3, generator=generator, device=images.device) for generator in generators]
    )  # (S, B, 3)
    draws = (2 * draws - 1).flatten(0, 1).to(images.dtype)  # (S·B, 3), uniform in -1..1
    angle = draws[:, 0] * math.radians(degrees)
    shift = draws[:, 1:] * (2 * translate)  # in the units of affine_grid, where an image spans -1..1
    aspect = images.shape[-2] / images.shape[-1]  # affine_grid's units are not square where the image is not
    theta = torch.stack(
        [angle.cos(), -angle.sin() * aspect, shift[:, 0], angle.sin() / aspect, angle.cos(), shift[:, 1]], dim=1
    ).view(-1, 2, 3)  # (S·B, 2, 3)
    flat = images.flatten(0, 1) - background  # (S·B, C, H, W): grid_sample fills with zero
    grid = F.affine_grid(theta, list(flat.shape), align_corners=False)
    moved = F.grid_sample(flat, grid, align_corners=False) + background
    return moved.view(seeds, batch, *images.shape[2:])
