"""Where particles come from: frozen values, equal where they draw the same particles.

A proposal is given the E-steps of a datapoint (`draws.Draws`) and chooses one, or runs another. Any
function that does so is a proposal too; as the same particles for theta and eta it counts where it
is the same function.
"""

import abc
import dataclasses
from collections.abc import Callable

import jax.numpy as jnp

from remjax.distributions.mixtures import Balanced, Mixture, Stratified
from remjax.errors import InputError
from remjax.methods.draws import Draws, Scored
from remjax.particles.covariances import Covariance, shrunk, shrunk_with_mean

Proposal = Callable[[Draws], Scored]


@dataclasses.dataclass(frozen=True)
class FromR:
    """r."""

    def __call__(self, draws: Draws) -> Scored:
        """K particles of the recognition network r_eta(z | x)."""
        return draws.from_r()

    def __str__(self) -> str:
        """As the tables have it."""
        return "r"


@dataclasses.dataclass(frozen=True)
class Matching(abc.ABC):
    """A proposal that is made of s, which matches the particles of r.

    Attributes:
        covariance: how s is matched.
    """

    covariance: Covariance

    @property
    def powers(self) -> tuple[float, ...]:
        """The powers of the weights of r's particles whose moments it needs."""
        return self.covariance.powers

    @abc.abstractmethod
    def __call__(self, draws: Draws) -> Scored:
        """The E-step."""


@dataclasses.dataclass(frozen=True)
class FromS(Matching):
    """s alone."""

    def __call__(self, draws: Draws) -> Scored:
        """K particles of s, independent of those that it was matched to."""
        return draws.draw(draws.key_s, draws.matched(self.covariance), draws.num_particles)

    def __str__(self) -> str:
        """As the tables have it; with the covariance where it is not the default."""
        return "s" if self == from_s() else f"s, {self.covariance}"


@dataclasses.dataclass(frozen=True)
class FromMixture(Matching):
    """r and s together."""

    def __call__(self, draws: Draws) -> Scored:
        """The K particles of r and K of s, weighted together by the balance heuristic."""
        r, s = draws.r, draws.matched(self.covariance)
        return draws.draw_beside_r(Balanced(r, s))

    def __str__(self) -> str:
        """As the tables have it."""
        return "r and s together"


@dataclasses.dataclass(frozen=True)
class FromPooled(Matching):
    """r, then the mixture of r and s."""

    def __call__(self, draws: Draws) -> Scored:
        """The K particles of r, and K of the even mixture of r and s, each properly weighted."""
        r, s = draws.r, draws.matched(self.covariance)
        return draws.draw_beside_r(Stratified(r, Balanced(r, s)))

    def __str__(self) -> str:
        """As the tables have it."""
        return "r, r and s together"


@dataclasses.dataclass(frozen=True)
class FromDefensive:
    """r or s, and the prior.

    Attributes:
        defence: the share of the prior.
        covariance: how s is matched; None takes r itself.
    """

    defence: float
    covariance: Covariance | None

    @property
    def powers(self) -> tuple[float, ...]:
        """The powers of the weights of r's particles whose moments it needs."""
        return () if self.covariance is None else self.covariance.powers

    def __call__(self, draws: Draws) -> Scored:
        """K particles of (1 - defence) r + defence p(z), or of s in the place of r.

        Raises:
            InputError: for a model without `Model.prior`.
        """
        if draws.joint.prior is None:
            raise InputError("the defensive proposal draws from the prior: give Model.prior")
        key, part = draws.key, draws.r
        if self.covariance is not None:
            key, part = draws.key_s, draws.matched(self.covariance)
        mixture = Mixture(part, draws.joint.prior, jnp.asarray(self.defence))
        return draws.draw(key, mixture, draws.num_particles)

    def __str__(self) -> str:
        """As the tables have it."""
        part = "r" if self.covariance is None else "s"
        return f"{1.0 - self.defence:g} {part} + {self.defence:g} p(z)"


from_r = FromR()
"""Proposal: the recognition network r_eta(z | x)."""


def from_s(covariance: Covariance | None = None) -> FromS:
    """Proposal: s(z), which matches the weighted particles of r.

    It is of the kind of r: a Gaussian for Gaussians, bits for bits, categories for categories, and
    over all layers of a hierarchy jointly (`particles.matching.match`).

    Args:
        covariance: how it is matched; default `covariances.shrunk_with_mean()`.
    """
    return FromS(shrunk_with_mean() if covariance is None else covariance)


def from_mixture(covariance: Covariance | None = None) -> FromMixture:
    """Proposal: r and s together, all weighted as draws of their even mixture.

    Args:
        covariance: how s is matched; default `covariances.shrunk()`, because r is beside s.
    """
    return FromMixture(shrunk() if covariance is None else covariance)


def from_pooled(covariance: Covariance | None = None) -> FromPooled:
    """Proposal: r, then the even mixture of r and s, each particle weighted by what drew it.

    Args:
        covariance: how s is matched; default `covariances.shrunk()`, because r is beside s.
    """
    return FromPooled(shrunk() if covariance is None else covariance)


def from_defensive(defence: float = 0.2, covariance: Covariance | None = None) -> FromDefensive:
    """Proposal: the mixture (1 - defence) r + defence p(z) (Le et al. 2019), or of s with p(z).

    No weight exceeds p(x | z) / defence, however far r has withdrawn from a part of the posterior,
    and particles of the prior find that part again (Hesterberg 1995). In the paper the second part
    is uniform; the prior serves latents of every kind.

    Args:
        defence: the share of the prior, above 0 and below 1; 0.2 in the paper.
        covariance: how s is matched, which then takes the place of r.

    Raises:
        InputError: for another share; at the first estimate, for a model without `Model.prior`.
    """
    if not 0.0 < defence < 1.0:
        raise InputError(f"defence is {defence}: give the share of the prior, above 0 and below 1")
    return FromDefensive(defence, covariance)
