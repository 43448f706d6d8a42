"""Losses have the gradients that they state: likelihood, centring, penalties, pseudo-likelihood."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from remjax.boltzmann import (
    RBM,
    Offsets,
    cd,
    init_rbm,
    l1,
    l2,
    likelihood_loss,
    log_partition,
    make_estimator,
    pcd,
    population,
    pseudo_log_likelihood,
    sparse,
    tempered_pcd,
)
from remjax.types import Batch
from tests.boltzmann import machines
from tests.training.states import assert_close

MACHINE = machines.rbm()
STATES = machines.all_states(5)
DATA = jnp.asarray(STATES[[1, 3, 7, 15, 30, 22, 9, 3]], jnp.float32)
PHASES = {
    "cd": cd(2),
    "pcd": pcd(16, 2),
    "tempered_pcd": tempered_pcd(16, 1, 3),
    "population": population(16, 1, 5),
}


def exact_samples(machine):
    """All visible states, and their probabilities as weights of mean one."""
    p = machines.distribution(machine).reshape(-1, 32).sum(axis=0)
    return jnp.asarray(STATES, jnp.float32), jnp.asarray(32 * p, jnp.float32)


def exact_loss(machine, data=DATA):
    """The mean of -log p."""
    return jnp.mean(machine.free_energy(data)) + log_partition(machine)


def exact_gradient(machine, data, offsets=None):
    """Of `likelihood_loss` with exact samples, centred or not."""

    def loss(one):
        return likelihood_loss(one, data, *exact_samples(machine), offsets=offsets)

    return jax.grad(loss)(machine)


def test_gradient_of_the_loss_is_that_of_the_likelihood():
    assert_close(exact_gradient(MACHINE, DATA), jax.grad(exact_loss)(MACHINE), 1e-4, 1e-5)


def test_gradient_of_the_loss_reaches_real_units():
    """Weights, biases and precisions, with many exact samples."""
    machine = machines.gaussian_rbm()
    data = machines.exact_chains(jax.random.key(1), machine, 7).visible + 1.0
    samples = machines.exact_chains(jax.random.key(0), machine, 20_000).visible
    each = jax.vmap(lambda v: jax.grad(likelihood_loss)(machine, data, v[None]))(samples)
    expected = jax.grad(lambda one: jnp.mean(one.free_energy(data)) + log_partition(one))(machine)
    for rows, truth in zip(jax.tree.leaves(each), jax.tree.leaves(expected), strict=True):
        machines.assert_mean(rows.reshape(len(samples), -1), np.ravel(truth))


def test_gradient_of_the_loss_of_a_machine_on_a_graph():
    """All units are in the data: -log p of them is E + log Z."""
    machine = machines.OF_BITS["triangles"]
    states = jnp.asarray(machines.all_states(7), jnp.float32)
    data = states[jnp.asarray([3, 9, 64, 127])]
    p = jnp.asarray(128 * machines.distribution(machine), jnp.float32)
    found = jax.grad(likelihood_loss)(machine, data, states, p)
    exact = jax.grad(lambda one: jnp.mean(one.energy(data)) + log_partition(one))(machine)
    assert_close(found, exact, 1e-4, 1e-5)


def test_no_gradient_reaches_data_samples_or_weights():
    samples, weights = exact_samples(MACHINE)
    gradients = jax.grad(likelihood_loss, (1, 2, 3))(MACHINE, DATA, samples, weights)
    assert not any(np.any(leaf) for leaf in gradients)


OFFSETS = Offsets(jnp.asarray([0.1, 0.9, 0.5, 0.3, 0.7]), jnp.asarray([0.2, 0.6, 0.5, 0.8]))


def test_centred_gradient_against_its_formula():
    """Melchior et al. 2016: covariances in the place of products, mapped back to plain biases."""
    samples, weights = (np.asarray(part, np.float64) for part in exact_samples(MACHINE))
    mu, lam = (np.asarray(part, np.float64) for part in OFFSETS)
    w, b = np.asarray(MACHINE.weights, np.float64), np.asarray(MACHINE.hidden_bias, np.float64)

    def statistics(v, share):
        h = scipy.special.expit(b + v @ w)
        return (v - mu).T @ (share[:, None] * (h - lam)), share @ (v - mu), share @ (h - lam)

    data = np.asarray(DATA, np.float64)
    of_data = statistics(data, np.full(len(data), 1 / len(data)))
    of_machine = statistics(samples, weights / 32)
    g_w, g_a, g_b = (m - d for d, m in zip(of_data, of_machine, strict=True))
    found = exact_gradient(MACHINE, DATA, OFFSETS)
    close = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(found.weights, g_w, **close)
    np.testing.assert_allclose(found.visible_bias, g_a - g_w @ lam, **close)
    np.testing.assert_allclose(found.hidden_bias, g_b - g_w.T @ mu, **close)


def test_value_is_that_without_offsets_which_have_no_gradient():
    samples, weights = exact_samples(MACHINE)
    free = MACHINE.free_energy(DATA).mean() - jnp.mean(weights * MACHINE.free_energy(samples))

    def loss(offsets):
        return likelihood_loss(MACHINE, DATA, samples, weights, offsets=offsets)

    for offsets in (OFFSETS, None):
        np.testing.assert_allclose(loss(offsets), free, rtol=1e-5)
    assert not any(np.any(leaf) for leaf in jax.grad(loss)(OFFSETS))


def flipped(machine, visible, hidden):
    """The machine whose marked units have exchanged the names of their values."""
    s, t = 1 - 2 * visible, 1 - 2 * hidden
    return RBM(
        machine.weights * s[:, None] * t,
        s * (machine.visible_bias + machine.weights @ hidden),
        t * (machine.hidden_bias + visible @ machine.weights),
    )


def test_centred_updates_do_not_depend_on_which_value_is_called_one():
    """Flip bits, data and offsets: the update is the flipped one. The plain gradient's is not."""
    visible, hidden = jnp.asarray([1.0, 0, 1, 1, 0]), jnp.asarray([0.0, 1, 1, 0])
    other = flipped(MACHINE, visible, hidden)
    turn = jnp.abs(DATA - visible)
    other_offsets = Offsets(jnp.abs(OFFSETS.visible - visible), jnp.abs(OFFSETS.hidden - hidden))

    def update(machine, data, offsets):
        gradient = exact_gradient(machine, data, offsets)
        return jax.tree.map(lambda p, g: p - 0.1 * g, machine, gradient)

    same = flipped(update(MACHINE, DATA, OFFSETS), visible, hidden)
    assert_close(update(other, turn, other_offsets), same, 1e-4, 1e-5)
    plain = flipped(update(MACHINE, DATA, None), visible, hidden)
    assert np.abs(update(other, turn, None).visible_bias - plain.visible_bias).max() > 1e-3


def test_penalties_against_their_formulas():
    w, b = np.asarray(MACHINE.weights, np.float64), np.asarray(MACHINE.hidden_bias, np.float64)
    found = jax.grad(lambda one: l1(0.3)(one, DATA))(MACHINE)
    np.testing.assert_allclose(found.weights, 0.3 * np.sign(w), rtol=1e-6)
    found = jax.grad(lambda one: l2(0.3)(one, DATA))(MACHINE)
    np.testing.assert_allclose(found.weights, 0.3 * w, rtol=1e-5)
    assert not np.any(found.visible_bias)

    data, target = np.asarray(DATA, np.float64), 0.1
    h = scipy.special.expit(b + data @ w)
    q = h.mean(axis=0)
    value, found = jax.value_and_grad(lambda one: sparse(target, 2.0)(one, DATA))(MACHINE)
    kl = target * np.log(target / q) + (1 - target) * np.log((1 - target) / (1 - q))
    np.testing.assert_allclose(value, 2 * kl.sum(), rtol=1e-5)
    slope = 2 * ((1 - target) / (1 - q) - target / q) * h * (1 - h) / len(data)
    np.testing.assert_allclose(found.hidden_bias, slope.sum(axis=0), rtol=1e-4)
    np.testing.assert_allclose(found.weights, data.T @ slope, rtol=1e-4, atol=1e-6)


def test_sparsity_of_units_that_are_always_on_is_finite():
    machine = dataclasses.replace(MACHINE, hidden_bias=jnp.asarray([1e3, -1e3, 0.0, 200.0]))
    with jax.debug_nans(True):
        value, gradient = jax.value_and_grad(lambda one: sparse(0.1, 1.0)(one, DATA))(machine)
    assert jnp.isfinite(value)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_pseudo_log_likelihood_against_enumeration():
    """Its values are V log p(v_i | others), and their mean over i the sum of them."""
    p = machines.distribution(MACHINE).reshape(-1, 32).sum(axis=0)
    keys = jax.random.split(jax.random.key(0), 4_000)
    for v in (3, 22):
        others = [v ^ (1 << i) for i in range(5)]
        each = 5 * np.log(p[v] / (p[v] + p[others]))
        found = jax.vmap(pseudo_log_likelihood, (0, None, None))(
            keys, MACHINE, jnp.asarray(STATES[v], jnp.float32)
        )
        nearest = np.abs(np.asarray(found)[:, None] - each).argmin(axis=1)
        np.testing.assert_allclose(found, each[nearest], rtol=1e-4, atol=1e-4)
        counts = np.bincount(nearest, minlength=5)
        assert np.abs(counts - 800).max() < machines.SIGMAS * np.sqrt(4_000 * 0.2 * 0.8)
        machines.assert_mean(np.asarray(found)[:, None], each.mean())


def test_pseudo_log_likelihood_of_rows_draws_a_unit_for_each():
    p = machines.distribution(MACHINE).reshape(-1, 32).sum(axis=0)
    rows = jnp.broadcast_to(jnp.asarray(STATES[22], jnp.float32), (2, 50, 5))
    found = pseudo_log_likelihood(jax.random.key(0), MACHINE, rows)
    each = 5 * np.log(p[22] / (p[22] + p[[22 ^ (1 << i) for i in range(5)]]))
    assert found.shape == (2, 50)
    nearest = np.abs(np.ravel(found)[:, None] - each).argmin(axis=1)
    np.testing.assert_allclose(np.ravel(found), each[nearest], rtol=1e-4, atol=1e-4)
    assert set(nearest) == set(range(5))


def test_pseudo_log_likelihood_of_large_weights_has_finite_gradients():
    machine = machines.rbm(scale=1e3)
    keys = jax.random.split(jax.random.key(0), len(DATA))

    def total(one):
        return jax.vmap(pseudo_log_likelihood, (0, None, 0))(keys, one, DATA).sum()

    with jax.debug_nans(True):
        gradient = jax.grad(total)(machine)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@machines.the_others_exhaustively("name", PHASES, usual="pcd")
def test_estimator_is_the_same_compiled_and_keeps_its_state(name, key):
    """Gradient, metrics and structure; the gap of free energies without the penalties."""

    def begin(key):
        return init_rbm(key, 3, np.full(5, 0.4))

    penalties = l2(50.0), sparse(0.2, 9.0)
    estimator = make_estimator(begin, PHASES[name])
    penal = make_estimator(begin, PHASES[name], penalties=penalties)
    params, state = estimator.init(key)
    batch = Batch(DATA.astype(jnp.uint8), jnp.arange(8) + 3)

    def gradient(estimator, params, state):
        def loss(params):
            estimate, new = estimator.estimate(params, state, jax.random.key(5), batch)
            return estimate.theta_loss + estimate.eta_loss, (estimate.metrics, new)

        return jax.grad(loss, has_aux=True)(params)

    eager = gradient(estimator, params, state)
    assert_close(jax.jit(lambda p, s: gradient(estimator, p, s))(params, state), eager)
    metrics, new = eager[1]
    with_penalties, _ = jax.jit(lambda p, s: gradient(penal, p, s))(params, state)[1]
    assert jax.tree.structure(new) == jax.tree.structure(state)
    assert jax.tree.map(jnp.shape, new) == jax.tree.map(jnp.shape, state)
    assert {"free_energy_gap", "pseudo_log_likelihood", "hidden_activity"} < set(metrics)
    assert all(jnp.isfinite(value).all() and value.shape == () for value in metrics.values())
    gaps = with_penalties["free_energy_gap"], metrics["free_energy_gap"]
    np.testing.assert_allclose(*gaps, rtol=1e-4, atol=1e-5)
    mean = np.asarray(DATA).mean(axis=0)
    expected = np.asarray(state.offsets.visible) * 0.99 + 0.01 * mean
    np.testing.assert_allclose(new.offsets.visible, expected, rtol=1e-5)
    hidden = np.asarray(params.theta.hidden_mean(DATA)).mean(axis=0)
    np.testing.assert_allclose(new.offsets.hidden, 0.5 * 0.99 + 0.01 * hidden, rtol=1e-5)
