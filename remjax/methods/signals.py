"""Learning signals: how much better a particle is than was to be expected, without gradient."""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp

from remjax.methods.sum_weights import Scalar, Weight
from remjax.particles.posterior import Particle, Posterior

# (all particles, one of them) -> log of a weight for it, guessed from the others, nats.
StandIn = Callable[[Posterior, Particle], Scalar]


def geometric_mean(posterior: Posterior, particle: Particle) -> Scalar:
    """The log of the geometric mean of the other weights (Mnih & Rezende 2016, Eq. 9)."""
    return posterior.mean_log_w_of_others(particle)


def arithmetic_mean(posterior: Posterior, particle: Particle) -> Scalar:
    """The log of the arithmetic mean of the other weights."""
    return posterior.log_total_of_others(particle) - jnp.log(particle.num_particles - 1.0)


@dataclasses.dataclass(frozen=True)
class LogWeight(Weight):
    """1/K log w_k."""

    def __call__(self, _posterior: Posterior, particle: Particle) -> Scalar:
        """Of one particle."""
        return particle.log_w / particle.num_particles

    def __str__(self) -> str:
        """As a formula."""
        return "1/K log w"


class _Compared(Weight):
    """A signal that compares each particle with the others."""

    @property
    def fewest(self) -> int:
        """Two: one has no others."""
        return 2


@dataclasses.dataclass(frozen=True)
class AboveTheOthers(_Compared):
    """1/K (log w_k - 1/(K-1) sum_{j != k} log w_j) (Kool, van Hoof & Welling 2019)."""

    def __call__(self, posterior: Posterior, particle: Particle) -> Scalar:
        """Of one particle."""
        others = posterior.mean_log_w_of_others(particle)
        return (particle.log_w - others) / particle.num_particles

    def __str__(self) -> str:
        """As a formula."""
        return "1/K (log w - mean of others)"


@dataclasses.dataclass(frozen=True)
class BoundWithout(_Compared):
    """VIMCO's signal and the direct part of its gradient: L - L_-k - w_k.

    L_-k = log 1/K (sum_{j != k} w_j + w^_k), where w^_k stands in for the particle's own weight.
    The last part is that of log w_k = log p - log r, whose log r moves with eta too; while a
    warm-up lasts, lambda w_k.

    Attributes:
        stand_in: w^_k, `geometric_mean` or `arithmetic_mean` of the others.
    """

    stand_in: StandIn = geometric_mean

    def __call__(self, posterior: Posterior, particle: Particle) -> Scalar:
        """Of one particle."""
        others = posterior.log_total_of_others(particle)
        without = jnp.logaddexp(others, self.stand_in(posterior, particle))
        gain = posterior.log_evidence + jnp.log(float(particle.num_particles)) - without
        own = posterior.kl_weight * particle.weight
        return jnp.where(posterior.ess == 0.0, 0.0, gain - own)

    def __str__(self) -> str:
        """As a formula."""
        return "(L - L_-k - w)"


@dataclasses.dataclass(frozen=True)
class AboveTheBoundOfTheOthers(_Compared):
    """OVIS: L - L_-k - (1 - gamma) (w_k + log(1 - 1/K)), L_-k the bound of the K - 1 others.

    d_k = L - w_k less the control variate c_k = L_-k - gamma w_k + (1 - gamma) log(1 - 1/K) (Lievin
    et al. 2020, Eq. 17). While a warm-up lasts log r is in log w only lambda times, and both have
    lambda w_k for w_k.

    Attributes:
        gamma: from 0 to 1.
    """

    gamma: float

    def __call__(self, posterior: Posterior, particle: Particle) -> Scalar:
        """Of one particle."""
        count = float(particle.num_particles)
        others = posterior.log_total_of_others(particle) - jnp.log(count - 1.0)
        score = posterior.kl_weight * particle.weight
        own = (1.0 - self.gamma) * (score + jnp.log(1.0 - 1.0 / count))
        return jnp.where(posterior.ess == 0.0, 0.0, posterior.log_evidence - others - own)

    def __str__(self) -> str:
        """As a formula."""
        own = f" - {1.0 - self.gamma:g} (w + log(1 - 1/K))" if self.gamma < 1.0 else ""
        return f"(L - L_-k{own})"


# (beta_j, beta_{j+1} - beta_j) of every step of a path.
Steps = tuple[tuple[float, float], ...]


@dataclasses.dataclass(frozen=True)
class PathToPosterior(_Compared):
    """The weights of theta, or the signals of eta, on the path r^(1 - beta) p^beta (`tvo`).

    With v_kj proportional to w_k^beta_j and e_kj = K / (K - 1) (log w_k - E_j[log w]), theta has
    sum_j step_j v_kj (1 + beta_j e_kj), eta has sum_j step_j v_kj ((1 - beta_j) e_kj - 1). While a
    warm-up lasts, r^(1 - lambda beta) is in the path and r^-lambda in w: eta has
    sum_j step_j v_kj ((1 - lambda beta_j) e_kj - lambda).

    Attributes:
        steps: of the path.
        of_theta: whether these are the weights of theta.
    """

    steps: Steps
    of_theta: bool

    @property
    def powers(self) -> tuple[float, ...]:
        """Every beta but the last, which is 1."""
        return tuple(beta for beta, _ in self.steps)

    def __call__(self, posterior: Posterior, particle: Particle) -> Scalar:
        """Of one particle."""
        count = particle.num_particles

        def excess(beta: float) -> Scalar:
            return count / (count - 1) * (particle.log_w - posterior.mean_log_w(beta))

        def of_step(beta: float) -> Scalar:
            if self.of_theta:
                return 1.0 + (beta * excess(beta) if beta else jnp.zeros(()))
            return (1.0 - posterior.kl_weight * beta) * excess(beta) - posterior.kl_weight

        terms = [
            step * posterior.tempered(particle, beta) * of_step(beta) for beta, step in self.steps
        ]
        return sum(terms, jnp.zeros(()))

    def __str__(self) -> str:
        """As a formula."""
        e = "(1 + b e)" if self.of_theta else "((1 - b) e - 1)"
        return f"sum_b w^b {e}"
