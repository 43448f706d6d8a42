"""Posteriors trained on digits: the exact scores are what they say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from experiments.enumeration import posteriors
from remjax.types import Params

MEAN = np.full(64, 0.4, np.float32)
X = jnp.asarray(np.random.default_rng(0).uniform(size=(2, 64)) < 0.4, jnp.float32)
MAKERS = {"bits": posteriors.of_bits, "mixed": posteriors.of_bits_and_numbers}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("bits", "2 groups, each a machine of 2 + 3"),
        ("mixed", "harmonium, chains"),
    ],
)
def test_scores_are_sums_over_all_points(kind, name, key):
    """In NumPy's words and float64; the gap is a KL divergence, which is not negative."""
    latents = MAKERS[kind](MEAN)
    recognition = latents.posteriors[name]
    params = Params(latents.model.init(key), recognition.init(key))
    theta, points = latents.normalized(params.theta), latents.points

    @jax.jit
    def found(params, theta):
        q, joint = recognition.r(params.eta, X[0]).hard(), latents.model.joint(theta, X[0])
        both = jax.vmap(lambda z: (joint(z), q.log_prob(z)))(points)
        return posteriors.score(latents, recognition, params, X), both

    scores, (log_joint, log_q) = found(params, theta)
    volume = np.exp(latents.log_volume)
    log_joint, log_q = np.float64(log_joint), np.float64(log_q)
    log_q -= scipy.special.logsumexp(log_q) + np.log(volume)
    evidence = scipy.special.logsumexp(log_joint) + np.log(volume)
    bound = volume * np.exp(log_q) @ (log_joint - log_q)
    np.testing.assert_allclose(scores.log_likelihood[0], evidence, atol=1e-3)
    np.testing.assert_allclose(scores.bound[0], bound, atol=1e-3)
    assert np.all(scores.bound <= scores.log_likelihood)


def test_the_grid_of_real_numbers_is_fine_enough():
    """The prior of mixed latents sums to one over it."""
    latents = MAKERS["mixed"](MEAN)
    theta = latents.model.init(jax.random.key(0))
    log_p = jax.vmap(lambda z: latents.model.log_prior(theta, z))(latents.points)
    total = scipy.special.logsumexp(np.float64(log_p)) + latents.log_volume
    assert abs(total) < 1e-4


@pytest.mark.exhaustive
def test_every_posterior_is_trained_and_scored():
    rows = list(posteriors.rows(updates=4, seeds=1))
    assert len(rows) == 9
    for row in rows:
        assert np.isfinite(row["log p(x)"])
        assert row["KL(q, p)"] >= 0.0
