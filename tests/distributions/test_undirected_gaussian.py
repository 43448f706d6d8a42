"""A Gaussian drawn by Gibbs sweeps: its law, its density, and the bias of its gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax import InputError
from remjax.distributions import FullGaussian, UndirectedGaussian

LOC, PRECISION = jnp.array([0.5, -1.0]), jnp.array([[1.3, 0.8], [0.8, 1.0]])
TARGET = UndirectedGaussian(jnp.ones(2), jnp.array([[1.1, 0.9], [0.9, 1.1]]))


@pytest.mark.parametrize("sweeps", [1, 3])
def test_draws_have_its_moments(sweeps):
    """20,000 draws: five standard errors of means and second moments."""
    q = UndirectedGaussian(LOC, PRECISION, sweeps)
    keys = jax.random.split(jax.random.key(0), 20_000)
    z = np.asarray(jax.jit(jax.vmap(q.sample))(keys), np.float64)
    covariance = np.linalg.inv(np.asarray(PRECISION, np.float64))
    away = z - np.asarray(LOC)
    outer = np.einsum("ni,nj->nij", away, away)
    for rows, exact in ((away, 0.0), (outer, covariance)):
        error = rows.std(axis=0) / np.sqrt(len(z))
        assert np.all(np.abs(rows.mean(axis=0) - exact) < 5 * error)
    np.testing.assert_allclose(q.variance, np.diag(covariance), rtol=1e-5)
    np.testing.assert_array_equal(q.mean, LOC)


def test_density_and_divergence_are_those_of_the_full_gaussian():
    q = UndirectedGaussian(LOC, PRECISION)
    tril = jnp.linalg.cholesky(jnp.linalg.inv(PRECISION))
    z = jnp.array([0.3, 0.9])
    np.testing.assert_allclose(q.log_prob(z), FullGaussian(LOC, tril).log_prob(z), rtol=1e-5)
    keys = jax.random.split(jax.random.key(1), 20_000)
    draws = jax.vmap(q.sample)(keys)
    log_ratio = np.asarray(jax.vmap(q.log_prob)(draws) - jax.vmap(TARGET.log_prob)(draws))
    error = log_ratio.std() / np.sqrt(len(log_ratio))
    assert abs(log_ratio.mean() - float(q.kl_divergence(TARGET))) < 5 * error
    assert q.kl_divergence(FullGaussian(LOC, tril)) is None


def gradients(sweeps, chain=None):
    """Of KL(q || p) by the path alone, log q held fixed: a row for each of 40,000 keys."""

    def loss(q, key):
        z = q.rsample(key)
        return jax.lax.stop_gradient(q).log_prob(z) - TARGET.log_prob(z)

    q = UndirectedGaussian(LOC, PRECISION, sweeps, chain)
    keys = jax.random.split(jax.random.key(2), 40_000)
    rows = jax.jit(jax.vmap(jax.grad(loss), (None, 0)))(q, keys)
    flat = (rows.loc, rows.precision[:, [0, 1], [0, 1]], rows.precision[:, 0, 1:])
    # An off-diagonal number is in the matrix twice, and the density needs it symmetric.
    flat = (*flat[:2], flat[2] + rows.precision[:, 1, :1])
    return np.concatenate([np.asarray(leaf, np.float64) for leaf in flat], axis=1)


def test_the_bias_of_the_gradient_falls_with_the_sweeps():
    """40,000 exact chains: t = 20 has none by five standard errors, t = 1 has a clear one."""
    grad = jax.grad(lambda q: q.kl_divergence(TARGET))(UndirectedGaussian(LOC, PRECISION))
    matrix = np.asarray(grad.precision, np.float64)
    exact = np.array([*np.asarray(grad.loc), matrix[0, 0], matrix[1, 1], matrix[0, 1] * 2])
    found = {sweeps: gradients(sweeps) for sweeps in (1, 4, 20)}
    off = {sweeps: rows.mean(axis=0) - exact for sweeps, rows in found.items()}
    error = found[20].std(axis=0) / np.sqrt(40_000)
    assert np.all(np.abs(off[20]) < 5 * error)
    assert np.linalg.norm(off[1]) > 2 * np.linalg.norm(off[4]) > 0


def test_a_chain_is_where_the_sweeps_begin():
    chain = jnp.array([100.0, 200.0])
    q = UndirectedGaussian(LOC, PRECISION).at(chain)
    first = q.sample(jax.random.key(3))[0]
    expected = LOC[0] - PRECISION[0, 1] / PRECISION[0, 0] * (chain[1] - LOC[1])
    assert abs(float(first - expected)) < 5.0
    with pytest.raises(InputError, match="num_sweeps is 0"):
        UndirectedGaussian(LOC, PRECISION, 0).sample(jax.random.key(0))
