"""`actbench list sites`: the activation sites of a network of the user's own, without training it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from actbench.command import auto, composing, planning, trusting
from actbench.command.quoting import for_hydra
from actbench.errors import Problem, UserError

_HOW = "actbench list sites model=mynet:Net dataset=digits, as it is typed to train"


def show(words: Sequence[str], console: Console) -> None:
    """Prints every site: name, kind, units, shape, and why it is left alone.

    Args:
        words: KEY=VALUE, as they are typed to train.
        console: to print on.

    Raises:
        UserError: the words do not say one network of the user's own, or it cannot be built.
    """
    if not any(word.startswith("model=") for word in words):
        raise UserError("the sites of which network?", where="list sites", how=_HOW)
    composing.register()
    typed = trusting.with_trust([for_hydra(word) for word in words])
    jobs, problems = planning.plan([*typed, "study=sites"], multirun=False)
    if problems:
        raise UserError.of(problems)
    settings = auto.resolve(jobs)[0].settings

    from actbench.sites.exchange import Exchanged
    from actbench.sites.listing import in_lines
    from actbench.train.build import load_splits
    from actbench.train.networks import build_network

    splits = load_splits(settings)
    network = build_network(settings, splits.inputs, splits.classes, settings.seed)
    if not isinstance(network, Exchanged):
        what = "is built of what is chosen: each of its layers has the activation"
        raise UserError.of([Problem(what, f"model={settings.model.name}", _HOW)])
    for line in in_lines(network.found, network.exchanged, most=None):
        console.print(line, markup=False)
