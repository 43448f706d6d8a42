"""Methods whose particles all come from r: every tuple of them, and the dreams where it dreams."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from experiments.enumeration.cases import CATEGORIES, ONE_LAYER, TWO_LAYERS, Case, Claim, Draws
from experiments.enumeration.claims import (
    BOUND,
    HALF_ASLEEP,
    LOWER_BOUND,
    OVIS,
    SLEEP,
    THERMODYNAMIC,
    WAKE,
    every_image,
)
from experiments.enumeration.tiny_networks import Latents, TinyNetwork, gradient_of
from remjax.methods.method import Method, make_estimator
from remjax.methods.row import Particles
from remjax.methods.score_functions import ovis, reinforce, rloo, tvo, vimco
from remjax.methods.signals import arithmetic_mean
from remjax.methods.wake_sleep import rws, wake_sleep
from remjax.types import Params


def cases() -> list[Case]:
    """Every method of this kind."""
    found = [of_r("reinforce", reinforce, count, LOWER_BOUND) for count in (1, 2, 3)]
    found += [of_r("rloo", rloo, count, LOWER_BOUND) for count in (2, 3)]
    found += [of_r("vimco", vimco(), count, BOUND) for count in (2, 3)]
    method = vimco(arithmetic_mean)
    found += [of_r("vimco(stand_in=arithmetic_mean)", method, count, BOUND) for count in (2, 3)]
    found += [of_r("ovis", ovis(), count, BOUND, OVIS) for count in (2, 3)]
    found += [of_r("ovis(gamma=0)", ovis(gamma=0.0), count, BOUND) for count in (2, 3)]
    method = tvo(num_partitions=2, first_beta=0.3)
    found += [of_r("tvo", method, count, THERMODYNAMIC) for count in (2, 3)]
    method = tvo(num_partitions=1)
    found += [of_r("tvo(num_partitions=1)", method, count, LOWER_BOUND) for count in (2, 3)]
    found += [of_r("rws", rws(), count, BOUND, WAKE) for count in (1, 2, 3)]
    for name, method, theta, eta in (
        ("rws(dream_share=1)", rws(dream_share=1.0), BOUND, SLEEP),
        ("rws(dream_share=0.5)", rws(dream_share=0.5), BOUND, HALF_ASLEEP),
        ("wake_sleep", wake_sleep, LOWER_BOUND, SLEEP),
    ):
        found += [_dreaming(name, method, count, theta, eta) for count in (1, 2, 3)]
    return found


def _layers(num_particles: int) -> tuple[Latents, ...]:
    """Three particles and a dream are too many for the eight or nine values of two layers."""
    return (ONE_LAYER,) if num_particles > 2 else (TWO_LAYERS, CATEGORIES)


def of_r(
    name: str,
    method: Method,
    num_particles: int,
    theta: Claim,
    eta: Claim | None = None,
    state: PyTree = (),
) -> Case:
    """A method of which every tuple of particles of r is a draw.

    Args:
        name: with the knobs that are not the default.
        method: the value.
        num_particles: K.
        theta: the claim about the gradient of theta.
        eta: that about the gradient of eta; by default the same.
        state: of the method.
    """

    def draws(net: TinyNetwork, params: Params) -> Draws:
        tuples = net.tuples(num_particles)

        def on_tuple(numbers: Array) -> Params:
            recognition = net.assigning(net.at(numbers))
            particles = Particles(num_particles)
            estimator = make_estimator(net.model, recognition, method, particles)
            return gradient_of(estimator, params, state)

        return Draws(probability_of(net, params, tuples), jax.vmap(on_tuple)(tuples))

    return Case(name, num_particles, theta, eta or theta, draws, (TWO_LAYERS, CATEGORIES))


def probability_of(net: TinyNetwork, params: Params, tuples: np.ndarray) -> Float[Array, " T"]:
    """Of each tuple, its particles drawn from r."""
    return jnp.exp(jnp.sum(net.log_r(params.eta)[tuples], axis=1))


def _dreaming(
    name: str,
    method: Method,
    num_particles: int,
    theta: Claim,
    eta: Claim,
) -> Case:
    """Every tuple of particles with every dream (z, x), each of its own probability."""

    def draws(net: TinyNetwork, params: Params) -> Draws:
        tuples, images = net.tuples(num_particles), every_image()
        sizes = len(tuples), net.count, len(images)
        awake, asleep, image = (place.ravel() for place in np.indices(sizes))

        def on_draw(numbers: Array, asleep: Array, image: Array) -> Params:
            model = net.model._replace(sample=lambda theta, key: (net.at(asleep), images[image]))
            recognition = net.assigning(net.at(numbers))
            estimator = make_estimator(model, recognition, method, Particles(num_particles))
            return gradient_of(estimator, params)

        log_joint = jax.vmap(lambda x: net.log_joint(params.theta, x), out_axes=1)(images)
        probability = probability_of(net, params, tuples)[awake]
        probability = probability * jnp.exp(log_joint[asleep, image])
        return Draws(probability, jax.vmap(on_draw)(tuples[awake], asleep, image))

    return Case(name, num_particles, theta, eta, draws, _layers(num_particles))
