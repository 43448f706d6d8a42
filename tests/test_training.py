"""Training steps and epochs: they learn, repeat bit for bit, visit the data once, skip the bad."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from remjax.data.binarization import per_minibatch
from remjax.data.orders import as_stored
from remjax.errors import InputError
from remjax.methods.wake_sleep import rws
from remjax.training.optimizers import adam
from remjax.training.replicas import replica, stack_replicas, train_replicas
from remjax.training.steps import init_train_state, make_epoch, make_train_step, metric_means
from remjax.types import Batch, Estimate, Estimator, Params
from tests import linear_gaussian

TRUTH = linear_gaussian.example()
DATA = jnp.asarray(TRUTH.sample(0, 10), jnp.float32)
OPTIMIZER = adam(1e-2)
N, B = 10, 3  # three steps an epoch; one datapoint waits


def estimator_of():
    start = TRUTH._replace(weight=0.1 * TRUTH.weight, bias=np.zeros(3))
    model = linear_gaussian.model(start)
    return rws(model, linear_gaussian.diagonal_recognition(start), num_particles=5)


@functools.cache
def compiled_step():
    return make_train_step(estimator_of(), OPTIMIZER)


def start():
    return init_train_state(estimator_of(), OPTIMIZER, jax.random.key(7), data_size=3)


def leaves(state):
    """The arrays of a state; of a key, its data."""
    return [
        np.asarray(jax.random.key_data(leaf) if leaf.dtype == state.key.dtype else leaf)
        for leaf in jax.tree.leaves(state)
    ]


def assert_same_bits(first, second):
    for a, b in zip(leaves(first), leaves(second), strict=True):
        np.testing.assert_array_equal(a, b)


def test_steps_learn_and_donate_their_state():
    state = start()
    batch, evidence = Batch(DATA, jnp.arange(N)), []
    for _ in range(150):
        given = state
        state, metrics = compiled_step()(state, batch)
        evidence.append(float(metrics["log_evidence"]))
    assert given.params.theta["weight"].is_deleted()
    assert np.mean(evidence[-20:]) > np.mean(evidence[:20]) + 0.5
    assert state.step == 150
    assert state.skipped_updates == 0
    np.testing.assert_allclose(metric_means(state)["log_evidence"], np.mean(evidence), rtol=1e-4)


def test_an_epoch_is_its_steps():
    """A binarisation that watches tells which datapoints each step takes."""
    seen = []

    def watching(key, epoch, step, index, x):
        jax.debug.callback(lambda *told: seen.append(told), epoch, step, index, ordered=True)
        return x

    run = make_epoch(estimator_of(), OPTIMIZER, num_data=N, batch_size=B, binarization=watching)
    state = run(start(), DATA, 3)
    jax.effects_barrier()
    assert [(int(epoch), int(step)) for epoch, step, _ in seen] == [(0, 0), (0, 1), (0, 2)]
    stepped = start()
    for _, _, index in seen:
        stepped, _ = compiled_step()(stepped, Batch(DATA[index], jnp.asarray(index)))
    for ours, theirs in zip(leaves(state), leaves(stepped), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_cutting_an_epoch_changes_no_bit():
    data = jnp.clip(DATA, 0.0, 1.0)
    run = make_epoch(
        estimator_of(), OPTIMIZER, num_data=N, batch_size=B, binarization=per_minibatch
    )
    whole = run(start(), data, 5)  # across the end of an epoch
    cut = start()
    for count in (1, 2, 1, 1):
        cut = run(cut, data, count)
    assert_same_bits(whole, cut)
    assert whole.step == 5


class Counts:
    """An estimator whose parameters count the visits of each datapoint, and a rate of one."""

    optimizer = optax.sgd(1.0)

    @staticmethod
    def estimator():
        def estimate(params, state, key, batch):
            seen = jnp.sum(params.theta[batch.index] * batch.x[:, 0])
            metrics = {"first": batch.x[0, 0], "size": jnp.float32(len(batch.x))}
            return Estimate(-seen, jnp.sum(params.eta), metrics), state + jnp.sum(batch.x)

        return Estimator(lambda key: (Params(jnp.zeros(N), jnp.zeros(1)), jnp.zeros(())), estimate)

    @classmethod
    def after(cls, data, counts, **options):
        """The state after so many steps, one call for each of the counts."""
        run = make_epoch(cls.estimator(), cls.optimizer, num_data=N, batch_size=B, **options)
        state = init_train_state(cls.estimator(), cls.optimizer, jax.random.key(1), data_size=1)
        for count in counts:
            state = run(state, data, count)
        return state


def test_data_in_their_stored_order():
    """The last datapoint waits in every epoch, and each batch begins where it always does."""
    state = Counts.after(jnp.arange(float(N))[:, None], [3] * 4, order=as_stored)
    np.testing.assert_array_equal(metric_means(state)["first"], np.mean([0, B, 2 * B]))


def test_every_datapoint_at_most_once_an_epoch_and_in_a_fresh_order():
    ones = jnp.ones((N, 1))
    first = np.asarray(Counts.after(ones, [3]).params.theta)
    assert sorted(first) == [0.0] + [1.0] * 9
    # Who waits changes from epoch to epoch: in 12 of them nobody waits always.
    state = Counts.after(ones, [3] * 12)
    visits = np.asarray(state.params.theta)
    assert visits.sum() == 12 * 9
    assert visits.max() <= 12
    assert visits.min() >= 6
    assert not np.array_equal(first, np.asarray(Counts.after(ones, [3, 3]).params.theta) - first)


def test_bad_updates_are_skipped_counted_and_left_out_of_the_means():
    data = jnp.arange(1.0, N + 1)[:, None].at[4, 0].set(jnp.nan)
    visited = [
        np.asarray(Counts.after(jnp.ones((N, 1)), [count]).params.theta) for count in (1, 2, 3)
    ]
    batches = np.diff(np.stack([np.zeros(N), *visited]), axis=0)
    bad = batches[:, 4] > 0
    assert bad.sum() == 1  # of this key's first epoch
    state = Counts.after(data, [3])
    assert int(state.skipped_updates) == 1
    expected = np.where(batches[~bad].sum(axis=0) > 0, np.arange(1.0, N + 1), 0.0)
    np.testing.assert_array_equal(state.params.theta, expected)
    np.testing.assert_array_equal(state.params.eta, [-2.0])
    np.testing.assert_array_equal(state.estimator_state, expected.sum())
    means = metric_means(state)
    assert means["size"] == B
    assert np.isfinite(means["first"])
    assert int(state.step) == 3
    # The sums start anew with the next epoch.
    assert float(Counts.after(data, [3, 1]).metric_counts["size"]) == 1.0


def test_real_estimator_skips_a_datapoint_that_is_nan():
    state = start()
    before = [leaf.copy() for leaf in jax.tree.leaves(state.params)]
    batch = Batch(DATA[:B].at[0, 0].set(jnp.nan), jnp.arange(B))
    state, metrics = compiled_step()(state, batch)
    assert np.isnan(metrics["log_evidence"])
    assert state.skipped_updates == 1
    for old, new in zip(before, jax.tree.leaves(state.params), strict=True):
        np.testing.assert_array_equal(old, new)
    assert np.isnan(metric_means(state)["log_evidence"])  # no step of this epoch had one
    state, _ = compiled_step()(state, Batch(DATA[:B], jnp.arange(B)))
    assert state.skipped_updates == 1
    assert np.isfinite(metric_means(state)["log_evidence"])


def test_gradient_whose_square_is_infinite_is_skipped():
    """Adam would hold its second moment at infinity, and never move that part again."""

    def estimate(params, state, key, batch):
        loss = jnp.sum(batch.x) * params.theta
        return Estimate(loss, params.eta**2, {"loss": loss}), state

    init = lambda key: (Params(jnp.ones(()), jnp.ones(())), ())  # noqa: E731
    estimator = Estimator(init, estimate)
    state = init_train_state(estimator, OPTIMIZER, jax.random.key(0), 1)
    step = make_train_step(estimator, OPTIMIZER)
    for x in (1e20, 1.0):
        state, _ = step(state, Batch(jnp.full((1, 1), x), jnp.zeros(1, int)))
    assert state.skipped_updates == 1
    np.testing.assert_allclose([state.params.theta, state.params.eta], 1.0 - 1e-2, rtol=1e-3)


def test_data_of_another_size_than_said():
    run = make_epoch(estimator_of(), OPTIMIZER, num_data=2 * N, batch_size=B)
    with pytest.raises(InputError, match=f"num_data is {2 * N} and the data are {N} rows"):
        run(start(), DATA, 1)


@pytest.mark.parametrize("batch_size", [0, N + 1])
def test_batch_sizes_that_make_no_sense(batch_size):
    with pytest.raises(InputError, match=f"batch_size is {batch_size}"):
        make_epoch(estimator_of(), OPTIMIZER, num_data=N, batch_size=batch_size)


@pytest.mark.parametrize("at_a_time", [None, 1, 2])
def test_replicas_in_groups_are_the_runs_of_their_keys(at_a_time):
    """Three of them: groups of two leave one over."""
    options = {"num_data": N, "batch_size": B, "order": as_stored}
    epoch = make_epoch(estimator_of(), OPTIMIZER, **options)

    def states():
        keys = jax.random.split(jax.random.key(0), 3)
        return [init_train_state(estimator_of(), OPTIMIZER, key, data_size=3) for key in keys]

    program = train_replicas(epoch, at_a_time=at_a_time)
    together = program(program(stack_replicas(states()), DATA, 2), DATA, 5)
    for number, state in enumerate(states()):
        alone = epoch(epoch(state, DATA, 2), DATA, 5)
        for a, b in zip(leaves(replica(together, number)), leaves(alone), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_replicas_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="replicas share one step: stack one state or more"):
        stack_replicas([])
    with pytest.raises(InputError, match="at the same step"):
        stack_replicas([start(), start()._replace(step=jnp.ones((), int))])
    with pytest.raises(InputError, match="at_a_time is 0: give 1 or more"):
        train_replicas(make_epoch(estimator_of(), OPTIMIZER, num_data=N, batch_size=B), at_a_time=0)
