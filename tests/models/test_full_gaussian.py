"""A recognition network with a full covariance learns the correlations of an exact posterior."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from remjax import Particles, make_estimator, methods
from remjax.errors import InputError
from remjax.models import full_gaussian_recognition
from remjax.types import Batch, Params
from tests import linear_gaussian

TRUTH = linear_gaussian.example(latent_size=3, data_size=5)
LINEAR = full_gaussian_recognition(np.zeros(5), latent_size=3, hidden_sizes=())


def test_it_learns_the_exact_posterior(key):
    """Maximum likelihood of z given x under pairs of the model itself, a linear network."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(1_000, 3))
    x = z @ TRUTH.weight.T + TRUTH.bias + TRUTH.scale * rng.normal(size=(1_000, 5))
    z, x = jnp.asarray(z, jnp.float32), jnp.asarray(x, jnp.float32)
    optimizer = optax.adam(optax.linear_schedule(0.05, 0.0, 2_000))

    @jax.jit
    def fit(eta):
        def loss(eta):
            log_r = jax.vmap(lambda x, z: LINEAR.r(eta, x).log_prob(z))(x, z)
            return -jnp.mean(log_r)

        def step(_, carry):
            eta, state = carry
            updates, state = optimizer.update(jax.grad(loss)(eta), state)
            return optax.apply_updates(eta, updates), state

        return jax.lax.fori_loop(0, 2_000, step, (eta, optimizer.init(eta)))[0]

    eta = fit(LINEAR.init(key))
    r = LINEAR.r(eta, x[0])
    covariance = np.asarray(r.scale_tril @ r.scale_tril.T)
    exact = TRUTH.posterior_covariance
    off = ~np.eye(3, dtype=bool)
    assert np.abs(exact[off]).max() > 0.05
    # A thousand pairs tell a covariance to about 1 / sqrt(500) of its size.
    assert np.allclose(covariance, exact, atol=0.15 * np.diag(exact).max())
    assert np.allclose(r.mean, TRUTH.posterior_mean(np.asarray(x[:1]))[0], atol=0.15)


@pytest.mark.parametrize("method", [methods.vae(analytic_kl=True), methods.dreg, methods.rem_v1()])
def test_methods_take_it(method, key):
    estimator = make_estimator(linear_gaussian.model(TRUTH), LINEAR, method, Particles(4))
    params, state = estimator.init(key)
    batch = Batch(jnp.asarray(TRUTH.sample(0, 3), jnp.float32), jnp.arange(3))

    @jax.jit
    def gradient(eta):
        estimate, _ = estimator.estimate(Params(params.theta, eta), state, key, batch)
        return estimate.eta_loss

    slopes = jax.grad(gradient)(params.eta)
    assert all(np.isfinite(leaf).all() and leaf.any() for leaf in jax.tree.leaves(slopes))


def test_one_latent_has_no_correlations(key):
    recognition = full_gaussian_recognition(np.zeros(5), latent_size=1, hidden_sizes=(4,))
    r = recognition.r(recognition.init(key), jnp.ones(5))
    assert r.scale_tril.shape == (1, 1)


def test_wrong_shape(key):
    with pytest.raises(InputError, match="shape"):
        LINEAR.r(LINEAR.init(key), jnp.ones(4))
