"""IWAE against NumPyro's RenyiELBO(alpha=0): loss and gradients on the same particles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.enumeration.tiny_networks import gradient_of
from remjax.methods.importance_weighted import iwae, vr
from remjax.methods.method import make_estimator
from remjax.methods.row import Particles
from remjax.types import Batch, Params
from tests import linear_gaussian
from tests.peers.same_noise import same_noise

numpyro = pytest.importorskip("numpyro", reason="NumPyro is not installed: pip install '.[peers]'")

NUM_PARTICLES = 5


def keys_of_the_latent(key):
    """The key from which each particle's z is drawn: RenyiELBO's splits, and those of `seed`."""
    _, key = jax.random.split(key)

    def of_particle(key):
        _, guide = jax.random.split(key)
        return jax.random.split(guide)[1]

    return jax.vmap(of_particle)(jax.random.split(key, NUM_PARTICLES))


@pytest.mark.parametrize(("method", "alpha"), [(iwae, 0.0), (vr(0.5), 0.5)])
def test_renyi_elbo(method, alpha):
    truth = linear_gaussian.example()
    model, key = linear_gaussian.model(truth), jax.random.key(0)
    plain = linear_gaussian.diagonal_recognition(truth)
    x = jnp.asarray(truth.sample(0, 1)[0], jnp.float32)
    params = Params(truth.theta, {name: leaf + 0.3 for name, leaf in truth.inclusive_eta.items()})

    def loss(params):
        def generate():
            prior = numpyro.distributions.Normal(jnp.zeros(2), 1.0).to_event(1)
            z = numpyro.sample("z", prior)
            numpyro.factor("x", model.log_likelihood(params.theta, x, z))

        def guide():
            r = plain.distribution(params.eta, x)
            numpyro.sample("z", numpyro.distributions.Normal(r.loc, r.scale).to_event(1))

        elbo = numpyro.infer.RenyiELBO(alpha=alpha, num_particles=NUM_PARTICLES)
        return elbo.loss(key, {}, generate, guide)

    value, theirs = jax.jit(jax.value_and_grad(loss))(params)
    recognition = same_noise(plain, keys_of_the_latent(key))
    estimator = make_estimator(model, recognition, method, Particles(NUM_PARTICLES))
    ours = gradient_of(estimator, params, x=x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), ours, theirs)
    r = recognition.distribution(params.eta, x)
    z = jax.vmap(r.rsample)(recognition.distribution(params.eta, x).keys)
    log_w = jax.vmap(model.joint(params.theta, x))(z) - jax.vmap(r.log_prob)(z)
    if method is iwae:
        batch = Batch(x[None], jnp.zeros(1, int))
        estimate, _ = estimator.estimate(params, (), key, batch)
        np.testing.assert_allclose(-estimate.metrics["log_evidence"], value, rtol=1e-5)
    powered = jax.scipy.special.logsumexp((1.0 - alpha) * log_w) - np.log(NUM_PARTICLES)
    np.testing.assert_allclose(-powered / (1.0 - alpha), value, rtol=1e-5)
