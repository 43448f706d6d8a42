"""Functions of log-weights against NumPy float64, and at the edges."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from remjax.particles.weights import (
    effective_sample_size,
    log_mean_exp,
    normalize_log_weights,
    pareto_k,
    resample_multinomial,
    resample_stratified,
    resample_systematic,
)

RNG = np.random.default_rng(0)
LOG_W = {
    "ordinary": RNG.normal(0.0, 3.0, 50),
    "far from zero": RNG.normal(-700.0, 3.0, 50),
    "ten thousand nats apart": RNG.permutation(np.linspace(-1e4, 0.0, 50)),
    "one particle": np.array([-3.2]),
    "all weight on one": np.array([-500.0, 200.0, -300.0]),
    "some impossible": np.array([-np.inf, 1.0, 0.0, -np.inf]),
    "one possible": np.array([-np.inf, -np.inf, -5.0]),
    "a thousand": RNG.normal(0.0, 2.0, 1000),
}
CASES = pytest.mark.parametrize("log_w", LOG_W.values(), ids=LOG_W.keys())
NOTHING = jnp.full((3,), -jnp.inf)


def float32(log_w):
    """What float32 holds of it, as the library and (widened) as the oracle see it."""
    narrow = jnp.asarray(log_w, jnp.float32)
    return narrow, np.asarray(narrow, np.float64)


@CASES
def test_weights_evidence_and_ess_against_float64(log_w):
    narrow, wide = float32(log_w)
    weights = scipy.special.softmax(wide)
    evidence = scipy.special.logsumexp(wide) - np.log(wide.size)
    with jax.debug_nans(True):
        np.testing.assert_allclose(normalize_log_weights(narrow), weights, rtol=2e-6, atol=1e-30)
        np.testing.assert_allclose(log_mean_exp(narrow), evidence, rtol=3e-7, atol=1e-6)
        ess = effective_sample_size(narrow)
    np.testing.assert_allclose(ess, 1.0 / np.sum(weights**2), rtol=3e-6)


def test_all_impossible_is_defined():
    with jax.debug_nans(True):
        np.testing.assert_array_equal(normalize_log_weights(NOTHING), np.zeros(3))
        assert log_mean_exp(NOTHING) == -np.inf
        assert effective_sample_size(NOTHING) == 0.0
        np.testing.assert_array_equal(jax.grad(log_mean_exp)(NOTHING), np.zeros(3))


def test_nan_comes_out_as_it_went_in():
    log_w = jnp.asarray(RNG.normal(size=100), jnp.float32).at[3].set(jnp.nan)
    assert np.all(np.isnan(normalize_log_weights(log_w)))
    for function in (log_mean_exp, effective_sample_size, jax.jit(pareto_k)):
        assert np.isnan(function(log_w))


def test_gradient_of_the_evidence_is_the_weights():
    for log_w in LOG_W.values():
        narrow, _ = float32(log_w)
        gradient = jax.grad(log_mean_exp)(narrow)
        np.testing.assert_allclose(gradient, normalize_log_weights(narrow), rtol=1e-5, atol=1e-30)


def test_leading_axes_are_batch_axes():
    batch = jnp.asarray(RNG.normal(size=(2, 3, 100)), jnp.float32)
    for function in (normalize_log_weights, log_mean_exp, effective_sample_size, pareto_k):
        function = jax.jit(function)
        rows = np.stack([[function(row) for row in block] for block in batch])
        np.testing.assert_allclose(function(batch), rows, rtol=1e-5)


# Resampling


@pytest.mark.parametrize(
    "resample", [resample_multinomial, resample_stratified, resample_systematic]
)
def test_expected_counts_are_the_weights(resample):
    """4,000 keys; bound of five standard errors, sqrt(M w (1 - w) / 4,000) at most for both."""
    log_w = jnp.asarray([0.3, -jnp.inf, 1.0, -2.0, -0.1, -jnp.inf], jnp.float32)
    weights, draws, keys = scipy.special.softmax(np.asarray(log_w, np.float64)), 7, 4000
    indices = jax.vmap(lambda key: resample(key, log_w, draws))(
        jax.random.split(jax.random.key(1), keys)
    )
    counts = np.stack([np.bincount(row, minlength=6) for row in np.asarray(indices)])
    error = np.sqrt(draws * weights * (1 - weights) / keys)
    assert np.all(np.abs(counts.mean(axis=0) - draws * weights) <= 5 * error)
    if resample is resample_systematic:
        assert np.all(np.abs(counts - draws * weights) < 1.0 + 1e-5)  # floor or ceil
        assert np.all(np.diff(indices, axis=-1) >= 0)


@pytest.mark.parametrize(
    "resample", [resample_multinomial, resample_stratified, resample_systematic]
)
def test_resampling_at_the_edges(resample, key):
    def drawn(log_w, num_samples=1000):
        return np.asarray(resample(key, jnp.asarray(log_w, jnp.float32), num_samples))

    assert set(drawn([2.0])) == {0}
    assert set(drawn([-1e4, 0.0, -1e4])) == {1}
    assert set(drawn([-np.inf, 0.0, -np.inf])) == {1}
    assert set(drawn([-np.inf] * 3)) == {0, 1, 2}
    assert drawn([0.0, 0.0], num_samples=1).shape == (1,)
    # Many particles: no position falls off the end for rounding.
    many = drawn(np.r_[np.zeros(100_000), -np.inf], num_samples=5000)
    assert many.min() >= 0
    assert many.max() < 100_000


# Pareto k-hat


def psis_k_hat(log_w: np.ndarray) -> float:
    """k-hat in float64 as the papers have it.

    PSIS of Vehtari et al. (2024), the fit of Zhang & Stephens (2009), whose k is minus this one.
    """
    w = np.sort(np.exp(log_w - np.max(log_w)))
    size = math.ceil(min(w.size / 5, 3 * math.sqrt(w.size)))
    tail = w[-size:] - w[-size - 1]
    tail = tail[tail > 0]
    n = tail.size
    if size < 5 or n < 5:
        return math.inf
    points = 30 + math.floor(math.sqrt(n))
    first_quartile = tail[math.floor(n / 4 + 0.5) - 1]
    j = np.arange(1, points + 1)
    theta = 1 / tail[-1] + (1 - np.sqrt(points / (j - 0.5))) / (3 * first_quartile)
    k = -np.mean(np.log1p(-theta[:, None] * tail), axis=1)
    log_likelihood = n * (np.log(theta / k) + k - 1)
    posterior = scipy.special.softmax(log_likelihood)
    k_hat = np.mean(np.log1p(-np.sum(posterior * theta) * tail))
    return (n * k_hat + 10 * 0.5) / (n + 10)


@pytest.mark.parametrize("size", [21, 100, 2000])
def test_pareto_k_against_float64(size):
    spread = np.repeat([0.05, 1.0, 3.0], 5)
    rows = np.random.default_rng(size).normal(-300.0, spread[:, None], (15, size))
    narrow, wide = float32(rows)
    expected = [psis_k_hat(row) for row in wide]
    np.testing.assert_allclose(jax.jit(pareto_k)(narrow), expected, rtol=1e-3, atol=1e-3)


def test_pareto_k_of_exact_pareto_samples():
    """40 sets of 10,000; the 300 tail excesses are exactly Pareto of the same k.

    The estimator's standard deviation is about (1 + |k|) / sqrt(300) (Zhang & Stephens 2009); bound
    of five standard errors of the mean plus 0.01 for its bias of order 1/300. The weak prior pulls
    toward 0.5.
    """
    shapes = np.array([-0.3, 0.2, 0.5, 0.9])
    samples = scipy.stats.genpareto.rvs(shapes[:, None, None], size=(4, 40, 10_000), random_state=3)
    k_hat = np.asarray(jax.jit(pareto_k)(jnp.asarray(np.log(samples), jnp.float32)))
    bound = 5 * (1 + np.abs(shapes)) / math.sqrt(300 * 40) + 0.01
    assert np.all(np.abs(k_hat.mean(axis=1) - (300 * shapes + 5) / 310) < bound)


def test_pareto_k_where_there_is_no_tail():
    with jax.debug_nans(True):
        assert pareto_k(jnp.zeros(20)) == np.inf  # too few particles
        assert pareto_k(jnp.zeros(1)) == np.inf
        assert pareto_k(jnp.zeros(100)) == np.inf  # no particle above the cutoff
        assert pareto_k(jnp.full((100,), -jnp.inf)) == np.inf  # no possible particle
        spread = jnp.asarray(np.linspace(-1e4, 0.0, 100), jnp.float32)
        assert pareto_k(spread) == np.inf  # all the weight on one
        # A tail with ties at the cutoff is fitted on what lies above it.
        tied = np.r_[np.zeros(80), np.linspace(0.0, 1.0, 20)]
        np.testing.assert_allclose(
            pareto_k(jnp.asarray(tied, jnp.float32)), psis_k_hat(tied), rtol=1e-3
        )


def test_pareto_k_ignores_scale_order_and_gradients():
    log_w = jnp.asarray(RNG.normal(0.0, 2.0, 500), jnp.float32)
    k_hat = jax.jit(pareto_k)
    np.testing.assert_allclose(k_hat(log_w[::-1] + 50.0), k_hat(log_w), atol=1e-4)
    np.testing.assert_array_equal(jax.jit(jax.grad(pareto_k))(log_w), np.zeros(500))
