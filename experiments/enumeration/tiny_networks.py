"""Networks of latents so few that everything can be summed over, and what is then exact.

A configuration is a value of all latents; a draw of K particles is a tuple of configurations. An
`Assigned` distribution gives the particles that are assigned to it, so that an estimator,
unchanged, can be run on every tuple in turn and its expected gradient is a finite sum.
"""

import dataclasses
import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Key, PyTree

from remjax.distributions.base import Distribution, Drawn
from remjax.distributions.layers import Layers
from remjax.models.layered import (
    deep_categorical_model,
    deep_categorical_recognition,
    sigmoid_belief_network,
    sigmoid_belief_recognition,
)
from remjax.models.likelihoods import bernoulli_likelihood
from remjax.types import Batch, Estimator, Model, Params, Recognition

DATA_SIZE = 3
X = jnp.array([1.0, 0.0, 1.0])

# K configurations: one array [K, D] per layer.
Configurations = tuple[Float[Array, "K D"], ...]


class Latents(NamedTuple):
    """The latents of a network.

    Attributes:
        sizes: the number of variables of each layer, z_1 first.
        num_categories: of each variable, which is then one-hot; None for bits.
    """

    sizes: tuple[int, ...]
    num_categories: int | None = None

    @property
    def values(self) -> np.ndarray:
        """What one variable can be, a row each."""
        if self.num_categories is None:
            return np.array([[0.0], [1.0]], np.float32)
        return np.eye(self.num_categories, dtype=np.float32)

    def networks(self) -> tuple[Model, Recognition]:
        """The model of three pixels, and the recognition network."""
        likelihood = bernoulli_likelihood(np.array([0.4, 0.5, 0.7]))
        mean = np.full(DATA_SIZE, 0.5)
        if self.num_categories is None:
            sizes = {"latent_sizes": self.sizes}
            return (
                sigmoid_belief_network(likelihood, **sizes),
                sigmoid_belief_recognition(mean, **sizes),
            )
        sizes = {"latent_sizes": self.sizes, "num_categories": self.num_categories}
        return (
            deep_categorical_model(likelihood, **sizes),
            deep_categorical_recognition(mean, **sizes),
        )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Assigned(Distribution):
    """Any distribution, whose particle k is the one assigned to it, weighted as ever.

    Attributes:
        own: the distribution.
        assigned: its particles.
    """

    own: Distribution
    assigned: Configurations

    def rsample(self, key: Key[Array, ""]) -> PyTree[Array]:
        """As the distribution."""
        return self.own.rsample(key)

    def log_prob(self, z: PyTree[Array]) -> Float[Array, ""]:
        """As the distribution."""
        return self.own.log_prob(z)

    def particle(self, key: Key[Array, ""], index: Int[Array, ""]) -> Drawn:
        """The one that was assigned to this index."""
        return _assigned(self, self.assigned, key, index)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class AssignedLayers(Layers):
    """Layers whose particle k is the one assigned to it, weighted as ever."""

    assigned: Configurations

    def particle(self, key: Key[Array, ""], index: Int[Array, ""]) -> Drawn:
        """The one that was assigned to this index."""
        return _assigned(self, self.assigned, key, index)


def _assigned(
    own: Distribution, assigned: Configurations, key: Key[Array, ""], index: Int[Array, ""]
) -> Drawn:
    z = jax.tree.map(lambda layer: layer[index], assigned)
    return Drawn(z, key, lax.stop_gradient(own.log_prob(z)))


class TinyNetwork:
    """A network with generic parameters, all its configurations and their distributions.

    Attributes:
        latents: its latents.
        model: p_theta(x, z), of three pixels.
        recognition: r_eta(z | x).
        params: theta and eta.
        configurations: every value of the latents, C of them.
        count: C.
    """

    def __init__(self, latents: Latents) -> None:
        self.latents = latents
        self.model, self.recognition = latents.networks()
        keys = jax.random.split(jax.random.key(0), 2)
        # Away from the symmetries of the start: biases are not zero.
        self.params = jax.tree.map(
            lambda leaf: leaf + 0.7 * np.random.default_rng(leaf.size).normal(size=leaf.shape),
            Params(self.model.init(keys[0]), self.recognition.init(keys[1])),
        )
        values, sizes = latents.values, latents.sizes
        every = list(itertools.product(values, repeat=sum(sizes)))
        flat = np.array([np.concatenate(one) for one in every])
        layers = np.split(flat, np.cumsum(sizes)[:-1] * values.shape[1], axis=1)
        self.configurations = tuple(jnp.asarray(layer) for layer in layers)
        self.count = len(flat)

    def at(self, index: Int[Array, " K"]) -> Configurations:
        """The configurations of these numbers."""
        return jax.tree.map(lambda layer: layer[index], self.configurations)

    def tuples(self, num_particles: int) -> Int[np.ndarray, "T K"]:
        """Every tuple of configurations, by their numbers."""
        return np.array(list(itertools.product(range(self.count), repeat=num_particles)))

    def log_r(self, eta: PyTree, x: Float[Array, " X"] = X) -> Float[Array, " C"]:
        """log r(z | x) of every configuration."""
        return jax.vmap(self.recognition.r(eta, x).log_prob)(self.configurations)

    def log_joint(self, theta: PyTree, x: Float[Array, " X"] = X) -> Float[Array, " C"]:
        """log p(x, z) of every configuration."""
        return jax.vmap(self.model.joint(theta, x))(self.configurations)

    def bound(self, params: Params, num_particles: int) -> Float[Array, ""]:
        """L_K, the expectation over every tuple, nats."""
        tuples = self.tuples(num_particles)
        log_r = self.log_r(params.eta)
        log_w = (self.log_joint(params.theta) - log_r)[tuples]
        probability = jnp.exp(jnp.sum(log_r[tuples], axis=1))
        estimate = jax.scipy.special.logsumexp(log_w, axis=1) - jnp.log(num_particles)
        return probability @ estimate

    def assigning(self, assigned: Configurations) -> Recognition:
        """The recognition network whose particles are assigned."""

        def distribution(eta: PyTree, x: Float[Array, " X"]) -> AssignedLayers:
            r = self.recognition.r(eta, x)
            return AssignedLayers(
                first=r.first, conditionals=r.conditionals, top_down=r.top_down, assigned=assigned
            )

        return Recognition(self.recognition.init, distribution)


network = functools.cache(TinyNetwork)


def gradient_of(
    estimator: Estimator, params: Params, state: PyTree = (), x: Float[Array, " X"] = X
) -> Params:
    """The gradient of both losses together, of one datapoint."""

    def loss(params: Params) -> Float[Array, ""]:
        batch = Batch(x[None], jnp.zeros(1, int))
        estimate, _ = estimator.estimate(params, state, jax.random.key(0), batch)
        return estimate.theta_loss + estimate.eta_loss

    return jax.grad(loss)(params)
