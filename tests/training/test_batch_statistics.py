"""Networks with batch normalisation, trained and evaluated: what is normalised by what, when."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax.evaluation import log_likelihood
from remjax.methods import Particles, iwae, make_estimator, rem_v1, rws, vae
from remjax.methods.row import Row
from remjax.models import (
    batch_normalization,
    gaussian_model,
    gaussian_recognition,
    grouped_recognition,
)
from remjax.models.likelihoods import bernoulli_likelihood
from remjax.training import adam, init_train_state, make_epoch, make_train_step, metric_means
from remjax.types import Batch
from tests.bits_in_one_vector import model_of_bits
from tests.training.normalised import BITS, LATENT_SIZE, MOMENTUM, networks, statistics_of
from tests.training.states import assert_same_bits, copied

MODEL, RECOGNITION = networks()
# So slow that the weights stand still while the averages move.
SLOW = adam(1e-6)
BATCH = Batch(jnp.asarray(BITS), jnp.arange(len(BITS)))
METHODS = {
    "vae": (vae(), Particles(3)),
    "iwae": (iwae, Particles(3)),
    "rem_v1": (rem_v1(), Particles(3)),
    "rem_v1 keep": (rem_v1(), Particles(5, keep=2)),
}


@functools.cache
def program(name):
    """(an estimator, an epoch of it whose batch is all of the data)."""
    estimator = make_estimator(MODEL, RECOGNITION, *METHODS[name])
    return estimator, make_epoch(estimator, SLOW, num_data=len(BITS), batch_size=len(BITS))


def start(estimator):
    return init_train_state(estimator, SLOW, jax.random.key(0), BITS)


def before_normalisation(network, x):
    """The outputs of a first layer, in float64."""
    return np.asarray(x, np.float64) @ np.asarray(network["first"]["kernel"], np.float64)


def training_mode_r(eta):
    """loc and scale of every datapoint, normalised by the batch, in float64."""
    hidden = before_normalisation(eta, BITS)
    hidden = np.tanh((hidden - hidden.mean(axis=0)) / np.sqrt(hidden.var(axis=0) + 1e-5))
    heads = hidden @ np.asarray(eta["last"]["kernel"]) + np.asarray(eta["last"]["bias"])
    return heads[:, :LATENT_SIZE], np.exp(heads[:, LATENT_SIZE:])


@pytest.mark.parametrize("name", METHODS)
def test_running_averages_move_toward_those_of_the_batch(name):
    estimator, epoch = program(name)
    state = start(estimator)
    params = copied(state.params)
    state = epoch(state, BITS, 1)
    hidden = before_normalisation(params.eta, BITS)
    first = statistics_of(state.params)
    share = 1.0 - MOMENTUM
    np.testing.assert_allclose(first["encoder mean"], share * hidden.mean(axis=0), rtol=1e-4)
    variance = MOMENTUM + share * hidden.var(axis=0)
    np.testing.assert_allclose(first["encoder var"], variance, rtol=1e-4)
    # 60 steps leave 0.2 % of the start. The decoder's inputs are a draw of r for each datapoint:
    # a running mean of this momentum has 0.1 / 1.9 of the variance of a batch's; five errors.
    state = epoch(state, BITS, 59)
    assert state.skipped_updates == 0
    assert np.isfinite(metric_means(state)["log_evidence"])
    later = statistics_of(state.params)
    np.testing.assert_allclose(later["encoder mean"], hidden.mean(axis=0), rtol=5e-3, atol=1e-3)
    np.testing.assert_allclose(later["encoder var"], hidden.var(axis=0), rtol=5e-3, atol=5e-3)
    loc, scale = training_mode_r(params.eta)
    decoder = params.theta["network"]
    kernel = np.asarray(decoder["first"]["kernel"], np.float64)
    noise = np.sqrt(np.mean(scale**2 @ kernel**2, axis=0) / len(BITS) * 0.1 / 1.9)
    expected = before_normalisation(decoder, loc).mean(axis=0)
    assert np.all(np.abs(later["decoder mean"] - expected) < 5 * noise + 5e-3)
    assert np.all(np.abs(later["decoder var"] - 1.0) > 1e-3)


def test_networks_of_later_groups_remember_too():
    """A group is a network of the groups before it, which are known at a draw of them alone."""
    model = model_of_bits(bernoulli_likelihood(BITS.mean(axis=0)), 4)
    recognition = grouped_recognition(
        BITS.mean(axis=0),
        latent_size=4,
        num_groups=2,
        hidden_sizes=(3,),
        shared_context=False,
        normalization=batch_normalization(),
    )
    estimator = make_estimator(model, recognition, rws(), Particles(3))
    step = make_train_step(estimator, SLOW)
    state, _ = step(start(estimator), BATCH)
    eta = state.params.eta
    for group in eta["groups"]:
        remembered = group["normalized"][0]
        assert np.all(np.asarray(remembered["mean"]) != 0.0)
        assert np.all(np.asarray(remembered["var"]) != 1.0)
    # The bits of the first group are a draw: whatever they are, x alone decides the first.
    kernel = np.asarray(eta["groups"][0]["hidden"][0]["kernel"], np.float64)
    hidden = (BITS - np.float32(BITS.mean(axis=0))) @ kernel
    first = eta["groups"][0]["normalized"][0]
    np.testing.assert_allclose(first["mean"], 0.01 * hidden.mean(axis=0), rtol=1e-3, atol=1e-6)


def test_evaluation_normalises_by_what_is_remembered():
    """A datapoint by itself has the value that it has among others."""
    estimator, epoch = program("iwae")
    params = epoch(start(estimator), BITS, 60).params
    score = functools.partial(log_likelihood, MODEL, RECOGNITION, num_particles=7)
    key = jax.random.key(1)
    among_others = score(params, key, BITS).log_likelihood
    alone = score(params, key, BITS[:1]).log_likelihood
    np.testing.assert_allclose(alone, among_others[:1], rtol=1e-6)
    before = score(start(estimator).params, key, BITS).log_likelihood
    assert np.all(np.abs(among_others - before) > 1e-3)


def test_the_whole_batch_is_normalised_together():
    """1,000 particles of each datapoint would be taken a datapoint at a time."""
    particles = Particles(1000)
    params, _ = program("iwae")[0].init(jax.random.key(0))
    key = jax.random.key(1)
    row = Row(MODEL, RECOGNITION, iwae, particles)
    assert row.datapoints_at_a_time(params, key, BATCH) == len(BITS)
    terms = jax.jit(lambda *arguments: row(*arguments))(params, key, BATCH)
    estimator = make_estimator(MODEL, RECOGNITION, iwae, particles)
    estimate, _ = jax.jit(estimator.estimate)(params, (), key, BATCH)
    np.testing.assert_allclose(estimate.theta_loss, -np.mean(terms.theta), rtol=1e-5)
    np.testing.assert_allclose(estimate.eta_loss, -np.mean(terms.eta), rtol=1e-5)
    sizes = {"latent_size": LATENT_SIZE, "hidden_sizes": (3,)}
    mean = BITS.mean(axis=0)
    model = gaussian_model(bernoulli_likelihood(mean), **sizes)
    plain = Row(model, gaussian_recognition(mean, **sizes), iwae, particles)
    params = make_estimator(model, plain.recognition, iwae, particles).init(key)[0]
    assert plain.datapoints_at_a_time(params, key, BATCH) < len(BITS)


def test_a_skipped_update_leaves_the_averages():
    estimator = program("iwae")[0]
    step, state = make_train_step(estimator, SLOW), start(estimator)
    state, _ = step(state, BATCH)
    before = copied(state.params)
    state, _ = step(state, BATCH._replace(x=BATCH.x.at[3].set(2.0)))
    assert state.skipped_updates == 1
    assert_same_bits(state.params, before)
    state, _ = step(state, BATCH)
    assert state.skipped_updates == 1
    moved = jax.tree.map(lambda a, b: np.all(a != b), *map(statistics_of, (before, state.params)))
    assert all(moved.values())
