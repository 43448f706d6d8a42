"""A user's own rows as a data set: held to be numbers, split, and with the way back kept."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Shaped
from numpy.typing import NDArray

from remjax.data.checks import check_rows
from remjax.data.dataset import Dataset, seeded_split
from remjax.data.files import FileTables, read_tables
from remjax.data.tables import Columns, Table, as_they_are
from remjax.errors import InputError
from remjax.types import Support

# (training rows, others) -> how columns enter a model, fitted to them.
Preparation = Callable[[Sequence[Table]], Columns]

# What float32 resolves of a column, relative to its mean.
_RESOLUTION = 2e-6


def from_arrays(
    train: Shaped[np.ndarray, "_ *X"],
    test: Shaped[np.ndarray, "_ *X"] | None = None,
    *,
    names: Sequence[str] | None = None,
    preparation: Preparation = as_they_are,
    missing: bool = False,
    test_fraction: float = 0.1,
    split_seed: int = 0,
) -> Dataset:
    """A data set of a user's own arrays.

    Args:
        train: rows [N, X], or images [N, H, W] (bytes are divided by 255).
        test: rows like them; by default a part of train, chosen by `split_seed`.
        names: of the columns.
        preparation: how columns enter the model: `tables.as_they_are`, `tables.standardized` or
            `tables.categorical`.
        missing: whether NaN stands for a missing value; otherwise it is refused.
        test_fraction: of the rows, for the test.
        split_seed: of the choice of those.

    Returns:
        The data set, float32; `Dataset.columns` leads back to the units of the table.

    Raises:
        InputError: naming the rows, for values that are missing or not finite; for shapes that are
            none, or too few rows.
    """
    tables = [_as_table(rows, names) for rows in (train, test) if rows is not None]
    return from_tables(
        FileTables(*tables),
        "arrays",
        preparation=preparation,
        missing=missing,
        test_fraction=test_fraction,
        split_seed=split_seed,
    )


def from_file(
    path: str | os.PathLike[str],
    *,
    columns: Sequence[str] | None = None,
    image_size: tuple[int, int] | None = None,
    preparation: Preparation = as_they_are,
    missing: bool = False,
    test_fraction: float = 0.1,
    split_seed: int = 0,
) -> Dataset:
    """A data set of a user's own file: .npy, .npz, .csv, .parquet, or a folder of images.

    Args:
        path: as `files.read_tables` takes it.
        columns: those that are fitted; by default all.
        image_size: (height, width) to which the images of a folder are resized.
        preparation: as in `from_arrays`, as are the others.
        missing: whether missing values are allowed.
        test_fraction: of the rows, where the file does not say which are for the test.
        split_seed: of the choice of those.

    Raises:
        InputError: as `from_arrays`, and for a file that cannot be read.
    """
    tables = read_tables(path, image_size=image_size)
    if columns is not None:
        test = None if tables.test is None else tables.test.select(columns)
        tables = FileTables(tables.train.select(columns), test)
    try:
        return from_tables(
            tables,
            Path(path).name,
            preparation=preparation,
            missing=missing,
            test_fraction=test_fraction,
            split_seed=split_seed,
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def from_tables(
    tables: FileTables,
    name: str,
    *,
    preparation: Preparation,
    missing: bool,
    test_fraction: float,
    split_seed: int,
) -> Dataset:
    """A data set of tables; arguments as in `from_arrays`."""
    for table in tables:
        if table is not None:
            _check(table, missing)
    train, test, how = _split(tables, test_fraction, split_seed)
    train, test = map(pixels_or_numbers, (train, test))
    _check_columns(train)
    columns = preparation((train, test))
    exact = [columns.to_model(table) for table in (train, test)]
    _check_resolution(columns, exact[0])
    rows = [_as_float32(columns, part) for part in exact]
    low, high = (float(function(rows[0])) for function in (np.nanmin, np.nanmax))
    binary = all(_are_bits(part) for part in rows)
    shape = tables.train.image_shape or (1, rows[0].shape[1])
    return Dataset(
        name=name,
        train=rows[0],
        valid=rows[0][:0],
        test=rows[1],
        image_shape=shape,
        binary=binary,
        # Pixels are grey; the columns of a table are measurements, unless they are bits.
        real_valued=not binary and (tables.train.image_shape is None or low < 0.0 or high > 1.0),
        source=f"{name}, {len(rows[0]):,} train and {len(rows[1]):,} test {how}",
        columns=columns,
    )


def pixels_or_numbers(table: Table) -> Table:
    """Bytes of images as pixels in [0, 1]; anything else as it is."""
    if table.image_shape is None or table.values.dtype != np.uint8:
        return table
    return table._replace(values=table.values / 255.0)


def _as_table(rows: Shaped[np.ndarray, "..."], names: Sequence[str] | None) -> Table:
    rows = np.asarray(rows)
    if rows.ndim not in (2, 3) or rows.dtype.kind not in "biuf":
        raise InputError(
            f"an array of shape {rows.shape} and type {rows.dtype}: give rows of numbers [N, X], or"
            " images [N, H, W]"
        )
    flat = rows.reshape(len(rows), -1)
    named = tuple(names or (f"column_{number}" for number in range(flat.shape[1])))
    if len(named) != flat.shape[1]:
        raise InputError(f"{len(named)} names for {flat.shape[1]} columns: give one for each")
    return Table(named, flat, image_shape=rows.shape[1:] if rows.ndim == 3 else None)


def _check(table: Table, missing: bool) -> None:
    """Rows there are, and no value is missing or infinite that may not be."""
    if len(table.values) < 2 or table.values.shape[1] == 0:
        raise InputError(
            f"a table of {len(table.values)} rows and {table.values.shape[1]} columns: give two "
            "rows or more"
        )
    rows = np.flatnonzero(np.isnan(table.values).any(axis=1))
    if rows.size and not missing:
        shown = ", ".join(map(str, rows[:5]))
        more = f" and {rows.size - 5} more" if rows.size > 5 else ""
        raise InputError(
            f"values are missing in row{'s' * (rows.size > 1)} {shown}{more}: drop or impute them, "
            "or leave missing values out of the likelihood"
        )
    check_rows(table.values, Support(missing=missing))


def _split(tables: FileTables, test_fraction: float, seed: int) -> tuple[Table, Table, str]:
    """Train, test, and how they were chosen."""
    train, test = tables
    if test is not None:
        return train, test, "as given"
    if not 0.0 < test_fraction < 1.0:
        raise InputError(f"the test fraction is {test_fraction}: give a number between 0 and 1")
    count = len(train.values)
    num_test = min(max(1, round(test_fraction * count)), count - 1)
    parts = seeded_split(train.values, count - num_test, num_test, seed)
    first, second = (train._replace(values=part) for part in parts)
    return first, second, f"split by seed {seed}"


def _check_columns(train: Table) -> None:
    """Every column has a value to learn from."""
    empty = np.isnan(train.values).all(axis=0)
    if empty.any():
        name = train.names[int(np.argmax(empty))]
        raise InputError(f"column {name!r} has no values to train on: leave it out")


def _as_float32(columns: Columns, rows: NDArray[np.float64]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        small = np.ascontiguousarray(rows, np.float32)
    lost = np.isinf(small)
    if lost.any():
        row, column = np.argwhere(lost)[0]
        raise InputError(
            f"row {row} holds {rows[row, column]:g} in column {columns.model_names[column]!r}, "
            "which float32 has not: standardize the columns, or leave that one out"
        )
    return small


def _check_resolution(columns: Columns, rows: NDArray[np.float64]) -> None:
    """No column lies so far from zero that float32, of seven digits, blurs what varies in it."""
    mean, scale = np.nanmean(rows, axis=0), np.nanstd(rows, axis=0)
    lost = (scale > 0.0) & (scale < _RESOLUTION * np.abs(mean))
    if lost.any():
        place = int(np.argmax(lost))
        raise InputError(
            f"column {columns.model_names[place]!r} varies by {scale[place]:.3g} around "
            f"{mean[place]:.10g}, which float32 does not resolve: standardize the columns, or leave"
            " that one out"
        )


def _are_bits(rows: NDArray[np.float32]) -> bool:
    return bool(np.all((rows == 0.0) | (rows == 1.0) | np.isnan(rows)))
