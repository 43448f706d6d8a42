"""The control variate of L_K's score that is optimal for many particles, or for few that matter."""

from typing import Unpack

import jax.numpy as jnp
from jaxtyping import Array, Float

from remjax.errors import InputError
from remjax.methods.objectives import expected_complete_log_likelihood
from remjax.methods.score_function import (
    LearningSignal,
    ScoreOptions,
    check_two,
    score_function,
)
from remjax.particles.posterior import Particle, Posterior
from remjax.types import Estimator, Model, Recognition


def ovis(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    gamma: float = 1.0,
    **options: Unpack[ScoreOptions],
) -> Estimator:
    """The asymptotically optimal control variate of L_K's score (Lievin et al. 2020, Eq. 17).

    Both networks ascend L_K, eta by sum_k (d_k - c_k) grad log r(z_k). gamma = 1 is for weights
    that are spread over many particles: the signal-to-noise ratio of eta grows with K, with a bias
    of sum_k weights_k grad log r(z_k), the direction of `rws`. gamma = 0 is for weights that rest
    on a few: unbiased, as c_k knows nothing of particle k.

    Args:
        model: p_theta(x, z).
        recognition: r_eta(z | x), of any kind.
        num_particles: K, at least 2.
        gamma: from 0 to 1.
        options: as in `score_function`.

    Raises:
        InputError: for fewer than two particles, or another gamma.
    """
    check_two(num_particles, "ovis")
    if not 0.0 <= gamma <= 1.0:
        raise InputError(f"gamma is {gamma}: give a number from 0 to 1")
    return score_function(
        model,
        recognition,
        num_particles=num_particles,
        objective=expected_complete_log_likelihood,
        learning_signal=above_the_bound_of_the_others(gamma),
        **options,
    )


def above_the_bound_of_the_others(gamma: float) -> LearningSignal:
    """OVIS: L - L_-k - (1 - gamma) (weights_k + log(1 - 1/K)), L_-k the bound of the K - 1 others.

    d_k = L - weights_k less the control variate c_k = L_-k - gamma weights_k
    + (1 - gamma) log(1 - 1/K) (Lievin et al. 2020, Eq. 17).
    """

    def learning_signal(posterior: Posterior, particle: Particle) -> Float[Array, ""]:
        count = float(particle.num_particles)
        others = posterior.log_total_of_others(particle) - jnp.log(count - 1.0)
        own = (1.0 - gamma) * (particle.weight + jnp.log(1.0 - 1.0 / count))
        return jnp.where(posterior.ess == 0.0, 0.0, posterior.log_evidence - others - own)

    return learning_signal
