"""The proposal by regression: exact where log w is a quadratic, harmless where it is not."""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.quadratics import Quadratic, fitted, gaussian


def test_a_quadratic_log_weight_gives_the_posterior_itself():
    u = jax.random.normal(jax.random.key(0), (60, 3))
    curvature = np.array([[3.0, 0.8, 0.0], [0.8, 1.5, -0.4], [0.0, -0.4, -0.3]])
    slope = np.array([1.0, -2.0, 0.5])
    log_w = u @ slope - 0.5 * jnp.einsum("ki,ij,kj->k", u, curvature, u) - 100.0
    mean, covariance = gaussian(fitted(u, log_w))
    precision = np.eye(3) + curvature
    np.testing.assert_allclose(covariance, np.linalg.inv(precision), atol=1e-2)
    np.testing.assert_allclose(mean, np.linalg.solve(precision, slope), atol=1e-2)


def test_too_few_or_worthless_particles_leave_r():
    # One particle alone has weight: no quadratic is supported, and the result stays near r.
    u = jax.random.normal(jax.random.key(1), (4, 10))
    log_w = jnp.array([0.0, -jnp.inf, -jnp.inf, -jnp.inf])
    mean, covariance = gaussian(fitted(u, log_w))
    assert np.isfinite(mean).all()
    assert np.isfinite(covariance).all()
    assert np.linalg.eigvalsh(covariance).min() > 0.0


def test_a_quadratic_without_a_density_is_taken_in_part():
    mean, covariance = gaussian(Quadratic(jnp.ones(2), jnp.diag(jnp.array([-3.0, 2.0]))))
    assert np.isfinite(mean).all()
    # Of r's precision at least a twentieth stays in every direction.
    assert np.linalg.eigvalsh(covariance).max() <= 20.0
