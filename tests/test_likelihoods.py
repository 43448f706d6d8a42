"""The likelihoods of data, value and gradient, against SciPy in float64."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from remjax.distributions.likelihoods import bernoulli_log_likelihood, gaussian_log_likelihood
from remjax.errors import InputError

RNG = np.random.default_rng(0)


def array(value):
    return jnp.asarray(value, jnp.float32)


def exact_bernoulli(logits, x):
    logits = np.asarray(logits, np.float64)
    return np.sum(x * logits - np.logaddexp(0.0, logits), axis=-1)


@pytest.mark.parametrize("size", [1, 64, 784, 1000])
@pytest.mark.parametrize("reach", [1.0, 10.0, 50.0, 1e4])
def test_bernoulli_log_likelihood(size, reach):
    """Error below 1e-3 nats an image of 784, or what float32 holds of a value that large."""
    logits = array(RNG.uniform(-reach, reach, (20, size)))
    probable = RNG.uniform(size=(20, size)) < scipy.special.expit(logits)
    for x in (probable, ~probable, RNG.uniform(size=(20, size)) < 0.5):
        value = bernoulli_log_likelihood(logits, array(x))
        exact = exact_bernoulli(logits, x)
        error = np.abs(value - exact)
        assert np.all(error < 1e-3 * max(size / 784, 0.1) + 3e-7 * np.abs(exact))
    extremes = array(np.tile([reach, -reach], size)[:size])
    for bit in (0.0, 1.0):
        value = bernoulli_log_likelihood(extremes, jnp.full(size, bit))
        np.testing.assert_allclose(value, exact_bernoulli(extremes, bit), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("size", [1, 784])
def test_bernoulli_gradient(size):
    logits, x = array(RNG.uniform(-30, 30, (3, size))), array(RNG.uniform(size=(3, size)) < 0.5)
    value, pullback = jax.vjp(bernoulli_log_likelihood, logits, x)
    to_logits, to_x = pullback(jnp.ones_like(value))
    expected = np.asarray(x, np.float64) - scipy.special.expit(np.asarray(logits, np.float64))
    np.testing.assert_allclose(to_logits, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(to_x, logits)
    huge = jax.grad(lambda logits: bernoulli_log_likelihood(logits, x[0]))(jnp.full(size, 1e4))
    np.testing.assert_allclose(huge, x[0] - 1.0)


def test_bernoulli_of_grey_pixels_and_equal_logits():
    x = array(RNG.uniform(size=784))
    np.testing.assert_allclose(
        bernoulli_log_likelihood(jnp.zeros(784), x), -784 * np.log(2), rtol=1e-6
    )


def test_gaussian_log_likelihood():
    mean, log_scale, x = RNG.normal(size=(3, 5, 8))
    expected = scipy.stats.norm(mean, np.exp(log_scale)).logpdf(x).sum(axis=-1)
    value = gaussian_log_likelihood(array(mean), array(log_scale), array(x))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    # An image, within what float32 holds of its value: errors of 784 terms, each rounded.
    mean, x = RNG.uniform(size=(2, 20, 784))
    log_scale = RNG.uniform(np.log(1e-3), 1.0, (20, 784))
    expected = scipy.stats.norm(mean, np.exp(log_scale)).logpdf(x).sum(axis=-1)
    value = gaussian_log_likelihood(array(mean), array(log_scale), array(x))
    np.testing.assert_allclose(value, expected, rtol=2e-6)
    tiny = gaussian_log_likelihood(jnp.zeros(2), jnp.full(2, -60.0), jnp.zeros(2))
    np.testing.assert_allclose(tiny, 2 * (60.0 - 0.5 * np.log(2 * np.pi)), rtol=1e-6)


def zeros(*shape):
    return jnp.zeros(shape)


@pytest.mark.parametrize("shape", [(1,), (), (3, 1), (8, 8)])
def test_last_axes_are_not_broadcast(shape):
    x = zeros(*shape)
    for logits, data in ((zeros(64), x), (x, zeros(64))):
        with pytest.raises(InputError, match=r"the shapes of logits .* and x .* end differently:"):
            bernoulli_log_likelihood(logits, data)
    for place in range(3):
        given = [zeros(64)] * 3
        given[place] = x
        with pytest.raises(InputError, match=r"mean .* and log_scale .* and x .* end differently:"):
            gaussian_log_likelihood(*given)


def test_axes_before_the_last_are_broadcast():
    mean, x = array(RNG.normal(size=(5, 8))), array(RNG.uniform(size=8))
    one_by_one = [gaussian_log_likelihood(one, zeros(8), x) for one in mean]
    np.testing.assert_allclose(gaussian_log_likelihood(mean, zeros(8), x), one_by_one, rtol=1e-6)
    one_by_one = [bernoulli_log_likelihood(one, x) for one in mean]
    np.testing.assert_allclose(bernoulli_log_likelihood(mean, x), one_by_one, rtol=1e-6)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int8, np.int32])
def test_whole_numbers_count_as_floats_value_and_gradient(dtype):
    logits, x = array(RNG.normal(size=8)), RNG.integers(0, 2, size=8)
    for function in (
        bernoulli_log_likelihood,
        lambda logits, x: gaussian_log_likelihood(logits, jnp.full(8, 0.3), x),
    ):
        both = jax.jit(jax.value_and_grad(function))
        whole, floats = both(logits, jnp.asarray(x, dtype)), both(logits, array(x))
        jax.tree.map(np.testing.assert_array_equal, whole, floats)


_FUSED = """
import jax, jax.numpy as jnp, json, numpy as np
from remjax.distributions.likelihoods import bernoulli_log_likelihood, gaussian_log_likelihood

rng = np.random.default_rng(0)
hidden = np.tanh(rng.normal(size=(4, 500, 200)))
kernel, bias = 0.3 * rng.normal(size=(200, 784)), rng.normal(size=784)
inputs = [jnp.asarray(array, jnp.float32) for array in (hidden, kernel, bias)]
exact = [np.asarray(array, np.float64) for array in inputs]
out = exact[0] @ exact[1] + exact[2]
bits = (rng.uniform(size=(4, 784)) < 1 / (1 + np.exp(-out[:, 0]))).astype(np.float64)
grey, log_scale = rng.uniform(size=(4, 784)), rng.uniform(np.log(0.05), 0.0, 784)

def bernoulli(hidden, kernel, bias):
    x = jnp.asarray(bits, jnp.float32)[:, None]
    return bernoulli_log_likelihood(hidden @ kernel + bias, x)

def gaussian(hidden, kernel, bias):
    scale, x = jnp.asarray(log_scale, jnp.float32), jnp.asarray(grey, jnp.float32)[:, None]
    return gaussian_log_likelihood(hidden @ kernel + bias, scale, x)

standard = (np.float32(grey)[:, None] - out) / np.exp(np.float32(log_scale).astype(np.float64))
expected = {
    "bernoulli": (bits[:, None] * out - np.logaddexp(0, out)).sum(-1),
    "gaussian": (-standard**2 / 2 - np.float32(log_scale) - np.log(2 * np.pi) / 2).sum(-1),
}
found = {}
for name, function in (("bernoulli", bernoulli), ("gaussian", gaussian)):
    program = jax.jit(function).lower(*inputs).compile()
    error = np.abs(np.asarray(program(*inputs), np.float64) - expected[name])
    found[name] = {
        "absolute": float(error.max()),
        "relative": float((error / np.abs(expected[name])).max()),
        "share of the logits": program.memory_analysis().temp_size_in_bytes / (4.0 * out.size),
    }
print(json.dumps(found))
"""


def test_last_layer_and_likelihood_are_one_pass_and_exact():
    """As users run it: compiled with XLA's own flags, and on top of a product of matrices."""
    flags = {"XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", _FUSED], capture_output=True, text=True, env=os.environ | flags
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["bernoulli"]["absolute"] < 1e-3
    assert found["gaussian"]["relative"] < 1e-6
    for figures in found.values():
        assert figures["share of the logits"] < 0.5
