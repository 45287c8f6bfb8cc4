"""Random numbers of one seed in a network that trains alone: for dropout, for RReLU, and from torch's generators."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from actbench.stacking.layers.dropout import SeedAlphaDropout, SeedDropout
from actbench.stacking.layers.rrelu import SeedRReLU


def draws_from_a_seed(module: nn.Module) -> bool:
    """Whether `replace_random_layers` replaces a module.

    A subclass is left as it is: what its `forward` does is not known. So is a module whose `forward` was replaced.
    """
    return type(module) in (nn.Dropout, nn.AlphaDropout, nn.RReLU) and "forward" not in vars(module)


def replace_random_layers(network: nn.Module, generator: torch.Generator) -> None:
    """Replaces dropout, alpha dropout and RReLU within `network` by layers whose random numbers `generator` draws."""
    for module in list(network.modules()):
        for name, child in module._modules.items():  # unlike named_children(), all names of a module used twice
            if child is not None and draws_from_a_seed(child):
                setattr(module, name, _of_a_seed(child, generator))


def _of_a_seed(module: nn.Module, generator: torch.Generator) -> nn.Module:
    if isinstance(module, nn.RReLU):
        return SeedRReLU(module.lower, module.upper, [generator])
    assert isinstance(module, (nn.Dropout, nn.AlphaDropout))
    kind = SeedAlphaDropout if isinstance(module, nn.AlphaDropout) else SeedDropout
    return kind(module.p, [generator])


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
