"""What a data set is once it is loaded, what makes an array of images usable, and seeded splits."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from remjax.data.checks import check_rows
from remjax.data.tables import Columns
from remjax.errors import InputError
from remjax.types import Support

_PIXELS = Support(0.0, 1.0, "rescale the pixels, for instance divide bytes by 255")


class Dataset(NamedTuple):
    """Rows of a data set, and what a model must know of them. N rows, X columns; images or a table.

    Attributes:
        name: the name that `load` knows it by, or that of the file it comes from.
        train: [N, X] float32; of images the pixels in [0, 1], unless they are real-valued. NaN
            where a value is missing, in a table that may have such.
        valid: [., X] float32; no rows where the set has no validation part.
        test: [., X] float32.
        image_shape: (height, width); a row reshaped to it (C order) is the upright image. (1, X)
            for a table.
        binary: whether all values are 0 or 1 already, so that nothing is left to binarise.
        real_valued: whether the values are measurements and not Bernoulli means, so that the
            likelihood should be another.
        source: one line for a report: which files, which split.
        columns: how the rows were made of a table, and the way back; None for a set of images.
        condition: how the last columns of the rows, which a model of the others is conditioned on,
            were made; None for none. It counts in X, and in nothing else that is said here.
        test_labels: what each row of the test is, as the set says; None where it does not. Nothing
            is fitted to it: it colours pictures.
    """

    name: str
    train: NDArray[np.float32]
    valid: NDArray[np.float32]
    test: NDArray[np.float32]
    image_shape: tuple[int, int]
    binary: bool
    real_valued: bool
    source: str
    columns: Columns | None = None
    condition: Columns | None = None
    test_labels: NDArray[np.int_] | None = None

    @property
    def condition_size(self) -> int:
        """The columns at the end of each row that are a condition."""
        return 0 if self.condition is None else len(self.condition.model_names)

    def without_condition(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rows of the data set without those columns."""
        return rows[:, : rows.shape[1] - self.condition_size]


def check_images(x: ArrayLike, name: str) -> NDArray[np.float32]:
    """A user's own images as float32 [N, X] in [0, 1], or a refusal that says what is wrong.

    Args:
        x: real numbers, shape [N, X], all within [0, 1].
        name: what to call the array in the message, such as the file it came from.

    Returns:
        The same values as a float32 array; no copy where x is one already.

    Raises:
        InputError: x is not numeric, not of rank 2, empty, not finite, or leaves [0, 1].
    """
    try:
        images = np.asarray(x)
    except ValueError as error:
        raise InputError(f"{name}: rows of unequal length; give an array [N, X]") from error
    try:
        if images.ndim != 2:
            raise InputError(
                f"shape {images.shape} has rank {images.ndim}; give [N, X], one row per image,"
                " as images.reshape(len(images), -1) makes it"
            )
        if images.size == 0:
            raise InputError(f"shape {images.shape} holds no pixels; give at least one image")
        check_rows(images, _PIXELS)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    return images.astype(np.float32, copy=False)


def to_unit_interval(levels: NDArray[np.uint8], highest: int) -> NDArray[np.float32]:
    """Grey levels 0..highest as rows of float32 in [0, 1]: [N, ...] -> [N, X]."""
    return np.divide(levels.reshape(len(levels), -1), np.float32(highest), dtype=np.float32)


def seeded_split(
    images: NDArray, num_train: int, num_test: int, seed: int
) -> tuple[NDArray, NDArray]:
    """Two disjoint random sets of rows that depend on the seed and on nothing else.

    The order sorts raw words of PCG64, whose stream NumPy promises never to change; the shuffles
    of `Generator` carry no such promise.

    Raises:
        InputError: the seed is negative.
    """
    if seed < 0:
        raise InputError(f"seed is {seed}; give a whole number from 0 up")
    order = np.argsort(np.random.PCG64(seed).random_raw(len(images)), kind="stable")
    return images[order[:num_train]], images[order[num_train : num_train + num_test]]
