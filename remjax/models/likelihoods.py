"""Likelihoods: how the output of a decoder becomes a distribution over ONE x."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree, Shaped

from remjax.distributions.likelihoods import bernoulli_log_likelihood, gaussian_log_likelihood
from remjax.distributions.values import bernoulli_log_prob, gaussian_log_prob
from remjax.errors import InputError
from remjax.models.inputs import (
    PerColumn,
    check_datapoint,
    column_means,
    column_scales,
    column_units,
)
from remjax.types import Support

# Of the scale of a column: a narrower likelihood only fits the rounding of the data (of pixels of 8
# bits, say). And the scale that a constant column starts with, of that of the others.
_SMALLEST_SCALE, _SCALE_OF_A_CONSTANT = 1e-3, 1e-2

_PROBABILITIES = Support(
    0.0,
    1.0,
    "divide bytes by 255, map -1..1 by (x + 1) / 2, or use a Gaussian likelihood",
)


class Likelihood(NamedTuple):
    """How the output of a decoder becomes a distribution over ONE x.

    Attributes:
        init: the likelihood's own parameters at the start.
        output_bias: the bias of the last layer at the start, so that the first mean is the data's.
        log_prob: (own parameters, output, x) -> nats.
        mean: (own parameters, output) -> E[x].
        sample: (own parameters, output, key) -> x.
        support: the values that x may have.
        log_prob_of_columns: (own parameters, output, x) -> nats of each column, whose sum log_prob
            is; None where the columns are not independent given z. `marginalized` needs it.
    """

    init: PyTree
    output_bias: Float[Array, " X"]
    log_prob: Callable[[PyTree, Float[Array, " X"], Shaped[Array, " X"]], Float[Array, ""]]
    mean: Callable[[PyTree, Float[Array, " X"]], Float[Array, " X"]]
    sample: Callable[[PyTree, Float[Array, " X"], Key[Array, ""]], Float[Array, " X"]]
    support: Support = Support()
    log_prob_of_columns: (
        Callable[[PyTree, Float[Array, " X"], Shaped[Array, " X"]], Float[Array, " X"]] | None
    ) = None


def marginalized(likelihood: Likelihood) -> Likelihood:
    """The likelihood of the entries that were observed; those that are missing (NaN) are left out.

    log p(x_observed | z) = sum over the observed columns of log p(x_i | z): the others are summed
    out exactly, columns being independent given z, so every method and every evaluation is one of
    log p(x_observed) (Mattei & Frellsen 2019, Eq. 4; valid where values are missing at random).
    Recognition networks of the library see a missing entry at its column's mean.

    Args:
        likelihood: of whole rows.

    Returns:
        The same likelihood, whose support has missing values. Rows without any have the density
        that they had, at a little more time.

    Raises:
        InputError: for a likelihood without `log_prob_of_columns`.
    """
    of_columns = likelihood.log_prob_of_columns
    if of_columns is None:
        raise InputError(
            "the likelihood has no log_prob_of_columns, without which missing entries cannot be "
            "left out: give it one, or drop or impute the rows with missing entries"
        )

    def log_prob(
        own: PyTree, output: Float[Array, "..."], x: Shaped[Array, "..."]
    ) -> Float[Array, ""]:
        missing = jnp.isnan(x)
        # Zero stands in: every support has it, and no NaN may meet a gradient, even one times 0.
        columns = of_columns(own, output, jnp.where(missing, 0, x))
        return jnp.sum(jnp.where(missing, 0.0, columns))

    return likelihood._replace(log_prob=log_prob, support=likelihood.support._replace(missing=True))


def bernoulli_likelihood(data_mean: PerColumn) -> Likelihood:
    """Independent Bernoullis; the output is their logits.

    log p(x | output) = sum_i x_i output_i - log(1 + exp(output_i)), for bits or probabilities x.

    Args:
        data_mean: [X], mean training image; its log odds (clipped to 0.001..0.999) start the output
            bias, as in the code of Burda et al. 2015.

    Raises:
        InputError: for another shape, or a mean that is not finite or not in [0, 1]; from
            `log_prob`, for an x of another shape than [X].
    """
    mean = column_means(data_mean)
    # Sums of float32 may end a rounding error outside.
    outside = (mean < -1e-6) | (mean > 1.0 + 1e-6)
    if outside.any():
        column = int(np.argmax(outside))
        raise InputError(
            f"data_mean holds {mean[column]:g} at column {column} and Bernoullis have means in "
            f"[0, 1]: {_PROBABILITIES.mend}"
        )
    mean = np.clip(mean, 0.001, 0.999)

    def log_prob(
        _: PyTree, logits: Float[Array, " X"], x: Shaped[Array, "..."]
    ) -> Float[Array, ""]:
        check_datapoint(x, mean.size, "the likelihood")
        return bernoulli_log_likelihood(logits, x)

    def log_prob_of_columns(
        _: PyTree, logits: Float[Array, " X"], x: Shaped[Array, "..."]
    ) -> Float[Array, " X"]:
        check_datapoint(x, mean.size, "the likelihood")
        return bernoulli_log_prob(logits, x)

    return Likelihood(
        init=(),
        output_bias=jnp.asarray(np.log(mean / (1.0 - mean)), jnp.float32),
        log_prob=log_prob,
        mean=lambda _, logits: jax.nn.sigmoid(logits),
        sample=lambda _, logits, key: jax.random.bernoulli(key, jax.nn.sigmoid(logits)).astype(
            logits.dtype
        ),
        support=_PROBABILITIES,
        log_prob_of_columns=log_prob_of_columns,
    )


def gaussian_likelihood(data_mean: PerColumn, data_scale: PerColumn) -> Likelihood:
    """Independent Gaussians with one learned scale per column, in the units of the columns.

    x_i ~ N(data_mean_i + unit_i output_i, (unit_i exp(log_relative_scale_i))^2), where the unit is
    data_scale, so that a table in other units has another density by their constant and is fitted
    alike. The unit of a constant column is a hundredth of the median of the others', or of one.

    A scale that depended on z could collapse onto a training image and make the density unbounded;
    this one is learned but shared by all z, and held above a thousandth of data_scale (of a
    constant column, a thousandth of the median of the others').

    Args:
        data_mean: [X], the mean of each column, where its mean starts. Float32 holds a value to
            seven digits: subtract an offset that is a million times the scale beforehand.
        data_scale: the standard deviation of each column, where its scale starts: [X], or one
            number for all columns.

    Raises:
        InputError: for other shapes, or numbers that are not finite, or negative scales; from
            `log_prob`, for an x of another shape than [X].
    """
    mean = column_means(data_mean)
    unit, constant = column_units(mean, column_scales(data_scale, mean.size))
    unit = np.where(constant, _SCALE_OF_A_CONSTANT * unit, unit)
    smallest = np.where(constant, _SMALLEST_SCALE / _SCALE_OF_A_CONSTANT, _SMALLEST_SCALE)
    log_unit = float(np.sum(np.log(unit)))
    location, unit, floor = (
        jnp.asarray(row, jnp.float32) for row in (mean, unit, np.log(smallest))
    )

    def log_scale(own: PyTree) -> Float[Array, " X"]:
        return jnp.maximum(own["log_relative_scale"], floor)

    def log_prob(
        own: PyTree, output: Float[Array, " X"], x: Shaped[Array, "..."]
    ) -> Float[Array, ""]:
        check_datapoint(x, mean.size, "the likelihood")
        # It is x that changes its units, once for all particles, and not the output of each.
        standard = (x - location) / unit
        return gaussian_log_likelihood(output, log_scale(own), standard) - log_unit

    def log_prob_of_columns(
        own: PyTree, output: Float[Array, " X"], x: Shaped[Array, "..."]
    ) -> Float[Array, " X"]:
        check_datapoint(x, mean.size, "the likelihood")
        return gaussian_log_prob(output, log_scale(own), (x - location) / unit) - jnp.log(unit)

    def in_units(standard: Float[Array, " X"]) -> Float[Array, " X"]:
        return location + unit * standard

    return Likelihood(
        init={"log_relative_scale": jnp.zeros_like(location)},
        output_bias=jnp.zeros_like(location),
        log_prob=log_prob,
        mean=lambda _, output: in_units(output),
        sample=lambda own, output, key: in_units(
            output + jnp.exp(log_scale(own)) * jax.random.normal(key, output.shape)
        ),
        log_prob_of_columns=log_prob_of_columns,
    )
