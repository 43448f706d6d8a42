"""The facts of a user's rows from which likelihoods and networks are made, without the rows."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

from remjax.errors import InputError

# Values that are looked at together.
_BLOCK = 1 << 20


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


def mean_and_scale(
    x: Shaped[np.ndarray, "N X"],
) -> tuple[Float[np.ndarray, " X"], Float[np.ndarray, " X"]]:
    """The mean and standard deviation of each column, float64; what is missing (NaN) is left out.

    Block by block, in two passes: the memory does not grow with the number of rows. A column
    without a value has NaN.
    """
    with np.errstate(invalid="ignore"):
        count, total, squares = np.zeros((3, x.shape[1]))
        for block in row_blocks(x):
            count += np.sum(~np.isnan(block), axis=0)
            total += np.nansum(block, axis=0, dtype=np.float64)
        mean = total / count
        for block in row_blocks(x):
            squares += np.nansum(np.square(block.astype(np.float64) - mean), axis=0)
        return mean, np.sqrt(squares / count)


def row_blocks(x: Shaped[np.ndarray, "N X"]) -> Iterator[Shaped[np.ndarray, "n X"]]:
    """The rows, some megabytes at a time."""
    size = max(1, _BLOCK // max(1, x.shape[1]))
    for start in range(0, len(x), size):
        yield x[start : start + size]


def span(x: Shaped[np.ndarray, "N X"]) -> tuple[float, float]:
    """The smallest and the largest value that is not missing; infinities of none."""
    low, high = np.inf, -np.inf
    for block in row_blocks(x):
        numbers = np.asarray(block, np.float64)  # whole numbers know no infinity
        low = min(low, float(np.nanmin(numbers, initial=np.inf)))
        high = max(high, float(np.nanmax(numbers, initial=-np.inf)))
    return low, high


def value_facts(x: Shaped[np.ndarray, "N X"]) -> ValueFacts:
    """The facts of rows.

    Raises:
        InputError: for a column without a value.
    """
    mean, scale = mean_and_scale(x)
    empty = np.isnan(mean)
    low, high = span(x)
    if empty.any():
        raise InputError(f"column {int(np.argmax(empty))} has no values: leave it out")
    return ValueFacts(
        mean=np.asarray(mean, np.float32),
        scale=np.asarray(scale, np.float32),
        low=low,
        high=high,
        whole=not any(np.any(block % 1 > 0) for block in row_blocks(x)),
        missing=any(bool(np.isnan(block).any()) for block in row_blocks(x)),
    )
