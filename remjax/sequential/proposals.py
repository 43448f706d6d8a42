"""Where the particles of a step come from: r_eta(z_t | z_{t-1}, x_t), or an s that matches them."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from remjax.distributions.base import Distribution
from remjax.distributions.gaussian import DiagonalGaussian
from remjax.errors import InputError
from remjax.particles.covariances import Covariance, MeanVariance, shrunk_with_mean
from remjax.particles.matching import match
from remjax.particles.moments import particle_moments
from remjax.types import Latent, Scalar

# Moves and log p(z_t, x_t | z_{t-1}) - log q(z_t), for all K ancestors.
Moved = tuple[Latent, Float[Array, " K"]]


class Step(NamedTuple):
    """One step of a filter, its parameters and its x_t filled in.

    Attributes:
        r: z_{t-1} -> r(z_t | z_{t-1}, x_t).
        log_joint: (z_{t-1}, z_t) -> log p(z_t | z_{t-1}) + log p(x_t | z_t), nats.
        over_particles: a function of one particle -> that of all K, in chunks.
        previous: z_{t-1} of the K ancestors; None at the first step.
        log_w: of the ancestors, nats.
        pathwise: whether draws carry the gradient of r.
    """

    r: Callable[[Latent | None], Distribution]
    log_joint: Callable[[Latent | None, Latent], Scalar]
    over_particles: Callable[[Callable[..., Any]], Callable[..., Any]]
    previous: Latent | None
    log_w: Float[Array, " K"]
    pathwise: bool

    def keys(self, key: Key[Array, ""]) -> Key[Array, " K"]:
        """One for each particle."""
        return jax.random.split(key, self.log_w.shape[0])


class StepProposal(abc.ABC):
    """A proposal of a step. A frozen value; equal where it draws alike."""

    scored: int = 1
    """How many particles the model scores for each that it returns."""
    is_pathwise: bool = False
    """Whether its draws can carry the gradient of r."""

    @abc.abstractmethod
    def __call__(self, key: Key[Array, ""], step: Step) -> Moved:
        """K moves, and the factor of their weights: its expectation is p(x_t | z_{t-1})."""


@dataclasses.dataclass(frozen=True)
class FromR(StepProposal):
    """r."""

    is_pathwise = True

    def __call__(self, key: Key[Array, ""], step: Step) -> Moved:
        """One draw of r for each ancestor."""

        def one(key: Key[Array, ""], previous: Latent | None) -> tuple[Latent, Scalar]:
            r = step.r(previous)
            z = r.rsample(key) if step.pathwise else r.sample(key)
            return z, step.log_joint(previous, z) - r.log_prob(z)

        return step.over_particles(one)(step.keys(key), step.previous)

    def __str__(self) -> str:
        """As the tables have it."""
        return "r"


@dataclasses.dataclass(frozen=True)
class FromMatched(StepProposal):
    """share r + (1 - share) s, s matched at each step.

    Attributes:
        covariance: how s is matched.
        share: of r.
    """

    covariance: Covariance
    share: float
    scored = 2

    def __call__(self, key: Key[Array, ""], step: Step) -> Moved:
        """One draw of the mixture for each ancestor.

        Raises:
            InputError: for an r without mean and variance, or of discrete latents.
        """
        key_r, key_s = jax.random.split(key)
        s = self.matched(key_r, step)

        def one(key: Key[Array, ""], previous: Latent | None) -> tuple[Latent, Scalar]:
            r = step.r(previous)
            loc, scale = _location_and_scale(r)
            coin, noise = jax.random.split(key)
            from_r = jax.random.bernoulli(coin, self.share)
            z = jnp.where(from_r, r.sample(noise), loc + scale * s.sample(noise))
            z = lax.stop_gradient(z)
            log_s = s.log_prob((z - loc) / scale) - jnp.sum(jnp.log(scale))
            log_q = jnp.logaddexp(
                jnp.log(self.share) + r.log_prob(z), jnp.log1p(-self.share) + log_s
            )
            return z, step.log_joint(previous, z) - lax.stop_gradient(log_q)

        return step.over_particles(one)(step.keys(key_s), step.previous)

    def matched(self, key: Key[Array, ""], step: Step) -> Distribution:
        """The distribution of e = (z_t - loc) / scale that matches K particles of r. No gradient.

        Raises:
            InputError: as when called.
        """

        def one(key: Key[Array, ""], previous: Latent | None) -> tuple[Array, Scalar]:
            r = step.r(previous)
            loc, scale = _location_and_scale(r)
            z = r.sample(key)
            return (z - loc) / scale, step.log_joint(previous, z) - r.log_prob(z)

        noise, log_a = step.over_particles(one)(step.keys(key), step.previous)
        log_w, powers = step.log_w + log_a, self.covariance.powers
        moments = particle_moments(log_w, noise, jnp.ones_like(log_w), powers)
        zeros, ones = jnp.zeros(noise.shape[1:]), jnp.ones(noise.shape[1:])
        standard = DiagonalGaussian(zeros, ones)
        own = MeanVariance(zeros, ones)
        return match(standard, moments, own, log_w.shape[0], self.covariance)

    def __str__(self) -> str:
        """As the tables have it."""
        return "s" if self.share == 0.0 else f"{self.share:g} r + {1.0 - self.share:g} s"


def _location_and_scale(r: Distribution) -> tuple[Float[Array, " D"], Float[Array, " D"]]:
    mean, variance = r.mean, r.variance
    if mean is None or variance is None or r.is_discrete:
        raise InputError(
            "s moves the mean and the scale of r, which has none or is discrete: give Gaussians, "
            "or take from_r"
        )
    return mean, jnp.sqrt(variance)


from_r = FromR()
"""Step proposal: r_eta(z_t | z_{t-1}, x_t), one particle for each ancestor."""


def from_matched(covariance: Covariance | None = None, share: float = 0.5) -> FromMatched:
    """Step proposal: share r + (1 - share) s, where s matches K particles of r at this very step.

    REM (Dieng & Paisley 2019, Eqs. 16-18) step by step. The particles of r that matching needs are
    weighted by the ancestors' weights times p(z_t, x_t | z_{t-1}) / r(z_t | z_{t-1}, x_t). What is
    matched is their noise e = (z_t - loc) / scale, by N(mu, Sigma): so s(z_t | z_{t-1}) =
    N(loc + scale mu, scale Sigma scale) keeps how r depends on each ancestor, and moves and turns
    it for all of them alike. With mu = 0 and Sigma = I it is a diagonal Gaussian r again. The K
    particles that go on are drawn afresh, so each step's factor has the expectation
    p(x_t | z_{t-1}), whatever s is, and the evidence stays unbiased. They carry no gradient.

    Args:
        covariance: how s is matched, by default `covariances.shrunk_with_mean()`.
        share: of r among the particles that go on, from 0 (s alone) to below 1; no weight exceeds
            1 / share times what it would be under r (Hesterberg 1995).

    Raises:
        InputError: for another share; at the first step, for an r without mean and variance.
    """
    if not 0.0 <= share < 1.0:
        raise InputError(f"share is {share}: give that of r, from 0 to below 1")
    return FromMatched(shrunk_with_mean() if covariance is None else covariance, share)
