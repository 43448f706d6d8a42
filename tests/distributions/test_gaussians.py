"""Densities and divergences against SciPy, draws and their gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from remjax.distributions import DiagonalGaussian, FullGaussian
from remjax.distributions.mixtures import Balanced, Stratified

RNG = np.random.default_rng(0)
LOC = RNG.normal(size=3)
SCALE = np.array([0.3, 1.0, 4.0])
FACTOR = np.tril(RNG.normal(size=(3, 3)), -1) + np.diag(SCALE)
COVARIANCE = FACTOR @ FACTOR.T


def array(value):
    return jnp.asarray(value, jnp.float32)


DIAGONAL = DiagonalGaussian(array(LOC), array(SCALE))
FULL = FullGaussian(array(LOC), array(FACTOR))
OTHER = DiagonalGaussian(array(LOC + 3.0), array(SCALE / 2))
BALANCED = Balanced(DIAGONAL, OTHER)
STRATIFIED = Stratified(DIAGONAL, OTHER)
SIMPLE = pytest.mark.parametrize("distribution", [DIAGONAL, FULL], ids=["diagonal", "full"])
EVERY = pytest.mark.parametrize(
    "distribution", [DIAGONAL, FULL, BALANCED], ids=["diagonal", "full", "both"]
)


def draws(distribution, size, seed=0):
    """Draws of a stream, in float64."""
    key = jax.random.key(seed)
    stream = jax.jit(jax.vmap(lambda index: distribution.particle(key, index)[0]))(jnp.arange(size))
    return np.asarray(stream, np.float64)


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        (DIAGONAL, scipy.stats.multivariate_normal(LOC, np.diag(SCALE**2))),
        (FULL, scipy.stats.multivariate_normal(LOC, COVARIANCE)),
    ],
    ids=["diagonal", "full"],
)
def test_log_prob_mean_and_variance(distribution, expected):
    z = LOC + 3 * RNG.normal(size=(20, 3))
    np.testing.assert_allclose(
        jax.vmap(distribution.log_prob)(array(z)), expected.logpdf(z), rtol=1e-5
    )
    np.testing.assert_allclose(distribution.mean, expected.mean, rtol=1e-6)
    np.testing.assert_allclose(
        distribution.variance, np.diagonal(expected.cov_object.covariance), rtol=1e-5
    )


def test_log_prob_of_the_mixture():
    first = scipy.stats.multivariate_normal(LOC, np.diag(SCALE**2))
    second = scipy.stats.multivariate_normal(LOC + 3.0, np.diag(SCALE**2 / 4))
    z = LOC + 3 * RNG.normal(size=(20, 3))
    expected = np.logaddexp(first.logpdf(z), second.logpdf(z)) - np.log(2)
    np.testing.assert_allclose(jax.vmap(BALANCED.log_prob)(array(z)), expected, rtol=1e-5)
    # Far from one distribution, the other alone decides; far from both, no NaN.
    assert np.isfinite(BALANCED.log_prob(array([100.0, 100.0, 100.0])))


@EVERY
def test_moments_of_draws(distribution):
    """40,000 draws of the stream; five standard errors (of a variance: from the fourth moment)."""
    z = draws(distribution, 40_000)
    error = z.std(axis=0) / 200
    assert np.all(np.abs(z.mean(axis=0) - distribution.mean) < 5 * error)
    square = (z - np.asarray(distribution.mean)) ** 2
    assert np.all(
        np.abs(square.mean(axis=0) - distribution.variance) < 5 * square.std(axis=0) / 200
    )


def test_full_draws_have_the_covariance():
    """40,000 draws; five standard errors of each mean product."""
    z = draws(FULL, 40_000) - LOC
    products = z[:, :, None] * z[:, None, :]
    error = products.std(axis=0) / 200
    assert np.all(np.abs(products.mean(axis=0) - COVARIANCE) < 5 * error)


@EVERY
def test_sample_has_no_gradient_and_rsample_has(distribution, key):
    np.testing.assert_array_equal(distribution.sample(key), distribution.rsample(key))
    held = jax.grad(lambda distribution: jnp.sum(distribution.sample(key)))(distribution)
    assert all(np.all(leaf == 0) for leaf in jax.tree.leaves(held))
    stream = jax.grad(
        lambda distribution: jnp.sum(distribution.particle(key, jnp.zeros((), int))[0])
    )(distribution)
    assert all(np.all(leaf == 0) for leaf in jax.tree.leaves(stream))
    free = jax.grad(lambda distribution: jnp.sum(distribution.rsample(key)))(distribution)
    assert any(np.any(leaf != 0) for leaf in jax.tree.leaves(free))


def test_pathwise_gradients_are_the_noise(key):
    gradient = jax.grad(lambda distribution: jnp.sum(distribution.rsample(key)))(DIAGONAL)
    noise = (DIAGONAL.rsample(key) - DIAGONAL.loc) / DIAGONAL.scale
    np.testing.assert_allclose(gradient.loc, np.ones(3))
    np.testing.assert_allclose(gradient.scale, noise, rtol=1e-4, atol=1e-5)
    gradient = jax.grad(lambda distribution: jnp.sum(distribution.rsample(key)))(FULL)
    noise = np.linalg.solve(FACTOR, FULL.rsample(key) - LOC)
    np.testing.assert_allclose(gradient.scale_tril, np.tile(noise, (3, 1)), rtol=1e-4, atol=1e-5)


@SIMPLE
def test_a_particle_is_what_its_key_draws(distribution, key):
    drawn = distribution.particle(key, jnp.asarray(5))
    np.testing.assert_array_equal(drawn.z, distribution.rsample(drawn.noise))
    np.testing.assert_allclose(drawn.z, draws(distribution, 8)[5], rtol=1e-6)
    np.testing.assert_allclose(drawn.log_q, distribution.log_prob(drawn.z), rtol=1e-6)


def test_strata_of_the_mixture():
    """Even particles are those of the first one; odd ones are independent draws of the second.

    20,000 pairs: correlations and standardised means below five standard errors.
    """
    z = draws(BALANCED, 40_000)
    np.testing.assert_allclose(z, draws(STRATIFIED, 40_000), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(z[::2], draws(DIAGONAL, 20_000), rtol=1e-5, atol=1e-6)
    first = (z[::2] - LOC) / SCALE
    second = (z[1::2] - LOC - 3.0) / (SCALE / 2)
    bound = 5 / np.sqrt(20_000)
    assert np.abs(second.mean(axis=0)).max() < bound
    assert np.abs(first.T @ second / 20_000).max() < bound
    assert np.abs(first[1:].T @ second[:-1] / 20_000).max() < bound


def test_what_the_particles_of_a_mixture_are_weighted_by(key):
    for index in range(4):
        own = STRATIFIED.particle(key, jnp.asarray(index))
        distribution = DIAGONAL if index % 2 == 0 else OTHER
        np.testing.assert_allclose(own.log_q, distribution.log_prob(own.z), rtol=1e-6)
        balanced = BALANCED.particle(key, jnp.asarray(index))
        np.testing.assert_allclose(balanced.log_q, BALANCED.log_prob(own.z), rtol=1e-6)


@SIMPLE
def test_expected_log_prob_is_closed_under_moments(distribution):
    """Exact for any weighted particles, by their own mean and covariance."""
    z, weights = LOC + 2 * RNG.normal(size=(50, 3)), RNG.dirichlet(np.ones(50))
    mean = weights @ z
    covariance = (z - mean).T @ np.diag(weights) @ (z - mean)
    expected = weights @ np.asarray(jax.vmap(distribution.log_prob)(array(z)), np.float64)
    value = distribution.expected_log_prob(array(mean), array(covariance))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert BALANCED.expected_log_prob(array(mean), array(covariance)) is None


def test_kl_divergence():
    """Closed form in float64, and 40,000 draws within five standard errors."""
    ratio = SCALE**2 / (SCALE / 2) ** 2
    closed = 0.5 * np.sum(ratio + (3.0 / (SCALE / 2)) ** 2 - 1 - np.log(ratio))
    np.testing.assert_allclose(DIAGONAL.kl_divergence(OTHER), closed, rtol=1e-5)
    np.testing.assert_allclose(DIAGONAL.kl_divergence(DIAGONAL), 0.0, atol=1e-6)
    z = array(draws(DIAGONAL, 40_000))
    terms = np.asarray(jax.vmap(DIAGONAL.log_prob)(z) - jax.vmap(OTHER.log_prob)(z))
    assert abs(terms.mean() - closed) < 5 * terms.std() / 200


def test_kl_divergence_of_full_gaussians():
    """The closed form in float64, from a full to a diagonal and to another full one."""
    factor = np.tril(RNG.normal(size=(3, 3)), -1) + np.diag([0.5, 1.0, 2.0])
    other_factor = np.tril(RNG.normal(size=(3, 3)), -1) + np.diag([1.5, 0.7, 1.0])
    loc, other_loc, scale = RNG.normal(size=3), RNG.normal(size=3), np.array([1.0, 0.4, 3.0])
    ours = FullGaussian(array(loc), array(factor))
    for other, their_factor in (
        (DiagonalGaussian(array(other_loc), array(scale)), np.diag(scale)),
        (FullGaussian(array(other_loc), array(other_factor)), other_factor),
    ):
        precision = np.linalg.inv(their_factor @ their_factor.T)
        shift, covariance = loc - other_loc, factor @ factor.T
        ratio = np.linalg.slogdet(precision @ covariance)[1]
        closed = 0.5 * (np.trace(precision @ covariance) + shift @ precision @ shift - 3 - ratio)
        np.testing.assert_allclose(ours.kl_divergence(other), closed, rtol=1e-4)
    assert ours.kl_divergence(BALANCED) is None
