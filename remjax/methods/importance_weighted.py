"""The importance-weighted autoencoder and its pathwise relatives: theta ascends a tighter bound.

All need an r whose draws are reparameterised: real latents.
"""

import dataclasses
import math

from remjax.errors import InputError
from remjax.methods.combine import Groups, equal_shares, evidence_shares
from remjax.methods.method import Method
from remjax.methods.objectives import (
    evidence_lower_bound,
    exclusive_kl,
    expected_complete_log_likelihood,
    importance_weighted_bound,
    path_derivative,
)
from remjax.methods.proposals import from_r
from remjax.methods.sum_weights import Scalar, Tempered, Weight
from remjax.methods.sums import Blend, Sum, log_joint, log_w_along_draw, log_w_along_path
from remjax.particles.posterior import Particle, Posterior

iwae = Method(expected_complete_log_likelihood, from_r, importance_weighted_bound, from_r)
"""The importance-weighted autoencoder (Burda, Grosse & Salakhutdinov 2015, Eq. 14).

Both networks ascend L_K = E[log 1/K sum_k w_k]; eta pathwise through z_k(eta). With keep=1 it is
the one-sample form of Section 3.1: K forward passes, one backward pass.
"""


@dataclasses.dataclass(frozen=True)
class DoublyReparameterized(Weight):
    """w^2; while a warm-up lasts lambda w^2 + (1 - lambda) w (Vahdat et al. 2019, Appendix C).

    Of the gradient of log w, w times, the part through log r is -lambda times the score, which is
    turned into -lambda (w - w^2) times the part through z.
    """

    @property
    def keeps(self) -> bool:
        """Whoever has no weight adds nothing."""
        return True

    @property
    def is_share(self) -> bool:
        """It is."""
        return True

    def __call__(self, posterior: Posterior, particle: Particle) -> Scalar:
        """Of one particle."""
        share, weight = posterior.kl_weight, particle.weight
        return share * (weight * weight) + (1.0 - share) * weight

    def __str__(self) -> str:
        """As a formula."""
        return "w^2"


dreg = Method(
    expected_complete_log_likelihood,
    from_r,
    Sum(DoublyReparameterized(), log_w_along_path),
    from_r,
)
"""The doubly reparameterised gradient of L_K (Tucker, Lawson, Gu & Maddison 2019, Eq. 8).

eta follows sum_k w_k^2 d log w(z_k) / dz dz_k / d eta. Its expectation is that of `iwae`; its
signal-to-noise ratio does not vanish with K as that of `iwae` does, and it vanishes itself, draw by
draw, at an exact posterior. theta keeps the gradient of `iwae`.
"""

stl = Method(expected_complete_log_likelihood, from_r, path_derivative(), from_r)
"""Sticking the landing (Roeder, Wu & Duvenaud 2017): the path derivative of L_K alone.

eta follows sum_k w_k d log w(z_k) / dz dz_k / d eta. With K = 1 it is unbiased for the gradient of
the evidence lower bound; with more it is biased for that of L_K (Tucker et al. 2019).
"""


def vr(alpha: float = 0.5) -> Method:
    """Both networks ascend the variational Renyi bound (Li & Turner 2016, Eqs. 7 and 15).

    L_alpha = 1/(1 - alpha) E[log 1/K sum_k w_k^(1 - alpha)]. Its gradient is
    sum_k v_k grad log w(z_k(eta)) with v proportional to w^(1 - alpha): the bound of `iwae` at
    alpha 0, the evidence lower bound at alpha 1, and the more cautious the larger alpha.

    Args:
        alpha: order of the Renyi bound, any finite number: 0 is iwae, 1 is vae.

    Raises:
        InputError: for an alpha that is not finite.
    """
    if not math.isfinite(alpha):
        raise InputError(f"alpha is {alpha}: give a finite number, 0 for iwae and 1 for vae")
    weight = Tempered(1.0 - alpha)
    return Method(Sum(weight, log_joint), from_r, Sum(weight, log_w_along_draw), from_r)


def miwae(num_groups: int = 5) -> Method:
    """The multiply importance-weighted autoencoder, MIWAE (Rainforth et al. 2018, Eq. 12).

    Both networks ascend the average of G bounds of K / G particles each.

    Args:
        num_groups: G, groups of particles, a divisor of their number.
    """
    return _grouped(Groups(num_groups, equal_shares, equal_shares))


def piwae(num_groups: int = 5) -> Method:
    """The partially importance-weighted autoencoder, PIWAE (Rainforth et al. 2018, Eq. 14).

    theta ascends L_K of all particles, eta the average of G bounds of K / G particles each, on the
    same particles.

    Args:
        num_groups: G, groups of particles, a divisor of their number.
    """
    return _grouped(Groups(num_groups, evidence_shares, equal_shares))


def _grouped(groups: Groups) -> Method:
    return Method(
        expected_complete_log_likelihood, from_r, importance_weighted_bound, from_r, groups
    )


def ciwae(share: float = 0.5) -> Method:
    """The combined bound, CIWAE (Rainforth et al. 2018, Eq. 13): beta ELBO + (1 - beta) L_K.

    Both networks ascend it on the same particles of r: `iwae` at share 0, `vae` at share 1.

    Args:
        share: beta, share of the evidence lower bound, from 0 (iwae) to 1 (vae).

    Raises:
        InputError: for another share.
    """
    if not 0.0 <= share <= 1.0:
        raise InputError(f"share is {share}: give that of the evidence lower bound, from 0 to 1")
    return Method(
        Blend(share, evidence_lower_bound, expected_complete_log_likelihood),
        from_r,
        Blend(share, exclusive_kl, importance_weighted_bound),
        from_r,
    )
