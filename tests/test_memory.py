"""Memory does not depend on the number of particles: the compiled program's own analysis.

Nothing is run, so a million particles cost no time.
"""

import jax
import jax.numpy as jnp
import pytest

from remjax.distributions import DiagonalGaussian
from remjax.distributions.mixtures import Balanced
from remjax.evaluation.blocks import _compiled
from remjax.evaluation.importance_sampling import figures_of_one
from remjax.evaluation.proposals import from_recognition
from remjax.methods import Particles, make_estimator, rem_pooled, rem_v1, vae, vimco
from remjax.particles.e_step import e_step
from remjax.types import Batch
from tests import linear_gaussian

TRUTH = linear_gaussian.example()
MODEL = linear_gaussian.model(TRUTH)
X = jnp.asarray(TRUTH.sample(0, 1)[0], jnp.float32)
R = DiagonalGaussian(jnp.array([0.3, -0.2]), jnp.array([0.8, 1.3]))


def temporary_bytes(function, *arguments):
    return jax.jit(function).lower(*arguments).compile().memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize(
    ("proposal", "keep"), [(R, None), (Balanced(R, R), 32)], ids=["r", "mixture"]
)
def test_memory_of_the_e_step_does_not_depend_on_k(proposal, keep, key):
    def run(num_particles):
        joint = MODEL.joint(TRUTH.theta, X)
        return lambda key: e_step(key, joint, proposal, num_particles, chunk_size=50, keep=keep)

    few, many = (temporary_bytes(run(count), key) for count in (1_000, 1_000_000))
    assert abs(many - few) <= 0.05 * few


def test_memory_of_the_evaluation_is_250_bytes_per_particle():
    """Whatever the number of datapoints in a call: 12 MB at K = 50,000."""
    recognition = linear_gaussian.diagonal_recognition(TRUTH)
    params = TRUTH.params(TRUTH.inclusive_eta)

    def bytes_of(num_particles, size):
        measure = figures_of_one(MODEL, recognition, num_particles, from_recognition)
        block = _compiled(measure, None, 20)
        arguments = (params, jax.random.key(0), 0, jnp.zeros((size, len(X))))
        return block.lower(*arguments).compile().memory_analysis().temp_size_in_bytes

    assert bytes_of(50_000, 100) - bytes_of(5_000, 100) <= 250 * 45_000
    assert bytes_of(5_000, 1_000) - bytes_of(5_000, 100) <= 900 * 200


@pytest.mark.parametrize(
    ("method", "keep"),
    [(vae(), None), (vimco(), None), (rem_v1(), None), (rem_pooled(), 32)],
    ids=["vae", "vimco", "rem_v1", "rem_pooled"],
)
def test_memory_of_the_gradient_does_not_depend_on_k(method, keep, key):
    """But for the number of each chunk (four bytes), which the backward pass of keep=None reads."""
    recognition = linear_gaussian.diagonal_recognition(TRUTH)
    params = TRUTH.params(TRUTH.inclusive_eta)
    batch = Batch(jnp.stack([X, X]), jnp.arange(2))

    def gradient(num_particles):
        particles = Particles(num_particles, keep, chunk_size=50)
        estimator = make_estimator(MODEL, recognition, method, particles)

        def loss(params, key):
            estimate = estimator.estimate(params, (), key, batch)[0]
            return estimate.theta_loss + estimate.eta_loss

        return jax.grad(loss)

    few, many = (temporary_bytes(gradient(count), params, key) for count in (1_000, 1_000_000))
    chunk_numbers = 4 * 1_000_000 // 50 if keep is None else 0
    assert many - few <= 0.05 * few + chunk_numbers
