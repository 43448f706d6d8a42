"""Data of any real type, tokens, and double precision: the same numbers, and types that fit."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from remjax import (
    Batch,
    DiagonalGaussian,
    Model,
    Particles,
    Recognition,
    bernoulli_likelihood,
    gaussian_likelihood,
    gaussian_model,
    gaussian_recognition,
    init_train_state,
    make_epoch,
    make_estimator,
    make_train_step,
    metric_means,
    sigmoid_belief_network,
    sigmoid_belief_recognition,
)
from remjax.methods import batches, iwae, nvil, rem_v1, vae

RNG = np.random.default_rng(0)
SIZE, MEAN = 5, np.full(5, 0.4)
WIDTHS = {"latent_size": 2, "hidden_sizes": ()}
REAL = (
    gaussian_model(bernoulli_likelihood(MEAN), **WIDTHS),
    gaussian_recognition(MEAN, **WIDTHS),
)
BITS = (
    sigmoid_belief_network(bernoulli_likelihood(MEAN), latent_sizes=(2,)),
    sigmoid_belief_recognition(MEAN, latent_sizes=(2,)),
)
COUNTS = (
    gaussian_model(gaussian_likelihood(MEAN, data_scale=0.5), **WIDTHS),
    gaussian_recognition(MEAN, **WIDTHS),
)
# Twice as many particles in a batch as are in flight at a time: it goes in two parts.
IN_PARTS = Particles(50)
LARGE = 40
assert LARGE * IN_PARTS.num_particles > batches.rows_in_flight(None, SIZE)


def gradients(estimator):
    """x -> ((theta_loss, eta_loss), gradient), compiled anew for every type of x."""
    params, state = estimator.init(jax.random.key(0))

    @jax.jit
    def run(x):
        def loss(params):
            batch = Batch(x, jnp.arange(len(x)))
            estimate, _ = estimator.estimate(params, state, jax.random.key(1), batch)
            return estimate.theta_loss + estimate.eta_loss, estimate[:2]

        gradient, losses = jax.grad(loss, has_aux=True)(params)
        return losses, gradient

    return run, params


@pytest.mark.parametrize(
    ("networks", "method", "particles", "types"),
    [
        (REAL, vae(), Particles(3), [jnp.uint8]),
        (REAL, iwae, IN_PARTS, [bool, jnp.uint8, jnp.int32]),
        (COUNTS, iwae, IN_PARTS, [jnp.int32]),
        (BITS, nvil(), Particles(3), [bool]),
        (BITS, rem_v1(), IN_PARTS, [bool]),
    ],
    ids=["vae", "iwae in parts", "gaussian in parts", "nvil", "rem_v1 in parts"],
)
def test_bits_and_whole_numbers_give_what_floats_give(networks, method, particles, types):
    run, _ = gradients(make_estimator(*networks, method, particles))
    bits = RNG.uniform(size=(LARGE, SIZE)) < 0.4
    expected = run(jnp.asarray(bits, jnp.float32))
    for dtype in types:
        values = run(jnp.asarray(bits, dtype))
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), values, expected
        )


NUM_TOKENS = 6


def token_model():
    """p(z) = N(0, I), and x names for each of four places one of six tokens."""

    def logits(theta, z):
        return (theta["weight"] @ z).reshape(4, NUM_TOKENS) + theta["bias"]

    def log_likelihood(theta, x, z):
        return jnp.sum(jax.nn.log_softmax(logits(theta, z))[jnp.arange(4), x])

    def sample(theta, key):
        z = prior.sample(key)
        return z, jax.random.categorical(jax.random.fold_in(key, 1), logits(theta, z))

    prior = DiagonalGaussian(jnp.zeros(2), jnp.ones(2))
    return Model(
        init=lambda key: {
            "weight": 0.1 * jax.random.normal(key, (4 * NUM_TOKENS, 2)),
            "bias": jnp.zeros((4, NUM_TOKENS)),
        },
        log_prior=lambda theta, z: prior.log_prob(z),
        log_likelihood=log_likelihood,
        sample=sample,
        prior=lambda theta: prior,
    )


TOKENS = Recognition(
    init=lambda key: {"loc": jnp.zeros((NUM_TOKENS, 2)), "log_scale": jnp.zeros(2)},
    distribution=lambda eta, x: DiagonalGaussian(
        jnp.mean(eta["loc"][x], axis=0), jnp.exp(eta["log_scale"])
    ),
)


@pytest.mark.parametrize(("method", "particles"), [(iwae, Particles(5)), (rem_v1(), IN_PARTS)])
def test_token_numbers_train(method, particles):
    """x is an index: whole numbers reach the user's functions as they are, in parts too.

    The data use two tokens of six: the evidence rises from 4 log 1/6 toward 4 log 1/2.
    """
    data = jnp.asarray(RNG.integers(0, 2, size=(LARGE, 4)), jnp.int32)
    estimator = make_estimator(token_model(), TOKENS, method, particles)
    optimizer = optax.adam(0.1)
    state = init_train_state(estimator, optimizer, jax.random.key(0), data)
    epoch = make_epoch(estimator, optimizer, num_data=LARGE, batch_size=LARGE)
    state = epoch(state, data, 1)
    before = metric_means(state)["log_evidence"]
    after = metric_means(epoch(state, data, 60))
    np.testing.assert_allclose(before, 4 * np.log(1 / 6), atol=0.3)
    assert after["log_evidence"] > 4 * np.log(1 / 2) - 0.5
    assert after["skipped_updates"] == 0


@pytest.mark.parametrize(
    ("networks", "method"),
    [(REAL, iwae), pytest.param(BITS, rem_v1(), marks=pytest.mark.exhaustive)],
    ids=["iwae", "rem_v1 of bits"],
)
def test_double_precision_leaves_the_parameters_their_type(networks, method):
    """With a batch in parts: losses of float64, gradients of the type of the parameters."""
    x = jnp.asarray(RNG.uniform(size=(LARGE, SIZE)) < 0.4, jnp.float32)
    with jax.enable_x64(True):
        estimator = make_estimator(*networks, method, IN_PARTS)
        run, params = gradients(estimator)
        losses, gradient = jax.eval_shape(run, x)
        assert all(loss.dtype == jnp.float64 for loss in losses)
        pairs = zip(jax.tree.leaves(gradient), jax.tree.leaves(params), strict=True)
        assert all(leaf.dtype == of.dtype for leaf, of in pairs)
        optimizer = optax.adam(1e-2)
        state = init_train_state(estimator, optimizer, jax.random.key(0), x)
        types = [leaf.dtype for leaf in jax.tree.leaves(state)]
        state, metrics = make_train_step(estimator, optimizer)(state, Batch(x, jnp.arange(LARGE)))
        assert [leaf.dtype for leaf in jax.tree.leaves(state)] == types
        assert state.skipped_updates == 0
        assert all(np.isfinite(value) for value in metrics.values())


def test_double_precision_on_the_host_begins_as_single_does():
    """Most data are float64 when they come: no warning, and the same state."""
    data = RNG.uniform(size=(3, SIZE))
    estimator = make_estimator(*REAL, vae(), Particles(1))
    optimizer, key = optax.adam(1e-2), jax.random.key(0)
    wide, narrow = (
        init_train_state(estimator, optimizer, key, data.astype(dtype))
        for dtype in (np.float64, np.float32)
    )
    jax.tree.map(np.testing.assert_array_equal, wide.params, narrow.params)
    assert jax.tree.map(jnp.shape, wide) == jax.tree.map(jnp.shape, narrow)
