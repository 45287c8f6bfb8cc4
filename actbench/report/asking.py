"""How a verdict tells its reader to ask for more: for seeds, another margin, what is not finished; here in a shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from actbench.report import more_command, typed_command
from actbench.report.configurations import Configuration
from actbench.report.runs import Run

if TYPE_CHECKING:
    from actbench.report.verdict import Verdict

_OTHERS = "goes on with the others."
_TO_GO_ON = "To go on where they stopped: "
_GO_ON = "The command that trained them goes on where they stopped."


class Asking(Protocol):
    """Parts of sentences that name what the reader does next."""

    of_these_images: str  # how to ask about the test images that there are, behind "would"

    def margin(self, points: str) -> str:
        """The argument for another margin."""

    def more(
        self, verdict: Verdict, configurations: Sequence[Configuration], seeds: int = 0, *, everyone: bool = False
    ) -> str:
        """What trains so many more seeds of some configurations; arguments as of `more_command.more`."""

    def to_go_on(self, unfinished: Iterable[Run]) -> str:
        """The sentence that tells what goes on with runs without results."""

    def for_another(self, configuration: Configuration) -> str:
        """What trains a second activation beside the only one that there is, as the end of a sentence."""


class InShell:
    """By commands."""

    of_these_images = " (or --test-set fixed, which asks about these images only)"
    more = staticmethod(more_command.more)

    def margin(self, points: str) -> str:
        """An option of all commands that compare."""
        return f"--margin {points}"

    def to_go_on(self, unfinished: Iterable[Run]) -> str:
        """The command that trained them, where it is one."""
        whole = typed_command.going_on(unfinished)
        return f"{_TO_GO_ON}`{whole}`." if whole else _GO_ON

    def for_another(self, configuration: Configuration) -> str:
        """The command with another activation, or the sweep that is not finished."""
        name = configuration.settings.activation.name
        other = another(name)
        run = configuration.counting[-1] if configuration.counting else None
        if run is not None and len(configuration.counting) == 1 and (whole := typed_command.with_another(run, other)):
            return f"`{whole}` trains {other} beside it."
        if run is not None and len(configuration.counting) == 1 and (whole := typed_command.rest_of_sweep(run)):
            return f"`{whole}` {_OTHERS}"
        return f"the same command with `-m activation={shlex.quote(name)},{other}` compares it with {other}."


IN_SHELL = InShell()


def another(activation: str) -> str:
    """What it is worth comparing an activation with."""
    return "gelu" if activation == "relu" else "relu"


def without_going_on(sentence: str) -> str:
    """A sentence without the command that goes on with unfinished runs.

    >>> without_going_on("Not in this verdict: gelu. To go on where they stopped: `actbench -m activation=relu,gelu`.")
    'Not in this verdict: gelu.'
    """
    sentence = re.sub(f" ({_TO_GO_ON}`[^`]*`\\.|{_GO_ON})$", "", sentence)
    return re.sub(f": `[^`]*` {_OTHERS}$", " yet.", sentence)
