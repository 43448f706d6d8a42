"""Denoising of a few bits, where every distribution is a table: oracles in NumPy float64.

A table model has log odds of every x for every zbar, so that p(x | zbar) can be anything.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from remjax.types import DenoisingModel, Support

NUM_BITS = 4
STATES = np.array(list(itertools.product((0.0, 1.0), repeat=NUM_BITS)))
SIZE = len(STATES)
# All states are possible, most of the mass is on a few.
DATA = np.random.default_rng(1).dirichlet(np.full(SIZE, 0.4)) * 0.96 + 0.04 / SIZE


def code(x):
    """The number of a state."""
    return (x @ jnp.asarray(2.0 ** np.arange(NUM_BITS)[::-1])).astype(int)


def table_model():
    """theta[zbar, x]: unnormalised log p(x | zbar)."""
    return DenoisingModel(
        init=lambda key: 0.1 * jax.random.normal(key, (SIZE, SIZE)),
        log_likelihood=lambda theta, x, zbar: jax.nn.log_softmax(theta[code(zbar)])[code(x)],
        sample=lambda theta, key, zbar: jnp.asarray(STATES, jnp.float32)[
            jax.random.categorical(key, theta[code(zbar)])
        ],
        support=Support(0.0, 1.0, "give bits"),
    )


def corruption_table(corruption):
    """q[x, zbar], from the masses that the tests of corruptions hold to numbers by hand."""
    over = jax.vmap(jax.vmap(corruption.log_prob, (0, None)), (None, 0))
    states = jnp.asarray(STATES)
    return np.exp(np.asarray(over(states, states), np.float64))


def posterior_table(corruption, data=DATA):
    """p[zbar, x] = D(x) q(zbar | x) / sum: what denoises the data best."""
    joint = (data[:, None] * corruption_table(corruption)).T
    return joint / joint.sum(axis=1, keepdims=True)


def model_table(model, theta):
    """p[zbar, x] of a model of all bits."""
    over = jax.vmap(jax.vmap(model.log_likelihood, (None, 0, None)), (None, None, 0))
    states = jnp.asarray(STATES, jnp.float32)
    return np.exp(np.asarray(over(theta, states, states), np.float64))


def transition_matrix(corruption, table):
    """T[x, x'] = sum_zbar q(zbar | x) p(x' | zbar)."""
    return corruption_table(corruption) @ table


def stationary_distribution(matrix):
    """pi with pi T = pi, by its linear equations."""
    equations = np.vstack([matrix.T - np.eye(SIZE), np.ones(SIZE)])
    return np.linalg.lstsq(equations, np.append(np.zeros(SIZE), 1.0), rcond=None)[0]


def total_variation(one, other):
    """Half of the sum of absolute differences."""
    return 0.5 * np.abs(one - other).sum()
