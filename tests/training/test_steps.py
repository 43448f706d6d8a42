"""Training steps: they learn, skip what is not finite and say so, and use up their state alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from remjax.methods import Particles, iwae, make_estimator, rws
from remjax.models import gaussian_likelihood, gaussian_model, gaussian_recognition
from remjax.training import adam, init_train_state, make_epoch, make_train_step, metric_means
from remjax.types import Batch, Estimate, Estimator, Params
from tests import linear_gaussian
from tests.training.states import assert_same_bits, copied

TRUTH = linear_gaussian.example()
DATA = jnp.asarray(TRUTH.sample(0, 10), jnp.float32)
OPTIMIZER = adam(1e-2)
START = TRUTH._replace(weight=0.1 * TRUTH.weight, bias=np.zeros(3))
MODEL, RECOGNITION = linear_gaussian.model(START), linear_gaussian.diagonal_recognition(START)
N, B = 10, 3
ESTIMATOR = make_estimator(MODEL, RECOGNITION, rws(), Particles(5))


@functools.cache
def compiled_step():
    return make_train_step(ESTIMATOR, OPTIMIZER)


def start(estimator=ESTIMATOR):
    return init_train_state(estimator, OPTIMIZER, jax.random.key(7), DATA)


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


def test_the_form_of_the_data_is_all_that_a_first_state_needs():
    """An array of the host or of the device, or its shape and type alone, give the same state."""
    for data in (np.asarray(DATA), jax.ShapeDtypeStruct(DATA.shape, DATA.dtype)):
        assert_same_bits(init_train_state(ESTIMATOR, OPTIMIZER, jax.random.key(7), data), start())


def test_a_datapoint_that_is_nan_is_skipped():
    state = start()
    before = copied(state.params)
    batch = Batch(DATA[:B].at[0, 0].set(jnp.nan), jnp.arange(B))
    state, metrics = compiled_step()(state, batch)
    assert np.isnan(metrics["log_evidence"])
    assert state.skipped_updates == 1
    assert_same_bits(before, state.params)
    assert np.isnan(metric_means(state)["log_evidence"])  # no step of this epoch had one
    state, _ = compiled_step()(state, Batch(DATA[:B], jnp.arange(B)))
    assert state.skipped_updates == 1
    assert np.isfinite(metric_means(state)["log_evidence"])


def test_a_gradient_whose_square_is_infinite_is_skipped():
    """Adam would hold its second moment at infinity, and never move that part again."""

    def estimate(params, state, key, batch):
        loss = jnp.sum(batch.x) * params.theta
        return Estimate(loss, params.eta**2, {"loss": loss}), state

    init = lambda key: (Params(jnp.ones(()), jnp.ones(())), ())  # noqa: E731
    estimator = Estimator(init, estimate)
    state = init_train_state(estimator, OPTIMIZER, jax.random.key(0), jnp.zeros((1, 1)))
    step = make_train_step(estimator, OPTIMIZER)
    for x in (1e20, 1.0):
        state, _ = step(state, Batch(jnp.full((1, 1), x), jnp.zeros(1, int)))
    assert state.skipped_updates == 1
    np.testing.assert_allclose([state.params.theta, state.params.eta], 1.0 - 1e-2, rtol=1e-3)


def test_skipped_updates_are_reported_with_the_means():
    """A likelihood that is NaN for one of ten rows: the batches of B = 5 that hold it are skipped.

    There is one such batch in each epoch of two, so half of the updates are left out.
    """
    bad = DATA[4, 0]
    model = MODEL._replace(
        log_likelihood=lambda theta, x, z: (
            MODEL.log_likelihood(theta, x, z) + jnp.where(x[0] == bad, jnp.nan, 0.0)
        )
    )
    estimator = make_estimator(model, RECOGNITION, iwae, Particles(5))
    run = make_epoch(estimator, OPTIMIZER, num_data=N, batch_size=5)
    state = start(estimator)
    assert metric_means(state)["skipped_updates"] == 0.0
    means = metric_means(run(state, DATA, 6))
    assert means["skipped_updates"] == 3.0
    assert np.isfinite(means["log_evidence"])


def test_several_seeds_and_methods_train_on_one_model():
    """The start of a Gaussian likelihood's scales is an array of the model: no run uses it up."""
    mean, scale = np.asarray(DATA).mean(0), np.asarray(DATA).std(0)
    sizes = {"latent_size": 2, "hidden_sizes": (4,)}
    model = gaussian_model(gaussian_likelihood(mean, scale), **sizes)
    recognition = gaussian_recognition(mean, **sizes)
    for method in (rws(), iwae):
        estimator = make_estimator(model, recognition, method, Particles(3))
        run = make_epoch(estimator, OPTIMIZER, num_data=N, batch_size=5)
        for seed in (0, 1):
            state = init_train_state(estimator, OPTIMIZER, jax.random.key(seed), DATA)
            state = run(state, DATA, 2)
            assert np.isfinite(metric_means(state)["log_evidence"])


def test_arrays_of_the_caller_survive_a_warm_start():
    """An `init` that gives away what somebody else owns: parameters, and an estimator's state."""
    params, memory = ESTIMATOR.init(jax.random.key(3))[0], jnp.arange(3.0)
    before = copied((params, memory))

    def estimate(params, state, key, batch):
        estimate, _ = ESTIMATOR.estimate(params, (), key, batch)
        return estimate, state + 1.0

    estimator = Estimator(lambda key: (params, memory), estimate)
    step, batch = make_train_step(estimator, OPTIMIZER), Batch(DATA[:B], jnp.arange(B))
    first, _ = step(start(estimator), batch)
    second, _ = step(start(estimator), batch)
    assert_same_bits(first, second)
    assert_same_bits((params, memory), before)
    np.testing.assert_array_equal(second.estimator_state, memory + 1.0)


def test_arrays_put_into_a_state_by_hand_are_used_up_with_it():
    """As `TrainState` says: give it copies where the arrays are wanted later."""
    mine = ESTIMATOR.init(jax.random.key(3))[0]
    kept = copied(mine)
    batch = Batch(DATA[:B], jnp.arange(B))
    state, _ = compiled_step()(start()._replace(params=copied(kept)), batch)
    assert not kept.theta["weight"].is_deleted()
    again, _ = compiled_step()(start()._replace(params=mine), batch)
    assert_same_bits(state, again)
    assert mine.theta["weight"].is_deleted()
