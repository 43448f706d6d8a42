"""Structured prediction: one part of a datapoint from another, by latents drawn given that other.

The recognition network sees what is given, x_1, and the likelihood scores what is predicted, x_2:
r(z | x_1) is the prior and the proposal at once, and the weights of its particles are p(x_2 | z).
"""

import dataclasses
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int, Key, PyTree

from remjax.distributions.base import Distribution
from remjax.methods.combine import Combine, estimate_of
from remjax.methods.method import Method
from remjax.methods.objectives import expected_complete_log_likelihood, importance_weighted_bound
from remjax.methods.proposals import from_r
from remjax.methods.ramps import Ramp
from remjax.methods.row import Row
from remjax.methods.sum_weights import Scalar, Uniform
from remjax.methods.sums import Objective, Sum, Summand
from remjax.particles.posterior import Particle, Posterior
from remjax.types import Batch, Estimate, Joint, Params


def minus_log_r_along_path(_joint: Joint, r: Distribution, particle: Particle) -> Scalar:
    """-log r(z(eta)), r fixed.

    Its mean gradient is that of the entropy of r, of which the score is no part: its mean is zero.
    """
    return -lax.stop_gradient(r).log_prob(particle.z_along(r))


@dataclasses.dataclass(frozen=True)
class BoundAndEntropy(Objective):
    """The importance-weighted bound and the entropy of r, which the combination puts together."""

    @property
    def serves_unnormalized(self) -> bool:
        """It does: r has no part in the weights, and stands still in its entropy."""
        return True

    @property
    def is_pathwise(self) -> bool:
        """Both parts are."""
        return True

    def __call__(self, posterior: Posterior, joint: Joint, r: Distribution) -> Summand:
        """The summands of one particle, a pair."""
        parts = importance_weighted_bound, Sum(Uniform(), minus_log_r_along_path)
        bound, entropy = (part(posterior, joint, r) for part in parts)
        return lambda particle: (bound(particle), entropy(particle))

    def __str__(self) -> str:
        """As a formula."""
        return "w log p(x | z(eta)) + H 1/K -log r(z(eta))"


@dataclasses.dataclass(frozen=True)
class FadingEntropy(Combine):
    """The mean over the datapoints, where the entropy counts less and less.

    Attributes:
        ramp: of its weight, lambda.
    """

    ramp: Ramp

    def init(self, key: Key[Array, ""], row: Row) -> tuple[PyTree, Int[Array, ""]]:
        """No baseline, and no update yet."""
        del key, row
        return (), self.ramp.start

    def estimate(
        self, row: Row, params: Params, state: Any, key: Key[Array, ""], batch: Batch
    ) -> tuple[Estimate, Any]:
        """The losses, the weights of the particles being p(x_2 | z); the count of updates."""
        terms = row._replace(kl_weight=0.0)(params, key, batch).map(jnp.mean)
        bound, entropy = terms.eta
        eta = bound + self.ramp.weight(state) * entropy
        return estimate_of(terms, -terms.theta, -eta), self.ramp.after(state)

    def __str__(self) -> str:
        """As the tables have it."""
        return f"mean, H {self.ramp}"


def structured_prediction(num_updates: int, first: float = 1.0, last: float = 0.05) -> Method:
    """log 1/K sum_k p(x_2 | z_k), z_k ~ r(z | x_1), and lambda times the entropy of r.

    Both networks ascend E[log 1/K sum_k p(x_2 | z_k)] + lambda H(r(z | x_1)) (Raiko et al. 2015;
    Vahdat et al. 2019, Section 4.3), a lower bound of log p(x_2 | x_1) but for the entropy, which
    keeps r from settling too soon. The prior of the model has no part in it. The model's likelihood
    is to score x_2 alone and the recognition network to see x_1 alone; both are given x. eta moves
    along the draw, so r must be reparameterised. The metric log_evidence is the bound.

    Args:
        num_updates: over which lambda goes from the first value to the last, linearly; half of all
            updates in the experiments of the paper.
        first: lambda in the first update.
        last: lambda in the end.

    Raises:
        InputError: for fewer than one update, or weights that are negative or not finite.
    """
    combine = FadingEntropy(Ramp(first, last, num_updates))
    return Method(expected_complete_log_likelihood, from_r, BoundAndEntropy(), from_r, combine)
