"""Categorical latents in one layer and in several: by enumeration, samples, sizes."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, log_softmax

from remjax import models
from remjax.errors import InputError

RNG = np.random.default_rng(0)
MEAN = RNG.uniform(0.2, 0.8, size=4)
X = np.array([1.0, 0.0, 0.0, 1.0])
LIKELIHOOD = models.bernoulli_likelihood(MEAN)
ONE = {"latent_size": 2, "num_categories": 3, "hidden_sizes": (5,)}
TWO = {"latent_sizes": (2, 1), "num_categories": 3}


def array(value):
    return jnp.asarray(value, jnp.float32)


def start(model, recognition, key):
    """theta and eta away from zero biases and even priors, so that no term can be forgotten."""
    leaves, structure = jax.tree.flatten((model.init(key), recognition.init(key)))
    return jax.tree.unflatten(
        structure, [leaf + array(0.3 * RNG.normal(size=leaf.shape)) for leaf in leaves]
    )


def mlp(params, x):
    """tanh layers and a linear head, in float64."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    hidden = params.get("hidden", {})
    for place in range(len(hidden)):
        x = np.tanh(x @ hidden[place]["kernel"] + hidden[place]["bias"])
    return x @ params["head"]["kernel"] + params["head"]["bias"]


def one_hot_log_prob(logits, z):
    logits = np.asarray(logits, np.float64)
    return np.sum(z.reshape(-1, 3) * log_softmax(logits.reshape(-1, 3), axis=-1))


def bits_log_prob(logits, x):
    return np.sum(x * logits - np.logaddexp(0.0, logits))


def every_z(num_variables):
    """Every latent of this many variables of three categories."""
    places = itertools.product(range(3), repeat=num_variables)
    return [np.eye(3)[list(place)].ravel() for place in places]


def scores(model, recognition, theta, eta, z):
    """[latents, 3]: log prior, log likelihood of X, log r."""

    def of(z):
        joint, r = model.joint(theta, array(X)), recognition.distribution(eta, array(X))
        return joint.log_prior(z), joint.log_likelihood(z), r.log_prob(z)

    return np.stack(jax.jit(jax.vmap(of))(z), axis=1)


def test_one_layer_by_enumeration(key):
    model = models.categorical_model(LIKELIHOOD, **ONE)
    recognition = models.categorical_recognition(MEAN, **ONE)
    theta, eta = start(model, recognition, key)
    latents, expected = every_z(2), []
    for z in latents:
        prior = one_hot_log_prob(theta["prior"], z)
        likelihood = bits_log_prob(mlp(theta["network"], z), X)
        expected.append((prior, likelihood, one_hot_log_prob(mlp(eta, X - MEAN), z)))
    found = scores(model, recognition, theta, eta, array(latents))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.exp(found)[:, [0, 2]].sum(axis=0), 1.0, rtol=1e-5)
    r = recognition.distribution(eta, array(X))
    closed = r.kl_divergence(model.prior(theta))
    by_hand = np.exp(found[:, 2]) @ (found[:, 2] - found[:, 0])
    np.testing.assert_allclose(closed, by_hand, rtol=1e-4)


def test_several_layers_by_enumeration(key):
    model = models.deep_categorical_model(LIKELIHOOD, **TWO)
    recognition = models.deep_categorical_recognition(MEAN, **TWO)
    theta, eta = start(model, recognition, key)
    latents, expected = list(itertools.product(every_z(2), every_z(1))), []
    for z1, z2 in latents:
        prior = one_hot_log_prob(theta["prior"]["top"], z2)
        prior += one_hot_log_prob(mlp(theta["prior"]["conditionals"][0], z2), z1)
        likelihood = bits_log_prob(mlp(theta["network"], z1), X)
        posterior = one_hot_log_prob(mlp(eta[0], X - MEAN), z1)
        posterior += one_hot_log_prob(mlp(eta[1], z1), z2)
        expected.append((prior, likelihood, posterior))
    z = tuple(array(np.stack(layer)) for layer in zip(*latents, strict=True))
    found = scores(model, recognition, theta, eta, z)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.exp(found)[:, [0, 2]].sum(axis=0), 1.0, rtol=1e-5)


def test_samples_come_from_the_model(key):
    """20,000 ancestral samples against enumeration; five standard errors."""
    model = models.deep_categorical_model(LIKELIHOOD, **TWO)
    theta, _ = start(model, models.deep_categorical_recognition(MEAN, **TWO), key)
    (z1, z2), x = jax.jit(jax.vmap(model.sample, (None, 0)))(theta, jax.random.split(key, 20_000))
    assert (z1.shape, z2.shape) == ((20_000, 6), (20_000, 3))
    latents = list(itertools.product(every_z(2), every_z(1)))
    pairs = tuple(array(np.stack(layer)) for layer in zip(*latents, strict=True))
    probability = np.exp(jax.vmap(model.prior(theta).log_prob)(pairs))
    drawn = np.concatenate([z1, z2], axis=1)
    frequency = np.array([np.mean(np.all(drawn == np.hstack(pair), axis=1)) for pair in latents])
    error = np.sqrt(probability * (1 - probability) / 20_000)
    assert np.all(np.abs(frequency - probability) < 5 * error)
    expected = expit(mlp(theta["network"], np.asarray(z1, np.float64)))
    error = np.sqrt(np.mean(expected * (1 - expected), axis=0) / 20_000)
    assert np.all(np.abs(np.mean(x - expected, axis=0)) < 5 * error)


def test_priors_start_even(key):
    model = models.categorical_model(LIKELIHOOD, **ONE)
    np.testing.assert_allclose(model.prior(model.init(key)).mean, np.full(6, 1 / 3), rtol=1e-6)
    deep = models.deep_categorical_model(LIKELIHOOD, **TWO)
    top = deep.prior(deep.init(key)).first
    np.testing.assert_allclose(top.mean, np.full(3, 1 / 3), rtol=1e-6)


def test_sizes_that_cannot_be_are_one_clear_line():
    for make in (
        lambda: models.categorical_model(LIKELIHOOD, **ONE | {"num_categories": 1}),
        lambda: models.categorical_recognition(MEAN, **ONE | {"num_categories": 1}),
        lambda: models.deep_categorical_model(LIKELIHOOD, **TWO | {"num_categories": 1}),
        lambda: models.deep_categorical_recognition(MEAN, **TWO | {"num_categories": 1}),
    ):
        with pytest.raises(InputError, match=r"^num_categories is 1: give 2 or more$"):
            make()
    with pytest.raises(InputError, match=r"^latent_sizes is \(3, 0\): give a positive size"):
        models.deep_categorical_model(LIKELIHOOD, latent_sizes=(3, 0), num_categories=3)
