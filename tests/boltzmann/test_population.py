"""Population annealing against enumeration, and against blackjax's sequential Monte Carlo."""

import jax
import jax.numpy as jnp
import numpy as np

from remjax.boltzmann import (
    ais,
    bias_base,
    linear_inverse_temperatures,
    log_partition,
    mean_field_base,
    population_annealing,
    uniform_base,
)
from remjax.particles.weights import effective_sample_size
from tests.boltzmann import machines
from tests.boltzmann.machines import OF_BITS, SIGMAS, assert_same_distribution, codes, flat

MACHINES = OF_BITS | {"reals": machines.gaussian_rbm()}
EVERY = machines.every(MACHINES)
FIFTY = linear_inverse_temperatures(50)


@EVERY
def test_log_z_agrees_with_enumeration(machine):
    """The error of 16 populations is of Student's t: with 15 degrees, 7 is as rare as 4.5."""
    log_z = float(log_partition(machine))
    for base in (uniform_base, bias_base, mean_field_base):
        record = population_annealing(jax.random.key(1), base(machine), FIFTY, num_chains=1600)
        off = abs(float(record.log_z) - log_z) / max(float(record.stderr), 1e-5)
        assert off < 7
        assert 100 < float(record.ess) <= 1600 * (1 + 1e-5)
        assert record.log_weights.shape == (1600,)


def many_runs(count, **options):
    """log Z and standard error of runs with different keys."""
    path = uniform_base(MACHINES["rbm"])
    schedule = options.pop("schedule")

    def run(key):
        record = population_annealing(key, path, schedule, **options)
        return record.log_z, record.stderr

    found = jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(3), count))
    return [np.asarray(part, np.float64) for part in found]


def test_the_estimate_of_z_has_no_bias():
    """Tiny populations, always resampled, sometimes, or never."""
    log_z = machines.log_z(MACHINES["rbm"])
    for share in (1.0, 0.5, 0.0):
        found, stderr = many_runs(
            2_000,
            schedule=linear_inverse_temperatures(4),
            num_chains=10,
            num_populations=1,
            resample_below=share,
        )
        machines.assert_mean(np.exp(found - log_z)[:, None], 1.0)
        assert (stderr == np.inf).all()


def test_its_standard_error_is_honest():
    found, stderr = many_runs(
        30, schedule=linear_inverse_temperatures(20), num_chains=800, num_populations=16
    )
    assert 0.5 < found.std(ddof=1) / stderr.mean() < 1.6
    bias = stderr.mean() ** 2
    error = found.std(ddof=1) / np.sqrt(30)
    assert abs(found.mean() - machines.log_z(MACHINES["rbm"])) < SIGMAS * error + bias


@machines.every(OF_BITS)
def test_samples_are_those_of_the_machine(machine):
    """Independent populations, but chains of one family: their effective number sets the bound."""
    record = population_annealing(
        jax.random.key(2),
        uniform_base(machine),
        linear_inverse_temperatures(30),
        num_chains=20_000,
        num_populations=20,
        resample_below=0.9,
    )
    weights = np.exp(np.asarray(record.log_weights, float) - float(record.log_z))
    p = machines.distribution(machine)
    assert_same_distribution(codes(flat(record.samples)), p, weights, float(record.ess))


def test_without_resampling_it_is_annealed_importance_sampling():
    """Every chain is its own family; log Z of one population is that of all weights."""
    path = uniform_base(MACHINES["grid"])
    record = population_annealing(
        jax.random.key(0), path, FIFTY, num_chains=600, num_populations=1, resample_below=0.0
    )
    forward = ais(jax.random.key(1), path, FIFTY, num_chains=600)
    weights = np.asarray(record.log_weights, np.float64)
    np.testing.assert_allclose(record.log_z, np.log(np.exp(weights).mean()), rtol=1e-6)
    relative = np.exp(weights - weights.max())
    ess = relative.sum() ** 2 / (relative**2).sum()
    np.testing.assert_allclose(record.ess, ess, rtol=1e-4)
    assert abs(record.log_z - forward.log_z) < SIGMAS * 2 * forward.stderr


def test_families_are_counted():
    """Chains of one family count once: resampled at each step, they seem more than they are."""
    machine = machines.rbm(scale=4.0)
    record = population_annealing(
        jax.random.key(0),
        uniform_base(machine),
        linear_inverse_temperatures(5),
        num_chains=400,
        num_populations=4,
        resample_below=1.0,
    )
    apart = float(effective_sample_size(record.log_weights))
    assert 1 <= float(record.ess) < 0.7 * apart


def test_no_couplings_no_variance():
    free = machines.tempered(MACHINES["rbm"], 1.0)
    free = free.__class__(0 * free.weights, *free.biases)
    record = population_annealing(jax.random.key(0), bias_base(free), FIFTY, num_chains=64)
    np.testing.assert_allclose(record.log_weights, machines.log_z(free), rtol=1e-6)
    np.testing.assert_allclose(record.ess, 64, rtol=1e-5)
    assert record.stderr < 1e-6


def test_hostile_machines_are_finite():
    path = uniform_base(machines.rbm(scale=1e3))
    with jax.debug_nans(True):
        record = population_annealing(
            jax.random.key(0), path, linear_inverse_temperatures(3), num_chains=32
        )
    assert jnp.isfinite(record.log_z)
    assert jnp.isfinite(record.log_weights).all()


def test_blackjax_with_our_kernel_agrees():
    """An outside judge: its own resampling, weights and estimate of log Z around our sweep."""
    from blackjax.smc import base, resampling

    path, count = uniform_base(MACHINES["rbm"]), 2_000
    b = jnp.asarray(linear_inverse_temperatures(25), jnp.float32)

    def one(key):
        state = base.init(path.draw_base(jax.random.fold_in(key, 0), (count,)), jnp.zeros(0))

        def step(state, number):
            # It resamples, moves and then weighs.
            new, info = base.step(
                jax.random.fold_in(key, number + 1),
                state,
                lambda keys, units, _: (path.sweep(keys[0], units, b[number]), None),
                lambda units: (b[number + 1] - b[number]) * path.gain(units),
                resampling.systematic,
            )
            return new, info.log_likelihood_increment

        _, increments = jax.lax.scan(step, state, jnp.arange(len(b) - 1))
        return path.log_z_of_base + increments.sum()

    runs = np.asarray(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), 8)), np.float64)
    error = runs.std(ddof=1) / np.sqrt(8)
    log_z = machines.log_z(MACHINES["rbm"])
    # Student's t of 7 degrees: 10 is as rare as 4.5 of a normal one.
    assert abs(runs.mean() - log_z) < 10 * error + runs.var()
    ours = population_annealing(jax.random.key(1), path, b, num_chains=16_000)
    joint = np.hypot(error, float(ours.stderr))
    assert abs(float(ours.log_z) - runs.mean()) < 10 * joint
