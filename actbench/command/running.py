"""The command that is running, as its jobs know it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actbench.command.crew import Crew
    from actbench.command.search_pruning import Pruning
    from actbench.errors import UserError
    from actbench.sinks.sweep import Sweep


@dataclass
class Command:
    """What was typed, and how the jobs have ended.

    It is handed down to every job. In a launcher's worker it is a copy: how a job ended there is in its folder.

    Attributes:
        typed: the words of the command line.
        exit_codes: of the jobs that ended in this process.
        disk_errors: of these jobs.
        sweep: shows how they go, where several run in this process, one after the other.
        names: of configurations by their `id`, where what a sweep varies would not tell them apart in few words.
        crew: the worker processes of this one, which take some of the jobs.
        pruning: of a search that gives trials up, how a job finds its trial.
        to_go_on: the command that goes on, where a signal has stopped the sweep: it is said last.
        display: makes what shows the runs, where a program has called (`actbench.compare`): it is given what they
            come to, and nothing is printed of that.
        errors: of jobs that failed in this process.
        detach: whether it ends as soon as its jobs are in a queue (`--detach`).
        left: how to come back to jobs in a queue, as long as they would go on without this process.
        id: the same in all processes that work in the study at once (`store.joint`).
    """

    typed: Sequence[str] = ()
    exit_codes: list[int] = field(default_factory=list)
    disk_errors: list[OSError] = field(default_factory=list)
    sweep: Sweep | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    to_go_on: str = ""
    display: Callable[[], Sweep] | None = None
    errors: list[UserError] = field(default_factory=list)
    id: str = ""
    crew: Crew | None = None
    detach: bool = False
    left: str = ""
    pruning: Pruning | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What a launcher's worker gets: the terminal is not among it."""
        return {**self.__dict__, "sweep": None, "display": None, "crew": None}
