"""How a state-space model learns: a method is a value of choices, as in `remjax.methods`.

| choice         | values                                                                       |
|----------------|------------------------------------------------------------------------------|
| objective      | `bound`, or a `Weighted` sum of log p(z_t, x_t given z_{t-1}): theta ascends |
| proposal       | `from_r`, `from_matched()`: what the particles of a step are drawn from      |
| hyperobjective | `bound`, or a `Weighted` sum of log r(z_t given z_{t-1}, x_t): eta ascends   |
| threshold      | the share of K below which the particles are resampled                       |
"""

import dataclasses
from collections.abc import Callable

from jaxtyping import Array, Float

from remjax.errors import InputError
from remjax.particles.covariances import Covariance
from remjax.particles.weights import resample_systematic
from remjax.sequential.particle_filter import (
    Filtered,
    Resampling,
    check_threshold,
    filtering_weights,
    smoothing_weights,
)
from remjax.sequential.proposals import StepProposal, from_matched, from_r


@dataclasses.dataclass(frozen=True)
class Bound:
    """E[log Z] of the particle filter: eta along the draws, the choice of places without score."""

    def __str__(self) -> str:
        """As a formula."""
        return "log Z"


@dataclasses.dataclass(frozen=True)
class Weighted:
    """sum_t sum_k weights_tk log p or log r of particle k at step t, the weights held constant.

    Attributes:
        weights: of a filter's particles, [T, K], such as `filtering_weights`.
    """

    weights: Callable[[Filtered], Float[Array, "T K"]]


bound = Bound()
"""E[log Z], below log p(x) (Maddison et al. 2017, Eq. 4)."""

along_ancestors = Weighted(smoothing_weights)
"""Weights given all of x: for theta Fisher's identity, sum E[d log p(z_t, x_t | z_{t-1}) | x]."""

filtered = Weighted(filtering_weights)
"""Weights given x_1, ..., x_t at step t (Gu, Ghahramani & Turner 2015, Section 3.1)."""

Objective = Bound | Weighted


@dataclasses.dataclass(frozen=True)
class SequentialMethod:
    """What theta and eta ascend, on which particles. Methods that are made alike are equal.

    Attributes:
        objective: what theta ascends.
        proposal: what the particles of a step are drawn from.
        hyperobjective: what eta ascends.
        threshold: share of K below which the particles are resampled.
        resampling: how.

    Raises:
        InputError: for a threshold that is no share, or eta on a bound whose particles do not move
            with it.
    """

    objective: Objective
    proposal: StepProposal
    hyperobjective: Objective
    threshold: float = 0.5
    resampling: Resampling = resample_systematic

    def __post_init__(self) -> None:
        """Check what goes together."""
        check_threshold(self.threshold)
        if isinstance(self.hyperobjective, Bound) and not self.proposal.is_pathwise:
            raise InputError(
                f"eta ascends log Z along the draws, and draws of {self.proposal} do not move with "
                "eta: take from_r, or a Weighted hyperobjective such as sequential.filtered"
            )

    @property
    def keeps(self) -> bool:
        """Whether `Particles.keep` serves: of a weighted sum M particles a step stand for all."""
        return isinstance(self.objective, Weighted) and isinstance(self.hyperobjective, Weighted)


def fivo(threshold: float = 0.5) -> SequentialMethod:
    """The filtering variational objective, FIVO; variational SMC at threshold 1.

    Both networks ascend E[log Z] (Maddison et al. 2017, Eq. 4; Le et al. 2018, Eq. 8; Naesseth et
    al. 2018, Eq. 6), eta along its draws. As in these papers the score of the resampling is left
    out: the gradient is biased for that of E[log Z] once anything was resampled, and far less
    noisy.

    Args:
        threshold: share of K below which the particles are resampled: 1 at every step.

    Raises:
        InputError: for a threshold that is no share.
    """
    return SequentialMethod(bound, from_r, bound, threshold)


iwae = fivo(0.0)
"""The importance-weighted bound of whole sequences: `fivo` without resampling.

Its gradient is that of L_K (Burda et al. 2015, Eq. 14), without bias.
"""


def rws(threshold: float = 0.5) -> SequentialMethod:
    """Reweighted wake-sleep on the particles of a filter.

    theta ascends the complete log-likelihood, sum_t sum_k W_tk log p(z_t, x_t | z_{t-1}), W the
    weights given all of x: Fisher's identity, exact for K to infinity. eta ascends sum_t sum_k w_tk
    log r(z_t | z_{t-1}, x_t), the inclusive KL on filtered particles (Gu et al. 2015, Eq. 9).

    Args:
        threshold: share of K below which the particles are resampled.

    Raises:
        InputError: for a threshold that is no share.
    """
    return SequentialMethod(along_ancestors, from_r, filtered, threshold)


def nasmc(threshold: float = 0.5) -> SequentialMethod:
    """Neural adaptive SMC (Gu, Ghahramani & Turner 2015): `rws`, theta too by filtered weights.

    Of less variance than `rws` where sequences are long, and biased, however large K: a step's
    weights do not know what comes after it. Resampled at every step, theta's gradient is that of
    `fivo`.

    Args:
        threshold: share of K below which the particles are resampled.

    Raises:
        InputError: for a threshold that is no share.
    """
    return SequentialMethod(filtered, from_r, filtered, threshold)


def rem(
    covariance: Covariance | None = None, share: float = 0.5, threshold: float = 0.5
) -> SequentialMethod:
    """REM step by step: the particles of each step come from an s that matches those of r.

    theta and eta ascend what they do in `rws`, on particles of share r + (1 - share) s
    (`from_matched`). The model scores 2 K particles a step.

    Args:
        covariance: of s, by default shrunk_with_mean.
        share: of r, from 0 to below 1.
        threshold: share of K below which the particles are resampled.

    Raises:
        InputError: for a share or a threshold that cannot be.
    """
    return SequentialMethod(along_ancestors, from_matched(covariance, share), filtered, threshold)
