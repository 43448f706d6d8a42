"""Objectives are sums over particles: a weight times a term.

    Sum(Normalized(), log_joint)     sum_k w_k log p(x, z_k)

A `Weight` says how much a particle counts and carries no gradient; a term carries the gradients:
log p(x, z), log r(z | x), or log p - log r along the draw. Most methods differ in these two alone.
"""

import abc
import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
from jax import lax
from jaxtyping import PyTree

from remjax.distributions.base import Distribution
from remjax.methods.sum_weights import Scalar, Weight, formula
from remjax.particles.posterior import Particle, Posterior
from remjax.types import Joint

# A summand gives a scalar; those whose sums are put together over the batch give a pytree of them.
Summand = Callable[[Particle], PyTree[Scalar]]
Ascent = Summand | Scalar


class Objective(abc.ABC):
    """What one of the two sets of parameters ascends; a frozen value, equal to one made alike.

    theta's objective is given the joint density with the gradient of theta and an r without
    gradient; eta's a joint without and an r with the gradient of eta.
    """

    @property
    def keeps(self) -> bool:
        """Whether M particles chosen by their weights stand for all with little variance.

        They do in a sum under the normalised weights, and not in an average over all alike.
        """
        return False

    @property
    def moves(self) -> tuple[str, ...]:
        """Of theta and eta those that it depends on: it can serve as their objective."""
        return ("theta", "eta")

    @property
    def fewest(self) -> int:
        """The fewest particles that it can do with."""
        return 1

    @property
    def powers(self) -> tuple[float, ...]:
        """The powers of the weights whose moments it reads from the posterior, besides 1."""
        return ()

    @property
    def serves_unnormalized(self) -> bool:
        """Whether r may be one that is not normalised (`Distribution.is_normalized`).

        It may where a factor common to all weights changes nothing, and log r(z) is either held
        fixed or has coefficients that sum to a fixed number.
        """
        return False

    @property
    def is_pathwise(self) -> bool:
        """Whether its gradient in eta passes through the draws of r.

        It alone can make use of relaxed bits (`Distribution.is_relaxed`).
        """
        return False

    @abc.abstractmethod
    def __call__(self, posterior: Posterior, joint: Joint, r: Distribution) -> Ascent:
        """A number, or the function of one particle that is to be summed over the particles."""


# (log p(x, .), r, one particle) -> what is weighted, nats.
Term = Callable[[Joint, Distribution, Particle], Scalar]


def log_joint(joint: Joint, _r: Distribution, particle: Particle) -> Scalar:
    """log p(x, z)."""
    return joint(particle.z)


def log_r(_joint: Joint, r: Distribution, particle: Particle) -> Scalar:
    """log r(z)."""
    return r.log_prob(particle.z)


def log_w_along_draw(joint: Joint, r: Distribution, particle: Particle) -> Scalar:
    """log w(z(eta)).

    log p(x, z) - log r(z | x), pathwise: z = z(eta) moves with r, and the particles must come from
    r itself.
    """
    return joint.log_w(particle.z_along(r), r)


def log_w_along_path(joint: Joint, r: Distribution, particle: Particle) -> Scalar:
    """log w(z(eta)), r fixed.

    The total derivative of log w(z(eta)) in eta has a part through z and a part, minus the score of
    r, at fixed z. This is the first: the parameters of r are frozen inside log r. With an exact
    posterior log w does not depend on z, and the gradient is zero for every draw. Pathwise: the
    particles must come from r itself.
    """
    return joint.log_w(particle.z_along(r), lax.stop_gradient(r))


@dataclasses.dataclass(frozen=True)
class Sum(Objective):
    """sum_k weight_k term(z_k), over the particles of an E-step.

    A particle of weight 0 adds nothing, even where its term is -inf. NaN stays NaN.

    Attributes:
        weight: of a particle; a `Weight`, or any function (posterior, particle) -> number.
        term: what is weighted.
    """

    weight: Callable[[Posterior, Particle], Scalar]
    term: Term

    @property
    def keeps(self) -> bool:
        """As its weight; not known of a mere function."""
        return getattr(self.weight, "keeps", False)

    @property
    def moves(self) -> tuple[str, ...]:
        """log p(x, z) depends on theta alone, log r(z) on eta alone; others on both."""
        return {log_joint: ("theta",), log_r: ("eta",)}.get(self.term, ("theta", "eta"))

    @property
    def fewest(self) -> int:
        """As its weight."""
        return getattr(self.weight, "fewest", 1)

    @property
    def powers(self) -> tuple[float, ...]:
        """As its weight."""
        return getattr(self.weight, "powers", ())

    @property
    def serves_unnormalized(self) -> bool:
        """By its weight, and by whether the term differentiates log r at a fixed z."""
        fixed = self.term in (log_joint, log_w_along_path)
        return getattr(self.weight, "is_share", False) and (
            fixed or getattr(self.weight, "has_fixed_sum", False)
        )

    @property
    def is_pathwise(self) -> bool:
        """Terms at a fixed z are not."""
        return self.term not in (log_joint, log_r)

    def __call__(self, posterior: Posterior, joint: Joint, r: Distribution) -> Summand:
        """The summand of one particle."""

        def summand(particle: Particle) -> Scalar:
            weight = self.weight(posterior, particle)
            return jnp.where(weight == 0.0, 0.0, weight * self.term(joint, r, particle))

        return summand

    def __str__(self) -> str:
        """The summand as a formula."""
        weight = self.weight if isinstance(self.weight, Weight) else formula(self.weight)
        return f"{weight} {formula(self.term)}"


@dataclasses.dataclass(frozen=True)
class Blend(Objective):
    """share first + (1 - share) second, of two objectives that are sums over particles.

    Attributes:
        share: of the first, from 0 to 1.
        first: an objective.
        second: another.
    """

    share: float
    first: Sum
    second: Sum

    @property
    def serves_unnormalized(self) -> bool:
        """Where both do."""
        return self.first.serves_unnormalized and self.second.serves_unnormalized

    @property
    def is_pathwise(self) -> bool:
        """Where both are."""
        return self.first.is_pathwise and self.second.is_pathwise

    def __call__(self, posterior: Posterior, joint: Joint, r: Distribution) -> Summand:
        """The summand of one particle."""
        one, other = (part(posterior, joint, r) for part in (self.first, self.second))
        return lambda particle: self.share * one(particle) + (1.0 - self.share) * other(particle)

    def __str__(self) -> str:
        """As a formula."""
        return f"{self.share:g} ({self.first}) + {1.0 - self.share:g} ({self.second})"
