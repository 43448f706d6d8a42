"""Mixtures of two distributions: by a coin, or even ones whose particles come from both in turn."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from remjax.distributions.base import Distribution, Drawn
from remjax.errors import InputError

# Names the stream of particles of the second of two distributions; the last that fold_in takes.
_SECOND_STREAM = 2**32 - 1


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Mixture(Distribution):
    """(1 - share) first(z) + share second(z), each draw from one or the other by a coin.

    Attributes:
        first: a distribution.
        second: another, over latents of the same form.
        share: of the second, between 0 and 1.
    """

    first: Distribution
    second: Distribution
    share: Float[Array, ""]

    @property
    def is_discrete(self) -> bool:
        """Whether either distribution is."""
        return self.first.is_discrete or self.second.is_discrete

    def sample(self, key: Key[Array, ""]) -> PyTree[Array]:
        """A draw, without any gradient."""
        return self._drawn(key, self.first.sample, self.second.sample)

    def rsample(self, key: Key[Array, ""]) -> PyTree[Array]:
        """The draw of `sample`; its gradient is that of the distribution it came from."""
        return self._drawn(key, self.first.rsample, self.second.rsample)

    def _drawn(self, key: Key[Array, ""], *draws: Callable[[Key[Array, ""]], PyTree]) -> PyTree:
        coin, *noise = jax.random.split(key, 3)
        heads = jax.random.bernoulli(coin, 1.0 - self.share)
        return _choose(heads, *(draw(key) for draw, key in zip(draws, noise, strict=True)))

    def log_prob(self, z: PyTree[Array]) -> Float[Array, ""]:
        """log((1 - share) first(z) + share second(z)), in nats.

        Raises:
            InputError: for parts that are not normalised.
        """
        _check_normalized(self.first, self.second)
        first = jnp.log1p(-self.share) + self.first.log_prob(z)
        return jnp.logaddexp(first, jnp.log(self.share) + self.second.log_prob(z))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Stratified(Distribution):
    """The even mixture of two distributions, its particles drawn from them in turn.

    Particle 2k is particle k of `first` and particle 2k + 1 is particle k, or by a coin k + 1, of a
    stream of `second`. Each is weighted by the density of the one that drew it, so every particle
    is properly weighted even where `second` was made from the particles of `first`. Strata of fixed
    size instead of a coin make the weights less variable.
    """

    first: Distribution
    second: Distribution

    @property
    def mean(self) -> Float[Array, " D"] | None:
        """The average of the two means."""
        a, b = self.first.mean, self.second.mean
        return None if a is None or b is None else 0.5 * (a + b)

    @property
    def variance(self) -> Float[Array, " D"] | None:
        """The average variance plus the variance between the two means."""
        a, b = self.first, self.second
        if a.mean is None or b.mean is None or a.variance is None or b.variance is None:
            return None
        return 0.5 * (a.variance + b.variance) + 0.25 * jnp.square(a.mean - b.mean)

    @property
    def is_discrete(self) -> bool:
        """Whether either distribution is."""
        return self.first.is_discrete or self.second.is_discrete

    def sample(self, key: Key[Array, ""]) -> PyTree[Array]:
        """A draw from one or the other by a fair coin, without any gradient."""
        coin, noise = jax.random.split(key)
        draws = (self.first.sample(noise), self.second.sample(noise))
        return _choose(jax.random.bernoulli(coin), *draws)

    def rsample(self, key: Key[Array, ""]) -> PyTree[Array]:
        """The draw of `sample`; its gradient is that of the distribution it came from."""
        coin, noise = jax.random.split(key)
        draws = (self.first.rsample(noise), self.second.rsample(noise))
        return _choose(jax.random.bernoulli(coin), *draws)

    def log_prob(self, z: PyTree[Array]) -> Float[Array, ""]:
        """log(1/2 first(z) + 1/2 second(z)), in nats.

        Raises:
            InputError: for parts that are not normalised.
        """
        _check_normalized(self.first, self.second)
        return jnp.logaddexp(self.first.log_prob(z), self.second.log_prob(z)) - jnp.log(2.0)

    def particle(self, key: Key[Array, ""], index: Int[Array, ""]) -> Drawn:
        """Particles of the two in turn, see the class.

        Raises:
            InputError: for parts that are not normalised.
        """
        _check_normalized(self.first, self.second)
        first = self.first.particle(key, index // 2)
        # The second stream has a name of its own, which no particle of the first one has. Where the
        # second is in strata too, a coin says which stratum comes first: else an odd number of
        # its particles would always hold one more of the same.
        stream, coin = jax.random.split(jax.random.fold_in(key, _SECOND_STREAM))
        offset = jax.random.bernoulli(coin).astype(index.dtype)
        second = self.second.particle(stream, index // 2 + offset)
        return _choose(index % 2 == 0, first, second)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Balanced(Stratified):
    """`Stratified`, all particles weighted by log(1/2 first + 1/2 second).

    The balance heuristic of multiple importance sampling (Veach & Guibas 1995): no weight exceeds
    twice that under either one. Proper where the two do not depend on these particles.
    """

    def particle(self, key: Key[Array, ""], index: Int[Array, ""]) -> Drawn:
        """The particle of `Stratified`, weighted by the mixture."""
        drawn = super().particle(key, index)
        return drawn._replace(log_q=lax.stop_gradient(self.log_prob(drawn.z)))


def _check_normalized(*parts: Distribution) -> None:
    for part in parts:
        if not part.is_normalized:
            raise InputError(
                f"a mixture needs normalised parts, and log Z of {type(part).__name__} is not "
                "known: choose a proposal that is r or s alone"
            )


def _choose(heads: Bool[Array, ""], first: PyTree, second: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: jnp.where(heads, a, b), first, second)
