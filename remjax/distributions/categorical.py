"""Independent categories, one-hot."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from remjax.distributions.base import Distribution
from remjax.errors import InputError

# What `matched` gives a category at least, as a share of even probabilities: 0.01 for two of them.
_SMALLEST_SHARE = 0.02


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Categorical(Distribution):
    """D independent variables of C categories each: p(variable d is c) = softmax(logits_d)_c.

    A latent z holds for each variable a one among zeros at the place of its category, and is
    flattened to floats [D * C]: whatever takes a vector takes it, such as a weighted mean or a
    network. Coordinate d C + c says whether variable d is c.
    """

    logits: Float[Array, "*batch D C"]

    def _flat(self, values: Float[Array, "*batch D C"]) -> Float[Array, "*batch DC"]:
        return values.reshape(*values.shape[:-2], -1)

    @property
    def mean(self) -> Float[Array, " DC"]:
        """softmax(logits), the probabilities of all categories, flattened."""
        return self._flat(jax.nn.softmax(self.logits))

    @property
    def variance(self) -> Float[Array, " DC"]:
        """mean (1 - mean)."""
        return self.mean * (1.0 - self.mean)

    @property
    def is_discrete(self) -> bool:
        """They are categories."""
        return True

    def sample(self, key: Key[Array, ""]) -> Float[Array, " DC"]:
        """A draw, without any gradient: how many of the cumulated probabilities a number exceeds.

        One uniform number per variable, not one per category.
        """
        logits = lax.stop_gradient(self.logits)
        # The last of them is one: no number reaches it, nor may rounding let it.
        bounds = jnp.cumsum(jax.nn.softmax(logits), axis=-1)[..., :-1]
        uniform = jax.random.uniform(key, (*logits.shape[:-1], 1), logits.dtype)
        category = jnp.sum(uniform >= bounds, axis=-1)
        return self._flat(jax.nn.one_hot(category, logits.shape[-1], dtype=logits.dtype))

    def rsample(self, key: Key[Array, ""]) -> Float[Array, " DC"]:
        """Refused: a choice has no gradient.

        Raises:
            InputError: always.
        """
        raise InputError(
            "categorical latents have no reparameterised draw: use a method that needs none "
            "(rws, wake_sleep, vimco, nvil, rem_v1 and others)"
        )

    def log_prob(self, z: Float[Array, " DC"]) -> Float[Array, ""]:
        """sum_dc z_dc log softmax(logits_d)_c, nats; linear in z.

        Gradients reach z and the logits.

        Raises:
            InputError: for a z of another length.
        """
        log_mean = self._flat(jax.nn.log_softmax(self.logits))
        if z.shape[-1:] != log_mean.shape[-1:]:
            variables, categories = self.logits.shape[-2:]
            raise InputError(
                f"a latent of shape {z.shape} for {variables} variables of {categories} "
                f"categories: give them one-hot and flattened, {variables * categories} numbers"
            )
        return jnp.sum(z * log_mean, axis=-1)

    def expected_log_prob(
        self, mean: Float[Array, " DC"], covariance: Float[Array, "DC DC"]
    ) -> Float[Array, ""]:
        """log_prob(mean), for log_prob is linear in z."""
        del covariance
        return self.log_prob(mean)

    def kl_divergence(self, other: Distribution) -> Float[Array, ""] | None:
        """KL(self || other) in nats, where the other is a Categorical too. Gradients reach both."""
        if not isinstance(other, Categorical):
            return None
        return self.log_prob(self.mean) - other.log_prob(self.mean)

    def matched(self, mean: Float[Array, " E"], covariance: Float[Array, "E E"]) -> "Categorical":
        """The independent categories, C for each variable, with these means.

        No probability is below 0.02 / C before the sum is made one, for a category that never
        occurs is never found again.

        Args:
            mean: flattened probabilities, of any number of variables: those of several layers may
                be matched together.
            covariance: not used; the means of independent categories fix it.

        Returns:
            Carries no gradient.

        Raises:
            InputError: for a length that is not a multiple of C.
        """
        del covariance
        num_categories = self.logits.shape[-1]
        if mean.shape[-1] % num_categories:
            raise InputError(
                f"{mean.shape[-1]} numbers are no variables of {num_categories} categories: "
                "all layers must have the same number of categories"
            )
        mean = jnp.maximum(mean.reshape(-1, num_categories), _SMALLEST_SHARE / num_categories)
        return lax.stop_gradient(
            Categorical(jnp.log(mean) - jnp.log(jnp.sum(mean, axis=-1, keepdims=True)))
        )
