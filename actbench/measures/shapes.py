"""The parameters that activations learn, followed over training: `shapes.csv`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from actbench.identity import identity_of_target
from actbench.measures.quantities import OfLayer, identified, measured

if TYPE_CHECKING:
    from torch import Tensor

    from actbench.measures.look import Look
    from actbench.stacking import Replicas


# What formulas call a parameter that the module, and with it the checkpoints and files of runs, calls `weight`: by the
# target of the activation. Other parameters are written as they are named, Greek letters as letters.
_WEIGHTS = {"torch.nn.PReLU": "slope a", "actbench.activations.Swish": "β"}
_GREEK = {"alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "theta": "θ", "lambda": "λ", "mu": "μ", "sigma": "σ",
          "tau": "τ"}  # fmt: skip


def symbol(parameter: str, targets: Iterable[str | None]) -> str:
    """How a learned parameter is shown to readers.

    Args:
        parameter: its name in `shapes.csv`.
        targets: those of the network's activations.

    >>> symbol("weight", ["actbench.activations.Swish", None]), symbol("alpha", []), symbol("p1", [])
    ('β', 'α', 'p1')
    """
    if parameter == "weight":
        known = [_WEIGHTS.get(identity_of_target("activation", target) or "") for target in targets]
        words = dict.fromkeys(word for word in known if word)
        return (
            " or ".join(words) or parameter
        )  # two activations that learn: the file does not say which layer has which
    return _GREEK.get(parameter, parameter)


@dataclass(frozen=True)
class ShapeRecord(OfLayer):
    """A learned parameter of an activation, summarised over the units of one layer; a row of `shapes.csv`."""

    table: ClassVar[str] = "shapes"
    taken: ClassVar[str] = "before training and after every epoch"
    order: ClassVar[int] = 60
    reported: ClassVar[bool] = False

    parameter: str = identified("Name of the parameter that the activation learns.")
    mean: float = measured("Mean over the layer's units.", title="learned value", tag="learned_{parameter}/{layer}")
    std: float = measured("Standard deviation over the layer's units.", title="learned value, std")
    min: float = measured("Least value among the layer's units.", title="learned value, least")
    max: float = measured("Greatest value among the layer's units.", title="learned value, greatest")


def after_epoch(look: Look) -> Iterator[ShapeRecord]:
    """The rows of all seeds; none if no activation learns."""
    for (layer, name), values in learned_shapes(look.network).items():
        exact = values.double()
        columns = (exact.mean(1), exact.std(1, correction=0), exact.amin(1), exact.amax(1))
        for seed, *statistics in zip(look.seeds, *(column.tolist() for column in columns), strict=True):
            yield ShapeRecord(seed, look.epoch, layer, name, *statistics)


def learned_shapes(network: Replicas) -> dict[tuple[str, str], Tensor]:
    """(layer, parameter) -> its current values, (S, 1) or (S, units), on the CPU. Empty if no activation learns."""
    import torch

    values_of: dict[tuple[str, str], list[Tensor]] = {}
    for group in network.groups:
        for layer, module in group.sites().items():
            for name, parameter in module.named_parameters():
                values = parameter.detach().reshape(group.seeds, -1).cpu()
                values_of.setdefault((layer, name.rpartition(".")[2]), []).append(values)
    return {key: torch.cat(values) for key, values in values_of.items()}
