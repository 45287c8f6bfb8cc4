"""What TensorBoard's HParams dashboard shows: one row for each configuration, few settings, the results beside them.

Without a record of its columns the dashboard takes every tag of every run for a metric, and shows the first five in
alphabetical order. Each run writes such a record, and the dashboard takes that of one of them: the columns have to be
those that all runs of a sweep have. What a later command for the same study varies as well is in the names of its rows.
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

_AT_ONCE = 5  # settings that are shown before more are ticked, if there are so many
_EXPERIMENT = "experiment"


def hyperparameters(settings: Settings, overrides: Iterable[str] = ()) -> dict[str, Value]:
    """The settings as flat values (`activation`, `optimizer.lr`, ...), and the experiment, where one was typed."""
    flat = {**settings.flat(), **{key: value for key, value in _typed(overrides).items() if key == _EXPERIMENT}}
    return {key: value if isinstance(value, (bool, int, float, str)) else shown(value) for key, value in flat.items()}


def telling(settings: Settings, overrides: Iterable[str]) -> list[str]:
    """The settings that are columns: the activation, what was typed but for the data and epochs, the learning rate.

    They are few on purpose: each is a column before the results.
    """
    upper = [] if settings.upper_activation.target is None else ["upper_activation"]
    typed = [key for key in _typed(overrides) if key.partition(".")[0] not in TERMS and key not in TERMS]
    known = hyperparameters(settings, overrides)
    return [key for key in dict.fromkeys(["activation", *upper, *typed, "optimizer.lr"]) if key in known]


def _typed(overrides: Iterable[str]) -> dict[str, str]:
    """`["optimizer.lr=0.01"]` by its key."""
    return dict(override.lstrip("+~").split("=", 1) for override in overrides if "=" in override)


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
        values: the settings that are columns; of more than five the first are shown.
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
    """A column of a setting, without the texts that it may be: a run does not know those of others."""
    if isinstance(value, bool):
        info = api_pb2.HParamInfo(name=key, type=api_pb2.DATA_TYPE_BOOL, differs=at_once)
        info.domain_discrete.extend([True, False])
        return info
    kind = api_pb2.DATA_TYPE_STRING if isinstance(value, str) else api_pb2.DATA_TYPE_FLOAT64
    return api_pb2.HParamInfo(name=key, type=kind, differs=at_once)
