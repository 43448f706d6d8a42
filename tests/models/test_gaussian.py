"""Deep Gaussian models: densities against SciPy, samples, where they start."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from remjax.models.gaussian import gaussian_model, gaussian_recognition
from remjax.models.initializations import fan_in_uniform
from remjax.models.likelihoods import bernoulli_likelihood, gaussian_likelihood

RNG = np.random.default_rng(0)
MEAN = RNG.uniform(size=6)
MEAN[0], MEAN[1] = 0.0, 1.0
Z = jnp.asarray(RNG.normal(size=2), jnp.float32)


def bernoulli_model(**options):
    return gaussian_model(bernoulli_likelihood(MEAN), latent_size=2, hidden_sizes=(4,), **options)


def gaussian_data_model(scale):
    likelihood = gaussian_likelihood(MEAN, np.full(6, scale))
    return gaussian_model(likelihood, latent_size=2, hidden_sizes=(4,))


def test_bernoulli_model_against_scipy(key):
    model = bernoulli_model()
    theta, x = model.init(key), RNG.uniform(size=6) < 0.5
    joint = model.joint(theta, jnp.asarray(x, jnp.float32))
    probability = np.asarray(model.mean(theta, Z), np.float64)
    likelihood = scipy.stats.bernoulli(probability).logpmf(x).sum()
    prior = scipy.stats.norm().logpdf(np.asarray(Z)).sum()
    np.testing.assert_allclose(joint.log_likelihood(Z), likelihood, rtol=1e-5)
    np.testing.assert_allclose(joint.log_prior(Z), prior, rtol=1e-5)
    np.testing.assert_allclose(joint(Z), likelihood + prior, rtol=1e-5)
    np.testing.assert_allclose(joint.prior.log_prob(Z), prior, rtol=1e-5)


def test_gaussian_model_against_scipy(key):
    model = gaussian_data_model(0.3)
    theta, x = model.init(key), RNG.uniform(size=6)
    exact = scipy.stats.norm(np.asarray(model.mean(theta, Z), np.float64), 0.3)
    value = model.log_likelihood(theta, jnp.asarray(x, jnp.float32), Z)
    np.testing.assert_allclose(value, exact.logpdf(x).sum(), rtol=1e-5)


def test_the_first_mean_is_that_of_the_data(key):
    """Probabilities within 0.001 and 0.999; with any initialisation, for the bias is added."""
    origin = jnp.zeros(2)
    clipped = np.clip(MEAN, 0.001, 0.999)
    model = bernoulli_model()
    np.testing.assert_allclose(model.mean(model.init(key), origin), clipped, rtol=1e-4)
    model = gaussian_data_model(0.3)
    np.testing.assert_allclose(model.mean(model.init(key), origin), MEAN, atol=1e-6)
    theta = bernoulli_model(initialization=fan_in_uniform).init(key)
    shift = np.asarray(theta["network"]["head"]["bias"]) - np.log(clipped / (1 - clipped))
    assert np.all(np.abs(shift) <= 0.5 + 1e-5)  # the bias of a layer of four inputs
    assert np.any(shift != 0.0)


def test_samples_come_from_the_model(key):
    """5,000 ancestral samples: z is standard normal, x has its mean; five standard errors."""
    model = bernoulli_model()
    theta = model.init(key)
    keys = jax.random.split(key, 5000)
    z, x = jax.jit(jax.vmap(model.sample, (None, 0)))(theta, keys)
    assert set(np.unique(x)) <= {0.0, 1.0}
    assert np.abs(z.mean(axis=0)).max() < 5 / np.sqrt(5000)
    assert np.abs(z.var(axis=0) - 1).max() < 5 * np.sqrt(2 / 5000)
    expected = jax.vmap(model.mean, (None, 0))(theta, z)
    error = np.sqrt(np.mean(expected * (1 - expected), axis=0) / 5000)
    assert np.all(np.abs(np.mean(x - expected, axis=0)) < 5 * error)


def test_real_valued_samples_have_the_scale(key):
    """5,000 samples; the variance of the noise within five standard errors."""
    model = gaussian_data_model(0.3)
    theta = model.init(key)
    z, x = jax.jit(jax.vmap(model.sample, (None, 0)))(theta, jax.random.split(key, 5000))
    noise = x - jax.vmap(model.mean, (None, 0))(theta, z)
    assert np.abs(np.var(noise, axis=0) / 0.09 - 1).max() < 5 * np.sqrt(2 / 5000)


def test_the_density_of_real_data_is_bounded(key):
    """However small the learned scale, it counts as a thousandth of the data's."""
    model = gaussian_data_model(0.3)
    theta = model.init(key)
    theta["likelihood"] = {"log_relative_scale": jnp.full(6, -1e4)}
    at_the_mean = model.log_likelihood(theta, model.mean(theta, Z), Z)
    np.testing.assert_allclose(at_the_mean, 6 * scipy.stats.norm(0, 3e-4).logpdf(0), rtol=1e-4)


def test_recognition_subtracts_the_mean(key):
    recognition = gaussian_recognition(MEAN, latent_size=2, hidden_sizes=(4,))
    eta = recognition.init(key)
    r = recognition.distribution(eta, jnp.asarray(MEAN, jnp.float32))
    np.testing.assert_allclose(r.mean, np.zeros(2), atol=1e-6)
    np.testing.assert_allclose(r.variance, np.ones(2), atol=1e-6)
    other = recognition.distribution(eta, jnp.ones(6))
    assert not np.allclose(other.mean, r.mean)
