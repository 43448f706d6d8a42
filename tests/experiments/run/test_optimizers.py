"""The optimisers and settings of the experiments, against the figures that they stand for."""

import jax.numpy as jnp
import numpy as np
import optax

from experiments.run.choices import SCHEDULES
from experiments.run.optimizers import momentum
from experiments.run.presets import PRESETS
from remjax.types import Params


def test_momentum_is_the_running_mean_of_the_gradients():
    gradients = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    optimizer = momentum(optax.constant_schedule(0.1))
    params = Params(jnp.zeros(4), jnp.zeros(4))
    state, velocity = optimizer.init(params), np.zeros(4)
    for gradient in gradients:
        updates, state = optimizer.update(
            Params(jnp.asarray(gradient), jnp.zeros(4)), state, params
        )
        velocity = 0.95 * velocity + 0.05 * gradient
        np.testing.assert_allclose(updates.theta, -0.1 * velocity, rtol=1e-5, atol=1e-7)


def test_the_release_of_iwae_in_units_of_a_mean_loss():
    """Its second moments start at 1 for a loss summed over 20 images."""
    preset = PRESETS["iwae_release"]
    assert preset["adam_b1"] == 0.99
    assert preset["adam_initial_nu"] == 1.0 / 400


def test_linear_rates_of_a_run_of_three_epochs_of_four_updates():
    schedule = SCHEDULES["linear"](0.05, 4, 3)
    rates = [float(schedule(step)) for step in range(14)]
    expected = [0.05 * (12 - step) / 12 for step in range(12)]
    np.testing.assert_allclose(rates, [*expected, 0.0, 0.0], rtol=1e-6, atol=1e-9)


def test_other_schedules_have_the_rates_of_their_epochs():
    """Whatever the number of epochs is."""
    for epochs in (1, 100):
        burda, rounded, constant = (
            SCHEDULES[name](1e-3, 10, epochs) for name in ("burda", "burda_rounded", "constant")
        )
        for step, power, digits in ((0, 0, 1e-3), (10, 1, 7.2e-4), (39, 1, 7.2e-4)):
            np.testing.assert_allclose(burda(step), 1e-3 * 10 ** (-power / 7), rtol=1e-6)
            np.testing.assert_allclose([rounded(step), constant(step)], [digits, 1e-3], rtol=1e-6)
