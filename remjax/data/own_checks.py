"""What a user's own table must be before anything is learned from it."""

import numpy as np

from remjax.data.checks import check_rows
from remjax.data.files import FileTables
from remjax.data.tables import Table
from remjax.data.values import row_blocks
from remjax.errors import InputError
from remjax.types import Support


class MissingValues(InputError):
    """Values are missing where they may not be: a model that leaves them out is another mend."""


def check_table(table: Table, missing: bool) -> None:
    """Rows there are, and no value is missing or infinite that may not be.

    Raises:
        MissingValues: naming the rows of those that are missing.
        InputError: for too few rows, or naming those of infinite values.
    """
    if len(table.values) < 2 or table.values.shape[1] == 0:
        raise InputError(
            f"a table of {len(table.values)} rows and {table.values.shape[1]} columns: give two "
            "rows or more"
        )
    if not missing:
        _refuse_missing(table, "values are missing", MissingValues)
    check_rows(table.values, Support(missing=missing))


def check_condition(tables: FileTables) -> None:
    """Of every row it is known."""
    for table in tables[2:]:
        if table is not None:
            _refuse_missing(table, "the condition is missing", InputError)
            check_rows(table.values, Support())


def _refuse_missing(table: Table, what: str, kind: type[InputError]) -> None:
    found = [np.isnan(block).any(axis=1) for block in row_blocks(table.values)]
    rows = np.flatnonzero(np.concatenate(found))
    if rows.size:
        shown = ", ".join(map(str, rows[:5]))
        more = f" and {rows.size - 5} more" if rows.size > 5 else ""
        raise kind(f"{what} in row{'s' * (rows.size > 1)} {shown}{more}: drop or impute them")


def check_columns(train: Table) -> None:
    """Every column has a value to learn from."""
    empty = np.all([np.isnan(block).all(axis=0) for block in row_blocks(train.values)], axis=0)
    if empty.any():
        name = train.names[int(np.argmax(empty))]
        raise InputError(f"column {name!r} has no values to train on: leave it out")
