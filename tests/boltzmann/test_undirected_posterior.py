"""An undirected posterior on 3 + 3 bits, whose chains are drawn exactly, against enumeration."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax import InputError
from remjax.boltzmann import RBM, MarginalPosterior, UndirectedPosterior
from remjax.boltzmann.posterior import Noise
from remjax.distributions import Balanced, Bernoulli, Concrete, Mixture, PiecewiseLinear

SIDE = 3
RNG = np.random.default_rng(5)
STATES = jnp.asarray(list(itertools.product((0.0, 1.0), repeat=2 * SIDE)))
SIDES = jnp.asarray(list(itertools.product((0.0, 1.0), repeat=SIDE)))
MACHINE = RBM(
    *(jnp.asarray(RNG.normal(size=shape), jnp.float32) for shape in ((SIDE, SIDE), SIDE, SIDE))
)
# A function of z that is neither linear nor symmetric.
TILT = jnp.asarray(RNG.normal(size=(2 * SIDE, 2)), jnp.float32)


def function(z):
    return jnp.sum(jnp.sin(z @ TILT)) + z[0] * z[4]


def log_q(machine):
    """log q(z) of every state, by enumeration."""
    v, h = STATES[:, :SIDE], STATES[:, SIDE:]
    gain = v @ machine.visible_bias + h @ machine.hidden_bias
    return jax.nn.log_softmax(gain + jnp.sum((v @ machine.weights) * h, axis=1))


def law_of_chains(machine=MACHINE):
    """q(v) of every state of the first block."""
    return jnp.exp(log_q(machine)).reshape(2**SIDE, -1).sum(axis=1)


def numbers(z):
    """Which of STATES each row is."""
    return np.asarray(z @ (2.0 ** np.arange(2 * SIDE)[::-1])).astype(int)


@functools.partial(jax.jit, static_argnums=(0, 2))
def particles(posterior_of, keys, num_chains):
    """A particle of each key, its chain drawn exactly."""

    def one(key):
        key_chain, key = jax.random.split(key)
        codes = jax.random.choice(key_chain, 2**SIDE, (num_chains,), p=law_of_chains())
        posterior = posterior_of(MACHINE).at(SIDES[codes] > 0.5)
        return posterior.particle(key, jnp.asarray(0))

    return jax.vmap(one)(keys)


def assert_has_law_of_the_machine(z):
    """Every one of 64 states: five standard errors."""
    counts = np.bincount(numbers(z), minlength=len(STATES)) / len(z)
    exact = np.exp(np.asarray(log_q(MACHINE), np.float64))
    assert np.all(np.abs(counts - exact) < 5 * np.sqrt(exact * (1 - exact) / len(z)))


@pytest.mark.parametrize("sweeps", [1, 3])
def test_particles_of_exact_chains_have_the_law_of_the_machine(sweeps):
    posterior = functools.partial(UndirectedPosterior, num_relaxed_sweeps=sweeps)
    drawn = particles(posterior, jax.random.split(jax.random.key(0), 20_000), 1)
    assert_has_law_of_the_machine(drawn.z)


def test_hard_sweeps_keep_the_law_of_the_machine():
    """20,000 chains that begin there, after three sweeps: five standard errors."""
    codes = jax.random.choice(jax.random.key(1), 2**SIDE, (20_000,), p=law_of_chains())
    chains = SIDES[codes] > 0.5
    after = UndirectedPosterior(MACHINE).advance(jax.random.key(2), chains, 3)
    assert after.dtype == bool
    exact = np.asarray(law_of_chains(), np.float64)
    found = np.bincount(np.asarray(after @ np.array([4, 2, 1])), minlength=8) / len(after)
    assert np.all(np.abs(found - exact) < 5 * np.sqrt(exact * (1 - exact) / len(after)))


def test_a_new_datapoint_has_chains_from_fair_coins():
    posterior = UndirectedPosterior(MACHINE, num_fresh_sweeps=30)
    z = jax.jit(jax.vmap(posterior.sample))(jax.random.split(jax.random.key(3), 20_000))
    assert_has_law_of_the_machine(z)


def test_particles_begin_at_the_chain_of_their_number():
    """With couplings as strong as bits can tell, a chain stays where it is."""
    strong = RBM(40.0 * jnp.eye(SIDE), jnp.full(SIDE, -20.0), jnp.full(SIDE, -20.0))
    chains = jnp.asarray([[True, False, True], [False, False, True]])
    posterior = UndirectedPosterior(strong).at(chains)
    drawn = jax.vmap(lambda k: posterior.particle(jax.random.key(0), k))(jnp.arange(5))
    np.testing.assert_array_equal(drawn.z[:, :SIDE], chains[jnp.arange(5) % 2])


def test_log_prob_is_the_energy_less_a_lower_bound_on_log_z():
    chains = SIDES[:5] > 0.5
    for posterior in (UndirectedPosterior(MACHINE), UndirectedPosterior(MACHINE).at(chains)):
        ours = jax.vmap(posterior.log_prob)(STATES)
        excess = np.asarray(ours - log_q(MACHINE))
        assert np.ptp(excess) < 1e-5
        assert 0.0 < excess[0] < 0.5
        assert not posterior.is_normalized


def test_gradient_of_log_prob_is_exact_with_every_chain():
    """Chains in proportion to q(v), as near as 4,096 copies can be: to one in 8,192."""
    share = np.round(np.asarray(law_of_chains()) * 4096).astype(int)
    chains = jnp.repeat(SIDES > 0.5, share, axis=0)
    weight = jnp.asarray(RNG.normal(size=len(STATES)), jnp.float32)

    def ours(machine):
        return weight @ jax.vmap(UndirectedPosterior(machine).at(chains).log_prob)(STATES)

    def from_moments(machine):
        posterior, p = UndirectedPosterior(machine).at(chains), jax.nn.softmax(weight)
        mean = p @ STATES
        covariance = jnp.einsum("s,si,sj->ij", p, STATES - mean, STATES - mean)
        return posterior.expected_log_prob(mean, covariance)

    found = jax.grad(ours)(MACHINE), jax.grad(from_moments)(MACHINE)
    exact = (
        jax.grad(lambda machine: weight @ log_q(machine))(MACHINE),
        jax.grad(lambda machine: jax.nn.softmax(weight) @ log_q(machine))(MACHINE),
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-2), found, exact)


def test_without_chains_the_parameters_stand_still():
    gradient = jax.grad(lambda m: UndirectedPosterior(m).log_prob(STATES[9]))(MACHINE)
    assert all(not leaf.any() for leaf in jax.tree.leaves(gradient))


def relaxed_by_hand(machine, v, uniforms, beta):
    """t sweeps of the piece-wise linear relaxation from hard bits v, in NumPy's words."""

    def relax(u, field):
        q = 1.0 / (1.0 + jnp.exp(-field))
        slope = 0.25 * beta / (q * (1.0 - q) + 0.01)
        return jnp.clip(0.5 + slope * (q - u), 0.0, 1.0)

    h = None
    for for_hidden, for_visible in uniforms:
        h = relax(for_hidden, v @ machine.weights + machine.hidden_bias)
        v = relax(for_visible, machine.weights @ h + machine.visible_bias)
    return jnp.concatenate([v, h])


@pytest.mark.parametrize("sweeps", [1, 2])
def test_relaxed_gradient_has_the_mean_of_its_definition(sweeps):
    """sum_v q(v) E_u[df(zeta(v, u))]: 20,000 draws against 20,000 others, five standard errors."""
    count, beta = 20_000, 4.0

    def definition(key):
        def of_chain(v):
            shape = (sweeps, 2, SIDE)
            u = jax.random.uniform(key, shape)
            return jax.grad(lambda m: function(relaxed_by_hand(m, v, u, beta)))(MACHINE)

        each = jax.vmap(of_chain)(SIDES)
        return jax.tree.map(lambda leaf: jnp.tensordot(law_of_chains(), leaf, 1), each)

    def ours(key):
        key_chain, key = jax.random.split(key)
        chain = SIDES[jax.random.choice(key_chain, 2**SIDE, p=law_of_chains())]

        def value(machine):
            posterior = UndirectedPosterior(
                machine, PiecewiseLinear(beta), sweeps, chains=chain[None] > 0.5
            )
            return function(posterior.rsample(Noise(key, jnp.asarray(0))))

        return jax.grad(value)(MACHINE)

    keys = jax.random.split(jax.random.key(7), (2, count))
    rows = jax.jit(jax.vmap(ours))(keys[0]), jax.jit(jax.vmap(definition))(keys[1])
    for a, b in zip(*map(jax.tree.leaves, rows), strict=True):
        a, b = (np.asarray(leaf, np.float64) for leaf in (a, b))
        error = np.sqrt((a.var(axis=0) + b.var(axis=0)) / count)
        assert np.all(np.abs(a.mean(axis=0) - b.mean(axis=0)) < 5 * error)


def test_a_particle_and_its_differentiable_draw_are_the_same():
    posterior = UndirectedPosterior(MACHINE, Concrete(), 2).at(SIDES[3:5] > 0.5)
    drawn = posterior.particle(jax.random.key(3), jnp.asarray(1))
    np.testing.assert_array_equal(drawn.z, posterior.rsample(drawn.noise))
    assert np.any((drawn.z > 1e-6) & (drawn.z < 1.0))
    assert not posterior.is_discrete
    assert posterior.hard().is_discrete


def test_wrong_inputs():
    hard = UndirectedPosterior(MACHINE)
    with pytest.raises(InputError, match="give it a relaxation"):
        hard.rsample(jax.random.key(0))
    bits = Bernoulli(jnp.zeros(2 * SIDE))
    for mixture in (Mixture(bits, hard, jnp.asarray(0.5)), Balanced(bits, hard)):
        with pytest.raises(InputError, match="a mixture needs normalised parts"):
            mixture.particle(jax.random.key(0), jnp.asarray(0))
    with pytest.raises(InputError, match="latents of the shape"):
        hard.log_prob(jnp.zeros(5))


def test_it_is_a_pytree_whose_settings_are_static():
    posterior = UndirectedPosterior(MACHINE, PiecewiseLinear(3.0), 2, 7)
    again = jax.tree.map(jnp.copy, posterior)
    assert len(jax.tree.leaves(posterior)) == len(jax.tree.leaves(MACHINE))
    assert jax.tree.structure(again) == jax.tree.structure(posterior)
    assert again.relaxation == PiecewiseLinear(3.0)
    assert (again.num_relaxed_sweeps, again.num_fresh_sweeps) == (2, 7)


def test_one_side_of_a_machine_is_the_sum_over_the_other():
    """log q(v) is that of both sides summed over the hidden units, up to a constant."""
    both, side = UndirectedPosterior(MACHINE), MarginalPosterior(MACHINE)
    sizes = MACHINE.sizes
    v, h = (
        jnp.asarray(list(itertools.product((0.0, 1.0), repeat=size)), jnp.float32) for size in sizes
    )
    pairs = jax.vmap(lambda v: jax.vmap(lambda h: -both.energy(jnp.concatenate([v, h])))(h))(v)
    log_q = jax.vmap(side.log_prob)(v)
    apart = jax.nn.logsumexp(pairs, axis=1) - log_q
    np.testing.assert_allclose(apart, apart[0], rtol=1e-5)
    relaxed = MarginalPosterior(MACHINE, PiecewiseLinear()).at(v[:2] > 0.5)
    drawn = relaxed.particle(jax.random.key(0), jnp.asarray(1))
    assert drawn.z.shape == (sizes[0],)
    np.testing.assert_array_equal(relaxed.rsample(drawn.noise), drawn.z)
