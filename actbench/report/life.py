"""The life and death of units, over whole networks: who was dead from the start, who died, and by which definition."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from actbench.measures.definitions import DefinitionRecord
from actbench.measures.layers import LayerRecord
from actbench.measures.units import network_ratio
from actbench.records import Estimate
from actbench.report.configurations import Configuration
from actbench.report.readings import by_seed
from actbench.report.text_table import Sheet, mean


@dataclass(frozen=True)
class Life:
    """What became of the units of a network, over the seeds that did not diverge.

    `dead_before` is the share dead before training; after it `dead` = `never_alive` + `died`, of which the latter lived
    once. `births`, `deaths` and `revivals` are numbers of units over all epochs (one that dies twice counts twice),
    `dead_for` the mean time in epochs that those dead at the end have been so.
    """

    units: int
    dead_before: Estimate
    dead: Estimate
    never_alive: Estimate
    died: Estimate
    births: Estimate
    deaths: Estimate
    revivals: Estimate
    dead_for: Estimate

    @property
    def eventful(self) -> bool:
        """A unit was dead at some time."""
        estimates = [getattr(self, field.name) for field in fields(self) if field.name != "units"]
        return any(value for estimate in estimates for value in estimate.values)


def life(one: Configuration) -> Life | None:
    """The life of a configuration's units; None where its runs did not record it.

    Raises:
        UserError: a file cannot be read.
    """
    columns: dict[str, list[float]] = {field.name: [] for field in fields(Life)}
    for records in by_seed(one, LayerRecord).values():
        end = max(record.epoch for record in records)
        first = [record for record in records if record.epoch == 0]
        last = [record for record in records if record.epoch == end]
        if (
            not first
            or end < one.settings.train.epochs
            or not all(math.isfinite(record.dead_at_init) for record in last)
        ):
            continue  # of an earlier version, or nobody looked before training
        columns["units"].append(sum(record.units for record in last))
        columns["dead_before"].append(network_ratio(first, "dead"))
        for name, ratio in (("dead", "dead"), ("never_alive", "dead_at_init"), ("died", "died")):
            columns[name].append(network_ratio(last, ratio))
        for event in ("births", "deaths", "revivals"):
            columns[event].append(float(sum(getattr(record, event) for record in records)))
        columns["dead_for"].append(_dead_for(last))
    units = columns.pop("units")
    if not units:
        return None
    return Life(units=int(units[0]), **{name: Estimate.of(values) for name, values in columns.items()})


def _dead_for(layers: Sequence[LayerRecord]) -> float:
    """The mean over all dead units of a network, from the means of its layers."""
    dead = [(layer.dead_for, layer.dead * layer.units) for layer in layers if math.isfinite(layer.dead_for)]
    number = math.fsum(weight for _, weight in dead)
    return math.fsum(time * weight for time, weight in dead) / number if number else math.nan


def life_sheet(lives: Mapping[str, Life | None], few: str = "") -> Sheet | None:
    """None where no unit was ever dead. `few` says which configurations they are where they are not all."""
    known = {name: one for name, one in lives.items() if one is not None}
    if not any(one.eventful for one in known.values()):
        return None
    header = (
        "configuration", "dead before %", "dead after %", "never alive %", "died %", "deaths", "revivals", "births",
        "dead for (epochs)", "units",
    )  # fmt: skip
    rows = tuple((name, *_life_row(one)) for name, one in known.items())
    note = (
        "dead before: before training; dead after: never alive + died in training; births, deaths and revivals: units "
        "from one epoch to the next, summed over training; dead for: mean of those dead at the end; means over seeds, "
        "those that were looked at from the start"
    )
    return Sheet("Life and death of units", header, rows, note=_with(note, few))


def _with(note: str, more: str) -> str:
    return f"{note}; {more}" if more else note


def _life_row(one: Life) -> tuple[str, ...]:
    return (
        mean(one.dead_before, 1, 100),
        one.dead.plus_minus(1, 100),
        mean(one.never_alive, 1, 100),
        mean(one.died, 1, 100),
        mean(one.deaths, 1),
        mean(one.revivals, 1),
        mean(one.births, 1),
        mean(one.dead_for, 1),
        f"{one.units:,}",
    )


# ---------------------------------------------------------------- definitions


def definitions(one: Configuration) -> dict[str, Estimate]:
    """Definition -> the share of the network's units that are dead by it after training.

    Raises:
        UserError: a file cannot be read.
    """
    shares: dict[str, list[float]] = {}
    for records in by_seed(one, DefinitionRecord).values():
        end = max(record.epoch for record in records)
        dead: dict[str, float] = {}
        units: dict[str, int] = {}
        for record in (record for record in records if record.epoch == end):
            dead[record.definition] = dead.get(record.definition, 0.0) + record.share * record.units
            units[record.definition] = units.get(record.definition, 0) + record.units
        for name, number in dead.items():
            shares.setdefault(name, []).append(number / units[name] if units[name] else math.nan)
    return {name: Estimate.of(values) for name, values in shares.items()}


def definitions_sheet(found: Mapping[str, Mapping[str, Estimate]], few: str = "") -> Sheet | None:
    """How the share of dead units changes with the definition; None where it is 0 by all of them. `few` as above."""
    known = {name: shares for name, shares in found.items() if shares}
    if not any(estimate.mean for shares in known.values() for estimate in shares.values()):
        return None
    names = list(dict.fromkeys(name for shares in known.values() for name in shares))
    names.sort(key=lambda name: name.startswith("dormant"))  # the longest list last: a terminal may have no room for it
    none = Estimate.of([])
    rows = tuple((one, *(mean(of.get(name, none), 1, 100) for name in names)) for one, of in known.items())
    note = (
        "share of all units (%) after training, mean over seeds; exact: f'(z) = 0 for every validation sample; "
        "dormant<=T: mean |h| at most T of the layer's mean of mean |h| (Sokar et al. 2023, arXiv:2302.12902; "
        "T = 0: puts out 0 for every sample); fires<1%: z > 0 (of topk: let through) for less than one "
        "sample in a hundred (of convolutions: sample and position)"
    )
    return Sheet("Dead by definition", ("configuration", *names), rows, note=_with(note, few))
