"""How linear layers start, and the type of number in which they multiply."""

import math
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx
from flax.nnx import initializers
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Key


@runtime_checkable
class Initialization(Protocol):
    """How a linear layer starts."""

    def __call__(self, in_features: int, out_features: int, *, rngs: nnx.Rngs) -> nnx.Linear:
        """Make the layer."""
        ...


def glorot(in_features: int, out_features: int, *, rngs: nnx.Rngs) -> nnx.Linear:
    """Uniform weights of variance 2 / (fan_in + fan_out), zero biases (Glorot & Bengio 2010)."""
    return nnx.Linear(
        in_features, out_features, kernel_init=initializers.glorot_uniform(), rngs=rngs
    )


def he(in_features: int, out_features: int, *, rngs: nnx.Rngs) -> nnx.Linear:
    """Normal weights of variance 2 / fan_in, cut off at two standard deviations, zero biases.

    Of He et al. 2015; the discrete VAEs start so (the code of Vahdat et al. 2019).
    """
    return nnx.Linear(in_features, out_features, kernel_init=initializers.he_normal(), rngs=rngs)


def fan_in_uniform(in_features: int, out_features: int, *, rngs: nnx.Rngs) -> nnx.Linear:
    """Weights and biases uniform in +-1 / sqrt(fan_in), as the released code of REM starts."""

    def uniform(key: Key[Array, ""], shape: Sequence[int], dtype: DTypeLike) -> Array:
        limit = 1.0 / math.sqrt(in_features)
        return jax.random.uniform(key, tuple(shape), dtype, -limit, limit)

    return nnx.Linear(in_features, out_features, kernel_init=uniform, bias_init=uniform, rngs=rngs)


def in_bfloat16(initialization: Initialization) -> Initialization:
    """The same layers, whose products round their factors to bfloat16 and are summed in float32.

    For a decoder that scores many particles on a device that multiplies bfloat16 faster.
    Parameters, biases and activations stay float32: a rounded bias would be off by the same for all
    particles. The rounding, 8 bits of each factor, moves log p(x, z); gradients are rounded where
    they pass back through a product, and summed in float32.
    """

    def make(in_features: int, out_features: int, *, rngs: nnx.Rngs) -> nnx.Linear:
        layer = initialization(in_features, out_features, rngs=rngs)
        layer.dot_general = _product_in_bfloat16
        return layer

    return make


def _product_in_bfloat16(lhs: Array, rhs: Array, dimension_numbers: Any, **_: Any) -> Array:
    factors = lhs.astype(jnp.bfloat16), rhs.astype(jnp.bfloat16)
    return lax.dot_general(*factors, dimension_numbers, preferred_element_type=jnp.float32)
