"""A model with a prior machine of 3 + 3 bits, all of whose configurations can be summed over."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from remjax import Batch, boltzmann
from remjax.boltzmann import NegativePhase, log_partition
from remjax.boltzmann.likelihood import sample_of
from remjax.boltzmann.phases import Negative
from remjax.distributions import Bernoulli, Drawn
from remjax.models import MLP, bernoulli_likelihood, boltzmann_model, prior_machine, pure
from remjax.types import Params, Recognition

SIDE, DATA_SIZE = 3, 4
X = jnp.array([1.0, 0.0, 1.0, 1.0])
STATES = jnp.asarray(list(itertools.product((0.0, 1.0), repeat=2 * SIDE)))
LIKELIHOOD = bernoulli_likelihood(np.array([0.4, 0.5, 0.7, 0.2]))
MODEL = boltzmann_model(LIKELIHOOD, visible_size=SIDE, hidden_size=SIDE, hidden_sizes=(5,))


def independent_recognition() -> Recognition:
    """Independent bits in one vector."""
    init, bind = pure(lambda rngs: MLP(DATA_SIZE, (4,), 2 * SIDE, rngs=rngs))
    return Recognition(init, lambda eta, x: Bernoulli(bind(eta)(x - 0.5)))


RECOGNITION = independent_recognition()


def perturbed(tree, scale=0.7):
    """The leaves with noise of their own, away from the symmetries of the start."""
    rng = np.random.default_rng(3)
    return jax.tree.map(
        lambda leaf: leaf + jnp.asarray(scale * rng.normal(size=leaf.shape), leaf.dtype), tree
    )


@functools.cache
def params() -> Params:
    """Generic parameters."""
    keys = jax.random.split(jax.random.key(0))
    return perturbed(Params(MODEL.init(keys[0]), RECOGNITION.init(keys[1])))


@dataclasses.dataclass(frozen=True)
class Enumerated(NegativePhase):
    """Every visible state, weighted by its probability: no noise at all."""

    def init(self, key, machine):
        return ()

    def advance(self, key, machine, state, batch):
        visible = jnp.asarray(list(itertools.product((0.0, 1.0), repeat=machine.sizes[0])))
        log_p = -machine.free_energy(visible)
        weights = len(visible) * jax.nn.softmax(log_p)
        return Negative(sample_of(machine, visible, weights), log_partition(machine)), state, {}


def normalized_model():
    """The same model, log Z by enumeration and automatic differentiation."""

    def log_prior(theta, z):
        machine = prior_machine(theta)
        units = boltzmann.Units(z[:SIDE], z[SIDE:])
        return -machine.energy(units) - log_partition(machine)

    return MODEL._replace(log_prior=log_prior)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Assigned(Bernoulli):
    """Bits whose particle k is the one assigned to it, weighted as ever."""

    assigned: jax.Array

    def particle(self, key, index):
        z = self.assigned[index]
        return Drawn(z, key, jax.lax.stop_gradient(self.log_prob(z)))


def log_prior(theta):
    """log p(z) of every state; log Z by summation, differentiable."""
    machine = prior_machine(theta)
    v, h = STATES[:, :SIDE], STATES[:, SIDE:]
    gain = v @ machine.visible_bias + h @ machine.hidden_bias
    gain += jnp.sum((v @ machine.weights) * h, axis=1)
    return gain - jax.nn.logsumexp(gain)


def log_joint(theta, x=X):
    """log p(x, z) of every state."""
    return log_prior(theta) + jax.vmap(lambda z: MODEL.log_likelihood(theta, x, z))(STATES)


def log_r(eta, x=X):
    """log r(z | x) of every state."""
    return jax.vmap(RECOGNITION.r(eta, x).log_prob)(STATES)


def tuples(num_particles):
    """Every tuple of states, by their numbers."""
    count = len(STATES)
    return jnp.asarray(list(itertools.product(range(count), repeat=num_particles)))


def bound(params, num_particles):
    """L_K over every tuple, nats."""
    every, own = tuples(num_particles), log_r(params.eta)
    log_w = (log_joint(params.theta) - own)[every]
    estimate = jax.nn.logsumexp(log_w, axis=1) - jnp.log(num_particles)
    return jnp.exp(jnp.sum(own[every], axis=1)) @ estimate


def expected_gradient(make, params, num_particles):
    """The gradient of both losses, averaged over every tuple of particles of r.

    Args:
        make: recognition -> estimator.
        params: where.
        num_particles: of each tuple.
    """

    def on_tuple(numbers):
        assigned = STATES[numbers]
        estimator = make(
            Recognition(
                RECOGNITION.init,
                lambda eta, x: Assigned(RECOGNITION.distribution(eta, x).logits, assigned),
            )
        )
        state = estimator.init(jax.random.key(1))[1]

        def loss(params):
            batch = Batch(X[None], jnp.zeros(1, int))
            estimate, _ = estimator.estimate(params, state, jax.random.key(0), batch)
            return estimate.theta_loss + estimate.eta_loss

        return jax.grad(loss)(params)

    @jax.jit
    def expected(params):
        every = tuples(num_particles)
        gradients = jax.lax.map(on_tuple, every, batch_size=64)
        weight = jnp.exp(jnp.sum(log_r(params.eta)[every], axis=1))
        return jax.tree.map(lambda leaf: jnp.tensordot(weight, leaf, 1), gradients)

    return expected(params)
