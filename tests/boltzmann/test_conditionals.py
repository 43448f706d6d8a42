"""log p(v | h) of a machine, against the definition by its energy."""

import jax.numpy as jnp
import numpy as np
import pytest

from remjax.boltzmann import RBM, Bits, Reals
from remjax.errors import InputError


def _machine(visible):
    numbers = np.random.default_rng(0)
    weights, a, b = (numbers.normal(size=size) for size in ((5, 3), 5, 3))
    return RBM(*(jnp.asarray(leaf, jnp.float32) for leaf in (weights, a, b)), visible=visible)


def test_masses_of_bits():
    """sum v log p_i + (1 - v) log(1 - p_i) in float64, of every pair of some rows."""
    machine, numbers = _machine(Bits()), np.random.default_rng(1)
    v, h = numbers.integers(0, 2, (7, 1, 5)), numbers.integers(0, 2, (4, 3))
    a, weights = (np.asarray(x, np.float64) for x in (machine.visible_bias, machine.weights))
    p = 1.0 / (1.0 + np.exp(-(a + h @ weights.T)))
    expected = (v * np.log(p) + (1 - v) * np.log1p(-p)).sum(axis=-1)
    np.testing.assert_allclose(machine.visible_log_prob(v, h), expected, rtol=1e-5)
    with pytest.raises(InputError, match="visible units"):
        machine.visible_log_prob(h, h)


@pytest.mark.parametrize("precision", [1.0, 9.0])
def test_densities_of_reals(precision):
    """Normal densities of mean field / precision in float64."""
    machine = _machine(Reals(jnp.full(5, np.log(precision))))
    numbers = np.random.default_rng(1)
    v, h = numbers.normal(size=5), numbers.integers(0, 2, 3)
    a, weights = (np.asarray(x, np.float64) for x in (machine.visible_bias, machine.weights))
    distance = v - (a + weights @ h) / precision
    expected = 0.5 * np.sum(np.log(precision / (2 * np.pi)) - precision * distance**2)
    np.testing.assert_allclose(machine.visible_log_prob(v, h), expected, rtol=1e-5)
