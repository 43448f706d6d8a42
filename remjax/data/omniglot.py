"""OMNIGLOT at 28x28: the papers' `chardata.mat`, or made from the published PNGs."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from remjax.data.formats import DamagedFile, read_mat, read_png_members

NUM_TRAIN, NUM_TEST = 24_345, 8_070
IMAGE_SHAPE = (28, 28)
DRAWERS = 20
BACKGROUND = range(1, 965)
EVALUATION = range(965, 1624)
SIDE = 105


def read_chardata(path: Path) -> NDArray[np.float32]:
    """All images of `chardata.mat` (Burda et al. 2015), training set first: [32415, 784].

    The file holds images as columns in MATLAB's order, that is lying on their side; the rows that
    come out are upright in C order.
    """
    shapes = {"data": (784, NUM_TRAIN), "testdata": (784, NUM_TEST)}
    parts = read_mat(path, shapes)
    columns = np.concatenate([parts[key].astype(np.float32) for key in shapes], axis=1)
    # A comparison that NaN fails as well.
    if not (columns.min() >= 0.0 and columns.max() <= 1.0):
        raise DamagedFile("its pixels hold NaN or leave [0, 1]")
    return np.ascontiguousarray(
        columns.T.reshape(-1, *IMAGE_SHAPE).transpose(0, 2, 1).reshape(-1, 784)
    )


def read_characters(path: Path, characters: range) -> NDArray[np.uint8]:
    """All drawings of a published zip at 28x28: [N, 28, 28], the ink in each pixel from 0 to 225.

    The order is by character and drawer, whatever the order in the zip.
    """
    names = [f"{c:04d}_{d:02d}.png" for c in characters for d in range(1, DRAWERS + 1)]
    overlap = area_weights()
    drawings = read_png_members(path, names, (SIDE, SIDE))
    ink = np.empty((len(names), *IMAGE_SHAPE), np.uint8)
    # A character at a time: faster than one by one, and never the whole set in full size.
    for n in range(0, len(names), DRAWERS):
        white = np.stack([next(drawings) for _ in range(DRAWERS)])
        ink[n : n + DRAWERS] = overlap @ (~white).astype(np.float32) @ overlap.T
    return ink


def area_weights() -> NDArray[np.float32]:
    """Overlap of 28 pixels with 105, in quarters of a large pixel: [28, 105], rows sum to 15.

    A pixel of the small image covers 105/28 = 15/4 pixels each way, so W @ ink @ W.T is 225 times
    the exact mean ink under it, in whole numbers that float32 holds without rounding. Pillow's BOX
    filter gives a pixel wholly to one side or the other, which here is off by up to 0.29 in a pixel
    and by up to 0.010 in the mean of an image; LANCZOS overshoots and adds 4% of ink.
    """
    small = np.arange(IMAGE_SHAPE[0])[:, None] * 15
    large = np.arange(SIDE)[None, :] * 4
    overlap = np.minimum(small + 15, large + 4) - np.maximum(small, large)
    return np.clip(overlap, 0, None).astype(np.float32)
