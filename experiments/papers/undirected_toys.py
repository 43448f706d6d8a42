"""The toy problems of Vahdat et al. 2019: Figure 1, a Gaussian, and Figure 4, a Boltzmann machine.

Both minimise KL(q || p) of an undirected q by the gradient through t sweeps of its chains. What the
paper does not state is ours: Adam at 0.01 for both, batches of 100, 10 for the machine.
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from experiments.pictures.courses import Line, falling_courses
from remjax.boltzmann import RBM, UndirectedPosterior, exact
from remjax.boltzmann.posterior import Noise
from remjax.distributions import PiecewiseLinear, UndirectedGaussian

_RATE, _POINTS = 0.01, 40
_GAUSSIANS, _CHAINS, _SWEEPS = 100, 10, 10
_TARGET = UndirectedGaussian(jnp.ones(2), jnp.asarray([[1.1, 0.9], [0.9, 1.1]]))
_SIDE = 10

Params = Any
# (parameters, key, chains) -> (what is descended, the chains after it).
Step = Callable[[Params, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


class Toy(NamedTuple):
    """A problem with its ways to a gradient.

    Attributes:
        title: of its panel.
        init: key -> (parameters, chains).
        steps: name of a gradient -> the loss that has it.
        divergence: parameters -> KL(q || p), exactly, nats.
    """

    title: str
    init: Callable[[jax.Array], tuple[Params, jax.Array]]
    steps: Mapping[str, Step]
    divergence: Callable[[Params], jax.Array]


def draw_toys(root: Path, *, updates: int, seeds: int, sweeps: tuple[int, ...]) -> None:
    """toys.png: KL(q || p) while both problems are learned, for each gradient.

    Args:
        root: folder of the picture.
        updates: of each course.
        seeds: of each.
        sweeps: values of t.
    """
    panels = {}
    for toy in (gaussian(sweeps), machine(sweeps)):
        panels[toy.title] = {
            name: course(toy, step, updates, seeds) for name, step in toy.steps.items()
        }
    falling_courses(
        root / "toys.png",
        panels,
        title="KL(q || p) learned by the gradient through t sweeps, and by others",
        x_label="updates",
        y_label="KL(q || p), nats",
    )


def course(toy: Toy, step: Step, updates: int, seeds: int) -> Line:
    """The divergence in the course of learning, at about 40 places."""
    every = max(1, updates // _POINTS)
    optimizer = optax.adam(_RATE)

    def update(carry: Any, key: jax.Array) -> tuple[Any, None]:
        params, state, chains = carry
        gradient, chains = jax.grad(step, has_aux=True)(params, key, chains)
        moves, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, moves), state, chains), None

    @jax.jit
    def run(key: jax.Array) -> jax.Array:
        key_init, key = jax.random.split(key)
        params, chains = toy.init(key_init)

        def block(carry: Any, key: jax.Array) -> tuple[Any, jax.Array]:
            carry, _ = lax.scan(update, carry, jax.random.split(key, every))
            return carry, toy.divergence(carry[0])

        first = toy.divergence(params)
        start = (params, optimizer.init(params), chains)
        _, rest = lax.scan(block, start, jax.random.split(key, updates // every))
        return jnp.concatenate([first[None], rest])

    values = np.stack([np.asarray(run(jax.random.key(seed))) for seed in range(seeds)], axis=1)
    return Line(np.arange(len(values)) * every, np.maximum(values, 1e-7))


def gaussian(sweeps: tuple[int, ...]) -> Toy:
    """Figure 1: a Gaussian of two coordinates, its precision factor @ factor^T."""

    def q_of(params: Params, count: int = 1) -> UndirectedGaussian:
        factor = jnp.tril(params["factor"])
        return UndirectedGaussian(params["loc"], factor @ factor.T, count)

    def gap(q: UndirectedGaussian, z: jax.Array) -> jax.Array:
        """log q(z) - log p(z), q fixed."""
        return lax.stop_gradient(q).log_prob(z) - _TARGET.log_prob(z)

    def through_sweeps(count: int, params: Params, key: jax.Array, chains: jax.Array) -> Any:
        q = q_of(params, count)
        z = jax.vmap(q.rsample)(jax.random.split(key, _GAUSSIANS))
        return jnp.mean(jax.vmap(lambda one: gap(q, one))(z)), chains

    def reinforce(centred: bool, params: Params, key: jax.Array, chains: jax.Array) -> Any:
        q = q_of(params)
        z = jax.vmap(lax.stop_gradient(q).sample)(jax.random.split(key, _GAUSSIANS))
        signal = jax.vmap(lambda one: gap(q, one))(z)
        baseline = jnp.mean(signal) if centred else 0.0
        return jnp.mean(lax.stop_gradient(signal - baseline) * jax.vmap(q.log_prob)(z)), chains

    def reparameterised(params: Params, key: jax.Array, chains: jax.Array) -> Any:
        q, noise = q_of(params), jax.random.normal(key, (_GAUSSIANS, 2))
        factor = jnp.tril(params["factor"])
        away = jax.scipy.linalg.solve_triangular(factor, noise.T, trans=1, lower=True).T
        return jnp.mean(jax.vmap(lambda one: gap(q, one))(q.loc + away)), chains

    return Toy(
        "a Gaussian (Figure 1)",
        lambda _: ({"loc": jnp.zeros(2), "factor": jnp.eye(2)}, jnp.zeros(())),
        {f"t = {count}": functools.partial(through_sweeps, count) for count in sweeps}
        | {
            "REINFORCE": functools.partial(reinforce, False),
            "REINFORCE, mean subtracted": functools.partial(reinforce, True),
            "reparameterised": reparameterised,
        },
        lambda params: q_of(params).kl_divergence(_TARGET),
    )


def log_mixture(z: jax.Array) -> jax.Array:
    """log p(z) of 8 products of bits of variance 0.04, equally likely, nats (Eq. 16)."""
    rng = np.random.default_rng(0)
    ones = rng.choice([-1.0, 1.0], size=(8, 2 * _SIDE))
    # A bit of variance 0.04 is one with probability 0.0417 or 0.9583.
    logits = jnp.asarray(ones * np.log(0.9583 / 0.0417), jnp.float32)
    each = z @ logits.T - jnp.sum(jax.nn.softplus(logits), axis=1)
    return jax.nn.logsumexp(each, axis=-1) - jnp.log(8.0)


def machine(sweeps: tuple[int, ...]) -> Toy:
    """Figure 4: an RBM of 10 + 10 bits and a mixture of products of bits."""

    def through_sweeps(count: int, q: RBM, key: jax.Array, chains: jax.Array) -> Any:
        key_chains, key_draws = jax.random.split(key)
        posterior = UndirectedPosterior(q, PiecewiseLinear(), count)
        chains = lax.stop_gradient(posterior.advance(key_chains, chains, _SWEEPS))
        at_chains, fixed = posterior.at(chains), lax.stop_gradient(q)

        def value(key: jax.Array, index: jax.Array) -> jax.Array:
            z = at_chains.rsample(Noise(key, index))
            v, h = z[:_SIDE], z[_SIDE:]
            gain = v @ fixed.visible_bias + h @ fixed.hidden_bias + v @ fixed.weights @ h
            return gain - log_mixture(z)

        keys = jax.random.split(key_draws, _CHAINS)
        return jnp.mean(jax.vmap(value)(keys, jnp.arange(_CHAINS))), chains

    def init(key: jax.Array) -> tuple[RBM, jax.Array]:
        key_weights, key_chains = jax.random.split(key)
        weights = 0.01 * jax.random.normal(key_weights, (_SIDE, _SIDE))
        q = RBM(weights, jnp.zeros(_SIDE), jnp.zeros(_SIDE))
        return q, jax.random.bernoulli(key_chains, 0.5, (_CHAINS, _SIDE))

    return Toy(
        "an RBM of 10 + 10 bits (Figure 4)",
        init,
        {f"t = {count}": functools.partial(through_sweeps, count) for count in sweeps},
        _divergence_of_machine,
    )


def _divergence_of_machine(q: RBM) -> jax.Array:
    """KL(q || p) by all 2^20 states, those of one side at a time."""
    side = ((jnp.arange(2**_SIDE)[:, None] >> jnp.arange(_SIDE)) & 1).astype(jnp.float32)
    log_z = exact(q).log_z

    def of_hidden(h: jax.Array) -> jax.Array:
        log_q = side @ (q.visible_bias + q.weights @ h) + h @ q.hidden_bias - log_z
        z = jnp.concatenate([side, jnp.broadcast_to(h, side.shape)], axis=1)
        return jnp.sum(jnp.exp(log_q) * (log_q - log_mixture(z)))

    return jnp.sum(lax.map(of_hidden, side))
