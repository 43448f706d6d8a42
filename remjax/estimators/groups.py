"""The mean of a batch, a group of datapoints after the other, and its gradient in the same pass.

A group is as many datapoints as keep one chunk of decoder passes in flight. Where all particles of
a datapoint fit into the chunk, they are scored once: their gradient is taken while they are still
in the cache, and not in a second pass that would have to score them again.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key, PyTree

from remjax.types import Params

Terms = tuple[Float[Array, ""], Float[Array, ""], dict[str, Float[Array, ""]]]
TermsOfOne = Callable[[Params, Key[Array, ""], Float[Array, " X"]], Terms]


# Decoder passes in flight. On a CPU, enough rows to fill a matrix product and few enough that what
# is done to them stays in the cache: 500 to 1,300 measured alike, more and fewer slower. An
# accelerator starts nothing small for free; this many rows of 784 logits are 26 MB, half the cache
# of a large one.
_ROWS_ON_CPU, _ROWS_ON_ACCELERATOR = 1024, 8192


def rows_in_flight() -> int:
    """How many particles, over all datapoints, are scored at a time."""
    return _ROWS_ON_CPU if jax.default_backend() == "cpu" else _ROWS_ON_ACCELERATOR


def group_size(batch_size: int, most: int) -> int:
    """The largest divisor of the batch size that is not above `most`, and at least 1."""
    return next(
        size for size in range(max(1, min(most, batch_size)), 0, -1) if batch_size % size == 0
    )


def batch_mean(
    terms: TermsOfOne,
    params: Params,
    keys: Key[Array, " B"],
    x: Float[Array, "B X"],
    size: int,
) -> Terms:
    """The mean of the terms over the batch, `size` datapoints at a time.

    Args:
        terms: (params, key, x) of ONE datapoint -> (theta's term, eta's term, metrics), nats. The
            first must depend on no parameters but theta, the second on none but eta.
        params: carry the gradient of the two terms, in reverse mode and once; nothing else does.
        keys: one per datapoint.
        x: the datapoints.
        size: a divisor of B. With B itself the batch is one group, differentiated as usual.

    Returns:
        The means. Neither they nor their gradient hold more than one group.
    """

    def mean(params: Params, keys: Key[Array, " G"], x: Float[Array, "G X"]) -> Terms:
        if size == 1:
            # Without an axis of length one, the gradient of a layer is one product of matrices.
            return terms(params, keys[0], x[0])
        return jax.tree.map(jnp.mean, jax.vmap(terms, in_axes=(None, 0, 0))(params, keys, x))

    num_groups = x.shape[0] // size
    if num_groups == 1:
        return mean(params, keys, x)

    def over_groups(
        function: Callable[..., PyTree], keys: Key[Array, " B"], x: Float[Array, "B X"]
    ) -> PyTree:
        groups = keys.reshape(num_groups, size), x.reshape(num_groups, size, *x.shape[1:])
        shapes = jax.eval_shape(function, groups[0][0], groups[1][0])
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

        def add(total: PyTree, group: PyTree) -> tuple[PyTree, None]:
            return jax.tree.map(jnp.add, total, function(*group)), None

        total, _ = lax.scan(add, zeros, groups)
        return jax.tree.map(lambda leaf: leaf / num_groups, total)

    def with_gradient(
        params: Params, keys: Key[Array, " G"], x: Float[Array, "G X"]
    ) -> tuple[Terms, Params]:
        def split(params: Params) -> tuple[tuple[Array, Array], dict[str, Array]]:
            theta_term, eta_term, metrics = mean(params, keys, x)
            return (theta_term, eta_term), metrics

        values, pullback, metrics = jax.vjp(split, params, has_aux=True)
        # Each term reaches its own part of the parameters alone: one pass gives both gradients.
        return (*values, metrics), pullback(jax.tree.map(jnp.ones_like, values))[0]

    @jax.custom_vjp
    def whole(params: Params, keys: Key[Array, " B"], x: Float[Array, "B X"]) -> Terms:
        return over_groups(functools.partial(mean, params), keys, x)

    def forward(
        params: Params, keys: Key[Array, " B"], x: Float[Array, "B X"]
    ) -> tuple[Terms, Params]:
        return over_groups(functools.partial(with_gradient, params), keys, x)

    def backward(gradient: Params, cotangents: Terms) -> tuple[Params, None, None]:
        to_theta, to_eta, _ = cotangents
        theta = jax.tree.map(lambda leaf: to_theta * leaf, gradient.theta)
        eta = jax.tree.map(lambda leaf: to_eta * leaf, gradient.eta)
        return gradient._replace(theta=theta, eta=eta), None, None

    whole.defvjp(forward, backward)
    return whole(params, keys, x)
