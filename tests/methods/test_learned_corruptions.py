"""Learned corruptions: expected gradients by enumeration and in closed form, and the warning."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax.distributions import Flips, GaussianNoise, Masking, SaltAndPepper
from remjax.errors import InputError
from remjax.methods import make_learned_denoising_estimator
from remjax.models import bernoulli_likelihood, denoising_model
from remjax.particles import log_mean_exp
from remjax.training import adam, init_train_state, make_epoch
from remjax.types import Batch, DenoisingModel, Params
from tests import denoising_tables as tables
from tests.gradients import assert_mean

STATES = jnp.asarray(tables.STATES, jnp.float32)
MEAN = tables.DATA @ tables.STATES
NETWORK = denoising_model(bernoulli_likelihood(MEAN), MEAN, hidden_sizes=(3,))
THETA = jax.tree.map(lambda leaf: 3.0 * leaf, NETWORK.init(jax.random.key(1)))
KINDS = (SaltAndPepper(0.5), Masking(0.4), Flips(0.2))

# Part D of the note on Bachman & Precup: x ~ N(0, 1), zbar = x + SIGMA noise, p = N(SLOPE zbar, T).
SIGMA, SLOPE, T = 0.7, 0.6, 0.4
INFORMATION = 0.5 * np.log1p(SIGMA**-2)
OF_INFORMATION = -1.0 / (SIGMA * (SIGMA**2 + 1.0))
OF_EQUATION_9 = SLOPE**2 * SIGMA / T


def log_normal(theta, x, zbar):
    slope, variance = theta
    squared = jnp.square(x[0] - slope * zbar[0])
    return -0.5 * squared / variance - 0.5 * jnp.log(2.0 * jnp.pi * variance)


GAUSSIAN = DenoisingModel(
    init=lambda key: (jnp.asarray(SLOPE), jnp.asarray(T)),
    log_likelihood=log_normal,
    sample=lambda theta, key, zbar: theta[0] * zbar + jnp.sqrt(theta[1]) * jax.random.normal(key),
)


@functools.cache
def gaussian_rows(information, batch_size, num_keys):
    """(derivatives in sigma, metrics) of many batches, each with data of its own."""
    estimator = make_learned_denoising_estimator(
        GAUSSIAN, GaussianNoise(SIGMA), information=information
    )
    params = estimator.init(jax.random.key(0))[0]

    def one(key):
        key_x, key = jax.random.split(key)
        batch = Batch(jax.random.normal(key_x, (batch_size, 1)), jnp.arange(batch_size))

        def loss(eta):
            estimate, _ = estimator.estimate(params._replace(eta=eta), (), key, batch)
            return estimate.eta_loss, estimate.metrics

        return jax.grad(loss, has_aux=True)(params.eta)

    keys = jax.random.split(jax.random.key(batch_size), num_keys)
    slopes, metrics = jax.jit(lambda keys: jax.lax.map(one, keys, batch_size=8))(keys)
    # eta is the log of sigma.
    return np.asarray(slopes, np.float64) / SIGMA, jax.tree.map(np.asarray, metrics)


def test_the_closed_form_of_the_gaussian():
    """The figures of the note: -0.33 in all, of which Eq. 9 gives +0.63 and I the rest, -0.96."""
    np.testing.assert_allclose(OF_EQUATION_9, 0.63)
    np.testing.assert_allclose(OF_INFORMATION, -0.96, atol=0.005)

    def bound(sigma):
        expected = ((1 - SLOPE) ** 2 + SLOPE**2 * sigma**2) / (2 * T) + 0.5 * np.log(2 * np.pi * T)
        return expected + 0.5 * np.log1p(sigma**-2)

    slope = (bound(SIGMA + 1e-5) - bound(SIGMA - 1e-5)) / 2e-5
    np.testing.assert_allclose(slope, OF_EQUATION_9 + OF_INFORMATION, atol=1e-6)
    np.testing.assert_allclose(slope, -0.33, atol=0.005)


def test_the_whole_bound_has_the_true_gradient():
    """256 batches of 400: five standard errors, and 0.01 for the estimate of I within a batch."""
    slopes, metrics = gaussian_rows(1.0, 400, 256)
    assert_mean((slopes,), (OF_EQUATION_9 + OF_INFORMATION,), bias=0.01)
    error = metrics["information"].std() / np.sqrt(256)
    assert abs(metrics["information"].mean() - INFORMATION) < 5 * error + 0.01
    exact = -((1 - SLOPE) ** 2 + SLOPE**2 * SIGMA**2) / (2 * T) - 0.5 * np.log(2 * np.pi * T)
    error = metrics["log_likelihood"].std() / np.sqrt(256)
    assert abs(metrics["log_likelihood"].mean() - exact) < 5 * error
    assert slopes.std() / np.sqrt(256) < 0.02


def test_equation_9_alone_has_another():
    """Of the other sign: it takes noise away where the bound would add some."""
    slopes, _ = gaussian_rows(0.0, 400, 256)
    assert_mean((slopes,), (OF_EQUATION_9,), bias=1e-6)


def test_the_estimate_of_the_information_is_low():
    """With batches of 2, 8, 32 and 400 it rises to I; of B datapoints it is never above log B."""
    means = []
    for size in (2, 8, 32, 400):
        _, metrics = gaussian_rows(1.0, size, 256)
        assert metrics["information"].max() <= np.log(size) + 1e-5
        means.append(metrics["information"].mean())
        error = metrics["information"].std() / 16
        assert means[-1] < INFORMATION + 5 * error
    assert np.all(np.diff(means) > 0.0)
    assert means[0] < INFORMATION - 0.2


def enumerated_loss(corruption, eta, x, information):
    """E of -log p(x | zbar) + information * (log q(zbar | x) - log mean_j q(zbar | x_j)).

    Over every zbar of each datapoint of the batch x.
    """
    q = corruption.at(eta)
    log_q = jax.vmap(jax.vmap(q.log_prob, (0, None)), (None, 0))(STATES, x)
    log_p = jax.vmap(jax.vmap(NETWORK.log_likelihood, (None, None, 0)), (None, 0, None))
    held = jax.lax.stop_gradient(log_p(THETA, x, STATES))
    terms = information * (log_q - log_mean_exp(log_q.T)[None]) - held
    # Impossible ones weigh nothing.
    terms = jnp.where(jnp.isfinite(log_q), terms, 0.0)
    return jnp.mean(jnp.sum(jnp.exp(log_q) * terms, axis=1))


@pytest.mark.parametrize("information", [0.0, 1.0])
@pytest.mark.parametrize("start", KINDS, ids=lambda one: type(one).__name__)
def test_expected_gradient_of_a_mass_function(start, information):
    """A batch of three, by enumeration of what can become of each; 20,000 keys, five errors."""
    x, eta = STATES[jnp.asarray([3, 6, 15])], start.parameter
    estimator = make_learned_denoising_estimator(
        NETWORK, start, num_particles=2, information=information
    )

    @jax.jit
    @jax.vmap
    def gradients(key):
        def loss(eta):
            batch = Batch(x, jnp.arange(3))
            estimate, _ = estimator.estimate(Params(THETA, eta), (), key, batch)
            return estimate.eta_loss, estimate.metrics["information"]

        return jax.grad(loss, has_aux=True)(eta)

    rows, values = gradients(jax.random.split(jax.random.key(0), 20_000))
    exact = jax.grad(lambda eta: enumerated_loss(start, eta, x, information))(eta)
    rows = np.asarray(rows, np.float64)
    assert_mean((rows,), (exact,), bias=1e-5)
    assert abs(float(exact)) > 10 * rows.std() / np.sqrt(len(rows))
    whole = enumerated_loss(start, eta, x, 1.0) - enumerated_loss(start, eta, x, 0.0)
    assert_mean((np.asarray(values, np.float64),), (whole,), bias=1e-5)


@pytest.mark.parametrize("start", [*KINDS, GaussianNoise(0.4)], ids=lambda one: type(one).__name__)
def test_each_loss_moves_its_own_parameters(key, start):
    learned = make_learned_denoising_estimator(NETWORK, start, num_particles=2)
    batch, params = Batch(STATES[:5], jnp.arange(5)), Params(THETA, start.parameter)

    def gradient(part):
        return jax.grad(lambda params: getattr(learned.estimate(params, (), key, batch)[0], part))(
            params
        )

    of_theta = gradient("theta_loss")
    np.testing.assert_array_equal(of_theta.eta, 0.0)
    of_eta = gradient("eta_loss")
    assert all(np.all(leaf == 0.0) for leaf in jax.tree.leaves(of_eta.theta))
    assert np.isfinite(of_eta.eta)
    assert of_eta.eta != 0.0
    assert any(np.any(leaf != 0.0) for leaf in jax.tree.leaves(of_theta.theta))


def test_equation_9_pushes_the_noise_to_zero_and_the_bound_does_not():
    """The warning: 300 updates of theta and eta together, from a rate of 0.3.

    Under the bound the noise grows while the model does not know the data yet, and stays.
    """
    rows = np.repeat(tables.STATES.astype(np.float32), np.round(500 * tables.DATA).astype(int), 0)
    start, rates = Flips(0.3), []
    for information in (0.0, 1.0):
        estimator = make_learned_denoising_estimator(
            tables.table_model(), start, num_particles=4, information=information
        )
        optimizer = adam(0.02)
        state = init_train_state(estimator, optimizer, jax.random.key(0), rows)
        epoch = make_epoch(estimator, optimizer, num_data=len(rows), batch_size=50)
        state = epoch(state, rows, 300)
        assert state.skipped_updates == 0
        rates.append(float(start.at(state.params.eta).rate))
    assert rates[0] < 0.02
    assert rates[1] > 0.3


@pytest.mark.parametrize("start", [SaltAndPepper(0.2), GaussianNoise(0.2)], ids=["grains", "noise"])
def test_datapoints_that_can_be_told_apart_say_nothing_of_the_noise(key, start):
    """As images mostly can: the estimate is log B, and eta moves as with Eq. 9."""
    size, mean = 8, np.full(100, 0.5)
    x = jax.random.bernoulli(key, 0.5, (size, 100)).astype(float)
    model = denoising_model(bernoulli_likelihood(mean), mean, hidden_sizes=(3,))
    params = Params(model.init(key), start.parameter)
    slopes = []
    for information in (0.0, 1.0):
        estimator = make_learned_denoising_estimator(
            model, start, num_particles=4, information=information
        )

        def loss(eta, estimator=estimator):
            batch = Batch(x, jnp.arange(size))
            estimate, _ = estimator.estimate(params._replace(eta=eta), (), key, batch)
            return estimate.eta_loss, estimate.metrics["information"]

        slope, estimated = jax.grad(loss, has_aux=True)(params.eta)
        np.testing.assert_allclose(estimated, np.log(size), atol=1e-4)
        slopes.append(float(slope))
    np.testing.assert_allclose(*slopes, rtol=1e-2)
    assert abs(slopes[0]) > 0.01


def test_what_cannot_be_learned_is_one_line():
    for start in KINDS:
        with pytest.raises(
            InputError, match=r"^num_particles is 1: each draw of .* so give 2 or mo"
        ):
            make_learned_denoising_estimator(NETWORK, start)
    for wrong in (-1.0, np.nan, np.inf):
        with pytest.raises(InputError, match=r"^information is .*: give 1 for the bound, or 0 for"):
            make_learned_denoising_estimator(NETWORK, GaussianNoise(1.0), information=wrong)
    for rate in (0.0, 1.0):
        with pytest.raises(
            InputError, match=r"^a rate of Flips to start from is 0 or 1, which never"
        ):
            make_learned_denoising_estimator(NETWORK, Flips(rate), num_particles=2)
    with pytest.raises(InputError, match=r"^num_particles is 0"):
        make_learned_denoising_estimator(NETWORK, GaussianNoise(1.0), num_particles=0)
