"""A user's own files as tables: .npy, .npz, .csv, .parquet, and folders of images.

Arrow reads .csv and .parquet: one kept library for both, quick, strict about ragged rows, and
without a pickle anywhere. Pillow reads images.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from remjax.data.tables import Table
from remjax.errors import InputError

SUFFIXES = (".npy", ".npz", ".csv", ".parquet")
_IMAGES = (".png", ".jpg", ".jpeg")
_ARRAY, _ARCHIVE = b"\x93NUMPY", b"PK"


class FileTables(NamedTuple):
    """What a file holds.

    Attributes:
        train: the rows.
        test: those of the test, where the file says which they are.
        train_condition: what stands beside the rows to condition on, in an archive of arrays.
        test_condition: the same for those of the test.
    """

    train: Table
    test: Table | None = None
    train_condition: Table | None = None
    test_condition: Table | None = None


def read_tables(
    path: str | os.PathLike[str], *, image_size: tuple[int, int] | None = None
) -> FileTables:
    """The rows of a file, by its ending, as they stand in it.

    .npy: an array [N, X] or [N, H, W], which stays on the disk until it is used. .npz: the arrays
    `train` and `test`, or `x`, or the only one; beside them `condition` [N] or [N, V] of numbers or
    text, or `train_condition` and `test_condition`. .csv: a header (names of columns; none where
    the first line is all numbers), commas and decimal points; an empty cell or NA is missing.
    .parquet: columns of numbers, bools or text. A folder: all PNG and JPEG images in it, in the
    order of their names, grey, as bytes.

    Args:
        path: the file or folder.
        image_size: (height, width) to which the images of a folder are resized; by default they
            must all have one size.

    Raises:
        InputError: one line, for what cannot be read or is no table.
    """
    path = Path(path)
    if path.is_dir():
        return FileTables(_folder(path, image_size))
    if image_size is not None:
        raise InputError(f"{path} is no folder of images: an image size does nothing for it")
    readers = {".npy": _npy, ".npz": _npz, ".csv": _csv, ".parquet": _parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(
            f"{path}: give a file that ends in {', '.join(SUFFIXES)}, or a folder of images"
        )
    if not path.is_file():
        raise InputError(f"{path} does not exist: name a file that does")
    try:
        return reader(path)
    except OSError as error:
        raise InputError(f"{path}: {_reason(error)}; give a file that can be read") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _npy(path: Path) -> FileTables:
    if _magic(path) == _ARCHIVE:
        raise InputError("is an archive of arrays: let its name end in .npz")
    with _reading():
        return FileTables(_array_table(np.load(path, mmap_mode="r"), "the array"))


def _npz(path: Path) -> FileTables:
    if _magic(path) != _ARCHIVE:
        raise InputError("is no .npz archive: name a file of one array .npy")
    with _reading(), path.open("rb") as file, np.load(file) as archive:
        return _arrays(archive)


def _magic(path: Path) -> bytes:
    """The first bytes of a file of NumPy's."""
    with path.open("rb") as file:
        first = file.read(6)
    for known in (_ARRAY, _ARCHIVE):
        if first.startswith(known):
            return known
    raise InputError("is no file of NumPy's, whatever its name says: save it again")


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """What NumPy makes of a broken file is one line; a file that cannot be read stays that."""
    try:
        yield
    except (OSError, InputError):
        raise
    except Exception as error:
        # NumPy promises no type of exception for a broken file: ValueError, EOFError, SyntaxError,
        # tokenize.TokenError, zlib.error, BadZipFile, MemoryError and others have been seen.
        raise _unless_input_error(error) from error


def _arrays(archive: Any) -> FileTables:
    conditions = ("condition", "train_condition", "test_condition")
    names = [name for name in archive.files if name not in conditions]
    if {"train", "test"} <= set(names):
        train, test = (_array_table(archive[name], name) for name in ("train", "test"))
        if train.values.shape[1] != test.values.shape[1]:
            raise InputError("train and test have different numbers of columns")
        of_parts = (
            _condition_table(archive, f"{name}_condition", table)
            for name, table in (("train", train), ("test", test))
        )
        return FileTables(train, test, *of_parts)
    name = "x" if "x" in names else names[0] if len(names) == 1 else None
    if name is None:
        raise InputError(
            f"holds {', '.join(names) or 'no arrays'}: name the array x, or two of them train and "
            "test"
        )
    rows = _array_table(archive[name], name)
    return FileTables(rows, None, _condition_table(archive, "condition", rows))


def _condition_table(archive: Any, name: str, rows: Table) -> Table | None:
    """The columns of an array that stands beside the rows: its name, or name_0, name_1, ..."""
    if name not in archive.files:
        return None
    values = archive[name]
    if values.dtype.kind not in "biufU" or values.ndim not in (1, 2):
        raise InputError(
            f"{name} is of shape {values.shape} and type {values.dtype}: save numbers or text, [N] "
            "or [N, V]"
        )
    if len(values) != len(rows.values):
        raise InputError(f"{name} has {len(values)} rows beside {len(rows.values)}: give as many")
    columns = values[:, None] if values.ndim == 1 else values
    # A file of two parts calls its columns alike in both.
    names = (
        ("condition",)
        if values.ndim == 1
        else tuple(f"condition_{number}" for number in range(columns.shape[1]))
    )
    if values.dtype.kind != "U":
        return Table(names, columns)
    coded = [np.unique(column, return_inverse=True) for column in columns.T]
    return Table(
        names,
        np.stack([places for _, places in coded], axis=1).astype(np.float64),
        {own: tuple(levels.tolist()) for own, (levels, _) in zip(names, coded, strict=True)},
    )


def _unless_input_error(error: Exception) -> InputError:
    if isinstance(error, InputError):
        return error
    if "allow_pickle" in str(error) or "Python objects" in str(error):
        return InputError("holds Python objects, which are never loaded: save an array of numbers")
    return InputError(f"damaged, or of another format ({_reason(error)}): save it again")


def _array_table(values: Any, name: str) -> Table:
    """An array of rank 2, or of rank 3 as images; bytes of images stay bytes."""
    if values.dtype.kind not in "biuf":
        raise InputError(f"{name} is of type {values.dtype}: save an array of numbers")
    if values.ndim not in (2, 3):
        raise InputError(
            f"{name} has the shape {values.shape}: give rows [N, X], or images [N, H, W]"
        )
    if not values.size:
        raise InputError(f"{name} has the shape {values.shape}, without a number: save it again")
    shape = values.shape[1:] if values.ndim == 3 else None
    flat = values.reshape(len(values), -1)
    names = tuple(f"column_{number}" for number in range(flat.shape[1]))
    return Table(names, flat, image_shape=shape)


def _csv(path: Path) -> FileTables:
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
        raise InputError(f"is no table of commas ({_reason(error)}): save it again") from error
    if headless:
        found = found.rename_columns([f"column_{number}" for number in range(len(cells))])
    return FileTables(_arrow_table(found))


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


def _parquet(path: Path) -> FileTables:
    from pyarrow import parquet

    try:
        return FileTables(_arrow_table(parquet.ParquetFile(path).read()))
    except (ValueError, NotImplementedError) as error:
        raise _unless_input_error(error) from error


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


def _folder(path: Path, size: tuple[int, int] | None) -> Table:
    """Its images as bytes [N, H W]."""
    from PIL import Image, UnidentifiedImageError

    files = sorted(file for file in path.iterdir() if file.suffix.lower() in _IMAGES)
    if not files:
        raise InputError(f"{path} holds no {', '.join(_IMAGES)}: name a folder of images")
    rows: list[NDArray[np.uint8]] = []
    for file in files:
        try:
            with Image.open(file) as image:
                grey = image.convert("L")
                if size is not None:
                    grey = grey.resize((size[1], size[0]), Image.Resampling.BILINEAR)
                rows.append(np.asarray(grey, np.uint8))
        except (OSError, UnidentifiedImageError, ValueError, SyntaxError, EOFError) as error:
            raise InputError(f"{file}: {_reason(error)}; replace it or take it away") from error
        except Image.DecompressionBombError as error:
            raise InputError(f"{file}: {_reason(error)}; take it away") from error
        if rows[-1].shape != rows[0].shape:
            raise InputError(
                f"{file} is {_size(rows[-1])} and {files[0].name} is {_size(rows[0])}: give one "
                "image size for all"
            )
    images = np.stack(rows)
    names = tuple(f"pixel_{number}" for number in range(images[0].size))
    return Table(names, images.reshape(len(images), -1), image_shape=images.shape[1:])


def _size(image: NDArray) -> str:
    height, width = image.shape
    return f"{height}x{width}"


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:200]
