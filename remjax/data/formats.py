"""Readers of the published file formats: idx, .amat, .mat and zips of PNGs. No pickle anywhere.

Every reader checks all that it relies on and raises `DamagedFile` with the reason alone; the caller
knows whether the file came from a user or from a server and says what to do about it.
"""

import gzip
import hashlib
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_IDX_IMAGES = 0x00000803
_GZIP_MAGIC = b"\x1f\x8b"
_LARGEST_PNG = 1 << 20

# What zipfile and Pillow let through from broken input besides errors of their own.
_BROKEN = (OSError, EOFError, ValueError, IndexError, OverflowError, RuntimeError)


class DamagedFile(ValueError):
    """A file is not what it should be; the message is the reason, without the file's name."""


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def read_content(path: Path, size: int) -> bytes:
    """The content of a file, unpacked where it is gzip, whatever its name says.

    Args:
        path: the file.
        size: how many bytes the content should have. Reading stops there, so that a hostile file
            cannot unpack without end.
    """
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP_MAGIC
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            # One byte more than allowed: it also makes gzip reach the end and check its sum.
            content = file.read(size + 1)
    except EOFError as error:
        raise DamagedFile("truncated: the gzip stream ends early") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DamagedFile(f"corrupted: {_one_line(error)}") from error
    if not content:
        raise DamagedFile("empty")
    if len(content) > size:
        raise DamagedFile(f"corrupted or another file: more than the {size:,} bytes expected")
    return content


def check_md5(content: bytes, md5: str) -> None:
    """Refuses content that is well formed but not the published one."""
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise DamagedFile(f"not the published content: its md5 is {found} and not {md5}")


def parse_idx_images(content: bytes) -> NDArray[np.uint8]:
    """The images of an idx file (LeCun's format for MNIST): bytes -> [N, height, width]."""
    if len(content) < 16:
        raise DamagedFile(f"truncated: {len(content)} bytes do not hold the 16-byte idx header")
    magic, *shape = struct.unpack(">4I", content[:16])
    if magic != _IDX_IMAGES:
        raise DamagedFile(f"no idx file of images: magic number {magic} and not {_IDX_IMAGES}")
    promised = 16 + shape[0] * shape[1] * shape[2]
    if len(content) != promised:
        kind = "truncated" if len(content) < promised else "too long"
        raise DamagedFile(f"{kind}: {len(content):,} bytes where its header promises {promised:,}")
    return np.frombuffer(content, np.uint8, offset=16).reshape(shape)


def parse_amat(content: bytes, num_pixels: int) -> NDArray[np.uint8]:
    """The rows of an .amat text, each `0 1 ... 0`: bytes -> [N, num_pixels] of 0 and 1."""
    width = 2 * num_pixels
    if len(content) % width:
        raise DamagedFile(
            f"truncated or no .amat text: {len(content):,} bytes are not whole lines of {width}"
        )
    text = np.frombuffer(content, np.uint8).reshape(-1, width)
    digits = text[:, ::2] - np.uint8(ord("0"))
    if digits.max() > 1:
        row = int((digits > 1).any(axis=1).argmax())
        raise DamagedFile(f"line {row + 1} holds something other than 0 and 1")
    separators = np.full(num_pixels, ord(" "), np.uint8)
    separators[-1] = ord("\n")
    if not np.array_equal(text[:, 1::2], np.broadcast_to(separators, digits.shape)):
        raise DamagedFile(f"its lines are not {num_pixels} digits with single spaces between")
    return digits


def read_mat(path: Path, shapes: dict[str, tuple[int, ...]]) -> dict[str, NDArray]:
    """Numeric arrays of a MATLAB file (up to version 7), by key, checked against their shapes."""
    import scipy.io  # half a second to import, and two data sets need it

    if path.stat().st_size == 0:
        raise DamagedFile("empty")
    try:
        with path.open("rb") as file:
            found = {key: (shape, kind) for key, shape, kind in scipy.io.whosmat(file)}
            for key, shape in shapes.items():
                if key not in found:
                    raise DamagedFile(f"no array {key!r} in it, only {sorted(found)}")
                if found[key][0] != shape:
                    raise DamagedFile(f"array {key!r} has shape {found[key][0]} and not {shape}")
            file.seek(0)
            arrays = scipy.io.loadmat(file, variable_names=list(shapes))
    except (DamagedFile, MemoryError):
        raise
    except Exception as error:
        # SciPy promises no type of exception for a broken file: zlib.error, ValueError, TypeError,
        # IndexError, NotImplementedError (MATLAB 7.3) and others have been seen.
        raise DamagedFile(f"truncated, corrupted or no MATLAB file: {_one_line(error)}") from error
    for key in shapes:
        if not isinstance(arrays[key], np.ndarray) or arrays[key].dtype.kind not in "uif":
            raise DamagedFile(f"array {key!r} is not numeric")
    return {key: arrays[key] for key in shapes}


def read_png_members(path: Path, names: list[str], size: tuple[int, int]) -> Iterator[NDArray]:
    """The one-bit PNGs of a zip, in the order of `names`; True where the pixel is white.

    Args:
        path: the zip.
        names: file names without folders. The zip must hold exactly these PNGs, in any folders.
        size: (height, width) that each image must have.

    Yields:
        [height, width] bool.
    """
    if path.stat().st_size == 0:
        raise DamagedFile("empty")
    try:
        with zipfile.ZipFile(path) as archive:
            members = {
                info.filename.rsplit("/", 1)[-1]: info
                for info in archive.infolist()
                if info.filename.endswith(".png") and not info.filename.startswith("__MACOSX/")
            }
            if members.keys() != set(names):
                odd = sorted(members.keys() ^ set(names))[0]
                raise DamagedFile(
                    f"{len(members):,} images in it and not the {len(names):,} published ones"
                    f" ({odd!r} is {'unexpected' if odd in members else 'missing'})"
                )
            for name in names:
                # A hostile member must not unpack without end; a real one has some hundred bytes.
                if members[name].file_size > _LARGEST_PNG:
                    raise DamagedFile(f"image {name} takes {members[name].file_size:,} bytes")
                yield _one_bit_png(archive.read(members[name]), name, size)
    except DamagedFile:
        raise
    except (zipfile.BadZipFile, zlib.error, struct.error, *_BROKEN) as error:
        raise DamagedFile(f"truncated, corrupted or no zip: {_one_line(error)}") from error


def _one_bit_png(content: bytes, name: str, size: tuple[int, int]) -> NDArray[np.bool_]:
    from PIL import Image

    height, width = size
    # Looked at before Pillow sees it, because a large image would cost memory or draw a warning.
    if content[16:24] != struct.pack(">2I", width, height):
        raise DamagedFile(f"image {name} is no PNG of {height}x{width} pixels")
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            mode, packed = image.mode, image.tobytes()
    except (SyntaxError, struct.error, *_BROKEN) as error:
        # Pillow raises SyntaxError for a broken PNG chunk.
        raise DamagedFile(f"image {name}: {_one_line(error)}") from error
    if mode != "1":
        raise DamagedFile(f"image {name} is of mode {mode} and not one-bit")
    rows = np.frombuffer(packed, np.uint8).reshape(height, -1)
    return np.unpackbits(rows, axis=1, count=width).view(np.bool_)
