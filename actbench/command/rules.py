"""What a key may hold. Every plain key has a rule; a parameter without one takes values of its default's type."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from actbench.choices import WORDS


@dataclass(frozen=True)
class Rule:
    """`accepts` tests a value; `expected` describes valid values; `words` lists those that are words."""

    accepts: Callable[[Any], bool]
    expected: str
    real: bool = False  # a number that need not be whole: 1 and 1.0 are one value
    words: tuple[str, ...] = ()

    def normalised(self, value: Any) -> Any:
        """The value as settings hold it: a real number as a float, so that 1 and 1.0 are one configuration."""
        if not self.real or not self.accepts(value):
            return value
        return [float(v) for v in value] if isinstance(value, list) else float(value) if is_int(value) else value


def is_int(value: Any) -> bool:
    """Whether a value is a whole number, which `true` is not."""
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value


def _finite(v: float) -> bool:
    return abs(v) != float("inf")


def _integer(low: int, high: int = 2**31 - 1, *, or_words: tuple[Any, ...] = ()) -> Rule:
    words = tuple("null" if word is None else str(word) for word in or_words)
    expected = f"a whole number of {low} {'or more' if high == 2**31 - 1 else f'to {high}'}"
    return Rule(
        lambda v: v in or_words or (is_int(v) and low <= v <= high),
        expected + "".join(f", or {word}" for word in words),
        words=words,
    )


def _number(test: Callable[[float], bool], expected: str, *, or_words: tuple[str | None, ...] = ()) -> Rule:
    words = tuple("null" if word is None else word for word in or_words)
    expected = f"a number {expected}" + "".join(f", or {word}" for word in words)
    return Rule(lambda v: v in or_words or (_is_number(v) and test(v)), expected, real=True, words=words)


def _one_of(*words: str) -> Rule:
    return Rule(lambda v: v in words, "one of " + ", ".join(words), words=words)


_SHARE = _number(lambda v: 0 <= v <= 1, "from 0 to 1")
_PROBABILITY = _number(lambda v: 0 <= v < 1, "from 0 to below 1")
_POSITIVE = _number(lambda v: v > 0 and _finite(v), "above 0")
_NOT_NEGATIVE = _number(lambda v: v >= 0 and _finite(v), "of 0 or more")
_SWITCH = Rule(lambda v: isinstance(v, bool), "true or false", words=("true", "false"))
_MOMENTA = Rule(
    lambda v: isinstance(v, list) and len(v) == 2 and all(_is_number(b) and 0 <= b < 1 for b in v),
    "two numbers from 0 to below 1",
    real=True,
)
_SIZES = Rule(
    lambda v: isinstance(v, list) and len(v) > 0 and all(is_int(n) and n >= 1 for n in v), "a list of sizes: [16,32]"
)
_FOLDER = Rule(
    lambda v: isinstance(v, str) and re.fullmatch(r"[\w.=,+-][\w.=,+ -]*", v) is not None and v.strip(".") != "",
    "a plain folder name: letters, digits, . _ - + = ,",
)
_COUNT = _integer(1)

RULES: dict[str, Rule] = {
    **{key: _one_of(*words) for key, words in WORDS.items()},
    "split": _SHARE,
    "dropout": _PROBABILITY,
    "seed": _integer(0),
    "num_seeds": _COUNT,
    "decide.margin": _number(lambda v: v > 0 and _finite(v), "above 0", or_words=(None,)),
    "decide.max_seeds": _integer(3),
    "decide.max_minutes": _number(lambda v: v > 0 and _finite(v), "above 0", or_words=(None,)),
    "probe": _SWITCH,
    "probe_every": _integer(1, or_words=(None,)),
    "tensorboard": _SWITCH,
    "study": _FOLDER,
    "output_dir": Rule(lambda v: isinstance(v, str) and v != "", "a folder"),
    "trust": Rule(
        lambda v: v is None or isinstance(v, str) or (isinstance(v, list) and all(isinstance(p, str) for p in v)),
        "the name of a package, or a list of names",
    ),
    **dict.fromkeys(("train.epochs", "train.batch_size", "train.eval_batch_size"), _COUNT),
    "train.threads": _integer(1, 1024, or_words=(None,)),
    "train.device": Rule(
        lambda v: isinstance(v, str) and re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", v) is not None,
        "one of auto, cpu, cuda, cuda:N, mps",
        words=("auto", "cpu", "cuda", "mps"),
    ),
    **dict.fromkeys((f"model.{name}" for name in ("width", "depth", "blocks", "dense", "kernel_size")), _COUNT),
    **dict.fromkeys((f"model.{name}" for name in ("patch_size", "heads", "expansion")), _COUNT),
    "model.channels": _SIZES,
    "activation.num_parameters": Rule(
        lambda v: v == "units" or (is_int(v) and v == 1), "1 or units", words=("1", "units")
    ),
    "activation.beta": _POSITIVE,
    "activation.fraction": _number(lambda v: 0 < v <= 1, "above 0 and up to 1"),
    "activation.k": _integer(1, or_words=(None,)),
    "init.gain": _number(lambda v: v > 0 and _finite(v), "above 0", or_words=("auto",)),
    "norm.momentum": _SHARE,
    "norm.eps": _POSITIVE,
    "optimizer.lr": _POSITIVE,
    "optimizer.weight_decay": _NOT_NEGATIVE,
    "optimizer.momentum": _PROBABILITY,
    "optimizer.alpha": _PROBABILITY,
    "optimizer.eps": _POSITIVE,
    "optimizer.betas": _MOMENTA,
    "scheduler.gamma": _POSITIVE,
    "scheduler.step_size": _COUNT,
    "scheduler.T_max": _integer(1, or_words=("total_steps",)),
    "scheduler.div_factor": _POSITIVE,
    "scheduler.final_div_factor": _POSITIVE,
    "scheduler.warmup": _SHARE,
    "scheduler.eta_min": _NOT_NEGATIVE,
    "scheduler.pct_start": _number(lambda v: 0 < v < 1, "between 0 and 1"),
    "scheduler.max_lr": _POSITIVE,
    "clip.max_norm": _POSITIVE,
    "clip.clip_value": _POSITIVE,
    "dataset.train_size": _integer(1, or_words=(None,)),
    "augment.degrees": _number(lambda v: 0 <= v <= 180, "from 0 to 180"),
    "augment.translate": _SHARE,
}


def rule_of(key: str, default: Any) -> Rule:
    """The rule of a key; without an entry in RULES, the type of its default in the YAML file decides."""
    rule = RULES.get(key.replace("upper_activation.", "activation."))
    if rule is not None:
        return rule
    if isinstance(default, bool):
        return _SWITCH
    if isinstance(default, int):
        return Rule(is_int, "a whole number")
    if isinstance(default, float):
        return _number(_finite, "(finite)")
    if isinstance(default, str):
        return Rule(lambda v: isinstance(v, str), "a word")
    if isinstance(default, list):
        return Rule(lambda v: isinstance(v, list), "a list")
    return Rule(lambda _: True, "anything")
