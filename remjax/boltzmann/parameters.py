"""The numbers that a machine is made of, as arrays of one type."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from remjax.errors import InputError


def as_parameters(*values: Any) -> list[Array]:
    """Lists, or arrays of any real numbers, as arrays of one type: float32, or float64.

    Narrower ones are widened: sums over thousands of sweeps would be wrong by tenths of a nat.

    Raises:
        InputError: for numbers that are not real.
    """
    arrays = [jnp.asarray(value) for value in values]
    for array in arrays:
        if jnp.issubdtype(array.dtype, jnp.complexfloating):
            raise InputError(f"parameters of type {array.dtype}: give real numbers")
    floats = [array.dtype for array in arrays if jnp.issubdtype(array.dtype, jnp.floating)]
    common = jnp.result_type(jnp.float32, *floats) if floats else jnp.result_type(float)
    return [array.astype(common) for array in arrays]
