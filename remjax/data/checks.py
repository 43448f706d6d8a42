"""Data held against what a model has a density for: on the host, in blocks, before any fit."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Bool, Shaped

from remjax.errors import InputError
from remjax.types import Support

# Values that are looked at together: a few megabytes, whatever the data.
_BLOCK = 1 << 20


def check_rows(x: Shaped[np.ndarray, "..."], support: Support) -> None:
    """Hold every value of the data against the support of a likelihood.

    Args:
        x: N rows of any shape, of bools, integers or floats.
        support: the values allowed (`Model.support`); infinities never are, and NaN only where it
            stands for a missing value.

    Raises:
        InputError: one line that names the first row that offends and how many do, the value and
            the mend; or the type of data that are no real numbers, or that they have no rows.
    """
    kinds = (np.bool_, np.integer, np.floating)
    if not any(jnp.issubdtype(x.dtype, kind) for kind in kinds):
        raise InputError(f"data of type {x.dtype}: give bools, integers or floats")
    if x.ndim == 0:
        raise InputError(f"data are the one number {x}: give rows [N, X]")
    if x.size == 0:
        return
    if support.condition:
        _check_condition(x, support)
        x, support = x[:, : -support.condition], support._replace(condition=0)
    size = max(1, _BLOCK // (x.size // len(x)))
    blocks = [slice(start, start + size) for start in range(0, len(x), size)]
    doubtful = [block for block in blocks if not _all_allowed(x[block], support)]
    refused = np.isinf if support.missing else lambda values: ~np.isfinite(values)
    found = _offenders(x, doubtful, refused)
    if found is not None:
        raise InputError(
            f"{found}: drop or impute {'that row' if found.count == 1 else 'those rows'}"
        )
    found = _offenders(x, doubtful, lambda values: (values < support.low) | (values > support.high))
    if found is not None:
        raise InputError(
            f"{found} and values must lie in [{support.low:g}, {support.high:g}]: {support.mend}"
        )
    if support.whole and (found := _offenders(x, blocks, lambda values: values > np.floor(values))):
        raise InputError(f"{found} and values must be whole numbers: {support.mend}")


def _check_condition(x: Shaped[np.ndarray, "..."], support: Support) -> None:
    """The last numbers of each row are finite, and there are others before them."""
    if x.ndim != 2 or x.shape[1] <= support.condition:
        raise InputError(
            f"data of shape {x.shape}: give rows [N, X + {support.condition}], the condition of "
            "each behind it"
        )
    try:
        check_rows(x[:, -support.condition :], Support())
    except InputError as error:
        raise InputError(f"the condition: {error}") from error


def is_concrete(x: object) -> bool:
    """Whether the values of an array are known here: those of a traced one are not."""
    return not isinstance(x, Tracer)


class _Offenders(NamedTuple):
    """The first row with a value that is refused, and how many rows have such values."""

    row: int
    value: np.generic
    count: int

    def __str__(self) -> str:
        others = self.count - 1
        more = f" (and {others} more row{'s' * (others > 1)})" if others else ""
        return f"row {self.row} holds {self.value:g}{more}"


def _offenders(
    x: Shaped[np.ndarray, "N ..."],
    blocks: Sequence[slice],
    refused: Callable[[Shaped[np.ndarray, "n X"]], Bool[np.ndarray, "n X"]],
) -> _Offenders | None:
    row, value, count = 0, None, 0
    for block in blocks:
        values = x[block].reshape(len(x[block]), -1)
        offending = refused(values)
        rows = np.flatnonzero(offending.any(axis=1))
        if value is None and rows.size:
            row, value = block.start + int(rows[0]), values[rows[0]][offending[rows[0]]][0]
        count += rows.size
    return None if value is None else _Offenders(row, value, count)


def _all_allowed(block: Shaped[np.ndarray, "n ..."], support: Support) -> bool:
    """Whether all are finite and within the support, by their extremes, which NaN spoils."""
    with np.errstate(invalid="ignore"):
        low, high = float(block.min()), float(block.max())
    return support.low <= low and high <= support.high and bool(np.isfinite([low, high]).all())
