"""The way from a base to a machine: what it says of states, and that its sweeps do not drift."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from remjax.boltzmann import (
    bias_base,
    data_mean_base,
    linear_inverse_temperatures,
    mean_field_base,
    salakhutdinov_inverse_temperatures,
    uniform_base,
)
from tests.boltzmann import machines
from tests.boltzmann.machines import OF_BITS, assert_same_distribution, codes, flat

BASES = {"uniform": uniform_base, "bias": bias_base, "mean field": mean_field_base}
EVERY = machines.every(OF_BITS)
CHAINS = 100_000


def base_field(path):
    """Of all units in the order of `flat`."""
    return flat(path.machine.units(path.base)).astype(np.float64)


def log_terms(path, b):
    """log f_b of every state, no unit summed out."""
    states = machines.all_states(path.machine.num_units)
    return (1 - b) * (states @ base_field(path)) - b * machines.energies(path.machine)


def drawn(path, b, seed=0):
    """Codes of exact draws at an inverse temperature, and the probabilities of all codes."""
    p = scipy.special.softmax(log_terms(path, b))
    return np.random.default_rng(seed).choice(len(p), CHAINS, p=p), p


def units_of(path, found):
    return machines.unflat(path.machine, machines.all_states(path.machine.num_units)[found])


@EVERY
@pytest.mark.parametrize("base", BASES.values(), ids=BASES.keys())
def test_the_base_and_what_lies_between(machine, base):
    path = base(machine)
    start = scipy.special.logsumexp(log_terms(path, 0.0))
    np.testing.assert_allclose(path.log_z_of_base, start, rtol=1e-6)
    units = units_of(path, np.arange(2**machine.num_units))
    gain = log_terms(path, 1.0) - log_terms(path, 0.0)
    np.testing.assert_allclose(path.gain(units), gain, rtol=1e-5, atol=2e-5)
    if base is not mean_field_base:
        found = codes(flat(jax.jit(lambda: path.draw_base(jax.random.key(0), (CHAINS,)))()))
        assert_same_distribution(found, scipy.special.softmax(log_terms(path, 0.0)))


@EVERY
@pytest.mark.parametrize("size", [1e-7, 1e-5, 0.01, 0.9])
def test_log_ratio_is_exact_for_steps_of_any_size(machine, size):
    """Against float64, the first block summed out; steps that float32 differences would lose."""
    path = uniform_base(machine)
    numbers = jnp.arange(machine.num_units, dtype=float)
    first = np.asarray(machine.values(0, machines.unflat(machine, numbers)), int)
    states = machines.all_states(machine.num_units)
    others = states.copy()
    others[:, first] = 0
    groups = codes(others)
    start, end = np.float32(0.05), np.float32(0.05) + np.float32(size)
    ends = []
    for b in (float(start), float(end)):
        ends.append(np.bincount(groups, np.exp(log_terms(path, b)), minlength=len(states))[groups])
    expected = np.log1p((ends[1] - ends[0]) / ends[0])
    units = machines.unflat(machine, states)
    found = path.log_ratio(units, path.ahead(units), jnp.asarray(start), jnp.asarray(end))
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6 * size + 1e-13)


@pytest.mark.parametrize("b", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("backward", [False, True])
@EVERY
def test_a_sweep_at_an_inverse_temperature_does_not_drift(machine, b, backward):
    path = uniform_base(machine)
    found, p = drawn(path, b)
    sweep = jax.jit(lambda key, units, b: path.sweep(key, units, b, backward=backward))
    units = sweep(jax.random.key(1), units_of(path, found), jnp.float32(b))
    assert_same_distribution(codes(flat(units)), p)


def pairs_seen(path, b, backward, seed):
    """How often each pair (before, after) of all blocks but the first is seen, as a matrix."""
    machine = path.machine
    numbers = jnp.arange(machine.num_units, dtype=float)
    first = np.asarray(machine.values(0, machines.unflat(machine, numbers)), int)
    others = np.setdiff1d(np.arange(machine.num_units), first)
    before = units_of(path, drawn(path, b, seed)[0])
    sweep = jax.jit(lambda key, units: path.sweep(key, units, b, backward=backward))
    after = sweep(jax.random.key(seed), before)
    sides = [codes(flat(units)[:, others]) for units in (before, after)]
    size = 2 ** len(others)
    return np.bincount(sides[0] * size + sides[1], minlength=size**2).reshape(size, size)


def p_value(a, b):
    """That two tables of counts are of one distribution: chi square, cells of few counts joined."""
    both = (a + b).ravel()
    few = both < 20
    a, b = (np.append(t.ravel()[~few], t.ravel()[few].sum()) for t in (a, b))
    statistic = np.sum((a - b) ** 2 / np.maximum(a + b, 1))
    return scipy.stats.chi2.sf(statistic, len(a) - 1)


@pytest.mark.parametrize("name", OF_BITS)
def test_the_backward_sweep_is_the_forward_one_in_reverse_time(name):
    """Reverse chains need it. With two colours both are the same sweep; with more they are not."""
    path = uniform_base(OF_BITS[name])
    forward = pairs_seen(path, 0.8, False, 1)
    assert p_value(forward, pairs_seen(path, 0.8, True, 2).T) > 1e-6
    if len(path.base) > 2:  # the check sees the wrong order
        assert p_value(forward, pairs_seen(path, 0.8, False, 2).T) < 1e-12


def test_inverse_temperatures_of_each_chain():
    path = uniform_base(OF_BITS["rbm"])
    b = np.array([0.2, 1.0], np.float32)
    units = [units_of(path, drawn(path, one)[0]) for one in b]
    units = jax.tree.map(lambda *leaves: jnp.stack(leaves), *units)
    each = jnp.broadcast_to(jnp.asarray(b)[:, None], (2, CHAINS))
    after = jax.jit(path.sweep)(jax.random.key(1), units, each)
    ratio = path.log_ratio(after, path.ahead(after), each, 1.5 * each)
    for number, one in enumerate(b):
        mine = jax.tree.map(lambda leaf, n=number: leaf[n], after)
        assert_same_distribution(codes(flat(mine)), drawn(path, one)[1])
        alone = path.log_ratio(mine, path.ahead(mine), jnp.asarray(one), jnp.asarray(1.5 * one))
        np.testing.assert_allclose(ratio[number], alone, rtol=1e-5, atol=1e-5)


def test_a_base_of_the_means_of_the_data():
    """Salakhutdinov & Murray: visible units have the means, hidden ones no preference."""
    mean = np.array([0.0, 0.2, 0.5, 0.9, 1.0])
    path = data_mean_base(OF_BITS["rbm"], mean)
    kept = np.clip(mean, 0.01, 0.99)
    np.testing.assert_allclose(scipy.special.expit(path.base[0]), kept, rtol=1e-5)
    np.testing.assert_array_equal(path.base[1], 0)
    real = machines.gaussian_rbm()
    path = data_mean_base(real, np.array([-1.0, 0.0, 2.0]))
    np.testing.assert_allclose(path.base[0] / real.visible.precision, [-1, 0, 2], rtol=1e-6)


def test_a_mean_field_base_bounds_log_z_from_below():
    """log Z of the base and the mean gain are the mean-field bound, better than without ties."""
    for machine in OF_BITS.values():
        bounds = []
        for base in (mean_field_base, bias_base):
            path = base(machine)
            p = scipy.special.softmax(log_terms(path, 0.0))
            gain = log_terms(path, 1.0) - log_terms(path, 0.0)
            bounds.append(float(path.log_z_of_base) + p @ gain)
        assert bounds[1] < bounds[0] < machines.log_z(machine)


def test_linear_inverse_temperatures_and_those_of_record():
    np.testing.assert_allclose(linear_inverse_temperatures(4), [0, 0.25, 0.5, 0.75, 1])
    of_record = salakhutdinov_inverse_temperatures()
    assert (len(of_record), of_record[0], of_record[-1]) == (14_501, 0, 1)
    steps = np.diff(of_record)
    np.testing.assert_allclose(steps[:500], 1e-3, rtol=1e-6)
    np.testing.assert_allclose(steps[500:4500], 1e-4, rtol=1e-6)
    np.testing.assert_allclose(steps[4500:], 1e-5, rtol=1e-6)
