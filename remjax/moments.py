"""Weighted moments of particles, streamed, and the Gaussian s(z) that matches them.

The covariance of s decides whether REM works: when the effective sample size is below the dimension
the weighted moments know little of the posterior. So the covariance is a named choice, a
`Covariance`: the powers of the weights whose moments it needs, and the function that makes a
covariance of them. The moments of weights^0 are the plain ones, those of weights^1 the weighted.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from remjax.distributions import Bernoulli, FullGaussian
from remjax.weights import finite_maximum


def weighted_mean(
    weights: Float[Array, " K"], particles: Float[Array, "K D"]
) -> Float[Array, " D"]:
    """mu = sum_k weights_k z_k (Dieng & Paisley 2019, Eq. 18). The weights are normalised."""
    return jnp.einsum("k,kd->d", weights, particles)


def weighted_covariance(
    weights: Float[Array, " K"], particles: Float[Array, "K D"]
) -> Float[Array, "D D"]:
    """Sigma = sum_k weights_k (z_k - mu)(z_k - mu)^T (Dieng & Paisley 2019, Eq. 18).

    Positive semidefinite, of rank at most K - 1; the weights are normalised. No correction for
    finite K: the weights, not their number, say how much is known.
    """
    centred = particles - weighted_mean(weights, particles)
    return jnp.einsum("k,kd,ke->de", weights, centred, centred)


class Moments(NamedTuple):
    """The running moments of the particles seen so far, under T powers of their weights.

    Merging two of them gives the moments of all particles of both (Chan, Golub & LeVeque 1983), so
    the size does not depend on K, and nothing cancels when the latents lie far from zero. Weights
    are summed relative to the largest (as in an online softmax): the sum of logs that a log-weight
    of -500 nats would round is never formed.

    Attributes:
        largest: max_k of the log of w_k^power; -inf while nothing has weight. Nats.
        total: sum_k w_k^power / exp(largest).
        square: sum_k w_k^(2 power) / exp(2 largest), for the effective sample size.
        log_rest: log of the sum of all w_k^power but one of the largest, relative to exp(largest);
            -inf for none. Where one particle has nearly all the weight, `total` has forgotten the
            others and this has not. Nats.
        log_sum: sum_k log w_k^power, nats.
        mean: the mean of z under weights proportional to w^power.
        covariance: the covariance of z under the same weights.
    """

    largest: Float[Array, " T"]
    total: Float[Array, " T"]
    square: Float[Array, " T"]
    log_rest: Float[Array, " T"]
    log_sum: Float[Array, " T"]
    mean: Float[Array, "T D"]
    covariance: Float[Array, "T D D"]

    @property
    def log_total(self) -> Float[Array, " T"]:
        """log sum_k w_k^power in nats; -inf where nothing has weight."""
        return self.largest + jnp.log(jnp.where(self.total == 0.0, 1.0, self.total))

    @property
    def ess(self) -> Float[Array, " T"]:
        """Effective sample size under each power of the weights; 0 where nothing has weight."""
        return jnp.square(self.total) / jnp.where(self.square == 0.0, 1.0, self.square)


def no_moments(num_powers: int, dimension: int, dtype: jnp.dtype) -> Moments:
    """The moments of no particles at all: the unit of `merge_moments`."""
    return Moments(
        largest=jnp.full((num_powers,), -jnp.inf, dtype),
        total=jnp.zeros((num_powers,), dtype),
        square=jnp.zeros((num_powers,), dtype),
        log_rest=jnp.full((num_powers,), -jnp.inf, dtype),
        log_sum=jnp.zeros((num_powers,), dtype),
        mean=jnp.zeros((num_powers, dimension), dtype),
        covariance=jnp.zeros((num_powers, dimension, dimension), dtype),
    )


def particle_moments(
    log_w: Float[Array, " K"],
    particles: Float[Array, "K D"],
    exists: Float[Array, " K"],
    powers: tuple[float, ...],
) -> Moments:
    """The moments of a chunk of particles under w^power for each power.

    Args:
        log_w: unnormalised log-weights, nats.
        particles: the particles.
        exists: 1 for a particle, 0 for the padding of the last chunk.
        powers: powers of the weights; 0 counts every particle alike, impossible ones too.

    Returns:
        The moments, one row per power.
    """

    def under(power: float) -> Moments:
        tempered = jnp.where(exists > 0.0, log_power(log_w, power), -jnp.inf)
        largest = finite_maximum(tempered)
        w = jnp.exp(tempered - largest)
        total = jnp.sum(w)
        weights = w / jnp.where(total == 0.0, 1.0, total)
        return Moments(
            largest=jnp.max(tempered),
            total=total,
            square=jnp.sum(jnp.square(w)),
            log_rest=_log_sum_exp(_all_but_one_largest(tempered) - largest),
            log_sum=jnp.sum(jnp.where(exists > 0.0, tempered, 0.0)),
            mean=weighted_mean(weights, particles),
            covariance=weighted_covariance(weights, particles),
        )

    return jax.tree.map(lambda *rows: jnp.stack(rows), *[under(power) for power in powers])


def log_power(log_w: Float[Array, "*shape"], power: float) -> Float[Array, "*shape"]:
    """log w^power, nats. 0^0 is 1: an impossible particle counts under power 0 and no other."""
    if power == 0.0:
        return jnp.zeros_like(log_w)
    return jnp.where(log_w == -jnp.inf, -jnp.inf, power * log_w)


def _all_but_one_largest(a: Float[Array, " K"]) -> Float[Array, " K"]:
    return jnp.where(jnp.arange(a.shape[0]) == jnp.argmax(a), -jnp.inf, a)


def _log_sum_exp(a: Float[Array, " K"]) -> Float[Array, ""]:
    """log sum_k exp(a_k), nats; -inf where every a_k is, and no NaN on the way there."""
    largest = finite_maximum(a)
    total = jnp.sum(jnp.exp(a - largest))
    return jnp.where(
        total == 0.0, -jnp.inf, jnp.log(jnp.where(total == 0.0, 1.0, total)) + largest[0]
    )


def merge_moments(a: Moments, b: Moments) -> Moments:
    """The moments of the particles of a and of b together."""
    largest = jnp.maximum(a.largest, b.largest)
    finite = jnp.where(largest == -jnp.inf, 0.0, largest)
    ratio_a, ratio_b = jnp.exp(a.largest - finite), jnp.exp(b.largest - finite)
    total = ratio_a * a.total + ratio_b * b.total
    share = ratio_b * b.total / jnp.where(total == 0.0, 1.0, total)
    shift = b.mean - a.mean
    # The largest of all is that of one side; the other side joins the rest with all it has.
    a_leads = a.largest >= b.largest
    rest_of_leader = jnp.where(a_leads, a.log_rest, b.log_rest)
    other_largest = jnp.where(a_leads, b.largest, a.largest)
    other_total = jnp.where(a_leads, b.total, a.total)
    other_side = other_largest - finite + jnp.log(jnp.where(other_total == 0.0, 1.0, other_total))
    within = (1.0 - share)[:, None, None] * a.covariance + share[:, None, None] * b.covariance
    between = (share * (1.0 - share))[:, None, None] * shift[:, :, None] * shift[:, None, :]
    return Moments(
        largest=largest,
        total=total,
        square=jnp.square(ratio_a) * a.square + jnp.square(ratio_b) * b.square,
        log_rest=jnp.logaddexp(rest_of_leader, other_side),
        log_sum=a.log_sum + b.log_sum,
        mean=a.mean + share[:, None] * shift,
        covariance=within + between,
    )


class Covariance(NamedTuple):
    """A choice of the covariance of s(z).

    Attributes:
        powers: the powers of the weights whose moments are needed; the first is 1.
        match: (moments under those powers, variance of the proposal [D], K) -> covariance [D, D].
    """

    powers: tuple[float, ...]
    match: Callable[[Moments, Float[Array, " D"], int], Float[Array, "D D"]]


def weighted() -> Covariance:
    """The weighted covariance (Dieng & Paisley 2019, Eq. 18)."""
    return Covariance((1.0,), lambda moments, _variance, _num_particles: moments.covariance[0])


def unweighted() -> Covariance:
    """The plain scatter around the weighted mean, times K / (K - 1), as the authors' code has it.

    It copies the spread of the proposal and not of the posterior: its expectation is Cov(r) +
    (mean_r - mu)(mean_r - mu)^T. With one particle there is no scatter.
    """

    def match(
        moments: Moments, _variance: Float[Array, " D"], num_particles: int
    ) -> Float[Array, "D D"]:
        shift = moments.mean[1] - moments.mean[0]
        scatter = moments.covariance[1] + jnp.outer(shift, shift)
        return scatter * (num_particles / max(num_particles - 1, 1))

    return Covariance((1.0, 0.0), match)


def shrunk() -> Covariance:
    """The weighted covariance shrunk toward the proposal's: (1 - g) Sigma + g diag(variance).

    The intensity g = D / (ESS + D) goes to one as the effective sample size falls below the
    dimension, where Sigma is singular, and to zero as the particles come to know the posterior.
    """

    def match(
        moments: Moments, variance: Float[Array, " D"], _num_particles: int
    ) -> Float[Array, "D D"]:
        dimension = variance.shape[0]
        intensity = dimension / (moments.ess[0] + dimension)
        return (1.0 - intensity) * moments.covariance[0] + intensity * jnp.diag(variance)

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
        moments: Moments, variance: Float[Array, " D"], _num_particles: int
    ) -> Float[Array, "D D"]:
        enough = (moments.ess >= 2.0 * variance.shape[0]).at[-1].set(True)
        rung = jnp.argmax(enough)
        return moments.covariance[rung]

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
    moments: Moments, variance: Float[Array, " D"], num_particles: int, covariance: Covariance
) -> FullGaussian:
    """The Gaussian s(z) = N(mu, Sigma) that matches the moments (Dieng & Paisley 2019, Eqs. 16-18).

    The constant epsilon that the paper puts on the diagonal is a thousandth of the proposal's
    standard deviation, so that it means the same at every scale of the latents. Where the weights
    left no information (one particle, or none possible) s has the proposal's variance.

    Args:
        moments: streamed under `covariance.powers`.
        variance: of the proposal that drew the particles.
        num_particles: K.
        covariance: the choice of Sigma.

    Returns:
        s(z). Carries no gradient: s has no parameters of its own.
    """
    sigma = covariance.match(moments, variance, num_particles)
    informed = (num_particles > 1) & (moments.total[0] > 0.0)
    sigma = jnp.where(informed, sigma, jnp.diag(variance))
    factor = scale_tril(sigma, floor=1e-3 * jnp.sqrt(variance))
    return jax.lax.stop_gradient(FullGaussian(moments.mean[0], factor))


def bernoulli_match(moments: Moments, plain: Float[Array, " D"]) -> Bernoulli:
    """Independent bits s(z) with the weighted means of binary particles, kept off 0 and 1.

    means = (1 - g) mu + g plain, with g = D / (ESS + D) as in `shrunk`: the fewer particles have
    weight, the more the bits stay with their proposal's. Then they are clipped to 0.01..0.99, for
    a bit that never varies finds no other value again.

    Args:
        moments: streamed; the first row is that of the weights themselves.
        plain: the means of the bits under the proposal that drew the particles.

    Returns:
        s(z). Carries no gradient: s has no parameters of its own.
    """
    dimension = plain.shape[0]
    intensity = dimension / (moments.ess[0] + dimension)
    mean = (1.0 - intensity) * moments.mean[0] + intensity * plain
    mean = jnp.clip(mean, 0.01, 0.99)
    return jax.lax.stop_gradient(Bernoulli(jnp.log(mean) - jnp.log1p(-mean)))
