"""Random bits from log odds: most of the cost of a sweep beside its products is their randomness.

A call of JAX's generator makes two words of 32 bits. `jax.random.uniform` makes one number of both,
so that a compiler can divide the draw over devices; machines divide their chains by hand, and use
each word. The first words go to the first half of the rows and the second ones to the other half:
put together before they are compared they would cost a third of a sweep more.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import random as generators
from jaxtyping import Array, Float, Key, UInt32

# A stream of the generator has so many different counters.
_COUNTERS = 2**32


def bits(key: Key[Array, ""], logits: Float[Array, "... N"]) -> Float[Array, "... N"]:
    """Independent bits, as numbers 0 and 1 of the type of the logits; no gradient passes.

    A bit is one with probability sigmoid(logit), but for 2^-24. Consumes the key. Keys of other
    generators than JAX's default (threefry) serve as well, at the price of `jax.random.uniform`.
    """
    logits = lax.stop_gradient(logits)
    # Uniforms of fewer digits than a float32 has would be rounded up to one.
    wide = jnp.promote_types(logits.dtype, jnp.float32)
    probability = jax.nn.sigmoid(logits.astype(wide)).reshape(-1, logits.shape[-1])
    if probability.shape[0] == 1 and probability.shape[1] % 2 == 0:
        probability = probability.reshape(2, -1)
    rows, width = probability.shape
    half = -(-rows // 2)
    if str(jax.random.key_impl(key)) != "threefry2x32" or 2 * half * width >= _COUNTERS:
        uniform = jax.random.uniform(key, logits.shape, wide)
        return (uniform < probability.reshape(logits.shape)).astype(logits.dtype)
    counters = lax.iota(jnp.uint32, 2 * half * width)
    words = generators.threefry_2x32(jax.random.key_data(key), counters)
    first = words[: half * width].reshape(half, width)
    second = words[half * width :].reshape(half, width)[: rows - half]
    drawn = [
        _uniform(first, wide) < probability[:half],
        _uniform(second, wide) < probability[half:],
    ]
    return jnp.concatenate(drawn).astype(logits.dtype).reshape(logits.shape)


def uniforms(key: Key[Array, ""], shape: tuple[int, ...], dtype: jnp.dtype) -> Float[Array, "..."]:
    """Uniform numbers in [0, 1), multiples of 2^-24, each word of the generator used.

    For many draws at once, such as those of all sweeps of a chain. Consumes the key.
    """
    wide = jnp.promote_types(dtype, jnp.float32)
    count = math.prod(shape)
    even = count + count % 2
    if str(jax.random.key_impl(key)) != "threefry2x32" or even >= _COUNTERS:
        return jax.random.uniform(key, shape, wide)
    counters = lax.iota(jnp.uint32, even)
    words = generators.threefry_2x32(jax.random.key_data(key), counters)
    return _uniform(words[:count], wide).reshape(shape)


def _uniform(words: UInt32[Array, "*shape"], dtype: jnp.dtype) -> Float[Array, "*shape"]:
    """Multiples of 2^-24 in [0, 1): 24 bits are what a float32 holds exactly."""
    # By way of int32, for which processors have an instruction.
    return (words >> 8).astype(jnp.int32).astype(dtype) * 2.0**-24
