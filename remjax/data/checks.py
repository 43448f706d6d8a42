"""Data held against what a model has a density for: on the host, in blocks, before any fit."""

from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Bool, Shaped

from remjax.errors import InputError
from remjax.types import Support

# Values that are looked at together: a few megabytes, whatever the data.
_BLOCK = 1 << 20


def check_rows(x: Shaped[np.ndarray, "N ..."], support: Support) -> None:
    """Hold every value of the data against the support of a likelihood.

    Args:
        x: N rows of any shape, of bools, integers or floats.
        support: the values allowed (`Model.support`); NaN and infinities never are.

    Raises:
        InputError: one line that names the first row that offends and how many do, the value and
            the mend; or the type of data that are no real numbers.
    """
    kinds = (np.bool_, np.integer, np.floating)
    if not any(jax.dtypes.issubdtype(x.dtype, kind) for kind in kinds):
        raise InputError(f"data of type {x.dtype}: give bools, integers or floats")
    if x.size == 0:
        return
    size = max(1, _BLOCK // (x.size // len(x)))
    starts = [n for n in range(0, len(x), size) if not _all_allowed(x[n : n + size], support)]
    if not starts:
        return

    def offenders(
        offends: Callable[[Shaped[np.ndarray, "..."]], Bool[np.ndarray, "..."]],
    ) -> tuple[str, str] | None:
        """The first row with its value, and how to speak of all of them; None if there is none."""
        first, count = None, 0
        for start in starts:
            block = x[start : start + size]
            found = offends(block.reshape(len(block), -1))
            rows = np.flatnonzero(found.any(axis=1))
            count += rows.size
            if first is None and rows.size:
                row = rows[0]
                first = start + row, block[row].reshape(-1)[found[row]][0]
        if first is None:
            return None
        others = f" (and {count - 1} more row{'s' * (count > 2)})" * (count > 1)
        return (
            f"row {first[0]} holds {first[1]:g}{others}",
            "that row" if count == 1 else "those rows",
        )

    found = offenders(lambda values: ~np.isfinite(values))
    if found is not None:
        where, rows = found
        raise InputError(f"{where}: drop or impute {rows}")
    found = offenders(lambda values: (values < support.low) | (values > support.high))
    if found is not None:
        raise InputError(
            f"{found[0]} and values must lie in [{support.low:g}, {support.high:g}]: {support.mend}"
        )


def _all_allowed(block: Shaped[np.ndarray, "n ..."], support: Support) -> bool:
    """Whether they are finite and within the support, by their extremes, which NaN spoils."""
    with np.errstate(invalid="ignore"):
        low, high = float(block.min()), float(block.max())
    return support.low <= low and high <= support.high and bool(np.isfinite([low, high]).all())
