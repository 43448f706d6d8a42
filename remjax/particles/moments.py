"""Weighted moments of particles, streamed, under powers of their weights.

The moments under weights^0 are the plain ones, those under weights^1 the weighted. Their products
are exact to float32 on every device: accelerators round the factors of others to 10 bits.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from remjax.particles.weights import finite_maximum


def weighted_mean(
    weights: Float[Array, " K"], particles: Float[Array, "K D"]
) -> Float[Array, " D"]:
    """mu = sum_k weights_k z_k (Dieng & Paisley 2019, Eq. 18). The weights are normalised."""
    return jnp.einsum("k,kd->d", weights, particles, precision=lax.Precision.HIGHEST)


def weighted_covariance(
    weights: Float[Array, " K"], particles: Float[Array, "K D"]
) -> Float[Array, "D D"]:
    """Sigma = sum_k weights_k (z_k - mu)(z_k - mu)^T (Dieng & Paisley 2019, Eq. 18).

    Positive semidefinite, of rank at most K - 1; the weights are normalised. No correction for
    finite K: the weights, not their number, say how much is known.
    """
    centred = particles - weighted_mean(weights, particles)
    return jnp.einsum("k,kd,ke->de", weights, centred, centred, precision=lax.Precision.HIGHEST)


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
        mean_log_w: the mean of log w_k under weights proportional to w^power, nats.
        mean: the mean of z under weights proportional to w^power.
        covariance: the covariance of z under the same weights.
    """

    largest: Float[Array, " T"]
    total: Float[Array, " T"]
    square: Float[Array, " T"]
    log_rest: Float[Array, " T"]
    log_sum: Float[Array, " T"]
    mean_log_w: Float[Array, " T"]
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
        mean_log_w=jnp.zeros((num_powers,), dtype),
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
            mean_log_w=jnp.sum(weights * jnp.where(weights > 0.0, log_w, 0.0)),
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
    # The largest of all is that of one side; the other side joins the rest with all it has.
    a_leads = a.largest >= b.largest
    rest_of_leader = jnp.where(a_leads, a.log_rest, b.log_rest)
    other_largest = jnp.where(a_leads, b.largest, a.largest)
    other_total = jnp.where(a_leads, b.total, a.total)
    other_side = other_largest - finite + jnp.log(jnp.where(other_total == 0.0, 1.0, other_total))
    mean, covariance = of_mixture(share, (a.mean, a.covariance), (b.mean, b.covariance))
    return Moments(
        largest=largest,
        total=total,
        square=jnp.square(ratio_a) * a.square + jnp.square(ratio_b) * b.square,
        log_rest=jnp.logaddexp(rest_of_leader, other_side),
        log_sum=a.log_sum + b.log_sum,
        mean_log_w=(1.0 - share) * a.mean_log_w + share * b.mean_log_w,
        mean=mean,
        covariance=covariance,
    )


def of_mixture(
    share: Float[Array, "*T"],
    first: tuple[Float[Array, "*T D"], Float[Array, "*T D D"]],
    second: tuple[Float[Array, "*T D"], Float[Array, "*T D D"]],
) -> tuple[Float[Array, "*T D"], Float[Array, "*T D D"]]:
    """Mean and covariance of (1 - share) first + share second, of the means and covariances."""
    part = share[..., None]
    shift = second[0] - first[0]
    within = (1.0 - part)[..., None] * first[1] + part[..., None] * second[1]
    between = (part * (1.0 - part))[..., None] * shift[..., :, None] * shift[..., None, :]
    return first[0] + part * shift, within + between
