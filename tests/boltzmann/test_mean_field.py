"""Mean-field fixed points: their equations hold, the divergence falls, planted modes are found."""

import jax
import jax.numpy as jnp
import numpy as np

from remjax.boltzmann import (
    RBM,
    Units,
    find_modes,
    gibbs_steps,
    init,
    log_partition,
    mean_field,
)
from remjax.boltzmann.mean_field import log_z_bound
from tests.boltzmann import machines
from tests.boltzmann.machines import OF_BITS, flat

MACHINES = OF_BITS | {"reals": machines.gaussian_rbm()}


def halves(machine):
    """Means to begin at."""
    return jax.tree.map(
        lambda leaf: 0.5 * jnp.ones_like(leaf), machine.random(jax.random.key(0), ())
    )


@machines.every(MACHINES)
def test_the_fixed_point_equations_hold(machine):
    means = mean_field(machine, halves(machine), 2_000)
    for block, family in enumerate(machine.families):
        expected = family.mean(machine.field(block, means))
        np.testing.assert_allclose(machine.values(block, means), expected, rtol=1e-4, atol=1e-5)


def divergence(machine, means):
    """KL(prod_i q_i || p) by enumeration, nats."""
    q = np.clip(flat(means).astype(np.float64), 1e-12, 1 - 1e-12)
    states = machines.all_states(machine.num_units)
    log_q = states @ np.log(q) + (1 - states) @ np.log1p(-q)
    return np.exp(log_q) @ (log_q + machines.energies(machine)) + machines.log_z(machine)


@machines.every(OF_BITS)
def test_the_divergence_falls_with_every_sweep(machine):
    start = halves(machine)
    found = [divergence(machine, start)]
    found += [divergence(machine, mean_field(machine, start, n)) for n in (1, 2, 3, 5, 10, 50)]
    assert (np.diff(found) < 1e-5).all()
    assert 0 < found[-1] < found[0] - 0.1


def test_the_bound_on_log_z_rises_with_the_sweeps():
    """Never above the enumerated log Z, and equal to it without couplings."""
    start = jnp.full(5, 0.5)
    for scale in (0.0, 0.5, 2.0):
        machine = machines.rbm(scale=scale)
        found = [float(log_z_bound(machine, start, n)) for n in (1, 2, 5, 50)]
        exact = float(log_partition(machine))
        assert (np.diff(found) > -1e-5).all()
        assert found[-1] < exact + 1e-5
        if scale == 0.0:
            np.testing.assert_allclose(found, exact, rtol=1e-5)


def test_gradients_flow_through_the_sweeps():
    """Against finite differences, the number of sweeps a Python number."""
    machine = machines.rbm(scale=0.5)
    start = halves(machine)

    def total(bias):
        one = RBM(machine.weights, bias, machine.hidden_bias)
        return sum(leaf.sum() for leaf in mean_field(one, start, 5))

    with jax.enable_x64(True):
        bias = machine.visible_bias
        found = jax.grad(total)(bias)
        step = 1e-2
        ends = [total(bias.at[0].add(sign * step)) for sign in (1, -1)]
    np.testing.assert_allclose(found[0], (ends[0] - ends[1]) / (2 * step), rtol=1e-3)


def planted(patterns, strength=4.0):
    """A hidden unit that chooses between two patterns, each as likely as the other."""
    off, on = strength * (2 * np.asarray(patterns, np.float32) - 1)
    balance = np.logaddexp(0, off).sum() - np.logaddexp(0, on).sum()
    return RBM(*map(jnp.asarray, ((on - off)[:, None], off, np.float32([balance]))))


def test_two_planted_modes_are_found():
    """Chains shared between them: the means of both, and how many chains went to each."""
    patterns = np.array([[1, 1, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1, 1]])
    machine = planted(patterns)
    p = machines.distribution(machine)
    states = machines.all_states(9)
    visible = [np.flatnonzero((states[:, :8] == one).all(axis=1)) for one in patterns]
    assert min(p[rows].sum() for rows in visible) > 0.3  # the truth: two modes
    chains = machines.exact_chains(jax.random.key(0), machine, 2_000)
    modes = find_modes(machine, chains, num_sweeps=100)
    assert len(modes.counts) == 2
    assert (np.diff(modes.counts) <= 0).all()
    found = {tuple(np.round(row[:8]).astype(int)) for row in modes.means}
    assert found == {tuple(one) for one in patterns}
    assert modes.counts.sum() > 1_900
    np.testing.assert_allclose(modes.counts / 2_000, 0.5, atol=0.05)


def test_one_mode_and_modes_of_few_chains():
    machine = machines.rbm(scale=0.1)
    chains, _ = gibbs_steps(jax.random.key(1), machine, init(jax.random.key(0), machine, 50), 5)
    modes = find_modes(machine, chains, num_sweeps=100)
    assert modes.means.shape == (1, 9)
    np.testing.assert_array_equal(modes.counts, [50])
    few = jax.tree.map(lambda leaf: leaf[:5], chains)
    assert find_modes(machine, few).counts.size == 0
    assert find_modes(machine, few, least=5).counts.tolist() == [5]


def test_chains_of_any_leading_axes_and_types():
    machine = OF_BITS["rbm"]
    chains = init(jax.random.key(0), machine, 60)
    modes = find_modes(machine, chains, least=1)
    folded = Units(*(leaf.reshape(3, 20, -1).astype(jnp.int8) for leaf in chains))
    for a, b in zip(modes, find_modes(machine, folded, least=1), strict=True):
        np.testing.assert_array_equal(a, b)
