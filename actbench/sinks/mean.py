"""The mean in TensorBoard over all seeds of a configuration, where several runs have trained them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from actbench.errors import UserError
from actbench.records import Epoch, RunSummary
from actbench.sinks import logdir
from actbench.sinks.events import Writer
from actbench.sinks.tags import Tags, Thin, at_the_end, means
from actbench.store import own_tables, reader
from actbench.store.tables import of_epochs

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of what tensorboard imports
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog


def over_all_runs(folder: Path) -> None:
    """Writes the mean of a configuration anew, over the seeds of all its complete runs, from their own files.

    What else is there stays: pictures, texts, the settings in the HParams dashboard. Nothing is done where there are no
    other runs, where the run that the mean belongs to is still at work (it does this at its end), or where the files of
    a run cannot be read, which the report tells.

    Args:
        folder: of one of the runs, which has ended.
    """
    place = logdir.events_of(folder)
    if place is None or place.parent.parent != folder.parent:
        return
    with logdir.alone(place.parent):
        try:
            complete = {run: ended for run in logdir.runs_of(folder) if (ended := reader.completed(run)) is not None}
            if ({*complete} <= {folder} and logdir.owns(folder, place)) or not logdir.ended(place):
                return
            scalars = list(_means(complete, Thin.of(reader.settings_of(folder))))
        except UserError:
            return
        _replace(place, scalars)


def _means(complete: Mapping[Path, RunSummary], thin: Thin) -> Iterator[tuple[str, int, float]]:
    """Tag, step and mean of everything that has a tag; a seed that several runs have counts as the first has it."""
    whose: dict[int, Path] = {}
    for folder, summary in complete.items():
        for seed in summary.seeds:
            whose.setdefault(seed, folder)
    tags = Tags(layers=thin.layers)
    kinds = {**of_epochs(), **{name: kind for folder in complete for name, kind in own_tables.read(folder).items()}}
    by_epoch: dict[int, list[Any]] = {}
    for folder in complete:
        for name, kind in kinds.items():
            rows: list[Any] = reader.records(folder / f"{name}.csv", kind)
            for row in rows:
                if whose.get(row.seed) == folder:
                    by_epoch.setdefault(row.epoch, []).append(row)
    diverged = {
        (seed, epoch)
        for folder, summary in complete.items()
        for seed, epoch in summary.diverged.items()
        if whose[seed] == folder
    }
    for number in sorted(by_epoch):
        gone = [seed for seed, epoch in diverged if epoch == number]
        scalars = list(tags.of(Epoch(number=number, rows=tuple(by_epoch[number]))))
        yield from means(scalars if thin.has(number) else (), gone)
    yield from means([
        scalar for folder, summary in complete.items() for scalar in at_the_end(summary) if whose[scalar[0]] == folder
    ])  # fmt: skip


def _replace(place: Path, scalars: Sequence[tuple[str, int, float]]) -> None:
    """Exchanges the event files of a mean for one with these scalars, and what is there besides scalars.

    It begins with the sign for a TensorBoard that is open to forget what it has read. The file before it is emptied,
    not removed: TensorBoard's slower reader goes on to the next file only from one that is there.
    """
    earlier = sorted(place.glob("*tfevents*"))
    events = [Event.FromString(content) for path in earlier for content in RawEventFileLoader(str(path)).Load()]
    times = {(value.tag, event.step): event.wall_time for event in events for value in event.summary.value}
    writer = Writer(str(place))
    file = writer._get_file_writer().event_writer
    for _ in range(2):  # the first that TensorBoard meets is no new start to it
        file.add_event(Event(step=0, session_log=SessionLog(status=SessionLog.START)))
    for event in events:
        values = event.summary.value
        if values and not any(value.HasField("simple_value") for value in values):
            file.add_event(event)
    for tag, step, value in scalars:
        writer.add_scalar(tag, value, step, walltime=times.get((tag, step)))
    writer.close()
    for path in earlier:
        if path.stat().st_size:
            path.write_bytes(b"")
        else:
            path.unlink()
