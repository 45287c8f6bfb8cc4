"""How many processes may train runs of a sweep side by side on this machine, and why not more."""

from __future__ import annotations

from collections.abc import Sequence

from actbench import cores
from actbench.datasets.memory import free_memory
from actbench.settings import Settings

_MEMORY = 1 << 30  # bytes of a process: torch, a dataset such as MNIST, and the networks of a run


def processes(due: Sequence[Settings], asked: int | None) -> tuple[int, str]:
    """How many processes share runs, and what limits their number; 1 where they would not pay.

    Args:
        due: the settings of the runs that nobody has begun.
        asked: what was typed; then only a GPU is a reason for fewer.
    """
    if any(_on_gpu(settings) for settings in due):
        return 1, ""  # which one run can fill, and which several would share
    number = cores.available()
    threads = max((_threads_of_a_kernel(settings) for settings in due), default=1)
    limits = [(len(due) + 1, f"there are {len(due) + 1} runs"), (number, f"there are {number} cores")]
    if asked is not None:
        return min(asked, len(due) + 1), f"{number} cores"
    if threads > 1:
        why = f"a run of fewer seeds than cores uses {threads} threads (train.threads=1: one core a run)"
        limits.append((number // threads, why))
    if (memory := free_memory()) is not None:
        limits.append((1 + memory // _MEMORY, f"{memory / 2**30:.1f} GiB of memory are free"))
    most, why = min(limits, key=lambda limit: limit[0])
    return max(1, most), why if number > 1 else ""


def _on_gpu(settings: Settings) -> bool:
    from actbench.train.machine import choose_device  # imports torch, which has trained by now

    return choose_device(settings.train.device, settings.train.precision).type != "cpu"


def _threads_of_a_kernel(settings: Settings) -> int:
    """As `train.build` has it, for a network whose seeds can train side by side."""
    from actbench.train import machine

    threads = settings.train.threads or machine._DEFAULT_THREADS
    return max(1, threads // settings.num_seeds)
