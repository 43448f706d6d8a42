"""Rows as float32, block by block, and what float32 cannot tell apart."""

import numpy as np
from numpy.typing import NDArray

from remjax.data.tables import Columns, Table
from remjax.data.values import mean_and_scale, row_blocks
from remjax.errors import InputError

# What float32 resolves of a column, relative to its mean.
_RESOLUTION = 2e-6


def as_float32(
    columns: Columns, table: Table, beside: Columns | None, condition: Table | None
) -> NDArray[np.float32]:
    """The rows as a model sees them, with the condition behind them, some at a time.

    Raises:
        InputError: for a value, or the differences of a column, that float32 has not.
    """
    width = len(columns.model_names)
    size = 0 if beside is None else len(beside.model_names)
    rows = np.empty((len(table.values), width + size), np.float32)
    # Of the blocks as wide as the model's rows.
    blocks = row_blocks(np.broadcast_to(np.float32(0), rows.shape))
    start = 0
    for block in blocks:
        part = slice(start, start + len(block))
        exact = columns.to_model(table._replace(values=table.values[part]))
        _check_range(columns, exact, start)
        rows[part, :width] = exact
        if beside is not None and condition is not None:
            rows[part, width:] = beside.to_model(condition._replace(values=condition.values[part]))
        start = part.stop
    if not columns.categories:
        _check_resolution(columns, table)
    return rows


def _check_range(columns: Columns, rows: NDArray[np.float64], start: int) -> None:
    lost = np.abs(rows) > np.finfo(np.float32).max
    if lost.any():
        row, column = np.argwhere(lost)[0]
        raise InputError(
            f"row {start + row} holds {rows[row, column]:g} in column "
            f"{columns.model_names[column]!r}, which float32 has not: standardize the columns, or "
            "leave that one out"
        )


def _check_resolution(columns: Columns, table: Table) -> None:
    """No column lies so far from zero that float32, of seven digits, blurs what varies in it."""
    mean, scale = mean_and_scale(table.values)
    mean = (mean - np.asarray(columns.offset)) / np.asarray(columns.scale)
    scale = scale / np.asarray(columns.scale)
    lost = (scale > 0.0) & (scale < _RESOLUTION * np.abs(mean))
    if lost.any():
        place = int(np.argmax(lost))
        raise InputError(
            f"column {columns.model_names[place]!r} varies by {scale[place]:.3g} around "
            f"{mean[place]:.10g}, which float32 does not resolve: standardize the columns, or leave"
            " that one out"
        )
