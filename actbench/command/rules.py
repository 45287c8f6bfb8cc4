"""What a key may hold: a rule stands at the beginning of the comment behind its default, in the YAML file that has it.

    lr: 0.001  # > 0
    betas: [0.9, 0.999]  # both >= 0, < 1
    channels: [16, 32]  # each >= 1; one stage each
    mode: fan_in  # fan_in | fan_out; fan_in keeps the size of activations
    width: 512  # >= 1 | each >= 1; one number for all layers, or a list
    k: null  # whole >= 1 | null; their number, instead of fraction
    total_steps: total_steps  # = total_steps

A rule is a list of alternatives with | between them, and a remark follows behind a semicolon. An alternative is a word
(`cuda:N`: N stands for any number) or a range. The numbers of a range are whole where the default is, or where it says
so. `each` is for the items of a list of any length, `both` for those of a pair; a single word needs the =.

A parameter without a rule takes that of the same parameter of one of our choices in its group, if its default fits; any
other may have values of its default's type.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from actbench.choices import choices_of, parameters_of, plain_parameters
from actbench.errors import UserError


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


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")


# ---------------------------------------------------------------- the rule of a key


def rule_of(group: str, parameter: str, default: Any, comment: str = "", *, own_model: bool = False) -> Rule:
    """The rule of a choice's parameter.

    Args:
        default: its value in the YAML file, or that as text.
        comment: what stands behind it.
        own_model: whether it is of a network of the user's own, whose `width` need not be that of ours.

    Raises:
        UserError: the comment starts as a rule does and is none.
    """
    default = _value(default)
    declared, _ = split(comment, whole=_is_whole(default))
    if declared is not None:
        return declared
    if _STARTS.match(comment):
        how = "> 0, <= 1 or word | word; what else is to be said stands behind a semicolon"
        where = f"{group}.{parameter}  # {comment}"
        raise UserError("the comment begins like a rule, and is none", where=where, how=how)
    of_group = {} if own_model else _of_the_group("activation" if group == "upper_activation" else group)
    ours = of_group.get(parameter, ())
    return next((rule for rule in ours if _follows(default) or rule.accepts(default)), _of_the_type(default))


@lru_cache(maxsize=1)
def plain_rules() -> dict[str, Rule]:
    """The rules of the keys that are in no group (`train.epochs`): those of `config.yaml`, and three others."""
    rules = {}
    for key in plain_parameters():
        if key.default:
            default = _value(key.default)
            rules[key.name] = split(key.comment, whole=_is_whole(default))[0] or _of_the_type(default)
    return rules | _OTHERS


@lru_cache(maxsize=16)
def _of_the_group(group: str) -> dict[str, list[Rule]]:
    """Parameter -> the rules that our choices of a group declare for it."""
    rules: dict[str, list[Rule]] = {}
    for choice in choices_of(group):
        for item in parameters_of(choice) if not choice.own else ():
            rule = split(item.comment, whole=_is_whole(_value(item.default)))[0]
            if rule is not None:
                rules.setdefault(item.name, []).append(rule)
    return rules


def _of_the_type(default: Any) -> Rule:
    if isinstance(default, bool):
        return Rule(lambda v: isinstance(v, bool), "true or false", words=("true", "false"))
    if isinstance(default, int):
        return Rule(is_int, "a whole number")
    if isinstance(default, float):
        return Rule(is_number, "a number (finite)", real=True)
    if isinstance(default, str) and not _follows(default):
        return Rule(lambda v: isinstance(v, str), "a word")
    if isinstance(default, list):
        return Rule(lambda v: isinstance(v, list), "a list")
    return Rule(lambda _: True, "anything")


def _is_whole(default: Any) -> bool:
    """Whether a default is a whole number, or a list of them."""
    return is_int(default) or (isinstance(default, list) and default != [] and all(map(is_int, default)))


def _follows(default: Any) -> bool:
    return isinstance(default, str) and default.startswith("${")


def _value(text: Any) -> Any:
    """The value that a text of YAML stands for, as far as a rule depends on it."""
    if not isinstance(text, str):
        return text
    if text in _SPELT:
        return _SPELT[text]
    if re.fullmatch(r"[-+]?\d+", text):
        return int(text)
    if re.fullmatch(_NUMBER, text):
        return float(text)
    return [_value(item.strip()) for item in text[1:-1].split(",")] if re.fullmatch(r"\[.*\]", text) else text


def _is_pattern(value: Any) -> bool:
    return (isinstance(value, str) and value.strip("-") != "") or (is_int(value) and value >= 0)


_SPELT = {"true": True, "false": False, "null": None}
_FOLDER = r"[\w.=,+-]([\w.=,+ -]*[\w.=,+-])?"

_OTHERS = {  # what no comparison says
    "study": Rule(
        lambda v: isinstance(v, str) and re.fullmatch(_FOLDER, v) is not None and v.strip(".") != "",
        "a plain folder name: letters, digits, blanks within it, . _ - + = ,",
    ),
    "sites": Rule(
        lambda v: _is_pattern(v) or (isinstance(v, list) and v != [] and all(map(_is_pattern, v))),
        "all, last, a name in which * stands for anything, or a list of these; -NAME leaves out",
    ),
    "weights": Rule(lambda v: v is None or (isinstance(v, str) and v != ""), "a file, or null"),
    "output_dir": Rule(lambda v: isinstance(v, str) and v != "", "a folder"),
    "trust": Rule(
        lambda v: v is None or isinstance(v, str) or (isinstance(v, list) and all(isinstance(p, str) for p in v)),
        "the name of a package, or a list of names",
    ),
}


# ---------------------------------------------------------------- reading a comment

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"
_COMPARISON = rf"(?:>=|<=|>|<) ?{_NUMBER}"
_RANGE = re.compile(rf"(?:(each|both) )?(whole )?({_COMPARISON}(?:, ?{_COMPARISON})?)")
_WORD = re.compile(r"[\w.:-]+")
_STARTS = re.compile(rf"(?:each |both |whole )*{_COMPARISON}|= ?[\w.:-]+ *(?:;|$)")  # no other comment does
_MOST = 2**31 - 1  # what is counted is counted in 32 bits somewhere


@lru_cache(maxsize=512)
def split(comment: str, *, whole: bool = False) -> tuple[Rule | None, str]:
    """The rule at the beginning of a comment, or None where there is none, and the remark behind it.

    Args:
        whole: whether the default is a whole number, or a list of them.

    >>> split("> 0, <= 1; share of the outputs")[0].expected, split("> 0, <= 1; share of the outputs")[1]
    ('a number above 0 and up to 1', 'share of the outputs')
    """
    text, _, remark = comment.partition(";")
    single = text.startswith("=")
    parts = [part.strip() for part in text.removeprefix("=").split("|")]
    ranges = [match for part in parts if (match := _RANGE.fullmatch(part))]
    words = tuple(part for part in parts if _WORD.fullmatch(part))
    kinds = [match[1] for match in ranges]
    if len({*kinds}) < len(kinds) or len(ranges) + len(words) < len(parts) or not (ranges or single or len(words) > 1):
        return None, comment
    rules = [_ranged(match, words if match is ranges[-1] else (), whole) for match in ranges] or [_one_of(words)]
    return (rules[0] if len(rules) == 1 else _any_of(rules)), remark.strip()


def in_words(comment: str, default: str, *, ranges: bool = True) -> str:
    """A comment with its rule in words: `a number above 0; the step size`; without `ranges`, only a choice of words."""
    rule, remark = split(comment, whole=_is_whole(_value(default)))
    said = rule.expected if rule is not None and (ranges or rule.expected.startswith("one of")) else ""
    said = said if said != default else ""
    return "; ".join(filter(None, [said, remark]))


def _any_of(rules: list[Rule]) -> Rule:
    """What one of several rules accepts."""
    return Rule(
        lambda v: any(rule.accepts(v) for rule in rules),
        ", or ".join(rule.expected for rule in rules),
        real=all(rule.real for rule in rules),
        words=tuple(word for rule in rules for word in rule.words),
    )


def _one_of(words: tuple[str, ...]) -> Rule:
    numbered = any(isinstance(_value(word), int) for word in words)
    expected = " or ".join(words) if numbered or len(words) == 1 else f"one of {', '.join(words)}"
    return Rule(_spelt(words), expected, words=tuple(word for word in words if not _counts(word)))


def _spelt(words: tuple[str, ...]) -> Callable[[Any], bool]:
    """Whether a value is one of some words, or of the numbers and nothing (null) that they stand for."""
    values = [_value(word) for word in words if not _counts(word)]
    patterns = [re.compile(re.escape(word.removesuffix("N")) + r"\d+") for word in words if _counts(word)]
    return lambda v: (
        any(type(v) is type(value) and v == value for value in values)
        or (isinstance(v, str) and any(pattern.fullmatch(v) for pattern in patterns))
    )


def _counts(word: str) -> bool:
    return word.endswith(":N")


def _ranged(match: re.Match[str], words: tuple[str, ...], whole: bool) -> Rule:
    bounds = [
        (sign, float(bound) if re.search(r"[.e]", bound) else int(bound))
        for sign, bound in re.findall(rf"(>=|<=|>|<) ?({_NUMBER})", match[3])
    ]
    whole = whole or match[2] is not None

    def inside(value: Any) -> bool:
        number = is_int(value) and abs(value) <= _MOST if whole else is_number(value)
        return number and all(_holds(value, sign, bound) for sign, bound in bounds)

    spelt, several = _spelt(words), match[1]
    expected = _in_words(dict(bounds), whole=whole, several=several) + "".join(f", or {word}" for word in words)
    if several is None:
        return Rule(lambda v: inside(v) or spelt(v), expected, real=not whole, words=words)

    def items(value: Any) -> bool:
        fits = isinstance(value, list) and (len(value) == 2 if several == "both" else len(value) > 0)
        return fits and all(map(inside, value))

    return Rule(lambda v: items(v) or spelt(v), expected, real=not whole, words=words)


def _holds(value: float, sign: str, bound: float) -> bool:
    return {">": value > bound, ">=": value >= bound, "<": value < bound, "<=": value <= bound}[sign]


def _in_words(bounds: dict[str, Any], *, whole: bool, several: str | None) -> str:
    """`a number from 0 to below 1`; what is expected, of one range."""
    kind = "whole number" if whole else "number"
    start = {None: f"a {kind}", "both": f"two {kind}s", "each": f"a list, [A,B,...], of {kind}s"}[several]
    match bounds:
        case {">=": low, "<=": high}:
            return f"{start} {'of' if whole else 'from'} {low} to {high}"
        case {">=": low, "<": high}:
            return f"{start} from {low} to below {high}"
        case {">": low, "<=": high}:
            return f"{start} above {low} and up to {high}"
        case {">": low, "<": high}:
            return f"{start} above {low} and below {high}"
    sign, bound = next(iter(bounds.items()))
    return f"{start} {_ONE_SIDED[sign].format(bound)}"


_ONE_SIDED = {">": "above {}", ">=": "of {} or more", "<": "below {}", "<=": "of {} or less"}
