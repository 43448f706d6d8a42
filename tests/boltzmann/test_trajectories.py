"""Contrastive divergence as a divergence of trajectories, Eqs. 24 to 45, by enumeration."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from remjax.boltzmann import RBM, log_partition
from remjax.boltzmann.trajectories import (
    Trajectory,
    all_bits,
    backward_log_prob,
    end_marginal,
    estimated_end_log_prob,
    exact_divergence,
    forward_log_prob,
    log_ratio,
    neglected_term,
    trajectory,
    transition_matrix,
)
from tests.boltzmann import machines
from tests.boltzmann.machines import assert_mean, assert_same_distribution, codes

MACHINE = machines.rbm(3, 2, seed=3)
V, H = machines.all_states(3), machines.all_states(2)
STATES = jnp.asarray(V, jnp.float32)
DATA = np.array([0.3, 0.0, 0.05, 0.25, 0.1, 0.0, 0.2, 0.1])


def start(count, seed=0):
    """x_0 from the data."""
    return STATES[np.random.default_rng(seed).choice(8, count, p=DATA)]


def bernoulli(logits, z):
    """log p of each state under each row of logits."""
    return logits @ z.T - np.logaddexp(0, logits).sum(axis=1)[:, None]


def conditionals(machine):
    """log p(h | v) [8, 4] and log p(v | h) [4, 8], by NumPy."""
    w, a, b = (np.asarray(p, np.float64) for p in (machine.weights, *machine.biases))
    return bernoulli(b + V @ w, H), bernoulli(a + H @ w.T, V)


def test_states_transitions_and_the_marginal_of_the_end():
    np.testing.assert_array_equal(all_bits(3), V)
    to_h, to_v = conditionals(MACHINE)
    matrix = np.exp(to_h) @ np.exp(to_v)
    np.testing.assert_allclose(transition_matrix(MACHINE, STATES), matrix, rtol=1e-5)
    for steps in (1, 2, 7):
        found = end_marginal(MACHINE, jnp.asarray(DATA, jnp.float32), STATES, steps)
        expected = DATA @ np.linalg.matrix_power(matrix, steps)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("steps", [1, 3])
def test_simulated_trajectories_follow_the_chain(steps):
    x = start(100_000)
    tau = trajectory(jax.random.key(0), MACHINE, x, steps)
    assert (tau.visible.shape, tau.hidden.shape) == ((steps + 1, len(x), 3), (steps, len(x), 2))
    np.testing.assert_array_equal(tau.visible[0], x)
    to_h, to_v = conditionals(MACHINE)
    pair = codes(tau.hidden[-1]) * 8 + codes(tau.visible[-1])
    before = DATA @ np.linalg.matrix_power(np.exp(to_h) @ np.exp(to_v), steps - 1)
    expected = (before @ np.exp(to_h))[:, None] * np.exp(to_v)
    assert_same_distribution(pair, expected.ravel())


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("machine", [machines.rbm(), machines.gaussian_rbm(5, 4)])
def test_log_ratio_is_the_difference_of_both_directions(machine, steps):
    """Eqs. 37 to 40, with biases and with real visible units as well."""
    x = machine.random(jax.random.key(1), (20,)).visible
    tau = trajectory(jax.random.key(0), machine, x, steps)
    expected = forward_log_prob(machine, tau) - backward_log_prob(machine, tau)
    np.testing.assert_allclose(log_ratio(machine, tau), expected, rtol=1e-4, atol=1e-4)


def test_log_ratio_without_biases_as_the_paper_prints_it():
    """Eq. 41 and its gradient, Eq. 43, by NumPy."""
    w = np.asarray(machines.rbm().weights, np.float64)
    machine = RBM(machines.rbm().weights, jnp.zeros(5), jnp.zeros(4))
    x = machine.random(jax.random.key(1), (6,)).visible
    tau = trajectory(jax.random.key(0), machine, x, 2)
    first, last = (np.asarray(tau.visible[i], np.float64) for i in (0, -1))
    eq_41 = np.logaddexp(0, last @ w).sum(axis=1) - np.logaddexp(0, first @ w).sum(axis=1)
    np.testing.assert_allclose(log_ratio(machine, tau), eq_41, rtol=1e-5, atol=1e-5)
    gradient = jax.grad(lambda one: log_ratio(one, tau).sum())(machine).weights
    eq_43 = last.T @ scipy.special.expit(last @ w) - first.T @ scipy.special.expit(first @ w)
    np.testing.assert_allclose(gradient, eq_43, rtol=1e-4, atol=1e-5)


def every_trajectory(steps):
    """All (x_0, z_0, ..., x_k) as codes, and as a Trajectory."""
    sides = [range(8), *[range(4), range(8)] * steps]
    rows = np.array(list(itertools.product(*sides)))
    tau = Trajectory(
        jnp.asarray(V[rows[:, ::2]].swapaxes(0, 1), jnp.float32),
        jnp.asarray(H[rows[:, 1::2]].swapaxes(0, 1), jnp.float32),
    )
    return rows, tau


@pytest.mark.parametrize("steps", [1, 2])
def test_the_divergence_by_enumeration_of_all_trajectories(steps):
    """Eqs. 24, 32 and 33: q forward from the data, p backward from the marginal of the end."""
    rows, tau = every_trajectory(steps)
    to_h, to_v = conditionals(MACHINE)
    log_forward, log_backward = np.zeros((2, len(rows)))
    for i in range(0, 2 * steps, 2):
        x, z, following = rows[:, i], rows[:, i + 1], rows[:, i + 2]
        log_forward += to_h[x, z] + to_v[z, following]
        log_backward += to_h[following, z] + to_v[z, x]
    np.testing.assert_allclose(forward_log_prob(MACHINE, tau), log_forward, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(backward_log_prob(MACHINE, tau), log_backward, rtol=1e-4, atol=1e-5)
    q = DATA[rows[:, 0]] * np.exp(log_forward)
    np.testing.assert_allclose(q.sum(), 1.0)
    end = np.bincount(rows[:, -1], q, minlength=8)
    p = end[rows[:, -1]] * np.exp(log_backward)
    np.testing.assert_allclose(p.sum(), 1.0)
    some = q > 0
    divergence = np.sum(q[some] * np.log(q[some] / p[some]))
    found = exact_divergence(MACHINE, jnp.asarray(DATA, jnp.float32), STATES, steps)
    np.testing.assert_allclose(found, divergence, rtol=1e-4)


def divergence_gradient(steps):
    data = jnp.asarray(DATA, jnp.float32)
    return jax.grad(exact_divergence)(MACHINE, data, STATES, steps)


@pytest.mark.parametrize("steps", [1, 3])
def test_gradient_of_the_divergence_is_that_of_cd_and_the_neglected_term(steps):
    """Eq. 35: the means over 400 batches of 250 simulated trajectories, baseline and all."""
    batches, size = 400, 250
    data = jnp.asarray(DATA, jnp.float32)
    log_end = jnp.log(end_marginal(MACHINE, data, STATES, steps))
    x = start(batches * size).reshape(batches, size, 3)

    @jax.jit
    @jax.vmap
    def gradients(key, x):
        tau = trajectory(key, MACHINE, x, steps)
        place = (tau.visible[-1] @ (2 ** jnp.arange(3.0))).astype(int)

        def of_cd(machine):
            return log_ratio(machine, tau).mean()

        def of_both(machine):
            return of_cd(machine) + neglected_term(machine, tau, log_end[place])

        return jax.grad(of_cd)(MACHINE), jax.grad(of_both)(MACHINE)

    cd, both = gradients(jax.random.split(jax.random.key(2), batches), x)
    expected = divergence_gradient(steps)
    for rows, truth in zip(jax.tree.leaves(both), jax.tree.leaves(expected), strict=True):
        assert_mean(rows.reshape(batches, -1), np.ravel(truth), 5.0)
    if steps == 1:  # contrastive divergence alone is something else
        with pytest.raises(AssertionError, match="standard errors off"):
            assert_mean(cd.weights.reshape(batches, -1), np.ravel(expected.weights), 5.0)


def test_with_many_steps_it_is_maximum_likelihood():
    """The value tends to KL(D || p), its gradient to that of -log p; the term (45) vanishes."""
    data = jnp.asarray(DATA, jnp.float32)

    def likelihood(machine):
        return data @ machine.free_energy(STATES) + log_partition(machine)

    entropy = scipy.special.xlogy(DATA, DATA).sum()
    found = exact_divergence(MACHINE, data, STATES, 300)
    np.testing.assert_allclose(found, likelihood(MACHINE) + entropy, atol=1e-5)
    limit = jax.grad(likelihood)(MACHINE)
    distances = []
    for steps in (1, 5, 25, 300):
        found = divergence_gradient(steps)
        distances.append(
            max(
                float(np.abs(a - b).max())
                for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(limit), strict=True)
            )
        )
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 1e-4


def test_a_baseline_changes_the_noise_and_not_the_mean():
    """Any number that does not depend on the trajectory: means agree, the variance is less."""
    batches, size = 300, 100
    x = start(batches * size).reshape(batches, size, 3)

    def rows(baseline):
        def one(key, x):
            tau = trajectory(key, MACHINE, x, 1)
            given = None if baseline is None else jnp.full(size, baseline)
            return jax.grad(lambda m: neglected_term(m, tau, 0.0, given))(MACHINE).weights

        keys = jax.random.split(jax.random.key(2), batches)
        return np.asarray(jax.jit(jax.vmap(one))(keys, x), np.float64).reshape(batches, -1)

    of_others, far = rows(None), rows(25.0)
    error = np.hypot(of_others.std(axis=0), far.std(axis=0)) / np.sqrt(batches)
    assert (np.abs(of_others.mean(axis=0) - far.mean(axis=0)) < machines.SIGMAS * error).all()
    assert of_others.std() < 0.5 * far.std()
    tau = trajectory(jax.random.key(0), MACHINE, x[0, :1], 1)
    assert jnp.isfinite(neglected_term(MACHINE, tau))


def test_estimated_marginal_of_the_end_converges_from_below():
    data = jnp.asarray(DATA, jnp.float32)
    log_end = np.log(np.asarray(end_marginal(MACHINE, data, STATES, 2), np.float64))
    errors, biases = [], []
    for count in (3, 30, 300):
        x = start(15_000 // count * count).reshape(-1, count, 3)
        keys = jax.random.split(jax.random.key(4), len(x))
        taus = jax.jit(jax.vmap(lambda key, x: trajectory(key, MACHINE, x, 2)))(keys, x)
        found = jax.jit(jax.vmap(lambda tau: estimated_end_log_prob(MACHINE, tau)))(taus)
        off = np.asarray(found).ravel() - log_end[codes(taus.visible[:, -1])]
        errors.append(np.sqrt(np.mean(off**2)))
        biases.append(off.mean())
    assert errors[2] < 0.2 * errors[0]
    assert biases[0] < biases[1] < biases[2] < 0
    assert biases[2] > -0.01
