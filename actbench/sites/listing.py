"""The sites of a network for people: lines for a terminal, and a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Sequence

from actbench.sites.site import Site

COLUMNS = ("name", "kind", "units", "axis", "shape", "exchanged", "why")
_MOST = 12  # lines on a terminal


def rows(sites: Sequence[Site], exchanged: Collection[str]) -> list[tuple[str, ...]]:
    """What `COLUMNS` names of each site.

    Args:
        sites: of a network, in the order in which a pass meets them.
        exchanged: names of those that have another activation.
    """
    return [
        (site.name, site.kind, *_sizes(site), "yes" if site.name in exchanged else "no", _why(site, exchanged))
        for site in sites
    ]


def _sizes(site: Site) -> tuple[str, str, str]:
    if site.hidden:
        return "", "", ""
    return str(site.units), str(site.axis), "x".join(["B", *map(str, site.shape[1:])])


def _why(site: Site, exchanged: Collection[str]) -> str:
    if site.name in exchanged:
        return ""
    if site.why_not:
        return site.why_not
    return "not selected by sites=" if exchanged else "activation=own"


def as_csv(sites: Sequence[Site], exchanged: Collection[str]) -> str:
    """A CSV file of all sites."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows(sites, exchanged))
    return text.getvalue()


def in_lines(
    sites: Sequence[Site], exchanged: Collection[str], more: str = "sites.csv", *, most: int | None = _MOST
) -> list[str]:
    """A heading, and a line for each site.

    Args:
        sites: of a network.
        exchanged: names of those that have another activation.
        more: where the others are listed.
        most: lines of sites; None: all.
    """
    kept = [site for site in sites if site.exchangeable]
    head = f"{len(exchanged)} of {len(sites)} activations exchanged"
    if len(kept) < len(sites):
        head += f", {len(sites) - len(kept)} left alone"
    return [f"{head}:" if sites else "no activations found", *found_in_lines(sites, exchanged, more, most=most)]


def found_in_lines(
    sites: Sequence[Site], exchanged: Collection[str] = (), more: str = "", *, most: int | None = _MOST
) -> list[str]:
    """A line for each site, at most `most` of them."""
    listed = rows(sites, exchanged)
    short = most is not None and len(listed) > most
    shown = [*listed[: most - 3], *listed[-2:]] if most is not None and short else listed
    width = max((len(row[0]) for row in shown), default=0)
    lines = [
        f"  {name:{width}}  {kind}" + (f", {units} units ({shape})" if shape else "") + (f": {why}" if why else "")
        for name, kind, units, _, shape, _, why in shown
    ]
    if most is not None and short:
        lines.insert(most - 3, f"  ... {len(listed) - len(shown)} more" + (f", all in {more}" if more else ""))
    return lines
