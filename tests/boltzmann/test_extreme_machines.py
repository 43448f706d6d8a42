"""Real units, gradients of log Z, and machines at the edges: large, empty, or of one unit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from remjax.boltzmann import (
    RBM,
    PairwiseMachine,
    Reals,
    Units,
    exact_samples,
    gaussian_units,
    gibbs_step,
    init,
    init_rbm,
    log_partition,
    make_graph,
)
from remjax.boltzmann.families import Bits
from tests.boltzmann import machines
from tests.boltzmann.machines import OF_BITS
from tests.boltzmann.refusals import no_checks_of_shapes


@machines.every(OF_BITS)
def test_gradient_of_log_z_is_minus_the_mean_gradient_of_the_energy(machine):
    """DV-1 of the discrepancies: with p = exp(-E) / Z, and the minus of the code, not the paper."""
    states = machines.unflat(machine, machines.all_states(machine.num_units))
    p = jnp.asarray(machines.distribution(machine), jnp.float32)
    expected = jax.grad(lambda m: -jnp.sum(p * m.energy(states)))(machine)
    found = jax.jit(jax.grad(log_partition))(machine)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6)


def gaussian_parts(machine):
    """W, a, b and precisions in float64, and the hidden states."""
    w, a, b = (np.asarray(p, np.float64) for p in (machine.weights, *machine.biases))
    precision = np.exp(np.asarray(machine.visible.log_precision, np.float64))
    return w, a, b, precision, machines.all_states(len(b))


def gaussian_log_z(machine):
    """By completing the square for each state of the hidden units."""
    w, a, b, precision, h = gaussian_parts(machine)
    field = a + h @ w.T
    terms = h @ b + (field**2 / precision / 2 + np.log(2 * np.pi / precision) / 2).sum(axis=1)
    return scipy.special.logsumexp(terms)


def test_gaussian_bernoulli_against_the_closed_form():
    machine = machines.gaussian_rbm()
    w, a, _, precision, h = gaussian_parts(machine)
    v = np.linspace(-3, 3, 21)[:, None] * np.array([1.0, -0.7, 0.4])
    each = np.array([[machines.energy(machine, np.concatenate([x, z])) for z in h] for x in v])
    np.testing.assert_allclose(
        machine.free_energy(jnp.asarray(v, jnp.float32)),
        -scipy.special.logsumexp(-each, axis=1),
        rtol=1e-5,
        atol=1e-5,
    )
    units = Units(jnp.asarray(v[:16], jnp.float32), jnp.asarray(h, jnp.float32))
    np.testing.assert_allclose(machine.energy(units), np.diag(each), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(log_partition(machine), gaussian_log_z(machine), rtol=1e-6)
    mean = machine.visible_mean(units.hidden)
    np.testing.assert_allclose(mean, (a + h @ w.T) / precision, rtol=1e-5, atol=1e-6)


def test_gaussian_free_energy_integrates_to_one():
    """Numerically, with one visible unit: what the normaliser of a block of reals must be."""
    machine = machines.gaussian_rbm(1, 4)
    grid = np.linspace(-25, 25, 20_001)
    log_p = machine.log_prob(jnp.asarray(grid[:, None], jnp.float32), log_partition(machine))
    total = np.trapezoid(np.exp(np.asarray(log_p, np.float64)), grid)
    np.testing.assert_allclose(total, 1.0, rtol=1e-5)


def test_real_hidden_units_are_the_transpose():
    machine = machines.gaussian_rbm()
    np.testing.assert_allclose(
        log_partition(machine.transposed), gaussian_log_z(machine), rtol=1e-6
    )


def test_differences_of_normalisers_are_exact_for_small_steps_and_finite_for_large_ones():
    one = jax.jit(Bits().log_normalizer_difference)
    of_rows = jax.jit(jax.vmap(Bits().log_normalizer_difference))
    # Under vmap both forms are computed, and the one not taken may overflow.
    slopes_of = jax.jit(jax.grad(lambda *rows: of_rows(*rows).sum(), (0, 1)))
    start = np.array([-80.0, -30.0, -3.0, -0.1, 0.0, 2.0, 30.0, 80.0, 1e3, -1e3])
    for size in (1e-7, 1e-4, 0.3, 0.99, 1.5, 60.0, 1e3):
        for sign in (1.0, -1.0):
            change = np.full(10, sign * size)
            expected = np.logaddexp(0, start + change) - np.logaddexp(0, start)
            if size < 1e-3:  # where float64 loses digits as well
                expected = np.log1p(scipy.special.expit(start) * np.expm1(change))
            rows = (jnp.asarray(start, jnp.float32)[:, None], jnp.float32(change)[:, None])
            # Relative where the step is small; a difference of float32 sums where it is large.
            close = {"rtol": 1e-5, "atol": 1e-6 * abs(size) if size < 1 else 2e-4}
            np.testing.assert_allclose(one(*rows), expected, **close)
            with jax.debug_nans(True):
                np.testing.assert_allclose(of_rows(*rows), expected, **close)
                slopes = slopes_of(*rows)
            by_change = scipy.special.expit(start + change)
            np.testing.assert_allclose(slopes[1][:, 0], by_change, rtol=1e-4, atol=1e-6)
            by_start = by_change - scipy.special.expit(start)
            np.testing.assert_allclose(slopes[0][:, 0], by_start, rtol=1e-3, atol=1e-6)


EDGES = {
    "weights of 1e3": machines.rbm(scale=1e3),
    "zero weights": jax.tree.map(jnp.zeros_like, machines.rbm()),
    "one hidden unit": machines.rbm(5, 1),
    "one visible unit": machines.rbm(1, 4),
    "one of each": machines.rbm(1, 1),
}


@jax.jit
def everything(machine, v, key):
    """log Z, log p of all states, gradients of what has one, and chains, one alone as well."""
    log_z = log_partition(machine)
    gradients = [
        jax.grad(log_partition)(machine),
        jax.grad(lambda m: m.free_energy(v).sum())(machine),
        jax.grad(lambda m: m.hidden_mean(v).sum())(machine),
        jax.grad(lambda m: m.energy(m.random(key, (7,))).sum())(machine),
    ]
    starts = init(key, machine, 1), exact_samples(key, machine, 3)
    chains = [gibbs_step(key, machine, start) for start in starts]
    return log_z, machine.log_prob(v, log_z), (gradients, chains)


@pytest.mark.parametrize("machine", EDGES.values(), ids=EDGES.keys())
def test_edges_are_finite_and_right(machine, key):
    """Values and gradients of everything, under `jax.debug_nans`."""
    v = jnp.asarray(machines.all_states(machine.sizes[0]), jnp.float32)
    scale = max(1.0, float(jnp.abs(machine.weights).max()))
    with jax.debug_nans(True):
        log_z, log_p, others = everything(machine, v, key)
    np.testing.assert_allclose(log_z, machines.log_z(machine), rtol=1e-5)
    np.testing.assert_allclose(scipy.special.logsumexp(log_p), 0.0, atol=1e-5 * scale)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(others))


def test_float32_beside_float64():
    machine = machines.rbm()
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), machine)
        assert wide.dtype == jnp.float64
        log_z = float(log_partition(wide))
        gradient = jax.device_get(jax.grad(log_partition)(wide))
    np.testing.assert_allclose(log_z, machines.log_z(machine), rtol=1e-14)
    np.testing.assert_allclose(log_partition(machine), log_z, rtol=5e-7)
    narrow = jax.grad(log_partition)(machine)
    for a, b in zip(jax.tree.leaves(narrow), jax.tree.leaves(gradient), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


def test_a_machine_to_begin_with(key):
    """Visible units have the means of the data; constant pixels a finite bias."""
    mean = np.array([0.0, 1.0, 0.3, 0.5])
    machine = init_rbm(key, 6, mean)
    kept = np.clip(mean, 0.01, 0.99)
    np.testing.assert_allclose(jax.nn.sigmoid(machine.visible_bias), kept, rtol=1e-5)
    assert machine.sizes == (4, 6)
    np.testing.assert_allclose(init_rbm(key, 2_000, mean).weights.std(), 0.01, rtol=0.05)
    np.testing.assert_array_equal(init_rbm(key, 6, mean, scale=0.0).weights, 0.0)


def test_real_units_of_the_scale_of_the_data(key):
    """A constant column has the scale of the others, or one."""
    std = np.array([2.0, 0.0, 4.0])
    units = gaussian_units(std)
    np.testing.assert_allclose(units.precision, 1 / np.array([2.0, 3.0, 4.0]) ** 2, rtol=1e-5)
    np.testing.assert_array_equal(gaussian_units(np.zeros(3)).log_precision, np.zeros(3))
    mean = np.array([-1.0, 0.0, 5.0])
    machine = init_rbm(key, 2, mean, visible=units, scale=0.0)
    np.testing.assert_allclose(machine.visible_mean(jnp.zeros(2)), mean, rtol=1e-5)
    assert isinstance(machine.visible, Reals)
    assert RBM(*map(jnp.zeros, ((3, 2), 3, 2))).visible == Bits()


def test_numbers_of_any_type_make_a_machine():
    """Lists, integers and float64, of which others keep weights: the same machine, no warning."""
    lists = [[1, -2], [0, 3], [2, 1]], [0, 1, -1], [1, 0]
    expected = RBM(*(jnp.asarray(part, jnp.float32) for part in lists))
    v, h = np.ones((4, 3)), np.ones((4, 2), bool)
    with no_checks_of_shapes():
        for cast in (list, np.asarray, np.float64):
            machine = RBM(*map(cast, lists))
            assert machine.dtype == jnp.float32
            for found, right in zip(
                jax.tree.leaves(machine), jax.tree.leaves(expected), strict=True
            ):
                np.testing.assert_array_equal(found, right)
            np.testing.assert_array_equal(machine.energy(Units(v, h)), np.full(4, -6.0))
        graph = PairwiseMachine([1], [0.5, -1], make_graph(2, [(0, 1)]))
        np.testing.assert_allclose(graph.energy(np.ones(2)), -0.5)
