"""The digits that scikit-learn carries: always there, no network needed."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from actbench.datasets.splits import Scaling, Splits, make_splits, stratified

_MEAN, _STD = 0.3053, 0.3247  # of the upscaled pixels, on the scale 0..1


def digits(*, train_size: int | None = None, scaling: Scaling = "standard", note: str = "") -> Splits:
    """1,797 scans of handwritten digits, 8×8 pixels of 17 grey levels, upscaled bilinearly to 28×28.

    360 samples are the test set and 180 the validation split, both stratified and the same for every run; 1,257 are
    left for training.

    Source: Alpaydin & Kaynak 1998, UCI "Optical Recognition of Handwritten Digits", as `sklearn.datasets.load_digits`.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    small = torch.from_numpy(images).view(-1, 1, 8, 8) * (255 / 16)
    pixels = F.interpolate(small, size=(28, 28), mode="bilinear", align_corners=False).round_()
    pixels_u8 = pixels.squeeze(1).byte().numpy()
    test = stratified(labels, 360)
    rest = np.setdiff1d(np.arange(len(labels)), test)
    return make_splits(
        name="digits",
        note=note,
        train=(pixels_u8[rest], labels[rest]),
        test=(pixels_u8[test], labels[test]),
        val_size=180,
        train_size=train_size,
        scaling=scaling,
        mean=_MEAN,
        std=_STD,
    )
