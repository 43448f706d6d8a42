"""A proposal by regression: a Gaussian whose log density is a quadratic fitted to log w.

What the moments of weighted particles forget, the particles without weight know too: how fast
log p(x, z) falls away from the posterior. D latents have (D + 1)(D + 2) / 2 coefficients, so few
particles are held to r by a ridge, which leave-one-out errors choose.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from remjax.distributions.mixtures import Mixture
from remjax.factorization import cholesky, triangular_inverse
from remjax.methods.draws import Draws, Scored
from remjax.particles.matching import of_kind, own_moments

# In units of the mean square of a particle's features; the largest leave r as it is.
_RIDGES = 10.0 ** jnp.arange(-3.0, 5.0)
# Shares of the fitted quadratic, the largest of which that leaves a precision is taken.
_SHARES = jnp.array([1.0, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.0])
# Of r's precision, the least that a direction may keep.
_LEAST_PRECISION = 0.05
# Nats below the largest weight at which the quadratic is asked nothing any more.
_DEPTH = 100.0


class Quadratic(NamedTuple):
    """log w(u) = constant + slope u - 1/2 u^T curvature u."""

    slope: Float[Array, " D"]
    curvature: Float[Array, "D D"]


def fitted(u: Float[Array, "K D"], log_w: Float[Array, " K"]) -> Quadratic:
    """Ridge regression of log w on quadratics, the ridge that has the least leave-one-out error.

    Args:
        u: particles in units of r's mean and standard deviation.
        log_w: their log-weights, nats; those far below the largest are raised to a floor.
    """
    rows, columns = jnp.triu_indices(u.shape[1])
    # -1/2 u^T A u has a coefficient of A_ij once for i = j and twice for i < j.
    scale = jnp.where(rows == columns, -0.5, -1.0)
    quadratics = scale * u[:, rows] * u[:, columns]
    features = jnp.concatenate([u, quadratics], axis=1)
    features = features - jnp.mean(features, axis=0)
    highest = jnp.max(log_w)
    target = jnp.maximum(log_w, highest - _DEPTH)
    target = target - jnp.mean(target)
    products = features @ features.T
    unit = jnp.mean(jnp.diagonal(products))

    def dual(ridge: Float[Array, ""]) -> tuple[Float[Array, " K"], Float[Array, ""]]:
        gram = products + ridge * unit * jnp.eye(len(u))
        root = triangular_inverse(cholesky(gram))
        inverse = root.T @ root
        solved = inverse @ target
        left_out = solved / jnp.diagonal(inverse)
        return solved, jnp.nan_to_num(jnp.mean(jnp.square(left_out)), nan=jnp.inf)

    solved, errors = jax.lax.map(dual, _RIDGES)
    coefficients = jnp.nan_to_num(features.T @ solved[jnp.argmin(errors)])
    slope, of_pairs = coefficients[: u.shape[1]], coefficients[u.shape[1] :]
    upper = jnp.zeros((u.shape[1], u.shape[1])).at[rows, columns].set(of_pairs)
    return Quadratic(slope, upper + upper.T - jnp.diag(jnp.diagonal(upper)))


def gaussian(quadratic: Quadratic) -> tuple[Float[Array, " D"], Float[Array, "D D"]]:
    """Mean and covariance of N(0, I) times as much of exp(quadratic) as leaves a precision."""
    identity = jnp.eye(len(quadratic.slope))

    def of_share(share: Float[Array, ""]) -> Float[Array, "D D"]:
        excess = (1.0 - _LEAST_PRECISION) * identity + share * quadratic.curvature
        return cholesky(excess)

    # A factor of what is not positive definite is not finite.
    valid = jnp.all(jnp.isfinite(jax.lax.map(of_share, _SHARES)), axis=(1, 2))
    share = _SHARES[jnp.argmax(valid)]
    root = triangular_inverse(cholesky(identity + share * quadratic.curvature))
    covariance = root.T @ root
    return covariance @ (share * quadratic.slope), covariance


@dataclasses.dataclass(frozen=True)
class FromQuadratics:
    """share r + (1 - share) N, the Gaussian fitted to K particles of r, which count as passes."""

    share: float = 0.25
    powers: tuple[float, ...] = (1.0,)

    def __call__(self, draws: Draws) -> Scored:
        """K fresh particles of the mixture."""
        posterior = draws.from_r().posterior
        assert posterior.drawn is not None  # all particles are one chunk here
        own = own_moments(draws.r, lambda: posterior)
        particles, _, log_w = posterior.drawn
        z = jax.vmap(lambda z: ravel_pytree(z)[0])(particles)
        scale = jnp.sqrt(own.variance)
        quadratic = fitted((z - own.mean) / scale, log_w)
        mean, covariance = gaussian(quadratic)
        s = of_kind(draws.r, own.mean + scale * mean, scale[:, None] * covariance * scale)
        mixture = Mixture(s, draws.r, jnp.asarray(self.share))
        return draws.draw(draws.key_s, mixture, draws.num_particles)
