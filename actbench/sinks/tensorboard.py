"""TensorBoard: one run per seed, one for their mean with its interval, hyperparameters, pictures and histograms."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actbench.measures.computing.histograms import Histogram
from actbench.naming import shown
from actbench.records import Epoch, Estimate, Finding, RunSummary
from actbench.settings import Settings
from actbench.sinks.events import Writer
from actbench.sinks.tags import Tags, tagged_at_the_end

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of what tensorboard imports
    from torch.utils.tensorboard.summary import hparams


class TensorBoardSink:
    """Event files under `folder`: `seed=K/` for each seed and `mean/` for all of them.

    Args:
        folder: the run's `tensorboard` folder; it must not hold an earlier process's events.
        seeds: the run's seeds.
        hyperparameters: flat values for the HParams dashboard.
        name: what people call the run: its rows in that dashboard are `NAME seed=K (ID)` and `NAME mean (ID)`.
        run_id: tells runs of one name apart.
        note: on the dataset, for a page of text: these are not the data that were asked for.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seeds: Sequence[int],
        hyperparameters: Mapping[str, str | bool | int | float],
        name: str,
        run_id: str,
        note: str = "",
    ) -> None:
        self._seeds = {seed: Writer(str(folder / f"seed={seed}")) for seed in seeds}
        self._mean = Writer(str(folder / "mean"))
        self._laid_out = False
        self._tags = Tags()
        self._ends: list[tuple[Writer, Any]] = []
        # The dashboard has one row for each group of sessions, averaged: every seed is a group of its own, and so is
        # their mean, so that both can be seen.
        named: list[tuple[Any, Writer]] = [*self._seeds.items(), ("mean", self._mean)]
        for seed, writer in named:
            # The first item describes the whole experiment and would hide the columns of other runs: it is left out.
            _, start, end = hparams({**hyperparameters, "seed": str(seed)}, {"accuracy/test": None})
            _name_group(start, f"{name} {seed if seed == 'mean' else f'seed={seed}'} ({run_id})")
            writer._get_file_writer().add_summary(start)
            self._ends.append((writer, end))
        if note:
            self._mean.add_text("dataset", note, 0)

    def write_epoch(self, epoch: Epoch) -> None:
        """Everything with a tag that the epoch's rows hold, for each seed and as a mean over those that are sound."""
        sound: dict[tuple[str, int], list[float]] = {}  # tag and step -> a value for each seed
        for seed, tag, step, value in self._tags.of(epoch):
            self._seeds[seed].add_scalar(tag, value, step)
            if seed not in epoch.diverged:
                sound.setdefault((tag, step), []).append(value)
        for (tag, step), values in sound.items():
            self._write_mean(tag, values, step)
        if not self._laid_out and epoch.number > 0 and epoch.records:
            self._mean.add_custom_scalars(_layout(list(dict.fromkeys(tag for tag, _ in sound))))
            self._laid_out = True
        for writer in (*self._seeds.values(), self._mean):
            writer.flush()

    def _write_mean(self, tag: str, values: Sequence[float], step: int) -> None:
        estimate = Estimate.of(values)
        if estimate.mean is None:
            return
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
        for quantity in tagged_at_the_end():
            if quantity.summary not in summary.metrics:
                continue
            values = summary.metrics[quantity.summary].values
            for writer, value in zip(self._seeds.values(), values, strict=True):
                if value is not None:
                    writer.add_scalar(quantity.tag, value, step)
            self._write_mean(quantity.tag, [value for value in values if value is not None], step)
        for writer, end in self._ends:
            writer._get_file_writer().add_summary(end)

    def close(self) -> None:
        for writer in (*self._seeds.values(), self._mean):
            writer.close()


def hyperparameters(settings: Settings) -> dict[str, str | bool | int | float]:
    """The settings as flat values: `activation`, `optimizer`, `optimizer.lr`, ..."""
    return {
        key: value if isinstance(value, (bool, int, float, str)) else shown(value)
        for key, value in settings.flat().items()
    }


def _name_group(start: Any, group: str) -> None:
    """The name of a session's group, which `hparams` has no argument for, goes into the session's start record."""
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    metadata = start.value[0].metadata.plugin_data
    content = HParamsPluginData.FromString(metadata.content)
    content.session_start_info.group_name = group
    metadata.content = content.SerializeToString()


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
