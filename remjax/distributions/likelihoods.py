"""log p(x | z) of an output layer: the inner loop of every method, summed over the pixels."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from remjax.errors import InputError


def bernoulli_log_likelihood(
    logits: Float[Array, "..."], x: Shaped[Array, "..."]
) -> Float[Array, "..."]:
    """log p(x) = sum_i x_i l_i - log(1 + exp(l_i)) of independent Bernoullis, in nats.

    Written as 1/2 sum_i (2 x_i - 1) l_i - |l_i| - 2 log1p(exp(-|l_i|)), of which only the sum is
    wanted: a compiler that fuses products of matrices with sums takes the logits from the last
    layer to the sum within its cache and never writes them to memory. No constant meets the logits
    one by one, for two passes would share its broadcast, and what is shared is not fused but
    written out. (The logarithm of products of a hundred factors saves most logarithms and is faster
    where the compiler does not fuse; where it does, it is slower.)

    Args:
        logits: log odds of x_i = 1, [*shape, X].
        x: the observed bits, or probabilities in [0, 1], [*shape, X]; of any real type. The axes
            before the last are broadcast.

    Returns:
        The log-likelihood [*shape], summed over the last axis. Gradients reach the logits
        (x - sigmoid(l)) and, where it is made of floats, x (l). Finite for all finite logits.

    Raises:
        InputError: for last axes of different sizes, which are never broadcast.
    """
    _check_last_axes(logits=logits, x=x)
    return _bernoulli(logits, _as_floats(x, logits))


@jax.custom_jvp
def _bernoulli(logits: Float[Array, "..."], x: Float[Array, "..."]) -> Float[Array, "..."]:
    size = jnp.abs(logits)
    excess = jnp.log1p(jnp.exp(-size))
    return 0.5 * jnp.sum((2.0 * x - 1.0) * logits - size - (excess + excess), axis=-1)


@_bernoulli.defjvp
def _bernoulli_jvp(primals, tangents):
    logits, x = primals
    d_logits, d_x = tangents
    slope = jnp.sum((x - jax.nn.sigmoid(logits)) * d_logits + logits * d_x, axis=-1)
    return _bernoulli(logits, x), slope


def gaussian_log_likelihood(
    mean: Float[Array, "..."], log_scale: Float[Array, "..."], x: Shaped[Array, "..."]
) -> Float[Array, "..."]:
    """log N(x; mean, diag(exp(log_scale))^2), summed over the last axis, in nats.

    Written in the log of the scale so that no small scale is ever squared to zero, and so that
    nothing but the squares is summed beside the means (see above).

    Args:
        mean: [*shape, X].
        log_scale: of the standard deviation, [*shape, X].
        x: the observed values [*shape, X], of any real type. The axes before the last are
            broadcast.

    Returns:
        The log-likelihood [*shape]. Gradients reach all three arguments, x where it is made of
        floats.

    Raises:
        InputError: for last axes of different sizes, which are never broadcast.
    """
    _check_last_axes(mean=mean, log_scale=log_scale, x=x)
    standard = (_as_floats(x, mean) - mean) * jnp.exp(-log_scale)
    constant = 0.5 * x.shape[-1] * jnp.log(2 * jnp.pi)
    return -0.5 * jnp.sum(jnp.square(standard), axis=-1) - jnp.sum(log_scale, axis=-1) - constant


def _check_last_axes(**arrays: Shaped[Array, "..."]) -> None:
    if len({array.shape[-1:] for array in arrays.values()}) > 1:
        shapes = " and ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise InputError(
            f"the shapes of {shapes} end differently: give as many values as there are parameters"
        )


def _as_floats(x: Shaped[Array, "..."], like: Float[Array, "..."]) -> Float[Array, "..."]:
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(like.dtype)
