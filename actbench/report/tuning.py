"""Tuning on equal terms: each activation at its best out of the same settings, chosen by validation accuracy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from actbench import naming
from actbench.errors import UserError
from actbench.report.configurations import Block, Configuration, in_order
from actbench.report.ranking import Baseline, Ranking, by_validation, find_baseline, rank
from actbench.report.words import count

_ACTIVATIONS = ("activation", "upper_activation")

Table = dict[str, dict[str, Configuration]]  # value of the tuned key -> setting of the others -> configuration


@dataclass(frozen=True)
class Tuned:
    """For each value of the key `per` its best setting by validation accuracy, out of the same `settings` for each.

    The rows of `ranking` are named by the value; `chosen` has the setting of each, `untuned` its configuration at
    `common`, the one setting with the best validation accuracy averaged over all of them.
    """

    per: str
    settings: tuple[str, ...]
    ranking: Ranking
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


def tune(block: Block, per: str | None, baseline: str | None) -> tuple[Tuned | None, list[str]]:
    """The tuning, and remarks on it; None where only one key varies, or no two settings were tried with two values."""
    key = full_key(block, per or "activation")
    own = [one for one in block.varying if _belongs(one, key)]
    rest = [one for one in block.varying if one not in own]
    if per == "none" or not own or not rest:
        return None, [f"nothing but {key} varies: there is nothing to tune"] if per not in (None, "none") else []
    table: Table = {}
    for one in block.configurations:
        setting = naming.fragment(one.settings, rest)
        table.setdefault(naming.fragment(one.settings, own) or key, {})[setting] = one
    tried, remarks = _equal_terms(table, key)
    if len(tried) < 2 or len(table) < 2:
        return None, [f"no tuning per {key}: there are not two settings that were tried with two values of it"]
    return _tuned(key, table, tried, _wanted(block, own, baseline)), remarks


def _belongs(key: str, per: str) -> bool:
    """The two activations of a network are one choice, with their parameters; of another group only the choice is."""
    if per in _ACTIVATIONS:
        return key.partition(".")[0] in _ACTIVATIONS
    return key == per


def _equal_terms(table: Table, key: str) -> tuple[list[str], list[str]]:
    """The settings that every value tried. Values that tried fewer than two of them are left out of `table`."""
    remarks = []
    while len(table) > 1:
        tried = sorted(set.intersection(*({*of} for of in table.values())))
        fewest = min(table, key=lambda value: len(table[value]))
        if len(tried) >= 2 or len(table) == 2:
            break
        remarks.append(
            f"{fewest} was tried with {count(len(table[fewest]), 'setting')} only and is left out of the tuning"
        )
        del table[fewest]
    every = {setting for of in table.values() for setting in of}
    tried = sorted(setting for setting in every if all(setting in of for of in table.values()))
    left = len(every) - len(tried)
    if left and len(tried) >= 2:
        remarks.append(f"{count(left, 'setting')} not tried with every {key}: without a part in the tuning")
    return tried, remarks


def _wanted(block: Block, own: Sequence[str], baseline: str | None) -> str | None:
    """The value of the tuned key that the asked baseline has."""
    if baseline is None:
        return None
    try:
        found = find_baseline(block.configurations, baseline)
    except UserError:
        return None
    return naming.fragment(found.configuration.settings, own) if found else None


def _tuned(per: str, table: Table, tried: Sequence[str], wanted: str | None) -> Tuned:
    chosen = {value: max(tried, key=lambda setting: by_validation(of[setting])) for value, of in table.items()}
    best, _ = in_order([replace(of[chosen[value]], name=value) for value, of in table.items()])
    named = [one for one in best if one.name == wanted and one.n]
    against = Baseline(named[0]) if named else find_baseline(best, None)

    def over_all(setting: str) -> tuple[bool, float]:
        of_all = [of[setting] for of in table.values()]
        return not any(one.diverged for one in of_all), math.fsum(max(0.0, one.mean("val_accuracy")) for one in of_all)

    common = max(tried, key=over_all)
    untuned = {value: of[common] for value, of in table.items()}
    return Tuned(per, tuple(tried), rank(best, against), chosen, common, untuned)
