"""Looks that fail while training goes on: each cause is told once, and at the end how often."""

from __future__ import annotations

import re
import sys

from actbench.errors import UserError, in_a_line

_NUMBER = re.compile(r"0x[0-9a-f]+|\d[\d.,]*")  # of the step, of bytes: the cause is the same with another one


class Failures:
    """What went wrong at the looks of one watch."""

    def __init__(self) -> None:
        self._by_cause: dict[str, list[tuple[int, str]]] = {}  # each with step and message

    def tell(self, step: int, error: Exception) -> None:
        """Says that there is no look at a step, unless its cause was told before."""
        line = str(error.problems[0]).splitlines()[0] if isinstance(error, UserError) else in_a_line(error)
        of_cause = self._by_cause.setdefault(_NUMBER.sub("#", line), [])
        of_cause.append((step, line))
        if len(of_cause) == 1:
            _print(f"no look at step {step:,}, training goes on: {line}")

    def tell_how_often(self) -> None:
        """Says of each cause that came again at how many looks."""
        for of_cause in self._by_cause.values():
            (first, line), (last, _) = of_cause[0], of_cause[-1]
            if len(of_cause) > 1:
                _print(f"{len(of_cause):,} looks failed, from step {first:,} to {last:,}: {line}")
        self._by_cause.clear()


def _print(text: str) -> None:
    print(f"actbench.watch: {text}", file=sys.stderr)
