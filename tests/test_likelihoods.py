"""The likelihoods of data, value and gradient, against SciPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from remjax.likelihoods import bernoulli_log_likelihood, gaussian_log_likelihood

RNG = np.random.default_rng(0)


def array(value):
    return jnp.asarray(value, jnp.float32)


def exact_bernoulli(logits, x):
    logits = np.asarray(logits, np.float64)
    return np.sum(x * logits - np.logaddexp(0.0, logits), axis=-1)


@pytest.mark.parametrize("size", [1, 64, 784, 1000])
@pytest.mark.parametrize("reach", [1.0, 10.0, 50.0, 1e4])
def test_bernoulli_log_likelihood(size, reach):
    """Error below 1e-3 nats an image of 784, or what float32 holds of a value that large."""
    logits = array(RNG.uniform(-reach, reach, (20, size)))
    probable = RNG.uniform(size=(20, size)) < scipy.special.expit(logits)
    for x in (probable, ~probable, RNG.uniform(size=(20, size)) < 0.5):
        value = bernoulli_log_likelihood(logits, array(x))
        exact = exact_bernoulli(logits, x)
        error = np.abs(value - exact)
        assert np.all(error < 1e-3 * max(size / 784, 0.1) + 3e-7 * np.abs(exact))
    extremes = array(np.tile([reach, -reach], size)[:size])
    for bit in (0.0, 1.0):
        value = bernoulli_log_likelihood(extremes, jnp.full(size, bit))
        np.testing.assert_allclose(value, exact_bernoulli(extremes, bit), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("size", [1, 784])
def test_bernoulli_gradient(size):
    logits, x = array(RNG.uniform(-30, 30, (3, size))), array(RNG.uniform(size=(3, size)) < 0.5)
    value, pullback = jax.vjp(bernoulli_log_likelihood, logits, x)
    to_logits, to_x = pullback(jnp.ones_like(value))
    expected = np.asarray(x, np.float64) - scipy.special.expit(np.asarray(logits, np.float64))
    np.testing.assert_allclose(to_logits, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(to_x, logits)
    huge = jax.grad(lambda logits: bernoulli_log_likelihood(logits, x[0]))(jnp.full(size, 1e4))
    np.testing.assert_allclose(huge, x[0] - 1.0)


def test_bernoulli_of_grey_pixels_and_equal_logits():
    x = array(RNG.uniform(size=784))
    np.testing.assert_allclose(
        bernoulli_log_likelihood(jnp.zeros(784), x), -784 * np.log(2), rtol=1e-6
    )


def test_gaussian_log_likelihood():
    mean, log_scale, x = RNG.normal(size=(3, 5, 8))
    expected = scipy.stats.norm(mean, np.exp(log_scale)).logpdf(x).sum(axis=-1)
    value = gaussian_log_likelihood(array(mean), array(log_scale), array(x))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    # An image, within what float32 holds of its value: errors of 784 terms, each rounded.
    mean, x = RNG.uniform(size=(2, 20, 784))
    log_scale = RNG.uniform(np.log(1e-3), 1.0, (20, 784))
    expected = scipy.stats.norm(mean, np.exp(log_scale)).logpdf(x).sum(axis=-1)
    value = gaussian_log_likelihood(array(mean), array(log_scale), array(x))
    np.testing.assert_allclose(value, expected, rtol=2e-6)
    tiny = gaussian_log_likelihood(jnp.zeros(2), jnp.full(2, -60.0), jnp.zeros(2))
    np.testing.assert_allclose(tiny, 2 * (60.0 - 0.5 * np.log(2 * np.pi)), rtol=1e-6)
