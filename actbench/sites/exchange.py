"""Another activation at the sites of a network, or its own ones where they can be looked at."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from actbench.errors import UserError, in_a_line
from actbench.sites import kinds
from actbench.sites.at_site import AtSite, at_site
from actbench.sites.finding import find, untie
from actbench.sites.places import Place, place_of
from actbench.sites.site import Call, Site

# The sites that were found -> name of a site -> the activation that it gets; the others keep their own.
Make = Callable[[Sequence[Site]], Mapping[str, nn.Module]]
Options = dict["Place | None", list[tuple[Site, "AtSite | None"]]]  # what stands at a place; None is left alone


class Exchanged(nn.Module):
    """A network whose activations can be looked at, and are others where `make` gives some.

    Its state_dict has the keys of the network, and the parameters of an activation that was put in under the name of
    its site. An activation that was replaced everywhere leaves none of its own parameters behind.

    Args:
        network: on the CPU. It belongs to this module from now on, and is changed.
        inputs: a small batch (B, ...), B ≥ 2, with which its sites are found.
        make: the activations that are put in; None: each site keeps its own.
        check: is given what the network returns.
        found: its sites, where they are known; the network is not tried then.

    Attributes:
        found: all sites of the network, in the order in which a pass meets them.
        exchanged: the names of those that got another activation.
        copies_input: whether the network is given a copy of its input, because it writes to it.

    Raises:
        Exception: what the network or `check` raises.
    """

    def __init__(
        self, network: nn.Module, inputs: Tensor | None, make: Make | None = None, *,
        check: Callable[[Any], None] | None = None, found: Sequence[Site] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        activations = untie(network)
        self.network = network
        if found is None:
            assert inputs is not None
            found = find(network, inputs, activations, check)
        self.found = tuple(found)
        new = make(self.found) if make is not None else {}
        self.home = _Home()
        self.home.mark(network)
        self.at: dict[str, AtSite] = {}  # name of a site -> what stands there
        self.calls: dict[str, Options] = {}  # kind -> where it is called
        of_modules: dict[str, Options] = {}
        for site in self.found:
            if site.hidden:
                continue
            here = at_site(site, network, new.get(site.name)) if site.exchangeable else None
            if here is not None:
                self.at[site.name] = here
            options = self.calls if site.module is None else of_modules
            key = site.kind if site.module is None else site.module
            options.setdefault(key, {}).setdefault(site.place, []).append((site, here))
        self.exchanged = frozenset(new)
        self.copies_input = False
        self.sites = nn.ModuleList(self.at.values())
        self.strict = strict = bool(new)  # whether a call that the trial did not meet is an error
        self.sees_calls = bool(self.calls) or strict or _has_fused_layers(network)
        for path, kind in activations.items():
            if self.sees_calls or any(here for there in of_modules.get(path, {}).values() for _, here in there):
                _redirect(network.get_submodule(path), path, kind, of_modules.get(path, {}), self.home, strict)
        self.home.recomputed = {site.place for site in self.found if site.place and site.place.recomputed}
        self.register_state_dict_post_hook(_outer_names)
        self.register_load_state_dict_pre_hook(_inner_names)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the network computes."""
        if self.copies_input:
            args = tuple(one.clone() for one in args)
        if not self.sees_calls:
            return self.network(*args, **kwargs)
        with _Calls(self):
            return self.network(*args, **kwargs)

    def recomputing(self) -> AbstractContextManager[Any]:
        """The context of a backward pass, in which `torch.utils.checkpoint` runs parts of the network again."""
        return _Calls(self) if self.home.recomputed and self.sees_calls else nullcontext()

    def activation_sites(self) -> dict[str, nn.Module]:
        """Name of a site -> its activation, of z with its units along the second axis; of those met in evaluation."""
        return {
            site.name: self.at[site.name].activation for site in self.found if site.name in self.at and site.evaluated
        }

    def without_decay(self) -> list[nn.Parameter]:
        """The parameters that the network names itself in `no_weight_decay()`, as those of timm do.

        Raises:
            UserError: that fails, or does not return names.
        """
        names = getattr(self.network, "no_weight_decay", None)
        if not callable(names):
            return []
        parameters = dict(self.network.named_parameters(remove_duplicate=False))
        try:
            return [parameters[name] for name in names() if name in parameters]  # others are of variants of it
        except Exception as error:
            what = f"has to return names of parameters: {in_a_line(error)}"
            raise UserError(what, where="no_weight_decay() of the network", how="{'pos_embed'}, say") from error

    def layers_of_parameters(self) -> dict[str, str]:
        """Parameter -> the site that its layer feeds, or in which it is."""
        names = [*self.at]
        layers = {
            f"sites.{number}.{name}": site
            for number, site in enumerate(names)
            for name, _ in self.at[site].named_parameters()
        }
        for site in self.found:
            for name in site.weights if site.name in self.at and site.evaluated else ():
                layers.setdefault(f"network.{name}", site.name)
        return layers


def _has_fused_layers(network: nn.Module) -> bool:
    """Whether torch would compute some layer by one kernel in evaluation; not while a mode sees what is called."""
    return any(isinstance(module, (nn.TransformerEncoderLayer, nn.TransformerEncoder)) for module in network.modules())


# ---------------------------------------------------------------- which site is it?


class _Home:
    """Tells the modules of one network, and their paths; a copy of the network has a copy of it."""

    def __init__(self) -> None:
        self.recomputed: set[Place] = set()

    def mark(self, network: nn.Module) -> None:
        for path, module in network.named_modules():
            module.__dict__["_actbench_path"] = (self, path)

    def path_of(self, module: nn.Module) -> str | None:
        home, path = module.__dict__.get("_actbench_path", (None, None))
        return path if home is self else None

    def place_of(self, frame: FrameType) -> Place | None:
        place = place_of(frame, self.path_of)
        return place if place is None or place.recomputed else place.within(self.recomputed)


def _at(options: Options, kind: str, what: str, z: Tensor, home: _Home, strict: bool) -> AtSite | None:
    """What stands where a call comes from; None leaves the network its own.

    Raises:
        UserError: the trial did not meet the call, and others were exchanged.
    """
    place = next(iter(options)) if len(options) == 1 else home.place_of(sys._getframe(2))
    there = options.get(place, [])
    if len(there) == 1:
        return there[0][1]
    fitting = [here for site, here in there if site.fits(z.shape)]
    if fitting:
        return fitting[0]
    if not strict or kind in kinds.NORMALISERS or (there and all(here is None for _, here in there)):
        return None
    place = place or home.place_of(sys._getframe(2))
    raise UserError(
        f"{what} of {_sizes(z)} ({place or 'outside of all modules'}) was not met by the trial passes that looked for "
        "activations, and would not be exchanged",
        where="a branch of the network",
        how="let every pass take the same way, or compare activations within that branch alone",
    )


def _sizes(z: Tensor) -> str:
    return "(" + ", ".join(["B", *map(str, z.shape[1:])]) + ")"


class _Redirected:
    """Takes the place of the `forward` of an activation module."""

    def __init__(self, module: nn.Module, path: str, kind: str, options: Options, home: _Home, strict: bool) -> None:
        self.module, self.path, self.kind, self.options = module, path, kind, options
        self.home, self.strict = home, strict

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        z = args[0] if args else next(iter(kwargs.values()))
        here = _at(self.options, self.kind, self.path, z, self.home, self.strict)
        if here is not None:
            return here(z)
        with torch._C.DisableTorchFunction():  # what it calls is no site
            return type(self.module).forward(self.module, *args, **kwargs)


def _redirect(module: nn.Module, path: str, kind: str, options: Options, home: _Home, strict: bool) -> None:
    """Takes the calls of a module to its sites. If all of them are exchanged, its own parameters go."""
    pairs = [pair for there in options.values() for pair in there]
    module.__dict__["forward"] = _Redirected(module, path, kind, options, home, strict)
    if pairs and all(here is not None and not here.own for _, here in pairs):
        for name in [*module._parameters]:
            module._parameters[name] = None


class _Calls(TorchFunctionMode):
    """Takes the calls of activations to their sites."""

    def __init__(self, exchanged: Exchanged) -> None:
        super().__init__()
        self.of = exchanged

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is Tensor.backward:  # which torch would run outside of this mode
            with self:
                return _backward(*args, **kwargs)
        kind = kinds.called(func, args, kwargs)
        if kind is None:
            return func(*args, **kwargs)
        place = self.of.home.place_of(sys._getframe(1))
        if place is None:  # another network of the same step: its own mode knows it
            return func(*args, **kwargs)
        z, args, kwargs = kinds.input_of(args, kwargs)
        options: Options = {place: self.of.calls.get(kind, {}).get(place, [])}
        here = _at(options, kind, kind, z, self.of.home, self.of.strict)
        if here is None:
            return func(*args, **kwargs)
        return here(z, Call(func, tuple(args[1:]), kwargs)) if here.own else here(z)


def _backward(
    tensor: Tensor, gradient: Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False,
    inputs: Any = None,
) -> None:  # fmt: skip
    """What `Tensor.backward` does of a scalar, or with a gradient; a mode that is there stays there."""
    gradient = torch.ones_like(tensor) if gradient is None else gradient
    retain_graph = create_graph if retain_graph is None else retain_graph
    torch.autograd.Variable._execution_engine.run_backward(
        (tensor,), (gradient,), retain_graph, create_graph, tuple(inputs or ()),
        allow_unreachable=True, accumulate_grad=True,
    )  # fmt: skip


# ---------------------------------------------------------------- names in a state_dict


def _public(exchanged: Exchanged) -> dict[str, str]:
    """Beginning of a name within this module -> what a state_dict has instead."""
    inner = {f"sites.{number}.activation.": f"{name}." for number, name in enumerate(exchanged.at)}
    return {**inner, "network.": ""}


def _outer_names(exchanged: nn.Module, state: dict[str, Any], prefix: str, _metadata: Any) -> None:
    assert isinstance(exchanged, Exchanged)
    _rename(state, {f"{prefix}{inner}": f"{prefix}{outer}" for inner, outer in _public(exchanged).items()})


def _inner_names(exchanged: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    assert isinstance(exchanged, Exchanged)
    own = {name for name, _ in exchanged.network.named_parameters(remove_duplicate=False)}
    own |= {name for name, _ in exchanged.network.named_buffers(remove_duplicate=False)}
    others = {f"{outer}{name}": f"{inner}{name}" for inner, outer in _public(exchanged).items() if outer
              for name in _tensors_behind(exchanged, inner)}  # fmt: skip
    for key in [key for key in state if key.startswith(prefix)]:
        name = key.removeprefix(prefix)
        if name in own:
            state[f"{prefix}network.{name}"] = state.pop(key)
        elif name in others:
            state[f"{prefix}{others[name]}"] = state.pop(key)


def _tensors_behind(exchanged: Exchanged, inner: str) -> list[str]:
    module = exchanged.get_submodule(inner.rstrip("."))
    return [*dict(module.named_parameters()), *dict(module.named_buffers())]


def _rename(state: dict[str, Any], names: Mapping[str, str]) -> None:
    for key in [*state]:  # in their order
        beginning = next((inner for inner in names if key.startswith(inner)), None)
        value = state.pop(key)
        state[key if beginning is None else names[beginning] + key.removeprefix(beginning)] = value
