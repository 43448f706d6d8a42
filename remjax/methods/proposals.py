"""Where particles come from: the choices among the E-steps of a datapoint."""

from collections.abc import Callable

import jax.numpy as jnp

from remjax.distributions.mixtures import Mixture
from remjax.errors import InputError
from remjax.methods.draws import Draws
from remjax.particles.posterior import Posterior

Proposal = Callable[[Draws], Posterior]


def from_r(draws: Draws) -> Posterior:
    """Proposal: the recognition network r_eta(z | x)."""
    return draws.r


def from_r_with(*powers: float) -> Proposal:
    """Proposal: r, whose weights are streamed under other powers too (`Posterior.tempered`)."""
    # The power 1, the first row, is that of the log-evidence.
    return lambda draws: draws.draw(
        draws.key, draws.recognition, draws.num_particles, powers=(1.0, *powers)
    )


def from_s(draws: Draws) -> Posterior:
    """Proposal: the moment-matched Gaussian s(z)."""
    return draws.s


def from_mixture(draws: Draws) -> Posterior:
    """Proposal: r and s together, weighted as draws of their even mixture."""
    return draws.mixture


def from_pooled(draws: Draws) -> Posterior:
    """Proposal: r, then the even mixture of r and s, each particle weighted by its own law."""
    return draws.pooled


def from_bernoulli(draws: Draws) -> Posterior:
    """Proposal: s(z) for binary latents, independent bits with the particles' weighted means."""
    return draws.s_bits


def from_shrunk_bernoulli(draws: Draws) -> Posterior:
    """Proposal: those bits, the nearer to r's means the fewer particles have weight."""
    return draws.s_shrunk_bits


def from_defensive(defence: float) -> Proposal:
    """Proposal: the mixture (1 - defence) r + defence p(z) (Le et al. 2019).

    No weight exceeds p(x | z) / defence, however far r has withdrawn from a part of the posterior,
    and particles of the prior find that part again (Hesterberg 1995). In the paper the second law
    is uniform; the prior serves latents of every kind.

    Args:
        defence: the share of the prior, above 0 and below 1; 0.2 in the paper.

    Raises:
        InputError: for another share; at the first estimate, for a model without `Model.prior`.
    """
    if not 0.0 < defence < 1.0:
        raise InputError(f"defence is {defence}: give the share of the prior, above 0 and below 1")

    def proposal(draws: Draws) -> Posterior:
        if draws.joint.prior is None:
            raise InputError("the defensive proposal draws from the prior: give Model.prior")
        law = Mixture(draws.recognition, draws.joint.prior, jnp.asarray(defence))
        return draws.draw(draws.key, law, draws.num_particles)

    return proposal
