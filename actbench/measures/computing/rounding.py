"""What a trained network loses in 8 bits: its accuracy in simulated INT8, and the noise that rounding adds per layer.

Simulated: weights and inputs of the linear and convolutional layers are rounded to the values that 8-bit integers stand
for, and the sums are then made in floating point; integers would give the same up to the rounding of those sums. Biases
(32-bit integers in practice), activations, layer norms, poolings and attention's own products stay in floating point.

The scheme is that of Jacob et al. 2017, arXiv:1712.05877: a real number is s·(q - z), with a scale s and an integer z
such that 0 is represented exactly. Weights have a scale for each output channel and z = 0, the inputs of a layer have
one for the whole tensor (Krishnamoorthi 2018, arXiv:1806.08342).

Deployments fold batch normalisation into the weights in front of it. That makes no difference here: it multiplies the
weights of a channel, and with them their scale, so that the integers are the same.
"""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actbench.datasets import Splits
from actbench.datasets.streaming import Streamed
from actbench.measures.computing.sums import sums_dtype
from actbench.measures.int8 import OUTPUT, SCHEMES
from actbench.models.layers import Gated
from actbench.stacking import activation_sites, says_its_own_sites

CALIBRATION_SAMPLES = 1_000

_LARGEST = 127  # of a signed integer: -128 is left out, so that the integers are symmetric about 0
_LEVELS = 255  # steps between the 256 values of an unsigned integer
_SMALLEST_SCALE = torch.finfo(torch.float32).tiny  # of a tensor that is 0 everywhere: its reciprocal is still finite


@dataclass(frozen=True)
class LayerNoise:
    """Signal-to-quantisation-noise ratios of one layer in dB, see `quantise`; `own_snr` of the logits is NaN."""

    layer: str
    snr: float
    own_snr: float


@dataclass(frozen=True)
class Int8:
    """A network in one scheme over the test set: accuracy (%), loss (nats), and its layers, the logits last."""

    accuracy: float
    loss: float
    layers: tuple[LayerNoise, ...]

    @property
    def snr(self) -> float:
        """Of the logits, in dB."""
        return next(noise.snr for noise in self.layers if noise.layer == OUTPUT)


@dataclass(frozen=True)
class Quantised:
    """One trained seed over the test set: accuracy (%) and loss (nats) in floating point, and scheme -> in INT8."""

    accuracy: float
    loss: float
    int8: Mapping[str, Int8]


@torch.no_grad()
def quantise(network: nn.Module, splits: Splits, batch_size: int = 250) -> Quantised:
    """Scores `network` in floating point and in simulated INT8, in evaluation mode; the network itself is left alone.

    Each tensor's range is from its least to its greatest value over 1,000 training samples, evenly spaced through the
    training set (all, where there are fewer); the test set has no part in it. In scheme `symmetric` the inputs of a
    layer become integers from -127 to 127 with z = 0, in `affine` from 0 to 255 with a z of their own. A tensor whose
    range is not finite has no scale: it becomes NaN, and so does what follows from it.

    With the outputs h of an activation site (of a gated layer: its gate times its value; of a residual one: what it
    adds) in floating point, and ĥ those of the network in INT8, over the test set:
    `snr` = 10·log10(Σ h² / Σ (h - ĥ)²), with the errors of all layers below, and `own_snr` the same for h rounded by
    itself, by its own calibrated range. Both are inf where rounding changes nothing, and NaN for a layer that is 0
    everywhere. The measure is that of Sheng et al. 2018, arXiv:1803.08607, who tell by it which layers suffer.

    Args:
        network: one seed's ordinary module, x (B, C, H, W) -> logits (B, classes), on any device.
        splits: on any device.
        batch_size: samples in one pass.
    """
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    plain = copy.deepcopy(network).eval()
    ranges = _calibrate(plain, _calibration_samples(splits.train_x).to(device).split(batch_size))
    rounded = {scheme: _in_int8(plain, scheme, ranges) for scheme in SCHEMES}
    reference, scores = _Score(), {scheme: _Score() for scheme in SCHEMES}
    noises = {scheme: _Noise(scheme, ranges) for scheme in SCHEMES}
    for x, y in zip(splits.test_x.split(batch_size), splits.test_y.split(batch_size), strict=True):
        x, y = x.to(device), y.to(device)
        expected = _outputs(plain, x)
        reference.add(expected[OUTPUT][0], y)
        for scheme, other in rounded.items():
            rounded_outputs = _outputs(other, x)
            scores[scheme].add(rounded_outputs[OUTPUT][0], y)
            noises[scheme].add(expected, rounded_outputs)
    int8 = {scheme: Int8(*scores[scheme].means(), noises[scheme].layers()) for scheme in SCHEMES}
    return Quantised(*reference.means(), int8)


# ---------------------------------------------------------------- rounding


@dataclass(frozen=True)
class Grid:
    """The numbers scale·(q - zero_point) for the integers q from `lowest` to `highest`; none where scale is NaN."""

    scale: float
    zero_point: int
    lowest: int
    highest: int

    @classmethod
    def over(cls, scheme: str, low: float, high: float) -> Grid:
        """The grid of a scheme for values from `low` to `high`.

        >>> Grid.over("symmetric", -1.0, 254.0)
        Grid(scale=2.0, zero_point=0, lowest=-127, highest=127)
        >>> Grid.over("affine", -5.0, 250.0)
        Grid(scale=1.0, zero_point=5, lowest=0, highest=255)
        """
        finite = math.isfinite(low) and math.isfinite(high)
        if scheme == "symmetric":
            scale = max(abs(low), abs(high), _LARGEST * _SMALLEST_SCALE) / _LARGEST
            return cls(scale if finite else math.nan, 0, -_LARGEST, _LARGEST)
        low, high = min(low, 0.0), max(high, 0.0)  # 0, which padding and dead units give, is to have no error
        scale = max((high - low) / _LEVELS, _SMALLEST_SCALE)
        return cls(scale, round(-low / scale), 0, _LEVELS) if finite else cls(math.nan, 0, 0, _LEVELS)

    def round(self, x: Tensor) -> Tensor:
        """The nearest number of the grid for each element of `x`; NaN for all of them without a grid."""
        if math.isnan(self.scale):
            return torch.full_like(x, math.nan)
        ends = [self.scale * (q - self.zero_point) for q in (self.lowest, self.highest)]
        within = x.clamp(*ends)  # torch's operator may take values for integers first, which large ones do not survive
        return torch.fake_quantize_per_tensor_affine(within, self.scale, self.zero_point, self.lowest, self.highest)


def round_weight(weight: Tensor) -> Tensor:
    """A weight (units, ...) in integers from -127 to 127, with one scale for each unit; what is not finite gets NaN."""
    scales = weight.flatten(1).abs().amax(1) / _LARGEST
    scales = scales.nan_to_num(1.0, posinf=1.0).clamp(min=_SMALLEST_SCALE).float()
    zero_points = torch.zeros_like(scales, dtype=torch.int32)
    rounded = torch.fake_quantize_per_channel_affine(weight, scales, zero_points, 0, -_LARGEST, _LARGEST)
    return rounded.masked_fill(~weight.isfinite(), math.nan)


def _in_int8(network: nn.Module, scheme: str, ranges: Ranges) -> nn.Module:
    """A copy of `network` whose layers round their inputs, and whose weights are rounded."""
    copied = copy.deepcopy(network)
    for name, layer in _layers(copied).items():
        layer.weight = nn.Parameter(round_weight(layer.weight), requires_grad=False)  # its own, where two share one
        if (name, "in") in ranges:
            layer.register_forward_pre_hook(partial(_round_inputs, Grid.over(scheme, *ranges[name, "in"])))
    return copied


def _round_inputs(grid: Grid, _layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (grid.round(inputs[0]), *inputs[1:])


def _layers(network: nn.Module) -> dict[str, nn.Linear | nn.Conv2d]:
    return {name: module for name, module in network.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))}


# ---------------------------------------------------------------- observing and calibrating

Outputs = dict[str, list[Tensor]]  # activation site -> its output at each call within one pass; and the logits
Ranges = dict[tuple[str, str], tuple[float, float]]  # (layer, "in") or (activation site, "out") -> least, greatest


def _outputs(network: nn.Module, x: Tensor) -> Outputs:
    sites = {layer: _source(network, layer, site) for layer, site in activation_sites(network).items()}
    outputs: Outputs = {layer: [] for layer in sites}
    handles = [site.register_forward_hook(partial(_keep, outputs[layer])) for layer, site in sites.items()]
    logits = network(x)
    for handle in handles:
        handle.remove()
    return {**outputs, OUTPUT: [logits]}


def _source(network: nn.Module, layer: str, site: nn.Module) -> nn.Module:
    """The module whose outputs are those of a layer: what a gate lets through, not the gate."""
    if says_its_own_sites(network):
        return site
    gated = network.get_submodule(layer.rpartition(".")[0])
    return gated if isinstance(gated, Gated) else site


def _keep(outputs: list[Tensor], _site: nn.Module, _inputs: tuple[Tensor, ...], h: Tensor) -> None:
    outputs.append(h)


def _calibration_samples(train_x: Tensor | Streamed) -> Tensor:
    """Evenly spaced: a data set may be sorted by class."""
    samples = min(len(train_x), CALIBRATION_SAMPLES)
    return train_x[torch.arange(samples, device=train_x.device) * len(train_x) // samples]


def _calibrate(network: nn.Module, batches: Sequence[Tensor]) -> Ranges:
    """The ranges of all layers' inputs and all sites' outputs in floating point. A layer that never runs has none."""
    observed: defaultdict[tuple[str, str], list[Tensor]] = defaultdict(list)

    def observe(name: str, _layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        observed[name, "in"].append(torch.stack(inputs[0].aminmax()))  # NaN where there is one

    handles = [layer.register_forward_pre_hook(partial(observe, name)) for name, layer in _layers(network).items()]
    for x in batches:
        for layer, outputs in _outputs(network, x).items():
            observed[layer, "out"] += [torch.stack(h.aminmax()) for h in outputs]
    for handle in handles:
        handle.remove()
    pairs = {key: torch.stack(values) for key, values in observed.items()}  # (calls, 2)
    return {key: (float(values[:, 0].amin()), float(values[:, 1].amax())) for key, values in pairs.items()}


# ---------------------------------------------------------------- measuring


class _Score:
    """Sums over the samples of loss and hits."""

    def __init__(self) -> None:
        self.samples = 0
        self.sums: Tensor | float = 0.0

    def add(self, logits: Tensor, y: Tensor) -> None:
        double = sums_dtype(logits.device)
        loss = F.cross_entropy(logits, y, reduction="none").sum(dtype=double)
        self.sums = self.sums + torch.stack([(logits.argmax(1) == y).sum(dtype=double), loss])
        self.samples += len(y)

    def means(self) -> tuple[float, float]:
        """Accuracy (%) and loss (nats)."""
        hits, loss = torch.as_tensor(self.sums).tolist()
        return 100.0 * hits / self.samples, loss / self.samples


class _Noise:
    """Sums over the samples, for each layer, of signal and noise: squares, still on the device."""

    def __init__(self, scheme: str, ranges: Ranges) -> None:
        self.grids = {layer: Grid.over(scheme, *ends) for (layer, side), ends in ranges.items() if side == "out"}
        self.grids[OUTPUT] = Grid(math.nan, 0, 0, 0)  # nothing rounds the logits
        self.sums: dict[str, Tensor] = {}  # layer -> signal, noise, noise of its own

    def add(self, expected: Outputs, rounded: Outputs) -> None:
        for layer, outputs in expected.items():
            for h, other in zip(outputs, rounded[layer], strict=True):
                self._add(layer, h, h - other, h - self.grids[layer].round(h))

    def _add(self, layer: str, *parts: Tensor) -> None:
        double = sums_dtype(parts[0].device)
        squares = torch.stack([torch.linalg.vector_norm(part, dtype=double).square() for part in parts])
        self.sums[layer] = self.sums[layer] + squares if layer in self.sums else squares

    def layers(self) -> tuple[LayerNoise, ...]:
        rows = [(layer, *sums.tolist()) for layer, sums in self.sums.items()]
        return tuple(LayerNoise(layer, _decibels(h, error), _decibels(h, own)) for layer, h, error, own in rows)


def _decibels(signal: float, noise: float) -> float:
    """10·log10(signal / noise) without a division by zero; NaN where both are 0."""
    if signal == 0 or noise == 0:
        return math.nan if signal == noise else math.inf if noise == 0 else -math.inf
    return 10 * (math.log10(signal) - math.log10(noise))
