"""The curvature of the posterior against float64 formulas, and where nothing is finite."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax import models
from remjax.distributions import Bernoulli, DiagonalGaussian
from remjax.distributions.layers import Layers
from remjax.errors import InputError
from remjax.particles import curvature as module
from remjax.particles.covariances import MeanVariance
from remjax.particles.curvature import curvature, passes
from remjax.types import Decoded, Model
from tests import linear_gaussian

D, X = 3, 12


def standard(size):
    return DiagonalGaussian(jnp.zeros(size), jnp.ones(size))


def find(model, theta, x, r=None, steps=4):
    r = standard(D) if r is None else r
    own, key = MeanVariance(r.mean, r.variance), jax.random.key(1)
    return jax.jit(lambda theta, x: curvature(key, model.joint(theta, x), r, own, steps))(theta, x)


def test_of_a_gaussian_posterior_it_is_the_average_of_r_and_the_exact_curvatures():
    """No noise is left, whatever the points: after T steps r has one part in T + 1."""
    truth = linear_gaussian.example(latent_size=4, data_size=6)
    x = truth.sample(0, 1)[0]
    r = DiagonalGaussian(jnp.array([0.5, -1.0, 0.1, 0.3]), jnp.array([0.3, 2.0, 1.0, 0.5]))
    model = linear_gaussian.model(truth)
    exact = np.linalg.inv(truth.posterior_covariance)
    of_r = np.diag(1 / np.asarray(r.variance, np.float64))
    for steps in (1, 4, 400):
        found = find(model, truth.theta, jnp.asarray(x, jnp.float32), r, steps)
        precision = (of_r + steps * exact) / (steps + 1)
        assert np.allclose(found.covariance, np.linalg.inv(precision), rtol=2e-3, atol=1e-5)
    assert np.allclose(found.mean, truth.posterior_mean(x[None])[0], atol=2e-2)
    joint = model.joint(truth.theta, jnp.asarray(x, jnp.float32))
    assert np.allclose(found.log_joint, joint(found.mean), rtol=1e-5)


def test_in_one_dimension_it_comes_to_the_least_divergence_from_the_posterior():
    """Many steps, against the stationary point of KL(q || p) by quadrature in float64.

    p(z | x) of one Poisson with log rate 2 z: skewed, and log-concave. The error of 2,000 averaged
    points is about 1 / sqrt(2,000) of the posterior's scale.
    """
    x = 3.0
    model = Model(
        init=lambda _: (),
        log_prior=lambda _, z: -0.5 * jnp.sum(z**2),
        log_likelihood=lambda _, x, z: jnp.sum(x * 2 * z - jnp.exp(2 * z)),
        sample=lambda *_: (None, None),
        decoded=lambda _, x: Decoded(lambda z: 2 * z, lambda o: jnp.sum(x * o - jnp.exp(o))),
    )
    found = find(model, (), jnp.full(1, x), standard(1), steps=2_000)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights /= weights.sum()
    mean, variance = 0.0, 1.0
    for _ in range(500):
        z = mean + np.sqrt(variance) * nodes
        slope = weights @ (-z + 2 * x - 2 * np.exp(2 * z))
        bent = weights @ (1 + 4 * np.exp(2 * z))
        mean, variance = mean + 0.3 * slope / bent, 1 / bent
    assert np.allclose(found.mean, mean, atol=0.05 * np.sqrt(variance))
    assert np.allclose(found.covariance, variance, rtol=0.1)


# What the Fisher information of each likelihood is in its output, by its textbook formula.
def bernoulli_information(_own, o):
    p = 1 / (1 + np.exp(-o))
    return np.diag(p * (1 - p))


def gaussian_information(own, o):
    return np.diag(np.exp(-2 * np.asarray(own["log_relative_scale"], np.float64)))


def poisson_information(_own, o):
    return np.diag(np.exp(o))


def categorical_information(_own, o):
    blocks = np.zeros((X, X))
    for start in range(0, X, 4):
        p = np.exp(o[start : start + 4])
        p /= p.sum()
        blocks[start : start + 4, start : start + 4] = np.diag(p) - np.outer(p, p)
    return blocks


ONE_HOT = np.tile(np.eye(4, dtype=np.float32)[[0, 2, 1]].reshape(-1), 1)
CASES = {
    "bernoulli": (
        lambda: models.bernoulli_likelihood(np.full(X, 0.4)),
        np.arange(X) % 2,
        bernoulli_information,
    ),
    "gaussian": (
        lambda: models.gaussian_likelihood(np.zeros(X), 1.0),
        np.linspace(-2, 2, X),
        gaussian_information,
    ),
    "poisson": (
        lambda: models.poisson_likelihood(np.full(X, 2.0)),
        np.arange(X),
        poisson_information,
    ),
    "categorical": (
        lambda: models.categorical_likelihood(np.full(X, 0.25), [4, 4, 4]),
        ONE_HOT,
        categorical_information,
    ),
}


def gaussian_model(likelihood, size=D):
    return models.gaussian_model(likelihood, latent_size=size, hidden_sizes=(8,))


@pytest.mark.parametrize("name", CASES)
def test_the_first_step_is_that_of_the_fisher_information(name):
    likelihood, x, information = CASES[name]
    model = gaussian_model(likelihood())
    theta = model.init(jax.random.key(0))
    x = jnp.asarray(x, jnp.float32)
    r = DiagonalGaussian(jnp.array([0.1, -0.2, 0.3]), jnp.array([0.3, 0.5, 1.0]))
    found = find(model, theta, x, r, steps=1)
    decoded = model.decoded(theta, x)
    jacobian = np.asarray(jax.jacobian(decoded.output)(r.mean), np.float64)
    o = np.asarray(decoded.output(r.mean), np.float64)
    of_decoder = jacobian.T @ information(theta["likelihood"], o) @ jacobian
    of_r = np.diag(1 / np.asarray(r.variance, np.float64))
    precision = 0.5 * of_r + 0.5 * (np.eye(D) + of_decoder)
    slope = np.asarray(jax.grad(model.joint(theta, x))(r.mean), np.float64)
    assert np.allclose(found.covariance, np.linalg.inv(precision), rtol=1e-3, atol=1e-5)
    assert np.allclose(found.mean, r.mean + 0.5 * np.linalg.solve(precision, slope), atol=1e-4)


@pytest.mark.parametrize("scale", [1.0, 30.0, 1e3])
def test_no_step_falls_and_all_stays_finite_however_steep_the_decoder(scale):
    model = gaussian_model(models.bernoulli_likelihood(np.full(X, 0.4)))
    theta = jax.tree.map(lambda leaf: scale * leaf, model.init(jax.random.key(3)))
    x = jnp.asarray(np.arange(X) % 2, jnp.float32)
    lowest = model.joint(theta, x)(jnp.zeros(D)) - D / 2
    for steps in (1, 2, 5):
        found = find(model, theta, x, steps=steps)
        assert found.log_joint >= lowest
        assert np.allclose(found.log_joint, model.joint(theta, x)(found.mean), rtol=1e-4)
        assert np.isfinite(found.covariance).all()
        assert np.linalg.eigvalsh(np.asarray(found.covariance, np.float64)).min() > 0


@pytest.mark.parametrize("size", [1, 200])
def test_one_latent_and_two_hundred(size):
    model = gaussian_model(models.bernoulli_likelihood(np.full(X, 0.4)), size)
    found = find(model, model.init(jax.random.key(0)), jnp.ones(X), standard(size), steps=1)
    assert found.covariance.shape == (size, size)
    assert np.linalg.eigvalsh(np.asarray(found.covariance, np.float64)).min() > 0


def test_where_nothing_is_possible_it_is_r():
    model = gaussian_model(models.gaussian_likelihood(np.zeros(X), 1.0))
    theta = jax.tree.map(lambda leaf: leaf * jnp.nan, model.init(jax.random.key(0)))
    r = DiagonalGaussian(jnp.array([1.0, 2.0, 3.0]), jnp.array([0.5, 1.0, 2.0]))
    found = find(model, theta, jnp.zeros(X), r)
    assert np.array_equal(found.mean, r.mean)
    assert np.allclose(found.covariance, np.diag(r.variance), rtol=1e-5)
    assert found.log_joint == -np.inf


def test_a_jacobian_too_large_to_hold_gives_the_same(monkeypatch):
    model = gaussian_model(models.bernoulli_likelihood(np.full(X, 0.4)))
    theta, x = model.init(jax.random.key(0)), jnp.ones(X)
    whole = find(model, theta, x)
    monkeypatch.setattr(module, "_LARGEST_JACOBIAN", 2 * X)
    in_rows = find(model, theta, x)
    for a, b in zip(whole, in_rows, strict=True):
        assert np.allclose(a, b, rtol=1e-5, atol=1e-6)


def test_layers_are_taken_jointly():
    model = models.deep_gaussian_model(
        models.bernoulli_likelihood(np.full(X, 0.4)), latent_sizes=(2, 1), hidden_sizes=((4,), (4,))
    )
    theta, x = model.init(jax.random.key(0)), jnp.ones(X)
    r = Layers(standard(2), (lambda _: standard(1),))
    own = MeanVariance(jnp.zeros(3), jnp.ones(3))
    found = curvature(jax.random.key(0), model.joint(theta, x), r, own, 3)
    joint = model.joint(theta, x)

    def log_joint(flat):
        return joint((flat[:2], flat[2:]))

    assert np.allclose(found.log_joint, log_joint(found.mean), rtol=1e-5)
    assert found.log_joint > log_joint(jnp.zeros(3))
    assert np.linalg.eigvalsh(np.asarray(found.covariance, np.float64)).min() > 0


def test_it_carries_no_gradient():
    model = gaussian_model(models.bernoulli_likelihood(np.full(X, 0.4)))
    theta = model.init(jax.random.key(0))

    def total(theta):
        own = MeanVariance(jnp.zeros(D), jnp.ones(D))
        joint = model.joint(theta, jnp.ones(X))
        found = curvature(jax.random.key(0), joint, standard(D), own, 1)
        return found.mean.sum() + found.covariance.sum() + found.log_joint

    slopes = jax.grad(total)(theta)
    assert all(not leaf.any() for leaf in jax.tree.leaves(slopes))


def test_passes_are_counted():
    assert passes(20, 3) == 66


def test_wrong_inputs():
    model = gaussian_model(models.bernoulli_likelihood(np.full(X, 0.4)))
    key, own = jax.random.key(0), MeanVariance(jnp.zeros(D), jnp.ones(D))
    joint = model.joint(model.init(key), jnp.ones(X))
    with pytest.raises(InputError, match=r"Model\.decoded"):
        curvature(key, joint._replace(decoded=None), standard(D), own, 1)
    with pytest.raises(InputError, match="discrete"):
        curvature(key, joint, Bernoulli(jnp.zeros(D)), own, 1)
