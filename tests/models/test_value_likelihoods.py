"""Counts and categories against SciPy; entries that are missing are left out."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as stats

from remjax import models
from remjax.data.checks import check_rows
from remjax.errors import InputError

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
MEAN = np.array([0.2, 3.0, 40.0, 2000.0])
OUTPUT = jnp.asarray(np.log([0.5, 2.0, 55.0, 1500.0]), jnp.float32)
COUNTS = np.array([0.0, 4.0, 31.0, 2100.0])
SIZES = np.array([0.5, 2.0, 10.0, 800.0])
# The standard deviations of negative binomials of these means and sizes.
SCALE = np.sqrt(MEAN + MEAN**2 / SIZES)


def test_poisson_against_scipy():
    likelihood = models.poisson_likelihood(MEAN)
    np.testing.assert_allclose(likelihood.mean((), likelihood.output_bias), MEAN, rtol=1e-5)
    value = likelihood.log_prob((), OUTPUT, jnp.asarray(COUNTS, jnp.float32))
    expected = stats.poisson(np.exp(np.float64(OUTPUT))).logpmf(COUNTS).sum()
    np.testing.assert_allclose(value, expected, rtol=1e-4)


def test_negative_binomial_against_scipy():
    likelihood = models.negative_binomial_likelihood(MEAN, SCALE)
    np.testing.assert_allclose(np.exp(likelihood.init["log_size"]), SIZES, rtol=1e-4)
    mean = np.exp(np.float64(OUTPUT))
    value = likelihood.log_prob(likelihood.init, OUTPUT, jnp.asarray(COUNTS, jnp.float32))
    expected = stats.nbinom(SIZES, SIZES / (SIZES + mean)).logpmf(COUNTS).sum()
    np.testing.assert_allclose(value, expected, rtol=1e-4)


def test_counts_that_do_not_scatter_are_a_poisson():
    likelihood = models.negative_binomial_likelihood(MEAN, np.sqrt(MEAN))
    x = jnp.asarray(COUNTS, jnp.float32)
    poisson = models.poisson_likelihood(MEAN).log_prob((), OUTPUT, x)
    # m^2 / s with s = e^10 adds a tenth to the variance of the largest mean.
    value = likelihood.log_prob_of_columns(likelihood.init, OUTPUT, x)[:3].sum()
    np.testing.assert_allclose(
        value, models.poisson_likelihood(MEAN).log_prob_of_columns((), OUTPUT, x)[:3].sum(), 2e-3
    )
    assert np.isfinite(poisson)


@pytest.mark.parametrize("name", ["poisson", "negative_binomial"])
def test_draws_of_counts_have_their_moments(name):
    """20,000 draws: means and variances within five standard errors."""
    likelihood, variance = {
        "poisson": (models.poisson_likelihood(MEAN), MEAN),
        "negative_binomial": (models.negative_binomial_likelihood(MEAN, SCALE), SCALE**2),
    }[name]
    keys = jax.random.split(KEY, 20_000)
    draw = jax.jit(
        jax.vmap(lambda key: likelihood.sample(likelihood.init, likelihood.output_bias, key))
    )
    x = np.asarray(draw(keys), np.float64)
    assert np.all(x % 1 == 0)
    assert np.all(np.abs(x.mean(axis=0) - MEAN) < 5 * np.sqrt(variance / len(x)))
    squares = (x - x.mean(axis=0)) ** 2
    error = squares.std(axis=0) / np.sqrt(len(x))
    assert np.all(np.abs(squares.mean(axis=0) - variance) < 5 * error)


def test_categories_against_a_loop():
    sizes, mean = (3, 2, 1, 4), np.array([0.2, 0.3, 0.5, 0.9, 0.1, 1.0, 0.0, 0.25, 0.25, 0.5])
    likelihood = models.categorical_likelihood(mean, sizes)
    logits, x = RNG.normal(size=10), np.array([0, 1, 0, 1, 0, 1, 0, 0, 0, 1.0])
    starts = np.cumsum([0, *sizes])
    each = [np.exp(logits[a:b]) / np.exp(logits[a:b]).sum() for a, b in itertools.pairwise(starts)]
    probability = np.concatenate(each)
    output = jnp.asarray(logits, jnp.float32)
    np.testing.assert_allclose(likelihood.mean((), output), probability, rtol=1e-5)
    value = likelihood.log_prob((), output, jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(value, np.log(probability[x == 1]).sum(), rtol=1e-5)
    keys = jax.random.split(KEY, 4000)
    drawn = np.asarray(jax.vmap(lambda key: likelihood.sample((), output, key))(keys))
    for a, b in itertools.pairwise(starts):
        assert np.all(drawn[:, a:b].sum(axis=1) == 1)
    error = np.sqrt(probability * (1 - probability) / 4000) + 1e-6
    assert np.all(np.abs(drawn.mean(axis=0) - probability) < 5 * error)


LIKELIHOODS = {
    "bernoulli": (models.bernoulli_likelihood(np.array([0.1, 0.5, 0.3, 0.8])), [0, 1, 0, 0.3]),
    "gaussian": (models.gaussian_likelihood(MEAN, SCALE), [0.1, 4.0, -31.0, 2100.5]),
    "poisson": (models.poisson_likelihood(MEAN), COUNTS),
    "negative_binomial": (models.negative_binomial_likelihood(MEAN, SCALE), COUNTS),
    "categorical": (models.categorical_likelihood(np.full(4, 0.5), (2, 2)), [0, 1, 1, 0]),
}


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_missing_entries_are_left_out(name):
    """The density of the observed columns alone, and gradients that are those of that density."""
    likelihood, x = LIKELIHOODS[name]
    x, output = jnp.asarray(x, jnp.float32), 0.3 * OUTPUT
    seen = np.array([True, True, False, False])
    holes = jnp.where(seen, x, jnp.nan)
    left = models.marginalized(likelihood)
    own = likelihood.init
    whole = likelihood.log_prob(own, output, x)
    np.testing.assert_allclose(left.log_prob(own, output, x), whole, rtol=1e-5)

    def of_observed(own, output):
        return likelihood.log_prob_of_columns(own, output, x)[:2].sum()

    found = jax.value_and_grad(left.log_prob, (0, 1))(own, output, holes)
    expected = jax.value_and_grad(of_observed, (0, 1))(own, output)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5, 1e-6), found, expected)
    assert left.log_prob(own, output, jnp.full(4, jnp.nan)) == 0.0


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_a_missing_entry_enters_a_network_at_its_mean(name):
    x = LIKELIHOODS[name][1]
    recognition = models.gaussian_recognition(
        MEAN, data_scale=SCALE, latent_size=2, hidden_sizes=(5,)
    )
    eta = recognition.init(KEY)
    seen = np.array([True, False, True, False])
    holes = recognition.r(eta, jnp.where(seen, jnp.asarray(x, jnp.float32), jnp.nan))
    filled = recognition.r(eta, jnp.asarray(np.where(seen, x, MEAN), jnp.float32))
    np.testing.assert_allclose(holes.mean, filled.mean, rtol=1e-5, atol=1e-6)


def test_data_with_holes_are_refused_unless_they_are_left_out():
    likelihood = models.poisson_likelihood(MEAN)
    data = np.stack([COUNTS, np.where([0, 1, 0, 0], np.nan, COUNTS)])
    with pytest.raises(InputError, match=r"^row 1 holds nan: drop or impute that row$"):
        check_rows(data, likelihood.support)
    left = models.marginalized(likelihood).support
    check_rows(data, left)
    for value, message in ((-1.0, "lie in"), (0.5, "whole numbers"), (np.inf, "drop or impute")):
        data[0, 0] = value
        with pytest.raises(InputError, match=f"^row 0 holds {value:g}.*{message}"):
            check_rows(data, left)


def test_a_likelihood_of_no_columns_cannot_leave_them_out():
    own = models.poisson_likelihood(MEAN)._replace(log_prob_of_columns=None)
    with pytest.raises(InputError, match=r"^the likelihood has no log_prob_of_columns"):
        models.marginalized(own)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: models.poisson_likelihood(-MEAN), r"data_mean holds -0.2 at column 0 and counts"),
        (lambda: models.categorical_likelihood(np.full(4, 0.5), (2, 3)), r"num_categories \[2, 3"),
        (lambda: models.categorical_likelihood(np.full(4, 0.5), ()), r"num_categories \[\]"),
        (lambda: models.categorical_likelihood(np.full(4, 1.5), (4,)), r"data_mean leaves"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(InputError, match=f"^{message}"):
        make()
