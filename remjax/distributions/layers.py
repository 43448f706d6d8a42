"""Distributions over layers of latents, and over vectors that are given the shape of a latent."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key, PyTree

from remjax.distributions.base import Distribution

# What a layer depends on: the layer drawn before it. `jax.tree_util.Partial(function, params)`
# makes one whose parameters are leaves, so that gradients and `stop_gradient` reach them.
Conditional = Callable[[Float[Array, " D"]], Distribution]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Layers(Distribution):
    """Layers (z_1, ..., z_L), z_1 nearest the data, each drawn given the one drawn before it.

    Bottom up, as a recognition network: q(z_1) q(z_2 | z_1) ... q(z_L | z_{L-1}). Top down, as a
    prior: p(z_L) p(z_{L-1} | z_L) ... p(z_1 | z_2). The latent is the tuple of the layers. One
    layer alone keeps the closed forms of its distribution; several have none.

    Attributes:
        first: the distribution of the layer that is drawn first.
        conditionals: those of the others given the layer drawn before, in the order of drawing.
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
    def is_discrete(self) -> bool:
        """Whether the layer drawn first is: all layers are taken to be of one kind."""
        return self.first.is_discrete

    def _drawn(
        self, key: Key[Array, ""], draw: Callable[[Distribution, Key[Array, ""]], Array]
    ) -> tuple[list[Distribution], list[Array]]:
        """The distributions and the draws of the layers, in the order of drawing."""
        conditioned, layers = [self.first], [draw(self.first, jax.random.fold_in(key, 0))]
        for place, conditional in enumerate(self.conditionals, start=1):
            conditioned.append(conditional(layers[-1]))
            layers.append(draw(conditioned[-1], jax.random.fold_in(key, place)))
        return conditioned, layers

    def _in_place(self, layers: list[Array]) -> tuple[Array, ...]:
        return tuple(reversed(layers)) if self.top_down else tuple(layers)

    def sample(self, key: Key[Array, ""]) -> tuple[Array, ...]:
        """A draw of all layers, without any gradient."""
        _, layers = self._drawn(key, lambda layer, key: layer.sample(key))
        return lax.stop_gradient(self._in_place(layers))

    def rsample(self, key: Key[Array, ""]) -> tuple[Array, ...]:
        """A draw of all layers that carries the gradient of the parameters of every layer.

        Raises:
            InputError: for discrete layers.
        """
        return self._in_place(self._drawn(key, lambda layer, key: layer.rsample(key))[1])

    def estimated_mean(self, key: Key[Array, ""]) -> tuple[Array, ...]:
        """The mean of each layer given a draw of the one before it: unbiased for E[z]."""
        conditioned, draws = self._drawn(key, lambda layer, key: layer.sample(key))
        pairs = zip(conditioned, draws, strict=True)
        return self._in_place([drawn if of.mean is None else of.mean for of, drawn in pairs])

    def layer_distributions(self, z: tuple[Array, ...]) -> tuple[Distribution, ...]:
        """The distribution of every layer given the one before it, in the order of z."""
        layers = z[::-1] if self.top_down else z
        given = zip(self.conditionals, layers[:-1], strict=True)
        layers = (self.first, *(make(layer) for make, layer in given))
        return layers[::-1] if self.top_down else layers

    def layer_log_probs(self, z: tuple[Array, ...]) -> tuple[Float[Array, ""], ...]:
        """log q(z_l | the layer before it) of every layer, nats, in the order of z."""
        given = zip(self.layer_distributions(z), z, strict=True)
        return tuple(layer.log_prob(value) for layer, value in given)

    def log_prob(self, z: tuple[Array, ...]) -> Float[Array, ""]:
        """sum_l log q(z_l | the layer before it), nats. Gradients reach z and the parameters."""
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
