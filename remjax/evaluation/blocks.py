"""Data sets in blocks: one compiled program for all rows, whatever their number."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Int, Key, PyTree, Shaped

from remjax.data.checks import check_rows
from remjax.errors import InputError
from remjax.sharding import replicate, replicated, rows_over
from remjax.types import Datapoint, Params, Support

# Rows of a data set, on the host or on the device.
Images = Shaped[Array, "N *X"] | Shaped[np.ndarray, "N *X"]

# (params, key of the row, x) -> what is known of it.
OfRow = Callable[[Params, Key[Array, ""], Datapoint], tuple[Array, ...]]


def over_rows(
    of_row: OfRow,
    support: Support,
    mesh: Mesh | None,
    *,
    rows_per_block: int,
    rows_in_flight: int,
) -> Callable[..., list[np.ndarray]]:
    """A function of every row of a data set, compiled once; a row's key is that of its place.

    Args:
        of_row: of one row.
        support: the values that it may have.
        mesh: the devices among which the rows are divided; None for one.
        rows_per_block: on each device, between two reports of progress.
        rows_in_flight: of them at a time, a divisor of the rows per block.

    Returns:
        run(params, key, x [N, *X], progress=None) -> a column [N, ...] for each result;
        progress(n) is called with the number of rows done since the last call.

    Raises:
        InputError: from `run`, for data without rows or outside of the support.
    """
    devices = 1 if mesh is None else mesh.size
    # Alone a row is not mapped over an axis of length one, where both branches of a `cond` run.
    together = None if rows_in_flight == 1 else rows_in_flight

    def of_rows(params: Params, rows: tuple[Key[Array, " B"], Shaped[Array, "B *X"]]) -> PyTree:
        return lax.map(lambda row: of_row(params, *row), rows, batch_size=together)

    def block(
        params: Params, key: Key[Array, ""], start: Int[Array, ""], x: Shaped[Array, "B *X"]
    ) -> PyTree:
        keys = jax.vmap(lambda n: jax.random.fold_in(key, n))(start + jnp.arange(x.shape[0]))
        return rows_over(mesh, of_rows)(params, (keys, x))

    compiled = jax.jit(block, out_shardings=replicated(mesh))

    def run(
        params: Params,
        key: Key[Array, ""],
        x: Images,
        progress: Callable[[int], None] | None = None,
    ) -> list[Any]:
        if x.shape[0] == 0:
            raise InputError("there is nothing to evaluate: give at least one datapoint")
        check_rows(np.asarray(x), support)
        results = []
        params, key = replicate(mesh, (params, key))
        # Whole groups only: the compiler would make a second program for what is left over.
        most, group = rows_per_block * devices, rows_in_flight * devices
        size = -(-min(most, x.shape[0]) // group) * group
        for start in range(0, x.shape[0], most):
            rows = np.asarray(x[start : start + most])
            padded = np.pad(rows, [(0, size - len(rows)), *[(0, 0)] * (rows.ndim - 1)])
            values = compiled(params, key, start, replicate(mesh, padded))
            results.append([np.asarray(value)[: len(rows)] for value in values])
            if progress is not None:
                progress(len(rows))
        return [np.concatenate(column) for column in zip(*results, strict=True)]

    return run
