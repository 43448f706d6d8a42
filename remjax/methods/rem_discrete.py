"""Reweighted expectation maximisation for binary latents: s(z) is independent bits, not a Gaussian.

The moments that the Gaussian of Dieng & Paisley 2019 matches (Eqs. 16-18) have, for bits, one part
that matters: their means. With few particles the weighted means are those of the heaviest one;
`from_shrunk_bernoulli` in place of `from_bernoulli` keeps them nearer to r's.
"""

from typing import Unpack

from remjax.methods.composition import ParticleOptions
from remjax.methods.proposals import Proposal, from_bernoulli, from_r
from remjax.methods.rem import rem
from remjax.particles.matching import weighted
from remjax.types import Estimator, Model, Recognition


def rem_v1_bernoulli(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    hyperproposal: Proposal = from_bernoulli,
    **options: Unpack[ParticleOptions],
) -> Estimator:
    """`rem_v1` for binary latents: theta learns from the particles of r, eta from independent bits.

    Arguments as in `rem`; K particles of each.

    Raises:
        InputError: at the first estimate, for latents that are not discrete.
    """
    return rem(
        model,
        recognition,
        num_particles=num_particles,
        proposal=from_r,
        hyperproposal=hyperproposal,
        covariance=weighted(),
        **options,
    )


def rem_v2_bernoulli(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    hyperproposal: Proposal = from_bernoulli,
    **options: Unpack[ParticleOptions],
) -> Estimator:
    """`rem_v2` for binary latents: theta and eta both learn from the independent bits.

    Arguments as in `rem`; K particles of r, from which the bits have their means, and K of them.
    theta learns from the particles that `hyperproposal` draws for eta, unless those are r's.

    Raises:
        InputError: at the first estimate, for latents that are not discrete.
    """
    return rem(
        model,
        recognition,
        num_particles=num_particles,
        proposal=from_bernoulli if hyperproposal is from_r else hyperproposal,
        hyperproposal=hyperproposal,
        covariance=weighted(),
        **options,
    )
