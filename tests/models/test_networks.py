"""Networks as pure functions: how they start, what they compute, that they hold no state."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from remjax.models.initializations import fan_in_uniform, glorot, he, in_bfloat16
from remjax.models.networks import MLP, GaussianEncoder, pure


def mlp(initialization=glorot):
    return pure(lambda rngs: MLP(6, (5, 4), 3, initialization=initialization, rngs=rngs))


def encoder(initialization=glorot):
    return pure(
        lambda rngs: GaussianEncoder(6, (5,), 400, initialization=initialization, rngs=rngs)
    )


def test_init_is_a_pure_function_of_the_key(key):
    init, _ = mlp()
    first, again, other = init(key), init(key), init(jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert not np.array_equal(first["head"]["kernel"], other["head"]["kernel"])
    assert isinstance(first, dict)
    jitted = jax.jit(init)(key)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), first, jitted)


def test_layers_of_the_same_shape_start_apart(key):
    init, _ = pure(lambda rngs: MLP(4, (4, 4), 4, rngs=rngs))
    kernels = [leaf for leaf in jax.tree.leaves(init(key)) if leaf.ndim == 2]
    assert len(kernels) == 3
    for i, kernel in enumerate(kernels):
        assert all(not np.array_equal(kernel, other) for other in kernels[:i])


def test_bound_network_against_numpy(key):
    init, bind = mlp(fan_in_uniform)
    params, x = init(key), np.random.default_rng(0).normal(size=(2, 6))
    hidden = x
    for layer in params["hidden"].values():
        hidden = np.tanh(hidden @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"]))
    expected = hidden @ np.asarray(params["head"]["kernel"]) + np.asarray(params["head"]["bias"])
    value = bind(params)(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


def test_in_bfloat16_rounds_the_factors_and_nothing_else(key):
    init, bind = mlp(in_bfloat16(fan_in_uniform))
    params, x = init(key), jnp.asarray(np.random.default_rng(0).normal(size=(2, 6)), jnp.float32)
    jax.tree.map(np.testing.assert_array_equal, params, mlp(fan_in_uniform)[0](key))

    def rounded(array):
        return np.asarray(jnp.asarray(array).astype(jnp.bfloat16), np.float64)

    out = x
    for layer in [*params["hidden"].values(), params["head"]]:
        out = out if out is x else np.tanh(out).astype(np.float32)
        out = rounded(out) @ rounded(layer["kernel"]) + np.asarray(layer["bias"], np.float64)
    value = bind(params)(x)
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, out, rtol=1e-3, atol=1e-3)
    assert np.abs(value - mlp(fan_in_uniform)[1](params)(x)).max() > 1e-4
    gradient = jax.grad(lambda params: jnp.sum(bind(params)(x)))(params)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(gradient))


def test_binding_works_under_jit_grad_and_vmap_and_changes_nothing(key):
    init, bind = mlp()
    params, x = init(key), jnp.ones((3, 6))

    @jax.jit
    def gradient(params, x):
        return jax.vmap(jax.grad(lambda params, one: jnp.sum(bind(params)(one))), (None, 0))(
            params, x
        )

    before = bind(params)(x)
    rows = gradient(params, x)
    assert rows["head"]["kernel"].shape == (3, 4, 3)
    np.testing.assert_allclose(rows["head"]["bias"], np.ones((3, 3)))
    doubled = bind(jax.tree.map(lambda leaf: 2 * leaf, params))(x)
    assert not np.allclose(before, doubled)
    np.testing.assert_array_equal(before, bind(params)(x))


def test_fan_in_uniform_fills_its_bounds(key):
    layer = fan_in_uniform(100, 500, rngs=nnx.Rngs(key))
    for values in (layer.kernel[...], layer.bias[...]):
        assert np.abs(values).max() <= 0.1
        assert np.abs(values).max() > 0.099
        # Uniform: variance limit^2 / 3; 500 values at least, so within 15 %.
        np.testing.assert_allclose(np.var(values), 0.01 / 3, rtol=0.15)


def test_glorot_has_the_variance_it_says_and_zero_biases(key):
    layer = glorot(100, 300, rngs=nnx.Rngs(key))
    np.testing.assert_allclose(np.var(layer.kernel[...]), 2 / 400, rtol=0.05)
    np.testing.assert_array_equal(layer.bias[...], np.zeros(300))


def test_he_has_the_variance_it_says_and_zero_biases(key):
    layer = he(100, 300, rngs=nnx.Rngs(key))
    weights = np.asarray(layer.kernel[...])
    np.testing.assert_allclose(np.var(weights), 2 / 100, rtol=0.05)
    # A normal distribution cut off at two of its own standard deviations, which are 1.137 of these.
    assert 2.2 < np.abs(weights).max() / np.sqrt(2 / 100) < 2.28
    np.testing.assert_array_equal(layer.bias[...], np.zeros(300))


def test_heads_of_the_encoder_start_independent(key):
    """2,000 pairs of weights: a correlation below five standard errors."""
    init, _ = encoder()
    mean, log_variance = np.split(np.asarray(init(key)["mlp"]["head"]["kernel"]), 2, axis=1)
    correlation = np.corrcoef(mean.ravel(), log_variance.ravel())[0, 1]
    assert abs(correlation) < 5 / np.sqrt(2000)


def test_encoder_scales_stay_within_the_reach_of_float32(key):
    init, bind = encoder()
    params = init(key)
    loc, scale = bind(params)(jnp.ones(6))
    assert loc.shape == scale.shape == (400,)
    assert np.all(scale > 0)
    huge = jax.tree.map(lambda leaf: 1e6 * leaf, params)
    _, scale = bind(huge)(jnp.ones(6))
    np.testing.assert_allclose(scale.min(), np.exp(-7.0), rtol=1e-5)
    np.testing.assert_allclose(scale.max(), np.exp(7.0), rtol=1e-5)
