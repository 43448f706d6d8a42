"""The gradient of an undirected posterior through t sweeps, beside the exact one, on 3 + 3 bits.

d E_q[f(z)] for a machine q and a fixed function f, the part of Eq. 8 of Vahdat et al. 2019 that is
kept (II): chains begin at exact draws, and t sweeps carry the gradient. Appendix A of the paper has
it that t = 1 is enough. Two errors add up: that of leaving out term I, which is exact here, a sum
over all states; and that of relaxing the bits, by many draws of the uniform numbers.
"""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key

from remjax.boltzmann import RBM, UndirectedPosterior
from remjax.boltzmann.posterior import Noise
from remjax.distributions import Relaxation

_SIDE = 3
_SIDES = jnp.asarray(list(itertools.product((0.0, 1.0), repeat=_SIDE)))
# v of eight, then h of eight.
_STATES = jnp.asarray(list(itertools.product((0.0, 1.0), repeat=2 * _SIDE)))


def machine(scale: float) -> RBM:
    """A generic one, its couplings and biases normal numbers times the scale."""
    rng = np.random.default_rng(5)
    shapes = (_SIDE, _SIDE), (_SIDE,), (_SIDE,)
    return RBM(*(jnp.asarray(scale * rng.normal(size=shape), jnp.float32) for shape in shapes))


def log_mixture(z: Float[Array, " D"]) -> Float[Array, ""]:
    """log p(z) of a mixture of two products of bits (Eq. 16 of the paper), nats; f in the table."""
    rng = np.random.default_rng(6)
    means = jnp.asarray(rng.choice([0.1, 0.9], size=(2, 2 * _SIDE)), jnp.float32)
    each = z @ jnp.log(means).T + (1.0 - z) @ jnp.log1p(-means).T
    return jax.nn.logsumexp(each) - jnp.log(2.0)


def exact_gradient(q: RBM) -> RBM:
    """d sum_z q(z) f(z)."""

    def expectation(q: RBM) -> Float[Array, ""]:
        return jnp.exp(_log_q(q)) @ jax.vmap(log_mixture)(_STATES)

    return jax.grad(expectation)(q)


def gradient_through_sweeps(q: RBM, num_sweeps: int) -> RBM:
    """sum_v q(v) d E[f(z_t) | v], of bits: what t sweeps give without relaxation, exactly."""

    def expectation(moved: RBM) -> Float[Array, ""]:
        hidden = _conditional(moved.hidden_field(_SIDES))
        visible = _conditional(moved.visible_field(_SIDES))
        values = jax.vmap(log_mixture)(_STATES).reshape(len(_SIDES), -1)
        # Of the last sweep: sum over h and the new v, given the old v.
        ahead = jnp.einsum("oh,hv,vh->o", hidden, visible, values)
        for _ in range(num_sweeps - 1):
            ahead = hidden @ visible @ ahead
        return lax.stop_gradient(_law_of_chains(q)) @ ahead

    return jax.grad(expectation)(q)


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def relaxed_gradients(q: RBM, relaxation: Relaxation, num_sweeps: int, num_draws: int) -> RBM:
    """Gradients of so many draws [N, ...], each the mean over exact chains by their probability."""

    def of_draw(key: Key[Array, ""]) -> RBM:
        def of_chain(v: Float[Array, " V"]) -> RBM:
            def value(moved: RBM) -> Float[Array, ""]:
                posterior = UndirectedPosterior(moved, relaxation, num_sweeps)
                z = posterior.at(v[None] > 0.5).rsample(Noise(key, jnp.zeros((), int)))
                return log_mixture(z)

            return jax.grad(value)(q)

        each = jax.vmap(of_chain)(_SIDES)
        return jax.tree.map(lambda leaf: jnp.tensordot(_law_of_chains(q), leaf, 1), each)

    return jax.vmap(of_draw)(jax.random.split(jax.random.key(0), num_draws))


def rows(
    relaxation: Relaxation,
    sweeps: tuple[int, ...] = (1, 2, 4),
    *,
    scale: float = 1.0,
    num_draws: int = 20_000,
) -> list[dict[str, Any]]:
    """A row for each t, all numbers relative to the norm of the exact gradient.

    Args:
        relaxation: of the bits.
        sweeps: the values of t.
        scale: of the machine's parameters.
        num_draws: of the uniform numbers.

    Returns:
        Rows of `t`; `bias of t`, that of leaving out term I; `bias`, with the relaxation;
        `error`, the standard error of that; and `noise`, the standard deviation of one draw, its
        chain averaged over.
    """
    q = machine(scale)
    exact = _flat(exact_gradient(q))
    size = np.linalg.norm(exact)
    found = []
    for t in sweeps:
        left_out = _flat(gradient_through_sweeps(q, t)) - exact
        draws = relaxed_gradients(q, relaxation, t, num_draws)
        each = np.concatenate(
            [np.reshape(np.asarray(leaf, np.float64), (num_draws, -1)) for leaf in _leaves(draws)],
            axis=1,
        )
        noise = np.sqrt(each.var(axis=0).sum())
        found.append(
            {
                "t": t,
                "bias of t": float(np.linalg.norm(left_out) / size),
                "bias": float(np.linalg.norm(each.mean(axis=0) - exact) / size),
                "error": float(noise / np.sqrt(num_draws) / size),
                "noise": float(noise / size),
            }
        )
    return found


def _log_q(q: RBM) -> Float[Array, " C"]:
    v, h = _STATES[:, :_SIDE], _STATES[:, _SIDE:]
    gain = v @ q.visible_bias + h @ q.hidden_bias + jnp.sum((v @ q.weights) * h, axis=1)
    return jax.nn.log_softmax(gain)


def _law_of_chains(q: RBM) -> Float[Array, " C"]:
    return jnp.exp(_log_q(q)).reshape(len(_SIDES), -1).sum(axis=1)


def _conditional(field: Float[Array, "C N"]) -> Float[Array, "C S"]:
    """p(bits | field) of every state of a side, for each row of fields."""
    return jnp.exp(field @ _SIDES.T - jnp.sum(jax.nn.softplus(field), axis=1, keepdims=True))


def _leaves(gradient: RBM) -> list[Array]:
    return [gradient.weights, gradient.visible_bias, gradient.hidden_bias]


def _flat(gradient: RBM) -> Float[np.ndarray, " P"]:
    return np.concatenate([np.ravel(np.asarray(leaf, np.float64)) for leaf in _leaves(gradient)])
