"""What latents are drawn from and scored by: Gaussians and Bernoullis.

A path is a name: `sample` carries no gradient, `rsample` carries the gradient of the parameters
through the draw. Both give the same value for the same key. Sampling, densities and divergences
come from distrax where it has them, and this file is the only one that knows it.
"""

import abc
import dataclasses
import functools
from typing import NamedTuple

import distrax
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Key, PyTree

from remjax.errors import InputError
from remjax.likelihoods import bernoulli_log_likelihood


class Drawn(NamedTuple):
    """One particle of a stream. Carries no gradient.

    Attributes:
        z: the latent.
        key: what `rsample` makes the same z of, for a law whose particles are its own draws.
        log_q: the log-density that the particle is weighted by, nats.
    """

    z: PyTree[Array]
    key: Key[Array, ""]
    log_q: Float[Array, ""]


class Distribution(abc.ABC):
    """A law over ONE latent z (vmap gives many). Every subclass is a pytree of its parameters.

    The latent is a vector [D] or a pytree of vectors, such as the layers of a hierarchy.
    """

    @property
    def mean(self) -> Float[Array, " D"] | None:
        """E[z], flattened; None where it has no closed form."""
        return None

    @property
    def variance(self) -> Float[Array, " D"] | None:
        """The variance of each coordinate of z, flattened; None where it has no closed form."""
        return None

    @property
    def is_discrete(self) -> bool:
        """Whether draws are discrete: they have no gradient, and no Gaussian matches them."""
        return False

    @abc.abstractmethod
    def rsample(self, key: Key[Array, ""]) -> PyTree[Array]:
        """A draw that carries the gradient of the parameters (reparameterised).

        Raises:
            InputError: for a discrete law, whose draws have no such gradient.
        """

    @abc.abstractmethod
    def log_prob(self, z: PyTree[Array]) -> Float[Array, ""]:
        """Log density at z, in nats. Gradients reach z and the parameters."""

    def sample(self, key: Key[Array, ""]) -> PyTree[Array]:
        """The draw that `rsample` gives for this key, without any gradient."""
        return lax.stop_gradient(lax.stop_gradient(self).rsample(key))

    def estimated_mean(self, key: Key[Array, ""]) -> PyTree[Array]:
        """E[z] where it has a closed form; else an unbiased estimate, which alone uses the key."""
        return self.sample(key) if self.mean is None else self.mean

    def particle(self, key: Key[Array, ""], index: Int[Array, ""]) -> Drawn:
        """Particle number `index` of the stream that `key` names.

        A particle depends on (key, index) alone, so it can be drawn again: in chunks of any size,
        in a second pass, on any device. Carries no gradient.
        """
        key = jax.random.fold_in(key, index)
        z = self.sample(key)
        return Drawn(z, key, lax.stop_gradient(self.log_prob(z)))

    def kl_divergence(self, other: "Distribution") -> Float[Array, ""] | None:
        """KL(self || other) in nats; None where it has no closed form. Gradients reach both."""
        del other
        return None

    def expected_log_prob(
        self, mean: Float[Array, " D"], covariance: Float[Array, "D D"]
    ) -> Float[Array, ""] | None:
        """E[log_prob(z)] under any law of z with these moments; None where they do not fix it."""
        del mean, covariance
        return None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class DiagonalGaussian(Distribution):
    """N(loc, diag(scale^2)); `scale` is the standard deviation, positive."""

    loc: Float[Array, "*batch D"]
    scale: Float[Array, "*batch D"]

    @property
    def _law(self) -> distrax.MultivariateNormalDiag:
        return distrax.MultivariateNormalDiag(self.loc, self.scale)

    @property
    def mean(self) -> Float[Array, " D"]:
        """E[z] = loc."""
        return self.loc

    @property
    def variance(self) -> Float[Array, " D"]:
        """scale^2."""
        return jnp.square(self.scale)

    def rsample(self, key: Key[Array, ""]) -> Float[Array, " D"]:
        """Loc + scale * noise. Gradients reach loc and scale."""
        return jnp.asarray(self._law.sample(seed=key))

    def log_prob(self, z: Float[Array, " D"]) -> Float[Array, ""]:
        """Log density at z, in nats."""
        return jnp.asarray(self._law.log_prob(z))

    def expected_log_prob(
        self, mean: Float[Array, " D"], covariance: Float[Array, "D D"]
    ) -> Float[Array, ""]:
        """log_prob(mean) - 1/2 sum_d covariance_dd / scale_d^2, exact for every law of z."""
        return self.log_prob(mean) - 0.5 * jnp.sum(jnp.diagonal(covariance) / self.variance)

    def kl_divergence(self, other: Distribution) -> Float[Array, ""] | None:
        """KL(self || other) in nats, where the other is diagonal too. Gradients reach both."""
        if not isinstance(other, DiagonalGaussian):
            return None
        return jnp.asarray(self._law.kl_divergence(other._law))


# A density is wanted to float32, and a draw and its density of the same law. Rounding the factors
# of a product to fewer bits, as accelerators do by default, is for networks.
_product = functools.partial(jnp.matmul, precision=lax.Precision.HIGHEST)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FullGaussian(Distribution):
    """N(loc, scale_tril scale_tril^T); `scale_tril` is lower triangular, its diagonal positive."""

    loc: Float[Array, "*batch D"]
    scale_tril: Float[Array, "*batch D D"]

    @property
    def mean(self) -> Float[Array, " D"]:
        """E[z] = loc."""
        return self.loc

    @property
    def variance(self) -> Float[Array, " D"]:
        """The diagonal of scale_tril scale_tril^T."""
        return jnp.sum(jnp.square(self.scale_tril), axis=-1)

    def rsample(self, key: Key[Array, ""]) -> Float[Array, " D"]:
        """Loc + scale_tril @ noise. Gradients reach loc and scale_tril."""
        return self.loc + _product(self.scale_tril, jax.random.normal(key, self.loc.shape))

    def log_prob(self, z: Float[Array, " D"]) -> Float[Array, ""]:
        """Log density at z, in nats."""
        # distrax solves a triangular system for every z. The inverse factor does not depend on z,
        # so under vmap it is computed once and K particles cost one matrix product.
        whitening = jax.scipy.linalg.solve_triangular(
            self.scale_tril, jnp.eye(self.loc.shape[0]), lower=True
        )
        standard = _product(whitening, z - self.loc)
        log_determinant = jnp.sum(jnp.log(jnp.diagonal(self.scale_tril)))
        dimension = self.loc.shape[0]
        return (
            -0.5 * jnp.sum(jnp.square(standard))
            - log_determinant
            - 0.5 * dimension * jnp.log(2.0 * jnp.pi)
        )

    def expected_log_prob(
        self, mean: Float[Array, " D"], covariance: Float[Array, "D D"]
    ) -> Float[Array, ""]:
        """log_prob(mean) - 1/2 tr((scale_tril scale_tril^T)^-1 covariance)."""
        precision_times = jax.scipy.linalg.cho_solve((self.scale_tril, True), covariance)
        return self.log_prob(mean) - 0.5 * jnp.trace(precision_times)

    def kl_divergence(self, other: Distribution) -> Float[Array, ""] | None:
        """KL(self || other) in nats, for another Gaussian: -entropy - E[log other]."""
        if not isinstance(other, DiagonalGaussian | FullGaussian):
            return None
        covariance = _product(self.scale_tril, self.scale_tril.T)
        minus_entropy = self.log_prob(self.loc) - 0.5 * self.loc.shape[0]
        return minus_entropy - other.expected_log_prob(self.loc, covariance)


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
            "(rws, wake_sleep, vimco, nvil, rem_v1_bernoulli and others)"
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
        """KL(self || other) in nats, where the other is a Bernoulli too. Gradients reach both."""
        if not isinstance(other, Bernoulli):
            return None
        return self.log_prob(self.mean) - other.log_prob(self.mean)
