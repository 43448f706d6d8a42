"""A Gaussian by its energy, drawn by Gibbs sweeps that carry a gradient.

Where the gradient of undirected posteriors can be held against what is exact (Vahdat et al. 2019,
Section 3.1).
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from remjax.distributions.base import Distribution
from remjax.errors import InputError
from remjax.factorization import cholesky, triangular_inverse


@dataclasses.dataclass(frozen=True)
class UndirectedGaussian(Distribution):
    """exp(-(z - loc) precision (z - loc) / 2) / Z, whose draws are t Gibbs sweeps from a chain.

    A sweep draws each coordinate in turn given the others, reparameterised. The gradient through t
    sweeps leaves out that of the chain's own distribution (term I of Eq. 8 of Vahdat et al. 2019):
    a bias that falls with t, to that of `FullGaussian`, which has none.

    Attributes:
        loc: [D], the mean.
        precision: [D, D], symmetric and positive definite.
        num_sweeps: t, at least 1. Static.
        chain: [D], where the sweeps begin, at equilibrium; None for an exact draw, without
            gradient.
    """

    loc: Float[Array, "*batch D"]
    precision: Float[Array, "*batch D D"]
    num_sweeps: int = 1
    chain: Float[Array, "*batch D"] | None = None

    @property
    def mean(self) -> Float[Array, " D"]:
        """loc."""
        return self.loc

    @property
    def variance(self) -> Float[Array, " D"]:
        """The diagonal of the inverse of the precision."""
        return jnp.sum(jnp.square(_whitening(self.precision)), axis=0)

    def at(self, memory: Float[Array, " D"]) -> "UndirectedGaussian":
        """The distribution whose sweeps begin there."""
        return dataclasses.replace(self, chain=memory)

    def rsample(self, key: Key[Array, ""]) -> Float[Array, " D"]:
        """The end of t sweeps, with the gradient of both parameters through all of them."""
        if self.num_sweeps < 1:
            raise InputError(f"num_sweeps is {self.num_sweeps}: give 1 or more")
        key_start, key_sweeps = jax.random.split(key)
        size = self.loc.shape[0]
        noise = jax.random.normal(key_sweeps, (self.num_sweeps, size), self.loc.dtype)
        z = lax.stop_gradient(self._exact(key_start) if self.chain is None else self.chain)
        for sweep in range(self.num_sweeps):
            for place in range(size):
                row, own = self.precision[place], self.precision[place, place]
                # The sum over the others: all, less the coordinate's own part.
                pull = row @ (z - self.loc) - own * (z[place] - self.loc[place])
                drawn = self.loc[place] - pull / own + noise[sweep, place] / jnp.sqrt(own)
                z = z.at[place].set(drawn)
        return z

    def log_prob(self, z: Float[Array, " D"]) -> Float[Array, ""]:
        """Log density in nats, normalised. Gradients reach z and the parameters."""
        away = z - self.loc
        log_det = _log_det(_whitening(self.precision))
        return 0.5 * (log_det - away @ self.precision @ away - z.shape[0] * math.log(2 * math.pi))

    def kl_divergence(self, other: Distribution) -> Float[Array, ""] | None:
        """KL(self || other) in nats, of two of this kind. Gradients reach both."""
        if not isinstance(other, UndirectedGaussian):
            return None
        away = self.loc - other.loc
        own = _whitening(self.precision)
        trace = jnp.sum((own @ other.precision) * own)
        square = away @ other.precision @ away
        log_dets = _log_det(own) - _log_det(_whitening(other.precision))
        return 0.5 * (trace - self.loc.shape[0] + square + log_dets)

    def _exact(self, key: Key[Array, ""]) -> Float[Array, " D"]:
        noise = jax.random.normal(key, self.loc.shape, self.loc.dtype)
        return self.loc + _whitening(self.precision).T @ noise


def _whitening(precision: Float[Array, "D D"]) -> Float[Array, "D D"]:
    """W, lower triangular, with W^T W the inverse of the precision."""
    # Halves, so that both entries of a pair have its gradient.
    return triangular_inverse(cholesky(0.5 * (precision + precision.T)))


def _log_det(whitening: Float[Array, "D D"]) -> Float[Array, ""]:
    """Of the precision, by its whitening."""
    return -2.0 * jnp.sum(jnp.log(jnp.diagonal(whitening)))


jax.tree_util.register_dataclass(
    UndirectedGaussian, data_fields=["loc", "precision", "chain"], meta_fields=["num_sweeps"]
)
