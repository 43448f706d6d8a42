"""The gradients of the variations against sums over all trajectories, in float64."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from experiments.papers.variations_arms import of_task
from experiments.papers.variations_gradients import gradient_errors, points
from experiments.papers.variations_tasks import Task
from experiments.papers.variations_training import Length, divergences, train
from remjax.boltzmann import RBM
from remjax.boltzmann.trajectories import end_marginal, transition_matrix
from remjax.types import Batch

# Two visible and two hidden units: every trajectory can be written down.
TINY = Task(
    "tiny", "tiny", "two bits", np.array([[0, 0], [1, 1], [1, 1], [1, 0]]), 2, 4, enumerates=True
)
MACHINE = RBM(jnp.array([[1.5, -0.7], [0.4, 2.0]]), jnp.array([0.3, -0.8]), jnp.array([-0.5, 0.2]))
STATES = np.array(list(itertools.product((0, 1), repeat=2)), np.float64)


def _arms(task, steps=(1,)):
    return {(arm.name, arm.steps): arm for arm in of_task(task, steps)}


def _bernoulli(bits, field):
    return float(np.prod(1 / (1 + np.exp(-(2 * bits - 1) * field))))


def _to_hidden(vector, x, z):
    return _bernoulli(z, x @ vector[:4].reshape(2, 2) + vector[6:])


def _to_visible(vector, z, x):
    return _bernoulli(x, vector[:4].reshape(2, 2) @ z + vector[4:6])


def _data(x):
    return float(np.mean(np.all(TINY.rows == x, axis=1)))


def _trajectory_divergence(vector, steps):
    """KL(q || p) by a sum over all trajectories, as (24) and (32) say it; float64."""
    q, p, ends = [], [], {}
    for path in itertools.product(range(4), repeat=2 * steps + 1):
        x, z = STATES[list(path[::2])], STATES[list(path[1::2])]
        forward = _data(x[0])
        backward = 1.0
        for i in range(steps):
            forward *= _to_hidden(vector, x[i], z[i]) * _to_visible(vector, z[i], x[i + 1])
            backward *= _to_hidden(vector, x[i + 1], z[i]) * _to_visible(vector, z[i], x[i])
        ends[path[-1]] = ends.get(path[-1], 0.0) + forward
        q.append(forward)
        p.append((path[-1], backward))
    total = 0.0
    for forward, (end, backward) in zip(q, p, strict=True):
        if forward:
            total += forward * np.log(forward / (ends[end] * backward))
    return total


def _negative_log_likelihood(vector):
    weights, a, b = vector[:4].reshape(2, 2), vector[4:6], vector[6:]
    log_p = np.log([sum(np.exp(x @ a + z @ b + x @ weights @ z) for z in STATES) for x in STATES])
    log_z = np.log(np.exp(log_p).sum())
    return -sum(_data(x) * (value - log_z) for x, value in zip(STATES, log_p, strict=True))


def _differences(function, vector, step=1e-5):
    """The gradient by central differences."""
    unit = step * np.eye(len(vector))
    return np.array([(function(vector + e) - function(vector - e)) / (2 * step) for e in unit])


def _vector(machine):
    """Weights, visible biases, hidden biases."""
    parts = (machine.weights, machine.visible_bias, machine.hidden_bias)
    return np.concatenate([np.ravel(np.asarray(part, np.float64)) for part in parts])


def _gradient(arm, key):
    """Of one update, at MACHINE."""
    params, state = arm.estimator.init(jax.random.key(0))
    batch = Batch(TINY.data, jnp.arange(len(TINY.rows)))

    def loss(machine):
        at = params._replace(theta=machine)
        return arm.estimator.estimate(at, state, key, batch)[0].theta_loss

    return jax.grad(loss)(MACHINE)


def test_what_enumerates_is_left_out_where_it_cannot_be():
    names = [name for name, _ in _arms(TINY)]
    assert names == [
        "maximum likelihood",
        "PCD-1",
        "CD",
        "CD, exact",
        "CD+(45), exact",
        "CD+(45), sampled",
        "CD+(45), estimated",
    ]
    counted = [key for key in _arms(TINY, (1, 5)) if key[1] == 5]
    assert len(counted) == 5
    real = [name for name, _ in _arms(TINY._replace(enumerates=False))]
    assert real == ["maximum likelihood", "PCD-1", "CD", "CD+(45), estimated"]


def test_all_arms_begin_at_the_same_machine():
    machines = [
        _vector(arm.estimator.init(jax.random.key(7))[0].theta) for arm in of_task(TINY, (1, 2))
    ]
    for machine in machines[1:]:
        np.testing.assert_array_equal(machine, machines[0])


def test_maximum_likelihood_is_the_gradient_of_the_enumerated_likelihood():
    expected = _differences(_negative_log_likelihood, _vector(MACHINE))
    found = _vector(_gradient(_arms(TINY)["maximum likelihood", None], jax.random.key(0)))
    np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize("steps", [1, 2])
def test_exact_arm_is_the_gradient_of_the_divergence_of_trajectories(steps):
    def divergence(vector):
        return _trajectory_divergence(vector, steps)

    expected = _differences(divergence, _vector(MACHINE))
    arm = _arms(TINY, (steps,))["CD+(45), exact", steps]
    found = _vector(_gradient(arm, jax.random.key(0)))
    np.testing.assert_allclose(found, expected, atol=2e-6)
    # The term is no trifle here: without it the gradient is another.
    plain = _vector(jax.grad(_arms(TINY, (steps,))["CD", steps].expected)(MACHINE))
    assert np.abs(plain - expected).max() > 1000 * 2e-6


def test_divergence_is_of_the_data_less_of_the_ends():
    # (24) = KL(D || p) - KL(q(x_k) || p): chains that stand still make it zero, whatever p is.
    vector = _vector(MACHINE)
    ends = np.asarray(end_marginal(MACHINE, TINY.distribution, TINY.states, 1), np.float64)
    states, data = np.asarray(TINY.states), np.asarray(TINY.distribution, np.float64)
    weights, a, b = vector[:4].reshape(2, 2), vector[4:6], vector[6:]
    p = np.array([sum(np.exp(x @ a + z @ b + x @ weights @ z) for z in STATES) for x in states])
    p /= p.sum()
    of_data, of_ends = (np.sum(q[q > 0] * np.log(q[q > 0] / p[q > 0])) for q in (data, ends))
    assert _trajectory_divergence(vector, 1) == pytest.approx(of_data - of_ends, abs=1e-6)


@pytest.mark.parametrize("name", ["CD", "CD+(45), sampled"])
def test_mean_of_the_draws_is_what_is_expected(name):
    arm = _arms(TINY, (2,))[name, 2]
    draws = 4000
    keys = jax.random.split(jax.random.key(0), draws)
    drawn = jax.jit(jax.vmap(lambda key: ravel_pytree(_gradient(arm, key))[0]))(keys)
    expected = ravel_pytree(jax.grad(arm.expected)(MACHINE))[0]
    assert np.std(drawn, axis=0).min() > 0.01
    stderr = np.std(drawn, axis=0, ddof=1) / np.sqrt(draws)
    # Eight numbers: one of them beyond 4 standard errors in 2,000 tables.
    assert np.all(np.abs(np.mean(drawn, axis=0) - expected) < 4 * stderr + 1e-6)


def test_end_marginal_is_a_power_of_the_transition_matrix():
    matrix = np.asarray(transition_matrix(MACHINE, TINY.states), np.float64)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, atol=1e-6)
    expected = np.asarray(TINY.distribution) @ np.linalg.matrix_power(matrix, 5)
    found = end_marginal(MACHINE, TINY.distribution, TINY.states, 5)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_an_update_is_a_step_of_plain_descent_at_each_rate():
    arm = _arms(TINY)["maximum likelihood", None]
    course = train(TINY, arm, Length(rates=(0.1, 2.0), seeds=2, updates=1, records=1))
    assert course.log_likelihood.shape == (2, 2, 2)
    for rate, seed in itertools.product(range(2), range(2)):
        before, after = (_vector(course.machine(t, rate, seed)) for t in range(2))
        gradient = _differences(_negative_log_likelihood, before)
        expected = before - (0.1, 2.0)[rate] * gradient
        np.testing.assert_allclose(after, expected, atol=1e-5)
        value = -_negative_log_likelihood(after)
        assert course.log_likelihood[1, rate, seed] == pytest.approx(value, abs=1e-5)


def test_best_rate_is_that_of_the_highest_end():
    arm = _arms(TINY)["CD+(45), exact", 1]
    course = train(TINY, arm, Length(rates=(1e-6, 0.5), seeds=1, updates=30, records=3))
    assert list(course.updates) == [0, 10, 20, 30]
    assert course.best == 1
    assert course.final == pytest.approx(course.log_likelihood[3, 1])
    (found,) = divergences(TINY, course, 1)
    expected = _trajectory_divergence(_vector(course.machine(3, 1, 0)), 1)
    assert found == pytest.approx(expected, abs=1e-5)


def test_errors_of_gradients():
    arms = _arms(TINY, (1,))
    compared = points(TINY, (1,), [MACHINE])
    errors = {
        name: gradient_errors(TINY, arm, compared, 300)[0]
        for (name, _), arm in arms.items()
        if name != "PCD-1"
    }
    likelihood, exact = errors["maximum likelihood"], errors["CD+(45), exact"]
    assert max(likelihood.noise, exact.noise) < 1e-6
    assert likelihood.bias == pytest.approx(0.0, abs=1e-5)
    truth = _differences(_negative_log_likelihood, _vector(MACHINE))
    assert likelihood.size == pytest.approx(np.linalg.norm(truth), rel=1e-4)
    whole = _differences(lambda v: _trajectory_divergence(v, 1), _vector(MACHINE))
    assert exact.from_divergence == pytest.approx(0.0, abs=1e-5)
    assert exact.bias == pytest.approx(np.linalg.norm(whole - truth) / likelihood.size, rel=1e-3)
    cosine = whole @ truth / np.linalg.norm(whole) / likelihood.size
    assert exact.angle == pytest.approx(np.degrees(np.arccos(cosine)), abs=0.1)
    assert errors["CD"].from_divergence > 0.05
    assert errors["CD"].floor == errors["CD+(45), sampled"].floor == 0.0
    estimated = errors["CD+(45), estimated"]
    assert estimated.floor == pytest.approx(estimated.noise / np.sqrt(300))
