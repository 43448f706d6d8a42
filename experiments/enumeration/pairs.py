"""DisARM: every antithetic pair of bits, every draw below the pair's layer and above it."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key, PyTree

from experiments.enumeration.cases import ONE_LAYER, TWO_LAYERS, Case, Draws
from experiments.enumeration.claims import LOWER_BOUND
from experiments.enumeration.tiny_networks import TinyNetwork, X, gradient_of
from remjax.distributions import Bernoulli
from remjax.distributions.layers import Layers
from remjax.methods.disarm import disarm
from remjax.methods.method import make_estimator
from remjax.methods.row import Particles
from remjax.types import Estimator, Params, Recognition


def cases() -> list[Case]:
    """One pair: of a layer of two bits, and of two layers."""

    def draws(net: TinyNetwork, params: Params) -> Draws:
        hierarchy = len(net.configurations) > 1
        return _of_two_layers(net, params) if hierarchy else _of_one_layer(net, params)

    return [Case("disarm", 2, LOWER_BOUND, LOWER_BOUND, draws, (ONE_LAYER, TWO_LAYERS))]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _AssignedBits(Bernoulli):
    """Bits with assigned values: those of a draw, and of a pair (1, 0), alike, or (0, 1)."""

    drawn: Array
    pair: Array

    def sample(self, key: Key[Array, ""]) -> Float[Array, " D"]:
        return self.drawn

    def uniforms(self, key: Key[Array, ""]) -> Float[Array, " D"]:
        return jnp.array([0.0, 0.5, 1.0 - 2.0**-24])[self.pair]


_PAIRS = 3


def _mass(pair: Array, probability: Float[Array, " D"]) -> Float[Array, ""]:
    edge = jnp.minimum(probability, 1.0 - probability)
    masses = jnp.stack([edge, 1.0 - 2.0 * edge, edge])
    return jnp.prod(masses[pair, jnp.arange(len(edge))])


def _pair(net: TinyNetwork, recognition: Recognition) -> Estimator:
    return make_estimator(net.model, recognition, disarm, Particles(2))


def _of_one_layer(net: TinyNetwork, params: Params) -> Draws:
    pairs = jnp.asarray(list(itertools.product(range(_PAIRS), repeat=2)))

    def on_pair(pair: Array) -> Params:
        def distribution(eta: PyTree, x: Array) -> Layers:
            first = net.recognition.r(eta, x).first
            return Layers(_AssignedBits(first.logits, jnp.zeros(2), pair), ())

        recognition = Recognition(net.recognition.init, distribution)
        return gradient_of(_pair(net, recognition), params)

    probability = net.recognition.r(params.eta, X).first.mean
    mass = jax.vmap(_mass, in_axes=(0, None))(pairs, probability)
    return Draws(mass, jax.vmap(on_pair)(pairs))


def _of_two_layers(net: TinyNetwork, params: Params) -> Draws:
    """Pairs of layer 1 with what either partner draws above; a draw below with pairs of layer 2."""
    of_first = list(itertools.product(range(_PAIRS), repeat=2))
    above = list(itertools.product((0.0, 1.0), repeat=4))  # layer 2, for each value of layer 1
    below = list(itertools.product((0.0, 1.0), repeat=2))
    every = list(itertools.product(of_first, above, below, range(_PAIRS)))
    columns = [jnp.asarray(np.array(column)) for column in zip(*every, strict=True)]
    chain = net.recognition.r(params.eta, X)
    p_2 = jax.vmap(lambda z: chain.conditionals[0]((z,)).mean)(jnp.asarray(below))[:, 0]

    def number(z: Float[Array, " 2"]) -> Array:
        return (2 * z[0] + z[1]).astype(int)

    def on_draw(of_first: Array, above: Array, below: Array, of_second: Array) -> Draws:
        def distribution(eta: PyTree, x: Array) -> Layers:
            real = net.recognition.r(eta, x)

            def conditional(make: Partial, below: tuple[Array, ...]) -> _AssignedBits:
                chosen = above[number(below[0])][None]
                return _AssignedBits(make(below).logits, chosen, of_second[None])

            first = _AssignedBits(real.first.logits, below, of_first)
            return Layers(first, (Partial(conditional, real.conditionals[0]),))

        recognition = Recognition(net.recognition.init, distribution)
        gradient = gradient_of(_pair(net, recognition), params)
        mass = (
            _mass(of_first, chain.first.mean)
            * jnp.prod(jnp.where(above == 1.0, p_2, 1.0 - p_2))
            * jnp.exp(chain.first.log_prob(below))
            * _mass(of_second[None], p_2[number(below)][None])
        )
        return Draws(mass, gradient)

    return jax.vmap(on_draw)(*columns)
