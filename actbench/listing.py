"""`actbench list` and `actbench --help`: what can be typed. Reads the files of `conf/` alone."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from actbench.choices import choices_of, groups, packaged_conf
from actbench.errors import UserError

_USAGE = """\
actbench: which activation function should I use here, and why does this one fail?

Usage
  actbench activation=leaky_relu                    train 5 seeds together; ends with a table
  actbench -m activation=relu,leaky_relu,gelu       a sweep: one run for each, and a comparison
  actbench experiment=article_mlp activation=elu    a published set-up with one thing changed
  actbench -m +sweep=activations                    a preset sweep; ends in one comparison
  actbench report PATH ...                          the comparison again, from files (--help shows how)
  actbench kernels                                  what each activation costs on this device (--help shows how)
  actbench list [GROUP ...]                         what can be chosen, with one line each
  tensorboard --logdir outputs                      look inside

Choices (GROUP=CHOICE; parameters are GROUP.PARAMETER=VALUE)"""

_FLAGS = """\
Flags
  -m, --multirun    a sweep over comma-separated values
  --cfg job         print the configuration as it would run, and stop
  --version         print the version
  --hydra-help      what Hydra's own flags do (launchers, shell completion, ...)"""


def show(arguments: Sequence[str]) -> int:
    """Prints all groups, or those named; returns the exit code.

    Raises:
        UserError: there is no such group.
    """
    known = groups()
    for group in arguments:
        if group not in (*known, "upper_activation"):
            near = difflib.get_close_matches(group, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "groups: " + ", ".join(known)
            raise UserError("there is no such group", where=group, how=hint)
    console = Console(highlight=False)
    for group in arguments or known:
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 2))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for choice in choices_of("activation" if group == "upper_activation" else group):
            table.add_row(choice.name, Text(choice.description + (" (yours)" if choice.own else "")))
        console.print(Text(group, style="bold"))
        console.print(table)
    if not arguments:
        console.print("\nactbench GROUP=CHOICE ...; a choice's parameters are GROUP.PARAMETER=VALUE")
    return 0


def show_help() -> int:
    """Prints what can be typed; returns the exit code."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(_USAGE, markup=False)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 2))
    table.add_column(no_wrap=True)
    table.add_column()
    for group in groups():
        names = [choice.name for choice in choices_of(group)]
        table.add_row(group, ", ".join(names))
        if group == "activation":
            table.add_row("upper_activation", "none, or any activation: for the upper half of the network")
    Console(highlight=False).print(table)
    console.print("\nKeys and their defaults (KEY=VALUE)")
    console.print("\n".join(f"  {line}" for line in _keys()), markup=False)
    console.print("\n" + _FLAGS, markup=False)
    return 0


def _keys() -> list[str]:
    """The lines of `config.yaml` between the list of groups and what concerns Hydra alone."""
    text = (packaged_conf() / "config.yaml").read_text(encoding="utf-8")
    return text.split("\nsplit:")[1].join(["split:", ""]).split("\nhydra:")[0].rstrip().splitlines()
