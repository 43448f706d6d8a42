"""Independent bits."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from remjax.distributions.base import Distribution
from remjax.distributions.likelihoods import bernoulli_log_likelihood
from remjax.errors import InputError


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Bernoulli(Distribution):
    """Independent bits z_d in {0, 1}, as floats; `logits` are the log odds of ones."""

    logits: Float[Array, "*batch D"]

    @property
    def mean(self) -> Float[Array, " D"]:
        """sigmoid(logits), the probabilities of ones."""
        return jax.nn.sigmoid(self.logits)

    @property
    def variance(self) -> Float[Array, " D"]:
        """mean (1 - mean)."""
        return self.mean * jax.nn.sigmoid(-self.logits)

    @property
    def is_discrete(self) -> bool:
        """They are bits."""
        return True

    def sample(self, key: Key[Array, ""]) -> Float[Array, " D"]:
        """A draw, without any gradient: one where a uniform number lies below the mean."""
        bits = self.uniforms(key) < lax.stop_gradient(self.mean)
        return bits.astype(self.logits.dtype)

    def uniforms(self, key: Key[Array, ""]) -> Float[Array, " D"]:
        """The numbers of [0, 1) that the bits of a draw, or of an antithetic pair, are made of."""
        return jax.random.uniform(key, self.logits.shape, self.logits.dtype)

    def rsample(self, key: Key[Array, ""]) -> Float[Array, " D"]:
        """Refused: a step has no gradient.

        Raises:
            InputError: always.
        """
        raise InputError(
            "binary latents have no reparameterised draw: use a method that needs none "
            "(rws, wake_sleep, vimco, nvil, rem_v1 and others)"
        )

    def log_prob(self, z: Float[Array, " D"]) -> Float[Array, ""]:
        """sum_d z_d logits_d - log(1 + exp(logits_d)), nats; linear in z."""
        return bernoulli_log_likelihood(self.logits, z)

    def expected_log_prob(
        self, mean: Float[Array, " D"], covariance: Float[Array, "D D"]
    ) -> Float[Array, ""]:
        """log_prob(mean), for log_prob is linear in z."""
        del covariance
        return self.log_prob(mean)

    def kl_divergence(self, other: Distribution) -> Float[Array, ""] | None:
        """KL(self || other) in nats, where the moments of bits determine E[log other(z)].

        They do for another Bernoulli and a Boltzmann machine. Gradients reach both.
        """
        if not other.is_discrete:
            return None
        expected = other.expected_log_prob(self.mean, jnp.diag(self.variance))
        return None if expected is None else self.log_prob(self.mean) - expected

    def matched(self, mean: Float[Array, " E"], covariance: Float[Array, "E E"]) -> "Bernoulli":
        """The independent bits with these means, kept within 0.01 and 0.99.

        For a bit that never varies finds no other value again.

        Args:
            mean: probabilities of ones, of any number of bits.
            covariance: not used; the means of independent bits fix it.

        Returns:
            Carries no gradient.
        """
        del covariance
        mean = jnp.clip(mean, 0.01, 0.99)
        return lax.stop_gradient(Bernoulli(jnp.log(mean) - jnp.log1p(-mean)))
