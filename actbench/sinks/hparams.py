"""What TensorBoard's HParams dashboard shows: one row for each configuration, few settings, the results beside them.

The dashboard shows five settings and five metrics without being asked for more. Left alone it would take every tag of
every run for a metric, in alphabetical order. A record that names the columns, which each run writes, replaces that; of
several runs it takes one's, so that the columns are those that all runs of a study have.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from actbench.files.reading import parse_yaml, read_text
from actbench.measures.quantities import Quantity
from actbench.naming import TERMS, shown
from actbench.settings import Settings
from actbench.sinks.tags import ALL

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of what tensorboard imports
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

Value = str | bool | int | float

_ALWAYS = ("optimizer.lr", "model", "optimizer")  # behind the activation and what was typed
_AT_ONCE = 5  # columns that the dashboard shows before more are ticked
_EXPERIMENT = "experiment"


def hyperparameters(settings: Settings, overrides: Iterable[str] = ()) -> dict[str, Value]:
    """The settings that tell runs apart, the most telling first: the activation, what was typed, the optimizer.

    Args:
        settings: of the run.
        overrides: that were typed for it: `optimizer.lr=0.01`.
    """
    typed = dict(override.lstrip("+~").split("=", 1) for override in overrides if "=" in override)
    flat = settings.flat()
    if settings.upper_activation.target is None:
        del flat["upper_activation"]
    if _EXPERIMENT in typed:
        flat[_EXPERIMENT] = typed[_EXPERIMENT]
    terms = [key for key in typed if key.partition(".")[0] in TERMS or key in TERMS]
    keys = dict.fromkeys(["activation", "upper_activation", *(key for key in typed if key not in terms), *_ALWAYS, *terms])
    return {key: _plain(flat[key]) for key in keys if key in flat}


def _plain(value: Any) -> Value:
    return value if isinstance(value, (bool, int, float, str)) else shown(value)


def overrides_of(folder: Path) -> list[str]:
    """What was typed for the run in `folder`, as Hydra keeps it; nothing where it does not."""
    try:
        found = parse_yaml(read_text(folder / ".hydra" / "overrides.yaml"))
    except (OSError, ValueError):
        return []
    return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []


def columns(values: Mapping[str, Value], metrics: Iterable[Quantity]) -> Summary:
    """The record of the dashboard's columns.

    Args:
        values: the settings; the first five are shown at once.
        metrics: what is shown of each run, for the network where layers have it.
    """
    infos = [_setting(key, value, at_once=place < _AT_ONCE) for place, (key, value) in enumerate(values.items())]
    results = [
        api_pb2.MetricInfo(
            name=api_pb2.MetricName(tag=metric.tag.format(layer=ALL)),
            display_name=metric.summary.replace("_", " ") if metric.percent else metric.heading,  # a ratio is stored
            description=metric.definition,
        )
        for metric in in_order(metrics)
    ]
    experiment = api_pb2.Experiment(hparam_infos=infos, metric_infos=results)
    content = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(experiment=experiment))
    return Summary(value=[Summary.Value(tag=metadata.EXPERIMENT_TAG, metadata=content)])


def in_order(metrics: Iterable[Quantity]) -> Sequence[Quantity]:
    """Those that the terminal shows at the end of a run, too, in the order of their places there."""
    shown_at_the_end = [metric for metric in metrics if metric.summary and metric.tag and metric.place]
    return sorted(shown_at_the_end, key=lambda metric: metric.place)


def _setting(key: str, value: Value, *, at_once: bool) -> Any:
    """A column of a setting. The values of text are not listed: those of other runs are not known, and would be hidden."""
    if isinstance(value, bool):
        info = api_pb2.HParamInfo(name=key, type=api_pb2.DATA_TYPE_BOOL, differs=at_once)
        info.domain_discrete.extend([True, False])
        return info
    kind = api_pb2.DATA_TYPE_STRING if isinstance(value, str) else api_pb2.DATA_TYPE_FLOAT64
    return api_pb2.HParamInfo(name=key, type=kind, differs=at_once)
