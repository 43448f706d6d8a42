"""Gaussian weights through their activations: distributions, gradients, divergence, learning."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from remjax.data import load
from remjax.data.binarization import per_minibatch
from remjax.errors import InputError
from remjax.methods import Particles, make_estimator, vae
from remjax.models.likelihoods import bernoulli_likelihood
from remjax.models.networks import pure
from remjax.models.uncertain import (
    UncertainLinear,
    uncertain_gaussian_networks,
    weight_divergence,
    with_weight_divergence,
)
from remjax.training import adam, init_train_state, make_epoch, metric_means
from remjax.types import Batch

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(4, 3)), jnp.float32)
INIT, BIND = pure(lambda rngs: UncertainLinear(3, 2, initial_scale=0.5, rngs=rngs))


def sampled(params, noise, x):
    """The layer with weights drawn once for all datapoints; noise [3, 2]."""
    weights = params["mean"] + jnp.exp(0.5 * params["log_variance"]) * noise
    return x @ weights + params["bias"]


def test_activations_are_distributed_as_sampled_weights_make_them(key):
    """20,000 draws of either; means within five errors, variances within five of theirs."""
    params = INIT(key)
    noise = jax.random.normal(key, (20_000, 4, 2))
    local = jax.vmap(lambda noise: BIND(params)(X, noise))(noise)
    noise = jax.random.normal(jax.random.key(1), (20_000, 3, 2))
    through_weights = jax.vmap(lambda noise: sampled(params, noise, X))(noise)
    loc = np.asarray(X @ params["mean"] + params["bias"])
    scale = np.sqrt(np.asarray(jnp.square(X) @ jnp.exp(params["log_variance"])))
    for draws in (local, through_weights):
        assert np.all(np.abs(np.mean(draws, axis=0) - loc) < 5 * scale / np.sqrt(20_000))
        assert np.all(np.abs(np.var(draws, axis=0) / scale**2 - 1) < 5 * np.sqrt(2 / 20_000))


def test_gradient_variance_falls_with_the_batch_only_with_local_noise(key):
    """The same 4 datapoints 16 times over: local noise is independent, a drawn weight is common.

    The variance falls by 16 with local noise and by nothing with drawn weights, up to five standard
    errors of a ratio of two variances from 1,000 draws of nearly normal sums.
    """
    params, target = INIT(key), jnp.asarray(RNG.normal(size=(4, 2)), jnp.float32)

    @functools.partial(jax.jit, static_argnums=(0, 1))
    def gradient_variance(layer, times):
        x, y = jnp.tile(X, (times, 1)), jnp.tile(target, (times, 1))

        def gradient(key):
            shape = (3, 2) if layer is sampled else (4 * times, 2)
            noise = jax.random.normal(key, shape)

            def loss(params):
                return jnp.mean(jnp.sum(jnp.square(layer(params, noise, x) - y), axis=1))

            return jax.grad(loss)(params)["mean"]

        return jnp.var(jax.vmap(gradient)(jax.random.split(key, 1000)), axis=0)

    def local(params, noise, x):
        return BIND(params)(x, noise)

    error = 5 * np.sqrt(2 * 2 / 1000)
    ratio = gradient_variance(local, 1) / gradient_variance(local, 16)
    assert np.all(np.abs(np.log(ratio / 16)) < error)
    ratio = gradient_variance(sampled, 1) / gradient_variance(sampled, 16)
    np.testing.assert_allclose(ratio, 1.0, rtol=1e-3)


def test_divergence_against_integration():
    mean, scale, prior_scale = np.array([0.3, -1.2]), np.array([0.5, 0.1]), 0.7

    def integrand(w, mean, scale):
        q = scipy.stats.norm(mean, scale)
        return q.pdf(w) * (q.logpdf(w) - scipy.stats.norm(0, prior_scale).logpdf(w))

    expected = sum(
        scipy.integrate.quad(integrand, m - 10 * s, m + 10 * s, args=(m, s))[0]
        for m, s in zip(mean, scale, strict=True)
    )
    layer = {"mean": jnp.asarray(mean), "log_variance": jnp.asarray(2 * np.log(scale))}
    params = {"layers": [{**layer, "bias": jnp.ones(2)}], "head": {"kernel": jnp.ones(3)}}
    np.testing.assert_allclose(weight_divergence(params, prior_scale), expected, rtol=1e-5)
    assert weight_divergence({"head": {"kernel": jnp.ones(3)}}) == 0.0


def networks(**options):
    return uncertain_gaussian_networks(
        bernoulli_likelihood(np.full(64, 0.5)), np.zeros(64), latent_size=3, hidden_sizes=(16,),
        **options,
    )  # fmt: skip


def test_divergence_reaches_the_loss_of_its_weights_alone(key):
    """An N-th of it, on the uncertain encoder; the certain decoder moves as it did."""
    model, recognition = networks(decoder=False)
    plain = make_estimator(model, recognition, vae(), Particles(1))
    whole = with_weight_divergence(plain, num_data=10, prior_scale=0.7)
    params, _ = jax.jit(whole.init)(key)
    batch = Batch(jnp.ones((2, 64)), jnp.arange(2))

    @jax.jit
    def added(params):
        def total(params, estimator):
            estimate, _ = estimator.estimate(params, (), key, batch)
            return estimate.theta_loss + estimate.eta_loss, estimate.metrics

        more, metrics = jax.grad(total, has_aux=True)(params, whole)
        less, _ = jax.grad(total, has_aux=True)(params, plain)
        expected = jax.grad(lambda params: weight_divergence(params.eta, 0.7) / 10)(params)
        divergence = weight_divergence(params.eta, 0.7)
        return jax.tree.map(jnp.subtract, more, less), expected, metrics, divergence

    difference, expected, metrics, divergence = added(params)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-5), difference, expected
    )
    np.testing.assert_allclose(metrics["weight_divergence"], divergence, rtol=1e-5)


def test_digits_are_learned(key):
    """From a half per pixel, -44 nats: below -30 are models of single pixels. Twelve epochs."""
    images = load("digits").train[:1000]
    model, recognition = networks(initial_scale=0.02)
    estimator = with_weight_divergence(
        make_estimator(model, recognition, vae(), Particles(1)), num_data=len(images)
    )
    optimizer = adam(5e-3)
    state = init_train_state(estimator, optimizer, key, images)
    epoch = make_epoch(
        estimator, optimizer, num_data=1000, batch_size=50, binarization=per_minibatch
    )
    bounds, divergences = [], []
    for epochs in (1, 11):
        state = epoch(state, images, epochs * 20)
        bounds.append(metric_means(state)["log_evidence"])
        divergences.append(metric_means(state)["weight_divergence"])
    assert bounds[1] > max(bounds[0] + 5, -30)
    assert divergences[1] < divergences[0]


def test_errors():
    with pytest.raises(InputError, match="all weights are certain: use gaussian_model"):
        networks(encoder=False, decoder=False)
    with pytest.raises(InputError, match=r"initial_scale is 0\.0: give a positive one"):
        networks(initial_scale=0.0)
    with pytest.raises(InputError, match="give positive numbers"):
        with_weight_divergence(make_estimator(*networks(), vae(), Particles(1)), num_data=0)
