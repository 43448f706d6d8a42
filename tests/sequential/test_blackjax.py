"""An outside judge: the bootstrap filter made of blackjax's steps, with its own resampling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax.sequential import StepRecognition, linear_gaussian_model, particle_filter
from tests.sequential import exact

smc = pytest.importorskip("blackjax.smc.base")
resampling = pytest.importorskip("blackjax.smc.resampling")

TRUTH = exact.example(latent_size=1, data_size=1, seed=1)
MODEL = linear_gaussian_model(latent_size=1, data_size=1)
BOOTSTRAP = StepRecognition(
    init=lambda _: (),
    initial=lambda _, x: MODEL.initial(TRUTH.theta),
    transition=lambda _, z, x: MODEL.transition(TRUTH.theta, z),
)
X = MODEL.sample(TRUTH.theta, jax.random.key(3), 3)[1]
NUM_PARTICLES, RUNS = 20, 3000


def of_blackjax(key):
    """log Z: their step resamples, moves and weighs; the first one moves from the prior."""
    key, first = jax.random.split(key)
    keys = jax.random.split(first, NUM_PARTICLES)
    particles = jax.vmap(MODEL.initial(TRUTH.theta).sample)(keys)

    def weigh(x):
        return jax.vmap(lambda z: MODEL.emission(TRUTH.theta, z).log_prob(x))

    log_w = weigh(X[0])(particles)
    log_z = jax.nn.logsumexp(log_w) - jnp.log(NUM_PARTICLES)
    state = smc.SMCState(particles, jax.nn.softmax(log_w), {})

    def move(keys, particles, _):
        moved = jax.vmap(lambda key, z: MODEL.transition(TRUTH.theta, z).sample(key))
        return moved(keys, particles), None

    for key_t, x in zip(jax.random.split(key, 2), X[1:], strict=True):
        state, info = smc.step(key_t, state, move, weigh(x), resampling.systematic)
        log_z += info.log_likelihood_increment
    return log_z


def test_evidence_has_the_mean_and_the_spread_of_blackjax():
    """3,000 runs each: means of Z within five standard errors, deviations within a tenth."""

    def ours(key):
        found = particle_filter(
            key, MODEL, TRUTH.theta, BOOTSTRAP, (), X, NUM_PARTICLES, threshold=1.0
        )
        return found.log_evidence

    keys = jax.random.split(jax.random.key(0), RUNS)
    one, other = (np.asarray(jax.jit(jax.vmap(run))(keys), float) for run in (ours, of_blackjax))
    log_p = TRUTH.posterior(np.asarray(X))[0]
    for found in (one, other):
        ratio = np.exp(found - log_p)
        assert abs(ratio.mean() - 1.0) < 5 * ratio.std() / np.sqrt(RUNS)
    assert abs(one.std() / other.std() - 1.0) < 0.1
