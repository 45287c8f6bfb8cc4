"""`actbench list`: what can be chosen in each group, with one line each."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from actbench.choices import choices_of, groups
from actbench.errors import UserError


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
