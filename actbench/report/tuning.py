"""Tuning on equal terms: each activation at its best out of the same settings, chosen by validation accuracy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from actbench import naming
from actbench.errors import Problem, UserError
from actbench.report import sentences
from actbench.report.baseline import by_validation
from actbench.report.configurations import Block, Configuration, in_order
from actbench.report.formatting import count
from actbench.report.verdict import Verdict, decide

_ACTIVATIONS = ("activation", "upper_activation")

Table = dict[str, dict[str, Configuration]]  # value of the tuned key -> setting of the others -> configuration


@dataclass(frozen=True)
class Tuned:
    """The best setting of each value of the key `per` by validation accuracy, out of the same `settings` for all.

    The configurations of `verdict` are named by the value. `chosen` has the setting of each, `untuned` what it is at
    `common`, the one setting whose validation accuracy is best on average over all values.
    """

    per: str
    settings: tuple[str, ...]
    verdict: Verdict
    chosen: Mapping[str, str]
    common: str
    untuned: Mapping[str, Configuration]


def check_per(block: Block, per: str | None) -> None:
    """Raises a UserError if `per` is no key that varies."""
    if per not in (None, "none") and not any(_belongs(key, full_key(block, per)) for key in block.varying):
        varying = ", ".join(block.varying) or "nothing varies"
        raise UserError("does not vary here", where=f"--per {per}", how=f"what does: {varying}")


def full_key(block: Block, per: str) -> str:
    """`optimizer.lr` for `lr`, where that is clear."""
    ending = [key for key in block.varying if key.rpartition(".")[2] == per]
    return ending[0] if len(ending) == 1 else per


def tune(
    block: Block, per: str | None, baseline: Configuration | None, terms: Verdict, problems: list[Problem]
) -> tuple[Tuned | None, list[str]]:
    """The tuning, and remarks on it; None where only one key varies, or no two settings were tried with two values.

    Its verdict has the margin, the test set and the looks of `terms`, and the value of the baseline as its baseline.
    """
    key = full_key(block, per or "activation")
    own = [varied for varied in block.varying if _belongs(varied, key)]
    rest = [varied for varied in block.varying if varied not in own]
    if per == "none" or not own or not rest:
        return None, [f"only {key} varies, so there is nothing to tune"] if per not in (None, "none") else []
    table: Table = {}
    settings = [one.settings for one in block.configurations]
    named = zip(naming.fragments(settings, own), naming.fragments(settings, rest), block.configurations, strict=True)
    for value, setting, configuration in named:
        table.setdefault(value or key, {})[setting] = configuration
    if per is None and len({setting for of in table.values() for setting in of}) == sum(map(len, table.values())) > 1:
        return None, []  # each setting was tried once, as a search does that draws them: nobody has meant to tune so
    tried, remarks = _equal_terms(table, key)
    if len(tried) < 2 or len(table) < 2:
        return None, [f"no tuning per {key}: there are no two settings that were both tried with two of its values"]
    best = naming.fragments([baseline.settings], own)[0] if baseline else None
    return _tuned(block, key, table, tried, best, terms, problems), remarks


def _belongs(key: str, per: str) -> bool:
    """Whether `key` belongs to `per`: the two activations of a network count as one, with their parameters."""
    if per in _ACTIVATIONS:
        return key.partition(".")[0] in _ACTIVATIONS
    return key == per


def _equal_terms(table: Table, key: str) -> tuple[list[str], list[str]]:
    """The settings that were tried with every value, and remarks. Values tried with fewer than two leave `table`."""
    remarks = []
    while len(table) > 1:
        tried = sorted(set.intersection(*({*of} for of in table.values())))
        fewest = min(table, key=lambda value: len(table[value]))
        if len(tried) >= 2 or len(table) == 2:
            break
        remarks.append(
            f"{fewest} was tried with only {count(len(table[fewest]), 'setting')} and is left out of the tuning"
        )
        del table[fewest]
    every = {setting for of in table.values() for setting in of}
    tried = sorted(setting for setting in every if all(setting in of for of in table.values()))
    untried = len(every) - len(tried)
    if untried and len(tried) >= 2:
        remarks.append(f"the tuning leaves out {count(untried, 'setting')} that not every {key} was tried with")
    return tried, remarks


def _tuned(
    block: Block, per: str, table: Table, tried: Sequence[str], baseline: str | None, terms: Verdict,
    problems: list[Problem],
) -> Tuned:  # fmt: skip
    chosen = {value: max(tried, key=lambda setting: by_validation(of[setting])) for value, of in table.items()}
    best, _ = in_order([replace(of[chosen[value]], name=value) for value, of in table.items()])
    asked = [configuration for configuration in best if configuration.name == baseline and configuration.n]
    verdict = decide(
        replace(block, configurations=tuple(best), waiting=(), note=""),
        margin=terms.margin, test_set=terms.test_set, look=terms.look, earlier=terms.earlier,
        problems=problems, baseline=asked[0] if asked else None, beside=terms.beside,
    )  # fmt: skip

    def over_all(setting: str) -> tuple[bool, float]:
        at_setting = [of[setting] for of in table.values()]
        accuracies = [max(0.0, configuration.mean("val_accuracy")) for configuration in at_setting]
        return not any(configuration.diverged for configuration in at_setting), math.fsum(accuracies)

    verdict = replace(verdict, sentences=tuple(sentences.brief(verdict)))
    common = max(tried, key=over_all)
    untuned = {value: of[common] for value, of in table.items()}
    return Tuned(per, tuple(tried), verdict, chosen, common, untuned)
