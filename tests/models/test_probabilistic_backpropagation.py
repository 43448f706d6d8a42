"""Moments of rectified Gaussians by quadrature, the exact posterior of a linear model, a fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from remjax.models.probabilistic_backpropagation import (
    GaussianWeights,
    assumed_density_step,
    gaussian_weights,
    predicted,
    probabilistic_backpropagation,
    relu_moments,
)


@pytest.mark.parametrize("variance", [1e-4, 1.0, 50.0])
def test_moments_of_a_rectified_gaussian(variance):
    scale = np.sqrt(variance)
    means = scale * np.array([-4.0, -1.0, 0.0, 0.5, 4.0])
    first, second = relu_moments(jnp.asarray(means), jnp.full(5, variance))
    for mean, ours, spread in zip(means, first, second, strict=True):

        def moment(power, mean=mean):
            density = scipy.stats.norm(mean, scale).pdf
            return scipy.integrate.quad(
                lambda a: a**power * density(a), 0.0, max(mean, 0.0) + 12 * scale
            )[0]

        np.testing.assert_allclose(ours, moment(1), rtol=1e-3, atol=1e-6 * scale)
        expected = moment(2) - moment(1) ** 2
        np.testing.assert_allclose(spread, expected, rtol=2e-3, atol=1e-5 * variance)


def test_moments_far_from_zero_are_finite_with_their_gradients():
    means, variances = jnp.array([-1e4, 1e4, 0.0, -3.0]), jnp.array([1.0, 1.0, 0.0, 1e-12])
    with jax.debug_nans(True):
        first, second = relu_moments(means, variances)
        slope = jax.grad(lambda m: jnp.sum(relu_moments(m, variances)[0]))(means)
    np.testing.assert_allclose(first, [0.0, 1e4, 0.0, 0.0], atol=1e-5)
    np.testing.assert_allclose(second, [0.0, 1.0, 0.0, 0.0], atol=1e-5)
    assert np.isfinite(slope).all()


def test_one_datapoint_of_a_linear_model_is_exact():
    """Without a hidden layer: the marginals of the Gaussian posterior, in float64."""
    mean, variance = np.array([0.3, -0.2, 0.5]), np.array([1.0, 0.5, 2.0])
    weights = GaussianWeights((jnp.asarray(mean[None]),), (jnp.asarray(variance[None]),))
    x, y, noise = np.array([0.7, -1.1]), 1.4, 0.3
    found = assumed_density_step(weights, jnp.asarray(x), jnp.asarray(y), noise)
    features = np.append(x, 1.0) / np.sqrt(3)
    of_y = features**2 @ variance + noise
    gain = variance * features / of_y
    np.testing.assert_allclose(found.means[0][0], mean + gain * (y - features @ mean), rtol=1e-5)
    np.testing.assert_allclose(found.variances[0][0], variance - gain**2 * of_y, rtol=1e-5)


def test_a_curve_is_learned_and_uncertain_where_nothing_was_seen():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1.0, 1.0, size=(200, 1))
    y = 2.0 * np.abs(x[:, 0]) - 1.0 + 0.1 * rng.normal(size=200)
    weights = gaussian_weights(jax.random.key(0), (1, 20, 1))
    run = jax.jit(lambda w, x, y: probabilistic_backpropagation(w, x, y, 0.01))
    for _ in range(10):
        weights = run(weights, jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32))
    grid = jnp.linspace(-1.0, 1.0, 21)[:, None]
    mean, variance = jax.vmap(lambda one: predicted(weights, one))(grid)
    error = np.sqrt(np.mean((np.asarray(mean) - (2.0 * np.abs(grid[:, 0]) - 1.0)) ** 2))
    assert error < 0.25  # a constant has 0.6
    assert all((leaf > 0.0).all() for leaf in weights.variances)
    assert predicted(weights, jnp.array([4.0]))[1] > 2.0 * variance.max()
