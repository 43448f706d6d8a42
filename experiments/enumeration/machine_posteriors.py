"""Posteriors whose particles are told what they are, so that every draw can be summed over."""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Key, PyTree

from remjax.boltzmann import RBM, MarginalPosterior, UndirectedPosterior, Units
from remjax.boltzmann.posterior import Noise
from remjax.boltzmann.pytrees import frozen_pytree
from remjax.distributions import Bernoulli, RelaxedBernoulli, StraightThrough
from remjax.distributions.base import Distribution, Drawn


def every(size: int) -> Float[Array, "C N"]:
    """All states of so many bits."""
    return jnp.asarray(list(itertools.product((0.0, 1.0), repeat=size)))


SIDE_SIZE, SIZE = 2, 4
STATES = every(SIZE)
STRAIGHT = StraightThrough()


def named(index: Int[Array, ""]) -> Key[Array, ""]:
    """A key whose data are the number of a particle."""
    return jax.random.wrap_key_data(jnp.stack([index, index]).astype(jnp.uint32))


def number(key: Key[Array, ""]) -> Array:
    """The number of the particle that a key names."""
    return jax.random.key_data(key)[0]


@dataclasses.dataclass(frozen=True)
class _Independent(RelaxedBernoulli):
    """Independent straight-through bits, particle k the one that is assigned to it."""

    assigned: Float[Array, "K D"] | None = None

    # The draws are bits, at which any method may learn from scores; some follow them besides.
    is_relaxed = False

    def at(self, memory: PyTree[Array]) -> "_Independent":
        return dataclasses.replace(self, assigned=memory[1])

    def particle(self, key: Key[Array, ""], index: Int[Array, ""]) -> Drawn:
        assert self.assigned is not None
        z = self.assigned[index]
        return Drawn(z, named(index), lax.stop_gradient(self.log_prob(z)))

    def rsample(self, key: Key[Array, ""]) -> Float[Array, " D"]:
        assert self.assigned is not None
        return with_gradient_of_mean(self.assigned[number(key)], self.logits)


jax.tree_util.register_dataclass(
    _Independent, data_fields=["logits", "assigned"], meta_fields=["relaxation"]
)


class _AssignedDraws:
    """Chain and bits of particle k are those that are assigned to it."""

    # The draws are bits, at which any method may learn from scores; some follow them besides.
    is_relaxed = False

    def at(self: Any, memory: PyTree[Array]) -> Any:
        return dataclasses.replace(self, chains=memory[0], assigned=memory[1])

    def _drawn(self: Any, noise: Noise) -> Units:
        bits, chain = self.assigned[noise.index], self.chains[noise.index % len(self.chains)]
        size = self.machine.sizes[0]
        field = self.machine.hidden_field(chain.astype(float))
        h = with_gradient_of_mean(bits[size:], field)
        return Units(with_gradient_of_mean(bits[:size], self.machine.visible_field(h)), h)


@frozen_pytree
@dataclasses.dataclass(frozen=True)
class _Machine(_AssignedDraws, UndirectedPosterior):
    assigned: Float[Array, "K D"] | None = None


@frozen_pytree
@dataclasses.dataclass(frozen=True)
class _Side(_AssignedDraws, MarginalPosterior):
    assigned: Float[Array, "K D"] | None = None


def with_gradient_of_mean(bits: Float[Array, " N"], field: Float[Array, " N"]) -> Array:
    """Bits of these log odds, as straight-through ones are."""
    q = jax.nn.sigmoid(field)
    return bits + (q - lax.stop_gradient(q))


class Kind(NamedTuple):
    """A posterior q with everything that its particles can be.

    Attributes:
        name: as the rows have it.
        states: every state of the latents.
        eta: its parameters.
        make: eta -> q, its memory (chains, assigned bits).
        log_q: eta -> log q(z) of every state of the latents, normalised.
        draws: eta -> (chains [T, V], bits [T, D], probability [T]) of ONE particle, at equilibrium.
    """

    name: str
    states: Float[Array, "C D"]
    eta: PyTree
    make: Callable[[PyTree], Distribution]
    log_q: Callable[[PyTree], Float[Array, " C"]]
    draws: Callable[[PyTree], tuple[Array, Array, Array]]


def generic(shape: tuple[int, ...], seed: int) -> Array:
    """Numbers of no special kind."""
    return jnp.asarray(0.7 * np.random.default_rng(seed).normal(size=shape), jnp.float32)


def _rbm(visible_size: int, hidden_size: int, seed: int) -> RBM:
    shapes = (visible_size, hidden_size), (visible_size,), (hidden_size,)
    return RBM(*(generic(shape, seed + number) for number, shape in enumerate(shapes)))


def _log_machine(q: RBM) -> Float[Array, "C H"]:
    """log q(v, h) of every v and h."""
    v, h = every(q.sizes[0]), every(q.sizes[1])
    gain = (v @ q.visible_bias)[:, None] + h @ q.hidden_bias + v @ q.weights @ h.T
    return gain - jax.nn.logsumexp(gain)


def _sweeps(q: RBM) -> tuple[Array, Array, Array]:
    """Every chain, and every sweep on from it, by their probability."""
    v, h = every(q.sizes[0]), every(q.sizes[1])
    joint = jnp.exp(_log_machine(q))
    of_chain, ahead = joint.sum(axis=1), joint / joint.sum(axis=1, keepdims=True)
    back = (joint / joint.sum(axis=0)).T
    probability = of_chain[:, None, None] * ahead[:, :, None] * back[None]
    place = np.indices(probability.shape).reshape(3, -1)
    bits = jnp.concatenate([v[place[2]], h[place[1]]], axis=1)
    return v[place[0]] > 0.5, bits, probability.ravel()


def _all_bits(logits: Float[Array, " D"]) -> tuple[Array, Array, Array]:
    probability = jnp.exp(jax.vmap(Bernoulli(logits).log_prob)(STATES))
    return jnp.zeros((len(STATES), 1), bool), STATES, probability


BITS = Kind(
    "independent",
    STATES,
    generic((SIZE,), 1),
    lambda eta: _Independent(eta, STRAIGHT),
    lambda eta: jax.vmap(Bernoulli(eta).log_prob)(STATES),
    _all_bits,
)
MACHINE = Kind(
    "machine",
    STATES,
    _rbm(SIDE_SIZE, SIDE_SIZE, 2),
    lambda eta: _Machine(eta, STRAIGHT),
    lambda eta: _log_machine(eta).ravel(),
    _sweeps,
)
SMALL_MACHINE = MACHINE._replace(name="machine, 1 + 1", states=every(2), eta=_rbm(1, 1, 8))
SIDE = Kind(
    "side of a machine",
    STATES,
    _rbm(SIZE, 1, 5),
    lambda eta: _Side(eta, STRAIGHT),
    lambda eta: jax.nn.logsumexp(_log_machine(eta), axis=1),
    _sweeps,
)
