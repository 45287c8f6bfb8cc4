"""Builds a network of the user's own, whose activations are found and exchanged (`sites`), for one seed."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from actbench.errors import Problem, UserError, in_a_line
from actbench.inits import Scheme, initialise_in_front, leaves_weights
from actbench.models import Components
from actbench.naming import shown
from actbench.settings import Settings
from actbench.sites.exchange import Exchanged
from actbench.sites.listing import found_in_lines
from actbench.sites.selection import selected
from actbench.sites.site import Site
from actbench.train.construct import blame, construct
from actbench.train.seeding import generator, global_seed
from actbench.train.weights import load_weights


def takes_components(model: partial[Any]) -> bool:
    """Whether a model is built as our own are: a function (components, *, inputs, classes)."""
    try:
        parameters = [*inspect.signature(model.func).parameters.values()]
    except (TypeError, ValueError):  # it does not say
        return False
    keyword = {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
    if not parameters or parameters[0].kind not in (parameters[0].POSITIONAL_OR_KEYWORD, parameters[0].POSITIONAL_ONLY):
        return False
    return parameters[0].name == "components" or {"inputs", "classes"} <= keyword


def check_choices(settings: Settings) -> None:
    """Refuses what cannot be applied to a network whose layers are not ours.

    Raises:
        UserError: with all of it.
    """
    where = f"model={settings.model.name}"
    problems = []
    kind = ("dropout_kind", settings.dropout_kind, "standard")
    for key, chosen, none in (("norm", settings.norm.name, "none"), ("dropout", settings.dropout, 0.0), kind):
        if chosen != none:
            what = "cannot be put into a network of your own: its layers are as its code has them"
            problems.append(
                Problem(what, f"{key}={chosen} {where}", f"leave {key} out; the network may have it itself")
            )
    if settings.train.engine == "compiled":
        what = "does not see the calls by which activations of a network of your own are found"
        problems.append(Problem(what, f"train.engine=compiled {where}", "train.engine=auto"))
    if settings.activation.target is None and settings.upper_activation.target is not None:
        what = "has nothing below it: activation=own leaves every activation as it is"
        how = "another activation, or upper_activation=none; sites=PATTERN exchanges some of them"
        problems.append(Problem(what, f"upper_activation={settings.upper_activation.name}", how))
    if problems:
        raise UserError.of(problems)


def refuse_own_network_keys(settings: Settings) -> None:
    """Refuses, for one of our models, what is about networks of the user's own.

    Raises:
        UserError: with all of it.
    """
    where, problems = f"model={settings.model.name}", []
    for key, chosen, usual in (
        ("activation", settings.activation.name if settings.activation.target is None else "", ""),
        ("sites", settings.sites, "all"), ("weights", settings.weights, None),
    ):  # fmt: skip
        if chosen != usual:
            what = "is for a network of your own, and this model is built of what is chosen"
            problems.append(Problem(what, f"{key}={shown(chosen)} {where}", _FOR_OWN))
    if problems:
        raise UserError.of(problems)


_FOR_OWN = "model=MODULE:NAME names a network of your own: model=mynet:Net"


def build_own_network(
    settings: Settings, model: partial[Any], components: Components, *,
    scheme: Scheme, gain: float | str, inputs: tuple[int, ...], classes: int, seed: int,
) -> Exchanged:  # fmt: skip
    """The network of one seed on the CPU, with its activations exchanged where the settings say so.

    Args:
        settings: of the run.
        model: the class or function, bound to its parameters.
        components: the activations.
        scheme: of the weights of layers in front of an activation.
        gain: of the scheme; `auto` suits the activation.
        inputs: shape of one sample.
        classes: number of logits.
        seed: of the initial weights.

    Raises:
        UserError: it cannot be built, fails on a batch, returns something else than logits, has nothing to exchange.
    """
    check_choices(settings)
    with global_seed(seed, "init"):
        network = construct(
            "model", lambda: model(**_from_data(model, inputs, classes)), settings.model, settings.trust
        )
        _check_network(settings, network)
        if settings.weights is not None:
            load_weights(network, Path(settings.weights))
        x = torch.randn(2, *inputs, generator=torch.Generator().manual_seed(0))
        own = settings.activation.target is None
        make = None if own else partial(_activations_for, settings, components)
        try:
            exchanged = Exchanged(network, x, make, check=partial(_check_logits, settings, (2, classes)))
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            how = f"it is given float32 samples {('B', *inputs)}: let its forward take them".replace("'", "")
            raise _failed(error, settings, how) from error
    if settings.weights is None and not leaves_weights(scheme):
        activations = {
            name: exchanged.at[site].activation
            for name, site in exchanged.layers_of_parameters().items()
            if name.startswith("network.")
        }
        initialise_in_front(exchanged, activations, scheme=scheme, gain=gain, generator=generator(seed, "init"))
    return exchanged


def _from_data(model: partial[Any], inputs: tuple[int, ...], classes: int) -> Mapping[str, Any]:
    """What the data say of the parameters `inputs` and `classes`, where the network takes them and nobody gave them."""
    try:
        taken = inspect.signature(model.func).parameters
    except (TypeError, ValueError):
        return {}
    given = {"inputs": inputs, "classes": classes}
    return {key: value for key, value in given.items() if key in taken and key not in model.keywords}


def _check_network(settings: Settings, network: Any) -> None:
    where = f"model={settings.model.name}"
    if not isinstance(network, nn.Module):
        what = f"{settings.model.target} returned {type(network).__name__}"
        raise UserError(what, where=where, how="return a torch.nn.Module")
    tensors = [*network.parameters(), *network.buffers()]
    away = next((tensor.device for tensor in tensors if tensor.device.type != "cpu"), None)
    if away is not None:
        what = f"is built on {away}, and networks are built on the CPU"
        raise UserError(what, where=where, how="leave .cuda() and .to(device) out: train.device=cuda moves it")
    lazy = (nn.parameter.UninitializedParameter, nn.parameter.UninitializedBuffer)
    if any(isinstance(tensor, lazy) for tensor in tensors):
        what = "has lazy layers, whose sizes are not known before its first pass"
        raise UserError(what, where=where, how="layers with their sizes: nn.Linear(784, 10), not nn.LazyLinear(10)")
    for path, module in network.named_modules():
        _check_module(module, f"its part `{path}`" if path else "it", where)
    try:
        copy.deepcopy(network)
    except (Exception, SystemExit) as error:
        what = f"cannot be copied, as it is for each seed: {in_a_line(error)}"
        raise UserError(what, where=where, how="keep what copy.deepcopy fails on out of the module") from error


def _check_module(module: nn.Module, part: str, where: str) -> None:
    """Raises a UserError where the calls that a module makes cannot be seen, or it cannot be copied."""
    if isinstance(module, torch.jit.ScriptModule):
        what = f"{part} is compiled by torch.jit, and the activations within cannot be seen"
        raise UserError(what, where=where, how="the module itself, without torch.jit.script or torch.jit.trace")
    if type(module).__name__ == "OptimizedModule" or getattr(module, "_compiled_call_impl", None) is not None:
        what = f"{part} is compiled by torch.compile, and the activations within cannot be seen"
        raise UserError(what, where=where, how="the module itself, without torch.compile")
    computed = [name for name, value in vars(module).items() if isinstance(value, Tensor) and not value.is_leaf]
    if computed:
        what = f"{part} has `{computed[0]}`, which is computed of parameters when it is built, and cannot be copied"
        how = "torch.nn.utils.parametrizations.weight_norm, not torch.nn.utils.weight_norm; or compute it in forward"
        raise UserError(what, where=where, how=how)


def _check_logits(settings: Settings, expected: tuple[int, int], logits: Any) -> None:
    """Raises a UserError where a network returns something else than logits."""
    where, classes = f"model={settings.model.name}", expected[1]
    if not isinstance(logits, Tensor):
        inside = "" if not isinstance(logits, (tuple, list, dict)) else f" of {len(logits)}"
        what = f"returns a {type(logits).__name__}{inside}, and logits (B, {classes}) are trained on"
        raise UserError(
            what, where=where, how="a function that returns a module around it, whose forward returns logits alone"
        )
    if tuple(logits.shape) != expected:
        shape = ", ".join(["B", *map(str, logits.shape[1:])])
        what = f"returns ({shape}), and the data have {classes} classes: logits are (B, {classes})"
        parameter = next((key for key in settings.model.params if "class" in key), "")
        raise UserError(what, where=where, how=f"model.{parameter}={classes}" if parameter else f"{classes} outputs")
    if not logits.is_floating_point():
        raise UserError(f"returns {logits.dtype}, and logits are floating-point numbers", where=where, how="no argmax")


def _failed(error: BaseException, settings: Settings, how: str) -> UserError:
    blamed = blame(error, settings, f"model={settings.model.name}", how)
    (problem,) = blamed.problems
    return UserError(problem.what, where=problem.where, how=how)


def _activations_for(settings: Settings, components: Components, sites: Sequence[Site]) -> dict[str, nn.Module]:
    """Name of a site -> a fresh activation, for those that the settings choose.

    Raises:
        UserError: none of them can be exchanged, or `sites` names none.
    """
    available = [site.name for site in sites if site.exchangeable]
    if not available:
        what = f"no activation was found that activation={settings.activation.name} could take the place of"
        how = "modules or functions of torch: nn.ReLU(), F.relu(x); activation=own trains it as it is"
        where = f"model={settings.model.name}"
        raise UserError("\n".join([what, *found_in_lines(sites)]), where=where, how=how)
    chosen = selected(available, settings.sites)
    units = {site.name: site.units for site in sites}
    return {name: components.at(number, len(chosen))(units[name]) for number, name in enumerate(chosen)}
