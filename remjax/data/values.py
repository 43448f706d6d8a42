"""The facts of a user's rows from which likelihoods and networks are made, without the rows."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

from remjax.errors import InputError


class ValueFacts(NamedTuple):
    """Of the rows that are trained on; what is missing (NaN) is left out.

    Attributes:
        mean: of each column, float32.
        scale: the standard deviation of each column, float32.
        low: the smallest value of all.
        high: the largest value of all.
        whole: whether all are whole numbers.
        missing: whether any are missing.
    """

    mean: Float[np.ndarray, " X"]
    scale: Float[np.ndarray, " X"]
    low: float
    high: float
    whole: bool
    missing: bool

    @property
    def bits(self) -> bool:
        """Whether all values are 0 or 1."""
        return self.whole and self.low >= 0.0 and self.high <= 1.0


def value_facts(x: Shaped[np.ndarray, "N X"]) -> ValueFacts:
    """The facts of rows.

    Raises:
        InputError: for a column without a value.
    """
    missing = np.isnan(x)
    empty = missing.all(axis=0)
    if empty.any():
        raise InputError(f"column {int(np.argmax(empty))} has no values: leave it out")
    return ValueFacts(
        mean=np.asarray(np.nanmean(x, axis=0, dtype=np.float64), np.float32),
        scale=np.asarray(np.nanstd(x, axis=0, dtype=np.float64), np.float32),
        low=float(np.nanmin(x)),
        high=float(np.nanmax(x)),
        whole=not np.any(x % 1 > 0),
        missing=bool(missing.any()),
    )
