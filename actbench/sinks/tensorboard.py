"""TensorBoard: one run per seed, one for their mean with its interval, hyperparameters, pictures and histograms."""

from __future__ import annotations

import io
import itertools
import math
import os
import platform
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actbench.measures import Histogram
from actbench.records import RATIOS, Epoch, EpochRecord, Estimate, Finding, LayerRecord, RunSummary, network_ratio

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of what tensorboard imports
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter
    from torch.utils.tensorboard import FileWriter, SummaryWriter
    from torch.utils.tensorboard.summary import hparams

_FINAL = {
    "test_accuracy": "accuracy/test",
    "test_loss": "loss/test",
    "int8_symmetric_accuracy": "int8_accuracy/symmetric",
    "int8_affine_accuracy": "int8_accuracy/affine",
    "int8_symmetric_snr": "int8_snr/symmetric",
    "int8_affine_snr": "int8_snr/affine",
}
_PER_LAYER = {
    **{ratio: f"{ratio}_ratio" for ratio in RATIOS},
    "mean": "output_mean",
    "std": "output_std",
    "grad_norm": "grad_norm",
}
_LIVES = {
    "births": "births",
    "deaths": "deaths",
    "revivals": "revivals",
    "dead_at_init": "dead_at_init_ratio",
    "died": "died_ratio",
    "dead_for": "dead_for",
}


class TensorBoardSink:
    """Event files under `folder`: `seed=K/` for each seed and `mean/` for all of them.

    Args:
        folder: the run's `tensorboard` folder; it must not hold an earlier process's events.
        seeds: the run's seeds.
        hyperparameters: flat values for the HParams dashboard.
        name: what people call the run: its rows in that dashboard are `NAME seed=K (ID)` and `NAME mean (ID)`.
        run_id: tells runs of one name apart.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seeds: Sequence[int],
        hyperparameters: Mapping[str, str | bool | int | float],
        name: str,
        run_id: str,
    ) -> None:
        self._seeds = {seed: _Writer(str(folder / f"seed={seed}")) for seed in seeds}
        self._mean = _Writer(str(folder / "mean"))
        self._laid_out = False
        self._mortal: set[str] = set()  # layers in which something has been dead: of the others there is nothing to say
        self._ends: list[tuple[_Writer, Any]] = []
        # The dashboard has one row for each group of sessions, averaged: every seed is a group of its own, and so is
        # their mean, so that both can be seen.
        named: list[tuple[Any, _Writer]] = [*self._seeds.items(), ("mean", self._mean)]
        for seed, writer in named:
            # The first item describes the whole experiment and would hide the columns of other runs: it is left out.
            _, start, end = hparams({**hyperparameters, "seed": str(seed)}, {"accuracy/test": None})
            _name_group(start, f"{name} {seed if seed == 'mean' else f'seed={seed}'} ({run_id})")
            writer._get_file_writer().add_summary(start)
            self._ends.append((writer, end))

    def write_epoch(self, epoch: Epoch) -> None:
        self._mortal |= {layer.layer for layer in epoch.layers if layer.dead > 0 or layer.births or layer.revivals}
        by_tag: dict[str, list[float]] = {}
        for seed, writer in self._seeds.items():
            for tag, value in self._of_seed(epoch, seed):
                writer.add_scalar(tag, value, epoch.number)
                if seed not in epoch.diverged:
                    by_tag.setdefault(tag, []).append(value)
        self._write_mean(by_tag, epoch.number)
        self._write_looks(epoch)
        if not self._laid_out and epoch.records:
            self._mean.add_custom_scalars(_layout(list(by_tag)))
            self._laid_out = True
        for writer in (*self._seeds.values(), self._mean):
            writer.flush()

    def _of_seed(self, epoch: Epoch, seed: int) -> Iterator[tuple[str, float]]:
        """Tag and value of everything that one seed gave in one epoch."""
        layers = [layer for layer in epoch.layers if layer.seed == seed]
        yield from _scalars(next((record for record in epoch.records if record.seed == seed), None), layers)
        yield from _life_and_death([layer for layer in layers if layer.layer in self._mortal])
        for shape in epoch.shapes:
            if shape.seed == seed:
                yield f"learned_{shape.parameter}/{shape.layer}", shape.mean

    def _write_looks(self, epoch: Epoch) -> None:
        """The finer looks of `probe.every`, over steps instead of epochs."""
        for look in epoch.looks:
            for tag, share in (("dead_ratio", look.dead), ("died_ratio", look.died)):
                for name, value in _known(f"{tag}_by_step/{look.layer}", share):
                    self._seeds[look.seed].add_scalar(name, value, look.step)

    def _write_mean(self, by_tag: Mapping[str, Sequence[float]], step: int) -> None:
        for tag, values in by_tag.items():
            estimate = Estimate.of(values)
            if estimate.mean is None:
                continue
            low, high = estimate.ci95 or (estimate.mean, estimate.mean)
            for name, value in ((tag, estimate.mean), (f"{tag}/low", low), (f"{tag}/high", high)):
                self._mean.add_scalar(name, value, step)

    def write_activation(self, name: str, picture: NDArray[np.uint8], step: int) -> None:
        """A picture (height, width, 3) of an activation and its derivative, or of what it has become."""
        self._mean.add_image(f"activation/{name}", picture, step, dataformats="HWC")

    def write_findings(self, findings: Sequence[Finding], step: int) -> None:
        """What went wrong, as a page of text."""
        self._mean.add_text("diagnosis", _page(findings), step)

    def write_histograms(self, histograms: Mapping[str, Sequence[Histogram | None]], step: int) -> None:
        """Tag -> for each seed the distribution of what it names."""
        for tag, of_seeds in histograms.items():
            for writer, histogram in zip(self._seeds.values(), of_seeds, strict=True):
                if histogram is not None:
                    writer.add_histogram_raw(
                        tag,
                        min=histogram.min,
                        max=histogram.max,
                        num=histogram.num,
                        sum=histogram.sum,
                        sum_squares=histogram.sum_squares,
                        bucket_limits=histogram.edges[1:],
                        bucket_counts=histogram.counts,
                        global_step=step,
                    )

    def write_summary(self, summary: RunSummary) -> None:
        """The final metrics, and the end of each session."""
        step = summary.epochs_done
        finals = {tag: summary.metrics[name].values for name, tag in _FINAL.items() if name in summary.metrics}
        for tag, values in finals.items():
            for writer, value in zip(self._seeds.values(), values, strict=True):
                if value is not None:
                    writer.add_scalar(tag, value, step)
            self._write_mean({tag: [value for value in values if value is not None]}, step)
        for writer, end in self._ends:
            writer._get_file_writer().add_summary(end)

    def close(self) -> None:
        for writer in (*self._seeds.values(), self._mean):
            writer.close()


def _name_group(start: Any, group: str) -> None:
    """The name of a session's group, which `hparams` has no argument for, goes into the session's start record."""
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    metadata = start.value[0].metadata.plugin_data
    content = HParamsPluginData.FromString(metadata.content)
    content.session_start_info.group_name = group
    metadata.content = content.SerializeToString()


def _scalars(record: EpochRecord | None, layers: Sequence[LayerRecord]) -> Iterator[tuple[str, float]]:
    """Tag and value of everything that one seed gave in one epoch."""
    if record is not None:
        yield "loss/train", record.train_loss
        yield "loss/val", record.val_loss
        yield "accuracy/train", record.train_accuracy
        yield "accuracy/val", record.val_accuracy
        yield "lr", record.lr
        if layers:
            yield "grad_norm/all", record.grad_norm
    if layers:
        for ratio in RATIOS:
            yield from _known(f"{ratio}_ratio/all", network_ratio(layers, ratio))
    for layer in layers:
        for field, tag in _PER_LAYER.items():
            yield from _known(f"{tag}/{layer.layer}", getattr(layer, field))


def _known(tag: str, value: float) -> Iterator[tuple[str, float]]:
    """Nothing where there is no such number: of a layer that overflowed, or by its activation."""
    if not math.isnan(value):
        yield tag, value


def _life_and_death(layers: Sequence[LayerRecord]) -> Iterator[tuple[str, float]]:
    for layer in layers:
        for field, tag in _LIVES.items():
            value = getattr(layer, field)
            if math.isfinite(value):  # nothing is dead: there is no time for which it has been
                yield f"{tag}/{layer.layer}", value
    for field in ("births", "deaths", "revivals"):
        if layers:
            yield f"{field}/all", sum(getattr(layer, field) for layer in layers)


def _page(findings: Sequence[Finding]) -> str:
    """Markdown."""
    if not findings:
        return "Nothing alarming was found."
    parts = []
    for finding in findings:
        remedies = "\n".join(f"    {remedy}" for remedy in finding.remedies)
        parts.append(f"### {finding.title}\n\n{finding.evidence}\n\n{finding.cause}\n\n{remedies}")
    return "\n\n".join(parts)


def _layout(tags: Sequence[str]) -> dict[str, dict[str, list[Any]]]:
    """Margin charts: the mean of each tag with its 95 % interval as a band."""
    layout: dict[str, dict[str, list[Any]]] = {}
    for tag in tags:
        chart = ["Margin", [tag, f"{tag}/low", f"{tag}/high"]]
        layout.setdefault(tag.split("/")[0], {})[tag] = chart
    return layout


# ---------------------------------------------------------------- event files


_NUMBERS = itertools.count()  # tells the event files of one process apart


class _Events:
    """An event file that is written by who calls `flush`.

    TensorBoard's own writer has a thread, in which the error of a full disk becomes a traceback on the terminal. What
    was not written is not tried again: the run has failed by then, and its next process begins the files anew.
    """

    def __init__(self, folder: Path) -> None:
        name = f"events.out.tfevents.{int(time.time()):010d}.{platform.node()}.{os.getpid()}.{next(_NUMBERS)}"
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._path = folder, folder / name
        self._pending = io.BytesIO()
        self.add_event(Event(wall_time=time.time(), file_version="brain.Event:2"))
        self.flush()

    def get_logdir(self) -> str:
        return str(self._folder)

    def add_event(self, event: Event) -> None:
        RecordWriter(self._pending).write(event.SerializeToString())

    def flush(self) -> None:
        content, self._pending = self._pending.getvalue(), io.BytesIO()
        if content:
            with self._path.open("ab") as file:
                file.write(content)

    def close(self) -> None:
        self.flush()


class _File(FileWriter):
    def __init__(self, folder: Path) -> None:
        self.event_writer = _Events(folder)


class _Writer(SummaryWriter):
    """torch's writer of scalars, pictures and histograms, over an event file of ours."""

    file_writer: Any
    all_writers: Any

    def _get_file_writer(self) -> Any:
        if self.file_writer is None:
            self.file_writer = _File(Path(self.log_dir))
            self.all_writers = {self.file_writer.get_logdir(): self.file_writer}
        return self.file_writer
