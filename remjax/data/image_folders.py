"""A folder of images as a table of bytes. Pillow reads them."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from remjax.data.broken_files import reason
from remjax.data.tables import Table
from remjax.errors import InputError

_IMAGES = (".png", ".jpg", ".jpeg")


def read_folder(path: Path, size: tuple[int, int] | None) -> Table:
    """Its images as bytes [N, H W], in the order of their names.

    Args:
        path: the folder.
        size: (height, width) of all; by default they must have one size.

    Raises:
        InputError: for a folder without images, or one that cannot be read.
    """
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
            raise InputError(f"{file}: {reason(error)}; replace it or take it away") from error
        except Image.DecompressionBombError as error:
            raise InputError(f"{file}: {reason(error)}; take it away") from error
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
