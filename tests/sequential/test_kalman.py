"""The exact filter and smoother against one big Gaussian in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax.sequential import kalman_filter, kalman_smoother, linear_gaussian_model
from tests.sequential import exact

TRUTH = exact.example()
MODEL = linear_gaussian_model(latent_size=2, data_size=3)
X = np.asarray(MODEL.sample(TRUTH.theta, jax.random.key(3), 6)[1])
SMOOTHER = jax.jit(kalman_smoother)


def with_missing(*rows):
    x = X.copy()
    x[list(rows)] = np.nan
    return x


@pytest.mark.parametrize(
    "x",
    [X, with_missing(2), with_missing(0, 3), with_missing(4, 5), with_missing(1, 5)],
    ids=["whole", "a gap", "from the second on", "ended", "a gap and ended"],
)
def test_smoother_is_the_conditional_of_the_big_gaussian(x):
    with jax.debug_nans(False):
        found = SMOOTHER(TRUTH.theta, jnp.asarray(x))
    log_p, mean, covariance = TRUTH.posterior(x)
    last = np.flatnonzero(~np.isnan(x).all(axis=1))[-1] + 1
    np.testing.assert_allclose(found.log_evidence, log_p, rtol=1e-5)
    np.testing.assert_allclose(found.mean[:last], mean[:last], atol=1e-4)
    np.testing.assert_allclose(found.covariance[:last], covariance[:last], atol=1e-4)


def test_filter_knows_the_past_alone():
    found = jax.jit(kalman_filter)(TRUTH.theta, jnp.asarray(X))
    for step in (0, 2, 5):
        _, mean, covariance = TRUTH.posterior(X[: step + 1])
        np.testing.assert_allclose(found.mean[step], mean[-1], atol=1e-4)
        np.testing.assert_allclose(found.covariance[step], covariance[-1], atol=1e-4)


def test_one_step_and_the_gradient_with_a_gap():
    found = kalman_filter(TRUTH.theta, jnp.asarray(X[:1]))
    np.testing.assert_allclose(found.log_evidence, TRUTH.posterior(X[:1])[0], rtol=1e-5)
    gap = jnp.asarray(with_missing(1, 4, 5))
    gradient = jax.jit(jax.grad(lambda theta: kalman_filter(theta, gap).log_evidence))(TRUTH.theta)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
