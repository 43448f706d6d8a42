"""Proposals by the curvature of the posterior (`particles.curvature`)."""

import dataclasses

import jax.numpy as jnp

from remjax.errors import InputError
from remjax.methods.draws import Draws, Scored
from remjax.methods.proposals import from_r
from remjax.particles.curvature import check_curvature, passes
from remjax.particles.moments import of_mixture


@dataclasses.dataclass(frozen=True)
class FromCurvature:
    """A Gaussian by the curvature of the posterior, and r.

    Attributes:
        steps: towards the posterior.
        share: of r.
        inflation: of the covariance.
        largest_cost: passes of the steps for each particle, at most.
    """

    steps: int
    share: float
    inflation: float
    largest_cost: float

    @property
    def powers(self) -> tuple[float, ...]:
        """Where the moments of r have no closed form the plain ones of its particles serve."""
        return (1.0,)

    def __call__(self, draws: Draws) -> Scored:
        """K particles of the mixture, or of r where the mixture costs too much."""
        check_curvature(draws.joint, draws.r)
        if not self.pays(draws):
            return draws.of(from_r)
        mixture = draws.curved(self.steps).beside(draws.r, self.share, self.inflation)
        return draws.draw(draws.key_s, mixture, draws.num_particles)

    def pays(self, draws: Draws) -> bool:
        """Whether the steps cost no more than `largest_cost` passes for each particle."""
        return passes(draws.num_latents, self.steps) <= self.largest_cost * draws.num_particles

    def __str__(self) -> str:
        """As the tables have it."""
        return f"{self.share:g} r + {1.0 - self.share:g} g"


@dataclasses.dataclass(frozen=True)
class TaughtByCurvature:
    """The particles of a proposal by curvature, with the moments of its Gaussian in part.

    sum_k w_k log r(z_k) of a Gaussian r is a function of the particles' mean and covariance, so
    with those of g in their place `inclusive_kl` ascends E_g[log r(z)], which is -KL(g || r) up to
    a constant, in closed form and without the noise of the few particles that have weight.

    Attributes:
        curvature: the proposal.
        gaussian_share: of g, not inflated, in the mixture whose moments are taken; the weighted
            particles are the rest.
    """

    curvature: FromCurvature
    gaussian_share: float

    @property
    def powers(self) -> tuple[float, ...]:
        """As the proposal's."""
        return self.curvature.powers

    def __call__(self, draws: Draws) -> Scored:
        """The E-step of the proposal; where that is r's, nothing is changed.

        Raises:
            InputError: for an r whose expected log density is no function of the moments.
        """
        scored = draws.of(self.curvature)
        if not self.curvature.pays(draws):
            return scored
        posterior, g, share = (
            scored.posterior,
            draws.curved(self.curvature.steps),
            self.gaussian_share,
        )
        if draws.r.expected_log_prob(g.mean, g.covariance) is None:
            raise InputError(
                f"gaussian_share is {share}, and E[log r(z)] of a {type(draws.r).__name__} has no "
                "closed form: leave it at 0, or take one layer of Gaussian latents"
            )
        weighted, taught = (posterior.mean, posterior.covariance), (g.mean, g.covariance)
        mean, covariance = of_mixture(jnp.asarray(share), weighted, taught)
        moments = posterior.moments
        moments = moments._replace(
            mean=moments.mean.at[0].set(mean), covariance=moments.covariance.at[0].set(covariance)
        )
        return scored._replace(posterior=dataclasses.replace(posterior, moments=moments))

    def __str__(self) -> str:
        """As the tables have it."""
        return f"{self.gaussian_share:g} g + {1.0 - self.gaussian_share:g} of {self.curvature}"


def from_curvature(
    steps: int = 3, share: float = 0.25, inflation: float = 1.2, largest_cost: float = 2.0
) -> FromCurvature:
    """Proposal: share r + (1 - share) N(mu, inflation Lambda^-1), by the curvature of log p(x, z).

    mu and Lambda come from `steps` averaged Gauss-Newton steps that begin at r's moments
    (`particles.curvature.curvature`), which cost steps (D + 2) passes through the decoder however
    many particles follow. r keeps the weights bounded where the posterior is not a Gaussian
    (defensive mixture, Hesterberg 1995). With fewer than steps (D + 2) / largest_cost particles r
    alone is the proposal: 33 of them for D = 20 at the defaults.

    Args:
        steps: at least 1.
        share: of r, above 0 and below 1.
        inflation: factor of the covariance, for tails that are heavier than a Gaussian's.
        largest_cost: passes that the steps may cost for each of the K particles; infinity to take
            them whatever they cost.

    Raises:
        InputError: for other numbers; at the first estimate, for a model without `Model.decoded`,
            or discrete latents.
    """
    if not largest_cost > 0.0:
        raise InputError(f"largest_cost is {largest_cost}: give a positive number of passes")
    if steps < 1:
        raise InputError(f"steps is {steps}: give at least 1")
    if not 0.0 < share < 1.0:
        raise InputError(f"share is {share}: give the share of r, above 0 and below 1")
    if not inflation > 0.0:
        raise InputError(f"inflation is {inflation}: give a positive factor, such as 1.2")
    return FromCurvature(steps, share, inflation, largest_cost)
