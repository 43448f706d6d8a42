"""What surrounds the learning signals: running statistics, mixtures, dreams, and clear refusals.

That the expected gradients are right is shown in test_enumeration.py.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from experiments.enumeration.belief_network import DATA_SIZE, X, network
from remjax.distributions.mixtures import Mixture
from remjax.errors import InputError
from remjax.methods.disarm import Antithetic, disarm
from remjax.methods.groups import ciwae, miwae
from remjax.methods.importance_weighted import dreg, iwae
from remjax.methods.nvil import SignalStatistics, nvil, whole_signal
from remjax.methods.ovis import ovis
from remjax.methods.proposals import from_defensive
from remjax.methods.rem import rem_v1
from remjax.methods.rem_discrete import rem_v1_bernoulli
from remjax.methods.renyi import vr
from remjax.methods.score_function import rloo, vimco
from remjax.methods.thermodynamic import tvo
from remjax.methods.wake_sleep import rws, with_dreams
from remjax.models.baselines import tanh_baseline
from remjax.models.gaussian import gaussian_model, gaussian_recognition
from remjax.models.likelihoods import bernoulli_likelihood
from remjax.types import Batch

NET = network((2, 1))
MEAN = np.full(DATA_SIZE, 0.5)
REAL = (
    gaussian_model(bernoulli_likelihood(MEAN), latent_size=2, hidden_sizes=()),
    gaussian_recognition(MEAN, latent_size=2, hidden_sizes=()),
)
BITS = (NET.model, NET.recognition)
IMAGES = jnp.asarray(np.random.default_rng(0).integers(0, 2, (20, DATA_SIZE)), jnp.float32)
BATCH = Batch(IMAGES, jnp.arange(20))


def test_running_statistics_start_with_the_first_batch_and_then_decay():
    """K = 1, no baseline: the whole signal is log w, whose mean the metric log_evidence is."""
    estimator = nvil(*BITS, num_particles=1, baseline=None, decay=0.75)
    run = jax.jit(lambda state, key: estimator.estimate(NET.params, state, key, BATCH))
    start = estimator.init(jax.random.key(0))[1]
    one, first = run(start, jax.random.key(1))
    two, second = run(first, jax.random.key(2))
    assert not start.begun
    np.testing.assert_allclose(first.mean[0], one.metrics["log_evidence"], rtol=1e-5)
    mixed = 0.75 * first.mean[0] + 0.25 * two.metrics["log_evidence"]
    np.testing.assert_allclose(second.mean[0], mixed, rtol=1e-5)
    assert 0.1 < first.variance[0] < 10.0
    # The signal of the upper layer leaves out what that layer does not move.
    assert abs(first.mean[1] - first.mean[0]) > 0.1


def test_the_baseline_descends_the_square_of_what_it_leaves():
    """1/B sum_b (signal_b - C(x_b) - c)^2 / 2 max(1, sqrt v), against autodiff of that formula.

    K = 1 and one signal, which is log w; c and v are those of before (lagged).
    """
    estimator = nvil(*BITS, num_particles=1, lagged=True, signals=whole_signal)
    own, _ = estimator.init(jax.random.key(3))
    params = NET.params._replace(baseline=own.baseline)
    memory = SignalStatistics(jnp.array([-3.0]), jnp.array([4.0]), jnp.ones(()))
    guess = tanh_baseline(DATA_SIZE, 1).value

    def log_w(index):
        one = Batch(IMAGES[index][None], jnp.asarray([index]))
        alone, _ = estimator.estimate(params, memory, jax.random.key(1), one)
        return alone.metrics["log_evidence"]

    @jax.jit
    def run(params):
        values = lax.stop_gradient(jnp.stack([log_w(index) for index in range(4)]))

        def loss(params):
            batch = Batch(IMAGES[:4], jnp.arange(4))
            return estimator.estimate(params, memory, jax.random.key(1), batch)[0].eta_loss

        def square(baseline):
            guessed = jax.vmap(guess, in_axes=(None, 0))(baseline, IMAGES[:4])[:, 0]
            return jnp.mean(jnp.square(values - guessed + 3.0)) / 2.0 / 2.0

        return jax.grad(loss)(params).baseline, jax.grad(square)(params.baseline)

    ours, expected = run(params)
    assert all(jnp.any(leaf != 0.0) for leaf in jax.tree.leaves(expected))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), ours, expected
    )


def test_dreams_enter_by_their_share():
    """The loss is linear in the share; theta's loss does not know of it."""

    @jax.jit
    def run(key):
        shares = (0.25, 0.5, 0.75)
        each = [rws(*BITS, num_particles=3, dream_share=share) for share in shares]
        return [estimator.estimate(NET.params, (), key, BATCH)[0][:2] for estimator in each]

    (theta, low), (_, middle), (again, high) = run(jax.random.key(0))
    np.testing.assert_allclose(middle, 0.5 * (low + high), rtol=1e-5)
    assert theta == again
    assert low != high


def test_mixture_with_the_prior_is_a_law():
    """Its probabilities sum to one, and 4,000 draws have them: five standard errors."""
    r, prior = NET.recognition.distribution(NET.params.eta, X), NET.model.prior(NET.params.theta)

    @jax.jit
    def run(key):
        law = Mixture(r, prior, jnp.asarray(0.2))
        draws = jax.vmap(law.sample)(jax.random.split(key, 4000))
        same = [a[:, None] == b for a, b in zip(draws, NET.configurations, strict=True)]
        hits = jnp.all(jnp.concatenate(same, axis=-1), axis=-1)
        return jnp.exp(jax.vmap(law.log_prob)(NET.configurations)), jnp.mean(hits, axis=0)

    probability, frequency = run(jax.random.key(0))
    exact = 0.8 * jnp.exp(NET.log_r(NET.params.eta))
    exact += 0.2 * jnp.exp(jax.vmap(prior.log_prob)(NET.configurations))
    np.testing.assert_allclose(probability, exact, rtol=1e-5)
    np.testing.assert_allclose(np.sum(probability), 1.0, rtol=1e-5)
    bound = 5 * np.sqrt(exact * (1 - exact) / 4000)
    assert np.all(np.abs(frequency - exact) <= bound)


def test_antithetic_particles_are_draws_of_the_law():
    """Each member of 4,000 pairs has the law's frequencies: five standard errors.

    Both are one as seldom as they can be: with probability max(0, 2 p - 1).
    """
    r = NET.recognition.distribution(NET.params.eta, X)

    @jax.jit
    def run(key):
        drawn = jax.vmap(lambda k: Antithetic(r, 0).particle(key, k))(jnp.arange(8000))
        return jnp.concatenate(drawn.z, axis=-1), jax.vmap(r.log_prob)(drawn.z) - drawn.log_q

    z, difference = run(jax.random.key(0))
    np.testing.assert_allclose(difference, 0.0, atol=1e-6)
    exact = np.exp(NET.log_r(NET.params.eta)) @ np.concatenate(NET.configurations, axis=-1)
    bound = 5 * np.sqrt(exact * (1 - exact) / 4000)
    for member in (z[::2], z[1::2]):
        assert np.all(np.abs(np.mean(member, axis=0) - exact) <= bound)
    both = np.mean(z[::2] * z[1::2], axis=0)[:2]
    assert np.all(np.abs(both - np.maximum(2 * exact[:2] - 1, 0.0)) <= bound[:2])


def estimate(method, networks, **options):
    """What a user does: builds an estimator and asks for an estimate. Nothing compiles."""
    estimator = method(*networks, **({"num_particles": 4} | options))
    params, state = jax.eval_shape(estimator.init, jax.random.key(0))
    one = Batch(X[None], jnp.zeros(1, int))
    jax.eval_shape(lambda params, state: estimator.estimate(params, state, key, one), params, state)


key = jax.random.key(0)


@pytest.mark.parametrize(
    ("method", "networks", "options", "named"),
    [
        (iwae, BITS, {}, "no reparameterised draw: use a method that needs none"),
        (dreg, BITS, {}, "no reparameterised draw"),
        (rem_v1, BITS, {}, "use rem_v1_bernoulli or rem_v2_bernoulli"),
        (rem_v1_bernoulli, REAL, {}, "the latents are real: use from_s"),
        (disarm, REAL, {}, "a layer of r is DiagonalGaussian: use rloo or vimco"),
        (disarm, BITS, {"num_particles": 3}, "num_particles=3 must be even"),
        (rloo, BITS, {"num_particles": 1}, "rloo compares each particle with the others"),
        (vimco, BITS, {"num_particles": 1}, "vimco compares each particle with the others"),
        (ovis, BITS, {"num_particles": 1}, "ovis compares each particle with the others"),
        (ovis, BITS, {"gamma": 1.5}, "gamma is 1.5: give a number from 0 to 1"),
        (nvil, BITS, {"baseline": None, "centring": False}, "neither a baseline nor centring"),
        (tvo, BITS, {"num_particles": 1}, "tvo compares each particle with their mean"),
        (tvo, BITS, {"num_partitions": 0}, "num_partitions is 0: give 1 or more"),
        (tvo, REAL, {"first_beta": 1.0}, "first_beta is 1.0: give a number above 0 and below 1"),
        (nvil, BITS, {"decay": 1.0}, r"decay is 1\.0"),
        (nvil, (NET.model._replace(prior=None), NET.recognition), {}, "signals=whole_signal"),
        (miwae, REAL, {"num_groups": 3}, "divides num_particles=4"),
        (ciwae, REAL, {"share": 1.5}, r"share is 1\.5"),
        (vr, REAL, {"alpha": np.inf}, "alpha is inf"),
        (rws, BITS, {"dream_share": -0.1}, r"share is -0\.1"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_compiles(method, networks, options, named):
    with pytest.raises(InputError, match=named):
        estimate(method, networks, **options)


def test_dreams_and_defence_refuse_what_they_cannot_do():
    with pytest.raises(InputError, match="num_dreams is 0"):
        with_dreams(rws(*BITS, num_particles=2), *BITS, num_dreams=0)
    with pytest.raises(InputError, match=r"defence is 1\.0"):
        from_defensive(1.0)
    without_prior = (NET.model._replace(prior=None), NET.recognition)
    with pytest.raises(InputError, match=r"give Model\.prior"):
        estimate(rws, without_prior, hyperproposal=from_defensive(0.2))
