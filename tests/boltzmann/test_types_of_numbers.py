"""Numbers of any type go in, those of the machine's own come out, and nothing compiles twice."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax import boltzmann
from remjax.boltzmann import RBM, Units
from remjax.types import Batch
from tests.boltzmann import machines
from tests.boltzmann.refusals import no_checks_of_shapes

KEY = jax.random.key(0)
MEAN = np.array([0.2, 0.5, 0.7])
BITS = np.array([[0, 1, 1], [1, 1, 0], [0, 0, 1]], np.uint8)


def dtypes(tree):
    return {leaf.dtype for leaf in jax.tree.leaves(tree)}


@pytest.mark.parametrize("wide", [False, True], ids=["float32", "float64"])
def test_a_machine_that_is_begun_runs_and_learns(wide):
    """All of what moves a machine, with float64 switched on as without."""
    with jax.enable_x64(wide):
        own = jnp.float64 if wide else jnp.float32
        std = np.array([0.5, 1.0, 2.0])
        real = boltzmann.init_rbm(KEY, 2, MEAN, visible=boltzmann.gaussian_units(std))
        assert dtypes(real) == {jnp.dtype(own)}
        machine = boltzmann.init_rbm(KEY, 2, MEAN)
        assert dtypes(machine) == {jnp.dtype(own)}
        chains = boltzmann.init(KEY, machine, 4, BITS)
        chains, info = boltzmann.gibbs_steps(jax.random.key(1), machine, chains, 3)
        assert dtypes((chains, info)) == {jnp.dtype(own)}
        path = boltzmann.data_mean_base(machine, MEAN)
        schedule = boltzmann.choose_inverse_temperatures(KEY, path, 10, num_pilots=16)
        found = boltzmann.measure_bracket(KEY, path, schedule, chains, num_chains=16, burn_in=3)
        population = boltzmann.population_annealing(
            KEY, path, schedule, num_chains=16, num_populations=2
        )
        truth = boltzmann.log_partition(machine)
        for log_z in (found.log_z, population.log_z):
            np.testing.assert_allclose(log_z, truth, atol=0.05)
        boltzmann.find_modes(machine, chains)
        ladder = boltzmann.init_ladder(KEY, machine, 3, 2)
        boltzmann.ladder_step(KEY, path, ladder, boltzmann.linear_inverse_temperatures(2))


@pytest.mark.parametrize("wide", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize(
    "phase",
    [
        boltzmann.cd(1),
        boltzmann.pcd(num_chains=4),
        boltzmann.tempered_pcd(num_chains=4, num_temperatures=3),
        boltzmann.population(num_chains=4, num_temperatures=3),
    ],
    ids=["cd", "pcd", "tempered_pcd", "population"],
)
def test_every_phase_learns_with_either(phase, wide):
    with jax.enable_x64(wide):
        estimator = boltzmann.make_estimator(
            lambda key: boltzmann.init_rbm(key, 2, MEAN, scale=0.1), phase
        )
        params, state = estimator.init(KEY)
        batch = Batch(jnp.asarray(BITS), jnp.arange(3))

        def loss(params):
            estimate, after = estimator.estimate(params, state, jax.random.key(2), batch)
            return estimate.theta_loss, after

        gradient, after = jax.grad(loss, has_aux=True)(params)
        assert jax.tree.map(jnp.result_type, after) == jax.tree.map(jnp.result_type, state)
        assert dtypes(gradient.theta) == dtypes(params.theta)
        assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_parameters_are_of_one_type_and_never_narrow():
    weights, visible, hidden = np.zeros((3, 2)), np.zeros(3), np.zeros(2)
    for parts in (
        (weights.astype(np.float16), visible.astype(np.float16), hidden.astype(np.float16)),
        (jnp.asarray(weights, jnp.bfloat16), visible.astype(np.float32), hidden.astype(int)),
        (weights.astype(int), visible.astype(int), hidden.tolist()),
    ):
        with no_checks_of_shapes():
            assert dtypes(RBM(*parts)) == {jnp.dtype(jnp.float32)}
    with jax.enable_x64(True):
        with no_checks_of_shapes():
            mixed = RBM(weights, visible.astype(np.float32), hidden.astype(np.float32))
        assert dtypes(mixed) == {jnp.dtype(jnp.float64)}


@pytest.mark.parametrize("kind", [np.uint8, np.int64, bool, np.float64])
def test_units_of_any_type_are_those_numbers(kind):
    machine, grid = machines.rbm(3, 2), machines.OF_BITS["grid"]
    v, h = BITS.astype(kind), BITS[:, :2].astype(kind)
    chains, real = Units(v, h), Units(BITS.astype(np.float32), BITS[:, :2].astype(np.float32))
    places = np.random.default_rng(0).integers(0, 2, (4, 9))
    path = boltzmann.uniform_base(machine)
    steps = boltzmann.linear_inverse_temperatures(3)
    with no_checks_of_shapes():
        for a, b in (
            (boltzmann.gibbs_steps(KEY, machine, one, 2) for one in (chains, real)),
            (boltzmann.mean_field(machine, one, 5) for one in (chains, real)),
            (boltzmann.mean_field(grid, places.astype(k), 5) for k in (kind, np.float32)),
            (boltzmann.gibbs_step(KEY, grid, places.astype(k)) for k in (kind, np.float32)),
            (boltzmann.reverse_ais(KEY, path, steps, one) for one in (chains, real)),
            (boltzmann.likelihood_loss(machine, one.visible, v) for one in (chains, real)),
            (boltzmann.pseudo_log_likelihood(KEY, machine, one.visible) for one in (chains, real)),
        ):
            for left, right in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
                np.testing.assert_array_equal(left, right)
    assert 0.0 < float(boltzmann.mean_field(grid, places, 5).min()) < 1.0


def test_eager_calls_compile_once(caplog):
    """A loop in a notebook, without a `jax.jit` of its own."""
    machine = boltzmann.init_rbm(KEY, 2, MEAN)
    chains = boltzmann.init(KEY, machine, 4)

    def all_of_it(number):
        other = jax.tree.map(lambda leaf: leaf + number, machine)
        boltzmann.gibbs_steps(jax.random.key(number), other, chains, 2 + number)
        boltzmann.mean_field(other, chains, 3)
        boltzmann.log_partition(other)
        boltzmann.find_modes(other, chains, num_sweeps=3)

    all_of_it(0)
    with jax.log_compiles(True), caplog.at_level("WARNING"):
        all_of_it(1)
    compiled = [one.getMessage() for one in caplog.records if "Compiling" in one.getMessage()]
    assert not compiled


def test_chains_swept_by_the_key_that_began_them_are_still_random():
    """A user's slip: with the same numbers behind both, a sweep would repeat the beginning."""
    machine = boltzmann.init_rbm(KEY, 2, np.full(6, 0.5))
    before = boltzmann.init(KEY, machine, 20_000)
    after, _ = boltzmann.gibbs_step(KEY, machine, before)
    for unit in range(6):
        pair = np.corrcoef(before.visible[:, unit], after.visible[:, unit])[0, 1]
        assert abs(pair) < machines.SIGMAS / np.sqrt(20_000)


def test_a_machine_is_begun_within_a_compiled_function():
    compiled = jax.jit(lambda key, mean: boltzmann.init_rbm(key, 2, mean))(KEY, MEAN)
    plain = boltzmann.init_rbm(KEY, 2, MEAN)
    for a, b in zip(jax.tree.leaves(compiled), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
