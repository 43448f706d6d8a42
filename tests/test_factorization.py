"""Factors against NumPy in double precision, their gradients, and where none exists.

No program of the library may call LAPACK on the CPU: as many batched calls at a time as there are
threads wait for one another for ever.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from remjax import Particles, make_estimator, methods
from remjax.distributions.undirected_gaussian import UndirectedGaussian
from remjax.factorization import cholesky, triangular_inverse
from remjax.models import full_gaussian_recognition
from remjax.sequential.kalman import kalman_smoother
from remjax.sequential.linear_gaussian import linear_gaussian_model
from remjax.types import Batch
from tests import linear_gaussian

KEY = jax.random.key(0)


def covariance(size, condition, seed=0):
    """Of random axes, its eigenvalues from 1 to 1 / condition."""
    axes, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))
    return (axes * np.geomspace(1.0, 1.0 / condition, size)) @ axes.T


@pytest.mark.parametrize("size", [1, 2, 20, 65, 200])
def test_factor_and_inverse(size):
    matrix = covariance(size, condition=1e3)
    exact = np.linalg.cholesky(matrix)
    factor = jax.jit(cholesky)(jnp.asarray(matrix, jnp.float32))
    np.testing.assert_allclose(factor, exact, atol=2e-5)
    whole = jax.jit(triangular_inverse)(jnp.asarray(exact, jnp.float32))
    np.testing.assert_allclose(whole @ exact, np.eye(size), atol=2e-5)
    assert np.all(np.triu(factor, 1) == 0.0)
    assert np.all(np.triu(whole, 1) == 0.0)


def test_what_stands_above_the_diagonal_is_not_read():
    matrix = covariance(5, condition=10.0).astype(np.float32)
    spoilt = np.where(np.tri(5, dtype=bool), matrix, np.nan)
    np.testing.assert_array_equal(cholesky(jnp.asarray(spoilt)), cholesky(jnp.asarray(matrix)))
    tril = np.linalg.cholesky(matrix)
    spoilt = tril + np.triu(np.full((5, 5), 7.0, np.float32), 1)
    tril, spoilt = jnp.asarray(tril), jnp.asarray(spoilt)
    np.testing.assert_array_equal(triangular_inverse(spoilt), triangular_inverse(tril))


@pytest.mark.parametrize("size", [3, 70])
def test_gradients(size):
    with jax.enable_x64(True):
        matrix = jnp.asarray(covariance(size, condition=10.0))
        half = jnp.tril(jnp.ones((size, size)))

        def symmetric(raw):
            return 0.5 * (raw + raw.T) + matrix

        raw = jnp.zeros((size, size))
        check_grads(lambda raw: cholesky(symmetric(raw)), (raw,), order=1, modes=("fwd", "rev"))
        tril = jnp.linalg.cholesky(matrix)
        check_grads(
            lambda raw: triangular_inverse(tril + half * raw), (raw,), order=1, modes=("fwd", "rev")
        )


@pytest.mark.parametrize(
    "matrix", [[[1.0, 2.0], [2.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]]
)
def test_what_has_no_factor_is_not_finite(matrix):
    assert not np.all(np.isfinite(cholesky(jnp.asarray(matrix))))


def test_batches():
    matrices = np.stack([covariance(4, 10.0, seed) for seed in range(6)]).astype(np.float32)
    together = jax.vmap(cholesky)(matrices)
    np.testing.assert_allclose(together, np.linalg.cholesky(matrices), atol=1e-6)


TRUTH = linear_gaussian.example(latent_size=3, data_size=5)


def update(method):
    """The gradient of both losses with a full covariance in r, over a batch."""
    recognition = full_gaussian_recognition(np.zeros(5), latent_size=3, hidden_sizes=())
    estimator = make_estimator(linear_gaussian.model(TRUTH), recognition, method, Particles(4))

    def losses(params, key, x):
        batch = Batch(x, jnp.arange(3))
        estimate, _ = estimator.estimate(params, estimator.init(key)[1], key, batch)
        return estimate.theta_loss + estimate.eta_loss

    key = jax.random.key(0)
    x = jnp.asarray(TRUTH.sample(0, 3), jnp.float32)
    return jax.grad(losses), (estimator.init(key)[0], key, x)


def undirected():
    def everything(precision, key):
        one = UndirectedGaussian(jnp.zeros(3), precision)
        value = one.log_prob(one.rsample(key)) + one.kl_divergence(one) + one.variance.sum()
        return jnp.sum(value)

    return jax.vmap(everything), (jnp.stack([jnp.eye(3) + 0.1] * 4), jax.random.split(KEY, 4))


def smoother():
    model = linear_gaussian_model(latent_size=2, data_size=3)
    return jax.vmap(kalman_smoother, (None, 0)), (model.init(KEY), jnp.zeros((2, 4, 3)))


PROGRAMS = {
    "rem_v1": lambda: update(methods.rem_v1()),
    "rem_curvature": lambda: update(methods.rem_curvature(largest_cost=np.inf)),
    "vae": lambda: update(methods.vae(analytic_kl=True)),
    "undirected": undirected,
    "smoother": smoother,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_program_calls_lapack(name):
    function, arguments = PROGRAMS[name]()
    text = jax.jit(function).lower(*arguments).as_text()
    assert "lapack" not in text
    assert "while" in text  # the loop of a factor is there


def test_accelerators_keep_their_kernels():
    exported = jax.export.export(jax.jit(cholesky), platforms=["cuda"])(jnp.eye(3))
    assert "while" not in exported.mlir_module()
