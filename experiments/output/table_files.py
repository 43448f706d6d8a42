"""A table as a file, whole or absent: .csv, .parquet, .npz or .npy, by its ending."""

import csv
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.output.files import replacing
from remjax.data import Table
from remjax.errors import InputError

# Rows that are Python's numbers at a time.
_ROWS = 10_000


def require_writable(path: str | os.PathLike[str]) -> None:
    """Refuse, before anything is computed, a path that no table can be written to.

    Raises:
      InputError: The ending is not known, or the folder is not there.
    """
    path = Path(path)
    if path.suffix.lower() not in _WRITERS:
        raise InputError(f"{path}: give a file that ends in {', '.join(_WRITERS)}")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is no folder: make it, or choose another")


def write_table(path: str | os.PathLike[str], table: Table) -> None:
    """Writes the table; what is missing is an empty cell, a null, or NaN.

    .npz has the arrays `x` and `names`, .npy the numbers alone, of text its places among its
    values.

    Raises:
      InputError: The disk is full or cannot be written, or the ending is not known.
    """
    require_writable(path)
    with replacing(path) as temporary:
        _WRITERS[Path(path).suffix.lower()](temporary, table)


def _cells(table: Table, part: slice) -> list[list[str | None]]:
    """The columns of some rows as text; None for what is missing."""
    # Nine digits tell any two float32 apart; whole numbers stand without a point.
    short = table.values.dtype == np.float32
    number = "{:.9g}".format if short else lambda value: repr(value).removesuffix(".0")
    cells = []
    for name, column in zip(table.names, np.asarray(table.values[part], np.float64).T, strict=True):
        levels = table.levels.get(name)
        cells.append(
            [
                None if np.isnan(value) else levels[int(value)] if levels else number(value)
                for value in column.tolist()
            ]
        )
    return cells


def _csv(path: Path, table: Table) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table.names)
        for start in range(0, len(table.values), _ROWS):
            writer.writerows(zip(*_cells(table, slice(start, start + _ROWS)), strict=True))


def _parquet(path: Path, table: Table) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    def column(name: str, values: np.ndarray) -> Any:
        missing = np.isnan(values)
        levels = table.levels.get(name)
        if levels is None:
            return pa.array(values, pa.float64(), mask=missing)
        places = np.where(missing, 0, values).astype(np.int64)
        return pa.array(np.array(levels, object)[places], pa.string(), mask=missing)

    columns = zip(table.names, np.asarray(table.values).T, strict=True)
    made = {name: column(name, values.astype(np.float64)) for name, values in columns}
    parquet.write_table(pa.table(made), path)


def _npz(path: Path, table: Table) -> None:
    with path.open("wb") as file:
        np.savez(file, x=table.values, names=np.array(table.names, dtype=str))


def _npy(path: Path, table: Table) -> None:
    with path.open("wb") as file:
        np.save(file, table.values, allow_pickle=False)


_WRITERS: Mapping[str, Callable[[Path, Table], None]] = {
    ".csv": _csv,
    ".parquet": _parquet,
    ".npz": _npz,
    ".npy": _npy,
}
