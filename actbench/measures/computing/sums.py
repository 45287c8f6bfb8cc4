"""The precision of sums over many samples."""

from __future__ import annotations

import torch


def sums_dtype(device: torch.device) -> torch.dtype:
    """The dtype for sums over many samples: float64 where the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64
