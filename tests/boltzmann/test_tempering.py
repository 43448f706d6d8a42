"""Parallel tempering keeps the product over its ladder, and counts swaps and round trips."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax.boltzmann import (
    bias_base,
    init_ladder,
    ladder_step,
    machine_chains,
    uniform_base,
)
from remjax.boltzmann.tempering import ladder_of
from tests.boltzmann import machines
from tests.boltzmann.machines import assert_same_distribution, codes, flat
from tests.boltzmann.test_paths import log_terms

B = np.array([0.0, 0.3, 0.7, 1.0], np.float32)
CHAINS = 50_000
SMALL = {"rbm": machines.rbm(3, 2), "triangles": machines.pairwise(machines.triangles())}


def softmax(terms):
    p = np.exp(terms - terms.max())
    return p / p.sum()


def exact_ladder(path, seed=0):
    """Independent exact draws at every inverse temperature, and the probabilities of each."""
    generator = np.random.default_rng(seed)
    p = [softmax(log_terms(path, b)) for b in B]
    found = np.stack([generator.choice(len(one), CHAINS, p=one) for one in p])
    units = machines.unflat(path.machine, machines.all_states(path.machine.num_units)[found])
    return ladder_of(units, jnp.zeros(found.shape)), p


@functools.partial(jax.jit, static_argnames="count")
def stepped(key, path, ladder, b, count=1):
    infos = []
    for number in range(count):
        ladder, info = ladder_step(jax.random.fold_in(key, number), path, ladder, b)
        infos.append(info)
    return ladder, infos


def rungs(ladder):
    """Codes of the chains at each inverse temperature, [R, C]."""
    count = ladder.heading.shape[0]
    each = [jax.tree.map(lambda leaf, n=n: leaf[n], ladder.units) for n in range(count)]
    return np.stack([codes(flat(one)) for one in each])


@pytest.mark.parametrize("name", SMALL)
def test_the_product_over_the_ladder_does_not_drift(name):
    """After an even turn and an odd one; neighbours stay independent too."""
    path = uniform_base(SMALL[name])
    ladder, p = exact_ladder(path)
    ladder, _ = stepped(jax.random.key(1), path, ladder, jnp.asarray(B), 2)
    found = rungs(ladder)
    for mine, expected in zip(found, p, strict=True):
        assert_same_distribution(mine, expected)
    if name == "rbm":
        for i in range(len(B) - 1):
            both = found[i] * 32 + found[i + 1]
            assert_same_distribution(both, np.outer(p[i], p[i + 1]).ravel())
    np.testing.assert_array_equal(codes(flat(machine_chains(ladder))), found[-1])


def test_the_check_sees_wrong_exchanges():
    """A ladder that exchanges by another machine's energies drifts."""
    machine = SMALL["rbm"]
    ladder, p = exact_ladder(uniform_base(machine))
    wrong = uniform_base(machines.tempered(machine, 0.5))
    state, _ = stepped(jax.random.key(1), wrong, ladder, jnp.asarray(B))
    with pytest.raises(AssertionError, match="total variation"):
        assert_same_distribution(rungs(state)[-1], p[-1])


def test_swap_rates_are_those_of_enumeration():
    """E min(1, exp((b_i - b_j)(G(z_j) - G(z_i)))) over both chains."""
    path = uniform_base(SMALL["rbm"])
    gain = log_terms(path, 1.0) - log_terms(path, 0.0)
    ladder, p = exact_ladder(path)
    _, infos = stepped(jax.random.key(1), path, ladder, jnp.asarray(B))
    for i in range(len(B) - 1):
        accept = np.minimum(1, np.exp((B[i] - B[i + 1]) * (gain[None, :] - gain[:, None])))
        mean = p[i] @ accept @ p[i + 1]
        spread = np.sqrt(p[i] @ accept**2 @ p[i + 1] - mean**2)
        off = abs(float(infos[0].swap_rates[i]) - mean) / (spread / np.sqrt(CHAINS))
        assert off < machines.SIGMAS


def test_identical_neighbours_always_swap():
    machine = SMALL["rbm"]
    ladder = init_ladder(jax.random.key(0), machine, 4, 100)
    b = jnp.asarray([0.0, 0.5, 0.5, 1.0])
    _, infos = stepped(jax.random.key(1), uniform_base(machine), ladder, b)
    rates = infos[0].swap_rates
    np.testing.assert_allclose(rates[1], 1.0)
    assert float(rates[0]) < 0.95
    free = machine.__class__(0 * machine.weights, *machine.biases)
    _, infos = stepped(jax.random.key(1), bias_base(free), ladder, b)
    np.testing.assert_allclose(infos[0].swap_rates, 1.0)


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_round_trips_where_every_exchange_is_accepted(count):
    """Without couplings chains move at every turn, as a permutation that is followed by hand."""
    machine = SMALL["rbm"]
    path = bias_base(machine.__class__(0 * machine.weights, *machine.biases))
    b = jnp.linspace(0.0, 1.0, count)
    ladder = init_ladder(jax.random.key(0), machine, count, 3)
    places = list(range(count))  # which chain is at each inverse temperature
    seen = [set() for _ in range(count)]  # ends a chain has been at since it left the base
    trips = 0
    step = jax.jit(ladder_step)
    for number in range(4 * count + 3):
        for i in range(number % 2, count - 1, 2):
            places[i], places[i + 1] = places[i + 1], places[i]
        bottom, top = places[0], places[-1]
        trips += seen[bottom] == {"base", "machine"}
        seen[bottom] = {"base"}
        if "base" in seen[top]:
            seen[top].add("machine")
        ladder, info = step(jax.random.key(number), path, ladder, b)
        np.testing.assert_array_equal(info.round_trips, np.full(3, trips))
    assert trips > 2


def test_no_round_trips_where_nothing_is_exchanged():
    """Neighbours so far apart that no exchange is accepted: each chain stays at its place."""
    machine = machines.rbm(scale=200.0)
    ladder = init_ladder(jax.random.key(0), machine, 2, 50)
    b = jnp.asarray([0.0, 1.0])
    for number in range(6):
        ladder, info = stepped(jax.random.key(number), uniform_base(machine), ladder, b)
        assert float(info[0].swap_rates[0]) < 0.2
    assert float(ladder.round_trips.mean()) < 0.5


def test_even_and_odd_pairs_take_turns():
    """Marked chains that no sweep moves: who exchanged is seen in their units' heading."""
    machine = SMALL["rbm"]
    path = bias_base(machine.__class__(0 * machine.weights, *machine.biases))
    names = jnp.arange(5.0)[:, None] * jnp.ones(2)
    ladder = init_ladder(jax.random.key(0), machine, 5, 2)._replace(heading=10 + names)
    b = jnp.linspace(0.0, 1.0, 5)
    state, _ = ladder_step(jax.random.key(0), path, ladder, b)
    np.testing.assert_array_equal(state.heading[1:4, 0], [10, 13, 12])
    state, _ = ladder_step(jax.random.key(1), path, state._replace(heading=10 + names), b)
    np.testing.assert_array_equal(state.heading[1:, 0], [12, 11, 14, 13])
    assert state.turn == 0


def test_a_ladder_may_be_moved_without_compiling_anew():
    path, traces = uniform_base(SMALL["rbm"]), []

    @jax.jit
    def step(key, ladder, b):
        traces.append(None)
        return ladder_step(key, path, ladder, b)

    ladder = init_ladder(jax.random.key(0), path.machine, 3, 7)
    for middle in (0.2, 0.5, 0.8):
        ladder, _ = step(jax.random.key(0), ladder, jnp.asarray([0.0, middle, 1.0]))
    assert len(traces) == 1
