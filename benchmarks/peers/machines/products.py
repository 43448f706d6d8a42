"""The matrix products of a sweep, an update and a temperature, and nothing else: the floor.

Each step begins where the last ended, so that none can be left out.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks.peers.machines.work import MachineWork, chains, data, parameters
from benchmarks.peers.work import Prepared

# Of what a step adds to the numbers that the next one multiplies.
_LITTLE = 1e-6


def sweep(work: MachineWork) -> Prepared:
    """Those of v ~ p(v | h) and of h ~ p(h | v)."""
    weights, hidden = jnp.asarray(parameters(work).weights), jnp.asarray(chains(work)[1])

    def multiply(weights: jax.Array, hidden: jax.Array) -> jax.Array:
        def one(_: jax.Array, hidden: jax.Array) -> jax.Array:
            return hidden + _LITTLE * ((hidden @ weights.T) @ weights)

        return lax.fori_loop(0, work.steps, one, hidden)

    return _prepared(multiply, weights, hidden)


# What a temperature multiplies is what a sweep does.
ais = sweep


def pcd(work: MachineWork) -> Prepared:
    """Those of a sweep, of the hidden means of the batch, and of the gradient by the weights."""
    weights, hidden = jnp.asarray(parameters(work).weights), jnp.asarray(chains(work)[1])
    batch = jnp.asarray(data(work)[: work.batch_size])

    def multiply(weights: jax.Array, hidden: jax.Array, batch: jax.Array) -> jax.Array:
        def one(_: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            weights, hidden = carry
            visible = hidden @ weights.T
            field = visible @ weights
            gradient = batch.T @ (batch @ weights) - visible.T @ field
            return weights + _LITTLE * gradient, hidden + _LITTLE * field

        return lax.fori_loop(0, work.steps, one, (weights, hidden))[0]

    return _prepared(multiply, weights, hidden, batch)


def _prepared(function: Callable[..., jax.Array], *arguments: jax.Array) -> Prepared:
    compiled = jax.jit(function).lower(*arguments).compile()
    return Prepared(
        lambda: jax.block_until_ready(compiled(*arguments)),
        compiled.memory_analysis().temp_size_in_bytes,
    )
