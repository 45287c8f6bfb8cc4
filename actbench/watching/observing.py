"""One look: passes of a copy of the network, in which its activation sites are observed; and the trial for these."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.utils import parametrize

from actbench.activations import traits
from actbench.activations.coupling import is_known
from actbench.measures.computing.sites import STACKED, SiteSums, UnitWatch, as_stacked, selects_units
from actbench.sites import kinds
from actbench.sites.exchange import Exchanged
from actbench.sites.finding import untie
from actbench.sites.site import Site, named
from actbench.sites.trial import Trial
from actbench.watching.batches import Batch
from actbench.watching.findings import Layer, in_code
from actbench.watching.mirror import mirror

_TRIAL = 4  # samples of the pass that finds the sites


@contextmanager
def without_trace(device: torch.device) -> Iterator[None]:
    """Within the block no gradient is recorded, nothing is compiled, and random numbers and warnings leave no trace."""
    of_numpy, of_python = np.random.get_state(), random.getstate()
    devices = [device] if device.type == "cuda" else []
    try:
        with ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng(devices=devices))
            stack.enter_context(torch.no_grad())
            stack.enter_context(saved_tensors_hooks(_unchanged, _unchanged))  # hides those of a checkpoint around it
            stack.enter_context(_without_cache())
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            yield
    finally:
        np.random.set_state(of_numpy)
        random.setstate(of_python)


@contextmanager
def _without_cache() -> Iterator[None]:
    """The weights that a look computes are not those that training takes from `parametrize.cached()`."""
    enabled, parametrize._cache_enabled = parametrize._cache_enabled, 0
    try:
        yield
    finally:
        parametrize._cache_enabled = enabled


def _unchanged(tensor: Tensor) -> Tensor:
    return tensor


def find_sites(network: nn.Module, batch: Batch) -> tuple[Site, ...]:
    """The activation sites that a pass of a network in evaluation mode meets, in its order.

    A ReLU at the end counts, since what is watched may be a part of a network; a sigmoid there makes a probability.

    Args:
        network: is copied, and left as it is.
        batch: what it is called with; a few samples of it are enough.

    Raises:
        Exception: what the network raises.
    """
    copied = mirror(network)
    activations = untie(copied)
    few = batch.first(_TRIAL)
    try:
        trial, output = _try(copied, activations, few)
    except Exception:  # it takes no other number of samples
        if few is batch:
            raise
        trial, output = _try(copied, activations, batch)
    found = trial.found
    for tensor in Batch(
        (output if isinstance(output, (tuple, list)) else getattr(output, "logits", output),), {}
    ).tensors():
        trial.ends_with(tensor)
    for one in found.values():  # reasons not to exchange it, which are none not to look at it
        one.is_output &= one.kind in kinds.GATES
        one.on_input &= one.module != ""  # the network is an activation itself
        if one.place is not None:
            one.place = replace(one.place, lost=False)
    return tuple(named([*found.values()], {name for name, _ in copied.named_modules()}))


def _try(network: nn.Module, activations: Mapping[str, str], batch: Batch) -> tuple[Trial, Any]:
    own = batch.map(Tensor.clone)  # `forward` may write to its inputs
    trial = Trial(network, own.tensors(), activations, {}, set())
    with trial:
        return trial, network(*own.args, **own.kwargs)


def observe(
    network: nn.Module,
    sites: Sequence[Site],
    batches: Iterable[Batch],
    *,
    known: dict[str, tuple[bool, bool]],
    normalise: Batch | None = None,
) -> tuple[UnitWatch, int]:
    """The statistics of all sites that these batches meet, and the number of samples.

    Args:
        network: is copied, and left as it is.
        sites: of it, as `find_sites` returned them.
        batches: what its copy is called with, in evaluation mode.
        known: what was measured of the activation at each site; filled by the first look.
        normalise: batch normalisation has the statistics of this batch, since it has none of training yet.

    Raises:
        Exception: what the network raises.
    """
    copied = Exchanged(mirror(network), None, found=sites)
    copied.training = False
    if normalise is not None:
        _take_statistics(copied, normalise)
    sums = {name: _sums(name, module, known) for name, module in copied.activation_sites().items()}
    for name, module in copied.activation_sites().items():
        module.register_forward_pre_hook(partial(_look, sums[name]))
    samples = 0
    for batch in batches:
        own = batch.map(Tensor.clone)  # `forward` may write to its inputs
        copied(*own.args, **own.kwargs)
        samples += batch.size or 1
    return UnitWatch({name: [site] for name, site in sums.items() if site.sums}), samples


def _sums(name: str, module: nn.Module, known: dict[str, tuple[bool, bool]]) -> SiteSums:
    apply, parameters = as_stacked(module, 1, stacked=False)
    if name not in known:
        known[name] = selects_units(module, apply, 1, parameters), not is_known(module, *STACKED)
    selecting, foreign = known[name]
    return SiteSums(apply, parameters, selecting, foreign=foreign)


def _look(site: SiteSums, _module: nn.Module, arguments: tuple[Any, ...]) -> None:
    z = arguments[0].detach()
    with torch.autocast(z.device.type, enabled=False):
        site.observe(z.reshape(-1, 1)[None] if z.ndim < 2 else z[None])


def _take_statistics(network: nn.Module, batch: Batch) -> None:
    norms: list[Any] = [m for m in network.modules() if isinstance(getattr(m, "running_mean", None), Tensor)]
    norms = [norm for norm in norms if isinstance(norm, nn.modules.batchnorm._BatchNorm)]
    if not norms or any(isinstance(norm, nn.SyncBatchNorm) for norm in norms) or (batch.size or 0) < 2:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.training, norm.momentum = True, 1.0
    own = batch.map(Tensor.clone)
    network(*own.args, **own.kwargs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.training, norm.momentum = False, momentum


def is_untrained(network: nn.Module) -> bool:
    """Whether batch normalisation has not seen a batch yet."""
    counts = [getattr(module, "num_batches_tracked", None) for module in network.modules()]
    known = [count for count in counts if isinstance(count, Tensor)]
    return bool(known) and all(int(count) == 0 for count in known)


def about_layers(network: nn.Module, sites: Sequence[Site], prefix: str = "") -> dict[str, Layer]:
    """Name of a site -> what a diagnosis asks of it; the traits are measured once for each kind of activation.

    Args:
        prefix: of the paths of its modules, where it is a part of what is watched.
    """
    copied = Exchanged(mirror(network), None, found=sites)
    at, measured = copied.activation_sites(), {}
    layers: dict[str, Layer] = {}
    for site in sites:
        if site.name not in at:
            continue
        if site.kind not in measured:
            measured[site.kind] = traits.measure(at[site.name])
        weight = in_code(prefix + site.weights[0]) if site.weights else ""
        place = str(site.place or "") if site.module is None else in_code((prefix + site.module).rstrip("."))
        normalised = len(site.weights) > 1 and any(_is_norm(network, name) for name in site.weights[1:])
        layers[site.name] = Layer(site.kind, measured[site.kind], len(site.shape), place, weight, normalised)
    return layers


def _is_norm(network: nn.Module, parameter: str) -> bool:
    try:
        module = network.get_submodule(parameter.rpartition(".")[0])
    except AttributeError:
        return False
    return "Norm" in type(module).__name__


def peaks_of(watch: UnitWatch) -> dict[str, Tensor]:
    """As of the watch; NaN for layers whose outputs are not finite."""
    lost = {layer: math.nan for layer, sites in watch._sites.items() if bool(sites[0].lost.any())}
    return {
        layer: peak.masked_fill(peak == 0, lost[layer]) if layer in lost else peak
        for layer, peak in watch.peaks().items()
    }
