"""log p of single values, one for each: where some are missing, or where counts are summed up.

`likelihoods` has the sums of the two that train fastest. All are in nats and broadcast their
arguments; gradients reach all of them but a count.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.special import betaln, gammaln
from jaxtyping import Array, Float, Shaped


def bernoulli_log_prob(logits: Float[Array, "..."], x: Shaped[Array, "..."]) -> Float[Array, "..."]:
    """x l - log(1 + exp(l)) for bits or probabilities x; finite for all finite logits."""
    return x * logits - jax.nn.softplus(logits)


def gaussian_log_prob(
    mean: Float[Array, "..."], log_scale: Float[Array, "..."], x: Shaped[Array, "..."]
) -> Float[Array, "..."]:
    """-1/2 ((x - mean) / exp(log_scale))^2 - log_scale - 1/2 log(2 pi)."""
    standard = (x - mean) * jnp.exp(-log_scale)
    return -0.5 * jnp.square(standard) - log_scale - 0.5 * math.log(2 * math.pi)


def poisson_log_prob(log_rate: Float[Array, "..."], x: Shaped[Array, "..."]) -> Float[Array, "..."]:
    """x l - exp(l) - log x! for whole numbers x from 0 up and l the log of the rate."""
    x = lax.stop_gradient(jnp.asarray(x, log_rate.dtype))
    return x * log_rate - jnp.exp(log_rate) - gammaln(x + 1.0)


def negative_binomial_log_prob(
    log_mean: Float[Array, "..."], log_size: Float[Array, "..."], x: Shaped[Array, "..."]
) -> Float[Array, "..."]:
    """Counts of mean m and variance m + m^2 / s, s = exp(log_size): a Poisson as s grows.

    log Gamma(x + s) - log Gamma(s) - log x! + s log(s / (s + m)) + x log(m / (s + m)).
    """
    x = lax.stop_gradient(jnp.asarray(x, log_mean.dtype))
    size, ratio = jnp.exp(log_size), log_mean - log_size
    # The three gammas as one beta function, in which those of large arguments do not cancel.
    ways = -betaln(x + 1.0, size) - jnp.log(x + size)
    return ways - size * jax.nn.softplus(ratio) - x * jax.nn.softplus(-ratio)
