"""Energies, free energies, conditionals and log Z against brute force from the formula."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from remjax.boltzmann import (
    PairwiseMachine,
    Units,
    as_pairwise,
    complete_graph,
    exact,
    from_spins,
    grid_graph,
    init_rbm,
    log_partition,
    make_graph,
    to_spins,
)
from tests.boltzmann import machines
from tests.boltzmann.machines import OF_BITS

EVERY = machines.every(OF_BITS)
CLOSE = {"rtol": 2e-6, "atol": 2e-5}


def every_state(machine):
    return machines.unflat(machine, machines.all_states(machine.num_units))


@EVERY
def test_energy_and_log_z(machine):
    np.testing.assert_allclose(
        machine.energy(every_state(machine)), machines.energies(machine), **CLOSE
    )
    np.testing.assert_allclose(log_partition(machine), machines.log_z(machine), rtol=1e-6)
    record = exact(machine)
    assert (record.stderr, record.ess) == (0, np.inf)


def test_log_z_of_more_states_than_are_summed_at_once():
    """2^13 hidden states in two blocks, against NumPy's sum over the 2^14 visible ones."""
    machine = machines.rbm(14, 13, scale=0.5)
    w, a, b = (np.asarray(p, np.float64) for p in (machine.weights, *machine.biases))
    v = machines.all_states(14)
    terms = v @ a + np.logaddexp(0.0, b + v @ w).sum(axis=1)
    np.testing.assert_allclose(log_partition(machine), scipy.special.logsumexp(terms), rtol=1e-6)


@EVERY
def test_fields_are_the_log_odds_of_each_unit(machine):
    """The field of a unit is E with it zero less E with it one, whatever the unit itself is."""
    states = machines.all_states(machine.num_units)
    energies = machines.energies(machine)
    numbers = jnp.arange(machine.num_units, dtype=float)
    for block in range(len(machine.families)):
        units = machine.values(block, machines.unflat(machine, numbers)).astype(int)
        field = machine.field(block, every_state(machine))
        for place, unit in enumerate(units):
            off, on = states.copy(), states.copy()
            off[:, unit], on[:, unit] = 0, 1
            expected = energies[machines.codes(off)] - energies[machines.codes(on)]
            np.testing.assert_allclose(field[:, place], expected, **CLOSE)


@EVERY
def test_a_block_summed_out(machine):
    states, energies = machines.all_states(machine.num_units), machines.energies(machine)
    numbers = jnp.arange(machine.num_units, dtype=float)
    for block in range(len(machine.families)):
        inside = np.asarray(machine.values(block, machines.unflat(machine, numbers)), int)
        rest = states.copy()
        rest[:, inside] = 0
        groups = machines.codes(rest)
        sums = np.bincount(groups, np.exp(-energies), minlength=len(states))[groups]
        found = machine.log_sum_out(block, every_state(machine))
        np.testing.assert_allclose(found, np.log(sums), **CLOSE)


@EVERY
def test_units_in_blocks_and_back(machine, key):
    units = machine.random(key, (3, 2))
    values = [machine.values(block, units) for block in range(len(machine.families))]
    assert [v.shape for v in values] == [(3, 2, size) for size in machine.sizes]
    again = machine.units(values)
    jax.tree.map(np.testing.assert_array_equal, again, units)
    moved = machine.with_values(0, units, 1 - values[0])
    np.testing.assert_array_equal(machine.values(0, moved), 1 - values[0])
    changed = np.not_equal(machines.flat(moved), machines.flat(units))
    assert changed.sum() == 6 * machine.sizes[0]


def test_free_energies_and_conditionals_of_an_rbm():
    machine = machines.rbm()
    p = machines.distribution(machine).reshape(16, 32)  # code = v + 32 h
    v, h = machines.all_states(5), machines.all_states(4)
    log_z = machines.log_z(machine)
    narrow_v, narrow_h = jnp.asarray(v, jnp.float32), jnp.asarray(h, jnp.float32)
    np.testing.assert_allclose(
        -machine.free_energy(narrow_v) - log_z, np.log(p.sum(axis=0)), **CLOSE
    )
    np.testing.assert_allclose(machine.log_prob(narrow_v, log_z), np.log(p.sum(axis=0)), **CLOSE)
    np.testing.assert_allclose(
        -machine.hidden_free_energy(narrow_h) - log_z, np.log(p.sum(axis=1)), **CLOSE
    )
    np.testing.assert_allclose(machine.hidden_mean(narrow_v), (p / p.sum(axis=0)).T @ h, rtol=1e-5)
    np.testing.assert_allclose(
        machine.visible_mean(narrow_h), (p.T / p.sum(axis=1)).T @ v, rtol=1e-5
    )


def test_an_rbm_is_a_machine_on_a_bipartite_graph_and_its_own_transpose():
    machine = machines.rbm()
    pairwise = as_pairwise(machine)
    assert sorted(pairwise.sizes) == [4, 5]
    states = machines.all_states(9)
    expected = machine.energy(machines.unflat(machine, states))
    np.testing.assert_allclose(pairwise.energy(jnp.asarray(states, jnp.float32)), expected, **CLOSE)
    units = machines.unflat(machine, states)
    np.testing.assert_allclose(machine.transposed.energy(Units(*units[::-1])), expected, **CLOSE)
    np.testing.assert_allclose(log_partition(pairwise), log_partition(machine), rtol=1e-6)
    np.testing.assert_allclose(
        machine.transposed.free_energy(units.hidden), machine.hidden_free_energy(units.hidden)
    )


def test_spins_both_ways():
    machine = machines.rbm()
    spins, constant = to_spins(machine)
    units = every_state(machine)
    s, t = 2 * np.asarray(units.visible) - 1, 2 * np.asarray(units.hidden) - 1
    energy = -(s @ spins.visible_field + t @ spins.hidden_field)
    energy -= np.einsum("ni,ij,nj->n", s, spins.couplings, t)
    np.testing.assert_allclose(energy - machines.energies(machine), constant, **CLOSE)
    log_z = scipy.special.logsumexp(-energy)
    np.testing.assert_allclose(log_z, log_partition(machine) - constant, rtol=1e-6)
    again, same = from_spins(spins)
    np.testing.assert_allclose(same, constant, rtol=1e-5)
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(machine), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_grids_have_two_colours():
    for height in range(1, 6):
        for width in range(1, 6):
            graph = grid_graph(height, width)
            assert len(graph.edges) == height * (width - 1) + width * (height - 1)
            assert len(graph.colors) == min(2, height * width)


def test_no_edge_joins_two_units_of_a_colour():
    ring = make_graph(5, [(i, (i + 1) % 5) for i in range(5)])
    assert len(ring.colors) == 3
    assert [len(color) for color in complete_graph(6).colors] == [1] * 6
    for graph in (grid_graph(4, 5), complete_graph(6), ring, machines.triangles()):
        color_of = {unit: c for c, color in enumerate(graph.colors) for unit in color}
        assert sorted(color_of) == list(range(graph.num_units))
        assert all(color_of[i] != color_of[j] for i, j in graph.edges)


def test_a_graph_without_edges_has_independent_units():
    machine = PairwiseMachine(jnp.zeros(0), jnp.asarray([0.3, -2.0]), make_graph(2, []))
    np.testing.assert_allclose(log_partition(machine), np.logaddexp(0, [0.3, -2.0]).sum())


def test_machines_of_many_are_machines_too(key):
    """As replicas are: JAX rebuilds a machine of batches, of shapes and of arrays of the host."""
    many = jax.vmap(lambda one: init_rbm(one, 3, np.full(4, 0.5), scale=1.0))(
        jax.random.split(key, 2)
    )
    assert many.weights.shape == (2, 4, 3)
    first, second = jax.vmap(log_partition)(many)
    np.testing.assert_allclose(first, log_partition(jax.tree.map(lambda leaf: leaf[0], many)))
    assert first != second
    assert isinstance(jax.device_get(many).weights, np.ndarray)
    form = jax.eval_shape(lambda: machines.rbm())
    assert jax.tree.map(lambda leaf: leaf.shape, form).weights == (5, 4)
