"""Expectations over the posterior, and imputations, against a linear-Gaussian model with holes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax import models
from remjax.distributions import DiagonalGaussian, PiecewiseLinear
from remjax.errors import InputError
from remjax.evaluation import make_expectation, make_imputation, make_log_likelihood
from remjax.models import Decoder, Prior, latent_variable_model, marginalized
from remjax.types import Params, Recognition
from tests.bits_in_one_vector import networks_of_bits
from tests.linear_gaussian import LinearGaussian

EXACT = LinearGaussian(
    np.array([[1.0, 0.2], [-0.5, 0.8], [0.3, -1.0], [0.7, 0.7], [0.0, 1.2]]), np.arange(5.0), 0.6
)
PARTICLES = 4000


def model_of(exact):
    likelihood = marginalized(models.gaussian_likelihood(exact.bias, exact.scale))
    weight = jnp.asarray(exact.weight / exact.scale, jnp.float32)
    normal = DiagonalGaussian(jnp.zeros(2), jnp.ones(2))
    return latent_variable_model(
        likelihood,
        Prior(lambda _: (), lambda _: normal),
        Decoder(lambda _: (), lambda _, z: weight @ z),
    )


MODEL = model_of(EXACT)
PARAMS = Params(MODEL.init(jax.random.key(0)), ())
# Wider than every posterior of the rows below.
PRIOR = Recognition(lambda _: (), lambda _, x: DiagonalGaussian(jnp.zeros(2), jnp.ones(2)))


def with_holes(num_rows=24):
    rng = np.random.default_rng(1)
    x = EXACT.sample(1, num_rows)
    holes = rng.random(x.shape) < 0.4
    holes[0], holes[1] = False, True  # a whole row, and one of which nothing is known
    return np.where(holes, np.nan, x).astype(np.float32), holes


def conditional(x, seen):
    """(E[z | x_seen], E[x | x_seen] without noise, the standard deviations of both), float64."""
    weight, bias = EXACT.weight[seen], EXACT.bias[seen]
    covariance = np.linalg.inv(np.eye(2) + weight.T @ weight / EXACT.scale**2)
    mean = covariance @ weight.T @ (x[seen].astype(np.float64) - bias) / EXACT.scale**2
    of_x = EXACT.weight @ covariance @ EXACT.weight.T
    return (
        mean,
        EXACT.weight @ mean + EXACT.bias,
        np.sqrt(np.diagonal(covariance)),
        np.sqrt(np.diagonal(of_x)),
    )


def test_the_evidence_is_that_of_the_observed_columns():
    """L_K of 4,000 particles: the mean over the rows within five standard errors of the exact."""
    x, holes = with_holes()
    found = make_log_likelihood(MODEL, PRIOR, num_particles=PARTICLES)(PARAMS, jax.random.key(1), x)
    for row, hole, value, ess in zip(x, holes, found.log_likelihood, found.ess, strict=True):
        seen = ~hole
        part = LinearGaussian(EXACT.weight[seen], EXACT.bias[seen], EXACT.scale)
        exact = part.log_evidence(row[None, seen].astype(np.float64))[0] if seen.any() else 0.0
        # Var(log mean w) = (K / ess - 1) / K, and its bias is half of that.
        variance = 1 / ess - 1 / PARTICLES
        assert abs(value - exact) < 5 * np.sqrt(variance) + variance + 1e-4


def test_expectations_are_those_of_the_posterior_of_what_was_observed():
    """E[z | x] and E[x | x_observed], within five standard errors at the effective sample size."""
    x, holes = with_holes()
    both = make_expectation(
        MODEL,
        PRIOR,
        lambda params, z: {"z": z, "x": MODEL.mean(params.theta, z)},
        num_particles=PARTICLES,
    )(PARAMS, jax.random.key(2), x)
    assert both.value["z"].shape == (24, 2)
    for n, (row, hole) in enumerate(zip(x, holes, strict=True)):
        z, mean, z_scale, x_scale = conditional(row, ~hole)
        root = np.sqrt(both.ess[n])
        assert np.all(np.abs(both.value["z"][n] - z) < 5 * z_scale / root + 1e-5)
        assert np.all(np.abs(both.value["x"][n] - mean) < 5 * x_scale / root + 1e-5)


def test_what_is_missing_is_imputed_and_what_is_not_stays():
    x, holes = with_holes()
    filled = make_imputation(MODEL, PRIOR, num_particles=PARTICLES)(PARAMS, jax.random.key(2), x)
    assert filled.dtype == x.dtype
    np.testing.assert_array_equal(filled[~holes], x[~holes])
    assert np.all(np.isfinite(filled))
    exact = np.stack([conditional(row, ~hole)[1] for row, hole in zip(x, holes, strict=True)])
    truth = EXACT.sample(1, 24)
    by_mean = np.broadcast_to(EXACT.bias, truth.shape)
    error, least, naive = (
        np.sqrt(np.mean((guess[holes] - truth[holes]) ** 2)) for guess in (filled, exact, by_mean)
    )
    assert abs(error - least) < 0.02
    assert error < 0.95 * naive


def test_a_result_depends_on_neither_the_other_rows_nor_their_number():
    x, _ = with_holes(150)
    impute = make_imputation(MODEL, PRIOR, num_particles=100)
    done = []
    whole = impute(PARAMS, jax.random.key(2), x, done.append)
    assert sum(done) == 150
    np.testing.assert_allclose(impute(PARAMS, jax.random.key(2), x[:30]), whole[:30], 1e-5, 1e-6)


def test_an_impossible_datapoint_has_no_particles():
    never = MODEL._replace(log_likelihood=lambda theta, x, z: jnp.full((), -jnp.inf))
    found = make_expectation(never, PRIOR, lambda params, z: z, num_particles=10)(
        PARAMS, jax.random.key(0), np.zeros((2, 5), np.float32)
    )
    np.testing.assert_array_equal(found.ess, 0.0)
    np.testing.assert_array_equal(found.value, 0.0)


def test_refusals():
    with pytest.raises(InputError, match=r"^the model has no mean E\[x \| z\]"):
        make_imputation(MODEL._replace(mean=None), PRIOR)
    impute = make_imputation(MODEL, PRIOR, num_particles=10)
    with pytest.raises(InputError, match=r"^there is nothing to evaluate"):
        impute(PARAMS, jax.random.key(0), np.zeros((0, 5), np.float32))
    with pytest.raises(InputError, match=r"^row 0 holds inf"):
        impute(PARAMS, jax.random.key(0), np.full((1, 5), np.inf, np.float32))


def test_of_relaxed_bits_it_is_over_the_bits():
    """Against the sum over all four pairs; five standard errors of 4,000 weighted particles."""
    likelihood, mean = models.bernoulli_likelihood(np.full(4, 0.4)), np.full(4, 0.4)
    model, recognition = networks_of_bits(likelihood, mean, 2, relaxation=PiecewiseLinear(1.0))
    keys = jax.random.split(jax.random.key(0))
    params = Params(model.init(keys[0]), recognition.init(keys[1]))
    x = np.array([[1.0, 0.0, 1.0, 1.0]], np.float32)
    pairs = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    log_joint = jax.vmap(model.joint(params.theta, jnp.asarray(x[0])))(pairs)
    both = np.asarray(jax.nn.softmax(log_joint))[3]

    expect = make_expectation(model, recognition, lambda _, z: z[0] * z[1], num_particles=PARTICLES)
    found = expect(params, jax.random.key(1), x)
    error = np.sqrt(both * (1.0 - both) / found.ess[0])
    assert abs(found.value[0] - both) < 5 * error
