"""Optimisers against a NumPy loop and against the figures that the papers' codes imply."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from remjax.errors import InputError
from remjax.training import adam, burda_schedule, each_part, scale_by_adam_epsilon_hat
from remjax.types import Params


def steps(transformation, gradients):
    """The update of each of the gradients [T, ...] in turn."""

    def body(state, gradient):
        update, state = transformation.update(gradient, state)
        return state, update

    return np.asarray(jax.lax.scan(body, transformation.init(gradients[0]), gradients)[1])


@pytest.mark.parametrize(("b1", "initial_nu"), [(0.9, 0.0), (0.99, 1.0)])
def test_epsilon_hat_against_numpy(b1, initial_nu):
    gradients = np.random.default_rng(0).normal(size=(30, 4)) * [1e-4, 1e-2, 1.0, 100.0]
    ours = steps(
        scale_by_adam_epsilon_hat(b1, 0.999, 1e-3, initial_nu), jnp.asarray(gradients, jnp.float32)
    )
    m, v = np.zeros(4), np.full(4, initial_nu)
    for t, gradient in enumerate(gradients, start=1):
        m = b1 * m + (1 - b1) * gradient
        v = 0.999 * v + 0.001 * gradient**2
        expected = np.sqrt(1 - 0.999**t) / (1 - b1**t) * m / (np.sqrt(v) + 1e-3)
        np.testing.assert_allclose(ours[t - 1], expected, rtol=2e-4, atol=1e-6)


def test_the_two_forms_differ_in_the_first_step_and_agree_later():
    """A gradient of 1e-3 with epsilon 1e-3: 0.03 of the rate against 0.5, equal after 5,000."""
    constant = jnp.full((5000, 1), 1e-3)
    hat = steps(scale_by_adam_epsilon_hat(eps=1e-3), constant)[:, 0]
    corrected = steps(optax.scale_by_adam(eps=1e-3), constant)[:, 0]
    np.testing.assert_allclose([hat[0], corrected[0]], [0.03, 0.5], rtol=0.03)
    np.testing.assert_allclose(hat[-1], corrected[-1], rtol=0.01)


@pytest.mark.parametrize(
    ("gradient", "figures"), [(1.0, (0.03, 0.31, 0.80)), (0.1, (0.003, 0.032, 0.13))]
)
def test_second_moments_that_start_at_one_warm_up(gradient, figures):
    """The release of IWAE: steps in units of the rate after 1, 100 and 1,000 updates."""
    transformation = scale_by_adam_epsilon_hat(b1=0.99, eps=1e-4, initial_nu=1.0)
    sizes = steps(transformation, jnp.full((1000, 1), gradient))[[0, 99, 999], 0]
    np.testing.assert_allclose(sizes, figures, rtol=0.06)


def test_release_of_iwae_in_units_of_a_mean_loss():
    """Its loss is summed over 20 images; for the mean of them epsilon is a 20th, nu a 400th."""
    gradients = jax.random.normal(jax.random.key(0), (50, 3))
    summed = scale_by_adam_epsilon_hat(b1=0.99, eps=1e-4, initial_nu=1.0)
    mean = scale_by_adam_epsilon_hat(b1=0.99, eps=1e-4 / 20, initial_nu=1.0 / 400)
    np.testing.assert_allclose(steps(mean, gradients / 20), steps(summed, gradients), rtol=1e-4)


def test_burda_schedule():
    """3^i passes at 0.001 * 10^(-i/7): the rate changes after 1, 4, 13, 40, ... passes."""
    steps_per_epoch = 10
    schedule = burda_schedule(1e-3, steps_per_epoch)
    ends = [1, 4, 13, 40, 121, 364, 1093]
    for i, epoch in enumerate(ends):
        before, after = schedule(epoch * steps_per_epoch - 1), schedule(epoch * steps_per_epoch)
        np.testing.assert_allclose(before, 1e-3 * 10 ** (-i / 7), rtol=1e-5)
        np.testing.assert_allclose(after, 1e-3 * 10 ** (-(i + 1) / 7), rtol=1e-5)
    np.testing.assert_allclose(schedule(0), 1e-3)
    np.testing.assert_allclose(schedule(3280 * steps_per_epoch), 1e-4, rtol=1e-5)


def params(theta, eta):
    return Params(jnp.asarray(theta), {"w": jnp.asarray(eta)})


def test_adam_is_optax_adam():
    gradients = params([1.0, -2.0], [[0.5]])
    ours, theirs = adam(1e-2, eps=1e-5), optax.adam(1e-2, eps=1e-5)
    update, _ = ours.update(gradients, ours.init(gradients), gradients)
    expected, _ = theirs.update(gradients, theirs.init(gradients), gradients)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), update, expected)


def test_each_part_is_clipped_by_itself():
    """With a large epsilon the step shows the size of the clipped gradient."""
    gradients = params([300.0, 400.0], [[1e-3]])
    optimizer = adam(1.0, eps=1e6, max_gradient_norm=1.0)
    update, _ = optimizer.update(gradients, optimizer.init(gradients), gradients)
    np.testing.assert_allclose(1e6 * update.theta, [-0.6, -0.8], rtol=1e-4)
    np.testing.assert_allclose(1e6 * update.eta["w"], [[-1e-3]], rtol=1e-4)


def test_a_schedule_counts_updates():
    optimizer = adam(burda_schedule(1e-3, 1), epsilon_hat=True)
    gradients = params([1.0], [[1.0]])
    state, sizes = optimizer.init(gradients), []
    for _ in range(5):
        update, state = optimizer.update(gradients, state, gradients)
        sizes.append(-float(update.theta[0]))
    rates = 1e-3 * 10 ** (-np.array([0, 1, 1, 1, 2]) / 7)
    np.testing.assert_allclose(sizes, rates, rtol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"learning_rate": 1e-3, "eps": 0.0}, "eps"),
        ({"learning_rate": 1e-3, "max_gradient_norm": -1.0}, "max_gradient_norm"),
    ],
)
def test_settings_that_make_no_sense(arguments, named):
    with pytest.raises(InputError, match=named):
        adam(**arguments)


def test_clipping_of_one_part_leaves_the_other():
    optimizer = each_part(optax.identity(), 0.5, max_gradient_norm=1.0)
    params = Params(jnp.zeros(2), jnp.zeros(2))
    gradient = Params(jnp.array([3.0, 4.0]), jnp.array([0.1, 0.2]))
    updates, _ = optimizer.update(gradient, optimizer.init(params), params)
    np.testing.assert_allclose(updates.theta, [-0.3, -0.4], rtol=1e-6)
    np.testing.assert_allclose(updates.eta, [-0.05, -0.1], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"learning_rate": 0.0}, "learning_rate is 0.0"), ({"max_gradient_norm": -1.0}, "give a pos")],
)
def test_rates_and_norms_must_be_positive(options, words):
    with pytest.raises(InputError, match=words):
        each_part(optax.identity(), **({"learning_rate": 1.0} | options))


def test_weight_decay_is_that_of_half_the_squares_in_the_loss():
    """Of kernels and scales, beside the gradient; biases and couplings of machines are free."""
    theta = {"kernel": 2.0, "bias": 3.0, "scale": -1.0, "weights": 5.0}
    params = jax.tree.map(jnp.asarray, Params(theta=theta, eta={"kernel": 4.0}))
    gradient = jax.tree.map(jnp.ones_like, params)
    optimizer = each_part(optax.identity(), 1.0, weight_decay=0.1)
    moves, _ = optimizer.update(gradient, optimizer.init(params), params)
    assert {name: round(float(-move), 5) for name, move in moves.theta.items()} == {
        "kernel": 1.2, "bias": 1.0, "scale": 0.9, "weights": 1.0
    }  # fmt: skip
    np.testing.assert_allclose(moves.eta["kernel"], -1.4, rtol=1e-6)
    with pytest.raises(
        InputError, match=r"^weight_decay is -1\.0: give zero or a positive number$"
    ):
        adam(1e-3, weight_decay=-1.0)
