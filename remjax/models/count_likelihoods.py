"""Likelihoods of counts and of categories: Poisson, negative binomial, and one-hot variables."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PyTree, Shaped

from remjax.distributions.values import negative_binomial_log_prob, poisson_log_prob
from remjax.errors import InputError
from remjax.models.inputs import PerColumn, check_datapoint, column_means, column_scales
from remjax.models.likelihoods import Likelihood
from remjax.types import Support

_COUNTS = Support(0.0, mend="give counts from 0 up, or use a Gaussian likelihood", whole=True)
_ONE_HOT = Support(0.0, 1.0, "give one-hot columns, as remjax.data.one_hot makes them", whole=True)
# The mean that a column without a count starts with, and a category that was never seen.
_SMALLEST_MEAN = 1e-3
# Beyond e^10 the variance is the mean to float32; below e^-7 nearly all counts are zero.
_LOG_SIZES = (-7.0, 10.0)


def poisson_likelihood(data_mean: PerColumn) -> Likelihood:
    """Independent Poissons; the output is the log of their rates.

    log p(x | output) = sum_i x_i output_i - exp(output_i) - log x_i!.

    Args:
        data_mean: [X], the mean count of each column, where its rate starts.

    Raises:
        InputError: for another shape, or means that are negative or not finite; from `log_prob`,
            for an x of another shape than [X].
    """
    mean = _mean_counts(data_mean)

    def log_prob_of_columns(
        _: PyTree, log_rate: Float[Array, " X"], x: Shaped[Array, "..."]
    ) -> Float[Array, " X"]:
        check_datapoint(x, mean.size, "the likelihood")
        return poisson_log_prob(log_rate, x)

    return Likelihood(
        init=(),
        output_bias=jnp.asarray(np.log(mean), jnp.float32),
        log_prob=lambda own, output, x: jnp.sum(log_prob_of_columns(own, output, x)),
        mean=lambda _, log_rate: jnp.exp(log_rate),
        sample=lambda _, log_rate, key: _poisson(key, jnp.exp(log_rate)),
        support=_COUNTS,
        log_prob_of_columns=log_prob_of_columns,
    )


def negative_binomial_likelihood(data_mean: PerColumn, data_scale: PerColumn) -> Likelihood:
    """Independent counts of mean m_i = exp(output_i) and variance m_i + m_i^2 / s_i.

    The size s_i (the inverse dispersion) is learned, one per column and shared by all z. It starts
    at that of the column, data_mean^2 / (data_scale^2 - data_mean), and is held within
    e^-7..e^10; at the upper end the column is a Poisson.

    Args:
        data_mean: [X], the mean count of each column, where its mean starts.
        data_scale: the standard deviation of each column: [X], or one number for all.

    Raises:
        InputError: for other shapes, means or scales that are negative or not finite; from
            `log_prob`, for an x of another shape than [X].
    """
    mean = _mean_counts(data_mean)
    excess = np.square(column_scales(data_scale, mean.size)) - mean
    size = np.square(mean) / np.maximum(excess, 1e-30)
    log_size = np.clip(np.log(size), *_LOG_SIZES)

    def held(own: PyTree) -> Float[Array, " X"]:
        return jnp.clip(own["log_size"], *_LOG_SIZES)

    def log_prob_of_columns(
        own: PyTree, log_mean: Float[Array, " X"], x: Shaped[Array, "..."]
    ) -> Float[Array, " X"]:
        check_datapoint(x, mean.size, "the likelihood")
        return negative_binomial_log_prob(log_mean, held(own), x)

    def sample(
        own: PyTree, log_mean: Float[Array, " X"], key: Key[Array, ""]
    ) -> Float[Array, " X"]:
        key_rate, key_count = jax.random.split(key)
        size = jnp.exp(held(own))
        rate = jnp.exp(log_mean) * jax.random.gamma(key_rate, size) / size
        return _poisson(key_count, rate)

    return Likelihood(
        init={"log_size": jnp.asarray(log_size, jnp.float32)},
        output_bias=jnp.asarray(np.log(mean), jnp.float32),
        log_prob=lambda own, output, x: jnp.sum(log_prob_of_columns(own, output, x)),
        mean=lambda _, log_mean: jnp.exp(log_mean),
        sample=sample,
        support=_COUNTS,
        log_prob_of_columns=log_prob_of_columns,
    )


def categorical_likelihood(data_mean: PerColumn, num_categories: Sequence[int]) -> Likelihood:
    """Independent categorical variables as one-hot columns, side by side; the output is logits.

    log p(x | output) = sum_v sum_c x_vc log softmax(output_v)_c. A variable that is missing is NaN
    in all its columns.

    Args:
        data_mean: [X], the mean of each column, which is how often the category occurs; its log
            (of 0.001 at least) starts the output bias.
        num_categories: of each variable, X in all; `remjax.data.one_hot` makes such columns.

    Raises:
        InputError: for another shape, means outside of [0, 1], numbers of categories below one or
            that do not add up to X; from `log_prob`, for an x of another shape than [X].
    """
    mean = column_means(data_mean)
    sizes = [int(size) for size in num_categories]
    if min(sizes, default=0) < 1 or sum(sizes) != mean.size:
        raise InputError(
            f"num_categories {sizes} are not those of {mean.size} columns: give the number of "
            "columns of each variable, in order"
        )
    if mean.min() < -1e-6 or mean.max() > 1.0 + 1e-6:
        raise InputError(f"data_mean leaves [0, 1]: {_ONE_HOT.mend}")
    layout = _Layout(sizes)

    def log_prob_of_columns(
        _: PyTree, logits: Float[Array, " X"], x: Shaped[Array, "..."]
    ) -> Float[Array, " X"]:
        check_datapoint(x, mean.size, "the likelihood")
        return x * layout.log_softmax(logits)

    def sample(_: PyTree, logits: Float[Array, " X"], key: Key[Array, ""]) -> Float[Array, " X"]:
        return layout.one_hot(jax.random.categorical(key, layout.rows(logits)), logits.dtype)

    return Likelihood(
        init=(),
        output_bias=jnp.asarray(np.log(np.clip(mean, 1e-3, 1.0)), jnp.float32),
        log_prob=lambda own, output, x: jnp.sum(log_prob_of_columns(own, output, x)),
        mean=lambda _, logits: jnp.exp(layout.log_softmax(logits)),
        sample=sample,
        support=_ONE_HOT,
        log_prob_of_columns=log_prob_of_columns,
    )


class _Layout:
    """Variables of different numbers of categories, flat [X] or in rows [V, C] with room to spare.

    Rows are gathered, so that all softmaxes are one.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        starts = np.cumsum([0, *sizes[:-1]])
        category = np.arange(max(sizes))[None, :]
        self._exists = category < np.asarray(sizes)[:, None]
        self._places = np.where(self._exists, starts[:, None] + category, 0)
        self._variable = np.repeat(np.arange(len(sizes)), sizes)
        self._category = np.arange(sum(sizes)) - starts[self._variable]

    def rows(self, flat: Float[Array, " X"]) -> Float[Array, "V C"]:
        """The logits of each variable; -inf where it has no more categories."""
        return jnp.where(self._exists, flat[self._places], -jnp.inf)

    def log_softmax(self, flat: Float[Array, " X"]) -> Float[Array, " X"]:
        """Log-probabilities, flat."""
        return jax.nn.log_softmax(self.rows(flat), axis=-1)[self._variable, self._category]

    def one_hot(self, chosen: Int[Array, " V"], dtype: jnp.dtype) -> Float[Array, " X"]:
        """The chosen category of each variable, flat."""
        return (chosen[self._variable] == self._category).astype(dtype)


def _mean_counts(data_mean: PerColumn) -> Float[np.ndarray, " X"]:
    """The mean of each column, held above a small one, so that its log is finite."""
    mean = column_means(data_mean)
    if mean.min() < 0.0:
        column = int(np.argmax(mean < 0.0))
        raise InputError(
            f"data_mean holds {mean[column]:g} at column {column} and counts have none below 0: "
            f"{_COUNTS.mend}"
        )
    return np.maximum(mean, _SMALLEST_MEAN)


def _poisson(key: Key[Array, ""], rate: Float[Array, " X"]) -> Float[Array, " X"]:
    # The generator counts in 32 bits.
    return jax.random.poisson(key, jnp.minimum(rate, 2.0**30)).astype(rate.dtype)
