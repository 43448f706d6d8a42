"""Sweeps leave the distribution as it is: exact draws in, the kernel, no drift out."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from remjax.boltzmann import (
    Reals,
    Units,
    gibbs_step,
    gibbs_steps,
    init,
)
from tests.boltzmann import machines
from tests.boltzmann.machines import OF_BITS, assert_mean, assert_same_distribution, codes, flat

EVERY = machines.every(OF_BITS)
CHAINS = 100_000


def exact_chains(machine, temperature=1.0):
    one = machines.tempered(machine, temperature)
    return machines.exact_chains(jax.random.key(0), one, CHAINS)


@EVERY
def test_exact_draws_are_exact(machine):
    found = codes(flat(exact_chains(machine)))
    assert_same_distribution(found, machines.distribution(machine))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@EVERY
def test_a_sweep_leaves_the_distribution_as_it_is(machine, temperature):
    state, _ = gibbs_step(
        jax.random.key(1), machine, exact_chains(machine, temperature), temperature
    )
    p = machines.distribution(machine, temperature)
    assert_same_distribution(codes(flat(state)), p)


@EVERY
def test_many_sweeps_come_to_the_distribution(machine):
    """From fair bits, at a high temperature, where forty sweeps forget the start."""
    start = init(jax.random.key(0), machine, CHAINS // 5)
    state, _ = gibbs_steps(jax.random.key(1), machine, start, 40, 3.0)
    assert_same_distribution(codes(flat(state)), machines.distribution(machine, 3.0))


def test_the_check_sees_a_wrong_kernel():
    """Block 1 drawn from the OLD block 0, as a simultaneous update would: the drift is seen."""
    for machine in OF_BITS.values():
        before = exact_chains(machine)
        state = before
        for block in (0, 1):
            key = jax.random.key(block + 2)
            drawn = machine.draw_block(key, block, before, machine.field(block, before))
            state = machine.with_values(block, state, machine.values(block, drawn))
        with pytest.raises(AssertionError, match="total variation"):
            assert_same_distribution(codes(flat(state)), machines.distribution(machine))
        wrong, _ = gibbs_step(jax.random.key(1), machine, before, 1.1)
        with pytest.raises(AssertionError, match="total variation"):
            assert_same_distribution(codes(flat(wrong)), machines.distribution(machine))


def test_each_chain_has_its_temperature():
    machine = OF_BITS["rbm"]
    temperatures = np.array([0.5, 1.0, 3.0])
    count = CHAINS // 2
    chains = [exact_chains(machine, t) for t in temperatures]
    state = jax.tree.map(lambda *leaves: jnp.stack(leaves)[:, :count], *chains)
    each = jnp.broadcast_to(jnp.asarray(temperatures, jnp.float32)[:, None], (3, count))
    state, _ = gibbs_step(jax.random.key(1), machine, state, each)
    for number, temperature in enumerate(temperatures):
        found = codes(flat(jax.tree.map(lambda leaf, n=number: leaf[n], state)))
        assert_same_distribution(found, machines.distribution(machine, temperature))


CLAMPED = {"rbm": [0, 3, 5], "grid": [1, 4], "triangles": [2, 6], "complete": [0]}


@pytest.mark.parametrize("name", CLAMPED)
def test_clamped_units_stay_and_the_others_follow_the_conditional(name):
    """Exact conditional draws stay so: those of the joint, since a clamped sweep keeps it too."""
    machine = OF_BITS[name]
    marks = np.zeros(machine.num_units, bool)
    marks[CLAMPED[name]] = True
    form = machines.unflat(machine, marks)
    clamped = jax.tree.map(lambda leaf: leaf.astype(bool), form)
    before = exact_chains(machine)
    state, _ = gibbs_step(jax.random.key(1), machine, before, 1.0, clamped)
    old, new = flat(before), flat(state)
    np.testing.assert_array_equal(new[:, marks], old[:, marks])
    p, states = machines.distribution(machine), machines.all_states(machine.num_units)
    assert_same_distribution(codes(new), p)
    # And from one value of the clamped units, after many sweeps, the conditional given it.
    fixed = machines.unflat(machine, np.tile(old[0], (CHAINS // 5, 1)))
    hot, _ = gibbs_steps(jax.random.key(3), machine, fixed, 40, 3.0, clamped)
    allowed = (states[:, marks] == old[0][marks]).all(axis=1)
    conditional = np.where(allowed, machines.distribution(machine, 3.0), 0.0)
    assert_same_distribution(codes(flat(hot)), conditional / conditional.sum())


def test_real_units_keep_their_moments_and_distribution():
    """Gaussian-Bernoulli: hidden codes by total variation, visible units by their conditional."""
    machine = machines.gaussian_rbm()
    for temperature in (1.0, 2.0):
        one = machine
        if temperature != 1.0:  # E / T: precisions and all natural parameters divided
            moved = Reals(machine.visible.log_precision - np.log(temperature))
            one = dataclasses.replace(machines.tempered(machine, temperature), visible=moved)
        before = machines.exact_chains(jax.random.key(0), one, CHAINS)
        state, info = gibbs_step(jax.random.key(1), machine, before, temperature)
        w, a, b = (np.asarray(part, np.float64) for part in (one.weights, *one.biases))
        precision = np.exp(np.asarray(one.visible.log_precision, np.float64))
        h = machines.all_states(4)
        terms = h @ b + ((a + h @ w.T) ** 2 / precision / 2).sum(axis=1)
        p = np.exp(terms - terms.max())
        p /= p.sum()
        assert_same_distribution(codes(state.hidden), p)
        mean = p @ ((a + h @ w.T) / precision)
        assert_mean(state.visible, mean)
        square = p @ (((a + h @ w.T) / precision) ** 2 + 1 / precision)
        assert_mean(np.asarray(state.visible, np.float64) ** 2, square)
        v = np.asarray(state.visible[:, 0], np.float64)
        centre = (a + h @ w.T)[:, 0] / precision[0]
        mixture = scipy.stats.norm(centre, precision[0] ** -0.5)
        # Kolmogorov-Smirnov.
        uniform = mixture.cdf(v[:, None]) @ p
        assert scipy.stats.kstest(uniform, "uniform").pvalue > 1e-6
        assert info.flip_rate.shape == (CHAINS,)


@EVERY
def test_what_a_sweep_says_of_the_chains(machine, key):
    before = machine.random(key, (4, 50))
    state, info = gibbs_step(jax.random.key(1), machine, before, 0.7)
    np.testing.assert_allclose(
        info.energy.ravel(),
        machines.energies(machine)[codes(flat(state))],
        rtol=1e-5,
        atol=1e-5,
    )
    changed = (flat(before) != flat(state)).mean(axis=-1)
    np.testing.assert_allclose(info.flip_rate, changed, rtol=1e-6)
    last = len(machine.families) - 1
    mean = jax.nn.sigmoid(machine.field(last, state))
    np.testing.assert_allclose(info.hidden_means, mean, rtol=1e-5)


def test_hidden_means_are_those_of_the_new_visible_units():
    """Not of the old ones: with those, learning diverges (a fault that a peer had)."""
    machine = machines.rbm(scale=2.0)
    before = init(jax.random.key(0), machine, 500)
    state, info = gibbs_step(jax.random.key(1), machine, before)
    new, old = machine.hidden_mean(state.visible), machine.hidden_mean(before.visible)
    np.testing.assert_allclose(info.hidden_means, new, rtol=1e-5)
    assert np.abs(info.hidden_means - old).max() > 0.5


def test_temperatures_and_numbers_of_sweeps_are_traced():
    machine, traces = OF_BITS["rbm"], []

    @jax.jit
    def sweeps(key, state, count, temperature):
        traces.append(None)
        return gibbs_steps(key, machine, state, count, temperature)

    state = init(jax.random.key(0), machine, 8)
    for count, temperature in ((1, 0.5), (7, 1.0), (3, 40.0)):
        state, _ = sweeps(jax.random.key(count), state, count, temperature)
    assert len(traces) == 1


def test_sweeps_one_after_the_other():
    """gibbs_steps is as many single sweeps: the last with the key's number 0, as it reports."""
    machine, key = OF_BITS["triangles"], jax.random.key(5)
    start = init(jax.random.key(0), machine, 30)
    state = start
    for number in (1, 2, 3, 0):
        state, info = gibbs_step(jax.random.fold_in(key, number), machine, state, 1.5)
    found, last = gibbs_steps(key, machine, start, 4, 1.5)
    np.testing.assert_array_equal(found, state)
    np.testing.assert_allclose(last.energy, info.energy, rtol=1e-5)
    again, _ = jax.jit(gibbs_steps)(key, machine, start, jnp.asarray(4), 1.5)
    np.testing.assert_array_equal(again, state)


def test_chains_begin_at_data_or_without_any_tie(key):
    machine = machines.rbm()
    data = machines.all_states(5)[:7]
    chains = init(key, machine, 14, data=data)
    counts = np.bincount(codes(chains.visible), minlength=32)
    np.testing.assert_array_equal(counts, np.repeat([2, 0], [7, 25]))
    assert len(np.unique(codes(init(key, machine, 5, data=data).visible))) == 5
    many = init(key, machine, 20_000, data=data[:1])
    assert_mean(many.hidden, jax.nn.sigmoid(machine.hidden_field(jnp.asarray(data[0], float))))
    fair = init(key, machine, 20_000)
    assert isinstance(fair, Units)
    assert_mean(flat(fair), np.full(9, 0.5))
    normal = init(key, machines.gaussian_rbm(), 20_000).visible
    assert_mean(normal, np.zeros(3))
    precision = machines.gaussian_rbm().visible.precision
    assert_mean(np.asarray(normal) ** 2, 1 / np.asarray(precision))
