"""A user's own files as tables: .npy, .npz, .csv, .parquet, and folders of images."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from remjax.data.arrow_files import read_csv, read_parquet
from remjax.data.broken_files import reason
from remjax.data.image_folders import read_folder
from remjax.data.numpy_files import read_npy, read_npz
from remjax.data.tables import Table
from remjax.errors import InputError

SUFFIXES = (".npy", ".npz", ".csv", ".parquet")


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
        return FileTables(read_folder(path, image_size))
    if image_size is not None:
        raise InputError(f"{path} is no folder of images: an image size does nothing for it")
    readers: dict[str, Callable[[Path], FileTables]] = {
        ".npy": lambda file: FileTables(read_npy(file)),
        ".npz": lambda file: FileTables(*read_npz(file)),
        ".csv": lambda file: FileTables(read_csv(file)),
        ".parquet": lambda file: FileTables(read_parquet(file)),
    }
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
        raise InputError(f"{path}: {reason(error)}; give a file that can be read") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
