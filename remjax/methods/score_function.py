"""Score-function estimators: eta follows log r, times a learning signal; no path through z.

They need samples of r and its log-density, so they serve discrete latents as well as real ones.
What they differ in is the learning signal: how much better a particle is than was to be expected.
"""

from collections.abc import Callable
from typing import TypedDict, Unpack

import jax.numpy as jnp
from jaxtyping import Array, Float

from remjax.distributions.base import Distribution
from remjax.errors import InputError
from remjax.methods.composition import compose
from remjax.methods.objectives import (
    Ascent,
    Hyperobjective,
    Objective,
    evidence_lower_bound,
    expected_complete_log_likelihood,
)
from remjax.methods.proposals import from_r
from remjax.particles.posterior import Particle, Posterior
from remjax.types import Estimator, Joint, Model, Recognition

# (all particles, one of them) -> what multiplies the gradient of its log r, nats.
LearningSignal = Callable[[Posterior, Particle], Float[Array, ""]]
# (all particles, one of them) -> log of a weight for it, guessed from the others, nats.
StandIn = Callable[[Posterior, Particle], Float[Array, ""]]


class ScoreOptions(TypedDict, total=False):
    """The knobs of this family besides K; `score_function` explains them."""

    chunk_size: int | None


def score_function(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    objective: Objective,
    learning_signal: LearningSignal,
    chunk_size: int | None = None,
) -> Estimator:
    """eta ascends sum_k signal_k log r_eta(z_k | x), theta an objective, on particles of r.

    Args:
        model: p_theta(x, z).
        recognition: r_eta(z | x), of any kind.
        num_particles: K.
        objective: what theta ascends: `evidence_lower_bound`, or
            `expected_complete_log_likelihood`, which is the gradient of L_K.
        learning_signal: what multiplies each particle's log r.
        chunk_size: particles per datapoint in memory at a time.
    """
    return compose(
        model,
        recognition,
        num_particles=num_particles,
        objective=objective,
        proposal=from_r,
        hyperobjective=scored(learning_signal),
        hyperproposal=from_r,
        chunk_size=chunk_size,
    )


def scored(learning_signal: LearningSignal) -> Hyperobjective:
    """sum_k signal_k log r_eta(z_k | x); the signals carry no gradient."""

    def hyperobjective(posterior: Posterior, _joint: Joint, r: Distribution) -> Ascent:
        return lambda particle: learning_signal(posterior, particle) * r.log_prob(particle.z)

    return hyperobjective


def log_weight(_posterior: Posterior, particle: Particle) -> Float[Array, ""]:
    """1/K log w_k."""
    return particle.log_w / particle.num_particles


def above_the_others(posterior: Posterior, particle: Particle) -> Float[Array, ""]:
    """1/K (log w_k - 1/(K-1) sum_{j != k} log w_j)."""
    others = posterior.mean_log_w_of_others(particle)
    return (particle.log_w - others) / particle.num_particles


def geometric_mean(posterior: Posterior, particle: Particle) -> Float[Array, ""]:
    """The log of the geometric mean of the other weights (Mnih & Rezende 2016, Eq. 9)."""
    return posterior.mean_log_w_of_others(particle)


def arithmetic_mean(posterior: Posterior, particle: Particle) -> Float[Array, ""]:
    """The log of the arithmetic mean of the other weights."""
    return posterior.log_total_of_others(particle) - jnp.log(particle.num_particles - 1.0)


def bound_without(stand_in: StandIn) -> LearningSignal:
    """VIMCO's signal and the direct part of its gradient: L - L_-k - weights_k.

    L_-k = log 1/K (sum_{j != k} w_j + w^_k), where w^_k stands in for the particle's own weight.
    The last part is that of log w_k = log p - log r, whose log r moves with eta too.
    """

    def learning_signal(posterior: Posterior, particle: Particle) -> Float[Array, ""]:
        others = posterior.log_total_of_others(particle)
        without = jnp.logaddexp(others, stand_in(posterior, particle))
        gain = posterior.log_evidence + jnp.log(float(particle.num_particles)) - without
        return jnp.where(posterior.ess == 0.0, 0.0, gain - particle.weight)

    return learning_signal


def check_two(num_particles: int, method: str) -> None:
    """Raise InputError where a particle has no others to be compared with."""
    if num_particles < 2:
        raise InputError(
            f"{method} compares each particle with the others: give num_particles=2 or more"
        )


def reinforce(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    **options: Unpack[ScoreOptions],
) -> Estimator:
    """The bare score-function estimator of the evidence lower bound (Williams 1992).

    eta follows 1/K sum_k log w_k grad log r_eta(z_k | x): unbiased, and of a variance that only toy
    models bear. Arguments as in `score_function`.
    """
    return score_function(
        model,
        recognition,
        num_particles=num_particles,
        objective=evidence_lower_bound,
        learning_signal=log_weight,
        **options,
    )


def rloo(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    **options: Unpack[ScoreOptions],
) -> Estimator:
    """REINFORCE with the leave-one-out baseline (Kool, van Hoof & Welling 2019).

    Each particle's log w_k is measured against the mean of the others'. Unbiased for the evidence
    lower bound; nothing to learn and nothing to tune. Arguments as in `score_function`.

    Raises:
        InputError: for fewer than two particles.
    """
    check_two(num_particles, "rloo")
    return score_function(
        model,
        recognition,
        num_particles=num_particles,
        objective=evidence_lower_bound,
        learning_signal=above_the_others,
        **options,
    )


def vimco(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    stand_in: StandIn = geometric_mean,
    **options: Unpack[ScoreOptions],
) -> Estimator:
    """Variational inference for Monte Carlo objectives (Mnih & Rezende 2016, Eqs. 5-9).

    Both networks ascend L_K. eta follows sum_k (L - L_-k) grad log r(z_k) + sum_k weights_k grad
    log w_k, unbiased: L_-k knows nothing of particle k. Everything in log space, streamed.

    Args:
        model: p_theta(x, z).
        recognition: r_eta(z | x), of any kind.
        num_particles: K, at least 2.
        stand_in: the weight put in the place of the particle's own: `geometric_mean` (default) or
            `arithmetic_mean`.
        options: as in `score_function`.

    Raises:
        InputError: for fewer than two particles.
    """
    check_two(num_particles, "vimco")
    return score_function(
        model,
        recognition,
        num_particles=num_particles,
        objective=expected_complete_log_likelihood,
        learning_signal=bound_without(stand_in),
        **options,
    )
