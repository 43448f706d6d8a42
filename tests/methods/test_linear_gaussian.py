"""Tier 2: where evidence, posterior and EM are exact, the library reaches them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from remjax import Batch, Particles, init_train_state, make_epoch, make_estimator
from remjax.methods import (
    Method,
    Normalized,
    Sum,
    expected_complete_log_likelihood,
    from_r,
    iwae,
    rem_dreg,
    rem_mixture,
    rem_pooled,
    rem_v1,
    rem_v2,
    rws,
)
from remjax.particles import e_step
from remjax.particles.covariances import unweighted, weighted
from tests import linear_gaussian
from tests.gradients import assert_mean, gradients_of, gradients_of_each

TRUTH = linear_gaussian.example()
MODEL = linear_gaussian.model(TRUTH)
EXACT = linear_gaussian.full_recognition(TRUTH)
DIAGONAL = linear_gaussian.diagonal_recognition(TRUTH)
DATA = TRUTH.sample(1, 6)


def test_exact_proposal_gives_equal_weights():
    @jax.jit
    @jax.vmap
    def run(key, x):
        joint = MODEL.joint(TRUTH.theta, x)
        proposal = EXACT.distribution(TRUTH.exact_eta, x)
        posterior = e_step(key, joint, proposal, 50, chunk_size=7, keep=5)
        return posterior.log_evidence, posterior.ess, posterior.weights

    keys = jax.random.split(jax.random.key(0), len(DATA))
    log_evidence, ess, weights = run(keys, jnp.asarray(DATA, jnp.float32))
    np.testing.assert_allclose(log_evidence, TRUTH.log_evidence(DATA), atol=1e-5)
    np.testing.assert_allclose(ess, 50.0, rtol=1e-5)
    np.testing.assert_allclose(weights, 0.2, rtol=1e-4)


def test_moments_tend_to_those_of_the_posterior(key):
    """200,000 particles of a diagonal r; five standard errors at the effective sample size."""
    x = jnp.asarray(DATA[0], jnp.float32)
    r = DIAGONAL.distribution(TRUTH.inclusive_eta, x)
    joint = MODEL.joint(TRUTH.theta, x)
    posterior = jax.jit(lambda key: e_step(key, joint, r, 200_000, chunk_size=2000))(key)
    assert 1e4 < posterior.ess < 2e5
    deviation = np.sqrt(np.diagonal(TRUTH.posterior_covariance))
    bound = 5 / np.sqrt(posterior.ess)
    mean = TRUTH.posterior_mean(DATA[:1])[0]
    assert np.all(np.abs(posterior.mean - mean) < bound * deviation)
    error = np.abs(posterior.covariance - TRUTH.posterior_covariance)
    assert np.all(error < np.sqrt(2) * bound * np.outer(deviation, deviation))


def ppca_optimum(data, latent_size):
    """The largest mean log-likelihood of the model, nats (Tipping & Bishop 1999, Eq. 7-8)."""
    covariance = np.cov(data.T, bias=True)
    values = np.sort(np.linalg.eigvalsh(covariance))[::-1]
    noise = values[latent_size:].mean()
    log_determinant = np.log(values[:latent_size]).sum()
    log_determinant += (len(values) - latent_size) * np.log(noise)
    return -0.5 * (len(values) * (np.log(2 * np.pi) + 1) + log_determinant)


def test_em_climbs_to_the_ppca_optimum():
    """EM with a particle E-step: 200 data x 100 particles from the exact posterior of each theta.

    The moments are known to 1 / sqrt(20,000) = 0.7 %, which costs its square: steps may fall by
    0.001 nats, and the optimum is reached within 0.005.
    """
    data = linear_gaussian.example(2, 4, seed=3).sample(2, 200)
    theta = linear_gaussian.example(2, 4, seed=5)._replace(bias=data.mean(axis=0))
    model, recognition = linear_gaussian.model(theta), linear_gaussian.full_recognition(theta)

    @jax.jit
    def moments(theta, eta, key):
        def one(key, x):
            r = recognition.distribution(eta, x)
            posterior = e_step(key, model.joint(theta, x), r, 100, chunk_size=100)
            return posterior.log_evidence, posterior.mean, posterior.covariance

        keys = jax.random.split(key, len(data))
        return jax.vmap(one)(keys, jnp.asarray(data, jnp.float32))

    heights = []
    for step in range(40):
        key = jax.random.fold_in(jax.random.key(0), step)
        results = moments(theta.theta, theta.exact_eta, key)
        log_evidence, mean, covariance = (np.asarray(value, np.float64) for value in results)
        heights.append(log_evidence.mean())
        centred = data - theta.bias
        second = covariance.sum(axis=0) + mean.T @ mean
        weight = centred.T @ mean @ np.linalg.inv(second)
        residual = np.sum(centred**2) - np.sum(weight * (centred.T @ mean))
        theta = theta._replace(weight=weight, scale=np.sqrt(residual / data.size))
    assert np.all(np.diff(heights) > -1e-3)
    optimum = ppca_optimum(data, 2)
    assert heights[0] < optimum - 1.0
    assert abs(heights[-1] - optimum) < 5e-3


def test_training_reaches_the_ppca_optimum():
    """REM v1 moves theta and a full-covariance r together, by Adam, from another model's theta.

    60 particles know log p(x) only on average, so the height is that of the exact evidence.
    """
    data = linear_gaussian.example(2, 4, seed=3).sample(2, 200)
    start = linear_gaussian.example(2, 4, seed=5)
    model, recognition = linear_gaussian.model(start), linear_gaussian.full_recognition(start)
    estimator = make_estimator(model, recognition, rem_v1(), Particles(60))
    optimizer = optax.adam(optax.cosine_decay_schedule(0.03, 600))
    state = init_train_state(estimator, optimizer, jax.random.key(0), data)
    epoch = make_epoch(estimator, optimizer, num_data=200, batch_size=100)
    state = epoch(state, jnp.asarray(data, jnp.float32), 600)
    theta = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), state.params.theta)
    reached = linear_gaussian.LinearGaussian(
        theta["weight"], theta["bias"], np.exp(theta["log_scale"])
    )
    optimum = ppca_optimum(data, 2)
    assert start.log_evidence(data).mean() < optimum - 1.0
    assert optimum - 0.02 < reached.log_evidence(data).mean() <= optimum


# What the estimators' gradients are, in expectation


@pytest.mark.parametrize(
    ("method", "keep"),
    [
        (rws(), 5),
        (rem_v1(weighted()), None),
        (rem_v2(unweighted()), None),
        (rem_pooled(), 5),
    ],
    ids=["rws keep", "rem_v1 weighted", "rem_v2 unweighted", "rem_pooled keep"],
)
def test_gradients_are_those_of_the_evidence_and_of_the_inclusive_kl(method, keep):
    """At K = 400 and 300 keys: five standard errors, and 0.02 for the bias of order 1 / K."""
    estimator = make_estimator(MODEL, DIAGONAL, method, Particles(400, keep=keep))
    eta = {name: leaf + 0.2 for name, leaf in TRUTH.inclusive_eta.items()}
    x = DATA[2]
    rows = gradients_of(estimator)(TRUTH.params(eta), x, jax.random.split(jax.random.key(0), 300))

    def minus_log_evidence(theta):
        covariance = theta["weight"] @ theta["weight"].T
        covariance += jnp.exp(2 * theta["log_scale"]) * jnp.eye(len(x))
        law = jax.scipy.stats.multivariate_normal
        return -law.logpdf(jnp.asarray(x, jnp.float32), theta["bias"], covariance)

    def inclusive(eta):
        r = DIAGONAL.distribution(eta, jnp.asarray(x, jnp.float32))
        mean = jnp.asarray(TRUTH.posterior_mean(x[None])[0], jnp.float32)
        return -r.expected_log_prob(mean, jnp.asarray(TRUTH.posterior_covariance, jnp.float32))

    assert_mean(rows.theta, jax.grad(minus_log_evidence)(TRUTH.theta), bias=0.02)
    assert_mean(rows.eta, jax.grad(inclusive)(eta), bias=0.02)


@pytest.mark.parametrize(
    ("method", "properly"), [(rem_pooled(), True), (rem_dreg(), True), (rem_mixture(), False)]
)
def test_who_weights_its_particles_properly(method, properly):
    """E[mean weight] = p(x), with as few and as odd as three: five standard errors of 4,000 keys.

    Not so for `rem_mixture`, whose s depends on particles that it weights: its evidence is too low.
    """
    estimator = make_estimator(MODEL, DIAGONAL, method, Particles(3))
    params = TRUTH.params(TRUTH.inclusive_eta)
    batch = Batch(jnp.asarray(DATA[:1], jnp.float32), jnp.zeros(1, int))

    @jax.jit
    @jax.vmap
    def run(key):
        return estimator.estimate(params, (), key, batch)[0].metrics["log_evidence"]

    log_evidence = run(jax.random.split(jax.random.key(0), 4000))
    ratio = np.exp(np.asarray(log_evidence, np.float64) - TRUTH.log_evidence(DATA[:1]))
    error = 5 * ratio.std() / np.sqrt(4000)
    assert abs(ratio.mean() - 1.0) < error if properly else ratio.mean() < 1.0 - error


def test_iwae_gradient_of_eta_vanishes_in_expectation_at_the_exact_posterior():
    """2,000 keys; five standard errors; no bias. Each single gradient is not zero."""
    estimator = make_estimator(MODEL, EXACT, iwae, Particles(4))
    keys = jax.random.split(jax.random.key(0), 2000)
    rows = gradients_of(estimator)(TRUTH.params(TRUTH.exact_eta), DATA[0], keys).eta
    assert_mean(rows, jax.tree.map(lambda row: np.zeros(row.shape[1:]), rows), bias=1e-5)
    assert max(row.std() for row in jax.tree.leaves(rows)) > 0.1


def log_joint_along_draw(joint, r, particle):
    """What the released REM v1 lets into the recognition network."""
    return joint(particle.z_along(r))


def test_stationary_variance_of_rem_v1():
    """REM v1 rests at 1.0 of the inclusive-KL variance; with the released leak, at 0.5.

    In the conjugate model, K = 1000, 200 keys: the ascent in log sd is 1 / ratio - 1, and less by 1
    with the leak. Five standard errors, and 0.1 for the bias of the weights at ratio 0.5, whose
    variance is infinite.
    """
    truth = linear_gaussian.conjugate()
    model, recognition = linear_gaussian.model(truth), linear_gaussian.diagonal_recognition(truth)
    leak = Sum(Normalized(), log_joint_along_draw)
    released = Method(expected_complete_log_likelihood, from_r, leak, from_r)
    ours, theirs = (
        make_estimator(model, recognition, method, Particles(1000, chunk_size=1000))
        for method in (rem_v1(), released)
    )
    run = gradients_of_each(ours=ours, released=theirs)
    x, keys = np.array([0.7]), jax.random.split(jax.random.key(0), 200)
    for ratio, bias in ((1.0, 0.01), (0.5, 0.1)):
        eta = truth.inclusive_eta
        params = truth.params({**eta, "log_scale": eta["log_scale"] + 0.5 * np.log(ratio)})
        rows = run(params, x, keys)
        ascent = -rows["ours"].eta["log_scale"][:, 0]
        assert_mean(ascent, 1 / ratio - 1, bias)
        leaking = ascent - rows["released"].eta["log_scale"][:, 0]
        assert_mean(leaking, 1 / ratio - 2, bias)
