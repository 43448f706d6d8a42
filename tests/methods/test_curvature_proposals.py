"""eta taught by the Gaussian of the curvature: its gradient where the posterior is Gaussian."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax import Batch, InputError, Particles, make_estimator
from remjax.methods import rem_curvature
from remjax.models import bernoulli_likelihood, deep_gaussian_model, deep_gaussian_recognition
from tests import linear_gaussian
from tests.gradients import gradients_of_each

TRUTH = linear_gaussian.example()
MODEL = linear_gaussian.model(TRUTH)
DIAGONAL = linear_gaussian.diagonal_recognition(TRUTH)
X = TRUTH.sample(1, 1)[0]
# The average of r's precision and 200 of the posterior's own is off by half a percent.
STEPS, NEARLY = 200, 0.02


def taught(gaussian_share):
    method = rem_curvature(STEPS, largest_cost=np.inf, gaussian_share=gaussian_share)
    return make_estimator(MODEL, DIAGONAL, method, Particles(20))


@pytest.fixture(scope="module")
def rows():
    eta = TRUTH.inclusive_eta
    eta = {**eta, "log_scale": eta["log_scale"] + 0.3, "offset": eta["offset"] + 0.2}
    estimators = {"all": taught(1.0), "half": taught(0.5), "none": taught(0.0)}
    keys = jax.random.split(jax.random.key(0), 40)
    found = gradients_of_each(**estimators)(TRUTH.params(eta), X, keys)
    return {name: found[name].eta for name in found}


def expected():
    """The gradient of KL(p(z | x) || r) for that r, which is wide by 0.3 and off by 0.2."""
    variance = np.diagonal(TRUTH.posterior_covariance)
    scale2 = variance * np.exp(0.6)
    square = variance + 0.2**2
    return {"log_scale": 1.0 - square / scale2, "offset": 0.2 / scale2}


@pytest.mark.parametrize("name", ["log_scale", "offset"])
def test_gradient_is_that_of_the_divergence_and_has_no_noise(rows, name):
    row = rows["all"][name]
    np.testing.assert_allclose(row.mean(axis=0), expected()[name], rtol=NEARLY, atol=NEARLY)
    assert row.std(axis=0).max() < NEARLY
    assert row.std(axis=0).max() < 0.2 * rows["none"][name].std(axis=0).max()


@pytest.mark.parametrize("name", ["log_scale", "offset"])
def test_half_lies_between(rows, name):
    # The gradient is linear in the first two moments about zero, and so in the mixture.
    between = 0.5 * (rows["all"][name] + rows["none"][name])
    np.testing.assert_allclose(rows["half"][name], between, atol=1e-4)


def test_share_that_cannot_be():
    with pytest.raises(InputError, match=r"gaussian_share is 1\.5: give a share from 0 to 1"):
        rem_curvature(gaussian_share=1.5)


def test_several_layers_are_refused():
    mean = np.full(3, 0.5)
    sizes = {"latent_sizes": (2, 1), "hidden_sizes": ((), ())}
    model = deep_gaussian_model(bernoulli_likelihood(mean), **sizes)
    recognition = deep_gaussian_recognition(mean, **sizes)
    method = rem_curvature(largest_cost=np.inf, gaussian_share=1.0)
    estimator = make_estimator(model, recognition, method, Particles(2))
    batch = Batch(jnp.ones((1, 3)), jnp.zeros(1, int))

    def estimate(key):
        params, state = estimator.init(key)
        return estimator.estimate(params, state, key, batch)

    with pytest.raises(InputError, match=r"gaussian_share is 1\.0, and E\[log r\(z\)\] of a "):
        jax.eval_shape(estimate, jax.random.key(0))
