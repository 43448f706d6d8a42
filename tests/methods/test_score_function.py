"""What surrounds the learning signals: running statistics, mixtures, dreams, and clear refusals.

That the expected gradients are right is shown by enumeration, in tests/experiments.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from remjax import (
    Batch,
    InputError,
    Params,
    Particles,
    bernoulli_likelihood,
    gaussian_model,
    gaussian_recognition,
    make_estimator,
    sigmoid_belief_network,
    sigmoid_belief_recognition,
)
from remjax.distributions import Mixture
from remjax.methods import (
    ciwae,
    disarm,
    dreg,
    from_curvature,
    from_defensive,
    iwae,
    miwae,
    nvil,
    ovis,
    reinforce,
    rem_curvature,
    rloo,
    rws,
    tanh_baseline,
    tvo,
    vae,
    vimco,
    vr,
    whole_signal,
    with_dreams,
)
from remjax.methods.disarm import Antithetic
from remjax.methods.nvil import SignalStatistics

DATA_SIZE, SIZES = 3, (2, 1)
X, MEAN = jnp.array([1.0, 0.0, 1.0]), np.full(DATA_SIZE, 0.5)
REAL = (
    gaussian_model(bernoulli_likelihood(MEAN), latent_size=2, hidden_sizes=()),
    gaussian_recognition(MEAN, latent_size=2, hidden_sizes=()),
)
MODEL = sigmoid_belief_network(bernoulli_likelihood([0.4, 0.5, 0.7]), latent_sizes=SIZES)
RECOGNITION = sigmoid_belief_recognition(MEAN, latent_sizes=SIZES)
BITS = (MODEL, RECOGNITION)
# Away from the symmetries of the start: biases are not zero.
PARAMS = jax.tree.map(
    lambda leaf: leaf + 0.7 * np.random.default_rng(leaf.size).normal(size=leaf.shape),
    Params(MODEL.init(jax.random.key(0)), RECOGNITION.init(jax.random.key(1))),
)
EVERY_Z = np.array(list(itertools.product((0.0, 1.0), repeat=sum(SIZES))), np.float32)
LAYERS = tuple(jnp.asarray(layer) for layer in np.split(EVERY_Z, [SIZES[0]], axis=1))
IMAGES = jnp.asarray(np.random.default_rng(0).integers(0, 2, (20, DATA_SIZE)), jnp.float32)
BATCH = Batch(IMAGES, jnp.arange(20))


def test_running_statistics_start_with_the_first_batch_and_then_decay():
    """K = 1, no baseline: the whole signal is log w, whose mean the metric log_evidence is."""
    estimator = make_estimator(*BITS, nvil(baseline=None, decay=0.75), Particles(1))
    run = jax.jit(lambda state, key: estimator.estimate(PARAMS, state, key, BATCH))
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
    estimator = make_estimator(*BITS, nvil(lagged=True, signals=whole_signal), Particles(1))
    own, _ = estimator.init(jax.random.key(3))
    params = PARAMS._replace(baseline=own.baseline)
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
        methods = [rws(dream_share=share) for share in (0.25, 0.5, 0.75)]
        each = [make_estimator(*BITS, method, Particles(3)) for method in methods]
        return [estimator.estimate(PARAMS, (), key, BATCH)[0][:2] for estimator in each]

    (theta, low), (_, middle), (again, high) = run(jax.random.key(0))
    np.testing.assert_allclose(middle, 0.5 * (low + high), rtol=1e-5)
    assert theta == again
    assert low != high


def test_mixture_with_the_prior_is_a_distribution():
    """Its probabilities sum to one, and 4,000 draws have them: five standard errors."""
    r, prior = RECOGNITION.distribution(PARAMS.eta, X), MODEL.prior(PARAMS.theta)

    @jax.jit
    def run(key):
        mixture = Mixture(r, prior, jnp.asarray(0.2))
        draws = jax.vmap(mixture.sample)(jax.random.split(key, 4000))
        same = [a[:, None] == b for a, b in zip(draws, LAYERS, strict=True)]
        hits = jnp.all(jnp.concatenate(same, axis=-1), axis=-1)
        return jnp.exp(jax.vmap(mixture.log_prob)(LAYERS)), jnp.mean(hits, axis=0)

    probability, frequency = run(jax.random.key(0))
    exact = 0.8 * jnp.exp(jax.vmap(r.log_prob)(LAYERS))
    exact += 0.2 * jnp.exp(jax.vmap(prior.log_prob)(LAYERS))
    np.testing.assert_allclose(probability, exact, rtol=1e-5)
    np.testing.assert_allclose(np.sum(probability), 1.0, rtol=1e-5)
    bound = 5 * np.sqrt(exact * (1 - exact) / 4000)
    assert np.all(np.abs(frequency - exact) <= bound)


def test_antithetic_particles_are_draws_of_r():
    """Each member of 4,000 pairs has the frequencies of r: five standard errors.

    Both are one as seldom as they can be: with probability max(0, 2 p - 1).
    """
    r = RECOGNITION.distribution(PARAMS.eta, X)

    @jax.jit
    def run(key):
        drawn = jax.vmap(lambda k: Antithetic(r, 0).particle(key, k))(jnp.arange(8000))
        return jnp.concatenate(drawn.z, axis=-1), jax.vmap(r.log_prob)(drawn.z) - drawn.log_q

    z, difference = run(jax.random.key(0))
    np.testing.assert_allclose(difference, 0.0, atol=1e-6)
    exact = np.exp(jax.vmap(r.log_prob)(LAYERS)) @ EVERY_Z
    bound = 5 * np.sqrt(exact * (1 - exact) / 4000)
    for member in (z[::2], z[1::2]):
        assert np.all(np.abs(np.mean(member, axis=0) - exact) <= bound)
    both = np.mean(z[::2] * z[1::2], axis=0)[:2]
    assert np.all(np.abs(both - np.maximum(2 * exact[:2] - 1, 0.0)) <= bound[:2])


def estimate(method, networks, num_particles=4):
    """What a user does: makes an estimator and asks for an estimate. Nothing compiles."""
    estimator = make_estimator(*networks, method, Particles(num_particles))
    params, state = jax.eval_shape(estimator.init, jax.random.key(0))
    one, key = Batch(X[None], jnp.zeros(1, int)), jax.random.key(0)
    jax.eval_shape(lambda params, state: estimator.estimate(params, state, key, one), params, state)


WITHOUT_PRIOR = (MODEL._replace(prior=None), RECOGNITION)


@pytest.mark.parametrize(
    ("method", "networks", "num_particles", "named"),
    [
        (iwae, BITS, 4, "no reparameterised draw: use a method that needs none"),
        (dreg, BITS, 4, "no reparameterised draw"),
        (disarm, REAL, 4, "a layer of r is DiagonalGaussian: use rloo or vimco"),
        (disarm, BITS, 3, "num_particles=3 must be even"),
        (rloo, BITS, 1, "compares each particle with the others: give num_particles=2 or more"),
        (vimco(), BITS, 1, "compares each particle with the others"),
        (ovis(), BITS, 1, "compares each particle with the others"),
        (tvo(), BITS, 1, "compares each particle with the others"),
        (nvil(), WITHOUT_PRIOR, 4, "signals=whole_signal"),
        (miwae(3), REAL, 4, "divides num_particles=4"),
        (vae(analytic_kl=True), BITS, 4, "has no closed form here: give Model.prior and a"),
        (rws(from_defensive(0.2)), WITHOUT_PRIOR, 4, r"give Model\.prior"),
        (rem_curvature(), BITS, 4, "needs latents of real numbers, and those of r are discrete"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_compiles(method, networks, num_particles, named):
    with pytest.raises(InputError, match=named):
        estimate(method, networks, num_particles)


@pytest.mark.parametrize(
    ("method", "knobs", "named"),
    [
        (ovis, {"gamma": 1.5}, r"gamma is 1\.5: give a number from 0 to 1"),
        (nvil, {"baseline": None, "centring": False}, "neither a baseline nor centring"),
        (nvil, {"decay": 1.0}, r"decay is 1\.0"),
        (tvo, {"num_partitions": 0}, "num_partitions is 0: give 1 or more"),
        (tvo, {"first_beta": 1.0}, r"first_beta is 1\.0: give a number above 0 and below 1"),
        (ciwae, {"share": 1.5}, r"share is 1\.5"),
        (vr, {"alpha": np.inf}, "alpha is inf"),
        (rws, {"dream_share": -0.1}, r"dream_share is -0\.1"),
        (with_dreams, {"method": reinforce, "share": 2.0}, r"share is 2\.0"),
        (with_dreams, {"method": reinforce, "num_dreams": 0}, "num_dreams is 0"),
        (from_defensive, {"defence": 1.0}, r"defence is 1\.0"),
        (from_curvature, {"steps": 0}, "steps is 0: give at least 1"),
        (from_curvature, {"share": 1.0}, r"share is 1\.0"),
        (from_curvature, {"inflation": 0.0}, r"inflation is 0\.0"),
        (from_curvature, {"largest_cost": 0.0}, r"largest_cost is 0\.0"),
    ],
)
def test_knobs_out_of_range_are_refused_where_they_are_turned(method, knobs, named):
    with pytest.raises(InputError, match=named):
        method(**knobs)
