"""A user's own rows as a data set: held to be numbers, split, and with the way back kept."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped
from numpy.typing import NDArray

from remjax.data.dataset import Dataset, seeded_split
from remjax.data.files import FileTables, read_tables
from remjax.data.own_checks import check_columns, check_condition, check_table
from remjax.data.single_precision import as_float32
from remjax.data.tables import Columns, Table, as_they_are, conditioning
from remjax.data.values import row_blocks, span
from remjax.errors import InputError

# (training rows, others) -> how columns enter a model, fitted to them.
Preparation = Callable[[Sequence[Table]], Columns]


def from_arrays(
    train: Shaped[np.ndarray, "_ *X"],
    test: Shaped[np.ndarray, "_ *X"] | None = None,
    *,
    names: Sequence[str] | None = None,
    condition: Shaped[np.ndarray, "_ *C"] | None = None,
    test_condition: Shaped[np.ndarray, "_ *C"] | None = None,
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
        condition: numbers [N] or [N, V] that a model of the rows is conditioned on
            (`tables.conditioning`); they stand behind the rows of the data set.
        test_condition: those of the rows of test.
        preparation: how columns enter the model: `tables.as_they_are`, `tables.standardized` or
            `tables.categorical`.
        missing: whether NaN stands for a missing value, for a model that leaves it out of its
            likelihood (`models.marginalized`); otherwise it is refused.
        test_fraction: of the rows, for the test.
        split_seed: of the choice of those.

    Returns:
        The data set, float32; `Dataset.columns` leads back to the units of the table.

    Raises:
        InputError: naming the rows, for values that are missing or not finite; for shapes that are
            none, or too few rows.
    """
    tables = FileTables(
        _as_table(train, names),
        None if test is None else _as_table(test, names),
        None if condition is None else _as_condition(condition),
        None if test_condition is None else _as_condition(test_condition),
    )
    for rows, beside in ((tables.train, tables.train_condition), (tables.test, tables[3])):
        if beside is not None and (rows is None or len(rows.values) != len(beside.values)):
            raise InputError("the condition has other rows than the data: give one for each row")
    return from_tables(
        tables,
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
    condition: Sequence[str] = (),
    image_size: tuple[int, int] | None = None,
    preparation: Preparation = as_they_are,
    missing: bool = False,
    test_fraction: float = 0.1,
    split_seed: int = 0,
) -> Dataset:
    """A data set of a user's own file: .npy, .npz, .csv, .parquet, or a folder of images.

    Args:
        path: as `files.read_tables` takes it.
        columns: those that are fitted; by default all but those of the condition.
        condition: columns that a model of the others is conditioned on (`tables.conditioning`); of
            an archive those that its array `condition` makes.
        image_size: (height, width) to which the images of a folder are resized.
        preparation: as in `from_arrays`, as are the others.
        missing: whether missing values are allowed.
        test_fraction: of the rows, where the file does not say which are for the test.
        split_seed: of the choice of those.

    Raises:
        InputError: as `from_arrays`, and for a file that cannot be read.
    """
    tables = read_tables(path, image_size=image_size)
    try:
        tables = _chosen(tables, columns, condition)
        return from_tables(
            tables,
            Path(path).name,
            preparation=preparation,
            missing=missing,
            test_fraction=test_fraction,
            split_seed=split_seed,
        )
    except InputError as error:
        raise type(error)(f"{path}: {error}") from error


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
    for table in tables[:2]:
        if table is not None:
            check_table(table, missing)
    parts, how = _split(tables, test_fraction, split_seed)
    beside = None
    if tables.train_condition is not None:
        check_condition(tables)
        beside = conditioning([part.condition for part in parts if part.condition is not None])
    train, test = (pixels_or_numbers(part.rows) for part in parts)
    check_columns(train)
    columns = preparation((train, test))
    rows = [
        as_float32(columns, table, beside, part.condition)
        for table, part in zip((train, test), parts, strict=True)
    ]
    width = len(columns.model_names)
    low, high, bits = _span([part[:, :width] for part in rows])
    shape = tables.train.image_shape or (1, width)
    return Dataset(
        name=name,
        train=rows[0],
        valid=rows[0][:0],
        test=rows[1],
        image_shape=shape,
        binary=bits,
        # Pixels are grey; the columns of a table are measurements, unless they are bits.
        real_valued=not bits and (tables.train.image_shape is None or low < 0.0 or high > 1.0),
        source=f"{name}, {len(rows[0]):,} train and {len(rows[1]):,} test {how}",
        columns=columns,
        condition=beside,
    )


def _split_off(table: Table, names: Sequence[str]) -> tuple[Table, Table]:
    """The other columns of a table, and those of these names.

    Raises:
        InputError: for a name that there is not, or where no other is left.
    """
    others = [name for name in table.names if name not in names]
    if not others:
        raise InputError("all columns are conditions: leave one to fit")
    return table.select(others), table.select(names)


def _chosen(tables: FileTables, columns: Sequence[str] | None, names: Sequence[str]) -> FileTables:
    """The columns that are fitted, and those that they are conditioned on.

    Raises:
        InputError: for a column that there is not, or that is fitted as well.
    """
    train, test, condition, test_condition = tables
    if not names:
        condition = test_condition = None
    elif condition is not None or test_condition is not None:
        condition = condition and condition.select(names)
        test_condition = test_condition and test_condition.select(names)
    else:
        both = sorted({*(columns or ())} & {*names})
        if both:
            raise InputError(f"column {both[0]!r} is fitted, and cannot be a condition as well")
        train, condition = _split_off(train, names)
        if test is not None:
            test, test_condition = _split_off(test, names)
    if columns is not None:
        train, test = train.select(columns), test and test.select(columns)
    return FileTables(train, test, condition, test_condition)


def pixels_or_numbers(table: Table) -> Table:
    """Bytes of images as pixels in [0, 1]; anything else as it is."""
    if table.image_shape is None or table.values.dtype != np.uint8:
        return table
    return table._replace(values=table.values / 255.0)


def _as_condition(values: Shaped[np.ndarray, "..."]) -> Table:
    values = np.asarray(values)
    if values.ndim not in (1, 2) or values.dtype.kind not in "biuf":
        raise InputError(
            f"a condition of shape {values.shape} and type {values.dtype}: give numbers, [N] or "
            "[N, V]"
        )
    columns = values.reshape(len(values), -1)
    return Table(tuple(f"condition_{number}" for number in range(columns.shape[1])), columns)


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


class _Part(NamedTuple):
    """Rows, and what they are conditioned on."""

    rows: Table
    condition: Table | None


def _split(tables: FileTables, test_fraction: float, seed: int) -> tuple[tuple[_Part, _Part], str]:
    """Train, test, and how they were chosen."""
    train, test, condition, test_condition = tables
    if test is not None:
        if (condition is None) != (test_condition is None):
            raise InputError("train and test need a condition both: give the other one too")
        return (_Part(train, condition), _Part(test, test_condition)), "as given"
    if not 0.0 < test_fraction < 1.0:
        raise InputError(f"the test fraction is {test_fraction}: give a number between 0 and 1")
    count = len(train.values)
    num_test = min(max(1, round(test_fraction * count)), count - 1)
    places = seeded_split(np.arange(count), count - num_test, num_test, seed)

    def at(table: Table, place: NDArray) -> Table:
        return table._replace(values=table.values[place])

    first, second = (
        _Part(at(train, place), condition and at(condition, place)) for place in places
    )
    return (first, second), f"split by seed {seed}"


def _span(parts: Sequence[NDArray[np.float32]]) -> tuple[float, float, bool]:
    """The smallest and the largest value of the training rows, and whether all rows are bits."""
    bits = all(_are_bits(block) for part in parts for block in row_blocks(part))
    return *span(parts[0]), bits


def _are_bits(rows: NDArray[np.float32]) -> bool:
    return bool(np.all((rows == 0.0) | (rows == 1.0) | np.isnan(rows)))
