"""Tables as they stand in a file, and how their columns become what a model is fitted to."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import NDArray

from remjax.data.values import mean_and_scale
from remjax.errors import InputError

# Different whole numbers that are taken for categories of a condition.
_FEW = 20


class Table(NamedTuple):
    """Rows of named columns, before anything is done to them.

    Attributes:
        names: of the V columns.
        values: [N, V], real numbers; NaN where a value is missing. Of a column of text, the places
            of its values among its levels.
        levels: of each column of text, its different values, in order.
        image_shape: (height, width) where a row is an image.
    """

    names: tuple[str, ...]
    values: Shaped[np.ndarray, "N V"]
    levels: Mapping[str, tuple[str, ...]] = {}
    image_shape: tuple[int, int] | None = None

    def select(self, names: Sequence[str]) -> "Table":
        """Some of the columns, in the order given.

        Raises:
            InputError: for a name that there is not, or that is asked for twice.
        """
        for name in names:
            if name not in self.names:
                known = ", ".join(self.names[:10]) + (", ..." if len(self.names) > 10 else "")
                raise InputError(f"there is no column {name!r}: the columns are {known}")
        if len(set(names)) < len(names) or not names:
            raise InputError(f"columns {','.join(names)!r}: name each column once")
        places = [self.names.index(name) for name in names]
        levels = {name: self.levels[name] for name in names if name in self.levels}
        return Table(tuple(names), self.values[:, places], levels, None)


class Columns(NamedTuple):
    """How the columns of a table became those that a model sees, and the way back.

    A number enters as (value - offset) / scale; a category as one-hot columns, one for each of its
    values. Missing entries stay NaN, in all columns of a category.

    Attributes:
        names: of the V columns of the table.
        offset: [V], in the units of each column; 0 for as it is.
        scale: [V]; 1 for as it is.
        categories: of each column its values, text or numbers; () for a column of numbers, and for
            all where none is a category.
    """

    names: tuple[str, ...]
    offset: tuple[float, ...]
    scale: tuple[float, ...]
    categories: tuple[tuple[str | float, ...], ...] = ()

    @property
    def model_names(self) -> tuple[str, ...]:
        """Of the X columns that a model sees, as colour=red for a category."""
        if not self.categories:
            return self.names
        return tuple(
            own
            for name, values in zip(self.names, self.categories, strict=True)
            for own in ([f"{name}={_shown(value)}" for value in values] or [name])
        )

    def to_model(self, table: Table) -> Float[np.ndarray, "N X"]:
        """The rows as a model sees them, float64.

        Args:
            table: its columns are found by their names; others are left out.

        Raises:
            InputError: for a column that is not there, text where there should be numbers, or a
                category that the model has not seen.
        """
        if table.names != self.names:
            table = table.select(self.names)
        if not self.categories:
            return (numbers_of(table) - np.asarray(self.offset)) / np.asarray(self.scale)
        coded = zip(self.names, table.values.T, self.categories, strict=True)
        return np.concatenate(
            [
                _one_hot(name, _labels(table, name, column), own)
                if own
                else self._numbers(table.select((name,)))
                for name, column, own in coded
            ],
            axis=1,
        )

    def _numbers(self, table: Table) -> Float[np.ndarray, "N 1"]:
        """One column of numbers."""
        place = self.names.index(table.names[0])
        return (numbers_of(table) - self.offset[place]) / self.scale[place]

    def to_table(self, x: Float[np.ndarray, "N X"]) -> Table:
        """The rows in the units of the table; of a category its most probable value."""
        if not self.categories:
            return Table(self.names, np.asarray(x, np.float64) * self.scale + self.offset)
        ends = np.cumsum([max(1, len(values)) for values in self.categories])[:-1]
        columns, levels = [], {}
        parts = np.split(np.asarray(x, np.float64), ends, axis=1)
        units = zip(self.names, parts, self.offset, self.scale, self.categories, strict=True)
        for name, part, offset, scale, values in units:
            if not values:
                columns.append(part[:, 0] * scale + offset)
                continue
            missing = np.isnan(part).any(axis=1)
            place = np.argmax(np.where(np.isnan(part), 0.0, part), axis=1)
            if isinstance(values[0], str):
                levels[name] = tuple(map(str, values))
                column = place.astype(np.float64)
            else:
                column = np.asarray(values, np.float64)[place]
            columns.append(np.where(missing, np.nan, column))
        return Table(self.names, np.stack(columns, axis=1), levels)


def as_they_are(tables: Sequence[Table]) -> Columns:
    """Numbers, as they are.

    Args:
        tables: the training rows, and others.

    Raises:
        InputError: for a column of text.
    """
    for table in tables:
        numbers_of(table)
    names = tables[0].names
    return Columns(names, (0.0,) * len(names), (1.0,) * len(names))


def standardized(tables: Sequence[Table]) -> Columns:
    """Numbers less their mean, divided by their standard deviation; a constant column by one.

    Mean and standard deviation are those of the training rows, the first of the tables.
    """
    as_they_are(tables)
    table = tables[0]
    mean, scale = mean_and_scale(table.values)
    scale = np.where(scale > 1e-12 * np.abs(mean), scale, 1.0)
    return Columns(table.names, tuple(mean.tolist()), tuple(scale.tolist()))


def conditioning(tables: Sequence[Table]) -> Columns:
    """What a model is conditioned on: categories as they are, numbers standardized.

    A category is a column of text, or of at most twenty different whole numbers.

    Args:
        tables: the training rows, whose mean and standard deviation are taken, and others.
    """
    names, train = tables[0].names, tables[0]
    offset, scale, categories = [], [], []
    for place, name in enumerate(names):
        column = np.concatenate([table.values[:, place] for table in tables])
        few = name in train.levels or (len(np.unique(column)) <= _FEW and not np.any(column % 1))
        numbers = Table((name,), train.values[:, [place]])
        own = Columns((name,), (0.0,), (1.0,)) if few else standardized([numbers])
        offset += own.offset
        scale += own.scale
        categories.append((train.levels.get(name) or _occurring(name, column)) if few else ())
    return Columns(names, tuple(offset), tuple(scale), tuple(categories))


def categorical(tables: Sequence[Table]) -> Columns:
    """Categories: the values that occur in any of the tables, text as it is and numbers in order.

    Raises:
        InputError: for a column of more than a hundred different numbers.
    """
    names, levels = tables[0].names, tables[0].levels
    columns = np.concatenate([table.values for table in tables]).T
    return Columns(
        names,
        (0.0,) * len(names),
        (1.0,) * len(names),
        tuple(
            levels.get(name) or _occurring(name, column)
            for name, column in zip(names, columns, strict=True)
        ),
    )


def one_hot(
    codes: Shaped[np.ndarray, "..."], num_categories: Sequence[int]
) -> Float[np.ndarray, "N X"]:
    """Codes 0..C_v - 1 of V variables as one-hot columns, side by side; X = sum_v C_v.

    Args:
        codes: whole numbers; NaN for a missing one, which makes NaN in all its columns.
        num_categories: C_v of each variable.

    Raises:
        InputError: for another number of variables, or a code that is none of its categories.
    """
    codes = np.asarray(codes)
    if codes.ndim != 2 or codes.shape[1] != len(num_categories):
        raise InputError(
            f"codes have the shape {codes.shape} for {len(num_categories)} variables: give [N, V]"
        )
    parts = [
        _one_hot(str(number), column, tuple(map(float, range(size))))
        for number, (column, size) in enumerate(zip(codes.T, num_categories, strict=True))
    ]
    return np.concatenate(parts, axis=1).astype(np.float32)


def numbers_of(table: Table) -> Shaped[np.ndarray, "N V"]:
    """The values of a table all of whose columns are numbers.

    Raises:
        InputError: naming a column of text and a value of it.
    """
    for name, levels in table.levels.items():
        value = next((level for level in levels if not _is_number(level)), levels[0])
        comma = _is_number(value.replace(",", ".", 1)) and "," in value
        mend = "leave that column out, or take the categorical likelihood"
        if comma:
            mend = "write decimal points"
        raise InputError(f"column {name!r} holds the text {value[:40]!r}: {mend}")
    return table.values


def _shown(value: str | float | int) -> str:
    return value if isinstance(value, str) else format(value, "g")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _labels(table: Table, name: str, column: NDArray) -> NDArray:
    """The values of a column: text as text (None for missing), numbers as they are."""
    if name not in table.levels:
        return column
    levels = np.array([*table.levels[name], None], object)
    return levels[np.where(np.isnan(column), len(levels) - 1, column).astype(int)]


def _occurring(name: str, column: NDArray) -> tuple[float, ...]:
    values = np.unique(column[~np.isnan(column)]).tolist()
    if len(values) > 100:
        raise InputError(
            f"column {name!r} holds {len(values)} different numbers: as categories it may have 100"
        )
    return tuple(map(float, values))


def _one_hot(name: str, column: NDArray, values: Sequence[str | float]) -> Float[np.ndarray, "N C"]:
    """[N, C] of one column; a missing entry is NaN in all."""
    places = {value: place for place, value in enumerate(values)}
    missing = np.array([value is None or value != value for value in column.tolist()], bool)
    found = [places.get(value, -1) for value in column.tolist()]
    unknown = (np.asarray(found) < 0) & ~missing
    if unknown.any():
        row = int(np.argmax(unknown))
        shown = ", ".join(map(_shown, values[:10])) + (", ..." if len(values) > 10 else "")
        raise InputError(
            f"row {row} holds {_shown(column.tolist()[row])} in column {name!r}, whose categories "
            f"are {shown}: drop that row"
        )
    hot = np.asarray(found)[:, None] == np.arange(len(values))
    return np.where(missing[:, None], np.nan, hot)
