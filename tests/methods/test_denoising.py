"""Denoising under a fixed corruption: expected gradients by enumeration, what training finds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from remjax.distributions import Flips, GaussianNoise, Masking, SaltAndPepper
from remjax.errors import InputError
from remjax.methods import make_denoising_estimator
from remjax.models import bernoulli_likelihood, denoising_model, gaussian_likelihood, pure
from remjax.training import (
    adam,
    checkpoints,
    init_train_state,
    make_epoch,
    make_train_step,
    metric_means,
    replica,
    stack_replicas,
    train_replicas,
)
from remjax.types import Batch, DenoisingModel, Params
from tests import denoising_tables as tables
from tests.gradients import assert_mean, gradients_of
from tests.training.states import assert_close, assert_same_bits

STATES = jnp.asarray(tables.STATES, jnp.float32)
MEAN = tables.DATA @ tables.STATES
NETWORK = denoising_model(bernoulli_likelihood(MEAN), MEAN, hidden_sizes=(3,))
CORRUPTIONS = (SaltAndPepper(0.5), Masking(0.4), Flips(0.2))
corruptions = pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda one: type(one).__name__)
# Each state as often as its probability has it, in 2,000 rows.
COUNTS = np.round(2_000 * tables.DATA).astype(int)
ROWS = np.repeat(tables.STATES.astype(np.float32), COUNTS, axis=0)
EMPIRICAL = COUNTS / COUNTS.sum()


def moved(model, size=0.5):
    """Parameters away from where they start."""
    leaves, structure = jax.tree.flatten(model.init(jax.random.key(3)))
    noise = np.random.default_rng(0)
    return jax.tree.unflatten(
        structure, [leaf + jnp.asarray(size * noise.normal(size=leaf.shape)) for leaf in leaves]
    )


def enumerated_loss(theta, marginals, x):
    """1/S sum_s E_{zbar_s} [-log p_theta(x | zbar_s)], the distributions of the zbar_s held."""
    log_p = jax.vmap(lambda zbar: NETWORK.log_likelihood(theta, x, zbar))(STATES)
    return -jnp.mean(jnp.asarray(np.array(marginals), jnp.float32) @ log_p)


@corruptions
def test_expected_gradient_is_that_of_the_enumerated_objective(corruption):
    """Eq. 9 with one corruption and with several; 4,000 keys, five standard errors."""
    theta, x = moved(NETWORK), STATES[6]
    q = tables.corruption_table(corruption)[6]
    exact = jax.grad(enumerated_loss)(theta, [q], x)
    for particles in (1, 3):
        run = gradients_of(make_denoising_estimator(NETWORK, corruption, num_particles=particles))
        rows = run(Params(theta, ()), x, jax.random.split(jax.random.key(particles), 4_000))
        assert_mean(rows.theta, exact, bias=1e-6)


@pytest.mark.parametrize("corruption", [CORRUPTIONS[0], CORRUPTIONS[2]], ids=["grains", "flips"])
def test_expected_gradient_of_walkback(corruption):
    """The mean over the points of the chain, whose distributions carry no gradient."""
    theta, x = moved(NETWORK), STATES[6]
    q, p = tables.corruption_table(corruption), tables.model_table(NETWORK, theta)
    marginals = [q[6], q[6] @ p @ q, q[6] @ p @ q @ p @ q]
    exact = jax.grad(enumerated_loss)(theta, marginals, x)
    estimator = make_denoising_estimator(NETWORK, corruption, num_particles=2, num_steps=3)
    rows = gradients_of(estimator)(Params(theta, ()), x, jax.random.split(jax.random.key(0), 4_000))
    assert_mean(rows.theta, exact, bias=1e-6)
    # The bound tells walkback from plain denoising.
    plain = jax.grad(enumerated_loss)(theta, marginals[:1], x)
    with pytest.raises(AssertionError):
        assert_mean(rows.theta, plain, bias=1e-6)


def test_value_and_metric_are_the_mean_over_the_batch(key):
    """Without noise, zbar = x: the losses are known, for any number of particles."""
    theta, x = moved(NETWORK), STATES[3:8]
    for particles in (1, 4):
        estimator = make_denoising_estimator(NETWORK, Masking(0.0), num_particles=particles)
        estimate, state = estimator.estimate(Params(theta, ()), (), key, Batch(x, jnp.arange(5)))
        exact = np.mean([NETWORK.log_likelihood(theta, one, one) for one in x])
        np.testing.assert_allclose(estimate.theta_loss, -exact, rtol=1e-5)
        np.testing.assert_allclose(estimate.metrics["log_likelihood"], exact, rtol=1e-5)
        assert estimate.eta_loss == 0.0
        assert state == ()


def test_draws_follow_from_the_place_in_the_data(key):
    """The same datapoint in another batch has the same corruption."""
    estimator = make_denoising_estimator(NETWORK, CORRUPTIONS[0], num_steps=2)
    params = Params(moved(NETWORK), ())

    def value(places):
        batch = Batch(STATES[places], places)
        return estimator.estimate(params, (), key, batch)[0].theta_loss

    one_by_one = [value(jnp.asarray([place])) for place in (2, 5, 7)]
    np.testing.assert_allclose(value(jnp.asarray([7, 2, 5])), np.mean(one_by_one), rtol=1e-5)


def trained(model, corruption, updates, **options):
    estimator = make_denoising_estimator(model, corruption, **options)
    optimizer = adam(lambda step: 0.05 * (1.0 - step / updates))
    state = init_train_state(estimator, optimizer, jax.random.key(0), ROWS)
    epoch = make_epoch(estimator, optimizer, num_data=len(ROWS), batch_size=100)
    state = epoch(state, ROWS, updates)
    assert state.skipped_updates == 0
    return state


@pytest.mark.parametrize("num_steps", [1, 3])
def test_a_trained_table_has_the_data_as_its_stationary_distribution(num_steps):
    """Within 2 in 100 of total variation, where the start is at 50; walkback comes there too."""
    corruption, model = CORRUPTIONS[0], tables.table_model()
    state = trained(model, corruption, 3_000, num_particles=4, num_steps=num_steps)

    def distance(theta):
        matrix = tables.transition_matrix(corruption, tables.model_table(model, theta))
        return tables.total_variation(tables.stationary_distribution(matrix), EMPIRICAL)

    assert distance(state.params.theta) < 0.02
    assert distance(model.init(jax.random.key(0))) > 0.5
    if num_steps == 1:
        best = tables.posterior_table(corruption, EMPIRICAL)
        joint = EMPIRICAL[:, None] * tables.corruption_table(corruption)
        # One epoch of 8,000 draws: the spread of one is about a nat.
        bound = np.sum(joint * np.log(best.T))
        np.testing.assert_allclose(metric_means(state)["log_likelihood"], bound, atol=0.06)


@corruptions
def test_walkback_has_the_data_as_its_stationary_distribution(corruption):
    """Proposition 1 of Bengio et al. 2013, by iteration to the table that walkback learns.

    It is not the posterior under q, but that under the mean of what the chain makes of x, and yet
    the chain of the one with the other keeps the data.
    """
    q, plain = tables.corruption_table(corruption), tables.posterior_table(corruption)
    p = plain
    for _ in range(200):
        reached, mean = q, q / 3
        for _ in range(2):
            reached = reached @ p @ q
            mean = mean + reached / 3
        joint = (tables.DATA[:, None] * mean).T
        p = joint / joint.sum(axis=1, keepdims=True)
    assert np.abs(p - plain).max() > 0.05
    np.testing.assert_allclose(tables.stationary_distribution(q @ p), tables.DATA, atol=1e-6)


def test_a_trained_network_comes_near_the_data():
    """Its bits are independent given zbar, so it is the nearer, the less noise there is."""
    corruption = Flips(0.1)
    model = denoising_model(bernoulli_likelihood(MEAN), MEAN, hidden_sizes=(20,))
    state = trained(model, corruption, 1_500)

    def distance(theta):
        matrix = tables.transition_matrix(corruption, tables.model_table(model, theta))
        return tables.total_variation(tables.stationary_distribution(matrix), EMPIRICAL)

    assert distance(state.params.theta) < 0.15
    assert distance(model.init(jax.random.key(0))) > 0.45


def test_checkpoints_resume_to_the_same_bits(tmp_path):
    estimator = make_denoising_estimator(NETWORK, CORRUPTIONS[0], num_particles=2, num_steps=2)
    optimizer = adam(1e-2)

    def start():
        return init_train_state(estimator, optimizer, jax.random.key(0), ROWS[:20])

    epoch = make_epoch(estimator, optimizer, num_data=20, batch_size=6)
    half = epoch(start(), ROWS[:20], 4)
    checkpoints.save(tmp_path, 4, half)
    restored = checkpoints.restore(tmp_path, start())
    assert_same_bits(epoch(restored, ROWS[:20], 5), epoch(start(), ROWS[:20], 9))


def test_replicas_are_the_runs_of_their_keys():
    estimator = make_denoising_estimator(NETWORK, CORRUPTIONS[0])
    optimizer = adam(1e-2)

    def states():
        keys = jax.random.split(jax.random.key(0), 2)
        return [init_train_state(estimator, optimizer, key, ROWS[:20]) for key in keys]

    epoch = make_epoch(estimator, optimizer, num_data=20, batch_size=6)
    together = train_replicas(epoch)(stack_replicas(states()), ROWS[:20], 5)
    for number, state in enumerate(states()):
        assert_close(replica(together, number), epoch(state, ROWS[:20], 5), rtol=1e-4, atol=1e-5)


class _Normalised(nnx.Module):
    def __init__(self, rngs):
        self.norm = nnx.BatchNorm(4, momentum=0.9, rngs=rngs)
        self.head = nnx.Linear(4, 4, rngs=rngs)

    def __call__(self, zbar):
        return self.head(self.norm(zbar))


def test_batch_statistics_are_of_corrupted_data():
    """Running averages move a tenth of the way to those of the masked batch: all zeros."""
    init, bind = pure(lambda rngs: _Normalised(rngs))
    likelihood = bernoulli_likelihood(MEAN)
    model = DenoisingModel(
        init=init,
        log_likelihood=lambda theta, x, zbar: likelihood.log_prob((), bind(theta)(zbar), x),
        sample=lambda theta, key, zbar: likelihood.sample((), bind(theta)(zbar), key),
        support=likelihood.support,
    )
    estimator = make_denoising_estimator(model, Masking(1.0), num_steps=2)
    optimizer = adam(1e-2)
    state = init_train_state(estimator, optimizer, jax.random.key(0), STATES)
    before = jax.tree.map(np.asarray, state.params.theta["norm"])
    state, _ = make_train_step(estimator, optimizer)(state, Batch(STATES[:6], jnp.arange(6)))
    assert state.skipped_updates == 0
    after = state.params.theta["norm"]
    np.testing.assert_allclose(after["mean"], 0.9 * before["mean"], atol=1e-6)
    np.testing.assert_allclose(after["var"], 0.9 * before["var"], atol=1e-6)


@pytest.mark.parametrize("x", [np.zeros((5, 4)), np.ones((5, 4)), np.full((5, 4), 0.5)])
def test_constant_data_have_finite_gradients(x):
    model = denoising_model(gaussian_likelihood(np.full(4, 0.5), 0.0), [0.5] * 4, hidden_sizes=(3,))
    for network in (NETWORK, model):
        estimator = make_denoising_estimator(network, CORRUPTIONS[0], num_steps=2)
        state = init_train_state(estimator, adam(1e-2), jax.random.key(0), x)
        epoch = make_epoch(estimator, adam(1e-2), num_data=5, batch_size=5)
        assert epoch(state, x, 3).skipped_updates == 0


def test_what_cannot_be_is_one_line():
    with pytest.raises(InputError, match=r"^num_particles is 0: give at least 1 particle$"):
        make_denoising_estimator(NETWORK, Flips(0.1), num_particles=0)
    with pytest.raises(InputError, match=r"^num_steps is 0: give at least 1 step$"):
        make_denoising_estimator(NETWORK, Flips(0.1), num_steps=0)
    vector = NETWORK._replace(log_likelihood=lambda *args: NETWORK.log_likelihood(*args)[None])
    estimator = make_denoising_estimator(vector, Flips(0.1))
    with pytest.raises(
        InputError, match=r"^log_likelihood\(x, zbar\) of one .* shape \(1,\): it is"
    ):
        init_train_state(estimator, adam(1e-2), jax.random.key(0), ROWS)


REAL = denoising_model(gaussian_likelihood(np.zeros(4), 1.0), np.zeros(4), hidden_sizes=(3,))


@pytest.mark.parametrize(
    ("model", "corruption", "scale", "pattern"),
    [
        (NETWORK, Flips(0.1), 255, r"holds 255 .* must lie in \[0, 1\]: divide bytes by 255"),
        (NETWORK, GaussianNoise(0.1), -1, r"holds -1 .* must lie in \[0, 1\]: divide bytes by"),
        (
            REAL,
            SaltAndPepper(0.1),
            -1,
            r"holds -1 .* \[0, 1\]: use GaussianNoise or Masking for ot",
        ),
    ],
    ids=["bytes", "negative", "grains on reals"],
)
def test_data_that_model_or_corruption_do_not_take(model, corruption, scale, pattern):
    estimator, x = make_denoising_estimator(model, corruption), scale * ROWS[-20:]
    state = init_train_state(estimator, adam(1e-2), jax.random.key(0), x)
    epoch = make_epoch(estimator, adam(1e-2), num_data=20, batch_size=5)
    with pytest.raises(InputError, match=pattern) as raised:
        epoch(state, x, 1)
    assert "\n" not in str(raised.value)


def test_reals_take_gaussian_noise_and_masks():
    for corruption in (GaussianNoise(0.1), Masking(0.5)):
        estimator = make_denoising_estimator(REAL, corruption)
        state = init_train_state(estimator, adam(1e-2), jax.random.key(0), -ROWS[:20])
        epoch = make_epoch(estimator, adam(1e-2), num_data=20, batch_size=5)
        assert epoch(state, -ROWS[:20], 3).skipped_updates == 0
