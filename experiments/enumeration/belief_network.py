"""Sigmoid belief networks so small that everything can be summed over, and what is then exact.

A configuration is a value of all latents; a draw of K particles is a tuple of configurations. An
`Assigned` distribution gives the particles that were assigned to it, so that an estimator,
unchanged, can be run on every tuple in turn and its expected gradient is a finite sum.
"""

import dataclasses
import functools
import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, PyTree

from remjax.distributions import Drawn
from remjax.distributions.layers import Layers
from remjax.models.layered import sigmoid_belief_network, sigmoid_belief_recognition
from remjax.models.likelihoods import bernoulli_likelihood
from remjax.types import Batch, Estimator, Params, Recognition

DATA_SIZE = 3
X = jnp.array([1.0, 0.0, 1.0])

# K configurations: one array [K, D] per layer.
Configurations = tuple[Float[Array, "K D"], ...]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Assigned(Layers):
    """A chain whose particle k is the one assigned to it, weighted by the chain as ever."""

    assigned: Configurations

    def particle(self, key: Array, index: Array) -> Drawn:
        """The one that was assigned to this index."""
        z = jax.tree.map(lambda layer: layer[index], self.assigned)
        return Drawn(z, key, lax.stop_gradient(self.log_prob(z)))

    @classmethod
    def of(cls, chain: Layers, assigned: Configurations) -> "Assigned":
        """The chain with these particles."""
        return cls(
            first=chain.first,
            conditionals=chain.conditionals,
            top_down=chain.top_down,
            assigned=assigned,
        )


class SigmoidBelief:
    """A network of these layers with generic parameters, its configurations, their distributions.

    Attributes:
        model: p_theta(x, z), of three pixels.
        recognition: r_eta(z | x).
        params: theta and eta.
        configurations: every value of the latents, C of them.
        count: C.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self.model = sigmoid_belief_network(
            bernoulli_likelihood(np.array([0.4, 0.5, 0.7])), latent_sizes=sizes
        )
        self.recognition = sigmoid_belief_recognition(np.full(DATA_SIZE, 0.5), latent_sizes=sizes)
        keys = jax.random.split(jax.random.key(0), 2)
        # Away from the symmetries of the start: biases are not zero.
        self.params = jax.tree.map(
            lambda leaf: leaf + 0.7 * np.random.default_rng(leaf.size).normal(size=leaf.shape),
            Params(self.model.init(keys[0]), self.recognition.init(keys[1])),
        )
        bits = np.array(list(itertools.product((0.0, 1.0), repeat=sum(sizes))), np.float32)
        layers = np.split(bits, np.cumsum(sizes)[:-1], axis=1)
        self.configurations = tuple(jnp.asarray(layer) for layer in layers)
        self.count = len(bits)

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

        def distribution(eta: PyTree, x: Float[Array, " X"]) -> Assigned:
            return Assigned.of(self.recognition.r(eta, x), assigned)

        return Recognition(self.recognition.init, distribution)


network = functools.cache(SigmoidBelief)


def gradient_of(
    estimator: Estimator, params: Params, state: PyTree = (), x: Float[Array, " X"] = X
) -> Params:
    """The gradient of both losses together, of one datapoint."""

    def loss(params: Params) -> Float[Array, ""]:
        batch = Batch(x[None], jnp.zeros(1, int))
        estimate, _ = estimator.estimate(params, state, jax.random.key(0), batch)
        return estimate.theta_loss + estimate.eta_loss

    return jax.grad(loss)(params)
