"""A machine as the peers take it and as ours, and what shows that a peer's is the same."""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers.machines.work import LEARNING_RATE, Parameters
from remjax import boltzmann
from remjax.boltzmann import RBM, likelihood_loss

NUM_VISIBLE, NUM_HIDDEN = 6, 4
# Chains of the tests that draw.
CHAINS = 20_000

VALUES = Parameters(
    *(
        np.random.default_rng(0).normal(size=shape).astype(np.float32)
        for shape in ((NUM_VISIBLE, NUM_HIDDEN), (NUM_VISIBLE,), (NUM_HIDDEN,))
    )
)
OURS = RBM(*map(jnp.asarray, VALUES))


def bits(number, size, seed):
    """Fair bits [number, size] as float32."""
    return np.random.default_rng(seed).integers(0, 2, (number, size)).astype(np.float32)


def hidden_mean(v):
    return np.asarray(OURS.hidden_mean(jnp.asarray(v)))


def visible_mean(h):
    return np.asarray(OURS.visible_mean(jnp.asarray(h)))


def free_energy(v):
    return np.asarray(OURS.free_energy(jnp.asarray(v)))


def energy(v, h):
    return np.asarray(OURS.energy(boltzmann.Units(jnp.asarray(v), jnp.asarray(h))))


def ascent(x, v, offsets=None):
    """The gradient of the log-likelihood with samples v, centred where offsets are given."""

    def loss(rbm):
        return likelihood_loss(rbm, jnp.asarray(x), jnp.asarray(v), offsets=offsets)

    return [-np.asarray(leaf) for leaf in jax.tree.leaves(jax.grad(loss)(OURS))]


def after_update(gradient):
    """The parameters one step of gradient ascent further."""
    return [value + LEARNING_RATE * slope for value, slope in zip(VALUES, gradient, strict=True)]


def assert_close(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, np.asarray(other), rtol=1e-4, atol=1e-6)


def assert_swept(h, v, h_new):
    """v ~ p(v | h) and h_new ~ p(h | v), by five standard errors of many chains from one h."""
    mean = visible_mean(h)
    assert np.all(np.abs(v.mean(axis=0) - mean) < 5 * np.sqrt(mean * (1 - mean) / len(v)))
    # What is left of a bit has the mean zero whatever v is, and a deviation of a half at most.
    left, bound = h_new - hidden_mean(v), 5 * 0.5 / np.sqrt(len(v))
    assert np.all(np.abs(left.mean(axis=0)) < bound)
    assert np.all(np.abs(v.T @ left / len(v)) < bound)


def assert_log_z(theirs):
    """An estimate of 1,000 chains, 100 temperatures: five standard errors, as ours reports them."""
    path, schedule = boltzmann.bias_base(OURS), boltzmann.linear_inverse_temperatures(100)
    error = float(boltzmann.ais(jax.random.key(0), path, schedule, num_chains=1000).stderr)
    assert 0.0 < error < 0.1
    assert abs(theirs - float(boltzmann.log_partition(OURS))) < 5 * error
