"""What TensorBoard's HParams dashboard shows: one row for each configuration, few settings, the results beside them.

Without a record of its columns the dashboard takes every tag of every run for a metric, and shows the first five in
alphabetical order. Each run writes such a record, and the dashboard takes that of one of them: the columns have to be
those that all runs of a sweep have. What a later command for the same study varies as well is in the names of its rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from string import Formatter
from typing import Any

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


def hyperparameters(settings: Settings) -> dict[str, Value]:
    """The settings as flat values: `activation`, `optimizer`, `optimizer.lr`, ..."""
    return {
        key: value if isinstance(value, (bool, int, float, str)) else shown(value)
        for key, value in settings.flat().items()
    }


def telling(settings: Settings, name: str) -> list[str]:
    """The settings that are columns: the activation, and what the run's name says but for the data.

    They are few on purpose: each is a column before the results. In a sweep a run's name says what is varied, and what
    is the same in all runs is no column; the activation is one unless the name begins with something else.
    """
    flat = settings.flat()
    words = name.split(" ")
    upper = [] if settings.upper_activation.target is None else ["upper_activation"]
    varied = [] if "=" in words[0] else ["activation", *upper]
    said = [
        key for key, value in flat.items()
        if {f"{key}={shown(value)}", f"{key.rpartition('.')[2]}={shown(value)}"} & {*words}
        and key.partition(".")[0] not in TERMS and key not in TERMS
    ]  # fmt: skip
    return list(dict.fromkeys([*varied, *said])) or ["activation"]


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
            display_name=f"{metric.short or metric.title} (ratio)" if metric.percent else metric.heading,  # as stored
            description=metric.definition,
        )
        for metric in in_order(metrics)
    ]
    experiment = api_pb2.Experiment(hparam_infos=infos, metric_infos=results)
    content = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(experiment=experiment))
    return Summary(value=[Summary.Value(tag=metadata.EXPERIMENT_TAG, metadata=content)])


def in_order(metrics: Iterable[Quantity]) -> Sequence[Quantity]:
    """Those that the terminal shows at the end of a run, too, in the order of their places there."""
    shown_at_the_end = [metric for metric in metrics if metric.summary and metric.place and _is_of_network(metric.tag)]
    return sorted(shown_at_the_end, key=lambda metric: metric.place)


def _is_of_network(tag: str) -> bool:
    """Whether a tag names nothing but a layer, which `all` stands for."""
    return bool(tag) and {name for _, name, _, _ in Formatter().parse(tag) if name is not None} <= {"layer"}


def _setting(key: str, value: Value, *, at_once: bool) -> Any:
    """A column of a setting, without the texts that it may be: a run does not know those of others."""
    if isinstance(value, bool):
        info = api_pb2.HParamInfo(name=key, type=api_pb2.DATA_TYPE_BOOL, differs=at_once)
        info.domain_discrete.extend([True, False])
        return info
    kind = api_pb2.DATA_TYPE_STRING if isinstance(value, str) else api_pb2.DATA_TYPE_FLOAT64
    return api_pb2.HParamInfo(name=key, type=kind, differs=at_once)
