"""How the share of dead units changes with the definition of dead."""

from __future__ import annotations

import math
from collections.abc import Mapping

from actbench.measures.definitions import DefinitionRecord
from actbench.records import Estimate
from actbench.report.configurations import Configuration
from actbench.report.formatting import listed, mean
from actbench.report.seed_records import records_by_seed
from actbench.report.text_table import TextTable

_NOTE = (
    "share of all units (%) after training, mean over seeds; exact: f'(z) = 0 for every validation sample; "
    "dormant<=T: mean |h| at most T of the layer's mean of mean |h| (Sokar et al. 2023, arXiv:2302.12902; "
    "T = 0: outputs 0 for every sample); fires<1%: z > 0 (topk: let through) for less than 1 % of the samples "
    "(convolutions: of the samples and positions)"
)


def dead_by_definition(configuration: Configuration) -> dict[str, Estimate]:
    """Definition -> the share of the network's units that are dead by it after training.

    Raises:
        UserError: a file cannot be read.
    """
    shares: dict[str, list[float]] = {}
    for records in records_by_seed(configuration, DefinitionRecord).values():
        last_epoch = max(record.epoch for record in records)
        dead: dict[str, float] = {}
        units: dict[str, int] = {}
        for record in (record for record in records if record.epoch == last_epoch):
            dead[record.definition] = dead.get(record.definition, 0.0) + record.share * record.units
            units[record.definition] = units.get(record.definition, 0) + record.units
        for definition, number in dead.items():
            share = number / units[definition] if units[definition] else math.nan
            shares.setdefault(definition, []).append(share)
    return {definition: Estimate.of(values) for definition, values in shares.items()}


def dead_by_definition_table(
    of_configurations: Mapping[str, Mapping[str, Estimate]], selection: str = ""
) -> TextTable | None:
    """None where no definition calls a unit dead. `selection` says which configurations these are if not all."""
    measured = {name: shares for name, shares in of_configurations.items() if shares}
    if not any(estimate.mean for shares in measured.values() for estimate in shares.values()):
        return None
    definitions = list(dict.fromkeys(definition for shares in measured.values() for definition in shares))
    # The dormant ones come last, since they are the most: a terminal may have no room for all columns.
    definitions.sort(key=lambda definition: definition.startswith("dormant"))
    nothing = Estimate.of([])
    alive = [name for name, shares in measured.items() if not any(estimate.mean for estimate in shares.values())]
    rows = tuple(
        (name, *(mean(shares.get(definition, nothing), 1, 100) for definition in definitions))
        for name, shares in measured.items()
        if name not in alive
    )
    note = f"{_NOTE}; no unit dead by any of these in {listed(alive, len(alive))}" if alive else _NOTE
    note += f"; {selection}" if selection else ""
    header = ("configuration", *definitions)
    return TextTable("Dead by definition", header, rows, note=note, section="definitions", gist=_gist(measured))


def _gist(measured: Mapping[str, Mapping[str, Estimate]]) -> str:
    """`gelu from 6.4 % (exact) to 45.0 % (dormant<=0.1)`: of the configuration for which it matters most."""
    spans = {}
    for name, shares in measured.items():
        known = {definition: estimate.mean for definition, estimate in shares.items() if estimate.mean is not None}
        if known:
            low, high = min(known, key=lambda one: known[one]), max(known, key=lambda one: known[one])
            spans[name] = (known[high] - known[low], low, high)
    name = max(spans, key=lambda one: spans[one][0])
    _, low, high = spans[name]
    shares = measured[name]
    if not spans[name][0]:
        return f"{mean(shares[low], 1, 100)} % by every definition"
    return f"{name} from {mean(shares[low], 1, 100)} % ({low}) to {mean(shares[high], 1, 100)} % ({high})"
