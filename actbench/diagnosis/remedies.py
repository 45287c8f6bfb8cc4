"""Remedies: overrides that fit a run and that it does not have already.

Each function returns the overrides of one idea, best first, and none where the idea does not fit. A string may hold
several overrides separated by a space, which are added to the run's command together.
"""

from __future__ import annotations

from collections.abc import Iterable

from actbench.choices import usual_parameters
from actbench.custom.signatures import signature_of
from actbench.custom.trust import is_own
from actbench.diagnosis.history import RunHistory
from actbench.settings import Choice, Settings

_ABSURD = 100  # times the usual learning rate: a tenth of it would be as bad


def all_of(*ideas: Iterable[str]) -> tuple[str, ...]:
    """The overrides of several ideas in their order, each once."""
    return tuple(dict.fromkeys(override for idea in ideas for override in idea))


def learning_rate(settings: Settings, *, times: float) -> tuple[str, ...]:
    """The learning rate multiplied by `times`, to one digit: `optimizer.lr=0.003`.

    Where it is more than a hundred times the usual one of its optimizer, the usual one is what would make it smaller.
    """
    lr = _number(settings.optimizer, "lr")
    usual = (usual_parameters("optimizer", settings.optimizer.name) or {}).get("lr")
    if lr is not None and times < 1 and isinstance(usual, (int, float)) and lr > _ABSURD * usual > 0:
        return (f"optimizer.lr={usual:g}",)
    return () if lr is None or lr <= 0 else (f"optimizer.lr={rounded(times * lr)}",)


def rounded(value: float) -> str:
    """To one digit, as it would be typed.

    >>> rounded(0.01 / 3), rounded(0.0005), rounded(12.0)
    ('0.003', '0.0005', '10')
    """
    return f"{float(f'{value:.0e}'):g}"


def activation(run: RunHistory, *names: str, instead_of: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Each of `names` in the place of the activations that have one of the traits `instead_of`; of all, if none has."""
    chosen = {"activation": run.settings.activation}
    if run.settings.upper_activation.target is not None:
        chosen["upper_activation"] = run.settings.upper_activation
    affected = [key for key in run.activations_with(*instead_of) if key in chosen] or [*chosen]
    overrides = (" ".join(f"{key}={name}" for key in affected if chosen[key].name != name) for name in names)
    return tuple(override for override in overrides if override)


def more_kept(run: RunHistory) -> tuple[str, ...]:
    """Four times as many units let through by an activation that selects, where it says how many: `k` or `fraction`."""
    for key in run.activations_with("selects"):
        choice: Choice = getattr(run.settings, key)
        k, fraction = _number(choice, "k"), _number(choice, "fraction")
        if k:
            return (f"{key}.k={4 * k:g}",)
        if fraction is not None and fraction < 1:
            return (f"{key}.fraction={min(1.0, 4 * fraction):g}",)
    return ()


def batch_norm(settings: Settings) -> tuple[str, ...]:
    """Batch normalisation, where there is no normalisation and the model takes one."""
    return ("norm=batch",) if settings.norm.target is None and _takes_layers(settings) else ()


def he_init(settings: Settings) -> tuple[str, ...]:
    """He initialisation with the gain that fits the activation, where the run has another one."""
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
    return (f"dropout={wanted}",) if settings.dropout < wanted and _takes_layers(settings) else ()


def augmentation(settings: Settings) -> tuple[str, ...]:
    """Augmentation, where there is none."""
    return ("augment=shift_rotate",) if settings.augment.target is None else ()


def schedule(settings: Settings) -> tuple[str, ...]:
    """A decaying learning rate, where it is constant."""
    return ("scheduler=cosine",) if settings.scheduler.target is None else ()


def warm_up(settings: Settings) -> tuple[str, ...]:
    """A learning rate with warm-up, where it is constant."""
    return ("scheduler=warmup_cosine",) if settings.scheduler.target is None else ()


def _takes_layers(settings: Settings) -> bool:
    """Whether normalisation and dropout can be put into the model: not into a network whose code has its layers."""
    target = settings.model.target
    if target is None or not is_own(target):
        return True
    signature = signature_of(target)
    return signature is not None and signature.takes_components


def _number(choice: Choice, name: str) -> float | None:
    value = choice.params.get(name)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
