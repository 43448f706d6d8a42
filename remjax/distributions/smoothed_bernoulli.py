"""Smoothed bits: numbers in [0, 1] with a density of their own, the bits summed out."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from remjax.distributions.base import Distribution
from remjax.distributions.bernoulli import Bernoulli
from remjax.distributions.smoothings import Smoothing


@dataclasses.dataclass(frozen=True)
class SmoothedBernoulli(Distribution):
    """q(zeta) = prod_d (1 - q_d) r(zeta_d | 0) + q_d r(zeta_d | 1), q = sigmoid(logits).

    A latent of real numbers like any other: the draws have a gradient, `log_prob` is their density,
    and methods by the path and by the score serve alike, but for those that need moments or bits
    (REM, `disarm`, `nvil` with local signals). What goes with it is a prior over the numbers,
    p(zeta) = sum_z p(z) prod_d r(zeta_d | z_d), such as `boltzmann.SmoothedMachine`
    (DVAE#, Vahdat, Andriyash & Macready 2018). `RelaxedBernoulli` has the same draws,
    scored as if they were bits.

    Attributes:
        logits: the log odds of ones.
        smoothing: the densities r(zeta | 0) and r(zeta | 1); static.
    """

    logits: Float[Array, "*batch D"]
    smoothing: Smoothing

    @property
    def smoothed_by(self) -> Smoothing:
        """The smoothing."""
        return self.smoothing

    def hard(self) -> Bernoulli:
        """The bits that are summed out: `Bernoulli(logits)`."""
        return Bernoulli(self.logits)

    def rsample(self, key: Key[Array, ""]) -> Float[Array, " D"]:
        """A draw with the gradient of the logits, made as that of `RelaxedBernoulli` is."""
        return self.smoothing.relax(self.hard().uniforms(key), self.logits)

    def log_prob(self, z: Float[Array, " D"]) -> Float[Array, ""]:
        """log q(zeta), nats, of numbers in [0, 1]. Gradients reach zeta and the logits.

        Where the densities are infinite at the ends, these stand for the numbers before them, as in
        `Smooth.log_density`.
        """
        return jnp.sum(self.smoothing.log_density(z, self.logits))


jax.tree_util.register_dataclass(
    SmoothedBernoulli, data_fields=["logits"], meta_fields=["smoothing"]
)
