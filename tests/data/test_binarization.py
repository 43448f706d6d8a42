"""The bits have the right probability and depend on what they should and on nothing else."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax.data.binarization import fixed, per_epoch, per_minibatch, unchanged

DRAWS = [fixed, per_epoch, per_minibatch]
KEY = jax.random.key(0)
INDEX = jnp.arange(6)
X = jnp.full((6, 50), 0.5)


def test_unchanged_changes_nothing():
    assert unchanged(KEY, 0, 0, INDEX, X) is X


@pytest.mark.parametrize("draw", DRAWS)
def test_bits_have_the_type_of_x_and_are_the_same_under_jit(draw):
    bits = draw(KEY, 1, 2, INDEX, X)
    assert bits.dtype == X.dtype
    assert set(np.unique(bits)) == {0.0, 1.0}
    np.testing.assert_array_equal(bits, jax.jit(draw)(KEY, 1, 2, INDEX, X))


@pytest.mark.parametrize("draw", DRAWS)
def test_black_and_white_stay(draw):
    x = jnp.stack([jnp.zeros(20_000), jnp.ones(20_000)])
    np.testing.assert_array_equal(draw(KEY, 0, 0, jnp.arange(2), x), x)


@pytest.mark.parametrize("draw", DRAWS)
def test_probability_of_a_bit_is_the_pixel(draw):
    """2^17 bits for each x; bound of five standard errors sqrt(x (1 - x) / 2^17), seed fixed."""
    levels, rows, copies = jnp.array([0.01, 0.25, 0.5, 0.9, 254 / 255]), 128, 1024
    x = jnp.broadcast_to(jnp.repeat(levels, copies), (rows, copies * len(levels)))
    bits = draw(KEY, 3, 5, jnp.arange(rows), x)
    frequency = np.asarray(bits, np.float64).reshape(rows, -1, copies).mean(axis=(0, 2))
    error = np.sqrt(levels * (1 - levels) / (rows * copies))
    assert np.all(np.abs(frequency - levels) < 5 * error)


@pytest.mark.parametrize("draw", DRAWS)
def test_datapoints_and_pixels_are_uncorrelated(draw):
    """Correlations of 2^16 fair coins have standard error 2^-8; bound of five, seed fixed."""
    signs = 2 * np.asarray(draw(KEY, 0, 0, jnp.arange(256), jnp.full((256, 256), 0.5))) - 1
    assert abs((signs[1:] * signs[:-1]).mean()) < 5 / 256
    assert abs((signs[:, 1:] * signs[:, :-1]).mean()) < 5 / 255


def same(first, second):
    return np.array_equal(np.asarray(first), np.asarray(second))


def test_fixed_depends_on_key_and_datapoint_only():
    bits = fixed(KEY, 0, 0, INDEX, X)
    assert same(bits, fixed(KEY, 7, 9, INDEX, X))
    order = jnp.array([4, 0, 5])
    assert same(bits[order], fixed(KEY, 0, 0, order, X[order]))
    assert same(bits[2], fixed(KEY, 0, 0, jnp.array([2]), X[:1])[0])
    assert not same(bits, fixed(jax.random.key(1), 0, 0, INDEX, X))
    assert not same(bits[0], bits[1])


def test_per_epoch_depends_on_key_epoch_and_datapoint_only():
    bits = per_epoch(KEY, 3, 0, INDEX, X)
    assert same(bits, per_epoch(KEY, 3, 9, INDEX, X))
    order = jnp.array([4, 0, 5])
    assert same(bits[order], per_epoch(KEY, 3, 1, order, X[order]))
    assert not same(bits, per_epoch(KEY, 4, 0, INDEX, X))
    assert not same(bits, per_epoch(jax.random.key(1), 3, 0, INDEX, X))


def test_per_minibatch_depends_on_key_step_and_place_only():
    bits = per_minibatch(KEY, 3, 5, INDEX, X)
    assert same(bits, per_minibatch(KEY, 4, 5, INDEX + 10, X))
    assert not same(bits, per_minibatch(KEY, 3, 6, INDEX, X))
    assert not same(bits, per_minibatch(jax.random.key(1), 3, 5, INDEX, X))


@pytest.mark.parametrize("draw", DRAWS)
def test_draws_run_inside_scan(draw):
    def step(counter, _):
        return counter + 1, draw(KEY, counter // 2, counter, INDEX, X)

    _, inside = jax.lax.scan(step, 0, length=4)
    outside = jnp.stack([draw(KEY, n // 2, n, INDEX, X) for n in range(4)])
    np.testing.assert_array_equal(inside, outside)


@pytest.mark.parametrize("draw", DRAWS)
def test_one_compilation_serves_all_steps(draw):
    compiled = jax.jit(partial(draw, KEY))
    for n in range(3):
        compiled(n, n, INDEX + n, X)
    assert compiled._cache_size() == 1
