"""Figures of each datapoint of a data set, streamed over it in blocks of one shape."""

from collections.abc import Callable

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

# Datapoints in one compiled call, of which so many are measured at a time.
_BLOCK, _IN_FLIGHT = 100, 20
# Particles of a datapoint that are scored at a time: decoder passes in flight by datapoints.
CHUNK_SIZE = 1024 // _IN_FLIGHT

# Rows of a data set, on the host or on the device.
Images = Shaped[Array, "N *X"] | Shaped[np.ndarray, "N *X"]

# (params, key, one datapoint) -> its figures.
Measure = Callable[[Params, Key[Array, ""], Datapoint], PyTree[Array]]


def over_datapoints(
    measure: Measure,
    support: Support,
    mesh: Mesh | None = None,
    *,
    block_size: int = _BLOCK,
    in_flight: int = _IN_FLIGHT,
) -> Callable[..., PyTree[np.ndarray]]:
    """A compiled function of a data set that measures each of its datapoints.

    A datapoint's key follows from (key, its place), so a figure does not depend on how the work was
    cut. Memory does not depend on the number of datapoints, but for the figures themselves.

    Args:
        measure: what is measured of one datapoint; products of matrices are in full precision.
        support: what the data are held against.
        mesh: the devices among which the datapoints are divided (`sharding.make_mesh`).
        block_size: datapoints on each device between two reports of progress.
        in_flight: datapoints that are measured at a time, a divisor of the block size.

    Returns:
        measured(params, key, x [N, X], progress=None) -> the figures, each with N rows;
        progress(n) is called with the number of datapoints done since the last call.

    Raises:
        InputError: from `measured`, for data without rows or with values outside of the support.
    """
    block = _compiled(measure, mesh, in_flight)
    devices = 1 if mesh is None else mesh.size

    def measured(
        params: Params,
        key: Key[Array, ""],
        x: Images,
        progress: Callable[[int], None] | None = None,
    ) -> PyTree[np.ndarray]:
        if x.shape[0] == 0:
            raise InputError("there is nothing to evaluate: give at least one datapoint")
        check_rows(np.asarray(x), support)
        results = []
        params, key = replicate(mesh, (params, key))
        # Whole groups only: the compiler would make a second program for what is left over.
        most, group = block_size * devices, in_flight * devices
        size = -(-min(most, x.shape[0]) // group) * group
        for start in range(0, x.shape[0], most):
            rows = np.asarray(x[start : start + most])
            padded = np.pad(rows, [(0, size - len(rows)), *[(0, 0)] * (rows.ndim - 1)])
            values = block(params, key, start, replicate(mesh, padded))
            count = len(rows)
            results.append(jax.tree.map(lambda leaf, n=count: np.asarray(leaf)[:n], values))
            if progress is not None:
                progress(count)
        return jax.tree.map(lambda *parts: np.concatenate(parts), *results)

    return measured


def _compiled(measure: Measure, mesh: Mesh | None, in_flight: int) -> jax.stages.Wrapped:
    """(params, key, place of the first, x [B, X]) -> the figures of each."""
    # One alone is not mapped over an axis of length one, where both branches of a `cond` would run.
    together = None if in_flight == 1 else in_flight

    def one(params: Params, key: Key[Array, ""], x: Datapoint) -> PyTree[Array]:
        # A figure is the same on every device: accelerators round factors to 10 bits by default.
        with jax.default_matmul_precision("highest"):
            return measure(params, key, x)

    def rows(params: Params, rows: tuple[Key[Array, " B"], Shaped[Array, "B *X"]]) -> PyTree:
        return lax.map(lambda row: one(params, *row), rows, batch_size=together)

    def block(
        params: Params, key: Key[Array, ""], start: Int[Array, ""], x: Shaped[Array, "B *X"]
    ) -> PyTree:
        keys = jax.vmap(lambda n: jax.random.fold_in(key, n))(start + jnp.arange(x.shape[0]))
        return rows_over(mesh, rows)(params, (keys, x))

    return jax.jit(block, out_shardings=replicated(mesh))
