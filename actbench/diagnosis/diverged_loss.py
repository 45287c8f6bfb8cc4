"""Seeds diverged: their loss stopped being finite. One is enough: the means of the run leave it out."""

from __future__ import annotations

import math
from collections.abc import Sequence

from actbench.diagnosis import remedies
from actbench.diagnosis.evidence import counted, figure
from actbench.diagnosis.history import RunHistory
from actbench.diagnosis.rule import Rule
from actbench.records import Finding, Origin

RULE = Rule(
    code="diverged-loss",
    rank=10,
    summary="Seeds diverged: their loss stopped being finite.",
    what="The loss of at least one seed became infinite or NaN. It says where the first such number came from: images, "
    "augmentation, the formula of an activation or its gradient, a layer, the loss, clipping, or the step.",
    why="Such a seed has no result, and the means of the run are those of the lucky ones alone.",
    example="actbench dataset=digits model.width=64 activation=squared_relu optimizer=sgd "
    "optimizer.lr=1000 train.epochs=2",
    remedy="A tenth of the learning rate, clip=norm, He init, norm=batch. Where the activation's own formula fails, a "
    "clamp of its argument.",
)

# Sizes of what went in, from which an overflow is that of the numbers and not of what was done to them. Float32 ends at
# 3.4e38: no usual formula leaves it from a million, but exp does from 89; and the product of a gradient and a slope can
# only do so where one of them is beyond 1e19.
HUGE = {"activation": 1e6, "between": 1e6, "activation gradient": 1e18, "clip": 1e18}

_UNKNOWN = Origin(0, 0, 0, "", "", math.nan)
_GREW = "Steps too long for the slope of the loss: weights grew until numbers overflowed."
_CAUSES = {  # kind of origin -> the cause, where it is not that everything grew
    "images": "The images themselves hold infinite numbers or NaN: no setting helps, look at the data.",
    "augmentation": "Augmentation makes infinite numbers or NaN of finite images.",
    "between": "What the network computes between its modules is not finite: a division by 0, a logarithm or a root of "
    "0 or less, or an overflow in its own code.",
    "activation": "The activation's formula gives no finite number there: a logarithm or a root of what is negative, "
    "a division by 0, or an exponential that overflows. Clamp its argument.",
    "activation gradient": "The activation's outputs are finite and its gradient is not: its formula overflows in a "
    "branch that is not taken, and 0 times infinity is NaN (torch.where(z > 0, z, torch.exp(z) - 1) does so where z is "
    "large), or has no slope there (a root at 0). Clamp the argument in that branch: torch.exp(z.clamp(max=0)).",
    "clip": "The gradient was finite before it was clipped, and is not afterwards: its norm overflowed or was 0.",
}


def find(run: RunHistory) -> Finding | None:
    """Every seed whose loss was infinite or NaN, with the epoch, and where the first such number came from."""
    if not run.diverged:
        return None
    each = ", ".join(f"seed {seed} in epoch {epoch}" for seed, epoch in sorted(run.diverged.items()))
    origins = [run.origins[seed] for seed in sorted(run.diverged) if seed in run.origins]
    first = "; ".join(dict.fromkeys(_described(origin, origins) for origin in origins))
    causes = list(dict.fromkeys(_cause(origin) for origin in origins)) or [_GREW]
    settings = run.settings
    return Finding(
        symptom="seeds diverged",
        evidence=f"{len(run.diverged)} of {counted(settings.num_seeds, 'seed')} had an infinite or NaN loss: {each}"
        + (f"; {first}" if first else ""),
        cause=" ".join(causes),
        remedies=remedies.all_of(*(_remedies(run, origin) for origin in origins or [_UNKNOWN])),
    )


def _kind(origin: Origin) -> str:
    """Its kind as a key of `_CAUSES`, or an empty string where everything had grown."""
    kind = origin.kind.removeprefix("validation ")
    if origin.size >= HUGE.get(kind, math.inf):
        return ""
    return kind if kind in _CAUSES else ""


def _cause(origin: Origin) -> str:
    return _CAUSES.get(_kind(origin), _GREW)


SMALL = 80.0  # exp does not overflow below: smaller steps would not help a formula that fails there


def _remedies(run: RunHistory, origin: Origin) -> tuple[str, ...]:
    settings = run.settings
    slower, norm = remedies.learning_rate(settings, times=1 / 10), remedies.batch_norm(settings)
    kind = _kind(origin)
    if not kind:
        return remedies.all_of(slower, remedies.clip_norm(settings), remedies.he_init(settings), norm)
    if kind.startswith("activation"):  # beside mending the formula: what keeps z small
        others = remedies.activation(run, "elu", "gelu")
        return others if origin.size < SMALL else remedies.all_of(norm, slower, others)
    return {"augmentation": ("augment=none",), "clip": ("clip=none",)}.get(kind, ())


def _described(origin: Origin, origins: Sequence[Origin]) -> str:
    """`the first in step 12: the gradient of the activation of hidden1 (|z| up to 92), whose output is finite`."""
    when = "in validation" if origin.kind.startswith("validation ") else f"in step {origin.step}"
    kind = origin.kind.removeprefix("validation ")
    layer = origin.where.rpartition(".")[0] if origin.where.split(".")[-1] == "activation" else origin.where
    sizes = [other.size for other in origins if other[1:5] == origin[1:5] and not math.isnan(other.size)]
    size = f" ({'|z|' if 'activation' in kind else 'numbers'} up to {figure(max(sizes))})" if sizes else ""
    words = {
        "images": "the images",
        "augmentation": "the augmented images",
        "activation": f"the output of the activation of {layer}{size}",
        "activation gradient": f"the gradient of the activation of {layer}{size}, while its output is finite",
        "layer": f"the output of {layer}{size}",
        "layer gradient": f"the gradient in {layer}",
        "between": f"what goes into {layer}",
        "loss": "the loss",
        "clip": "the clipped gradient",
        "update": f"the parameters after the step{size}",
    }
    return f"the first in epoch {origin.epoch}, {when}: {words.get(kind, kind)}"
