"""VIMCO and IWAE against TensorFlow Probability on JAX: losses and gradients on the same particles.

It computes eagerly: its VIMCO cannot be compiled.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.enumeration.cases import ONE_LAYER
from experiments.enumeration.tiny_networks import X, gradient_of, network
from remjax.methods.importance_weighted import iwae
from remjax.methods.method import make_estimator
from remjax.methods.row import Particles
from remjax.methods.score_functions import vimco
from remjax.types import Batch, Params
from tests import linear_gaussian
from tests.peers.same_noise import same_noise

tfp = pytest.importorskip(
    "tensorflow_probability.substrates.jax", reason="TFP is not installed: pip install '.[peers]'"
)

NUM_PARTICLES = 5


class Surrogate(NamedTuple):
    """What TFP takes for a surrogate posterior: particles made beforehand, and log r."""

    particles: jax.Array
    log_density: object
    reparameterization_type: object = None

    def sample(self, sample_shape=(), seed=None):
        del sample_shape, seed
        return self.particles

    def log_prob(self, z):
        return self.log_density(z)

    def experimental_sample_and_log_prob(self, sample_shape=(), seed=None):
        return self.sample(sample_shape, seed), self.log_prob(self.particles)


def assert_close(ours, theirs):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), ours, theirs)


def test_vimco():
    net = network(ONE_LAYER)
    numbers = jnp.array([0, 3, 3, 1, 2])
    (particles,) = net.at(numbers)

    def bound(params):
        r, joint = net.recognition.distribution(params.eta, X), net.model.joint(params.theta, X)
        surrogate = Surrogate(particles[:, None], jax.vmap(jax.vmap(lambda z: r.log_prob((z,)))))
        return tfp.vi.csiszar_vimco(
            f=lambda logu: logu,
            p_log_prob=jax.vmap(jax.vmap(lambda z: joint((z,)))),
            q=surrogate,
            num_draws=NUM_PARTICLES,
            seed=jax.random.PRNGKey(0),
        )

    value, theirs = jax.value_and_grad(bound)(net.params)
    estimator = make_estimator(
        net.model, net.assigning((particles,)), vimco(), Particles(NUM_PARTICLES)
    )
    assert_close(gradient_of(estimator, net.params), jax.tree.map(jnp.negative, theirs))
    np.testing.assert_allclose(log_evidence(estimator, net.params, X), value, rtol=1e-5)


def test_iwae():
    truth = linear_gaussian.example()
    model, keys = linear_gaussian.model(truth), jax.random.split(jax.random.key(0), NUM_PARTICLES)
    recognition = same_noise(linear_gaussian.diagonal_recognition(truth), keys)
    x = jnp.asarray(truth.sample(0, 1)[0], jnp.float32)
    params = Params(truth.theta, {name: leaf + 0.3 for name, leaf in truth.inclusive_eta.items()})

    def loss(params):
        r, joint = recognition.distribution(params.eta, x), model.joint(params.theta, x)
        kind = tfp.distributions.FULLY_REPARAMETERIZED
        surrogate = Surrogate(jax.vmap(r.rsample)(keys), jax.vmap(r.log_prob), kind)
        return tfp.vi.monte_carlo_variational_loss(
            jax.vmap(joint),
            surrogate,
            importance_sample_size=NUM_PARTICLES,
            gradient_estimator=tfp.vi.GradientEstimators.REPARAMETERIZATION,
            seed=jax.random.PRNGKey(0),
        )

    value, theirs = jax.value_and_grad(loss)(params)
    estimator = make_estimator(model, recognition, iwae, Particles(NUM_PARTICLES))
    assert_close(gradient_of(estimator, params, x=x), theirs)
    np.testing.assert_allclose(-log_evidence(estimator, params, x), value, rtol=1e-5)


def log_evidence(estimator, params, x):
    """L_K of one datapoint, as the estimator reports it."""
    batch = Batch(x[None], jnp.zeros(1, int))
    return estimator.estimate(params, (), jax.random.key(0), batch)[0].metrics["log_evidence"]
