"""Settings -> the networks of the seeds, and how they run together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from actbench.errors import UserError
from actbench.inits import initialise
from actbench.models import Components
from actbench.settings import Choice, Settings
from actbench.stacking import NotStackable, Replicas, make_replicas
from actbench.train.construct import blame, construct, constructor_of, optional_constructor, with_fresh_parameters
from actbench.train.own_network import build_own_network, refuse_own_network_keys, takes_components
from actbench.train.seeding import generator, global_seed

UNITS = "units"  # as the value of an activation's parameter: the number of the layer's units


def build_components(settings: Settings) -> Components:
    """The factories of activations and norms, and everything else that the layers of a model are built with.

    Raises:
        UserError: one of them cannot be built.
    """
    upper, norm = settings.upper_activation, optional_constructor("norm", settings.norm, settings.trust)
    return Components(
        activation=activation_factory(settings.activation, settings.trust),
        upper_activation=activation_factory(upper, settings.trust, "upper_activation") if upper.target else None,
        split=settings.split,
        norm=None if norm is None else with_fresh_parameters(norm),
        dropout=settings.dropout,
        alpha_dropout=settings.dropout_kind == "alpha",
    )


def build_network(
    settings: Settings, inputs: tuple[int, ...], classes: int, seed: int, components: Components | None = None
) -> nn.Module:
    """The ordinary module of one seed on the CPU, initialised by that seed's generator.

    Args:
        settings: of the run.
        inputs: shape of one sample, (C, H, W).
        classes: number of logits.
        seed: of the initial weights.
        components: what the layers are built with; by default, components built from the settings.

    Raises:
        UserError: the model or its initialisation fails, or is not a module.
    """
    model = constructor_of("model", settings.model, settings.trust)
    params = dict(settings.init.params)
    gain = params.pop("gain", "auto")
    scheme = constructor_of("init", Choice(settings.init.name, settings.init.target, params), settings.trust)
    if not takes_components(model):
        return build_own_network(
            settings,
            model,
            components or build_components(settings),
            scheme=scheme,
            gain=gain,
            inputs=inputs,
            classes=classes,
            seed=seed,
        )
    refuse_own_network_keys(settings)
    components = components or build_components(settings)
    with global_seed(seed, "init"):  # constructors draw from it, torch's default initialisation above all
        network = construct(
            "model", lambda: model(components, inputs=inputs, classes=classes), settings.model, settings.trust
        )
    if not isinstance(network, nn.Module):
        raise UserError(
            f"{settings.model.target} returned {type(network).__name__}",
            where=f"model={settings.model.name}",
            how="return a torch.nn.Module",
        )
    try:
        initialise(network, scheme=scheme, gain=gain, generator=generator(seed, "init"))
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # of the init, or of the activation whose gain it needs
        raise blame(error, settings, "init", "actbench list init") from error
    return network


def activation_factory(choice: Choice, trust: Sequence[str], group: str = "activation") -> Callable[[int], nn.Module]:
    """A function from the number of units to a new module. A parameter with the value `units` gets that number.

    Raises:
        UserError: the module cannot be built, or would work in place, which would hide z from measurements.
    """
    if choice.params.get("inplace"):
        what = "would overwrite the pre-activations that are measured"
        raise UserError(what, where=f"{group}.inplace=true", how="leave it out")
    if choice.target is None:
        return _none
    constructor = with_fresh_parameters(constructor_of(group, choice, trust))

    def make(units: int) -> nn.Module:
        sized = {key: units for key, value in choice.params.items() if value == UNITS}
        return construct(group, lambda: constructor(**sized), choice, trust)

    if not isinstance(make(1), nn.Module):
        raise UserError(f"{choice.target} does not make a torch.nn.Module", where=f"{group}={choice.name}")
    return make


def _none(_units: int) -> nn.Module:
    raise AssertionError("activation=own puts no activation in")


def build_replicas(
    settings: Settings, networks: Sequence[nn.Module], dropout: Sequence[torch.Generator], *,
    optimizer: partial[Any], sample: Tensor, device: torch.device, cores: int = 1,
) -> Replicas:  # fmt: skip
    """The networks of the seeds, run in the way that `train.execution` and `train.memory_format` ask for.

    They are not yet on the device.

    Args:
        settings: of the run.
        networks: one for each seed, on the CPU. They belong to the replicas from now on.
        dropout: a generator for each seed, on `device`.
        optimizer: the class of the optimizer, bound to its parameters.
        sample: a small batch of images (B, C, H, W), on which the networks are tried out.
        device: where the replicas will run.
        cores: the largest number of shards that may train side by side.

    Raises:
        UserError: the settings ask for a way that is not possible.
    """
    train = settings.train
    assert isinstance(optimizer.func, type)
    try:
        return make_replicas(
            networks, dropout, optimizer=optimizer.func, sample=sample, device=device,
            execution=train.execution, memory_format=train.memory_format, batch=train.batch_size, cores=cores,
        )  # fmt: skip
    except NotStackable as reason:
        raise UserError(
            f"is not possible: {reason}", where="train.execution=stacked", how="train.execution=auto"
        ) from None
