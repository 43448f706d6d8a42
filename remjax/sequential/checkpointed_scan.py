"""A scan over the steps of a sequence whose backward pass remembers few of them."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array


def checkpointed_scan(step: Callable, first: Any, inputs: Any, length: int) -> tuple[Any, Any]:
    """`lax.scan` whose backward pass remembers about 2 sqrt(length) steps and repeats the others.

    The steps past the length are not active, which leave everything as it is.
    """
    if length < 4:
        return lax.scan(jax.checkpoint(step, prevent_cse=False), first, inputs, length)
    size = math.isqrt(length - 1) + 1
    num_blocks = -(-length // size)
    added = num_blocks * size - length

    def blocks(leaf: Array) -> Array:
        # Zeros: not active. A key is repeated, for one of zeros cannot be made.
        keys = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        filler = leaf[:1] if keys else jnp.zeros_like(leaf[:1])
        leaf = jnp.concatenate([leaf, jnp.broadcast_to(filler, (added, *leaf.shape[1:]))])
        return leaf.reshape(num_blocks, size, *leaf.shape[1:])

    of_one = jax.checkpoint(step, prevent_cse=False)

    @jax.checkpoint
    def block(particles: Any, inputs: Any) -> tuple[Any, Any]:
        return lax.scan(of_one, particles, inputs)

    last, outputs = lax.scan(block, first, jax.tree.map(blocks, inputs))
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:length], outputs)
    return last, flat
