"""Activity and divergence of latents: in closed form, and of a hierarchy whose own are known."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from remjax.distributions import DiagonalGaussian
from remjax.distributions.layers import Layers
from remjax.errors import InputError
from remjax.evaluation.latents import active_units, latent_use
from remjax.types import Model, Params, Recognition
from tests import linear_gaussian

TRUTH = linear_gaussian.example()
MODEL = linear_gaussian.model(TRUTH)
DIAGONAL = linear_gaussian.diagonal_recognition(TRUTH)
DATA = TRUTH.sample(0, 45)
X = jnp.asarray(DATA, jnp.float32)


def test_one_layer_is_in_closed_form(key):
    gain = np.array(TRUTH.gain)
    gain[1] *= 1e-3
    eta = {**TRUTH.inclusive_eta, "gain": jnp.asarray(gain, jnp.float32)}
    params = TRUTH.params(eta)
    mean = DATA @ gain.T + np.asarray(eta["offset"], np.float64)
    variance = np.exp(2 * np.asarray(eta["log_scale"], np.float64))
    divergence = 0.5 * np.sum(mean**2 + variance - 1 - np.log(variance), axis=1)
    use = latent_use(MODEL, DIAGONAL, params, key, X, num_samples=2)
    np.testing.assert_allclose(use.activity, mean.var(axis=0, ddof=1), rtol=1e-4)
    np.testing.assert_allclose(use.kl_to_prior, divergence.mean(), rtol=1e-5)
    assert use.active_units() == 1
    assert use.active_units_per_layer() == [1]
    assert use.active_units(threshold=0.0) == 2
    assert active_units(DIAGONAL, params, key, X, num_samples=2) == 1


# Two layers: r is z_1 ~ N(G x, 1), z_2 ~ N(W z_1, 0.5^2); the prior is z_2 ~ N(0, 1),
# z_1 ~ N(V z_2, 0.8^2). All is linear and Gaussian, so everything is exact in float64.
RNG = np.random.default_rng(0)
G, W, V = RNG.normal(size=(2, 3)), RNG.normal(size=(1, 2)), RNG.normal(size=(2, 1))
SAMPLES = 20


def array(value):
    return jnp.asarray(value, jnp.float32)


def linear(scale):
    return lambda weight, given: DiagonalGaussian(
        weight @ given[-1], jnp.full(weight.shape[0], scale)
    )


def prior(theta):
    top = DiagonalGaussian(jnp.zeros(1), jnp.ones(1))
    return Layers(top, (Partial(linear(0.8), theta),), top_down=True)


LAYERED = Model(
    init=lambda key: array(V),
    log_prior=lambda theta, z: prior(theta).log_prob(z),
    log_likelihood=lambda theta, x, z: jnp.zeros(()),
    sample=lambda theta, key: (prior(theta).sample(key), jnp.zeros(3)),
)
BOTTOM_UP = Recognition(
    init=lambda key: (array(G), array(W)),
    distribution=lambda eta, x: Layers(
        DiagonalGaussian(eta[0] @ x, jnp.ones(2)), (Partial(linear(0.5), eta[1]),)
    ),
)
LAYERED_PARAMS = Params(array(V), (array(G), array(W)))


def exact_divergences():
    """KL of the joint Gaussians over (z_1, z_2), per datapoint."""
    up = np.block([[np.eye(2), np.zeros((2, 1))], [W, np.eye(1)]])
    down = np.block([[np.eye(2), V], [np.zeros((1, 2)), np.eye(1)]])
    cov_r = up @ np.diag([1.0, 1.0, 0.25]) @ up.T
    precision = np.linalg.inv(down @ np.diag([0.64, 0.64, 1.0]) @ down.T)
    mean = DATA @ (up @ np.vstack([G, np.zeros((1, 3))])).T
    square = np.einsum("nd,de,ne->n", mean, precision, mean)
    logs = np.linalg.slogdet(precision)[1] + np.linalg.slogdet(cov_r)[1]
    constant = np.trace(precision @ cov_r) - 3 - logs
    # Var_r(log r - log p) of a difference of two quadratics, for the error of the average.
    change = precision - np.linalg.inv(cov_r)
    slope = mean @ precision
    variance = 0.5 * np.trace(change @ cov_r @ change @ cov_r)
    variance = variance + np.einsum("nd,de,ne->n", slope, cov_r, slope)
    return 0.5 * (square + constant), variance


def test_two_layers_come_within_their_error(key):
    """20 draws for each of 45 datapoints; five standard errors, derived in closed form."""
    use = latent_use(LAYERED, BOTTOM_UP, LAYERED_PARAMS, key, X, num_samples=SAMPLES)
    np.testing.assert_allclose(use.activity[0], (DATA @ G.T).var(axis=0, ddof=1), rtol=1e-4)
    exact = (DATA @ (W @ G).T).var(axis=0, ddof=1)
    noise = 2 * np.sum(W**2) / SAMPLES  # Var(W z_1 | x) of an average over half of the draws
    error = np.sqrt((2 * exact * noise + noise**2) / len(DATA))
    assert np.all(np.abs(use.activity[1] - exact) < 5 * error)
    divergence, variance = exact_divergences()
    error = np.sqrt(np.sum(variance) / SAMPLES) / len(DATA)
    assert abs(use.kl_to_prior - divergence.mean()) < 5 * error


def test_noise_of_the_draws_does_not_wake_a_latent(key):
    """z_2 follows z_1, which does not follow x: one draw of z_1 would give A_2 = sum W^2."""
    params = LAYERED_PARAMS._replace(eta=(array(1e-3 * G), array(W)))
    use = latent_use(LAYERED, BOTTOM_UP, params, key, X, num_samples=400)
    noise = 2 * np.sum(W**2) / 400
    assert abs(use.activity[1][0]) < 5 * noise / np.sqrt(len(DATA)) + 1e-4
    assert use.active_units_per_layer() == [0, 0]
    assert use.active_units() == active_units(BOTTOM_UP, params, key, X, num_samples=400) == 0


def test_errors(key):
    params = TRUTH.params(TRUTH.inclusive_eta)
    with pytest.raises(InputError, match="two datapoints"):
        latent_use(MODEL, DIAGONAL, params, key, X[:1])
    with pytest.raises(InputError, match="num_samples is 1: give 2 or more"):
        active_units(DIAGONAL, params, key, X, num_samples=1)
