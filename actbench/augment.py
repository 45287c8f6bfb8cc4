"""Augmentation: what is done to training images on their way into the network.

An augmentation is a function `(images, *, generators, background, ...)` that returns images (S, B, C, H, W) of the same
shape, on their device. `background` is the value of a black pixel: a number, or a tensor (C, 1, 1) of each channel's.
It draws from `generators` alone, so that a seed sees the same images whatever it is trained with. Evaluation sees the
images as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def shift_rotate(
    images: Tensor,
    *,
    generators: Sequence[torch.Generator],
    background: float | Tensor,
    degrees: float,
    translate: float,
) -> Tensor:
    """Each image rotated by U(-degrees, degrees) about its centre and shifted by U(-translate, translate) of its size.

    Args:
        images: (S, B, C, H, W), one batch for each seed.
        generators: one for each seed, on the images' device.
        background: the value of what comes in from outside, or a tensor (C, 1, 1) of those of each channel.
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


def flip(
    images: Tensor,
    *,
    generators: Sequence[torch.Generator],
    background: float | Tensor,  # noqa: ARG001 - nothing comes in from outside
    probability: float,
) -> Tensor:
    """Each image mirrored from left to right with a probability.

    Args:
        images: (S, B, C, H, W), one batch for each seed.
        generators: one for each seed, on the images' device.
        background: not used.
        probability: of an image to be mirrored.

    Returns:
        New images of the same shape.
    """
    draws = torch.stack(
        [torch.rand(images.shape[1], generator=generator, device=images.device) for generator in generators]
    )  # (S, B)
    return torch.where((draws < probability)[..., None, None, None], images.flip(-1), images)


def crop(
    images: Tensor,
    *,
    generators: Sequence[torch.Generator],
    background: float | Tensor,
    padding: int,
    flipped: float,
) -> Tensor:
    """A part of its old size cut at random out of each image with a margin around it, and perhaps mirrored.

    Args:
        images: (S, B, C, H, W), one batch for each seed.
        generators: one for each seed, on the images' device.
        background: the value of the margin, or a tensor (C, 1, 1) of those of each channel.
        padding: width of the margin in pixels, on each side.
        flipped: the probability of an image to be mirrored from left to right.

    Returns:
        New images of the same shape.

    Source: He et al. 2015, "Deep Residual Learning for Image Recognition", arXiv:1512.03385, § 4.2, for CIFAR-10.
    """
    seeds, batch, channels, height, width = images.shape
    draws = torch.stack(
        [torch.rand(batch, 2, generator=generator, device=images.device) for generator in generators]
    ).flatten(0, 1)  # (S·B, 2)
    padded = images.new_empty(seeds * batch, channels, height + 2 * padding, width + 2 * padding)
    if isinstance(background, Tensor):
        padded.copy_(background.expand(padded.shape))
    else:
        padded.fill_(background)
    padded[..., padding : padding + height, padding : padding + width] = images.flatten(0, 1)
    first = (draws * (2 * padding + 1)).long().clamp_(max=2 * padding)  # (S·B, 2): of rows and of columns
    rows = first[:, :1] + torch.arange(height, device=images.device)  # (S·B, H)
    columns = first[:, 1:] + torch.arange(width, device=images.device)  # (S·B, W)
    image = torch.arange(seeds * batch, device=images.device)[:, None, None]
    cut = padded.movedim(1, -1)[image, rows[:, :, None], columns[:, None, :]]  # (S·B, H, W, C)
    cut = cut.movedim(-1, 1).reshape(images.shape)
    if not flipped:
        return cut
    return flip(cut, generators=generators, background=background, probability=flipped)
