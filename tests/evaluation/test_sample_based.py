"""Conservative log-likelihoods against enumeration, Parzen windows against NumPy and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from remjax.distributions import SaltAndPepper
from remjax.errors import InputError
from remjax.evaluation import make_conservative_log_likelihood, parzen_windows, sample_based
from remjax.methods import make_chains
from tests import denoising_tables as tables
from tests.evaluation.test_importance_sampling import MODEL as LINEAR
from tests.evaluation.test_importance_sampling import TRUTH

MODEL, CORRUPTION = tables.table_model(), SaltAndPepper(0.5)
THETA = jnp.asarray(1.5 * np.random.default_rng(2).normal(size=(tables.SIZE, tables.SIZE)))
TABLE = tables.model_table(MODEL, THETA)
EXACT = tables.stationary_distribution(tables.transition_matrix(CORRUPTION, TABLE))
OF_ZBAR = EXACT @ tables.corruption_table(CORRUPTION)
STATES = tables.STATES.astype(np.float32)
EVALUATE = make_conservative_log_likelihood(MODEL.log_likelihood, MODEL.support)
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("count", [1, 7, 50, 101])
def test_against_numpy(count):
    """Any number of draws: chunks that are not full are padded, and weigh nothing."""
    draws = RNG.integers(tables.SIZE, size=count)
    expected = scipy.special.logsumexp(np.log(TABLE[draws]), axis=0) - np.log(count)
    result = EVALUATE(THETA, STATES[draws], STATES)
    np.testing.assert_allclose(result.log_likelihood, expected, rtol=1e-5)
    np.testing.assert_allclose(result.mean, expected.mean(), rtol=1e-5)
    np.testing.assert_allclose(result.stderr, expected.std(ddof=1) / 4, rtol=1e-4)


def test_expectation_by_enumeration_is_a_lower_bound():
    """Of two independent draws, over all 256 pairs: exactly E, below log p(x), above that of one.

    log p(x) = log sum_zbar pi(zbar) p(x | zbar) is the stationary distribution of the chain.
    """
    np.testing.assert_allclose(np.log(OF_ZBAR @ TABLE), np.log(EXACT), atol=1e-6)
    one = OF_ZBAR @ np.log(TABLE)
    two = np.zeros(tables.SIZE)
    for first in range(tables.SIZE):
        for second in range(tables.SIZE):
            value = EVALUATE(THETA, STATES[[first, second]], STATES).log_likelihood
            two += OF_ZBAR[first] * OF_ZBAR[second] * value
    pairs = np.log(0.5 * (TABLE[:, None] + TABLE[None]))
    np.testing.assert_allclose(two, np.einsum("i,j,ijx->x", OF_ZBAR, OF_ZBAR, pairs), atol=1e-5)
    assert np.all(one < two)
    assert np.all(two < np.log(EXACT))


def test_draws_of_a_chain_come_to_the_exact_log_likelihood(key):
    """As M grows, from below: 40 runs of M = 4, 40 and 400 draws, five standard errors."""
    run = make_chains(MODEL, num_kept=10, every=3)
    burnt_in = run(THETA, CORRUPTION, key, jnp.zeros((1600, tables.NUM_BITS))).x[-1]
    kept = run(THETA, CORRUPTION, jax.random.fold_in(key, 1), burnt_in)
    draws = np.moveaxis(np.asarray(kept.zbar), 0, 1).reshape(40, 400, tables.NUM_BITS)
    gaps = []
    for count in (4, 40, 400):
        runs = [EVALUATE(THETA, of_run[:count], STATES).log_likelihood for of_run in draws]
        error = EXACT @ np.transpose(runs) - EXACT @ np.log(EXACT)
        assert error.mean() < 5 * error.std() / np.sqrt(40)
        gaps.append(-error.mean())
    assert gaps[0] > 5 * abs(gaps[1]) > 20 * abs(gaps[2])
    assert abs(gaps[2]) < 0.01


def test_it_serves_models_with_latents_of_the_prior(key):
    """The evidence of a linear Gaussian model: the delta method says how far one is off."""
    x, count = TRUTH.sample(1, 20), 200_000
    z = RNG.normal(size=(count, 2)).astype(np.float32)
    evaluate = make_conservative_log_likelihood(LINEAR.log_likelihood)
    result = evaluate(TRUTH.theta, z, x.astype(np.float32))
    exact = TRUTH.log_evidence(x)
    terms = jax.vmap(
        lambda x: jnp.exp(jax.vmap(lambda z: LINEAR.log_likelihood(TRUTH.theta, x, z))(z))
    )(jnp.asarray(x, jnp.float32))
    relative = np.asarray(terms).std(axis=1) / np.exp(exact) / np.sqrt(count)
    assert np.all(np.abs(result.log_likelihood - exact) < 5 * relative + 1e-3)
    assert relative.max() < 0.2


def test_draws_may_be_pytrees_and_data_bytes():
    """Two layers, of which the model uses one; an x of unsigned bytes is an x of floats."""
    draws = RNG.integers(tables.SIZE, size=9)
    evaluate = make_conservative_log_likelihood(
        lambda theta, x, both: MODEL.log_likelihood(theta, x.astype(float), both["zbar"])
    )
    both = {"zbar": STATES[draws], "unused": np.zeros(9)}
    expected = EVALUATE(THETA, STATES[draws], STATES).log_likelihood
    result = evaluate(THETA, both, tables.STATES.astype(np.uint8))
    np.testing.assert_allclose(result.log_likelihood, expected, rtol=1e-6)


@pytest.mark.parametrize("size", [1, 3, 16])
def test_results_do_not_depend_on_the_cut(size, monkeypatch):
    draws, told = STATES[RNG.integers(tables.SIZE, size=20)], []
    whole = EVALUATE(THETA, draws, STATES).log_likelihood
    monkeypatch.setattr(sample_based, "_BLOCK", 3)
    monkeypatch.setattr(sample_based, "_DRAWS_IN_FLIGHT", 7)
    cut = EVALUATE(THETA, draws, STATES[:size], told.append).log_likelihood
    assert sum(told) == size
    np.testing.assert_allclose(cut, whole[:size], rtol=1e-5)


def test_what_is_impossible_is_minus_infinity_and_nan_is_seen():
    """-inf weighs nothing beside others; far-off likelihoods do not overflow."""
    evaluate = make_conservative_log_likelihood(lambda theta, x, draw: x[0] * draw)
    x = np.ones((1, 1), np.float32)

    def of(*draws):
        return float(evaluate((), np.array(draws, np.float32), x).log_likelihood[0])

    assert of(-np.inf, -np.inf) == -np.inf
    np.testing.assert_allclose(of(-np.inf, 3.0), 3.0 - np.log(2), rtol=1e-6)
    np.testing.assert_allclose(of(-5e4, -5e4 + 1), -5e4 + np.log((1 + np.e) / 2), rtol=1e-6)
    np.testing.assert_allclose(of(5e4, -5e4), 5e4 - np.log(2), rtol=1e-6)
    assert np.isnan(of(0.0, np.nan))


SAMPLES, TEST = RNG.normal(size=(60, 3)), RNG.normal(size=(25, 3))
VALIDATION = RNG.normal(size=(30, 3))
GRID = np.array([0.2, 0.5, 0.9, 2.0])


def windows(x, bandwidth):
    """In float64."""
    log_p = scipy.stats.norm(SAMPLES, bandwidth).logpdf(x[:, None]).sum(axis=-1)
    return scipy.special.logsumexp(log_p, axis=1) - np.log(len(SAMPLES))


def test_parzen_windows_against_numpy():
    result = parzen_windows(SAMPLES, TEST, validation=VALIDATION, bandwidths=GRID)
    validation = [windows(VALIDATION, bandwidth).mean() for bandwidth in GRID]
    np.testing.assert_allclose(result.validation, validation, rtol=1e-4)
    best = GRID[np.argmax(validation)]
    assert 0.2 < best < 2.0
    np.testing.assert_allclose(result.bandwidth, best, rtol=1e-6)
    expected = windows(TEST, best)
    np.testing.assert_allclose(result.test.log_likelihood, expected, rtol=1e-4)
    np.testing.assert_allclose(result.test.mean, expected.mean(), rtol=1e-4)


def test_parzen_windows_against_scipy():
    """`gaussian_kde` in one dimension, its factor times the spread being the bandwidth."""
    kde = scipy.stats.gaussian_kde(SAMPLES[:, 0], bw_method=0.3)
    bandwidth = np.sqrt(kde.covariance[0, 0])
    result = parzen_windows(
        SAMPLES[:, :1], TEST[:, :1], validation=VALIDATION[:, :1], bandwidths=np.array([bandwidth])
    )
    np.testing.assert_allclose(result.test.log_likelihood, kde.logpdf(TEST[:, 0]), rtol=1e-4)


def test_what_cannot_be_is_one_line():
    draws = STATES[:3]
    cases = [
        (lambda: EVALUATE(THETA, draws, STATES[:0]), "there is nothing to evaluate: give at least"),
        (lambda: EVALUATE(THETA, draws[:0], STATES), "the draws have 0 rows: give an array of at"),
        (lambda: EVALUATE(THETA, (draws, draws[:2]), STATES), "the draws have 2 and 3 rows: give"),
        (lambda: EVALUATE(THETA, draws, 2 * STATES), r"row 1 holds 2 .* in \[0, 1\]: give bits"),
    ]
    options = {"samples": SAMPLES, "x": TEST, "validation": VALIDATION, "bandwidths": GRID}
    for change, words in (
        (
            {"bandwidths": np.append(GRID, 0.0)},
            "bandwidths hold 0: give standard deviations above",
        ),
        ({"bandwidths": np.array([])}, r"bandwidths have the shape \(0,\): give a vector of"),
        ({"x": TEST[:, :2]}, r"rows of samples, x and validation have the shapes \(3,\), \(2,\)"),
        ({"x": TEST * np.nan}, "row 0 holds nan .* drop or impute"),
        ({"samples": SAMPLES[:0]}, "the draws have 0 rows"),
        ({"validation": VALIDATION[:0]}, "there is nothing to evaluate"),
    ):
        cases.append((lambda given=options | change: parzen_windows(**given), words))
    for call, words in cases:
        with pytest.raises(InputError, match=f"^{words}") as raised:
            call()
        assert "\n" not in str(raised.value)
