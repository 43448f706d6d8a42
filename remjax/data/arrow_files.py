"""Tables with named columns, .csv and .parquet.

Arrow reads both: one kept library, quick, and strict about ragged rows.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remjax.data.broken_files import damaged, reason
from remjax.data.tables import Table
from remjax.errors import InputError


def read_csv(path: Path) -> Table:
    """The columns of a file with commas and decimal points; numbers alone are no header.

    Raises:
        InputError: for no such file, without its name.
        OSError: for a file that cannot be read.
    """
    from pyarrow import csv  # slow to import, and only this format and the next need it

    header = _header(path)
    if (";" in header and "," not in header) or ("\t" in header and "," not in header):
        raise InputError("its columns are not separated by commas: save it with commas")
    cells = header.split(",")
    headless = all(_is_number(cell) for cell in cells)
    null = ["", "NA", "N/A", "#N/A", "NaN", "nan", "null", "NULL", "None"]
    try:
        found = csv.read_csv(
            path,
            read_options=csv.ReadOptions(autogenerate_column_names=headless),
            convert_options=csv.ConvertOptions(null_values=null, strings_can_be_null=True),
        )
    except (ValueError, KeyError) as error:  # Arrow's own errors are of these
        raise InputError(f"is no table of commas ({reason(error)}): save it again") from error
    if headless:
        found = found.rename_columns([f"column_{number}" for number in range(len(cells))])
    return _arrow_table(found)


def _header(path: Path) -> str:
    """The first line, without its end and without a mark of the byte order."""
    with path.open("rb") as file:
        first = file.readline(1 << 20)
    if not first.strip():
        raise InputError("is empty, or begins with an empty line: give a header and rows")
    try:
        return first.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise InputError("is no text in UTF-8: save it as CSV in UTF-8") from error


def _is_number(cell: str) -> bool:
    try:
        float(cell.strip().strip('"'))
    except ValueError:
        return False
    return True


def read_parquet(path: Path) -> Table:
    """The columns of numbers, bools and text.

    Raises:
        InputError: for no such file, without its name.
        OSError: for a file that cannot be read.
    """
    from pyarrow import parquet

    try:
        return _arrow_table(parquet.ParquetFile(path).read())
    except InputError:
        raise
    except (ValueError, NotImplementedError) as error:
        raise damaged(error) from error


def _arrow_table(found: Any) -> Table:
    """Columns of numbers, bools and text."""
    names = tuple(name.strip() or f"column_{n}" for n, name in enumerate(found.column_names))
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"has two columns {twice!r}: rename one of them")
    if not names:
        raise InputError("has no columns: give a header and rows")
    columns, levels = [], {}
    for name, column in zip(names, found.columns, strict=True):
        values, own = _arrow_column(name, column.combine_chunks())
        columns.append(values)
        if own:
            levels[name] = own
    return Table(names, np.stack(columns, axis=1), levels)


def _arrow_column(name: str, column: Any) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The values as float64, NaN for missing ones; of text its places and levels."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        text = np.asarray(column.fill_null("").to_numpy(zero_copy_only=False), dtype=str)
        missing = np.asarray(column.is_null())
        levels, places = np.unique(text[~missing], return_inverse=True)
        values = np.full(len(text), np.nan)
        values[~missing] = places
        return values, tuple(levels.tolist())
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan), ()
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return np.array(values, np.float64), ()
    raise InputError(f"column {name!r} is of type {kind}: leave it out, or make it numbers")
