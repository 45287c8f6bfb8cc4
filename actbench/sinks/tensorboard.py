"""TensorBoard: one run per seed and one for their mean, with hyperparameters, pictures and histograms."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from actbench.measures.computing.histograms import Histogram
from actbench.measures.quantities import Quantity, quantities_of
from actbench.records import Epoch, Finding, RunSummary
from actbench.sinks import hparams
from actbench.sinks.events import Writer
from actbench.sinks.hparams import Value
from actbench.sinks.tags import Scalar, Tags, Thin, at_the_end, means, tagged_at_the_end

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of what tensorboard imports
    from tensorboard.compat.proto.summary_pb2 import Summary
    from torch.utils.tensorboard import summary as records


class TensorBoardSink:
    """Event files in `folder` for the mean over seeds and in `folder/seed=K` for each seed.

    Intervals are not there: TensorBoard draws a band only under *Custom scalars*, where each chart then complains of
    every run without one, and the bounds as scalars would be two more curves for each curve. Here each seed has a
    curve; the report has the intervals.

    Args:
        folder: the run's folder of events; it must not hold those of an earlier process.
        seeds: the run's seeds.
        with_mean: whether the mean, pictures, texts and the row of the HParams dashboard are written, too; not where
            `folder` has those of an earlier run of the same configuration.
        hyperparameters: for the HParams dashboard, in which a configuration is one row.
        columns: those of them that are its columns, the first five at once.
        thin: what is left out.
        note: on the dataset, for a page of text: these are not the data that were asked for.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seeds: Sequence[int],
        hyperparameters: Mapping[str, Value],
        columns: Sequence[str] = (),
        with_mean: bool = True,
        thin: Thin | None = None,
        note: str = "",
    ) -> None:
        self._thin = thin or Thin()
        of_seeds = seeds if self._thin.seeds else ()
        self._seeds = {seed: Writer(str(folder / f"seed={seed}")) for seed in of_seeds}
        self._mean = Writer(str(folder)) if with_mean else None
        self._tags = Tags(layers=self._thin.layers)
        self._hyperparameters, self._columns = hyperparameters, columns
        self._begun = False
        if note:
            self._write_text("dataset", note, 0)

    def write_epoch(self, epoch: Epoch) -> None:
        """Everything with a tag that the epoch's rows hold, for each seed and as a mean over those that are sound."""
        scalars = list(self._tags.of(epoch))  # what is rare is noticed in each epoch
        if not self._thin.has(epoch.number):
            scalars = []
        self._write_seeds(scalars)
        if self._mean:
            for tag, step, value in means(scalars, epoch.diverged):
                self._mean.add_scalar(tag, value, step)
        if not self._begun and epoch.number > 0 and epoch.records:
            self._begin([quantity for kind in epoch.tables() for quantity in quantities_of(kind)])
        for writer in self._writers():
            writer.flush()

    def _write_seeds(self, scalars: Sequence[Scalar]) -> None:
        for seed, tag, step, value in scalars:
            if seed in self._seeds:
                self._seeds[seed].add_scalar(tag, value, step)

    def _writers(self) -> list[Writer]:
        return [*self._seeds.values(), *([self._mean] if self._mean else [])]

    def _write(self, record: Any, step: int | None = None) -> None:
        """To the events of the mean."""
        if self._mean:
            self._mean._get_file_writer().add_summary(record, step)

    def _begin(self, of_epochs: Sequence[Quantity]) -> None:
        """A row of the HParams dashboard, once it is known what is measured."""
        self._begun = True
        columns = {key: self._hyperparameters[key] for key in self._columns}
        _, start, _ = records.hparams(dict(self._hyperparameters), {})
        for record in (hparams.columns(columns, [*tagged_at_the_end(), *of_epochs]), start):
            self._write(record)

    def _write_text(self, tag: str, text: str, step: int) -> None:
        record = records.text(tag, text)
        record.value[0].tag = tag  # torch's writer puts `/text_summary` behind it
        self._write(record, step)

    def write_activation(self, name: str, picture: NDArray[np.uint8], step: int) -> None:
        """A picture (height, width, 3) of an activation and its derivative, or of what it has become."""
        if self._mean and self._thin.layers:
            self._write(_picture(f"activation/{name}", picture), step)

    def write_findings(self, findings: Sequence[Finding], step: int) -> None:
        """What went wrong, as a page of text."""
        self._write_text("diagnosis", _page(findings), step)

    def write_histograms(self, histograms: Mapping[str, Sequence[Histogram | None]], step: int) -> None:
        """Tag -> for each seed the distribution of what it names."""
        for tag, of_seeds in histograms.items() if self._thin.layers else ():
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
        """The final metrics, and the end of the row in the HParams dashboard."""
        scalars = list(at_the_end(summary))
        self._write_seeds(scalars)
        if self._mean:
            for tag, step, value in means(scalars):
                self._mean.add_scalar(tag, value, step)
        _, _, end = records.hparams({}, {})
        self._write(end)

    def close(self) -> None:
        for writer in self._writers():
            writer.close()


def _picture(tag: str, pixels: NDArray[np.uint8]) -> Any:
    """As PNG with 256 colours, in a third of the bytes: lines and letters have no more that can be told apart."""
    content = io.BytesIO()
    Image.fromarray(pixels).quantize(256, method=Image.Quantize.FASTOCTREE).save(content, "PNG")
    height, width, _ = pixels.shape
    picture = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=content.getvalue())
    return Summary(value=[Summary.Value(tag=tag, image=picture)])


def _page(findings: Sequence[Finding]) -> str:
    """Markdown."""
    if not findings:
        return "Nothing alarming was found."
    parts = []
    for finding in findings:
        remedies = "\n".join(f"    {remedy}" for remedy in finding.remedies)
        parts.append(f"### {finding.title}\n\n{finding.evidence}\n\n{finding.cause}\n\n{remedies}")
    return "\n\n".join(parts)
