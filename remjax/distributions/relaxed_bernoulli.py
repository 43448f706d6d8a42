"""Relaxed bits: numbers in [0, 1] whose draws carry a gradient, scored as if they were bits."""

import dataclasses

import jax
from jax import lax
from jaxtyping import Array, Float, Key

from remjax.distributions.base import Distribution, Smoothed
from remjax.distributions.bernoulli import Bernoulli
from remjax.distributions.relaxations import Relaxation


@dataclasses.dataclass(frozen=True)
class RelaxedBernoulli(Distribution):
    """Independent bits in whose place stand the numbers that a relaxation makes of their draws.

    What is relaxed is the objective: the draws move smoothly with the log odds, so that methods
    with a gradient through z serve, and `log_prob` at them is that of bits, continued linearly. It
    is exact at bits and no density of the numbers in between (GumBolt's proxy, Khoshaman & Amin
    2018); a gradient through it is biased, and the more so the softer the relaxation. `hard` gives
    the bits, which evaluation draws from. `SmoothedBernoulli` has the numbers' own density.

    Attributes:
        logits: the log odds of ones.
        relaxation: what makes numbers of uniform numbers and the log odds; static.
    """

    logits: Float[Array, "*batch D"]
    relaxation: Relaxation

    @property
    def is_relaxed(self) -> bool:
        """They are."""
        return True

    def hard(self) -> Bernoulli:
        """The bits themselves: `Bernoulli(logits)`."""
        return Bernoulli(self.logits)

    def rsample(self, key: Key[Array, ""]) -> Float[Array, " D"]:
        """Relaxed numbers with the gradient of the logits.

        They are made of the uniform numbers that the draw of `hard()` for this key is made of.
        """
        return self.relaxation.relax(self.hard().uniforms(key), self.logits)

    def smoothed(self, key: Key[Array, ""]) -> Smoothed:
        """The means of the bits: every one is the last to be drawn, for none depends on others."""
        del key
        mean = self.hard().mean
        return Smoothed(mean, lax.stop_gradient(self).log_prob(mean))

    def log_prob(self, z: Float[Array, " D"]) -> Float[Array, ""]:
        """sum_d z_d logits_d - log(1 + exp(logits_d)), nats, as of bits; linear in z."""
        return self.hard().log_prob(z)

    def expected_log_prob(
        self, mean: Float[Array, " D"], covariance: Float[Array, "D D"]
    ) -> Float[Array, ""]:
        """log_prob(mean), for log_prob is linear in z."""
        return self.hard().expected_log_prob(mean, covariance)

    def kl_divergence(self, other: Distribution) -> Float[Array, ""] | None:
        """That of the bits, in nats: KL(hard || other). Gradients reach both."""
        return self.hard().kl_divergence(other)

    def matched(self, mean: Float[Array, " E"], covariance: Float[Array, "E E"]) -> Bernoulli:
        """The bits with these means, as `Bernoulli.matched`: an s(z) needs no gradient."""
        return self.hard().matched(mean, covariance)


jax.tree_util.register_dataclass(
    RelaxedBernoulli, data_fields=["logits"], meta_fields=["relaxation"]
)


def bits(
    logits: Float[Array, "*batch D"], relaxation: Relaxation | None = None
) -> Bernoulli | RelaxedBernoulli:
    """Independent bits, relaxed where a relaxation is given.

    Args:
        logits: the log odds of ones.
        relaxation: None for bits themselves.
    """
    return Bernoulli(logits) if relaxation is None else RelaxedBernoulli(logits, relaxation)
