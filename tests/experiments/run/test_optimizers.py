"""The optimisers and settings of the experiments, against the figures that they stand for."""

import jax.numpy as jnp
import numpy as np
import optax

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
