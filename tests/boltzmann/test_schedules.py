"""Inverse temperatures chosen on pilots: each step costs the weights as much."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax.boltzmann import (
    ais,
    bias_base,
    choose_inverse_temperatures,
    linear_inverse_temperatures,
    uniform_base,
)
from remjax.particles.weights import effective_sample_size
from tests.boltzmann import machines
from tests.boltzmann.machines import OF_BITS

CHOSEN = {"rbm": OF_BITS["rbm"], "grid": OF_BITS["grid"], "reals": machines.gaussian_rbm()}
EVERY = machines.every(CHOSEN)


@EVERY
@pytest.mark.parametrize("count", [None, 1, 7, 200])
def test_they_rise_from_base_to_machine(machine, count):
    found = choose_inverse_temperatures(jax.random.key(0), uniform_base(machine), count)
    assert (found[0], found[-1]) == (0, 1)
    assert (np.diff(found) > 0).all()
    if count is not None:
        assert len(found) == count + 1


def step_sizes(path, schedule, count=20_000):
    """The effective share of exact samples at each inverse temperature, weighted to the next."""
    shares = []
    for number, (start, end) in enumerate(itertools.pairwise(jnp.asarray(schedule))):
        between = jax.tree.map(
            lambda bias, base, b=start: (1 - b) * base + b * bias,
            (path.machine.visible_bias, path.machine.hidden_bias),
            path.base,
        )
        one = path.machine.__class__(path.machine.weights * start, *between)
        units = machines.exact_chains(jax.random.key(number), one, count)
        log_w = path.log_ratio(units, path.ahead(units), start, end)
        shares.append(float(effective_sample_size(log_w)) / count)
    return np.array(shares)


def test_every_step_has_the_efficiency_that_was_asked():
    """Of exact samples; the pilots' own noise at 2,000 of them is 5 % of what is lost."""
    path = uniform_base(machines.rbm(scale=2.0))
    for efficiency in (0.8, 0.95):
        schedule = choose_inverse_temperatures(
            jax.random.key(1), path, num_pilots=2_000, efficiency=efficiency
        )
        lost = 1 - step_sizes(path, schedule)
        assert len(lost) > 3
        # The last one is what was left over.
        np.testing.assert_allclose(lost[:-1], 1 - efficiency, rtol=0.3)
        assert lost[-1] < (1 - efficiency) * 1.3


def test_more_steps_are_laid_evenly_between_those_of_the_pilots():
    path = uniform_base(machines.rbm(scale=2.0))
    schedule = choose_inverse_temperatures(jax.random.key(1), path, 12, num_pilots=2_000)
    even = step_sizes(path, schedule)
    linear = step_sizes(path, linear_inverse_temperatures(12))
    assert np.ptp(even) < 0.6 * np.ptp(linear)


def test_nearer_to_one_makes_more_steps():
    path = uniform_base(OF_BITS["rbm"])
    counts = [
        len(choose_inverse_temperatures(jax.random.key(0), path, efficiency=share))
        for share in (0.5, 0.9, 0.99)
    ]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


def test_a_machine_without_couplings_ends_at_once():
    free = machines.rbm(scale=0.0)
    path = bias_base(free)
    np.testing.assert_array_equal(choose_inverse_temperatures(jax.random.key(0), path), [0, 1])
    found = choose_inverse_temperatures(jax.random.key(0), path, 5)
    np.testing.assert_allclose(found, np.linspace(0, 1, 6))


def test_a_hostile_machine_ends_as_well():
    """Weights of 1e3 take more steps than the pilots may have, or few: they come to one."""
    path = uniform_base(machines.rbm(scale=1e3))
    found = choose_inverse_temperatures(jax.random.key(0), path, num_pilots=16)
    assert (found[0], found[-1]) == (0, 1)
    assert (np.diff(found) > 0).all()


def test_the_estimate_with_chosen_temperatures_is_right(key):
    """The pilots do not count, so that the weights have the mean Z all the same."""
    machine = OF_BITS["rbm"]
    path = uniform_base(machine)
    schedule = choose_inverse_temperatures(key, path)
    record = ais(jax.random.key(9), path, schedule, num_chains=50_000)
    w = np.exp(np.asarray(record.log_weights, np.float64) - machines.log_z(machine))
    machines.assert_mean(w[:, None], 1.0)
