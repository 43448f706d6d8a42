"""How the covariance of s(z) is made of weighted particles, and the mean that goes with it.

s is the distribution of the kind of r that matches the particles of r. The covariance decides
whether REM works: when the effective sample size is below the dimension the weighted moments know
little of the posterior. So it is a named choice, a `Covariance`: the powers of the weights whose
moments it needs, and the function that makes a mean and a covariance of them. It is a value: two
that are made alike are equal. Of bits and categories the mean alone matters.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from remjax.particles.moments import Moments

MeanAndCovariance = tuple[Float[Array, " D"], Float[Array, "D D"]]


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
    match: Callable[[Moments, MeanVariance, int], MeanAndCovariance]

    def __str__(self) -> str:
        """Its name."""
        return self.match.__name__.removeprefix("_")


def weighted() -> Covariance:
    """The weighted covariance (Dieng & Paisley 2019, Eq. 18)."""
    return Covariance((1.0,), _weighted)


def unweighted() -> Covariance:
    """The plain scatter around the weighted mean, times K / (K - 1), as the authors' code has it.

    It copies the spread of the proposal and not of the posterior: its expectation is Cov(r) +
    (mean_r - mu)(mean_r - mu)^T.
    """
    return Covariance((1.0, 0.0), _unweighted)


def shrunk() -> Covariance:
    """The weighted covariance shrunk toward the proposal's: (1 - g) Sigma + g diag(variance_r).

    With g = D / (ESS + D), around the weighted mean. For an s beside r (`rem_pooled`,
    `rem_mixture`): where few particles have weight it searches around the heaviest of them. Alone
    it is too wide there, because r, fitted to particles as far apart as its own around one of them,
    grows: `rem_v1` diverges at K = 5 and D = 20. See `shrunk_with_mean`.
    """
    return Covariance((1.0,), _shrunk)


def shrunk_with_mean() -> Covariance:
    """The weighted mean and covariance both shrunk toward the proposal's, by g = D / (ESS + D).

    mean = (1 - g) mu + g mean_r, covariance = (1 - g) Sigma + g diag(variance_r) + g (1 - g) d d^T
    with d = mu - mean_r: the moments of the mixture (1 - g) N(mu, Sigma) + g r. An r that is fitted
    to it does not grow, however few particles have weight.
    """
    return Covariance((1.0,), _shrunk_with_mean)


def tempered(
    powers: tuple[float, ...] = (1.0, 0.7, 0.5, 0.35, 0.25, 0.17, 0.12, 0.06, 0.0),
) -> Covariance:
    """The covariance under the least tempered weights w^power whose ESS reaches 2 D.

    Where no power does (K < 2 D), the plain covariance, power 0, serves.

    Args:
        powers: the ladder, from 1 down to 0.
    """
    return Covariance(powers, _tempered)


def _weighted(moments: Moments, _proposal: MeanVariance, _num_particles: int) -> MeanAndCovariance:
    return moments.mean[0], moments.covariance[0]


def _unweighted(moments: Moments, _proposal: MeanVariance, num_particles: int) -> MeanAndCovariance:
    shift = moments.mean[1] - moments.mean[0]
    scatter = moments.covariance[1] + jnp.outer(shift, shift)
    return moments.mean[0], scatter * (num_particles / max(num_particles - 1, 1))


def _shrinkage(moments: Moments) -> Float[Array, ""]:
    """The intensity g = D / (ESS + D), as if D particles of the proposal were added.

    It goes to one as the effective sample size falls below the dimension, where the weighted
    covariance is singular, and to zero as the particles come to know the posterior.
    """
    dimension = moments.mean.shape[-1]
    return dimension / (moments.ess[0] + dimension)


def _shrunk(moments: Moments, proposal: MeanVariance, _num_particles: int) -> MeanAndCovariance:
    share = _shrinkage(moments)
    covariance = (1.0 - share) * moments.covariance[0] + share * jnp.diag(proposal.variance)
    return moments.mean[0], covariance


def _shrunk_with_mean(
    moments: Moments, proposal: MeanVariance, num_particles: int
) -> MeanAndCovariance:
    share = _shrinkage(moments)
    mean, within = _shrunk(moments, proposal, num_particles)
    shift = proposal.mean - mean
    return mean + share * shift, within + share * (1.0 - share) * jnp.outer(shift, shift)


def _tempered(moments: Moments, proposal: MeanVariance, _num_particles: int) -> MeanAndCovariance:
    enough = (moments.ess >= 2.0 * proposal.mean.shape[0]).at[-1].set(True)
    return moments.mean[0], moments.covariance[jnp.argmax(enough)]
