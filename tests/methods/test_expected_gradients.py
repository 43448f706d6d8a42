"""Tier 3: identities between estimators, exact or in expectation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax import InputError, Particles, e_step, make_estimator
from remjax.methods import iwae, rws, vae
from tests import linear_gaussian
from tests.gradients import assert_mean, assert_same, gradients_of

TRUTH = linear_gaussian.example()
MODEL = linear_gaussian.model(TRUTH)
RECOGNITION = linear_gaussian.diagonal_recognition(TRUTH)
X = TRUTH.sample(0, 1)[0]
ETA = {name: leaf + 0.3 for name, leaf in TRUTH.inclusive_eta.items()}
PARAMS = TRUTH.params(ETA)


def minus_elbo(params):
    """Closed form: E_r log p(x | z) of a linear likelihood, minus KL(r || prior)."""
    x = jnp.asarray(X, jnp.float32)
    r = RECOGNITION.distribution(params.eta, x)
    joint = MODEL.joint(params.theta, x)
    weight, log_scale = params.theta["weight"], params.theta["log_scale"]
    spread = jnp.sum(jnp.square(weight) @ r.variance) * jnp.exp(-2 * log_scale)
    return r.kl_divergence(joint.prior) - joint.log_likelihood(r.mean) + 0.5 * spread


@functools.cache
def compiled(method, num_particles):
    return gradients_of(make_estimator(MODEL, RECOGNITION, method, Particles(num_particles)))


@pytest.mark.parametrize(
    ("num_particles", "analytic_kl"), [(1, False), (2, False), (5, False), (5, True)]
)
def test_vae_ascends_the_evidence_lower_bound(num_particles, analytic_kl):
    """For every L, either form of the divergence: 4,000 keys, five standard errors, no bias."""
    rows = compiled(vae(analytic_kl), num_particles)(PARAMS, X, keys(4000))
    assert_mean(rows, jax.grad(minus_elbo)(PARAMS), bias=1e-4)


def test_analytic_kl_needs_a_prior():
    without = MODEL._replace(prior=None)
    estimator = make_estimator(without, RECOGNITION, vae(analytic_kl=True), Particles(1))
    with pytest.raises(InputError, match=r"Model\.prior"):
        gradients_of(estimator)(PARAMS, X, keys(1))


def keys(count):
    return jax.random.split(jax.random.key(1), count)


def test_iwae_of_one_particle_is_the_vae():
    ours = compiled(iwae, 1)(PARAMS, X, keys(5))
    assert_same(ours, compiled(vae(False), 1)(PARAMS, X, keys(5)))


def test_theta_gradients_of_iwae_and_rws_are_the_same():
    ours, theirs = (compiled(method, 6)(PARAMS, X, keys(5)) for method in (iwae, rws()))
    assert_same(ours.theta, theirs.theta)
    assert np.abs(ours.eta["offset"] - theirs.eta["offset"]).max() > 1e-2


def test_bounds_grow_with_the_number_of_particles():
    """L_1 < L_5 < L_50 < log p(x): 2,000 keys, each gap more than three standard errors."""
    x = jnp.asarray(X, jnp.float32)
    joint, r = MODEL.joint(TRUTH.theta, x), RECOGNITION.distribution(ETA, x)

    @jax.jit
    @jax.vmap
    def estimates(key):
        counts = (1, 5, 50)
        return jnp.stack([e_step(key, joint, r, count).log_evidence for count in counts])

    bounds = np.asarray(estimates(jax.random.split(jax.random.key(3), 2000)), np.float64)
    exact = np.full((2000, 1), TRUTH.log_evidence(X[None])[0])
    gaps = np.diff(np.concatenate([bounds, exact], axis=1), axis=1)
    assert np.all(gaps.mean(axis=0) > 3 * gaps.std(axis=0) / np.sqrt(2000))
