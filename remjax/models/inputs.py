"""What a user says of the data, held to be vectors, and the inputs of networks made of it."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped
from numpy.typing import ArrayLike, NDArray

from remjax.errors import InputError

# A number for each column of the data, or one for all.
PerColumn = ArrayLike | float | int

Centring = Callable[[Shaped[Array, "..."]], Float[Array, " X"]]


def column_means(data_mean: PerColumn) -> NDArray[np.float64]:
    """One finite mean per column of the data.

    Raises:
        InputError: for another shape than [X], or a number that is not finite.
    """
    mean = np.asarray(data_mean, np.float64)
    if mean.ndim != 1 or mean.size == 0:
        raise InputError(
            f"data_mean has the shape {mean.shape}: give a vector, one mean per column, as "
            "x.mean(axis=0) of data [N, X]"
        )
    _check_finite("data_mean", mean)
    return mean


def column_scales(data_scale: PerColumn, num_columns: int) -> NDArray[np.float64]:
    """One standard deviation per column of the data; one number serves for all columns.

    Args:
        data_scale: a number, [1] or [X].
        num_columns: X.

    Raises:
        InputError: for another shape, or a number that is negative or not finite.
    """
    scale = np.asarray(data_scale, np.float64)
    if scale.ndim > 1 or scale.size not in (1, num_columns):
        raise InputError(
            f"data_scale has the shape {scale.shape} for {num_columns} columns: give one number, "
            "or one per column, as x.std(axis=0) of data [N, X]"
        )
    scale = np.broadcast_to(scale, (num_columns,))
    _check_finite("data_scale", scale)
    if scale.min() < 0.0:
        column = int(np.argmax(scale < 0.0))
        raise InputError(
            f"data_scale holds {scale[column]:g} at column {column}: give standard deviations, "
            "zero or positive"
        )
    return scale


def column_units(
    mean: Float[np.ndarray, " X"], scale: Float[np.ndarray, " X"]
) -> tuple[Float[np.ndarray, " X"], Bool[np.ndarray, " X"]]:
    """What each column is measured in, and which columns are constant.

    The unit of a column is its scale; of a constant one, the median of the others', or one. A scale
    below a hundred-thousandth of the mean is what float32 leaves of zero.

    Args:
        mean: of each column.
        scale: standard deviation of each column.
    """
    constant = scale <= 1e-5 * np.abs(mean)
    typical = 1.0 if constant.all() else np.median(scale[~constant])
    return np.where(constant, typical, scale), constant


def centred(
    data_mean: PerColumn, data_scale: PerColumn | None, taker: str = "the recognition network"
) -> tuple[Centring, int]:
    """How a datapoint enters a network: (x - data_mean) / data_scale.

    An entry that is missing (NaN) enters as zero, that is at the mean of its column.

    Args:
        data_mean: [X].
        data_scale: a number, [1] or [X]; None leaves x in its units. For a constant column see
            `column_units`.
        taker: whose input it is, for the message.

    Returns:
        (the function of x [X], of any real type, and X). Gradients reach x.

    Raises:
        InputError: as `column_means` and `column_scales`; from the function, for an x of another
            shape than [X].
    """
    mean = column_means(data_mean)
    offset, size = jnp.asarray(mean, jnp.float32), mean.size
    scale = None
    if data_scale is not None:
        scale = jnp.asarray(column_units(mean, column_scales(data_scale, size))[0], jnp.float32)

    def centre(x: Shaped[Array, "..."]) -> Float[Array, " X"]:
        check_datapoint(x, size, taker)
        observed = ~jnp.isnan(x)
        distance = jnp.where(observed, x, 0) - offset
        return jnp.where(observed, distance if scale is None else distance / scale, 0.0)

    return centre, size


def check_datapoint(x: Shaped[Array, "..."], size: int, taker: str) -> None:
    """Raise InputError where ONE datapoint is not a vector of this size.

    Args:
        x: the datapoint.
        size: X.
        taker: who takes it, for the message.
    """
    if x.shape != (size,):
        mend = (
            f"reshape the data to [N, {size}]" if x.size == size else f"give data of {size} columns"
        )
        raise InputError(
            f"a datapoint has the shape {x.shape} and {taker} takes vectors of {size}: {mend}"
        )


def _check_finite(name: str, values: Float[np.ndarray, " X"]) -> None:
    finite = np.isfinite(values)
    if not finite.all():
        column = int(np.argmin(finite))
        raise InputError(
            f"{name} holds {values[column]} at column {column}: drop or impute the rows that are "
            "not finite"
        )
