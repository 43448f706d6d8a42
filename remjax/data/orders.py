"""In which order an epoch goes through the data: afresh each time, or always as they are stored.

Each function is an `Order`: pure, and usable inside jit and scan.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

Counter = int | Int[Array, ""]

Order = Callable[[Key[Array, ""], Counter, int], Int[Array, " N"]]
"""(key, epoch, num_data) -> the places of all datapoints, in the order of that epoch."""


def shuffled(key: Key[Array, ""], epoch: Counter, num_data: int) -> Int[Array, " N"]:
    """A fresh permutation for each epoch. Consumes the key: the epochs fold into it."""
    return jax.random.permutation(jax.random.fold_in(key, epoch), num_data)


def as_stored(key: Key[Array, ""], epoch: Counter, num_data: int) -> Int[Array, " N"]:
    """0, 1, ..., N - 1 in every epoch: the minibatches are the same ones again and again."""
    del key, epoch
    return jnp.arange(num_data)
