"""Distributions over layers of latents, and over vectors that are given the shape of a latent."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key, PyTree

from remjax.distributions.base import Distribution, Smoothed
from remjax.distributions.smoothings import Smoothing

L = TypeVar("L")

# What a layer depends on: all the layers drawn before it, in the order of drawing.
# `jax.tree_util.Partial(function, params)` makes one whose parameters are leaves, so that gradients
# and `stop_gradient` reach them.
Conditional = Callable[[tuple[Array, ...]], Distribution]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Layers(Distribution):
    """Layers (z_1, ..., z_L), z_1 nearest the data, each drawn given those drawn before it.

    Bottom up, as a recognition network: q(z_1) q(z_2 | z_1) ... q(z_L | z_1, ..., z_{L-1}). Top
    down, as a prior: p(z_L) p(z_{L-1} | z_L) ... p(z_1 | z_L, ..., z_2). The latent is the tuple of
    the layers. One layer alone keeps the closed forms of its distribution; several have none.

    Attributes:
        first: the distribution of the layer that is drawn first.
        conditionals: those of the others, each a function of the tuple of the layers drawn before
            it; in the order of drawing.
        top_down: draw z_L first.
    """

    first: Distribution
    conditionals: tuple[Conditional, ...]
    top_down: bool = dataclasses.field(default=False, metadata={"static": True})

    @property
    def mean(self) -> Float[Array, " D"] | None:
        """That of the flattened latent, for one layer; None for several."""
        return None if self.conditionals else self.first.mean

    @property
    def variance(self) -> Float[Array, " D"] | None:
        """That of the flattened latent, for one layer; None for several."""
        return None if self.conditionals else self.first.variance

    @property
    def is_normalized(self) -> bool:
        """Whether the layer drawn first is: all layers are taken to be of one kind."""
        return self.first.is_normalized

    @property
    def is_discrete(self) -> bool:
        """Whether the layer drawn first is: all layers are taken to be of one kind."""
        return self.first.is_discrete

    @property
    def is_relaxed(self) -> bool:
        """Whether the layer drawn first is: all layers are taken to be of one kind."""
        return self.first.is_relaxed

    @property
    def smoothed_by(self) -> Smoothing | None:
        """That of the layer drawn first: all layers are taken to be of one kind."""
        return self.first.smoothed_by

    def _drawn(
        self, key: Key[Array, ""], draw: Callable[[Distribution, Key[Array, ""]], Array]
    ) -> tuple[list[Distribution], list[Array]]:
        """The distributions and the draws of the layers, in the order of drawing."""
        conditioned, layers = [self.first], [draw(self.first, jax.random.fold_in(key, 0))]
        for place, conditional in enumerate(self.conditionals, start=1):
            conditioned.append(conditional(tuple(layers)))
            layers.append(draw(conditioned[-1], jax.random.fold_in(key, place)))
        return conditioned, layers

    def latent(self, layers: Sequence[Array]) -> PyTree[Array]:
        """The latent that these layers (z_1, ..., z_L) are."""
        return tuple(layers)

    def layers(self, z: PyTree[Array]) -> tuple[Array, ...]:
        """The layers (z_1, ..., z_L) of a latent: the inverse of `latent`."""
        return tuple(z)

    def in_order(self, items: Sequence[L]) -> tuple[L, ...]:
        """What belongs to (z_1, ..., z_L) in the order of drawing; and from there back."""
        return tuple(reversed(items)) if self.top_down else tuple(items)

    def hard(self) -> "Layers":
        """The layers of what stands behind each (`Distribution.hard`)."""
        conditionals = tuple(Partial(_hard, conditional) for conditional in self.conditionals)
        return dataclasses.replace(self, first=self.first.hard(), conditionals=conditionals)

    def sample(self, key: Key[Array, ""]) -> PyTree[Array]:
        """A draw of all layers, without any gradient."""
        _, layers = self._drawn(key, lambda layer, key: layer.sample(key))
        return lax.stop_gradient(self.latent(self.in_order(layers)))

    def rsample(self, key: Key[Array, ""]) -> PyTree[Array]:
        """A draw of all layers that carries the gradient of the parameters of every layer.

        Raises:
            InputError: for discrete layers.
        """
        _, layers = self._drawn(key, lambda layer, key: layer.rsample(key))
        return self.latent(self.in_order(layers))

    def estimated_mean(self, key: Key[Array, ""]) -> PyTree[Array]:
        """The mean of each layer given a draw of those before it: unbiased for E[z]."""
        conditioned, draws = self._drawn(key, lambda layer, key: layer.sample(key))
        pairs = zip(conditioned, draws, strict=True)
        return self.latent(
            self.in_order([drawn if of.mean is None else of.mean for of, drawn in pairs])
        )

    def layer_distributions(self, z: PyTree[Array]) -> tuple[Distribution, ...]:
        """The distribution of every layer given those before it, in the order of the layers."""
        drawn = self.in_order(self.layers(z))
        before = zip(self.conditionals, range(1, len(drawn)), strict=True)
        return self.in_order((self.first, *(make(drawn[:place]) for make, place in before)))

    def layer_log_probs(self, z: PyTree[Array]) -> tuple[Float[Array, ""], ...]:
        """log q(z_l | the layers before it) of every layer, nats, in the order of the layers."""
        pairs = zip(self.layer_distributions(z), self.layers(z), strict=True)
        return tuple(layer.log_prob(value) for layer, value in pairs)

    def log_prob(self, z: PyTree[Array]) -> Float[Array, ""]:
        """sum_l log q(z_l | the layers before it), nats. Gradients reach z and the parameters."""
        return jnp.sum(jnp.stack(self.layer_log_probs(z)))

    def kl_divergence(self, other: Distribution) -> Float[Array, ""] | None:
        """KL(self || other) in nats between two single layers; None for several."""
        if not isinstance(other, Layers) or self.conditionals or other.conditionals:
            return None
        return self.first.kl_divergence(other.first)

    def expected_log_prob(
        self, mean: Float[Array, " D"], covariance: Float[Array, "D D"]
    ) -> Float[Array, ""] | None:
        """E[log_prob(z)] for one layer that has it; None for several."""
        return None if self.conditionals else self.first.expected_log_prob(mean, covariance)

    def matched(self, mean: Float[Array, " D"], covariance: Float[Array, "D D"]) -> Distribution:
        """That of the layers' kind over all of them jointly, as one vector."""
        return self.first.matched(mean, covariance)


def _hard(conditional: Conditional, given: tuple[Array, ...]) -> Distribution:
    return conditional(given).hard()


@dataclasses.dataclass(frozen=True)
class Groups(Layers):
    """Layers whose latent is ONE vector [D], the layers joined: groups of the same variables.

    What a prior sees that knows nothing of the groups: q(z) = prod_l q(z_l | z_1, ..., z_{l-1}).

    Attributes:
        sizes: of the groups z_1, ..., z_L, whose sum is D; one group alone needs none. Static.
        num_smoothed: the last groups, which `smoothed` has at their means. Static.
    """

    sizes: tuple[int, ...] = ()
    num_smoothed: int = 1

    def latent(self, layers: Sequence[Array]) -> Float[Array, " D"]:
        """The groups joined to one vector."""
        return jnp.concatenate(layers)

    def layers(self, z: Float[Array, " D"]) -> tuple[Array, ...]:
        """The groups of a vector."""
        return tuple(jnp.split(z, np.cumsum(self.sizes)[:-1]))

    def kl_divergence(self, other: Distribution) -> Float[Array, ""] | None:
        """KL(self || other) in nats where there is one group; None for several."""
        return None if self.conditionals else self.first.kl_divergence(other)

    def smoothed(self, key: Key[Array, ""]) -> Smoothed:
        """The draw of `rsample`, the last `num_smoothed` groups at their means given those before.

        Of bits, the mean of a function linear in each of the last group's, as the energy of a
        Boltzmann machine is; with more groups than one, of a function without products of bits of
        different ones: those of the second side of a restricted machine. log_q is the sum of the
        means of log q(z_l | z_1, ..., z_{l-1}), the groups before as drawn.
        """
        conditioned, drawn = self._drawn(key, lambda layer, key: layer.rsample(key))
        means = [
            layer.smoothed(jax.random.fold_in(key, place)).z
            for place, layer in enumerate(conditioned)
        ]
        fixed = lax.stop_gradient(self).layer_distributions(self.latent(self.in_order(drawn)))
        log_q = [of.log_prob(mean) for of, mean in zip(fixed, self.in_order(means), strict=True)]
        kept = max(len(drawn) - self.num_smoothed, 0)
        z = self.latent(self.in_order([*drawn[:kept], *means[kept:]]))
        return Smoothed(z, jnp.sum(jnp.stack(log_q)))


jax.tree_util.register_dataclass(
    Groups,
    data_fields=["first", "conditionals"],
    meta_fields=["top_down", "sizes", "num_smoothed"],
)


def flat_form(
    distribution: Distribution,
) -> tuple[Float[Array, " D"], Callable[[Float[Array, " D"]], PyTree[Array]]]:
    """Zeros in the place of a latent, flattened, and the way back from there to its form."""
    template = jax.eval_shape(distribution.sample, jax.random.key(0))
    return ravel_pytree(jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), template))


@dataclasses.dataclass(frozen=True)
class Unflattened(Distribution):
    """A distribution over vectors whose draws are given the shape of a pytree.

    Attributes:
        flat: the distribution of the flattened latent [D].
        unflatten: vector -> latent, the inverse of `ravel_pytree`; static.
    """

    flat: Distribution
    unflatten: Callable[[Float[Array, " D"]], PyTree[Array]]

    @property
    def mean(self) -> Float[Array, " D"] | None:
        """That of the flattened latent."""
        return self.flat.mean

    @property
    def variance(self) -> Float[Array, " D"] | None:
        """That of the flattened latent."""
        return self.flat.variance

    @property
    def is_discrete(self) -> bool:
        """As the flat distribution."""
        return self.flat.is_discrete

    @property
    def is_relaxed(self) -> bool:
        """As the flat distribution."""
        return self.flat.is_relaxed

    def estimated_mean(self, key: Key[Array, ""]) -> PyTree[Array]:
        """The mean, in the shape of the latent."""
        return self.unflatten(self.flat.estimated_mean(key))

    def sample(self, key: Key[Array, ""]) -> PyTree[Array]:
        """A draw, without any gradient."""
        return self.unflatten(self.flat.sample(key))

    def rsample(self, key: Key[Array, ""]) -> PyTree[Array]:
        """A draw that carries the gradient of the parameters."""
        return self.unflatten(self.flat.rsample(key))

    def log_prob(self, z: PyTree[Array]) -> Float[Array, ""]:
        """Log density at z, in nats. Gradients reach z and the parameters."""
        return self.flat.log_prob(ravel_pytree(z)[0])


jax.tree_util.register_dataclass(Unflattened, data_fields=["flat"], meta_fields=["unflatten"])
