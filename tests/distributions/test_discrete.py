"""Bits and categories: densities, moments and divergences by enumeration, draws, matching."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from remjax.distributions import Bernoulli, Categorical, DiagonalGaussian
from remjax.errors import InputError

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(2, 3))
PROBABILITY = scipy.special.softmax(LOGITS, axis=-1)
OTHER = RNG.normal(size=(2, 3))


def array(value):
    return jnp.asarray(value, jnp.float32)


CATEGORICAL = Categorical(array(LOGITS))
PAIRS = list(itertools.product(range(3), repeat=2))
EVERY_Z = np.array([np.eye(3)[list(pair)].ravel() for pair in PAIRS])
PROBABILITY_OF_Z = np.array([PROBABILITY[0, i] * PROBABILITY[1, j] for i, j in PAIRS])


def test_log_prob_mean_and_variance_by_enumeration():
    value = jax.vmap(CATEGORICAL.log_prob)(array(EVERY_Z))
    np.testing.assert_allclose(value, np.log(PROBABILITY_OF_Z), rtol=1e-5)
    mean = PROBABILITY_OF_Z @ EVERY_Z
    np.testing.assert_allclose(CATEGORICAL.mean, mean, rtol=1e-5)
    variance = PROBABILITY_OF_Z @ EVERY_Z**2 - mean**2
    np.testing.assert_allclose(CATEGORICAL.variance, variance, rtol=1e-5)
    assert CATEGORICAL.is_discrete


def test_two_categories_are_a_bit():
    bits, logits = np.array([1.0, 0.0, 1.0]), array([0.3, -2.0, 5.0])
    pairs = Categorical(jnp.stack([jnp.zeros(3), logits], axis=-1))
    z = np.stack([1 - bits, bits], axis=-1).ravel()
    expected = Bernoulli(logits).log_prob(array(bits))
    np.testing.assert_allclose(pairs.log_prob(array(z)), expected, rtol=1e-5)
    np.testing.assert_allclose(pairs.mean[1::2], Bernoulli(logits).mean, rtol=1e-5)


def test_draws_are_one_hot_and_have_the_frequencies(key):
    """20,000 draws of the stream; five standard errors."""
    drawn = jax.jit(jax.vmap(lambda index: CATEGORICAL.particle(key, index)))(jnp.arange(20_000))
    assert drawn.z.shape == (20_000, 6)
    assert set(np.unique(drawn.z)) == {0.0, 1.0}
    np.testing.assert_array_equal(drawn.z.reshape(-1, 2, 3).sum(axis=-1), 1.0)
    frequency = np.mean(np.all(drawn.z[:, None] == EVERY_Z, axis=-1), axis=0)
    error = np.sqrt(PROBABILITY_OF_Z * (1 - PROBABILITY_OF_Z) / 20_000)
    assert np.all(np.abs(frequency - PROBABILITY_OF_Z) < 5 * error)
    np.testing.assert_allclose(drawn.log_q, jax.vmap(CATEGORICAL.log_prob)(drawn.z), rtol=1e-6)


def test_impossible_categories_are_not_drawn(key):
    certain = Categorical(array([[200.0, 0.0, 0.0], [0.0, 200.0, 0.0], [0.0, 0.0, 200.0]]))
    z = jax.vmap(certain.sample)(jax.random.split(key, 1000))
    np.testing.assert_array_equal(z, np.tile(np.eye(3).ravel(), (1000, 1)))


def test_sample_has_no_gradient_and_rsample_is_refused(key):
    held = jax.grad(lambda given: jnp.sum(given.sample(key) * jnp.arange(6)))(CATEGORICAL)
    np.testing.assert_array_equal(held.logits, np.zeros((2, 3)))
    with pytest.raises(InputError, match=r"^categorical latents have no reparameterised draw: use"):
        CATEGORICAL.rsample(key)


def test_gradients_reach_the_logits_and_z():
    z = array(EVERY_Z[4])
    gradient = jax.grad(lambda given: given.log_prob(z))(CATEGORICAL)
    np.testing.assert_allclose(gradient.logits, EVERY_Z[4].reshape(2, 3) - PROBABILITY, atol=1e-6)
    of_z = jax.grad(CATEGORICAL.log_prob)(z)
    np.testing.assert_allclose(of_z, np.log(PROBABILITY).ravel(), rtol=1e-5)


def test_expected_log_prob_is_closed_under_moments():
    weights = RNG.dirichlet(np.ones(len(EVERY_Z)))
    expected = weights @ np.log(PROBABILITY_OF_Z)
    value = CATEGORICAL.expected_log_prob(array(weights @ EVERY_Z), jnp.zeros((6, 6)))
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_kl_divergence():
    other = scipy.special.softmax(OTHER, axis=-1)
    expected = np.sum(PROBABILITY * np.log(PROBABILITY / other))
    np.testing.assert_allclose(
        CATEGORICAL.kl_divergence(Categorical(array(OTHER))), expected, rtol=1e-5
    )
    np.testing.assert_allclose(CATEGORICAL.kl_divergence(CATEGORICAL), 0.0, atol=1e-6)
    assert CATEGORICAL.kl_divergence(DiagonalGaussian(jnp.zeros(6), jnp.ones(6))) is None


def test_a_latent_of_another_length_is_refused():
    with pytest.raises(InputError, match=r"^a latent of shape \(1,\) for 2 variables of 3 categ"):
        CATEGORICAL.log_prob(jnp.ones(1))
    with pytest.raises(InputError, match=r"^the shapes of logits \(3,\) and x \(1,\) end diff"):
        Bernoulli(jnp.zeros(3)).log_prob(jnp.ones(1))


def test_matched_categories_have_the_means_and_stay_reachable():
    """Any number of variables; a category has at least 0.02 / C before the sum is made one."""
    mean = np.array([0.2, 0.3, 0.5, 1.0, 0.0, 0.0, 0.1, 0.1, 0.8])
    found = CATEGORICAL.matched(array(mean), jnp.zeros((9, 9)))
    floor = 0.02 / 3
    expected = np.maximum(mean.reshape(3, 3), floor)
    expected = (expected / expected.sum(axis=-1, keepdims=True)).ravel()
    np.testing.assert_allclose(found.mean, expected, rtol=1e-5)
    nothing = CATEGORICAL.matched(jnp.zeros(3), jnp.zeros((3, 3)))
    np.testing.assert_allclose(nothing.mean, np.full(3, 1 / 3), rtol=1e-6)
    gradient = jax.grad(lambda m: jnp.sum(CATEGORICAL.matched(m, jnp.zeros((9, 9))).logits))
    np.testing.assert_array_equal(gradient(array(mean)), np.zeros(9))
    with pytest.raises(InputError, match="all layers must have the same number of categories"):
        CATEGORICAL.matched(jnp.ones(4), jnp.zeros((4, 4)))


def test_matched_bits_have_the_means_and_stay_reachable():
    mean = array([0.0, 0.3, 1.0, 0.5])
    bits = Bernoulli(jnp.zeros(2))
    found = bits.matched(mean, jnp.zeros((4, 4)))
    np.testing.assert_allclose(found.mean, [0.01, 0.3, 0.99, 0.5], rtol=1e-5)
    gradient = jax.grad(lambda m: jnp.sum(bits.matched(m, jnp.zeros((4, 4))).logits))(mean)
    np.testing.assert_array_equal(gradient, np.zeros(4))
