"""Moments against NumPy float64, and merging."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from remjax.particles import moments
from remjax.particles.moments import no_moments, weighted_covariance, weighted_mean
from tests.weighted_particles import moments_of, oracle

POWERS = (1.0, 0.5, 0.0)
RNG = np.random.default_rng(0)
merge_moments = jax.jit(moments.merge_moments)


def assert_moments(ours, log_w, particles, powers=POWERS):
    for row, power in enumerate(powers):
        log_total, ess, mean, covariance = oracle(log_w, particles, power)
        np.testing.assert_allclose(ours.log_total[row], log_total, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(ours.ess[row], ess, rtol=1e-5)
        ascending = np.sort(np.zeros_like(log_w) if power == 0.0 else power * log_w)
        log_rest = ours.largest[row] + ours.log_rest[row]
        expected = scipy.special.logsumexp(ascending[:-1])
        np.testing.assert_allclose(log_rest, expected, rtol=1e-6, atol=1e-6)
        rounding = 1e-6 * np.abs(particles).max()
        np.testing.assert_allclose(ours.mean[row], mean, atol=rounding)
        # The spread is that of the particles; rounding of a mean far from zero enters squared.
        np.testing.assert_allclose(ours.covariance[row], covariance, atol=1e-5 + 2 * rounding)


@pytest.mark.parametrize(("offset", "nats"), [(0.0, 0.0), (1000.0, -80.0), (0.0, -5000.0)])
def test_moments_and_merging_against_float64(offset, nats):
    """Cut in three and merged either way, or whole: the same moments; far from zero too."""
    log_w = np.float32(RNG.normal(nats, 2.0, 50)).astype(float)
    log_w[7] = -np.inf
    particles = np.float32(offset + RNG.normal(size=(50, 3))).astype(float)
    whole = moments_of(log_w, particles, POWERS)
    assert_moments(whole, log_w, particles)
    a, b, c = (moments_of(log_w[i], particles[i], POWERS) for i in np.split(np.arange(50), [5, 30]))
    left = merge_moments(merge_moments(a, b), c)
    assert_moments(left, log_w, particles)
    assert_moments(merge_moments(a, merge_moments(b, c)), log_w, particles)
    assert_moments(merge_moments(no_moments(3, 3, jnp.result_type(float)), whole), log_w, particles)


def test_plain_functions_are_the_same_moments():
    weights = RNG.dirichlet(np.ones(20))
    particles = RNG.normal(size=(20, 3))
    _, _, mean, covariance = oracle(np.log(weights), particles, 1.0)
    arrays = jnp.asarray(weights, jnp.float32), jnp.asarray(particles, jnp.float32)
    np.testing.assert_allclose(weighted_mean(*arrays), mean, atol=1e-6)
    np.testing.assert_allclose(weighted_covariance(*arrays), covariance, atol=1e-6)


def test_padding_counts_for_nothing():
    log_w, particles = RNG.normal(size=6), RNG.normal(size=(6, 2))
    padded = moments_of(
        np.r_[log_w, 3.0], np.r_[particles, [[9.0, 9.0]]], POWERS, exists=[1, 1, 1, 1, 1, 1, 0]
    )
    assert_moments(padded, log_w, particles)


def test_impossible_particles_and_nan():
    nothing = moments_of(np.full(4, -np.inf), RNG.normal(size=(4, 2)), POWERS)
    np.testing.assert_array_equal(nothing.log_total[:2], [-np.inf, -np.inf])
    np.testing.assert_array_equal(nothing.ess, [0.0, 0.0, 4.0])
    log_w, particles = RNG.normal(size=5), RNG.normal(size=(5, 2))
    some = moments_of(log_w, particles, (1.0, 0.5))
    merged = merge_moments(some, jax.tree.map(lambda leaf: leaf[:2], nothing))
    assert_moments(merged, log_w, particles, (1.0, 0.5))
    spoilt = merge_moments(moments_of([np.nan, 0.0], np.ones((2, 2)), (1.0, 0.5)), some)
    for field in (spoilt.log_total, spoilt.ess, spoilt.mean, spoilt.covariance, *spoilt):
        assert np.all(np.isnan(field))
