"""Even mixtures of two laws, their particles drawn from both in turn."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Key

from remjax.distributions import Distribution, Drawn

# Names the stream of particles of the second of two laws; the last that fold_in takes.
_SECOND_STREAM = 2**32 - 1


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Stratified(Distribution):
    """The even mixture of two laws, its particles drawn from them in turn.

    Particle 2k is particle k of `first` and particle 2k + 1 is particle k, or by a coin k + 1, of a
    stream of `second`.
    Each is weighted by the density of its own law, so every particle is properly weighted even
    where `second` was made from the particles of `first`. Strata of fixed size instead of a coin
    make the weights less variable.
    """

    first: Distribution
    second: Distribution

    @property
    def mean(self) -> Float[Array, " D"]:
        """The average of the two means."""
        return 0.5 * (self.first.mean + self.second.mean)

    @property
    def variance(self) -> Float[Array, " D"]:
        """The average variance plus the variance between the two means."""
        between = 0.25 * jnp.square(self.first.mean - self.second.mean)
        return 0.5 * (self.first.variance + self.second.variance) + between

    def rsample(self, key: Key[Array, ""]) -> Float[Array, " D"]:
        """A draw from one law or the other by a fair coin, which itself carries no gradient."""
        coin, noise = jax.random.split(key)
        heads = jax.random.bernoulli(coin)
        return jnp.where(heads, self.first.rsample(noise), self.second.rsample(noise))

    def log_prob(self, z: Float[Array, " D"]) -> Float[Array, ""]:
        """log(1/2 first(z) + 1/2 second(z)), in nats."""
        return jnp.logaddexp(self.first.log_prob(z), self.second.log_prob(z)) - jnp.log(2.0)

    def particle(self, key: Key[Array, ""], index: Int[Array, ""]) -> Drawn:
        """Particles of the two laws in turn, see the class."""
        first = self.first.particle(key, index // 2)
        # The second stream has a name of its own, which no particle of the first one has. Where the
        # second law is in strata too, a coin says which stratum comes first: else an odd number of
        # its particles would always hold one more of the same.
        stream, coin = jax.random.split(jax.random.fold_in(key, _SECOND_STREAM))
        offset = jax.random.bernoulli(coin).astype(index.dtype)
        second = self.second.particle(stream, index // 2 + offset)
        return jax.tree.map(lambda a, b: jnp.where(index % 2 == 0, a, b), first, second)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Balanced(Stratified):
    """`Stratified`, all particles weighted by log(1/2 first + 1/2 second).

    The balance heuristic of multiple importance sampling (Veach & Guibas 1995): no weight exceeds
    twice that under either law. Proper where the two laws do not depend on these particles.
    """

    def particle(self, key: Key[Array, ""], index: Int[Array, ""]) -> Drawn:
        """The particle of `Stratified`, weighted by the mixture."""
        drawn = super().particle(key, index)
        return drawn._replace(log_q=lax.stop_gradient(self.log_prob(drawn.z)))
