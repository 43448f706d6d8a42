"""The variational Renyi bound, from the evidence lower bound to the importance-weighted one."""

import math

from jaxtyping import Array, Float

from remjax.distributions.base import Distribution
from remjax.errors import InputError
from remjax.methods.composition import compose
from remjax.methods.objectives import Ascent, Hyperobjective, Objective
from remjax.methods.proposals import from_r_with
from remjax.particles.posterior import Particle, Posterior
from remjax.types import Estimator, Joint, Model, Recognition


def vr(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    alpha: float = 0.5,
    chunk_size: int | None = None,
) -> Estimator:
    """Both networks ascend the variational Renyi bound (Li & Turner 2016, Eqs. 7 and 15).

    L_alpha = 1/(1 - alpha) E[log 1/K sum_k w_k^(1 - alpha)]. Its gradient is
    sum_k v_k grad log w(z_k(eta)) with v proportional to w^(1 - alpha): the bound of `iwae` at
    alpha 0, the evidence lower bound at alpha 1, and the more cautious the larger alpha.

    Args:
        model: p_theta(x, z).
        recognition: r_eta(z | x), reparameterisable.
        num_particles: K.
        alpha: order of the divergence, any finite number.
        chunk_size: particles per datapoint in memory at a time.

    Raises:
        InputError: for an alpha that is not finite; at the first estimate, for latents without a
            reparameterised draw.
    """
    if not math.isfinite(alpha):
        raise InputError(f"alpha is {alpha}: give a finite number, 0 for iwae and 1 for vae")
    power = 1.0 - alpha
    proposal = from_r_with(power)
    return compose(
        model,
        recognition,
        num_particles=num_particles,
        objective=_tempered_log_joint(power),
        proposal=proposal,
        hyperobjective=_tempered_log_weight(power),
        hyperproposal=proposal,
        chunk_size=chunk_size,
    )


def _tempered_log_joint(power: float) -> Objective:
    def objective(posterior: Posterior, joint: Joint) -> Ascent:
        return lambda particle: posterior.tempered(particle, power) * joint(particle.z)

    return objective


def _tempered_log_weight(power: float) -> Hyperobjective:
    def hyperobjective(posterior: Posterior, joint: Joint, r: Distribution) -> Ascent:
        def summand(particle: Particle) -> Float[Array, ""]:
            z = particle.z_along(r)
            return posterior.tempered(particle, power) * (joint(z) - r.log_prob(z))

        return summand

    return hyperobjective
