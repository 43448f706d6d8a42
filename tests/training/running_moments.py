"""A recognition network that remembers: running moments of the posterior of each datapoint.

At each visit an E-step on particles of r and of s, the Gaussian with the moments remembered so far,
updates them. In training particles come from s, so that `rws` is REM whose s is built up over the
visits and not anew at each.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from remjax.distributions import DiagonalGaussian, Distribution, FullGaussian
from remjax.distributions.gaussian import scale_tril
from remjax.distributions.mixtures import Balanced
from remjax.particles import e_step
from remjax.types import Estimate, Estimator, Memory, Model, Params, Recognition
from tests import linear_gaussian

NUM_PARTICLES, RATE = 60, 0.1


class Moments(NamedTuple):
    """What is remembered of a datapoint."""

    mean: Float[Array, " D"]
    covariance: Float[Array, "D D"]

    @property
    def s(self) -> FullGaussian:
        """The Gaussian with these moments."""
        return FullGaussian(self.mean, scale_tril(self.covariance))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Remembered(Distribution):
    """r, whose particles are those of s where something is remembered."""

    r: DiagonalGaussian
    s: FullGaussian | None = None

    def rsample(self, key):
        return self.r.rsample(key)

    def log_prob(self, z):
        return self.r.log_prob(z)

    def expected_log_prob(self, mean, covariance):
        return self.r.expected_log_prob(mean, covariance)

    def particle(self, key, index):
        return (self.r if self.s is None else self.s).particle(key, index)

    def at(self, memory):
        return dataclasses.replace(self, s=memory.s)


def networks(truth: linear_gaussian.LinearGaussian) -> tuple[Model, Recognition]:
    """The model, and a recognition network that starts and remembers nothing but the prior.

    The likelihood of a datapoint that begins with more than 50 is NaN.
    """
    plain, size = linear_gaussian.model(truth), truth.latent_size
    network = linear_gaussian.diagonal_recognition(truth)

    def log_likelihood(theta, x, z):
        return plain.log_likelihood(theta, x, z) + jnp.where(x[0] > 50.0, jnp.nan, 0.0)

    model = plain._replace(log_likelihood=log_likelihood)

    def advance(params, key, x, r, memory):
        both = Balanced(r.r, memory.s)
        posterior = e_step(key, model.joint(params.theta, x), both, NUM_PARTICLES)
        shift = posterior.mean - memory.mean
        within = (1.0 - RATE) * memory.covariance + RATE * posterior.covariance
        between = RATE * (1.0 - RATE) * jnp.outer(shift, shift)
        return Moments(memory.mean + RATE * shift, within + between)

    recognition = Recognition(
        init=lambda key: jax.tree.map(jnp.zeros_like, truth.inclusive_eta),
        distribution=lambda eta, x: Remembered(network.distribution(eta, x)),
        memory=Memory(lambda key: Moments(jnp.zeros(size), jnp.eye(size)), advance),
    )
    return model, recognition


def moving_bits(shape: tuple[int, ...], dtype: type = bool) -> Memory:
    """Bits that start at random and of which some are flipped at each visit."""

    def advance(params, key, x, r, memory):
        flips = jax.random.bernoulli(key, 0.3, shape)
        return (memory.astype(bool) ^ flips).astype(dtype)

    return Memory(lambda key: jax.random.bernoulli(key, 0.5, shape).astype(dtype), advance)


def counting_bits(shape: tuple[int, ...], dtype: type = bool) -> Estimator:
    """An estimator that knows of a datapoint nothing but the bits that it remembers."""
    memory = moving_bits(shape, dtype)

    def estimate(params, state, key, batch):
        keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(batch.index)
        rows = jax.vmap(lambda *own: memory.advance(params, own[0], None, None, own[1]))(
            keys, batch.memory
        )
        share = jnp.mean(rows, dtype=float)
        return Estimate(share * params.theta, params.eta**2, {"share": share}, rows), state

    init = lambda key: (Params(jnp.ones(()), jnp.ones(())), ())  # noqa: E731
    return Estimator(init, estimate, memory=memory)
