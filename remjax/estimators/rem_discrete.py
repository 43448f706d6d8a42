"""Reweighted expectation maximisation for binary latents: s(z) is independent bits, not a Gaussian.

The moments that the Gaussian of Dieng & Paisley 2019 matches (Eqs. 16-18) have, for bits, one part
that matters: their means.
"""

from typing import Unpack

from remjax.estimators.composition import ParticleOptions
from remjax.estimators.proposals import from_bernoulli, from_r
from remjax.estimators.rem import rem
from remjax.matching import weighted
from remjax.types import Estimator, Model, Recognition


def rem_v1_bernoulli(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
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
        hyperproposal=from_bernoulli,
        covariance=weighted(),
        **options,
    )


def rem_v2_bernoulli(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    **options: Unpack[ParticleOptions],
) -> Estimator:
    """`rem_v2` for binary latents: theta and eta both learn from the independent bits.

    Arguments as in `rem`; K particles of r, from which the bits have their means, and K of them.

    Raises:
        InputError: at the first estimate, for latents that are not discrete.
    """
    return rem(
        model,
        recognition,
        num_particles=num_particles,
        proposal=from_bernoulli,
        hyperproposal=from_bernoulli,
        covariance=weighted(),
        **options,
    )
