"""The parameters that activations learn, followed over training."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from actbench.records import ShapeRecord
from actbench.stacking import Replicas


@torch.no_grad()
def learned_shapes(network: Replicas) -> dict[tuple[str, str], Tensor]:
    """(layer, parameter) -> its values now, (S, 1) or (S, units), on the CPU. Empty where nothing is learned."""
    found: dict[tuple[str, str], list[Tensor]] = {}
    for member in network.members:
        for layer, module in member.sites().items():
            for name, parameter in module.named_parameters():
                values = parameter.detach().reshape(member.seeds, -1).cpu()
                found.setdefault((layer, name.rpartition(".")[2]), []).append(values)
    return {key: torch.cat(values) for key, values in found.items()}


def shape_records(network: Replicas, *, epoch: int, seeds: list[int], alive: Iterable[int]) -> list[ShapeRecord]:
    """What the activations of the seeds `alive` have learned so far."""
    wanted = {*alive}
    records = []
    for (layer, name), values in learned_shapes(network).items():
        exact = values.double()
        columns = (exact.mean(1), exact.std(1, correction=0), exact.amin(1), exact.amax(1))
        for seed, *statistics in zip(seeds, *(column.tolist() for column in columns), strict=True):
            if seed in wanted:
                records.append(ShapeRecord(seed, epoch, layer, name, *statistics))
    return records
