"""Tier 2: where evidence, posterior and EM are exact, the library reaches them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from remjax.data.binarization import unchanged
from remjax.methods.composition import compose
from remjax.methods.importance_weighted import iwae
from remjax.methods.objectives import expected_complete_log_likelihood
from remjax.methods.proposals import from_r
from remjax.methods.rem import rem_mixture, rem_pooled, rem_v1, rem_v2
from remjax.methods.wake_sleep import rws
from remjax.particles.e_step import e_step
from remjax.particles.matching import unweighted, weighted
from remjax.training.steps import init_train_state, make_epoch
from remjax.types import Batch
from tests import linear_gaussian

TRUTH = linear_gaussian.example()
MODEL = linear_gaussian.model(TRUTH)
EXACT = linear_gaussian.full_recognition(TRUTH)
DIAGONAL = linear_gaussian.diagonal_recognition(TRUTH)
DATA = TRUTH.sample(1, 6)


def gradients_of(estimator):
    """(params, x [X], keys) -> gradients of both losses together, one row per key, in float64."""

    @jax.jit
    def compiled(params, x, keys):
        batch = Batch(x[None], jnp.zeros(1, int))

        def loss(params, key):
            estimate, _ = estimator.estimate(params, (), key, batch)
            return estimate.theta_loss + estimate.eta_loss

        return jax.vmap(jax.grad(loss), in_axes=(None, 0))(params, keys)

    def run(params, x, keys):
        rows = compiled(params, jnp.asarray(x, jnp.float32), keys)
        return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), rows)

    return run


def assert_mean(rows, expected, bias):
    """Each mean over keys lies within five standard errors and `bias` of what is expected."""
    for row, value in zip(jax.tree.leaves(rows), jax.tree.leaves(expected), strict=True):
        error = row.std(axis=0) / np.sqrt(len(row))
        assert np.all(np.abs(row.mean(axis=0) - value) <= 5 * error + bias), (row.mean(0), value)


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
    estimator = rem_v1(
        linear_gaussian.model(start), linear_gaussian.full_recognition(start), num_particles=60
    )
    optimizer = optax.adam(optax.cosine_decay_schedule(0.03, 600))
    state = init_train_state(estimator, optimizer, jax.random.key(0), data.shape[1])
    epoch = make_epoch(estimator, optimizer, num_data=200, batch_size=100, binarization=unchanged)
    for _ in range(300):
        state = epoch(state, jnp.asarray(data, jnp.float32), 2)
    theta = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), state.params.theta)
    reached = linear_gaussian.LinearGaussian(
        theta["weight"], theta["bias"], np.exp(theta["log_scale"])
    )
    optimum = ppca_optimum(data, 2)
    assert start.log_evidence(data).mean() < optimum - 1.0
    assert optimum - 0.02 < reached.log_evidence(data).mean() <= optimum


# What the estimators' gradients are, in expectation


@pytest.mark.parametrize(
    ("method", "options"),
    [
        (rws, {"keep": 5}),
        (rem_v1, {"covariance": weighted()}),
        (rem_v2, {"covariance": unweighted()}),
        (rem_pooled, {"keep": 5}),
    ],
    ids=["rws keep", "rem_v1 weighted", "rem_v2 unweighted", "rem_pooled keep"],
)
def test_gradients_are_those_of_the_evidence_and_of_the_inclusive_kl(method, options):
    """At K = 400 and 300 keys: five standard errors, and 0.02 for the bias of order 1 / K."""
    estimator = method(MODEL, DIAGONAL, num_particles=400, **options)
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


@pytest.mark.parametrize(("method", "properly"), [(rem_pooled, True), (rem_mixture, False)])
def test_who_weights_its_particles_properly(method, properly):
    """E[mean weight] = p(x), with as few and as odd as three: five standard errors of 4,000 keys.

    Not so for `rem_mixture`, whose s depends on particles that it weights: its evidence is too low.
    """
    estimator = method(MODEL, DIAGONAL, num_particles=3)
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
    estimator = iwae(MODEL, EXACT, num_particles=4)
    keys = jax.random.split(jax.random.key(0), 2000)
    rows = gradients_of(estimator)(TRUTH.params(TRUTH.exact_eta), DATA[0], keys).eta
    assert_mean(rows, jax.tree.map(lambda row: np.zeros(row.shape[1:]), rows), bias=1e-5)
    assert max(row.std() for row in jax.tree.leaves(rows)) > 0.1


def leak(_posterior, joint, r):
    """The pathwise term that the released REM v1 lets into the recognition network."""
    return lambda particle: particle.weight * joint(r.rsample(particle.key))


def test_stationary_variance_of_rem_v1():
    """REM v1 rests at 1.0 of the inclusive-KL variance; with the released leak, at 0.5.

    In the conjugate model, K = 1000, 200 keys: the ascent in log sd is 1 / ratio - 1, and less by 1
    with the leak. Five standard errors, and 0.1 for the bias of the weights at ratio 0.5, whose
    variance is infinite.
    """
    truth = linear_gaussian.conjugate()
    model, recognition = linear_gaussian.model(truth), linear_gaussian.diagonal_recognition(truth)
    counts = {"num_particles": 1000, "chunk_size": 1000}
    ours = gradients_of(rem_v1(model, recognition, **counts))
    released = gradients_of(
        compose(
            model,
            recognition,
            **counts,
            objective=expected_complete_log_likelihood,
            proposal=from_r,
            hyperobjective=leak,
            hyperproposal=from_r,
        )
    )
    x, keys = np.array([0.7]), jax.random.split(jax.random.key(0), 200)
    for ratio, bias in ((1.0, 0.01), (0.5, 0.1)):
        eta = truth.inclusive_eta
        params = truth.params({**eta, "log_scale": eta["log_scale"] + 0.5 * np.log(ratio)})
        ascent = -ours(params, x, keys).eta["log_scale"][:, 0]
        assert_mean(ascent, 1 / ratio - 1, bias)
        leaking = ascent - released(params, x, keys).eta["log_scale"][:, 0]
        assert_mean(leaking, 1 / ratio - 2, bias)
