"""Gaussians: with a diagonal covariance, as recognition networks give, and with a full one.

Their few formulas stand here: a library of distributions costs more time to import than JAX does.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from remjax.distributions.base import Distribution
from remjax.factorization import cholesky, triangular_inverse

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class DiagonalGaussian(Distribution):
    """N(loc, diag(scale^2)); `scale` is the standard deviation, positive."""

    loc: Float[Array, "*batch D"]
    scale: Float[Array, "*batch D"]

    @property
    def mean(self) -> Float[Array, " D"]:
        """E[z] = loc."""
        return self.loc

    @property
    def variance(self) -> Float[Array, " D"]:
        """scale^2."""
        return jnp.square(self.scale)

    def rsample(self, key: Key[Array, ""]) -> Float[Array, " D"]:
        """`loc + scale * noise`. Gradients reach loc and scale."""
        return self.loc + self.scale * jax.random.normal(key, self.loc.shape, self.loc.dtype)

    def log_prob(self, z: Float[Array, " D"]) -> Float[Array, ""]:
        """-1/2 sum_d ((z_d - loc_d) / scale_d)^2 - sum_d log scale_d - D/2 log 2 pi, in nats."""
        standard = (z - self.loc) / self.scale
        normalizer = jnp.log(self.scale) + _HALF_LOG_TWO_PI
        return jnp.sum(-0.5 * jnp.square(standard) - normalizer, axis=-1)

    def expected_log_prob(
        self, mean: Float[Array, " D"], covariance: Float[Array, "D D"]
    ) -> Float[Array, ""]:
        """log_prob(mean) - 1/2 sum_d covariance_dd / scale_d^2, exact for every z."""
        return self.log_prob(mean) - 0.5 * jnp.sum(jnp.diagonal(covariance) / self.variance)

    def kl_divergence(self, other: Distribution) -> Float[Array, ""] | None:
        """KL(self || other) in nats, where the other is diagonal too. Gradients reach both.

        sum_d [log(scale'_d / scale_d) + (scale_d^2 + (loc_d - loc'_d)^2) / (2 scale'_d^2) - 1/2],
        with a prime for the other.
        """
        if not isinstance(other, DiagonalGaussian):
            return None
        ratio = self.scale / other.scale
        distance = (self.loc - other.loc) / other.scale
        squares = jnp.square(ratio) + jnp.square(distance) - 1.0
        return jnp.sum(0.5 * squares + jnp.log(other.scale) - jnp.log(self.scale), axis=-1)

    def matched(self, mean: Float[Array, " D"], covariance: Float[Array, "D D"]) -> "FullGaussian":
        """N(mean, covariance), whatever the rank of the covariance (`scale_tril`)."""
        return lax.stop_gradient(FullGaussian(mean, scale_tril(covariance)))


# A density is wanted to float32, and a draw must agree with it. Rounding the factors of a product
# to fewer bits, as accelerators do by default, is for networks.
_product = functools.partial(jnp.matmul, precision=lax.Precision.HIGHEST)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FullGaussian(Distribution):
    """N(loc, scale_tril scale_tril^T); `scale_tril` is lower triangular, its diagonal positive."""

    loc: Float[Array, "*batch D"]
    scale_tril: Float[Array, "*batch D D"]

    @property
    def mean(self) -> Float[Array, " D"]:
        """E[z] = loc."""
        return self.loc

    @property
    def variance(self) -> Float[Array, " D"]:
        """The diagonal of scale_tril scale_tril^T."""
        return jnp.sum(jnp.square(self.scale_tril), axis=-1)

    def rsample(self, key: Key[Array, ""]) -> Float[Array, " D"]:
        """`loc + scale_tril @ noise`. Gradients reach loc and scale_tril."""
        return self.loc + _product(self.scale_tril, jax.random.normal(key, self.loc.shape))

    def log_prob(self, z: Float[Array, " D"]) -> Float[Array, ""]:
        """Log density at z, in nats."""
        # Not a triangular system for every z: the inverse factor does not depend on z, so under
        # vmap it is computed once and K particles cost one matrix product.
        whitening = triangular_inverse(self.scale_tril)
        standard = _product(whitening, z - self.loc)
        log_determinant = jnp.sum(jnp.log(jnp.diagonal(self.scale_tril)))
        dimension = self.loc.shape[0]
        return -0.5 * jnp.sum(jnp.square(standard)) - log_determinant - dimension * _HALF_LOG_TWO_PI

    def expected_log_prob(
        self, mean: Float[Array, " D"], covariance: Float[Array, "D D"]
    ) -> Float[Array, ""]:
        """log_prob(mean) - 1/2 tr((scale_tril scale_tril^T)^-1 covariance)."""
        whitening = triangular_inverse(self.scale_tril)
        white = _product(whitening, covariance) * whitening
        return self.log_prob(mean) - 0.5 * jnp.sum(white)

    def kl_divergence(self, other: Distribution) -> Float[Array, ""] | None:
        """KL(self || other) in nats, for another Gaussian: -entropy - E[log other]."""
        if not isinstance(other, DiagonalGaussian | FullGaussian):
            return None
        covariance = _product(self.scale_tril, self.scale_tril.T)
        minus_entropy = self.log_prob(self.loc) - 0.5 * self.loc.shape[0]
        return minus_entropy - other.expected_log_prob(self.loc, covariance)

    def matched(self, mean: Float[Array, " D"], covariance: Float[Array, "D D"]) -> "FullGaussian":
        """N(mean, covariance), whatever the rank of the covariance (`scale_tril`)."""
        return lax.stop_gradient(FullGaussian(mean, scale_tril(covariance)))


def scale_tril(covariance: Float[Array, "D D"]) -> Float[Array, "D D"]:
    """A Cholesky factor that exists and is finite for every finite covariance.

    The matrix is scaled to a unit diagonal, C_ij = Sigma_ij / sqrt(Sigma_ii Sigma_jj), a ridge of
    4 D (D + 1) rounding errors is added, and the factor is scaled back. By Demmel's theorem
    (Higham 2002, Theorem 10.7) the factorisation of a matrix so scaled cannot break down once its
    smallest eigenvalue exceeds about D (D + 1) rounding errors, whatever the scale and rank of
    Sigma: 1e-6 and 1e6, duplicates, K below D.

    Args:
        covariance: symmetric, positive semidefinite up to rounding. A coordinate of zero variance
            gets the smallest one whose square float32 can hold.

    Returns:
        Lower triangular L with L L^T close to the covariance; positive diagonal. A covariance that
        is not positive semidefinite falls back to its diagonal. Not for differentiation.
    """
    dimension = covariance.shape[0]
    limits = jnp.finfo(covariance.dtype)
    # Beyond the range of floats the fallback is the largest diagonal that they can hold.
    covariance = jnp.clip(covariance, -limits.max, limits.max)
    variance = jnp.maximum(jnp.diagonal(covariance), 0.0)
    scale = jnp.sqrt(jnp.maximum(variance, limits.tiny / limits.eps))
    unit = covariance / scale[:, None] / scale[None, :]
    unit = jnp.where(jnp.eye(dimension, dtype=bool), 1.0, unit)
    ridge = 4.0 * dimension * (dimension + 1) * limits.eps
    factor = cholesky(unit + ridge * jnp.eye(dimension))
    factor = jnp.where(jnp.all(jnp.isfinite(factor)), factor, jnp.eye(dimension))
    return scale[:, None] * factor
