"""The chain of a denoising model against its transition matrix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax.distributions import Flips, GaussianNoise, Masking, SaltAndPepper
from remjax.errors import InputError
from remjax.methods import chain_step, make_chains, walk_back
from remjax.types import DenoisingModel
from tests import denoising_tables as tables

MODEL = tables.table_model()
CORRUPTIONS = (SaltAndPepper(0.5), Masking(0.4), Flips(0.2))
# Not the posterior of anything: its stationary distribution is its own.
THETA = jnp.asarray(1.5 * np.random.default_rng(2).normal(size=(tables.SIZE, tables.SIZE)))
corruptions = pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda one: type(one).__name__)


def counts_of(states):
    """How often each state comes."""
    numbers = np.asarray(tables.code(jnp.asarray(states).reshape(-1, tables.NUM_BITS)))
    return np.bincount(numbers, minlength=tables.SIZE)


def assert_frequencies(states, probability):
    """Of independent states: five standard errors."""
    frequency, count = counts_of(states), np.prod(states.shape[:-1])
    error = np.sqrt(probability * (1 - probability) / count)
    assert np.all(np.abs(frequency / count - probability) <= 5 * error + 1e-12)


def assert_pairs(first, second, probability):
    """Chi-square of independent pairs: its mean is n, its standard deviation sqrt(2 n); five."""
    numbers = np.asarray(tables.code(first)) * tables.SIZE + np.asarray(tables.code(second))
    counts = np.bincount(numbers, minlength=tables.SIZE**2)
    possible = probability.ravel() > 0.0
    assert counts[~possible].sum() == 0
    expected = len(numbers) * probability.ravel()[possible]
    n = len(expected) - 1
    chi_square = np.sum(np.square(counts[possible] - expected) / expected)
    assert abs(chi_square - n) < 5 * np.sqrt(2 * n)


@corruptions
def test_with_the_exact_posterior_the_data_are_stationary(corruption):
    """Exactly (Bachman & Precup 2015, Section 2): D T = D, and no other distribution is."""
    table = tables.posterior_table(corruption)
    matrix = tables.transition_matrix(corruption, table)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(tables.DATA @ matrix, tables.DATA, atol=1e-7)
    np.testing.assert_allclose(tables.stationary_distribution(matrix), tables.DATA, atol=1e-6)
    uniform = np.full(tables.SIZE, 1 / tables.SIZE)
    other = tables.transition_matrix(corruption, tables.posterior_table(corruption, uniform))
    assert tables.total_variation(tables.stationary_distribution(other), tables.DATA) > 0.1


@corruptions
def test_one_step_has_the_frequencies_of_the_matrix(key, corruption):
    """20,000 steps from one x: zbar as q has it, x' as T has it, and both together."""
    x, keys = jnp.asarray(tables.STATES[6]), jax.random.split(key, 100_000)
    step = jax.jit(jax.vmap(lambda key: chain_step(key, MODEL, THETA, corruption, x)))
    new, zbar = step(keys)
    q, p = tables.corruption_table(corruption)[6], tables.model_table(MODEL, THETA)
    assert_frequencies(zbar, q)
    assert_frequencies(new, q @ p)
    assert_pairs(zbar, new, q[:, None] * p)


@corruptions
def test_a_long_run_comes_to_the_stationary_distribution(key, corruption):
    """400 chains, 50 states kept of each; total variation within the Monte Carlo error.

    The chains are independent, so the spread of their own frequencies gives the standard error of
    each probability; E|N(0, s)| = 0.8 s, and twice the expected total variation is allowed.
    """
    matrix = tables.transition_matrix(corruption, tables.model_table(MODEL, THETA))
    exact = tables.stationary_distribution(matrix)
    run = make_chains(MODEL, num_kept=50, every=2)
    start = jnp.zeros((400, tables.NUM_BITS))
    burnt_in = run(THETA, corruption, key, start).x[-1]
    kept = run(THETA, corruption, jax.random.fold_in(key, 1), burnt_in)
    assert kept.x.shape == kept.zbar.shape == (50, 400, tables.NUM_BITS)
    of_each = np.stack([counts_of(chain) for chain in np.moveaxis(np.asarray(kept.x), 1, 0)]) / 50
    error = of_each.std(axis=0, ddof=1) / np.sqrt(400)
    expected = 0.5 * np.sum(np.sqrt(2 / np.pi) * error)
    assert tables.total_variation(of_each.mean(axis=0), exact) < 2 * expected
    assert expected < 0.02
    # Were it the data's, or that of another corruption, the bound would tell.
    assert tables.total_variation(tables.DATA, exact) > 4 * expected


def test_a_run_is_its_steps(key):
    """A chain follows from the key and its number; every third state is kept, with its zbar."""
    start = jnp.asarray(tables.STATES[[3, 9]], jnp.float32)
    kept = make_chains(MODEL, num_kept=2, every=3)(THETA, CORRUPTIONS[0], key, start)
    for chain in range(2):
        x = start[chain]
        for place in range(6):
            step = jax.random.fold_in(jax.random.fold_in(key, chain), place)
            x, zbar = chain_step(step, MODEL, THETA, CORRUPTIONS[0], x)
            if place % 3 == 2:
                np.testing.assert_array_equal(kept.x[place // 3, chain], x)
                np.testing.assert_array_equal(kept.zbar[place // 3, chain], zbar)


def test_a_run_compiles_once_for_any_theta_and_strength(key):
    """And takes bits of any type; `every` states of one run are the states of another."""
    traced = []

    def sample(theta, key, zbar):
        traced.append(zbar)
        return MODEL.sample(theta, key, zbar)

    run = make_chains(MODEL._replace(sample=sample), num_kept=2)
    first = run(THETA, SaltAndPepper(0.5), key, jnp.zeros((3, 4)))
    count = len(traced)
    run(2.0 * THETA, SaltAndPepper(0.1), key, jnp.ones((3, 4)))
    assert len(traced) == count
    for dtype in (bool, np.uint8):
        again = run(THETA, SaltAndPepper(0.5), key, np.zeros((3, 4), dtype))
        np.testing.assert_array_equal(again.x, first.x)


@pytest.mark.parametrize("corruption", [SaltAndPepper(0.4), Flips(0.2)], ids=["grains", "flips"])
def test_walk_back_by_enumeration(key, corruption):
    """zbar_s ~ delta_x q (p q)^(s-1): the marginals, and the pairs of the first two."""
    q = tables.corruption_table(corruption)
    p = tables.model_table(MODEL, THETA)
    x, count = 11, 100_000
    walk = jax.jit(
        jax.vmap(
            lambda key: walk_back(key, MODEL, THETA, corruption, jnp.asarray(tables.STATES[x]), 3)
        )
    )
    points = walk(jax.random.split(key, count))
    assert points.shape == (count, 3, tables.NUM_BITS)
    marginal = q[x]
    for step in range(3):
        assert_frequencies(points[:, step], marginal)
        marginal = marginal @ p @ q
    assert_pairs(points[:, 0], points[:, 1], q[x][:, None] * (p @ q))


def test_no_gradient_passes_through_a_chain(key):
    """Not even where the draws of the model are differentiable."""
    model = DenoisingModel(
        init=lambda key: jnp.ones(()),
        log_likelihood=lambda theta, x, zbar: -jnp.sum(jnp.square(x - theta * zbar)),
        sample=lambda theta, key, zbar: theta * zbar,
    )

    def last(theta, scale, x):
        noise = GaussianNoise(scale)
        points = walk_back(key, model, theta, noise, x, 3)
        return jnp.sum(points) + jnp.sum(chain_step(key, model, theta, noise, x)[0])

    gradients = jax.grad(last, (0, 1, 2))(jnp.ones(()), jnp.ones(()), jnp.ones(2))
    for leaf in gradients:
        np.testing.assert_array_equal(leaf, np.zeros(leaf.shape))


@pytest.mark.parametrize("name", ["num_kept", "every"])
def test_runs_of_no_steps_are_refused(name):
    with pytest.raises(InputError, match=f"^{name} is 0: give at least 1 step$"):
        make_chains(MODEL, **{"num_kept": 1, name: 0})


def test_a_walk_of_no_steps_is_refused(key):
    with pytest.raises(InputError, match=r"^num_steps is 0: give at least 1 step$"):
        walk_back(key, MODEL, THETA, CORRUPTIONS[0], jnp.zeros(4), 0)


def test_states_that_the_model_does_not_take(key):
    run = make_chains(MODEL, num_kept=1)
    with pytest.raises(InputError, match=r"^there are no chains: give at least one state to begin"):
        run(THETA, Flips(0.1), key, jnp.zeros((0, 4)))
    with pytest.raises(InputError, match=r"^row 0 holds -1 .* must lie in \[0, 1\]: give bits$"):
        run(THETA, Flips(0.1), key, -jnp.ones((2, 4)))
    with pytest.raises(InputError, match=r"^row 1 holds nan: drop or impute that row$"):
        run(THETA, Flips(0.1), key, np.array([[0.0] * 4, [np.nan] * 4]))
