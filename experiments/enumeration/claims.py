"""What the methods claim, as sums over every tuple: written without the estimators."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from experiments.enumeration.cases import Claim
from experiments.enumeration.tiny_networks import TinyNetwork
from remjax.types import Params


def _weighted_log_r(net: TinyNetwork, params: Params, num_particles: int) -> Float[Array, ""]:
    """-E sum_k weights_k log r(z_k): neither the particles nor their weights move."""
    tuples = net.tuples(num_particles)
    log_r = net.log_r(params.eta)
    log_w = lax.stop_gradient(net.log_joint(params.theta) - log_r)[tuples]
    probability = lax.stop_gradient(jnp.exp(jnp.sum(log_r[tuples], axis=1)))
    return -probability @ jnp.sum(jax.nn.softmax(log_w, axis=1) * log_r[tuples], axis=1)


def every_image() -> Float[Array, "I X"]:
    """All images of three pixels."""
    return jnp.stack(jnp.meshgrid(*[jnp.arange(2.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)


def _sleep(net: TinyNetwork, params: Params, _: int) -> Float[Array, ""]:
    """-E log r(z | x) over everything that the model dreams."""
    images = every_image()
    log_joint = jax.vmap(lambda x: net.log_joint(params.theta, x))(images)
    log_r = jax.vmap(lambda x: net.log_r(params.eta, x))(images)
    return -jnp.sum(lax.stop_gradient(jnp.exp(log_joint)) * log_r)


def _thermodynamic(net: TinyNetwork, params: Params, num_particles: int) -> Float[Array, ""]:
    """The bound of two partitions, each mean over K particles of an r that stands still."""
    tuples = net.tuples(num_particles)
    log_r, log_joint = net.log_r(params.eta), net.log_joint(params.theta)
    drawn_from = lax.stop_gradient(log_r)
    bound = jnp.zeros(())
    for beta, step in ((0.0, 0.3), (0.3, 0.7)):
        log_v = beta * log_joint + (1.0 - beta) * log_r - drawn_from
        log_w = (log_joint - log_r)[tuples]
        v = jax.nn.softmax(log_v[tuples], axis=1)
        # log w moves under weights that stand still, and the weights move, the more the fewer.
        moving = jnp.sum(lax.stop_gradient(v) * log_w, axis=1)
        moved = jnp.sum(v * lax.stop_gradient(log_w), axis=1) * num_particles / (num_particles - 1)
        bound += step * (jnp.exp(jnp.sum(drawn_from[tuples], axis=1)) @ (moving + moved))
    return -bound


LOWER_BOUND = Claim(
    "unbiased: the evidence lower bound", lambda net, params, _: -net.bound(params, 1)
)
BOUND = Claim(
    "unbiased: L_K, the importance-weighted bound",
    lambda net, params, count: -net.bound(params, count),
)
WAKE = Claim(
    "KL(p, r) with weights normalised over K particles of r: a bias of order 1/K", _weighted_log_r
)
SLEEP = Claim("unbiased: log r of the model's own samples", _sleep)
HALF_ASLEEP = Claim(
    "half KL(p, r), biased by the normalised weights, half log r of the model's own samples",
    lambda *given: 0.5 * _weighted_log_r(*given) + 0.5 * _sleep(*given),
)
OVIS = Claim(
    "L_K, and the wake phase of rws besides, sum_k weights_k log r(z_k): the bias of gamma=1",
    lambda net, params, count: -net.bound(params, count) + _weighted_log_r(net, params, count),
)
THERMODYNAMIC = Claim(
    "the thermodynamic bound with weights normalised over K particles of r: a bias of order 1/K",
    _thermodynamic,
)
