"""Takes a user's own measurements: copies z and h of all activation sites for a sample of the data, and asks for rows.

`custom.measure_files` finds these measurements, and `measures.own` defines, loads and checks them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from actbench.measures.own import Moment, OwnMeasurement
from actbench.stacking import Replicas


def rows_of(
    measurements: Sequence[OwnMeasurement], network: Replicas, x: Tensor, y: Tensor, *, seeds: Sequence[int],
    alive: Sequence[int], generators: Sequence[torch.Generator], epoch: int, step: int, last: bool,
) -> list[Any]:  # fmt: skip
    """The rows of all `measurements` that are due.

    Args:
        measurements: the user's own.
        network: in evaluation mode.
        x: samples (B, ...).
        y: their labels (B,).
        seeds: all seeds of the network.
        alive: the seeds that have not diverged.
        generators: those that the network may draw from; their states are restored.
        epoch: epochs done.
        step: steps done.
        last: whether training is at its end.
    """
    due = [measurement for measurement in measurements if measurement.is_due(epoch, last)]
    kept = [number for number, seed in enumerate(seeds) if seed in alive]
    if not due or not kept:
        return []
    z, h = _observed(network, x, generators)
    rows = []
    for measurement in due:  # each gets copies: it may write to what it is given
        moment = Moment(
            seeds=tuple(seeds[number] for number in kept),
            epoch=epoch,
            step=step,
            last=last,
            x=_copy(x),
            y=_copy(y),
            z={layer: _copy(values[kept]) for layer, values in z.items()},
            h={layer: _copy(values[kept]) for layer, values in h.items()},
            plain_network=lambda seed: network.plain_network(list(seeds).index(seed)),
        )
        rows += measurement.rows(moment)
    return rows


def _copy(values: Tensor) -> Tensor:
    return values.to("cpu", copy=True)  # where the plain networks are, too


@torch.no_grad()
def _observed(
    network: Replicas, x: Tensor, generators: Sequence[torch.Generator]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Layer -> z and h of the samples x (B, ...): (S, B, F, ...) each."""
    z: dict[str, list[Tensor]] = {layer: [] for layer in network.layers()}
    h: dict[str, list[Tensor]] = {layer: [] for layer in z}
    handles, states = [], [generator.get_state() for generator in generators]
    for number, group in enumerate(network.groups):
        for layer, module in group.sites().items():
            handles.append(module.register_forward_pre_hook(partial(_keep_input, z[layer], number, group.stacked)))
            handles.append(module.register_forward_hook(partial(_keep_output, h[layer], number, group.stacked)))
    try:
        network(x.expand(network.seeds, *x.shape))
    finally:
        for handle in handles:
            handle.remove()
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)
    return _joined(z), _joined(h)


def _keep_input(kept: list[Tensor], number: int, stacked: bool, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    if len(kept) == number:  # the first of several runs in a pass
        kept.append(inputs[0].clone() if stacked else inputs[0].clone().unsqueeze(0))


def _keep_output(
    kept: list[Tensor], number: int, stacked: bool, _module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor
) -> None:
    if len(kept) == number:
        kept.append(output.clone() if stacked else output.clone().unsqueeze(0))


def _joined(of_layers: dict[str, list[Tensor]]) -> dict[str, Tensor]:
    return {layer: torch.cat(parts) for layer, parts in of_layers.items() if parts}
