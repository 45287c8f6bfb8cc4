"""How sums over many samples are made."""

from __future__ import annotations

import torch


def sums_dtype(device: torch.device) -> torch.dtype:
    """What sums over many samples are kept in: double where the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64
