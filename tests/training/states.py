"""Comparing the states of training runs, leaf by leaf."""

import jax
import jax.numpy as jnp
import numpy as np


def leaves(tree):
    """The arrays of a tree on the host; of a key, its data."""
    return [
        np.asarray(
            jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
        )
        for leaf in jax.tree.leaves(tree)
    ]


def copied(tree):
    """The same arrays in memory of their own, which no run uses up."""
    return jax.tree.map(jnp.copy, tree)


def assert_same_bits(first, second):
    """Equal to the last bit, NaN where the other is NaN."""
    for a, b in zip(leaves(first), leaves(second), strict=True):
        np.testing.assert_array_equal(a, b)


def assert_close(first, second, rtol=1e-5, atol=1e-6):
    """Equal but for rounding."""
    for a, b in zip(leaves(first), leaves(second), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)
