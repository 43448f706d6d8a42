"""Arrays of NumPy's as tables, .npy and .npz, without a pickle anywhere."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from remjax.data.broken_files import damaged
from remjax.data.tables import Table
from remjax.errors import InputError

Parts = tuple[Table, Table | None, Table | None, Table | None]
_ARRAY, _ARCHIVE = b"\x93NUMPY", b"PK"


def read_npy(path: Path) -> Table:
    """The array [N, X] or [N, H, W], which stays on the disk until it is used.

    Raises:
        InputError: for no such array, without the name of the file.
        OSError: for a file that cannot be read.
    """
    if _magic(path) == _ARCHIVE:
        raise InputError("is an archive of arrays: let its name end in .npz")
    with _reading():
        return _array_table(np.load(path, mmap_mode="r"), "the array")


def read_npz(path: Path) -> Parts:
    """The rows, those of the test, and the conditions of both, as in `files.FileTables`.

    Raises:
        InputError: for an archive without such arrays, without the name of the file.
        OSError: for a file that cannot be read.
    """
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
        if "allow_pickle" in str(error) or "Python objects" in str(error):
            raise InputError(
                "holds Python objects, which are never loaded: save an array of numbers"
            ) from error
        raise damaged(error) from error


def _arrays(archive: Any) -> Parts:
    conditions = ("condition", "train_condition", "test_condition")
    names = [name for name in archive.files if name not in conditions]
    if {"train", "test"} <= set(names):
        train, test = (_array_table(archive[name], name) for name in ("train", "test"))
        if train.values.shape[1] != test.values.shape[1]:
            raise InputError("train and test have different numbers of columns")
        of_train = _condition_table(archive, "train_condition", train)
        return train, test, of_train, _condition_table(archive, "test_condition", test)
    name = "x" if "x" in names else names[0] if len(names) == 1 else None
    if name is None:
        raise InputError(
            f"holds {', '.join(names) or 'no arrays'}: name the array x, or two of them train and "
            "test"
        )
    rows = _array_table(archive[name], name)
    return rows, None, _condition_table(archive, "condition", rows), None


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
