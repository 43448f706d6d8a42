"""A model of one Gaussian latent and three bits whose expectations are sums over nodes of noise."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from remjax.distributions import DiagonalGaussian, Distribution, Drawn
from remjax.types import Model, Params


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class OfNoise(Distribution):
    """A Gaussian of one dimension whose particles are those of given standard noise."""

    loc: jax.Array
    scale: jax.Array
    noise: jax.Array

    def rsample(self, noise):
        return self.loc + self.scale * noise

    def sample(self, key):
        return self.loc

    def log_prob(self, z):
        return DiagonalGaussian(self.loc, self.scale).log_prob(z)

    def kl_divergence(self, other):
        return DiagonalGaussian(self.loc, self.scale).kl_divergence(other)

    def particle(self, key, index):
        z, noise = self.rsample(self.noise[index]), self.noise[index]
        return Drawn(z, noise, self.log_prob(z))


THETA = {"loc": jnp.array([0.4]), "slope": jnp.array([1.2, -0.7, 0.5])}
ETA = {"loc": jnp.array([-0.3]), "log_scale": jnp.array([-0.2])}
PARAMS = Params(THETA, ETA)


def log_likelihood(theta, x, z):
    logits = theta["slope"] * z
    return jnp.sum(x * logits - jnp.logaddexp(0.0, logits))


def prior(theta):
    return DiagonalGaussian(theta["loc"], jnp.full(1, 1.3))


MODEL = Model(
    init=lambda _: THETA,
    log_prior=lambda theta, z: prior(theta).log_prob(z),
    log_likelihood=log_likelihood,
    sample=lambda *_: None,
    prior=prior,
)


def of_noise(eta, noise):
    return OfNoise(eta["loc"], jnp.exp(eta["log_scale"]), noise)


NODES, MASS = np.polynomial.hermite_e.hermegauss(24)
PAIRS = jnp.asarray(np.stack(np.meshgrid(NODES, NODES), axis=-1).reshape(-1, 2, 1), jnp.float32)
MASS_OF_PAIR = jnp.asarray(np.outer(MASS, MASS).ravel() / MASS.sum() ** 2, jnp.float32)


def expected(value):
    """Of a function of the noise of both particles."""
    return jax.tree.map(lambda leaf: jnp.tensordot(MASS_OF_PAIR, leaf, 1), jax.vmap(value)(PAIRS))
