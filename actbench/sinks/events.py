"""TensorBoard's event files, written by whoever calls `flush`."""

from __future__ import annotations

import io
import itertools
import os
import platform
import time
import warnings
from pathlib import Path
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of what tensorboard imports
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter
    from torch.utils.tensorboard import FileWriter, SummaryWriter


_NUMBERS = itertools.count()  # tells the event files of one process apart


class _Events:
    """An event file that is written when `flush` is called.

    TensorBoard's own writer has a thread, in which the error of a full disk becomes a traceback on the terminal. What
    was not written is not tried again: the run has failed by then, and its next process begins the files anew.
    """

    def __init__(self, folder: Path) -> None:
        name = f"events.out.tfevents.{int(time.time()):010d}.{platform.node()}.{os.getpid()}.{next(_NUMBERS)}"
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._path = folder, folder / name
        self._pending: list[Event] = []
        self._open = False  # whether the last one has scalars alone
        self.add_event(Event(wall_time=time.time(), file_version="brain.Event:2"))
        self.flush()

    def get_logdir(self) -> str:
        return str(self._folder)

    def add_event(self, event: Event) -> None:
        """Scalars of one step in a row become one record, which takes half the bytes and is read faster."""
        scalars = bool(event.summary.value) and all(value.HasField("simple_value") for value in event.summary.value)
        if self._open and scalars and self._pending[-1].step == event.step:
            self._pending[-1].summary.value.extend(event.summary.value)
        else:
            self._pending.append(event)
            self._open = scalars

    def flush(self) -> None:
        content, events = io.BytesIO(), self._pending
        self._pending, self._open = [], False
        for event in events:
            RecordWriter(content).write(event.SerializeToString())
        if events:
            with self._path.open("ab") as file:
                file.write(content.getvalue())

    def close(self) -> None:
        self.flush()


class _File(FileWriter):
    def __init__(self, folder: Path) -> None:
        self.event_writer = _Events(folder)


class Writer(SummaryWriter):
    """torch's writer of scalars, pictures and histograms, over an event file of ours."""

    file_writer: Any
    all_writers: Any

    def _get_file_writer(self) -> Any:
        if self.file_writer is None:
            self.file_writer = _File(Path(self.log_dir))
            self.all_writers = {self.file_writer.get_logdir(): self.file_writer}
        return self.file_writer
