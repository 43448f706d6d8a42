"""How the covariance of s(z) is regularised, and the mean that goes with it.

s is the distribution of the kind of r that matches the weighted particles of r. The covariance
decides whether REM works: when the effective sample size is below the dimension the weighted
moments know little of the posterior. So it is a named choice, a `Covariance`: the powers of the
weights whose moments it needs, and the function that makes a mean and a covariance of them. It is a
value: two that are made alike are equal. Of bits and categories the mean alone matters.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from remjax.errors import InputError
from remjax.particles.moments import Moments

MeanAndCovariance = tuple[Float[Array, " D"], Float[Array, "D D"]]

_LADDER = (1.0, 0.7, 0.5, 0.35, 0.25, 0.17, 0.12, 0.06, 0.0)


class MeanVariance(NamedTuple):
    """The moments of r itself, of each coordinate of z: what a covariance may lean on.

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
        match: (moments of the particles, a row for each power; moments of r; K) -> a mean and a
            covariance.
    """

    powers: tuple[float, ...]
    match: Callable[[Moments, MeanVariance, int], MeanAndCovariance]

    def __str__(self) -> str:
        """Its name."""
        return getattr(self.match, "__name__", str(self.match)).removeprefix("_")


def weighted() -> Covariance:
    """The weighted covariance (Dieng & Paisley 2019, Eq. 18)."""
    return Covariance((1.0,), _weighted)


def unweighted() -> Covariance:
    """The plain scatter around the weighted mean, times K / (K - 1), as the authors' code has it.

    It copies the spread of r and not of the posterior: its expectation is Cov(r) +
    (mean_r - mu)(mean_r - mu)^T.
    """
    return Covariance((1.0, 0.0), _unweighted)


def shrunk(strength: float = 1.0) -> Covariance:
    """The weighted covariance shrunk toward that of r: (1 - g) Sigma + g diag(variance_r).

    With g = c D / (ESS + c D), around the weighted mean mu. For an s beside r (`rem_pooled`,
    `rem_mixture`): where few particles have weight, it searches around the heaviest of them. Alone
    it is too wide there: its particles spread as far as those of r do, but around one particle of
    r; an r that is fitted to them is wider still, and grows from step to step (`rem_v1` diverges at
    K = 5 and D = 20). See `shrunk_with_mean`.

    Args:
        strength: c, as if c D particles of r were added; 0 is `weighted`.
    """
    return Covariance((1.0,), Shrinkage(strength, with_mean=False))


def shrunk_with_mean(strength: float = 1.0) -> Covariance:
    """The weighted mean and covariance both shrunk toward those of r, by g = c D / (ESS + c D).

    mean = (1 - g) mu + g mean_r, covariance = (1 - g) Sigma + g diag(variance_r) + g (1 - g) d d^T
    with d = mu - mean_r: the moments of the mixture (1 - g) N(mu, Sigma) + g r. An r that is fitted
    to it does not grow, however few particles have weight.

    Args:
        strength: c, as if c D particles of r were added; 0 is `weighted`.
    """
    return Covariance((1.0,), Shrinkage(strength, with_mean=True))


def tempered(powers: tuple[float, ...] = _LADDER) -> Covariance:
    """The covariance under the least tempered weights w^power whose ESS reaches 2 D.

    Where no power does (K < 2 D), the plain covariance, power 0, serves.

    Args:
        powers: the ladder, from 1 down to 0.
    """
    return Covariance(powers, _tempered)


def tempered_with_mean(target_ess: float = 10.0, powers: tuple[float, ...] = _LADDER) -> Covariance:
    """The mean and the covariance both under tempered weights, the covariance then shrunk.

    The weights are w^power with the largest power whose ESS reaches the target; mu and Sigma are
    the moments under them, and (1 - g) Sigma + g diag(variance_r) with g = D / (ESS + D), ESS that
    of the tempered weights, is the covariance. Where few particles have weight it asks more of
    them, and the mean does not sit on the heaviest. Like `shrunk` it is for an s beside r.

    Args:
        target_ess: of the tempered weights, in particles. Where no power reaches it (K below), all
            particles count alike.
        powers: the ladder, from 1 down to 0.

    Raises:
        InputError: for a target below 1.
    """
    if not 1.0 <= target_ess < math.inf:
        raise InputError(f"target_ess is {target_ess}: give a number of particles, such as 10")
    return Covariance(powers, Tempering(target_ess))


@dataclasses.dataclass(frozen=True)
class Shrinkage:
    """What `shrunk` and `shrunk_with_mean` match by.

    g goes to one as the effective sample size falls below the dimension, where the weighted
    covariance is singular, and to zero as the particles come to know the posterior.

    Attributes:
        strength: c.
        with_mean: whether the mean is shrunk too.
    """

    strength: float
    with_mean: bool

    def __call__(
        self, moments: Moments, of_r: MeanVariance, _num_particles: int
    ) -> MeanAndCovariance:
        """The mean and the covariance."""
        mean, added = moments.mean[0], self.strength * moments.mean.shape[-1]
        g = added / (moments.ess[0] + added)
        within = (1.0 - g) * moments.covariance[0] + g * jnp.diag(of_r.variance)
        if not self.with_mean:
            return mean, within
        shift = of_r.mean - mean
        return mean + g * shift, within + g * (1.0 - g) * jnp.outer(shift, shift)

    def __str__(self) -> str:
        """Its name, and the strength where it is not 1."""
        name = "shrunk_with_mean" if self.with_mean else "shrunk"
        return name if self.strength == 1.0 else f"{name}({self.strength:g})"


@dataclasses.dataclass(frozen=True)
class Tempering:
    """What `tempered_with_mean` matches by.

    Attributes:
        target_ess: of the tempered weights.
    """

    target_ess: float

    def __call__(
        self, moments: Moments, of_r: MeanVariance, _num_particles: int
    ) -> MeanAndCovariance:
        """The mean and the covariance."""
        power = jnp.argmax((moments.ess >= self.target_ess).at[-1].set(True))
        dimension = moments.mean.shape[-1]
        g = dimension / (moments.ess[power] + dimension)
        within = (1.0 - g) * moments.covariance[power] + g * jnp.diag(of_r.variance)
        return moments.mean[power], within

    def __str__(self) -> str:
        """Its name, with the target."""
        return f"tempered_with_mean({self.target_ess:g})"


def _weighted(moments: Moments, _of_r: MeanVariance, _num_particles: int) -> MeanAndCovariance:
    return moments.mean[0], moments.covariance[0]


def _unweighted(moments: Moments, _of_r: MeanVariance, num_particles: int) -> MeanAndCovariance:
    shift = moments.mean[1] - moments.mean[0]
    scatter = moments.covariance[1] + jnp.outer(shift, shift)
    return moments.mean[0], scatter * (num_particles / max(num_particles - 1, 1))


def _tempered(moments: Moments, of_r: MeanVariance, _num_particles: int) -> MeanAndCovariance:
    enough = (moments.ess >= 2.0 * of_r.mean.shape[0]).at[-1].set(True)
    return moments.mean[0], moments.covariance[jnp.argmax(enough)]
