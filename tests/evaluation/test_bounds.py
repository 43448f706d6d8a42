"""Annealed bounds against the exact evidence, from a start far from the posterior."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax.errors import InputError
from remjax.evaluation import (
    Annealing,
    make_annealed_log_likelihood,
    make_log_likelihood,
    make_sandwich,
)
from remjax.models.layered import (
    deep_gaussian_model,
    deep_gaussian_recognition,
    sigmoid_belief_network,
    sigmoid_belief_recognition,
)
from remjax.models.likelihoods import bernoulli_likelihood
from remjax.types import Params
from tests import linear_gaussian

TRUTH = linear_gaussian.example()
MODEL = linear_gaussian.model(TRUTH)
EXACT = linear_gaussian.full_recognition(TRUTH)
DATA = TRUTH.sample(0, 24)
X = jnp.asarray(DATA, jnp.float32)
SHORT = Annealing(num_steps=50, num_chains=16, num_leapfrog=3)


@functools.cache
def from_prior():
    return make_annealed_log_likelihood(MODEL, annealing=SHORT)


def test_exact_evidence_from_the_prior(key):
    """50 steps, 16 chains; log of a mean of weights: bias -1/2 and variance (1/ESS - 1/C)."""
    done = []
    result = from_prior()(TRUTH.params(()), key, X, done.append)
    error = result.log_likelihood - TRUTH.log_evidence(DATA)
    variance = 1 / result.ess - 1 / 16
    assert abs(error.mean() + 0.5 * variance.mean()) < 5 * np.sqrt(variance.sum()) / len(error)
    assert np.all(result.ess > 5)
    assert np.all(np.abs(result.acceptance_rate - 0.65) < 0.25)
    assert sum(done) == len(DATA)
    np.testing.assert_allclose(result.stderr, np.std(result.log_likelihood, ddof=1) / 24**0.5)


def test_from_the_exact_posterior_every_chain_is_exact(key):
    """However short and few, and in both directions: all densities of the path are the same."""
    tiny, params = (
        Annealing(num_steps=3, num_chains=2, num_leapfrog=2),
        TRUTH.params(TRUTH.exact_eta),
    )
    result = make_annealed_log_likelihood(MODEL, EXACT, tiny)(params, key, X[:4])
    np.testing.assert_allclose(result.log_likelihood, TRUTH.log_evidence(DATA[:4]), atol=2e-4)
    np.testing.assert_allclose(result.ess, 2.0, rtol=1e-4)


def test_an_image_does_not_depend_on_the_others(key):
    """Its chains follow from the key and its place; how the images are cut is of no effect."""
    few = from_prior()(TRUTH.params(()), key, X[:24])
    again = from_prior()(TRUTH.params(()), key, X.at[5:].set(0.0))
    np.testing.assert_allclose(again.log_likelihood[:5], few.log_likelihood[:5], rtol=1e-5)


def test_sandwich_brackets_the_exact_evidence(key):
    """32 images of the model, few steps: truth within five errors, and both gaps are seen."""
    loose = Annealing(num_steps=4, num_chains=2, num_leapfrog=2)
    evaluate = make_sandwich(MODEL, annealing=loose)
    sandwich = evaluate(TRUTH.params(()), key, 32)
    keys = jax.random.split(jax.random.split(key, 3)[0], 32)
    _, x = jax.vmap(MODEL.sample, (None, 0))(TRUTH.theta, keys)
    exact = TRUTH.log_evidence(np.asarray(x, np.float64))
    below, above = (exact - sandwich.lower.log_likelihood, sandwich.upper.log_likelihood - exact)
    for gap in (below, above):
        assert gap.mean() > -5 * gap.std(ddof=1) / np.sqrt(32)
    width, error = (below + above).mean(), (below + above).std(ddof=1) / np.sqrt(32)
    assert width > 2 * error


def test_two_layers_agree_with_importance_sampling(key):
    """A tuple latent, weights large enough to matter: within five of both errors and biases."""
    mean, sizes = np.full(6, 0.5), {"latent_sizes": (2, 1), "hidden_sizes": ((4,), (3,))}
    model = deep_gaussian_model(bernoulli_likelihood(mean), **sizes)
    recognition = deep_gaussian_recognition(mean, **sizes)
    params = jax.jit(lambda: Params(model.init(key), recognition.init(key)))()
    params = params._replace(theta=jax.tree.map(lambda leaf: 2.0 * leaf, params.theta))
    x = jnp.asarray(np.random.default_rng(0).uniform(size=(20, 6)) < 0.5, jnp.float32)
    sampled = make_log_likelihood(model, recognition, num_particles=5000)(params, key, x)
    annealed = make_annealed_log_likelihood(model, recognition, SHORT)(params, key, x)
    variance = 1 / sampled.ess - 1 / 5000 + 1 / annealed.ess - 1 / 16
    error = np.mean(annealed.log_likelihood - sampled.log_likelihood)
    assert np.std(annealed.log_likelihood) > 0.3
    assert abs(error) < 5 * np.sqrt(variance.sum()) / 20 + 0.5 * variance.mean()


def test_errors(key):
    params = TRUTH.params(())
    with pytest.raises(InputError, match="num_chains is 0: give at least 1"):
        make_annealed_log_likelihood(MODEL, annealing=Annealing(num_chains=0))
    with pytest.raises(InputError, match=r"target_acceptance is 1\.0: give a number between"):
        make_sandwich(MODEL, annealing=Annealing(target_acceptance=1.0))
    with pytest.raises(InputError, match="at least one image"):
        from_prior()(params, key, X[:0])
    with pytest.raises(InputError, match="no distribution to begin at: give a recognition network"):
        make_annealed_log_likelihood(MODEL._replace(prior=None), annealing=SHORT)(params, key, X)
    model = sigmoid_belief_network(bernoulli_likelihood(np.full(6, 0.5)), latent_sizes=(2,))
    recognition = sigmoid_belief_recognition(np.full(6, 0.5), latent_sizes=(2,))
    bits = Params(model.init(key), recognition.init(key))
    with pytest.raises(InputError, match="these are discrete: score the model by log_likelihood"):
        make_annealed_log_likelihood(model, recognition, SHORT)(bits, key, jnp.ones((2, 6)))
