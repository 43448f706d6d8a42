"""Gradients of an estimator over many keys, and what their means are held to."""

import jax
import jax.numpy as jnp
import numpy as np

from remjax.types import Batch


def gradients_of(estimator):
    """(params, x [X], keys) -> gradients of both losses together, one row per key, in float64."""
    run = gradients_of_each(estimator=estimator)
    return lambda params, x, keys: run(params, x, keys)["estimator"]


def gradients_of_each(**estimators):
    """As `gradients_of`, by name; all see the same keys, and what they share is compiled once."""

    @jax.jit
    def compiled(params, x, keys):
        batch = Batch(x[None], jnp.zeros(1, int))

        def of(estimator):
            def loss(params, key):
                estimate, _ = estimator.estimate(params, (), key, batch)
                return estimate.theta_loss + estimate.eta_loss

            return jax.vmap(jax.grad(loss), in_axes=(None, 0))(params, keys)

        return {name: of(estimator) for name, estimator in estimators.items()}

    def run(params, x, keys):
        rows = compiled(params, jnp.asarray(x, jnp.float32), keys)
        return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), rows)

    return run


def assert_mean(rows, expected, bias):
    """Each mean over keys lies within five standard errors and `bias` of what is expected."""
    for row, value in zip(jax.tree.leaves(rows), jax.tree.leaves(expected), strict=True):
        error = row.std(axis=0) / np.sqrt(len(row))
        assert np.all(np.abs(row.mean(axis=0) - value) <= 5 * error + bias), (row.mean(0), value)


def assert_same_mean(one, other):
    """Five standard errors of the differences, which are not zero; no bias beyond rounding."""
    differences = jax.tree.map(np.subtract, one, other)
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape[1:]), differences)
    assert_mean(differences, zeros, bias=1e-5)
    assert max(leaf.std() for leaf in jax.tree.leaves(differences)) > 1e-2


def assert_same(one, other):
    """Draw by draw, but for rounding."""
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), one, other)
