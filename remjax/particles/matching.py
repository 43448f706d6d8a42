"""The law s(z) that matches the moments of weighted particles: a Gaussian, or independent bits.

The covariance of s decides whether REM works: when the effective sample size is below the dimension
the weighted moments know little of the posterior. So the covariance is a named choice, a
`Covariance`: the powers of the weights whose moments it needs, and the function that makes a
covariance of them, and the mean that goes with it.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from remjax.distributions.bernoulli import Bernoulli
from remjax.distributions.gaussian import FullGaussian
from remjax.particles.moments import Moments


class MeanVariance(NamedTuple):
    """What a covariance may take of the proposal: the moments of each coordinate of z.

    Attributes:
        mean: of each coordinate.
        variance: of each coordinate.
    """

    mean: Float[Array, " D"]
    variance: Float[Array, " D"]


class Covariance(NamedTuple):
    """A choice of the covariance of s(z), with the mean that it is taken around.

    Attributes:
        powers: the powers of the weights whose moments are needed; the first is 1.
        match: (moments under those powers, those of the proposal, K) -> mean, covariance.
    """

    powers: tuple[float, ...]
    match: Callable[[Moments, MeanVariance, int], tuple[Float[Array, " D"], Float[Array, "D D"]]]


def weighted() -> Covariance:
    """The weighted covariance (Dieng & Paisley 2019, Eq. 18)."""

    def match(
        moments: Moments, _proposal: MeanVariance, _num_particles: int
    ) -> tuple[Float[Array, " D"], Float[Array, "D D"]]:
        return moments.mean[0], moments.covariance[0]

    return Covariance((1.0,), match)


def unweighted() -> Covariance:
    """The plain scatter around the weighted mean, times K / (K - 1), as the authors' code has it.

    It copies the spread of the proposal and not of the posterior: its expectation is Cov(r) +
    (mean_r - mu)(mean_r - mu)^T.
    """

    def match(
        moments: Moments, _proposal: MeanVariance, num_particles: int
    ) -> tuple[Float[Array, " D"], Float[Array, "D D"]]:
        shift = moments.mean[1] - moments.mean[0]
        scatter = moments.covariance[1] + jnp.outer(shift, shift)
        return moments.mean[0], scatter * (num_particles / max(num_particles - 1, 1))

    return Covariance((1.0, 0.0), match)


def _shrinkage(moments: Moments) -> Float[Array, ""]:
    """The intensity g = D / (ESS + D), as if D particles of the proposal were added.

    It goes to one as the effective sample size falls below the dimension, where the weighted
    covariance is singular, and to zero as the particles come to know the posterior.
    """
    dimension = moments.mean.shape[-1]
    return dimension / (moments.ess[0] + dimension)


def shrunk() -> Covariance:
    """The weighted covariance shrunk toward the proposal's: (1 - g) Sigma + g diag(variance_r).

    With g = D / (ESS + D), around the weighted mean. For an s beside r (`rem_pooled`,
    `rem_mixture`): where few particles have weight it searches around the heaviest of them. Alone
    it is too wide there, because r, fitted to a law as wide as r around one of its own particles,
    grows: `rem_v1` diverges at K = 5 and D = 20. See `shrunk_with_mean`.
    """

    def match(
        moments: Moments, proposal: MeanVariance, _num_particles: int
    ) -> tuple[Float[Array, " D"], Float[Array, "D D"]]:
        share = _shrinkage(moments)
        covariance = (1.0 - share) * moments.covariance[0] + share * jnp.diag(proposal.variance)
        return moments.mean[0], covariance

    return Covariance((1.0,), match)


def shrunk_with_mean() -> Covariance:
    """The weighted mean and covariance both shrunk toward the proposal's, by g = D / (ESS + D).

    mean = (1 - g) mu + g mean_r, covariance = (1 - g) Sigma + g diag(variance_r) + g (1 - g) d d^T
    with d = mu - mean_r: the moments of the mixture (1 - g) N(mu, Sigma) + g r. An r that is fitted
    to it does not grow, however few particles have weight.
    """

    def match(
        moments: Moments, proposal: MeanVariance, num_particles: int
    ) -> tuple[Float[Array, " D"], Float[Array, "D D"]]:
        share = _shrinkage(moments)
        mean, within = shrunk().match(moments, proposal, num_particles)
        shift = proposal.mean - mean
        return mean + share * shift, within + share * (1.0 - share) * jnp.outer(shift, shift)

    return Covariance((1.0,), match)


def tempered(
    powers: tuple[float, ...] = (1.0, 0.7, 0.5, 0.35, 0.25, 0.17, 0.12, 0.06, 0.0),
) -> Covariance:
    """The covariance under the least tempered weights w^power whose ESS reaches 2 D.

    Where no power does (K < 2 D), the plain covariance, power 0, serves.

    Args:
        powers: the ladder, from 1 down to 0.
    """

    def match(
        moments: Moments, proposal: MeanVariance, _num_particles: int
    ) -> tuple[Float[Array, " D"], Float[Array, "D D"]]:
        enough = (moments.ess >= 2.0 * proposal.mean.shape[0]).at[-1].set(True)
        rung = jnp.argmax(enough)
        return moments.mean[0], moments.covariance[rung]

    return Covariance(powers, match)


def scale_tril(
    covariance: Float[Array, "D D"], floor: Float[Array, " D"] | None = None
) -> Float[Array, "D D"]:
    """A Cholesky factor that exists and is finite for every finite covariance.

    The matrix is scaled to a unit diagonal, C_ij = Sigma_ij / sqrt(Sigma_ii Sigma_jj), a ridge of
    4 D (D + 1) rounding errors is added, and the factor is scaled back. By Demmel's theorem
    (Higham 2002, Theorem 10.7) the factorisation of a matrix so scaled cannot break down once its
    smallest eigenvalue exceeds about D (D + 1) rounding errors, whatever the scale and rank of
    Sigma: 1e-6 and 1e6, duplicates, K below D.

    Args:
        covariance: symmetric, positive semidefinite up to rounding.
        floor: added standard deviation per coordinate (its square goes on the diagonal). Without
            it, a coordinate of zero variance gets the smallest one whose square float32 can hold.

    Returns:
        Lower triangular L with L L^T close to the covariance; positive diagonal. A covariance that
        is not positive semidefinite falls back to its diagonal. Not for differentiation.
    """
    dimension = covariance.shape[0]
    limits = jnp.finfo(covariance.dtype)
    # Beyond the range of floats the fallback is the largest diagonal that they can hold.
    covariance = jnp.clip(covariance, -limits.max, limits.max)
    variance = jnp.maximum(jnp.diagonal(covariance), 0.0)
    if floor is not None:
        variance = jnp.minimum(variance + jnp.square(floor), limits.max)
    scale = jnp.sqrt(jnp.maximum(variance, limits.tiny / limits.eps))
    unit = covariance / scale[:, None] / scale[None, :]
    unit = jnp.where(jnp.eye(dimension, dtype=bool), 1.0, unit)
    ridge = 4.0 * dimension * (dimension + 1) * limits.eps
    factor = jnp.linalg.cholesky(unit + ridge * jnp.eye(dimension), symmetrize_input=False)
    factor = jnp.where(jnp.all(jnp.isfinite(factor)), factor, jnp.eye(dimension))
    return scale[:, None] * factor


def moment_match(
    moments: Moments, proposal: MeanVariance, num_particles: int, covariance: Covariance
) -> FullGaussian:
    """The Gaussian s(z) = N(mu, Sigma) that matches the moments (Dieng & Paisley 2019, Eqs. 16-18).

    The constant epsilon that the paper puts on the diagonal is a thousandth of the proposal's
    standard deviation, so that it means the same at every scale of the latents. Where the weights
    left no information (one particle, or none possible) s has the proposal's mean and variance.

    Args:
        moments: streamed under `covariance.powers`.
        proposal: the moments of the proposal that drew the particles.
        num_particles: K.
        covariance: the choice of Sigma.

    Returns:
        s(z). Carries no gradient: s has no parameters of its own.
    """
    mean, sigma = covariance.match(moments, proposal, num_particles)
    informed = (num_particles > 1) & (moments.total[0] > 0.0)
    mean = jnp.where(informed, mean, proposal.mean)
    sigma = jnp.where(informed, sigma, jnp.diag(proposal.variance))
    factor = scale_tril(sigma, floor=1e-3 * jnp.sqrt(proposal.variance))
    return jax.lax.stop_gradient(FullGaussian(mean, factor))


def bernoulli_match(moments: Moments) -> Bernoulli:
    """Independent bits s(z) with the weighted means mu of binary particles, kept off 0 and 1.

    Clipped to 0.01..0.99, for a bit that never varies finds no other value again. Even bits where
    no particle was possible.

    Args:
        moments: streamed; the first row is that of the weights themselves.

    Returns:
        s(z). Carries no gradient: s has no parameters of its own.
    """
    return _bits(moments, moments.mean[0])


def shrunk_bernoulli_match(moments: Moments, plain: Float[Array, " D"]) -> Bernoulli:
    """`bernoulli_match` with the means shrunk toward the proposal's: (1 - g) mu + g plain.

    With g = D / (ESS + D) as in `shrunk_with_mean`: the fewer particles have weight, the more the
    bits stay with their proposal's.

    Args:
        moments: streamed; the first row is that of the weights themselves.
        plain: the means of the bits under the proposal that drew the particles.

    Returns:
        s(z). Carries no gradient.
    """
    share = _shrinkage(moments)
    return _bits(moments, (1.0 - share) * moments.mean[0] + share * plain)


def _bits(moments: Moments, mean: Float[Array, " D"]) -> Bernoulli:
    # Where no particle was possible nothing is known: even bits.
    mean = jnp.clip(jnp.where(moments.total[0] > 0.0, mean, 0.5), 0.01, 0.99)
    return jax.lax.stop_gradient(Bernoulli(jnp.log(mean) - jnp.log1p(-mean)))
