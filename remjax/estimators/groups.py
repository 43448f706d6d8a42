"""The mean of a batch, a group of datapoints after the other, and its gradient in the same pass.

A group is as many datapoints as keep one chunk of decoder passes in flight. Where all particles of
a datapoint fit into the chunk, they are scored once: their gradient is taken while they are still
in the cache, and not in a second pass that would have to score them again.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key, PyTree

from remjax.types import Params

Terms = tuple[Float[Array, ""], Float[Array, ""], dict[str, Float[Array, ""]]]
TermsOfOne = Callable[[Params, Key[Array, ""], Float[Array, " X"]], Terms]


def group_size(batch_size: int, most: int) -> int:
    """The largest divisor of the batch size that is not above `most`, at least 1."""
    return max(size for size in range(1, batch_size + 1) if batch_size % size == 0 and size <= max(most, 1))


def batch_mean(
    terms: TermsOfOne, params: Params, keys: Key[Array, " B"], x: Float[Array, "B X"], size: int
) -> Terms:
    """Mean over the batch of (theta's term, eta's term, metrics), `size` datapoints at a time."""

    def mean(params: Params, keys: Key[Array, " G"], x: Float[Array, "G X"]) -> Terms:
        if x.shape[0] == 1:
            # Without an axis of length one, the gradient of a layer is one product of matrices.
            return terms(params, keys[0], x[0])
        return jax.tree.map(jnp.mean, jax.vmap(terms, in_axes=(None, 0, 0))(params, keys, x))

    num_groups = x.shape[0] // size
    if num_groups == 1:
        return mean(params, keys, x)

    def over_groups(function: Callable[..., PyTree], keys, x) -> PyTree:
        groups = keys.reshape(num_groups, size), x.reshape(num_groups, size, -1)
        first = jax.eval_shape(function, *jax.tree.map(lambda leaf: leaf[0], groups))
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), first)

        def add(total: PyTree, group: PyTree) -> tuple[PyTree, None]:
            return jax.tree.map(jnp.add, total, function(*group)), None

        total, _ = lax.scan(add, zeros, groups)
        return jax.tree.map(lambda leaf: leaf / num_groups, total)

    @jax.custom_vjp
    def whole(params, keys, x):
        return over_groups(lambda *group: mean(params, *group), keys, x)

    def forward(params, keys, x):
        def with_gradient(*group):
            def pair(params):
                theta_term, eta_term, metrics = mean(params, *group)
                return (theta_term, eta_term), metrics

            values, pull, metrics = jax.vjp(pair, params, has_aux=True)
            one = jnp.ones(())
            return (*values, metrics), pull((one, one))[0]

        return over_groups(with_gradient, keys, x)

    def backward(gradient, cotangents):
        to_theta, to_eta, _ = cotangents
        scaled = gradient._replace(
            theta=jax.tree.map(lambda leaf: to_theta * leaf, gradient.theta),
            eta=jax.tree.map(lambda leaf: to_eta * leaf, gradient.eta),
        )
        return scaled, None, None

    whole.defvjp(forward, backward)
    return whole(params, keys, x)
