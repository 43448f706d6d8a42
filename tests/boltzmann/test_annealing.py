"""log Z by forward and reverse chains against enumeration, with standard errors that are honest."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.special

from remjax.boltzmann import (
    ais,
    bias_base,
    bracket,
    data_mean_base,
    linear_inverse_temperatures,
    log_partition,
    mean_field_base,
    reverse_ais,
    uniform_base,
)
from remjax.boltzmann.partition import from_forward, from_reverse
from tests.boltzmann import machines
from tests.boltzmann.machines import OF_BITS, SIGMAS, assert_same_distribution, codes, flat

MACHINES = OF_BITS | {"reals": machines.gaussian_rbm()}
EVERY = machines.every(MACHINES)
HUNDRED = linear_inverse_temperatures(100)


def bases(machine):
    paths = [base(machine) for base in (uniform_base, bias_base, mean_field_base)]
    if machine is MACHINES["rbm"]:
        paths.append(data_mean_base(machine, np.array([0.0, 0.2, 0.5, 0.9, 1.0])))
    return paths


def assert_within_errors(record, log_z):
    """Where the effective number is large, so that the delta method holds."""
    assert float(record.ess) > 100
    off = abs(float(record.log_z) - log_z) / max(float(record.stderr), 1e-5)
    assert off < SIGMAS, f"{off:.1f} standard errors off"


@EVERY
def test_both_directions_and_the_bridge_agree_with_enumeration(machine):
    """From every base."""
    for path in bases(machine):
        for seed in range(2):
            assert_both_directions(path, seed, 1)


def test_more_sweeps_at_each_temperature():
    """Of three colours, where forward and reverse sweeps differ."""
    assert_both_directions(uniform_base(MACHINES["triangles"]), 0, 2)


def assert_both_directions(path, seed, num_sweeps):
    log_z = float(log_partition(path.machine))
    keys = jax.random.split(jax.random.key(seed), 3)
    forward = ais(keys[0], path, HUNDRED, num_chains=500, num_sweeps=num_sweeps)
    samples = machines.exact_chains(keys[1], path.machine, 300)
    reverse = reverse_ais(keys[2], path, HUNDRED, samples, num_sweeps=num_sweeps)
    both = bracket(forward, reverse)
    for record in (forward, reverse):
        assert_within_errors(record, log_z)
    assert_within_errors(forward._replace(log_z=both.log_z, stderr=both.stderr), log_z)
    assert both.stderr < min(forward.stderr, reverse.stderr) * 1.05
    np.testing.assert_allclose(both.gap, reverse.log_z - forward.log_z)


def many_runs(function, count=30):
    return jax.jit(jax.vmap(function))(jax.random.split(jax.random.key(7), count))


def assert_honest(log_z, stderr):
    """The spread of 30 runs is their standard error: its own error is 13 %, the bound four times.

    And their mean is right, of weights that scatter little enough for a bias to be small.
    """
    ratio = np.std(log_z, ddof=1) / np.mean(stderr)
    assert 0.5 < ratio < 1.6, f"the runs scatter {ratio:.2f} times as much as they say"


def test_standard_errors_are_honest():
    machine = MACHINES["rbm"]
    path, log_z = uniform_base(machine), float(log_partition(machine))
    schedule = linear_inverse_temperatures(30)

    def run(key):
        keys = jax.random.split(key, 3)
        forward = ais(keys[0], path, schedule, num_chains=400)
        samples = machines.exact_chains(keys[1], machine, 100)
        reverse = reverse_ais(keys[2], path, schedule, samples)
        both = bracket(forward, reverse)
        ends = [(one.log_z, one.stderr) for one in (forward, reverse)]
        return [*ends, (both.log_z, both.stderr)]

    for found, stderr in many_runs(run):
        assert_honest(found, stderr)
        spread = np.std(found, ddof=1) / np.sqrt(30)
        assert abs(np.mean(found) - log_z) < SIGMAS * spread + np.mean(stderr) ** 2


def test_weights_have_the_mean_z_however_few_the_temperatures():
    machine = MACHINES["rbm"]
    log_z = float(log_partition(machine))
    for path in bases(machine):
        three = linear_inverse_temperatures(3)
        forward = ais(jax.random.key(0), path, three, num_chains=100_000)
        machines.assert_mean(np.exp(np.asarray(forward.log_weights, float) - log_z)[:, None], 1.0)
        samples = machines.exact_chains(jax.random.key(1), machine, 100_000)
        reverse = reverse_ais(jax.random.key(2), path, three, samples)
        machines.assert_mean(np.exp(log_z - np.asarray(reverse.log_weights, float))[:, None], 1.0)


@EVERY
def test_no_couplings_no_variance(machine):
    """From the biases every weight is log Z itself, but for rounding."""
    field = "couplings" if hasattr(machine, "graph") else "weights"
    free = dataclasses.replace(machine, **{field: 0 * getattr(machine, field)})
    path, log_z = bias_base(free), float(log_partition(free))
    forward = ais(jax.random.key(0), path, HUNDRED, num_chains=50)
    reverse = reverse_ais(jax.random.key(1), path, HUNDRED, free.random(jax.random.key(2), (40,)))
    for record in (forward, reverse):
        np.testing.assert_allclose(record.log_weights, log_z, rtol=1e-6)
        assert record.stderr < 1e-6
        np.testing.assert_allclose(record.ess, record.log_weights.size, rtol=1e-5)
    both = bracket(forward, reverse)
    np.testing.assert_allclose(both.log_z, log_z, rtol=1e-6)


@EVERY
def test_few_temperatures_bracket_log_z(machine):
    """Four steps: the log weight of a chain is too small on average forward, too large backward."""
    path, schedule = uniform_base(machine), linear_inverse_temperatures(4)
    forward = ais(jax.random.key(0), path, schedule, num_chains=5_000)
    samples = machines.exact_chains(jax.random.key(1), machine, 5_000)
    reverse = reverse_ais(jax.random.key(2), path, schedule, samples)
    log_z = float(log_partition(machine))
    for record, sign in ((forward, 1), (reverse, -1)):
        side = np.asarray(record.log_weights, np.float64)
        assert sign * (log_z - side.mean()) > SIGMAS * side.std(ddof=1) / np.sqrt(5_000)
    lower, upper = bracket(forward, reverse)[:2]
    assert lower.log_z - SIGMAS * lower.stderr < log_z < upper.log_z + SIGMAS * upper.stderr


def test_ends_of_forward_chains_are_weighted_samples_of_the_machine():
    machine = MACHINES["triangles"]
    record = ais(
        jax.random.key(0), uniform_base(machine), linear_inverse_temperatures(10), num_chains=50_000
    )
    weights = np.exp(np.asarray(record.log_weights, float) - float(record.log_z))
    found = codes(flat(record.samples))
    assert_same_distribution(found, machines.distribution(machine), weights, float(record.ess))


@functools.partial(jax.jit, static_argnums=(1, 2, 3, 4))
def crooks(key, forward, reverse, log_z, sd):
    """Log weights that are normal and obey Crooks' theorem: log Z is known, whatever the sd."""
    keys = jax.random.split(key)
    f = log_z - sd**2 / 2 + sd * jax.random.normal(keys[0], (forward,))
    r = log_z + sd**2 / 2 + sd * jax.random.normal(keys[1], (reverse,))
    return f, r


def as_records(f, r):
    return from_forward(f, None), from_reverse(r, None)


@pytest.mark.parametrize(("forward", "reverse"), [(400, 400), (2_000, 50), (50, 2_000)])
def test_bridge_of_any_numbers_of_chains(forward, reverse):
    """Against Bennett's equation solved in float64, and against the log Z that made the weights."""
    found = []
    for seed in range(30):
        f, r = crooks(jax.random.key(seed), forward, reverse, 300.0, 2.0)
        both = bracket(*as_records(f, r))
        found.append((float(both.log_z), float(both.stderr)))
        shift = np.log(forward / reverse)
        wide = np.asarray(f, np.float64), np.asarray(r, np.float64)

        def excess(log_z, wide=wide, shift=shift):
            return np.sum(scipy.special.expit(wide[0] - log_z - shift)) - np.sum(
                scipy.special.expit(log_z - wide[1] + shift)
            )

        solution = scipy.optimize.brentq(excess, 250, 350)
        np.testing.assert_allclose(both.log_z, solution, atol=1e-4)
    log_z, stderr = np.transpose(found)
    assert_honest(log_z, stderr)
    assert abs(log_z.mean() - 300) < SIGMAS * log_z.std(ddof=1) / np.sqrt(30)


def test_one_chain_knows_no_error():
    machine = MACHINES["rbm"]
    path = uniform_base(machine)
    forward = ais(jax.random.key(0), path, HUNDRED, num_chains=1)
    reverse = reverse_ais(
        jax.random.key(1), path, HUNDRED, machines.exact_chains(jax.random.key(2), machine, 1)
    )
    both = bracket(forward, reverse)
    for record in (forward, reverse, both):
        assert jnp.isfinite(record.log_z)
        assert record.stderr == jnp.inf


def test_weights_of_a_thousand_are_finite():
    """Steps that change a field by thousands; the estimate is poor, and says so by its ESS."""
    machine = machines.rbm(scale=1e3)
    path, few = uniform_base(machine), linear_inverse_temperatures(3)
    with jax.debug_nans(True):
        forward = ais(jax.random.key(0), path, few, num_chains=20)
        reverse = reverse_ais(
            jax.random.key(1), path, few, machines.exact_chains(jax.random.key(2), machine, 20)
        )
        both = bracket(forward, reverse)
    assert jnp.isfinite(both.log_z)
    assert float(forward.log_z) <= machines.log_z(machine) + 1e-2


def test_schedules_of_one_length_compile_once():
    traces, path = [], uniform_base(MACHINES["rbm"])

    @jax.jit
    def run(key, schedule, path):
        traces.append(None)
        return ais(key, path, schedule, num_chains=5).log_z

    for power in (1, 2, 3):
        run(jax.random.key(0), jnp.asarray(linear_inverse_temperatures(9) ** power), path)
    assert len(traces) == 1
