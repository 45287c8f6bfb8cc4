"""actbench: compare activation functions over several seeds, and see why one fails.

>>> import actbench
>>> found = actbench.compare(data="digits", activations=["relu", "gelu"])     # doctest: +SKIP
>>> print(found.verdict)                                                      # doctest: +SKIP

`compare`, `run` and `load` are the command from Python, `watch` looks into a training loop of one's own. Importing this
package imports neither torch nor Hydra: they are imported with the first use of a name.
"""

import random
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from actbench.errors import UserError

if TYPE_CHECKING:
    from actbench.api import Comparison, Decision, Interval, Picture, Run, Verdict, compare, load, run
    from actbench.watching import watch

__version__ = "0.1.0"

_HOMES = {
    **dict.fromkeys(
        ("Comparison", "Decision", "Interval", "Picture", "Run", "Verdict", "compare", "load", "run"), "actbench.api"
    ),
    "watch": "actbench.watching",
}

__all__ = [
    "Comparison", "Decision", "Interval", "Picture", "Run", "UserError", "Verdict", "compare", "load", "run", "watch",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'actbench' has no attribute '{name}'", name=name, obj=sys.modules[__name__])
    state = random.getstate()
    try:
        value = getattr(import_module(_HOMES[name]), name)
    finally:
        random.setstate(state)  # modules of libraries draw numbers, and a program has seeded them by now
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
