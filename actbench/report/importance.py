"""How much of the differences between the trials of a search each key made: mean decrease in impurity.

As Optuna's `MeanDecreaseImpurityImportanceEvaluator`: a random forest predicts the result from the values, and the
decrease in variance over all splits of a key is its share (Breiman 2001, doi:10.1023/A:1010933404324). It is made here
so that the report needs neither Optuna nor the database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

LEAST = 10  # trials; with fewer, shares are mostly luck
_TREES = _DEPTH = 64


def importance(params: Sequence[Mapping[str, Any]], results: Sequence[float], seed: int = 0) -> dict[str, float]:
    """Key -> its share, together 1; empty where results do not differ.

    Args:
        params: of each trial the same keys; what is not a number is taken as one of several choices.
        results: of each trial.
    """
    from sklearn.ensemble import RandomForestRegressor  # which takes a second

    if len({*results}) < 2:
        return {}
    columns: list[list[float]] = []
    keys: list[str] = []
    for key in params[0]:
        values = [trial[key] for trial in params]
        if all(isinstance(value, (int, float)) for value in values):
            coded = [[float(value) for value in values]]
        else:
            coded = [[float(str(value) == choice) for value in values] for choice in sorted({*map(str, values)})]
        columns += coded
        keys += [key] * len(coded)
    forest = RandomForestRegressor(n_estimators=_TREES, max_depth=_DEPTH, random_state=seed)
    forest.fit(np.array(columns).T, np.array(results))
    shares = dict.fromkeys(params[0], 0.0)
    for key, share in zip(keys, forest.feature_importances_, strict=True):
        shares[key] += float(share)
    return shares
