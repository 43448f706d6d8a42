"""Denoising networks: densities against SciPy, draws and means, where they start, wrong shapes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from remjax.errors import InputError
from remjax.models import (
    bernoulli_likelihood,
    denoising_model,
    fan_in_uniform,
    gaussian_likelihood,
)

RNG = np.random.default_rng(0)
MEAN, SCALE = RNG.uniform(0.1, 0.9, size=5), np.array([0.3, 1.0, 2.0, 0.5, 0.1])
BITS = denoising_model(bernoulli_likelihood(MEAN), MEAN, hidden_sizes=(4, 3))
REALS = denoising_model(gaussian_likelihood(MEAN, SCALE), MEAN, hidden_sizes=(4,), data_scale=SCALE)
ZBAR = jnp.asarray(RNG.normal(size=5), jnp.float32)


def outputs_by_hand(theta, zbar, scale):
    """The tanh network in NumPy float64."""
    layers = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), theta["network"])
    value = (np.asarray(zbar, np.float64) - MEAN) / scale
    for place in sorted(layers["hidden"]):
        hidden = layers["hidden"][place]
        value = np.tanh(value @ hidden["kernel"] + hidden["bias"])
    return value @ layers["head"]["kernel"] + layers["head"]["bias"]


def test_bits_against_scipy(key):
    theta, x = BITS.init(key), RNG.uniform(size=5) < 0.5
    probability = 1 / (1 + np.exp(-outputs_by_hand(theta, ZBAR, 1.0)))
    np.testing.assert_allclose(BITS.mean(theta, ZBAR), probability, rtol=1e-5)
    expected = scipy.stats.bernoulli(probability).logpmf(x).sum()
    value = BITS.reconstruction(theta, jnp.asarray(x, jnp.float32), ZBAR)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_reals_against_scipy(key):
    """In the units of the columns, with the scales that the likelihood starts with."""
    theta, x = REALS.init(key), RNG.normal(size=5)
    mean = MEAN + SCALE * outputs_by_hand(theta, ZBAR, SCALE)
    np.testing.assert_allclose(REALS.mean(theta, ZBAR), mean, rtol=1e-4, atol=1e-5)
    expected = scipy.stats.norm(mean, SCALE).logpdf(x).sum()
    value = REALS.log_likelihood(theta, jnp.asarray(x, jnp.float32), ZBAR)
    np.testing.assert_allclose(value, expected, rtol=1e-4)


@pytest.mark.parametrize("model", [BITS, REALS], ids=["bits", "reals"])
def test_draws_have_the_mean(key, model):
    """10,000 draws; five standard errors."""
    theta = model.init(key)
    draw = jax.jit(jax.vmap(lambda key: model.sample(theta, key, ZBAR)))
    x = np.asarray(draw(jax.random.split(key, 10_000)), np.float64)
    error = x.std(axis=0) / 100
    assert np.all(np.abs(x.mean(axis=0) - model.mean(theta, ZBAR)) < 5 * error)


def test_the_first_mean_is_that_of_the_data(key):
    """Where the input is the mean and the biases of hidden layers are zero."""
    for model in (BITS, REALS):
        mean = model.mean(model.init(key), jnp.asarray(MEAN, jnp.float32))
        np.testing.assert_allclose(mean, MEAN, rtol=1e-4)
    other = denoising_model(
        bernoulli_likelihood(MEAN), MEAN, hidden_sizes=(4,), initialization=fan_in_uniform
    )
    assert np.any(np.asarray(other.init(key)["network"]["hidden"][0]["bias"]) != 0.0)


def test_parameters_of_one_model_are_not_those_of_another(key):
    """Training uses them up."""
    first, second = (REALS.init(key)["likelihood"]["log_relative_scale"] for _ in range(2))
    first.delete()
    np.testing.assert_array_equal(second, np.zeros(5))


def test_columns_that_do_not_meet(key):
    with pytest.raises(
        InputError, match=r"^data_mean has 4 columns and the likelihood 5: make bot"
    ):
        denoising_model(bernoulli_likelihood(MEAN), MEAN[:4], hidden_sizes=(3,))
    for wrong, taker in ((ZBAR[:3], "the denoising network"), (ZBAR, "the likelihood")):
        with pytest.raises(
            InputError, match=rf"^a datapoint has the shape \(3,\) and {taker} takes"
        ):
            BITS.log_likelihood(BITS.init(key), ZBAR[:3], wrong)
