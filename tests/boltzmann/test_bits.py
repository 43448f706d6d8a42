"""Bits have the frequencies of their logits, are independent, and differ from key to key."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from remjax.boltzmann.bits import bits

LOGITS = np.array([-1e3, -50.0, -6.0, -2.0, -0.3, 0.0, 0.5, 3.0, 7.0, 50.0, 1e3, np.inf, -np.inf])
SHAPES = {
    "even rows": (40_000, 13),
    "odd rows": (40_001, 13),
    "a leading axis more": (200, 200, 13),
}
# Quantile of the normal distribution that a right draw passes but for once in a million looks.
RARE = 4.9


def frequencies_off(drawn, p):
    """Standard errors between the frequencies of the columns and their probabilities.

    One standard error is that of a draw more or less at least, for the probabilities near 0 and 1.
    """
    drawn = np.asarray(drawn, np.float64)
    count = np.prod(drawn.shape[:-1])
    mean = drawn.reshape(-1, drawn.shape[-1]).mean(axis=0)
    return np.abs(mean - p) / np.sqrt(np.maximum(p * (1 - p) / count, 1 / count**2))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("kind", ["threefry2x32", "rbg"])
def test_frequencies_are_the_sigmoid_of_the_logits(shape, kind):
    key = jax.random.key(1, impl=kind)
    logits = jnp.broadcast_to(jnp.asarray(LOGITS, jnp.float32), shape)
    drawn = bits(key, logits)
    assert drawn.shape == shape
    assert set(np.unique(drawn)) == {0.0, 1.0}
    assert frequencies_off(drawn, scipy.special.expit(LOGITS)).max() < RARE


@pytest.mark.parametrize("width", [1, 2, 20_000, 20_001])
@pytest.mark.parametrize("rows", [(), (1,), (2,), (3,)])
def test_few_rows_of_any_width(key, rows, width):
    p = 0.3
    drawn = bits(key, jnp.full((*rows, width), math.log(p / (1 - p))))
    assert drawn.shape == (*rows, width)
    by_row = np.asarray(drawn).reshape(-1, width)
    assert ((by_row == 0) | (by_row == 1)).all()
    if width > 2:
        assert frequencies_off(by_row.T, p).max() < RARE
        # No row repeats another, nor one half of a row the other half.
        halves = np.concatenate([by_row[:, : width // 2], by_row[:, -(width // 2) :]])
        agree = (halves[:, None] == halves[None]).mean(axis=-1)[~np.eye(len(halves), dtype=bool)]
        spread = math.sqrt(0.58 * 0.42 / (width // 2))
        assert np.abs(agree - (p**2 + (1 - p) ** 2)).max() < RARE * spread


@pytest.mark.parametrize("rows", [2_000, 2_001])
def test_no_two_bits_depend_on_one_another(key, rows):
    """Correlations at every distance: half of the rows, a row, a column."""
    fair = 2 * np.asarray(bits(key, jnp.zeros((rows, 11)))) - 1
    half = -(-rows // 2)
    pairs = {
        "the halves": (fair[:half][: rows - half], fair[half:]),
        "the halves, a row on": (fair[1:half][: rows - half], fair[half:][: half - 1]),
        "neighbouring rows": (fair[:-1], fair[1:]),
        "neighbouring columns": (fair[:, :-1], fair[:, 1:]),
    }
    for name, (a, b) in pairs.items():
        a, b = a[: len(b)], b[: len(a)]
        assert abs(np.mean(a * b)) < RARE / math.sqrt(a.size), name
    # All pairs of rows at all distances: the correlogram of the whole stream.
    stream = fair.ravel()
    spectrum = np.abs(np.fft.rfft(stream)) ** 2 / stream.size
    # Each is exponential of mean one but for the ends; the largest of n is log n and a Gumbel.
    assert spectrum[1:-1].max() < math.log(spectrum.size) + 15


def test_frequencies_over_keys_at_every_place():
    """Under vmap, as one datapoint each has its key: no place of a row has a bias."""
    keys = jax.random.split(jax.random.key(2), 20_000)
    logits = jnp.asarray([[-1.0, 0.2, 2.0], [0.0, 0.5, -2.5], [3.0, -0.1, 1.0]])
    drawn = jax.vmap(bits, (0, None))(keys, logits)
    p = scipy.special.expit(np.asarray(logits, np.float64))
    assert frequencies_off(drawn.reshape(-1, 9), p.ravel()).max() < RARE
    np.testing.assert_array_equal(drawn[7], bits(keys[7], logits))
    assert len(np.unique(np.asarray(drawn).reshape(-1, 9) @ 2 ** np.arange(9))) > 300


@pytest.mark.parametrize("kind", ["threefry2x32", "rbg"])
def test_keys_give_other_numbers_and_the_same_key_the_same(kind):
    one, other = (jax.random.key(seed, impl=kind) for seed in (0, 1))
    fair = jnp.zeros((64, 64))
    np.testing.assert_array_equal(bits(one, fair), jax.jit(bits)(one, fair))
    agree = np.mean(np.asarray(bits(one, fair) == bits(other, fair)))
    assert abs(agree - 0.5) < RARE * 0.5 / 64


@pytest.mark.parametrize("kind", ["threefry2x32", "rbg"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_type_is_kept_and_the_frequencies_are_right_in_it(dtype, kind):
    """Numbers of few digits are compared with uniforms of many: a sure bit is sure."""
    key = jax.random.key(3, impl=kind)
    with jax.enable_x64(dtype == "float64"):
        logits = jnp.broadcast_to(jnp.asarray(LOGITS, dtype), (40_000, 13))
        drawn = bits(key, logits)
        assert drawn.dtype == dtype
        p = scipy.special.expit(np.asarray(logits[0], np.float64))
        assert frequencies_off(drawn, p).max() < RARE


def test_rare_bits_are_as_rare_as_they_should_be(key):
    """One in 200,000: the spacing of the uniforms is far below it."""
    p = 5e-6
    drawn = bits(key, jnp.full((4_000, 1_000), scipy.special.logit(p), jnp.float32))
    low, high = scipy.stats.poisson.interval(1 - 1e-6, 4e6 * p)
    assert low <= float(drawn.sum()) <= high


def test_no_gradient_passes(key):
    gradient = jax.grad(lambda logits: bits(key, logits).sum())(jnp.zeros((4, 3)))
    np.testing.assert_array_equal(gradient, np.zeros((4, 3)))
