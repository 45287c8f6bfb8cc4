"""Random numbers of one seed in a network that trains alone: for dropout, and from torch's global generators."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from actbench.stacking.layers.dropout import SeedDropout


def replace_dropout(network: nn.Module, generator: torch.Generator) -> None:
    """Replaces every `nn.Dropout` within `network` by one whose masks come from `generator`.

    A subclass of `nn.Dropout` is left as it is: what its `forward` does is not known.
    """
    for module in list(network.modules()):
        for name, child in module._modules.items():  # unlike named_children(), all names of a module used twice
            if type(child) is nn.Dropout:
                setattr(module, name, SeedDropout(child.p, [generator]))


@contextmanager
def global_rng_from(generator: torch.Generator) -> Iterator[None]:
    """Within the block, torch's global generator of the generator's device continues the numbers of `generator`.

    Afterwards the global generator is back in its state from before, and `generator` has advanced.
    """
    global_generator = _global_generator(generator.device)
    before = global_generator.get_state()
    global_generator.set_state(generator.get_state())
    try:
        yield
    finally:
        generator.set_state(global_generator.get_state())
        global_generator.set_state(before)


def _global_generator(device: torch.device) -> torch.Generator:
    if device.type == "cpu":
        return torch.default_generator
    backend = torch.get_device_module(device)
    if device.type == "cuda":
        return backend.default_generators[device.index or 0]
    return backend._get_default_mps_generator()
