"""Memory per datapoint: kept row by row, advanced at each visit, left alone where it should be."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax.errors import InputError
from remjax.evaluation import log_likelihood
from remjax.methods import Particles, make_estimator, miwae, nvil, rws
from remjax.methods.row import Row
from remjax.training import (
    adam,
    checkpoints,
    init_train_state,
    make_epoch,
    make_train_step,
    replica,
    stack_replicas,
    train_replicas,
)
from remjax.training.memory import gather, init_rows, scatter
from remjax.types import Batch, Memory
from tests import linear_gaussian
from tests.training.running_moments import counting_bits, moving_bits, networks
from tests.training.states import assert_close, assert_same_bits, copied

TRUTH = linear_gaussian.example()
N, B = 8, 4
DATA = jnp.asarray(TRUTH.sample(0, N), jnp.float32)
MODEL, RECOGNITION = networks(TRUTH)
ESTIMATOR = make_estimator(MODEL, RECOGNITION, rws(), Particles(20))
OPTIMIZER = adam(2e-3)


@functools.cache
def epoch():
    return make_epoch(ESTIMATOR, OPTIMIZER, num_data=N, batch_size=B)


@functools.cache
def step():
    return make_train_step(ESTIMATOR, OPTIMIZER)


def start(seed=0):
    return init_train_state(ESTIMATOR, OPTIMIZER, jax.random.key(seed), DATA)


def whitened_errors(memory, theta):
    """Of the remembered means and covariances, in standard deviations of the exact posterior."""
    weight, bias = (np.asarray(theta[name], np.float64) for name in ("weight", "bias"))
    now = linear_gaussian.LinearGaussian(weight, bias, float(np.exp(theta["log_scale"])))
    whiten = np.linalg.inv(np.linalg.cholesky(now.posterior_covariance))
    mean = (np.asarray(memory.mean) - now.posterior_mean(np.asarray(DATA, np.float64))) @ whiten.T
    return mean, whiten @ np.asarray(memory.covariance) @ whiten.T - np.eye(2)


def test_remembered_moments_tend_to_those_of_the_exact_posterior():
    """80 visits to each datapoint, 60 particles of ESS 30 or more at each.

    A running mean of rate 0.1 has 0.1 / 1.9 of the variance 1/30 of one visit: 0.04 standard
    deviations of the posterior, and its covariance 2 / 30 of that: 0.06; five of each.
    """
    state = start()
    mean, covariance = whitened_errors(state.memory, state.params.theta)
    assert np.abs(mean).max() > 1.0
    assert np.abs(covariance).max() > 1.0
    state = epoch()(state, DATA, 80 * N // B)
    assert state.skipped_updates == 0
    mean, covariance = whitened_errors(state.memory, state.params.theta)
    assert np.abs(mean).max() < 5 * 0.04
    assert np.abs(covariance).max() < 5 * 0.06
    # Evaluation knows nothing of memories: r by itself, which has learned from the particles of s.
    score = log_likelihood(
        MODEL, RECOGNITION, state.params, jax.random.key(1), DATA, num_particles=500
    )
    exact = TRUTH.log_evidence(np.asarray(DATA, np.float64)).mean()
    assert abs(score.mean - exact) < 0.5


def test_memories_of_datapoints_outside_of_the_batch_stay():
    state = start()
    before, places = copied(state.memory), np.array([1, 4, 6])
    state, _ = step()(state, Batch(DATA[places], jnp.asarray(places)))
    others = np.setdiff1d(np.arange(N), places)
    assert_same_bits(*(jax.tree.map(lambda m: m[others], m) for m in (before, state.memory)))
    for old, new in zip(before, state.memory, strict=True):
        assert all(np.any(old[place] != new[place]) for place in places)


def test_memories_of_a_skipped_update_stay():
    """One datapoint of the batch has no finite likelihood: nobody of the batch is advanced."""
    state = start()
    before, places = copied((state.params, state.memory)), jnp.array([1, 4, 6])
    x = DATA[places].at[1, 0].set(100.0)
    state, _ = step()(state, Batch(x, places))
    assert state.skipped_updates == 1
    assert state.step == 1
    assert_same_bits(before, (state.params, state.memory))


def test_replicas_remember_what_each_would_alone():
    together = train_replicas(epoch())(stack_replicas([start(0), start(1)]), DATA, 3)
    for number in (0, 1):
        alone = epoch()(start(number), DATA, 3)
        assert_close(replica(together, number), alone, rtol=1e-4, atol=1e-5)


def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(tmp_path):
    whole = epoch()(start(), DATA, 5)
    checkpoints.save(tmp_path, 3, epoch()(start(), DATA, 3))
    resumed = epoch()(checkpoints.restore(tmp_path, start(1)), DATA, 2)
    assert_same_bits(resumed, whole)


@pytest.mark.parametrize(
    ("method", "num_particles"),
    [(rws(), 400), (miwae(2), 6), (nvil(), 6)],
    ids=["in parts", "in groups", "centred"],
)
def test_memories_go_with_their_datapoints(method, num_particles):
    """However the batch is cut or copied: s is at the posterior, so all weights are about equal."""
    exact = linear_gaussian.full_recognition(TRUTH).distribution
    posterior = jax.vmap(lambda x: exact(TRUTH.exact_eta, x))(DATA)
    covariance = jnp.asarray(TRUTH.posterior_covariance, jnp.float32)
    moments = RECOGNITION.memory.init(jax.random.key(0))._replace(covariance=covariance)
    memory = jax.vmap(lambda loc: moments._replace(mean=loc))(posterior.loc)
    batch = Batch(DATA, jnp.arange(N), memory)
    once = Memory(RECOGNITION.memory.init, lambda params, key, x, r, memory: memory)
    recognition = RECOGNITION._replace(memory=once)
    estimator = make_estimator(MODEL, recognition, method, Particles(num_particles))
    params, state = jax.jit(estimator.init)(jax.random.key(0))
    estimate, _ = jax.jit(estimator.estimate)(params, state, jax.random.key(1), batch)
    np.testing.assert_allclose(estimate.metrics["ess"], num_particles, rtol=1e-3)
    exact_mean = TRUTH.log_evidence(np.asarray(DATA, np.float64)).mean()
    np.testing.assert_allclose(estimate.metrics["log_evidence"], exact_mean, rtol=1e-4)
    jax.tree.map(np.testing.assert_array_equal, estimate.memory, memory)


def test_an_estimate_that_forgets_the_memory_is_refused():
    def estimate(params, state, key, batch):
        estimate, state = ESTIMATOR.estimate(params, state, key, batch)
        return estimate._replace(memory=()), state

    forgetful = make_train_step(ESTIMATOR._replace(estimate=estimate), OPTIMIZER)
    with pytest.raises(InputError, match=r"put the memory of the terms into Estimate\.memory"):
        forgetful(start(), Batch(DATA, jnp.arange(N)))


def test_a_batch_in_parts_has_more_than_one_part():
    """What the case "in parts" rests on."""
    row = Row(MODEL, RECOGNITION, rws(), Particles(400))
    params, _ = ESTIMATOR.init(jax.random.key(0))
    batch = Batch(DATA, jnp.arange(N), start().memory)
    assert row.datapoints_at_a_time(params, jax.random.key(0), batch) < N


@pytest.mark.parametrize("shape", [(25, 100), (3, 5), (2, 4), (7,), (1, 1), ()])
def test_bits_are_stored_eight_to_the_byte_and_come_back(shape, key):
    memory, size = moving_bits(shape), int(np.prod(shape))
    stored = init_rows(memory, key, 5)
    assert stored.dtype == jnp.uint8
    assert stored.shape == (5, -(-size // 8))
    every = jnp.arange(5)
    rows = gather(memory, stored, every)
    assert rows.dtype == bool
    keys = jax.vmap(lambda n: jax.random.fold_in(key, n))(every)
    np.testing.assert_array_equal(rows, jax.vmap(memory.init)(keys))
    some = jnp.array([3, 0])
    new = scatter(stored, some, ~rows[some], jnp.array(True))
    np.testing.assert_array_equal(gather(memory, new, every), rows.at[some].set(~rows[some]))
    kept = scatter(stored, some, ~rows[some], jnp.array(False))
    np.testing.assert_array_equal(kept, stored)


def test_training_on_packed_bits_is_training_on_bytes():
    """Seven datapoints, 15 bits of each; one waits in every epoch."""

    def trained(dtype):
        estimator = counting_bits((3, 5), dtype)
        state = init_train_state(estimator, OPTIMIZER, jax.random.key(2), jnp.zeros((7, 1)))
        run = make_epoch(estimator, OPTIMIZER, num_data=7, batch_size=3)
        return run(state, jnp.zeros((7, 1)), 5)

    packed, plain = trained(bool), trained(jnp.uint8)
    assert packed.memory.shape == (7, 2)
    assert packed.memory.dtype == jnp.uint8
    bits = np.unpackbits(np.asarray(packed.memory), axis=1, count=15).reshape(7, 3, 5)
    np.testing.assert_array_equal(bits, plain.memory)
    assert_same_bits(packed._replace(memory=()), plain._replace(memory=()))
