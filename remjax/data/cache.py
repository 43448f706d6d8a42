"""Parsed arrays on disk, so that a data set of slow files loads at once the second time."""

import hashlib
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Raise it when a reader's output changes: entries of earlier versions are then never read again.
_VERSION = 1


def cached_arrays(
    folder: Path,
    name: str,
    files: Sequence[Path],
    parse: Callable[[], list[NDArray]],
) -> list[NDArray]:
    """The arrays that `parse` returns, one for each file, from the cache where it holds them.

    An entry belongs to the files' paths, sizes and times of change, so that a changed file is
    parsed anew. Each array carries a checksum (that of the zip format): a broken entry is rebuilt.
    A cache that cannot be written is no error.

    Args:
        folder: where the entries lie; made when first needed.
        name: the beginning of the entry's file name.
        files: the files that `parse` reads.
        parse: makes the arrays; whatever it raises comes through.
    """
    stats = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    identity = hashlib.sha256(repr((_VERSION, stats)).encode()).hexdigest()[:16]
    entry = folder / f"{name}-{identity}.npz"
    arrays = _read(entry, len(files))
    if arrays is None:
        arrays = parse()
        _write(entry, arrays)
    return arrays


def _read(entry: Path, num_arrays: int) -> list[NDArray] | None:
    try:
        # Opened here, because NumPy does not close what it finds broken.
        with entry.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            # A changed header may ask for less than is stored, which reading would not notice.
            if stored.zip is None or stored.zip.testzip() is not None:
                return None
            return [stored[f"arr_{i}"] for i in range(num_arrays)]
    except Exception:
        # Absent, cut, changed or no zip at all: each way of being broken has its own exception, and
        # the answer to all is to parse again. NumPy refuses pickles with a ValueError.
        return None


def _write(entry: Path, arrays: list[NDArray]) -> None:
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        # Two processes may write the same entry at once, each under its own temporary name.
        partial = entry.with_name(f".partial-{uuid.uuid4().hex}")
        try:
            with partial.open("xb") as file:
                np.savez(file, *arrays)
            partial.replace(entry)
        finally:
            partial.unlink(missing_ok=True)
    except OSError:
        # Read-only or full: the arrays are right all the same, only slower to get.
        return
