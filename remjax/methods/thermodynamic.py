"""The thermodynamic variational objective: a path from r to the posterior, in a few steps."""

import itertools

import numpy as np
from jaxtyping import Array, Float

from remjax.distributions.base import Distribution
from remjax.errors import InputError
from remjax.methods.composition import compose
from remjax.methods.objectives import Ascent, Hyperobjective, Objective
from remjax.methods.proposals import from_r_with
from remjax.particles.posterior import Particle, Posterior
from remjax.types import Estimator, Joint, Model, Recognition


def tvo(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    num_partitions: int = 5,
    first_beta: float = 0.025,
    chunk_size: int | None = None,
) -> Estimator:
    """Both networks ascend the thermodynamic variational objective (Masrani, Le & Wood 2019).

    sum_j (beta_{j+1} - beta_j) E_j[log w], a left Riemann sum of log p(x) and so a lower bound of
    it, where E_j is over pi_j, proportional to r^(1 - beta_j) p^beta_j: the evidence lower bound is
    its first step. One set of particles of r serves all steps, with weights v_kj proportional to
    w_k^beta_j. The gradient of a step is E_j[grad log w] plus the covariance of grad log pi_j with
    log w (their Eq. 12), times K / (K - 1) as for any covariance of K draws. The normalised weights
    make a bias of order 1/K, and none in the first step. No path through z: it serves latents of
    any kind.

    Args:
        model: p_theta(x, z).
        recognition: r_eta(z | x), of any kind.
        num_particles: K, at least 2.
        num_partitions: J, steps of the sum; 1 is the evidence lower bound.
        first_beta: beta_1; beta_0 is 0, and from beta_1 to beta_J = 1 the steps are even in log
            beta. Of no effect with one partition.
        chunk_size: particles per datapoint in memory at a time.

    Raises:
        InputError: for fewer than two particles, no partition, or a beta_1 that is not between 0
            and 1.
    """
    if num_particles < 2:
        raise InputError("tvo compares each particle with their mean: give num_particles=2 or more")
    if num_partitions < 1:
        raise InputError(f"num_partitions is {num_partitions}: give 1 or more")
    if not 0.0 < first_beta < 1.0:
        raise InputError(f"first_beta is {first_beta}: give a number above 0 and below 1")
    later = np.geomspace(first_beta, 1.0, num_partitions) if num_partitions > 1 else [1.0]
    betas = (0.0, *map(float, later))
    steps = tuple((low, high - low) for low, high in itertools.pairwise(betas))
    proposal = from_r_with(*betas[:-1])
    return compose(
        model,
        recognition,
        num_particles=num_particles,
        objective=_of_theta(steps),
        proposal=proposal,
        hyperobjective=_of_eta(steps),
        hyperproposal=proposal,
        chunk_size=chunk_size,
    )


# (beta_j, beta_{j+1} - beta_j) of every step.
_Steps = tuple[tuple[float, float], ...]


def _excess(posterior: Posterior, particle: Particle, beta: float) -> Float[Array, ""]:
    """K / (K - 1) times log w_k less its mean under pi_j, nats."""
    count = particle.num_particles
    return count / (count - 1) * (particle.log_w - posterior.mean_log_w(beta))


def _of_theta(steps: _Steps) -> Objective:
    """sum_j step_j sum_k v_kj (1 + beta_j (log w_k - E_j[log w])) log p(x, z_k)."""

    def objective(posterior: Posterior, joint: Joint) -> Ascent:
        def summand(particle: Particle) -> Float[Array, ""]:
            signal = sum(
                step
                * posterior.tempered(particle, beta)
                * (1.0 + (beta * _excess(posterior, particle, beta) if beta else 0.0))
                for beta, step in steps
            )
            return signal * joint(particle.z)

        return summand

    return objective


def _of_eta(steps: _Steps) -> Hyperobjective:
    """sum_j step_j sum_k v_kj ((1 - beta_j) (log w_k - E_j[log w]) - 1) log r(z_k)."""

    def hyperobjective(posterior: Posterior, _joint: Joint, r: Distribution) -> Ascent:
        def summand(particle: Particle) -> Float[Array, ""]:
            signal = sum(
                step
                * posterior.tempered(particle, beta)
                * ((1.0 - beta) * _excess(posterior, particle, beta) - 1.0)
                for beta, step in steps
            )
            return signal * r.log_prob(particle.z)

        return summand

    return hyperobjective
