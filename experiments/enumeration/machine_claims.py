"""What methods claim of their gradients with a Boltzmann machine as prior: sums over all states."""

import dataclasses
import functools
import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key, PyTree

from experiments.enumeration.machine_posteriors import Kind, every
from remjax.boltzmann import RBM, log_partition
from remjax.boltzmann.likelihood import sample_of
from remjax.boltzmann.normalized import split
from remjax.boltzmann.phases import Negative, NegativePhase
from remjax.models import bernoulli_likelihood, boltzmann_model, prior_machine
from remjax.types import Batch, Model, Params

X = jnp.array([1.0, 0.0, 1.0])


@functools.cache
def _model(side_size: int) -> Model:
    return boltzmann_model(
        bernoulli_likelihood(np.array([0.4, 0.6, 0.3])),
        visible_size=side_size,
        hidden_size=side_size,
        hidden_sizes=(4,),
    )


def model_of(kind: Kind) -> Model:
    """A model with a machine of the same bits as prior."""
    return _model(kind.states.shape[1] // 2)


def log_weights(params: Params, kind: Kind, power: float) -> Float[Array, " C"]:
    """log p(x | z) + power (log p(z) - log q(z)) of every state, log Z by summation."""
    machine, model = prior_machine(params.theta), model_of(kind)
    log_prior = -machine.energy(split(machine, kind.states)) - log_partition(machine)
    log_likelihood = jax.vmap(lambda z: model.log_likelihood(params.theta, X, z))(kind.states)
    return log_likelihood + power * (log_prior - kind.log_q(params.eta))


def tuples_of(kind: Kind, count: int) -> np.ndarray:
    """The numbers of the states of every tuple of K particles [T, K]."""
    return np.array(list(itertools.product(range(len(kind.states)), repeat=count)))


@dataclasses.dataclass(frozen=True)
class EveryState(NegativePhase):
    """Every visible state, weighted by its probability: a prior's log Z without noise."""

    def init(self, key: Key[Array, ""], machine: RBM) -> PyTree:
        """Nothing."""
        del key, machine
        return ()

    def advance(
        self, key: Key[Array, ""], machine: RBM, state: PyTree, batch: Batch
    ) -> tuple[Negative, PyTree, dict[str, Array]]:
        """The same states again."""
        del key, batch
        side = every(machine.sizes[0])
        weights = len(side) * jax.nn.softmax(-machine.free_energy(side))
        return Negative(sample_of(machine, side, weights), log_partition(machine)), state, {}


# (params, posterior, K, power of p(z) / q(z)) -> nats.
Loss = Callable[[Params, Kind, int, float], Float[Array, ""]]


def bound(params: Params, kind: Kind, count: int, power: float) -> Float[Array, ""]:
    """Minus the expectation of log 1/K sum_k w_k over every tuple; for K = 1 the lower bound."""
    tuples = tuples_of(kind, count)
    probability = jnp.exp(jnp.sum(kind.log_q(params.eta)[tuples], axis=1))
    log_w = log_weights(params, kind, power)[tuples]
    return -probability @ (jax.nn.logsumexp(log_w, axis=1) - jnp.log(count))


def lower_bound(params: Params, kind: Kind, _count: int, power: float) -> Float[Array, ""]:
    """Minus the evidence lower bound, whatever K is."""
    return bound(params, kind, 1, power)


def wake(params: Params, kind: Kind, count: int, power: float) -> Float[Array, ""]:
    """-E sum_k w_k log q(z_k): neither the particles nor their weights move."""
    tuples = tuples_of(kind, count)
    fixed, log_q = lax.stop_gradient(params), kind.log_q(params.eta)
    probability = jnp.exp(jnp.sum(kind.log_q(fixed.eta)[tuples], axis=1))
    weights = jax.nn.softmax(log_weights(fixed, kind, power)[tuples], axis=1)
    return -probability @ jnp.sum(weights * log_q[tuples], axis=1)


def matched(params: Params, kind: Kind, count: int, power: float) -> Float[Array, ""]:
    """-E sum_k w_k (log p(x, z_k) + log q(z_k)), K of s and the weights those of s."""
    tuples = tuples_of(kind, count)
    fixed = lax.stop_gradient(params)
    log_q, log_s = kind.log_q(fixed.eta), log_matched(fixed, kind, tuples)
    log_joint = log_weights(params, kind, power) + kind.log_q(params.eta)
    of_s = log_s[:, tuples]
    probability = jnp.exp(jnp.sum(log_q[tuples], axis=1)[:, None] + jnp.sum(of_s, axis=2))
    weights = jax.nn.softmax(lax.stop_gradient(log_joint)[tuples] - of_s, axis=2)
    ascended = (log_joint + kind.log_q(params.eta))[tuples]
    return -jnp.sum(probability * jnp.sum(weights * ascended, axis=2))


def log_matched(params: Params, kind: Kind, of_q: Array | np.ndarray) -> Float[Array, "T C"]:
    """log s of every state: bits with the means of particles of q, shrunk to the plain ones."""
    states = kind.states
    weights = jax.nn.softmax(log_weights(params, kind, 1.0)[of_q], axis=1)
    size = states.shape[1]
    intensity = (size / (1.0 / jnp.sum(jnp.square(weights), axis=1) + size))[:, None]
    weighted = jnp.einsum("tk,tkd->td", weights, states[of_q])
    mean = (1.0 - intensity) * weighted + intensity * jnp.mean(states[of_q], axis=1)
    # No value of a bit ever becomes impossible.
    mean = jnp.clip(mean, 0.01, 0.99)
    return jnp.log(mean) @ states.T + jnp.log1p(-mean) @ (1.0 - states).T
