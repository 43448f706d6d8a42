"""Files that are whole or absent, and strict JSON: what a run leaves on the disk."""

import contextlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from remjax.errors import InputError


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yields the path; what the disk refuses inside the block becomes one line for the user.

    Raises:
      InputError: The disk is full or cannot be written.
    """
    try:
        yield path
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror or error}; "
            "free some space there, or choose a place that can be written"
        ) from error


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path to write, which becomes `path` when the block ends without an error.

    Raises:
      InputError: The disk is full or cannot be written; `path` is then as it was.
    """
    path = Path(path)
    # The suffix stays, because matplotlib takes the format of a picture from it.
    temporary = path.with_name(f".{path.stem}.partial{path.suffix}")
    with writing(path):
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


def to_plain(value: Any) -> Any:
    """The value in the types of JSON.

    Numbers and arrays of NumPy and JAX become numbers and lists; NaN and the infinities, which JSON
    does not have, become None.

    Raises:
      TypeError: There is something in it that JSON cannot hold.
    """
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "dtype"):
        array = np.asarray(value)
        return to_plain((array if array.dtype.kind in "biu" else array.astype(np.float64)).tolist())
    raise TypeError(f"JSON cannot hold {value!r}, a {type(value).__name__}")


def to_line(value: Mapping[str, Any]) -> str:
    """One line of JSON, with its end of line."""
    return json.dumps(to_plain(value), allow_nan=False) + "\n"


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes a JSON object, whole or not at all.

    Raises:
      InputError: The disk is full or cannot be written.
    """
    with replacing(path) as temporary:
        text = json.dumps(to_plain(value), indent=2, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
      InputError: The file cannot be read, or is something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path} ({error}): restore the file, or run again") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} is not a JSON object: restore the file, or run again")
    return value
