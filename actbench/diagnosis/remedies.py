"""What can be offered: overrides that fit the run, and nothing that it has already.

Each function gives the overrides of one idea, best first: none where the idea does not fit. One string may hold several
overrides with a space between; each is to be added to what was typed for the run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from actbench.settings import Choice, Settings

# Flat where they are off: f' is exactly 0 there, so that a unit can die.
FLAT = frozenset({"relu", "relu6", "squared_relu", "hardtanh", "hardswish", "pact", "topk", "bipolar_relu"})
# Bounded on both sides: f' vanishes where |z| is large.
BOUNDED = frozenset({"sigmoid", "tanh", "hardtanh", "softsign", "relu6", "pact"})
# Never negative: the mean of the outputs cannot be 0.
POSITIVE = frozenset({"sigmoid", "relu", "relu6", "squared_relu", "softplus", "pact", "topk"})


def all_of(*ideas: Iterable[str]) -> tuple[str, ...]:
    """The overrides of several ideas in their order, each once."""
    return tuple(dict.fromkeys(override for idea in ideas for override in idea))


def learning_rate(settings: Settings, *, times: float) -> tuple[str, ...]:
    """The learning rate multiplied by each of `times`, to one digit: `optimizer.lr=0.003`."""
    lr = _number(settings.optimizer, "lr")
    return () if lr is None or lr <= 0 else (f"optimizer.lr={rounded(times * lr)}",)


def rounded(value: float) -> str:
    """To one digit, as it would be typed.

    >>> rounded(0.01 / 3), rounded(0.0005), rounded(12.0)
    ('0.003', '0.0005', '10')
    """
    return f"{float(f'{value:.0e}'):g}"


def activation(settings: Settings, *names: str, instead_of: Collection[str]) -> tuple[str, ...]:
    """Each of `names` in the place of those activations that are among `instead_of`; of all, where none is."""
    used = {"activation": settings.activation}
    if settings.upper_activation.target is not None:
        used["upper_activation"] = settings.upper_activation
    ill = {key: choice for key, choice in used.items() if choice.name in instead_of} or used
    overrides = (" ".join(f"{key}={name}" for key, choice in ill.items() if choice.name != name) for name in names)
    return tuple(override for override in overrides if override)


def more_kept(settings: Settings) -> tuple[str, ...]:
    """Top-k that keeps four times as much."""
    for key in ("activation", "upper_activation"):
        params = getattr(settings, key).params
        if getattr(settings, key).name == "topk" and params.get("k"):
            return (f"{key}.k={4 * params['k']}",)
        if getattr(settings, key).name == "topk" and params.get("fraction", 1.0) < 1:
            return (f"{key}.fraction={min(1.0, 4 * params['fraction']):g}",)
    return ()


def batch_norm(settings: Settings) -> tuple[str, ...]:
    """Batch normalisation, where nothing is normalised."""
    return ("norm=batch",) if settings.norm.target is None else ()


def he_init(settings: Settings) -> tuple[str, ...]:
    """He's initialisation with the gain that suits the activation, where it is another one."""
    init = settings.init
    if init.name == "he_normal":
        return () if init.params.get("gain", "auto") == "auto" else ("init.gain=auto",)
    if init.name == "he_uniform" and init.params.get("gain", "auto") == "auto":
        return ()  # of the same size
    return ("init=he_normal",) if init.params.get("gain", "auto") == "auto" else ("init=he_normal init.gain=auto",)


def clip_norm(settings: Settings, max_norm: float = 1.0) -> tuple[str, ...]:
    """Clipping of the gradient's norm, where nothing clips."""
    return (f"clip=norm clip.max_norm={rounded(max_norm)}",) if settings.clip.target is None else ()


def dropout(settings: Settings) -> tuple[str, ...]:
    """Dropout of 0.3, or of 0.5 where there is some already."""
    wanted = 0.3 if settings.dropout < 0.2 else 0.5
    return (f"dropout={wanted}",) if settings.dropout < wanted else ()


def augmentation(settings: Settings) -> tuple[str, ...]:
    """Training images that move a little, where they stand still."""
    return ("augment=shift_rotate",) if settings.augment.target is None else ()


def schedule(settings: Settings) -> tuple[str, ...]:
    """A learning rate that goes down, where it is constant."""
    return ("scheduler=cosine",) if settings.scheduler.target is None else ()


def warm_up(settings: Settings) -> tuple[str, ...]:
    """A learning rate that begins small, where it is constant."""
    return ("scheduler=warmup_cosine",) if settings.scheduler.target is None else ()


def _number(choice: Choice, name: str) -> float | None:
    value = choice.params.get(name)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
