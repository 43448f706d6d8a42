"""Parts of a batch: how a batch is cut changes no number, and each loss keeps to its part."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax.methods.batches import Terms, batch_mean, largest_divisor, rows_in_flight
from remjax.types import Batch, Params

PARAMS = Params(theta={"a": jnp.array([0.5, -1.0, 2.0])}, eta=jnp.array(0.7))
X = jnp.asarray(np.random.default_rng(0).normal(size=(6, 3)), jnp.float32)


INDEX = jnp.arange(6)


def terms(params, key, batch):
    def one(x, index):
        z = jax.random.normal(jax.random.fold_in(key, index)) * params.eta
        theta_term = jnp.tanh(params.theta["a"] @ x + jax.lax.stop_gradient(z))
        return Terms(theta_term, jnp.sin(z) * x[0], {"metric": theta_term + z})

    return jax.vmap(one)(batch.x, batch.index)


@pytest.mark.parametrize(
    ("batch_size", "most", "expected"), [(20, 1, 1), (20, 7, 5), (7, 6, 1), (4, 9, 4), (4, 0, 1)]
)
def test_largest_divisor(batch_size, most, expected):
    assert largest_divisor(batch_size, most) == expected


@pytest.mark.parametrize("size", [1, 2, 3])
def test_values_and_gradients_do_not_depend_on_the_cut(size, key):
    def loss(params, x, size):
        theta_term, eta_term, metrics = batch_mean(terms, params, key, Batch(x, INDEX), size)[:3]
        return -2.0 * theta_term + 3.0 * eta_term, metrics

    run = jax.jit(jax.value_and_grad(loss, has_aux=True), static_argnums=2)
    values, whole = run(PARAMS, X, size), run(PARAMS, X, 6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), values, whole)
    # Without a gradient, and several batches at once.
    np.testing.assert_allclose(loss(PARAMS, X, size)[0], whole[0][0], rtol=1e-5)
    many = jax.vmap(lambda x: run(PARAMS, x, size)[1].theta["a"])(jnp.stack([X, X]))
    np.testing.assert_allclose(many[1], whole[1].theta["a"], rtol=1e-5)


@pytest.mark.parametrize("share", [(-2.0, 3.0), (1.0, 0.0)])
def test_gradient_of_the_datapoints_does_not_depend_on_the_cut(share, key):
    """Also together with that of the parameters, and of one term alone."""

    def loss(params, x, size):
        means = batch_mean(terms, params, key, Batch(x, INDEX), size)
        return sum(factor * term for factor, term in zip(share, means[:2], strict=True) if factor)

    gradient = jax.jit(jax.grad(loss, argnums=(0, 1)), static_argnums=2)
    cut, whole = gradient(PARAMS, X, 2), gradient(PARAMS, X, 6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), cut, whole)
    assert jnp.all(cut[1][:, 0] != 0.0)


@pytest.mark.parametrize("place", [0, 1])
def test_each_term_reaches_its_own_part(place, key):
    batch = Batch(X, INDEX)
    gradient = jax.grad(lambda params: batch_mean(terms, params, key, batch, 2)[place])(PARAMS)
    reached = [bool(jnp.any(gradient.theta["a"] != 0)), bool(gradient.eta != 0)]
    assert reached == [place == 0, place == 1]


def test_larger_data_has_fewer_rows_in_flight():
    """What is only scored is to stay in the cache; never so few that no product of matrices is."""
    scored = [rows_in_flight(16, size) for size in (64, 784, 3072, 10**7)]
    assert scored == sorted(scored, reverse=True)
    assert scored[0] == scored[1] > 3 * scored[2] > scored[3] >= 500
    assert rows_in_flight(None, 64) <= rows_in_flight(16, 64)
