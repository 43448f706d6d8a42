"""log p(x | z) of an output layer: the inner loop of every method, summed over the pixels."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@jax.custom_jvp
def bernoulli_log_likelihood(
    logits: Float[Array, "*shape X"], x: Float[Array, "*shape X"]
) -> Float[Array, "*shape"]:
    """log p(x) = sum_i x_i l_i - log(1 + exp(l_i)) of independent Bernoullis, in nats.

    Written as 1/2 sum_i (2 x_i - 1) l_i - |l_i| - 2 log1p(exp(-|l_i|)), of which only the sum is
    wanted: a compiler that fuses products of matrices with sums takes the logits from the last
    layer to the sum within its cache and never writes them to memory. No constant meets the logits
    one by one, for two passes would share its broadcast, and what is shared is not fused but
    written out. (The logarithm of products of a hundred factors saves most logarithms and is faster
    where the compiler does not fuse; where it does, it is slower.)

    Args:
        logits: log odds of x_i = 1.
        x: the observed bits, or probabilities in [0, 1].

    Returns:
        The log-likelihood, summed over the last axis. Gradients reach the logits (x - sigmoid(l))
        and x (l). Finite for all finite logits.
    """
    size = jnp.abs(logits)
    excess = jnp.log1p(jnp.exp(-size))
    return 0.5 * jnp.sum((2.0 * x - 1.0) * logits - size - (excess + excess), axis=-1)


@bernoulli_log_likelihood.defjvp
def _bernoulli_jvp(primals, tangents):
    logits, x = primals
    d_logits, d_x = tangents
    slope = jnp.sum((x - jax.nn.sigmoid(logits)) * d_logits + logits * d_x, axis=-1)
    return bernoulli_log_likelihood(logits, x), slope


def gaussian_log_likelihood(
    mean: Float[Array, "*shape X"], log_scale: Float[Array, "*shape X"], x: Float[Array, "*shape X"]
) -> Float[Array, "*shape"]:
    """log N(x; mean, diag(exp(log_scale))^2), summed over the last axis, in nats.

    Written in the log of the scale so that no small scale is ever squared to zero, and so that
    nothing but the squares is summed beside the means (see above). Gradients reach all three
    arguments.
    """
    standard = (x - mean) * jnp.exp(-log_scale)
    constant = 0.5 * x.shape[-1] * jnp.log(2 * jnp.pi)
    return -0.5 * jnp.sum(jnp.square(standard), axis=-1) - jnp.sum(log_scale, axis=-1) - constant
