"""What theta and eta ascend: the named objectives, most of them a `Sum`."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from remjax.distributions.base import Distribution
from remjax.errors import InputError
from remjax.methods.sum_weights import Normalized, Number, Scalar, Uniform, identity
from remjax.methods.sums import (
    Ascent,
    Objective,
    Sum,
    Summand,
    log_joint,
    log_r,
    log_w_along_draw,
    log_w_along_path,
)
from remjax.particles.posterior import Particle, Posterior
from remjax.types import Joint


@dataclasses.dataclass(frozen=True)
class InclusiveKL(Objective):
    """sum_k w_k log r_eta(z_k | x), minus KL(p || r) up to a constant (Dieng & Paisley 2019).

    Where log r depends on the particles through their mean and covariance alone (Gaussians, bits,
    categories), the streamed moments give the sum over all K exactly, whatever `keep` is, and no
    particle is drawn a second time.
    """

    @property
    def keeps(self) -> bool:
        """They do: whoever has no weight adds nothing."""
        return True

    @property
    def moves(self) -> tuple[str, ...]:
        """As log r(z)."""
        return ("eta",)

    @property
    def serves_unnormalized(self) -> bool:
        """It does: the weights sum to one."""
        return True

    def __call__(self, posterior: Posterior, joint: Joint, r: Distribution) -> Ascent:
        """In closed form where there is one, else the summand of one particle."""
        closed = r.expected_log_prob(posterior.mean, posterior.covariance)
        if closed is not None:
            return jnp.where(posterior.ess == 0.0, 0.0, closed)
        return Sum(Normalized(), log_r)(posterior, joint, r)

    def __str__(self) -> str:
        """As a formula."""
        return str(Sum(Normalized(), log_r))


@dataclasses.dataclass(frozen=True)
class ExclusiveKLAnalytic(Objective):
    """1/K sum_k log p(x | z_k(eta)) - KL(r || prior), the divergence in closed form (Eq. 1).

    Pathwise: the particles must come from r itself. Needs `Model.prior`.
    """

    @property
    def is_pathwise(self) -> bool:
        """It is."""
        return True

    def __call__(self, _posterior: Posterior, joint: Joint, r: Distribution) -> Summand:
        """The summand of one particle.

        Raises:
            InputError: where the divergence has no closed form.
        """
        divergence = None if joint.prior is None else r.kl_divergence(joint.prior)
        if divergence is None:
            raise InputError(
                "KL(r || prior) has no closed form here: give Model.prior and a diagonal Gaussian "
                "r, or take it by Monte Carlo"
            )

        def summand(particle: Particle) -> Scalar:
            likelihood = joint.log_likelihood(particle.z_along(r))
            return (likelihood - joint.kl_weight * divergence) / particle.num_particles

        return summand

    def __str__(self) -> str:
        """As a formula."""
        return "1/K log p(x | z(eta)) - KL(r, prior)"


expected_complete_log_likelihood = Sum(Normalized(), log_joint)
"""sum_k w_k log p_theta(x, z_k): what EM ascends (Dieng & Paisley 2019, Eqs. 9-10).

Its gradient is that of L_K with respect to theta (Burda et al. 2015, Eq. 14).
"""

evidence_lower_bound = Sum(Uniform(), log_joint)
"""1/K sum_k log p_theta(x, z_k): the part of the ELBO that moves theta (Eq. 1)."""

inclusive_kl = InclusiveKL()
"""sum_k w_k log r_eta(z_k | x), minus KL(p || r) up to a constant (Eqs. 12-15)."""

importance_weighted_bound = Sum(Normalized(), log_w_along_draw)
"""The gradient of L_K in eta: sum_k w_k log w(z_k(eta)) (Burda et al. 2015, Eq. 14)."""

exclusive_kl = Sum(Uniform(), log_w_along_draw)
"""1/K sum_k log w(z_k(eta)), minus KL(r || p) up to a constant, by Monte Carlo (Eq. 1)."""

exclusive_kl_analytic = ExclusiveKLAnalytic()
"""1/K sum_k log p(x | z_k(eta)) - KL(r || prior), the divergence in closed form (Eq. 1)."""


def path_derivative(function: Callable[[Number], Number] = identity) -> Sum:
    """sum_k function(w_k) log w(z_k(eta)), eta moving z_k alone and not log r itself.

    Args:
        function: of the normalised weight; the named choices: w (STL), w (1 - w) (RWS-DReG). DReG
            has a weight of its own.
    """
    return Sum(Normalized(function), log_w_along_path)


def score_function(signal: Callable[[Posterior, Particle], Any]) -> Sum:
    """sum_k signal_k log r_eta(z_k | x): the signals carry no gradient.

    Args:
        signal: the learning signal of one particle among all of them, nats.
    """
    return Sum(signal, log_r)
