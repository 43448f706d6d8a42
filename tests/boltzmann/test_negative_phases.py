"""Each negative phase has the expectation that it claims, at parameters that do not move."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from remjax.boltzmann import cd, likelihood_loss, log_partition, pcd, population, tempered_pcd
from remjax.types import Batch
from tests.boltzmann import machines
from tests.boltzmann.machines import assert_mean, assert_same_distribution, codes

# Couplings of order one, of which thirty sweeps forget where they began.
MACHINE = machines.rbm(5, 4, seed=2, scale=0.8)
DATA = jnp.asarray(machines.all_states(5)[[0, 7, 21, 30]], jnp.float32)
P = machines.distribution(MACHINE).reshape(16, 32)
MARGINAL = P.sum(axis=0)
CHAINS = 16_000


@functools.partial(jax.jit, static_argnames="phase")
def advanced(phase, key, state, x, index, machine=MACHINE):
    return phase.advance(key, machine, state, Batch(x, index))


def run(phase, x=DATA, seed=0, updates=1):
    state = phase.init(jax.random.key(seed + 100), MACHINE)
    for number in range(updates):
        key = jax.random.key(seed + number)
        negative, state, metrics = advanced(phase, key, state, x, jnp.arange(len(x)))
    return negative, state, metrics


def many(count):
    """The data over and over: chains that begin at each."""
    return jnp.tile(DATA, (count // len(DATA), 1))


LIMITS = {
    "cd": (cd(30), many(CHAINS), 1),
    "pcd": (pcd(CHAINS, 30), DATA, 1),
    "pcd, update by update": (pcd(CHAINS), DATA, 30),
    "tempered_pcd": (tempered_pcd(CHAINS, 20, 3), DATA, 1),
    "tempered_pcd, update by update": (tempered_pcd(CHAINS, 1, 3), DATA, 20),
}


@pytest.mark.parametrize("name", LIMITS)
def test_samples_and_gradient_are_those_of_the_machine(name):
    """Independent chains, after many sweeps at fixed parameters: the limit that each claims."""
    negative, _, metrics = run(*LIMITS[name][:2], updates=LIMITS[name][2])
    assert negative.sample.visible.shape == (CHAINS, 5)
    assert_same_distribution(codes(negative.sample.visible), MARGINAL)
    np.testing.assert_array_equal(negative.sample.weights, np.ones(CHAINS))
    each = jax.vmap(lambda v: jax.grad(likelihood_loss)(MACHINE, DATA, v[None]))(
        negative.sample.visible
    )
    expected = jax.grad(lambda m: jnp.mean(m.free_energy(DATA)) + log_partition(m))(MACHINE)
    for rows, truth in zip(jax.tree.leaves(each), jax.tree.leaves(expected), strict=True):
        assert_mean(rows.reshape(CHAINS, -1), np.ravel(truth))
    assert all(jnp.isfinite(value) for value in metrics.values())


def statistics(machine):
    """E[v], E[h] and E[v h] by enumeration."""
    p = machines.distribution(machine).reshape(16, 32)
    v, h = machines.all_states(5), machines.all_states(4)
    products = np.einsum("hv,vi,hj->ij", p, v, h).ravel()
    return np.concatenate([p.sum(axis=0) @ v, p.sum(axis=1) @ h, products])


def test_a_population_is_weighted_samples_of_the_machine():
    """Every update afresh: the mean over 100 updates, but for a bias of some over its chains.

    Of a machine that mixes badly, by few temperatures, so that without the weights it is wrong.
    """
    slow = machines.rbm(5, 4, seed=2, scale=2.5)
    phase, updates, count = population(800, 1, 6), 100, 800
    means, unweighted, log_z, families = [], [], [], []
    for number in range(updates):
        negative, _, metrics = advanced(
            phase, jax.random.key(number), (), DATA, jnp.arange(4), machine=slow
        )
        weights = np.asarray(negative.sample.weights, np.float64)
        np.testing.assert_allclose(weights.mean(), 1.0, rtol=1e-5)
        units = negative.sample.visible, slow.hidden_mean(negative.sample.visible)
        v, h = (np.asarray(part, np.float64) for part in units)
        for kept, w in ((means, weights), (unweighted, np.ones(count))):
            products = np.einsum("c,ci,cj->ij", w, v, h).ravel()
            kept.append(np.concatenate([w @ v, w @ h, products]) / count)
        log_z.append(float(metrics["log_z"]))
        families.append(float(metrics["population_ess"]))

    def off(kept):
        error = np.std(kept, axis=0, ddof=1) / np.sqrt(updates)
        distance = np.abs(np.mean(kept, axis=0) - statistics(slow))
        return (distance / (machines.SIGMAS * error + 4 / count)).max()

    assert off(means) < 1
    assert off(unweighted) > 2  # the check sees them
    spread = np.std(log_z, ddof=1)
    assert abs(np.mean(log_z) - machines.log_z(slow)) < (
        machines.SIGMAS * spread / np.sqrt(updates) + spread**2
    )
    assert spread < 0.3
    # Of 800 chains some families are lost on the way over so few temperatures, and most are not.
    assert 200 < np.mean(families) < 800


def transitions(machine):
    """q(x' | x) of one step x -> h -> x', by NumPy from the conditionals."""
    w, a, b = (np.asarray(p, np.float64) for p in (machine.weights, *machine.biases))
    v, h = machines.all_states(5), machines.all_states(4)

    def bernoulli(logits, z):
        p = scipy.special.expit(logits)[:, None]
        return np.prod(p * z + (1 - p) * (1 - z), axis=-1)

    return bernoulli(b + v @ w, h) @ bernoulli(a + h @ w.T, v)


@pytest.mark.parametrize("steps", [1, 3])
def test_contrastive_divergence_takes_as_many_steps_from_the_data(steps):
    """Of few steps: the distribution of x_k, from the matrix of transitions, and no other k's."""
    slow, x = machines.rbm(5, 4, seed=2, scale=2.5), many(100_000)
    negative, state, _ = advanced(
        cd(steps), jax.random.key(0), (), x, jnp.arange(len(x)), machine=slow
    )
    start = np.bincount(codes(DATA), minlength=32) / len(DATA)
    ends = [start @ np.linalg.matrix_power(transitions(slow), steps + more) for more in (0, 1)]
    assert_same_distribution(codes(negative.sample.visible), ends[0])
    with pytest.raises(AssertionError, match="total variation"):
        assert_same_distribution(codes(negative.sample.visible), ends[1])
    assert state == ()


def test_random_numbers_of_a_datapoint_go_by_its_place():
    """In another order, and in another batch, its chain is the same."""
    x, index = many(12), jnp.arange(12)
    phase = cd(2)
    whole = advanced(phase, jax.random.key(0), (), x, index)[0].sample.visible
    part = advanced(phase, jax.random.key(0), (), x[5:9][::-1], index[5:9][::-1])[0].sample.visible
    np.testing.assert_array_equal(part, whole[5:9][::-1])


@pytest.mark.parametrize("phase", [pcd(24), tempered_pcd(24, 1, 3)], ids=["pcd", "tempered_pcd"])
def test_chains_persist_and_do_not_look_at_the_data(phase):
    one, state, _ = run(phase, updates=2)
    other, _, _ = run(phase, 1 - DATA, updates=2)
    np.testing.assert_array_equal(one.sample.visible, other.sample.visible)
    # With couplings of a thousand chains stay where they are: those of the last update go on.
    key = jax.random.key(9)
    still = machines.rbm(scale=1e3)
    again = advanced(phase, key, state, DATA, jnp.arange(4), machine=still)[1]
    twice = advanced(phase, key, again, DATA, jnp.arange(4), machine=still)[1]
    visible = [jax.tree.leaves(each)[0] for each in (state, again, twice)]
    moved = [np.mean(visible[i] != visible[i + 1]) for i in (0, 1)]
    assert moved[1] < 0.5 * moved[0]


@pytest.mark.parametrize("num_chains", [1, 24])
def test_any_number_of_chains(num_chains):
    for phase in (pcd(num_chains), tempered_pcd(num_chains, 1, 2), population(num_chains, 1, 2)):
        negative, state, _ = run(phase)
        assert negative.sample.visible.shape == (num_chains, 5)
        np.testing.assert_allclose(negative.sample.weights.mean(), 1.0, rtol=1e-5)
        if num_chains == 24 and state:
            strands = {bytes(np.asarray(strand)) for strand in jax.tree.leaves(state)[0]}
            assert len(strands) == 8


def test_phases_are_values():
    assert pcd(10, 2) == pcd(10, 2)
    assert len({pcd(10), pcd(10), pcd(11), cd(), cd(1), population(), tempered_pcd()}) == 5


def test_one_step_of_tempering_is_one_step():
    """k = 1 reports what its only step knows; k = 3 goes on from there."""
    first, state, metrics = run(tempered_pcd(40, 1, 4))
    third, moved, _ = run(tempered_pcd(40, 3, 4))
    assert 0 < float(metrics["swap_rate"]) <= 1
    assert (float(state.turn[0]), float(moved.turn[0])) == (1, 1)
    assert (np.asarray(first.sample.visible) != np.asarray(third.sample.visible)).any()
