"""What every distribution over a latent can do.

A path is a name: `sample` carries no gradient, `rsample` carries the gradient of the parameters
through the draw. Both give the same value for the same key.
"""

import abc
from typing import NamedTuple

import jax
from jax import lax
from jaxtyping import Array, Float, Int, Key, PyTree

from remjax.distributions.smoothings import Smoothing
from remjax.errors import InputError


class Drawn(NamedTuple):
    """One particle of a stream. Carries no gradient.

    Attributes:
        z: the latent.
        noise: what `rsample` makes the same z of, for a distribution whose particles are its own
            draws; a key for all that come with the library.
        log_q: the log-density that the particle is weighted by, nats.
    """

    z: PyTree[Array]
    noise: PyTree
    log_q: Float[Array, ""]


class Smoothed(NamedTuple):
    """A draw of which a part is at its mean.

    Attributes:
        z: the latent, with the gradient of the parameters.
        log_q: the log density of the draw in nats, averaged over that part or more of it. The
            parameters stand still inside log q, and its gradient is that of the path.
    """

    z: PyTree[Array]
    log_q: Float[Array, ""]


class Distribution(abc.ABC):
    """A distribution of ONE latent z (vmap gives many). Subclasses are pytrees of their parameters.

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
        """Whether draws are discrete: they have no gradient."""
        return False

    @property
    def is_relaxed(self) -> bool:
        """Whether draws are numbers in the place of bits, with a gradient of their own.

        `log_prob` is then that of the bits, continued to the numbers, and no density of theirs:
        weights and scores of the draws are wrong, and the gradient along a draw is all that they
        are for. `hard` gives the bits.
        """
        return False

    @property
    def smoothed_by(self) -> Smoothing | None:
        """r(zeta | z), where `log_prob` is the density of numbers zeta, their bits z summed out.

        None for all other distributions. The prior and r have the same: log p and log r are
        densities of the same numbers. `hard` gives the bits.
        """
        return None

    @property
    def is_normalized(self) -> bool:
        """Whether `log_prob` is normalised.

        Where it is not, it lacks a constant, and its gradient has an estimate of that of log Z by
        samples that the particles may depend on: right where the weights of log q sum to a fixed
        number, and where its parameters stand still.
        """
        return True

    @abc.abstractmethod
    def rsample(self, key: Key[Array, ""]) -> PyTree[Array]:
        """A draw that carries the gradient of the parameters (reparameterised).

        Raises:
            InputError: for a discrete distribution, whose draws have no such gradient.
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

    def smoothed(self, key: Key[Array, ""]) -> Smoothed:
        """The draw that `rsample` gives for this noise, what came last at its mean given the rest.

        A function that is linear in that part has the same expectation, and less variance. By
        default the draw itself.
        """
        z = self.rsample(key)
        return Smoothed(z, lax.stop_gradient(self).log_prob(z))

    def particle(self, key: Key[Array, ""], index: Int[Array, ""]) -> Drawn:
        """Particle number `index` of the stream that `key` names.

        A particle depends on (key, index) alone, so it can be drawn again: in chunks of any size,
        in a second pass, on any device. Carries no gradient.
        """
        key = jax.random.fold_in(key, index)
        z = self.sample(key)
        return Drawn(z, key, lax.stop_gradient(self.log_prob(z)))

    def hard(self) -> "Distribution":
        """The distribution behind a relaxed or smoothed one, which evaluation draws from.

        By default itself; bits where this one has numbers in their place.
        """
        return self

    def at(self, memory: PyTree[Array]) -> "Distribution":
        """The distribution that also depends on what is remembered of its datapoint.

        By default itself. A distribution whose particles go on from where they were (Markov chains,
        running moments) takes them from here; `types.Memory` says how a memory is made and kept. If
        its particles are then not the draws of `rsample`, its `rsample` should raise an InputError:
        a gradient through such a draw would be that of other particles.
        """
        del memory
        return self

    def matched(self, mean: Float[Array, " D"], covariance: Float[Array, "D D"]) -> "Distribution":
        """The distribution of this kind with these moments: over vectors, as `mean` is one.

        A Gaussian for Gaussians, independent bits for bits. Layers are matched jointly, as one
        vector. Carries no gradient.

        Args:
            mean: of the flattened latent.
            covariance: of the flattened latent, positive semidefinite but for rounding.

        Raises:
            InputError: for a kind that is not known by its moments.
        """
        del mean, covariance
        raise InputError(
            f"no distribution of the kind {type(self).__name__} is known by its mean and "
            "covariance: give it a method `matched`, or choose a proposal without s"
        )

    def kl_divergence(self, other: "Distribution") -> Float[Array, ""] | None:
        """KL(self || other) in nats; None where it has no closed form. Gradients reach both."""
        del other
        return None

    def expected_log_prob(
        self, mean: Float[Array, " D"], covariance: Float[Array, "D D"]
    ) -> Float[Array, ""] | None:
        """E[log_prob(z)] for every z with these moments; None where they do not determine it."""
        del mean, covariance
        return None
