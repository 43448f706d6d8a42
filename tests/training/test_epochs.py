"""Epochs: their steps, bit for bit, each datapoint once, and data that are looked at once."""

import copy
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from remjax.data import binarization
from remjax.data.orders import as_stored, shuffled
from remjax.errors import InputError
from remjax.methods import Particles, make_estimator, nvil, rem_v1, rws
from remjax.models import (
    bernoulli_likelihood,
    gaussian_model,
    gaussian_recognition,
    sigmoid_belief_network,
    sigmoid_belief_recognition,
)
from remjax.training import (
    adam,
    epochs,
    init_train_state,
    make_epoch,
    make_train_step,
    metric_means,
)
from remjax.training.replicas import stack_replicas, train_replicas
from remjax.types import Batch, Estimate, Estimator, Params
from tests import linear_gaussian
from tests.training.states import assert_close, assert_same_bits

TRUTH = linear_gaussian.example()
DATA = jnp.asarray(TRUTH.sample(0, 10), jnp.float32)
OPTIMIZER = adam(1e-2)
N, B = 10, 3  # three steps an epoch; one datapoint waits
ESTIMATOR = make_estimator(
    linear_gaussian.model(TRUTH), linear_gaussian.diagonal_recognition(TRUTH), rws(), Particles(5)
)


@functools.cache
def compiled_epoch():
    return make_epoch(
        ESTIMATOR, OPTIMIZER, num_data=N, batch_size=B, binarization=binarization.per_minibatch
    )


def start():
    return init_train_state(ESTIMATOR, OPTIMIZER, jax.random.key(7), DATA)


def test_an_epoch_is_its_steps():
    """A binarisation that watches tells which datapoints each step takes."""
    seen = []

    def watching(key, epoch, step, index, x):
        jax.debug.callback(lambda *told: seen.append(told), epoch, step, index, ordered=True)
        return x

    run = make_epoch(ESTIMATOR, OPTIMIZER, num_data=N, batch_size=B, binarization=watching)
    state = run(start(), DATA, 3)
    jax.effects_barrier()
    assert [(int(epoch), int(step)) for epoch, step, _ in seen] == [(0, 0), (0, 1), (0, 2)]
    stepped, step = start(), make_train_step(ESTIMATOR, OPTIMIZER)
    for _, _, index in seen:
        stepped, _ = step(stepped, Batch(DATA[index], jnp.asarray(index)))
    assert_close(state, stepped)


def test_cutting_an_epoch_changes_no_bit():
    data = jnp.clip(DATA, 0.0, 1.0)
    whole = compiled_epoch()(start(), data, 5)  # across the end of an epoch
    cut = start()
    for count in (1, 2, 1, 1):
        cut = compiled_epoch()(cut, data, count)
    assert_same_bits(whole, cut)
    assert whole.step == 5


def test_the_order_of_an_epoch_is_made_once_and_for_each_state_its_own():
    """However the epoch is cut, and whatever states take turns in one program."""
    made = []

    def watched(key, epoch, num_data):
        jax.debug.callback(lambda epoch: made.append(int(epoch)), epoch, ordered=True)
        return shuffled(key, epoch, num_data)

    def orders(calls):
        made.clear()
        after = calls()
        jax.effects_barrier()
        return after, list(made)

    run = make_epoch(ESTIMATOR, OPTIMIZER, num_data=N, batch_size=B, order=watched)
    whole, seen = orders(lambda: run(start(), DATA, 8))
    assert seen == [0, 1, 2]
    cut, seen = orders(lambda: functools.reduce(lambda s, n: run(s, DATA, n), [1] * 8, start()))
    assert seen == [0, 1, 2]
    assert_same_bits(whole, cut)
    # No step leaves the places of epoch 2 where they are, and they are nobody's: made anew.
    after, seen = orders(lambda: run(run(run(cut, DATA, 0), DATA, 1), DATA, 1))
    assert seen == [2, 3]
    assert_same_bits(after, run(start(), DATA, 10))
    # Another key at the same step in between, and an earlier epoch of the same key.
    other = start()._replace(key=jax.random.key(8))
    alone = run(start()._replace(key=jax.random.key(8)), DATA, 2)
    mine, other = run(start(), DATA, 1), run(other, DATA, 1)
    assert_same_bits(run(mine, DATA, 9), after)
    assert_same_bits(run(other, DATA, 1), alone)


def test_compiled_ahead_of_time_gives_the_same():
    data = jnp.clip(DATA, 0.0, 1.0)
    ahead = compiled_epoch().compile(start(), data)
    assert_same_bits(ahead(start(), data, 3), compiled_epoch()(start(), data, 3))


class Counts:
    """An estimator whose parameters count the visits of each datapoint, and a rate of one."""

    optimizer = optax.sgd(1.0)

    @staticmethod
    def estimator():
        def estimate(params, state, key, batch):
            seen = jnp.sum(params.theta[batch.index] * batch.x[:, 0])
            # Data that are not finite are refused; a gradient that is not, is skipped.
            seen = seen * jnp.where(jnp.any(batch.x < 0.0), jnp.nan, 1.0)
            metrics = {"first": batch.x[0, 0], "size": jnp.float32(len(batch.x))}
            metrics["first"] = metrics["first"] * jnp.where(jnp.isnan(seen), jnp.nan, 1.0)
            return Estimate(-seen, jnp.sum(params.eta), metrics), state + jnp.sum(batch.x)

        return Estimator(lambda key: (Params(jnp.zeros(N), jnp.zeros(1)), jnp.zeros(())), estimate)

    @classmethod
    def after(cls, data, counts, **options):
        """The state after so many steps, one call for each of the counts."""
        run = make_epoch(cls.estimator(), cls.optimizer, num_data=N, batch_size=B, **options)
        state = init_train_state(cls.estimator(), cls.optimizer, jax.random.key(1), data)
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
    data = jnp.arange(1.0, N + 1)[:, None].at[4, 0].set(-1.0)
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
    assert means["skipped_updates"] == 1.0
    assert np.isfinite(means["first"])
    assert float(state.metric_counts["first"]) == 2.0
    assert int(state.step) == 3
    # The sums start anew with the next epoch.
    assert float(Counts.after(data, [3, 1]).metric_counts["size"]) == 1.0


def test_data_of_another_size_than_said():
    run = make_epoch(ESTIMATOR, OPTIMIZER, num_data=2 * N, batch_size=B)
    with pytest.raises(InputError, match=f"num_data is {2 * N} and the data are {N} rows"):
        run(start(), DATA, 1)


@pytest.mark.parametrize("batch_size", [0, N + 1])
def test_batch_sizes_that_make_no_sense(batch_size):
    with pytest.raises(InputError, match=f"batch_size is {batch_size}"):
        make_epoch(ESTIMATOR, OPTIMIZER, num_data=N, batch_size=batch_size)


def test_the_same_data_are_checked_once_and_others_when_they_come(monkeypatch):
    checked = []
    monkeypatch.setattr(epochs, "check_rows", lambda x, support: checked.append(x.shape))
    # Another object around the program that the other tests compiled: it has checked nothing.
    run = copy.copy(compiled_epoch())
    data, state = jnp.clip(DATA, 0.0, 1.0), start()
    for _ in range(3):
        state = run(state, data, 1)
    run.compile(state, data)
    assert checked == [(N, 3)]
    state = run(state, data.at[0, 0].set(0.5), 1)
    assert len(checked) == 2
    run(state, np.asarray(data), 1)
    assert len(checked) == 3


def test_refused_data_leave_the_state_to_go_on_with():
    """Every way into the program is guarded, and nothing is donated before the data are."""
    data = jnp.clip(DATA, 0.0, 1.0)
    bad, state = data.at[3, 1].set(jnp.nan), start()
    run = compiled_epoch()
    for call in (lambda: run(state, bad, 1), lambda: run.compile(state, bad)):
        with pytest.raises(InputError, match=r"^row 3 holds nan: drop or impute that row$"):
            call()
    together = train_replicas(compiled_epoch())
    with pytest.raises(InputError, match=r"^row 3 holds nan"):
        together(stack_replicas([state]), bad, 1)
    assert_same_bits(compiled_epoch()(state, data, 1), compiled_epoch()(start(), data, 1))


X = np.random.default_rng(0).uniform(size=(8, 6)) < 0.4
MEAN = X.mean(axis=0)


@functools.cache
def of_bits(method):
    """Networks of six pixels, and for `nvil` two bits as latents."""
    likelihood = bernoulli_likelihood(MEAN)
    if method == "nvil":
        model = sigmoid_belief_network(likelihood, latent_sizes=(2,))
        recognition = sigmoid_belief_recognition(MEAN, latent_sizes=(2,))
        return make_estimator(model, recognition, nvil(), Particles(3))
    sizes = {"latent_size": 2, "hidden_sizes": (4,)}
    networks = gaussian_model(likelihood, **sizes), gaussian_recognition(MEAN, **sizes)
    return make_estimator(*networks, rem_v1(), Particles(3))


@functools.cache
def trained_on_bits(method, bits, dtype):
    """The state after three steps."""
    estimator, data = of_bits(method), jnp.asarray(X, dtype)
    run = make_epoch(estimator, OPTIMIZER, num_data=8, batch_size=4, binarization=bits)
    return run(init_train_state(estimator, OPTIMIZER, jax.random.key(0), data), data, 3)


@pytest.mark.parametrize(
    ("method", "bits", "dtype"),
    [
        ("rem_v1", binarization.unchanged, "bool"),
        pytest.param("rem_v1", binarization.unchanged, "uint8", marks=pytest.mark.exhaustive),
        pytest.param("rem_v1", binarization.unchanged, "int32", marks=pytest.mark.exhaustive),
        pytest.param("rem_v1", binarization.fixed, "uint8", marks=pytest.mark.exhaustive),
        pytest.param("rem_v1", binarization.per_epoch, "int32", marks=pytest.mark.exhaustive),
        ("rem_v1", binarization.per_minibatch, "bool"),
        pytest.param("nvil", binarization.unchanged, "bool", marks=pytest.mark.exhaustive),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_bits_of_every_type_train_alike(method, bits, dtype):
    """Ones and zeros stay what they are in every binarisation: one run of floats is all of them."""
    expected = trained_on_bits(method, binarization.unchanged, "float32")
    assert expected.skipped_updates == 0
    assert_close(trained_on_bits(method, bits, dtype), expected)


def test_whole_numbers_reach_the_model_as_they_are():
    """Token numbers, which a likelihood may use as an index."""
    sizes = {"latent_size": 2, "hidden_sizes": (4,)}
    model = gaussian_model(bernoulli_likelihood(MEAN), **sizes)
    tokens = model._replace(
        log_likelihood=lambda theta, x, z: jnp.sum(jax.nn.log_softmax(model.mean(theta, z))[x])
    )
    recognition = gaussian_recognition(MEAN, **sizes)
    estimator = make_estimator(tokens, recognition, rem_v1(), Particles(3))
    data = X.astype(np.int32)
    state = init_train_state(estimator, OPTIMIZER, jax.random.key(0), data)
    state = make_epoch(estimator, OPTIMIZER, num_data=8, batch_size=4)(state, data, 2)
    assert state.skipped_updates == 0
    assert np.isfinite(metric_means(state)["log_evidence"])
