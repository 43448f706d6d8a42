"""Figures of runs with several seeds: each seed's, their mean and its standard error."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def of_each_seed(result: Mapping[str, Any], name: str) -> list[float]:
    """A figure of each seed of a run; of a run with one seed, that one."""
    each = [one[name] for one in result.get("replicas", [result])]
    return [math.nan if value is None else float(value) for value in each]


def over_seeds(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean over seeds and its standard error; None for one seed."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, None
    return mean, float(np.std(values, ddof=1) / math.sqrt(len(values)))
