"""Structured prediction: the its gradients by quadrature, its schedule, wrong input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.enumeration.tiny_networks import X, gradient_of
from remjax import Particles, make_estimator
from remjax.errors import InputError
from remjax.methods import structured_prediction
from remjax.types import Batch, Recognition
from tests.quadrature import ETA, MODEL, PARAMS, expected, log_likelihood, of_noise

METHOD = structured_prediction(10, first=0.8, last=0.2)


def test_both_networks_ascend_the_bound_and_eta_the_entropy():
    """K = 2, lambda = 0.5 after five of ten updates; the entropy of a Gaussian is exact."""

    @jax.jit
    def both(params):
        def of_pair(noise):
            recognition = Recognition(lambda _: ETA, lambda eta, _: of_noise(eta, noise))
            estimator = make_estimator(MODEL, recognition, METHOD, Particles(2))
            return gradient_of(estimator, params, jnp.asarray(5, jnp.int32))

        def bound(params, noise):
            z = jax.vmap(of_noise(params.eta, noise).rsample)(noise)
            scores = jax.vmap(lambda z: log_likelihood(params.theta, X, z))(z)
            return jax.nn.logsumexp(scores) - jnp.log(2.0)

        def objective(params):
            entropy = jnp.sum(params.eta["log_scale"])  # and a constant
            return expected(lambda noise: bound(params, noise)) + 0.5 * entropy

        return expected(of_pair), jax.grad(objective)(params)

    pairs = zip(*map(jax.tree.leaves, both(PARAMS)), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(one, -other, atol=1e-4)


def test_the_schedule_of_the_entropy():
    weights = [METHOD.combine.ramp.weight(jnp.asarray(count)) for count in (0, 5, 10, 11)]
    np.testing.assert_allclose(weights, [0.8, 0.5, 0.2, 0.2], rtol=1e-6)
    assert str(METHOD.combine) == "mean, H from 0.8 to 0.2 over 10 updates"


def test_the_count_of_updates_and_the_metric():
    noise = jnp.array([[0.3], [-1.0]])
    recognition = Recognition(lambda _: ETA, lambda eta, _: of_noise(eta, noise))
    estimator = make_estimator(MODEL, recognition, METHOD, Particles(2))
    params, state = estimator.init(jax.random.key(0))
    batch = Batch(X[None], jnp.zeros(1, int))
    estimate, state = jax.jit(estimator.estimate)(params, state, jax.random.key(0), batch)
    assert state == 1
    z = jax.vmap(of_noise(params.eta, noise).rsample)(noise)
    scores = jax.vmap(lambda z: log_likelihood(params.theta, X, z))(z)
    exact = jax.nn.logsumexp(scores) - jnp.log(2.0)
    np.testing.assert_allclose(estimate.metrics["log_evidence"], exact, rtol=1e-5)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"num_updates": 0}, r"^num_updates is 0: give 1 or more$"),
        ({"num_updates": 5, "first": -1.0}, r"^first is -1\.0: give a finite weight, 0"),
        ({"num_updates": 5, "last": np.nan}, r"^last is nan: give a finite weight, 0"),
    ],
)
def test_wrong_knobs_are_refused(knobs, message):
    with pytest.raises(InputError, match=message):
        structured_prediction(**knobs)
