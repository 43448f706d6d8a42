"""Sigmoid belief networks so small that everything can be summed over, and what is then exact.

A configuration is a value of all latents; a draw of K particles is a tuple of configurations. An
`Assigned` law gives the particles that it is told to, so that an estimator, unchanged, can be run
on every tuple in turn and its expected gradient is a finite sum.
"""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from remjax.chains import Chain
from remjax.distributions import Drawn
from remjax.hierarchies import sigmoid_belief_network, sigmoid_belief_recognition
from remjax.models import bernoulli_likelihood
from remjax.types import Batch, Params, Recognition

DATA_SIZE = 3
X = jnp.array([1.0, 0.0, 1.0])


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Assigned(Chain):
    """A chain whose particle k is the one assigned to it, weighted by the chain as ever."""

    assigned: tuple[jax.Array, ...]

    def particle(self, key, index):
        z = jax.tree.map(lambda layer: layer[index], self.assigned)
        return Drawn(z, key, lax.stop_gradient(self.log_prob(z)))

    @classmethod
    def of(cls, chain, assigned):
        return cls(
            first=chain.first,
            conditionals=chain.conditionals,
            top_down=chain.top_down,
            assigned=assigned,
        )


class SigmoidBelief:
    """A network of these layers with generic parameters, all its configurations and their laws."""

    def __init__(self, sizes):
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

    def at(self, index):
        """The configurations of these numbers."""
        return jax.tree.map(lambda layer: layer[index], self.configurations)

    def tuples(self, num_particles):
        """Every tuple of configurations, by their numbers [T, K]."""
        return np.array(list(itertools.product(range(self.count), repeat=num_particles)))

    def log_r(self, eta, x=X):
        """log r(z | x) of every configuration."""
        return jax.vmap(self.recognition.distribution(eta, x).log_prob)(self.configurations)

    def log_joint(self, theta, x=X):
        """log p(x, z) of every configuration."""
        return jax.vmap(self.model.joint(theta, x))(self.configurations)

    def bound(self, params, num_particles):
        """L_K, the expectation over every tuple, nats."""
        tuples = self.tuples(num_particles)
        log_r = self.log_r(params.eta)
        log_w = (self.log_joint(params.theta) - log_r)[tuples]
        probability = jnp.exp(jnp.sum(log_r[tuples], axis=1))
        estimate = jax.scipy.special.logsumexp(log_w, axis=1) - jnp.log(num_particles)
        return probability @ estimate

    def assigning(self, assigned):
        """The recognition network whose particles are assigned."""

        def distribution(eta, x):
            return Assigned.of(self.recognition.distribution(eta, x), assigned)

        return Recognition(self.recognition.init, distribution)


network = functools.cache(SigmoidBelief)


def gradient_of(estimator, params, state=(), x=X):
    """The gradient of both losses together, of one datapoint."""

    def loss(params):
        batch = Batch(x[None], jnp.zeros(1, int))
        estimate, _ = estimator.estimate(params, state, jax.random.key(0), batch)
        return estimate.theta_loss + estimate.eta_loss

    return jax.grad(loss)(params)


def expectation(probability, rows):
    """sum_t probability_t rows_t in float64."""
    probability = np.asarray(probability, np.float64)
    np.testing.assert_allclose(probability.sum(), 1.0, atol=1e-5)
    return jax.tree.map(
        lambda leaf: np.tensordot(probability, np.asarray(leaf, np.float64), 1), rows
    )


def assert_equal(ours, claimed):
    """Each element to 1e-5: what float32 leaves of sums over all tuples."""
    pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(claimed), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(one, other, atol=1e-5)
