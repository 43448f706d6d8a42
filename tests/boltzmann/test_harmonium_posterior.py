"""A posterior over 2 bits and 1 real number, by enumeration of the bits and quadrature."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import remjax
from remjax import InputError
from remjax.boltzmann import RBM, HarmoniumPosterior
from remjax.boltzmann.families import Reals
from remjax.distributions import Bernoulli, DiagonalGaussian, PiecewiseLinear
from remjax.methods import dreg, iwae, rem_v1, rws
from remjax.models import HarmoniumHeads, undirected_recognition
from remjax.types import Batch, Model

SIDES = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], np.float32)
MACHINE = RBM(
    jnp.array([[0.8], [-1.1]]),
    jnp.array([0.3, -0.2]),
    jnp.array([0.5]),
    hidden=Reals(jnp.array([0.4])),
)
MEAN = np.array([0.4, 0.6, 0.3])
# q(v) of every state of the bits.
LAW = np.asarray(jax.nn.softmax(-MACHINE.free_energy(SIDES)))


def log_z(machine):
    return jax.nn.logsumexp(-machine.free_energy(SIDES))


def log_q(machine, z):
    """Written out, with the exact log Z."""
    v, h = z[:2], z[2]
    gain = machine.visible_bias @ v + machine.hidden_bias[0] * h + v @ machine.weights[:, 0] * h
    return gain - 0.5 * jnp.exp(machine.hidden.log_precision[0]) * h**2 - log_z(machine)


def posterior(v, machine=MACHINE):
    return HarmoniumPosterior(machine, PiecewiseLinear()).at(jnp.asarray(v)[None] > 0.5)


def test_the_density_integrates_to_one():
    h = np.linspace(-12.0, 12.0, 4001)
    z = np.array([[*v, x] for v in SIDES for x in h], np.float32)
    density = np.exp(np.asarray(jax.vmap(lambda z: log_q(MACHINE, z))(z), np.float64))
    np.testing.assert_allclose(np.sum(density) * (h[1] - h[0]), 1.0, rtol=1e-4)


def test_the_gradient_over_chains_is_that_of_the_normalised_density():
    z = jnp.array([1.0, 0.0, 0.7])

    @jax.jit
    def both(machine):
        def along(machine, v):
            return posterior(v, machine).log_prob(z)

        each = jax.vmap(jax.grad(along), (None, 0))(machine, SIDES)
        ours = jax.tree.map(lambda leaf: jnp.tensordot(LAW, leaf, 1), each)
        return ours, jax.grad(log_q)(machine, z)

    for one, other in zip(*map(jax.tree.leaves, both(MACHINE)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    # The value has a lower bound of log Z in its place.
    assert 0.0 <= posterior(SIDES[1]).log_prob(z) - log_q(MACHINE, z) < 0.5


def test_chains_at_equilibrium_stay_there_and_make_particles_of_q(key):
    count = 40_000
    key_chains, key_sweeps, key_draws = jax.random.split(key, 3)
    codes = jax.random.choice(key_chains, 4, (count,), p=LAW)

    @jax.jit
    def drawn(keys, chains):
        ours = HarmoniumPosterior(MACHINE, PiecewiseLinear()).hard()
        after = ours.advance(key_sweeps, chains, 3)
        make = jax.vmap(lambda key, v: ours.at(v[None]).particle(key, jnp.asarray(0)).z)
        return after, make(keys, after)

    chains = jnp.asarray(SIDES)[codes] > 0.5
    after, z = (np.asarray(x) for x in drawn(jax.random.split(key_draws, count), chains))
    found = [np.mean(np.all(after == (v > 0.5), axis=1)) for v in SIDES]
    np.testing.assert_allclose(found, LAW, atol=4 * 0.5 / np.sqrt(count))
    given = (MACHINE.hidden_bias + SIDES @ MACHINE.weights)[:, 0] * np.exp(-0.4)
    first, second = LAW @ given, LAW @ (given**2 + np.exp(-0.4))
    np.testing.assert_allclose(z[:, :2].mean(axis=0), LAW @ SIDES, atol=0.01)
    np.testing.assert_allclose(z[:, 2].mean(), first, atol=4 * z[:, 2].std() / np.sqrt(count))
    np.testing.assert_allclose(
        np.mean(z[:, 2] ** 2), second, atol=4 * np.std(z[:, 2] ** 2) / np.sqrt(count)
    )


def test_the_gradient_of_the_real_number_is_that_of_its_draw(key):
    """Given the chain h = mean + noise / sqrt(lambda): d E[h^2] by the chain rule, exactly."""
    v = SIDES[2]

    @jax.jit
    def both(machine):
        def drawn(machine, key):
            return jnp.square(posterior(v, machine).rsample(key)[2])

        keys = jax.random.split(key, 20_000)
        each = jax.vmap(jax.grad(drawn), (None, 0))(machine, keys)

        def exact(machine):
            field, precision = machine.hidden_field(v)[0], machine.hidden.precision[0]
            return jnp.square(field / precision) + 1.0 / precision

        return jax.tree.map(lambda leaf: leaf.mean(axis=0), each), jax.grad(exact)(machine)

    for one, other in zip(*map(jax.tree.leaves, both(MACHINE)), strict=True):
        np.testing.assert_allclose(one, other, atol=0.06)


def mixed_model():
    """Two bits and a real number, all of which the data depend on."""
    weights = jnp.array([[1.0, -0.5, 0.3], [0.2, 0.7, -1.0], [0.5, 0.5, 0.5]])

    def log_prior(theta, z):
        normal = DiagonalGaussian(jnp.zeros(1), jnp.ones(1))
        return Bernoulli(jnp.zeros(2)).log_prob(z[:2]) + normal.log_prob(z[2:])

    def log_likelihood(theta, x, z):
        return Bernoulli(theta + z @ weights).log_prob(x)

    def sample(theta, key):
        raise NotImplementedError

    return Model(lambda key: jnp.zeros(3), log_prior, log_likelihood, sample)


def recognition(relaxation):
    return undirected_recognition(
        MEAN,
        visible_size=2,
        hidden_size=1,
        hidden_sizes=(4,),
        relaxation=relaxation,
        num_chains=2,
        heads=HarmoniumHeads,
        posterior=HarmoniumPosterior,
    )


@pytest.mark.parametrize(
    ("method", "relaxation"),
    [(rws(), None), (iwae, PiecewiseLinear()), (dreg, PiecewiseLinear())],
    ids=["rws", "iwae", "dreg"],
)
def test_methods_run_and_their_gradients_are_finite(key, method, relaxation):
    estimator = remjax.make_estimator(
        mixed_model(), recognition(relaxation), method, remjax.Particles(2)
    )
    params, state = estimator.init(key)
    chains = jnp.array([[[True, False], [False, True]]])

    @jax.jit
    def gradient(params):
        def loss(params):
            batch = Batch(jnp.array([[1.0, 0.0, 1.0]]), jnp.zeros(1, int), chains)
            estimate, _ = estimator.estimate(params, state, key, batch)
            return estimate.theta_loss + estimate.eta_loss

        return jax.grad(loss)(params)

    leaves = jax.tree.leaves(gradient(params))
    assert all(np.all(np.isfinite(leaf)) for leaf in leaves)
    assert np.any(gradient(params).eta["heads"]["log_precision"]["kernel"] != 0.0)


def test_what_it_cannot_do_is_refused(key):
    with pytest.raises(InputError, match=r"^a harmonium posterior has real hidden units: give"):
        HarmoniumPosterior(RBM(jnp.zeros((2, 1)), jnp.zeros(2), jnp.zeros(1)))
    estimator = remjax.make_estimator(
        mixed_model(), recognition(None), rem_v1(), remjax.Particles(2)
    )
    params, state = estimator.init(key)
    batch = Batch(jnp.ones((1, 3)), jnp.zeros(1, int), jnp.ones((1, 2, 2), bool))
    with pytest.raises(InputError, match=r"^no distribution of the kind HarmoniumPosterior"):
        estimator.estimate(params, state, key, batch)
