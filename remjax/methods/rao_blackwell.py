"""The lower bound whose KL term is taken at means, where the draw that came last has one.

log p(z) - log q(z) of Boltzmann machines is linear in each block of units. With the block that was
drawn last at its mean, given the others, the KL term has the same expectation and less noise.
"""

import dataclasses

from remjax.distributions.base import Distribution
from remjax.methods.method import Method
from remjax.methods.proposals import from_r
from remjax.methods.sum_weights import Scalar
from remjax.methods.sums import Objective, Summand
from remjax.particles.posterior import Particle, Posterior
from remjax.types import Joint


@dataclasses.dataclass(frozen=True)
class SmoothedBound(Objective):
    """1/K sum_k log p(x | z_k) + log p(s_k) - log r(s_k), s_k smoothed, r fixed in log r.

    Pathwise: the particles must come from r itself (`Distribution.smoothed`).
    """

    @property
    def serves_unnormalized(self) -> bool:
        """It does: the parameters of r stand still inside log r."""
        return True

    @property
    def is_pathwise(self) -> bool:
        """It is."""
        return True

    def __call__(self, _posterior: Posterior, joint: Joint, r: Distribution) -> Summand:
        """The summand of one particle."""

        def summand(particle: Particle) -> Scalar:
            likelihood = joint.log_likelihood(particle.z_along(r))
            smoothed = r.smoothed(particle.noise)
            divergence = smoothed.log_q - joint.log_prior(smoothed.z)
            return (likelihood - joint.kl_weight * divergence) / particle.num_particles

        return summand

    def __str__(self) -> str:
        """As a formula."""
        return "1/K log p(x | z(eta)) + log p(s) - log r(s), s smoothed, r fixed"


dvae = Method(SmoothedBound(), from_r, SmoothedBound(), from_r)
"""The discrete VAE with a Boltzmann prior, as the code of Vahdat et al. 2019 trains it with K = 1.

Both networks ascend the evidence lower bound by the path through z, with the KL term at the mean of
the block that was drawn last (Rao-Blackwellised, which the paper does not mention) and the decoder
at the draw. Of bits in groups log r is taken at the mean of every group given those before, and
log p at the means of the last (`distributions.Groups`). For an r without such a mean it is the path
derivative of `vae`.
"""
