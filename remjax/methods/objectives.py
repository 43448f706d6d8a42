"""What theta and eta ascend: objectives and hyperobjectives.

An objective returns either a number or the function of one particle that is to be summed over the
particles. That function closes over what carries the gradient.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PyTree

from remjax.distributions.base import Distribution
from remjax.errors import InputError
from remjax.particles.posterior import Particle, Posterior
from remjax.types import Joint

# A summand gives a scalar; those whose sums are put together over the batch give a pytree of them.
Summand = Callable[[Particle], PyTree[Float[Array, ""]]]
Ascent = Summand | Float[Array, ""]
Objective = Callable[[Posterior, Joint], Ascent]
Hyperobjective = Callable[[Posterior, Joint, Distribution], Ascent]


def expected_complete_log_likelihood(_posterior: Posterior, joint: Joint) -> Summand:
    """sum_k weights_k log p_theta(x, z_k): what EM ascends (Dieng & Paisley 2019, Eqs. 9-10).

    Its gradient is that of L_K with respect to theta (Burda et al. 2015, Eq. 14).
    """
    return lambda particle: _weighted(particle.weight, joint(particle.z))


def evidence_lower_bound(_posterior: Posterior, joint: Joint) -> Summand:
    """1/K sum_k log p_theta(x, z_k): the part of the ELBO that moves theta (Eq. 1)."""
    return lambda particle: joint(particle.z) / particle.num_particles


def inclusive_kl(posterior: Posterior, _joint: Joint, r: Distribution) -> Ascent:
    """sum_k weights_k log r_eta(z_k | x), minus KL(p || r) up to a constant (Eqs. 12-15).

    Where log r depends on the particles through their mean and covariance alone (Gaussians), the
    streamed moments give the sum over all K exactly, whatever `keep` is, and no particle is drawn
    a second time.
    """
    closed = r.expected_log_prob(posterior.mean, posterior.covariance)
    if closed is not None:
        return jnp.where(posterior.ess == 0.0, 0.0, closed)
    return lambda particle: _weighted(particle.weight, r.log_prob(particle.z))


def importance_weighted_bound(_posterior: Posterior, joint: Joint, r: Distribution) -> Summand:
    """The gradient of L_K in eta: sum_k weights_k log w(z_k(eta)) (Burda et al. 2015, Eq. 14).

    Pathwise: the particles must come from r itself.
    """

    def summand(particle: Particle) -> Float[Array, ""]:
        z = particle.z_along(r)
        return _weighted(particle.weight, joint(z) - r.log_prob(z))

    return summand


def path_derivative(
    weigh: Callable[[Float[Array, ""]], Float[Array, ""]],
) -> Hyperobjective:
    """sum_k weigh(weights_k) log w(z_k(eta)), eta moving z_k alone and not log r itself.

    The total derivative of log w(z_k(eta)) in eta has a part through z_k and a part, minus the
    score of r, at fixed z_k. This is the first: the parameters of r are frozen inside log r. With
    an exact posterior log w does not depend on z, and the gradient is zero for every draw.

    Args:
        weigh: the normalised weight of a particle -> what multiplies its path derivative. The named
            choices: w^2 (DReG), w (STL) and w (1 - w) (RWS-DReG).

    Returns:
        The hyperobjective. Pathwise: the particles must come from r itself.
    """

    def hyperobjective(_posterior: Posterior, joint: Joint, r: Distribution) -> Ascent:
        frozen = lax.stop_gradient(r)

        def summand(particle: Particle) -> Float[Array, ""]:
            z = particle.z_along(r)
            return _weighted(weigh(particle.weight), joint(z) - frozen.log_prob(z))

        return summand

    return hyperobjective


def exclusive_kl(_posterior: Posterior, joint: Joint, r: Distribution) -> Summand:
    """1/K sum_k log w(z_k(eta)), minus KL(r || p) up to a constant, by Monte Carlo (Eq. 1).

    Pathwise: the particles must come from r itself.
    """

    def summand(particle: Particle) -> Float[Array, ""]:
        z = particle.z_along(r)
        return (joint(z) - r.log_prob(z)) / particle.num_particles

    return summand


def exclusive_kl_analytic(_posterior: Posterior, joint: Joint, r: Distribution) -> Summand:
    """1/K sum_k log p(x | z_k(eta)) - KL(r || prior), the divergence in closed form (Eq. 1).

    Pathwise: the particles must come from r itself. Needs `Model.prior`.
    """
    divergence = None if joint.prior is None else r.kl_divergence(joint.prior)
    if divergence is None:
        raise InputError(
            "KL(r || prior) has no closed form here: give Model.prior and a diagonal Gaussian r, "
            "or take it by Monte Carlo"
        )

    def summand(particle: Particle) -> Float[Array, ""]:
        return (joint.log_likelihood(particle.z_along(r)) - divergence) / particle.num_particles

    return summand


def _weighted(weight: Float[Array, ""], value: Float[Array, ""]) -> Float[Array, ""]:
    """Weight times value, 0 for an impossible particle, whose value is -inf. NaN stays NaN."""
    return jnp.where(weight == 0.0, 0.0, weight * value)
