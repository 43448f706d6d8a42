"""From grey pixels to the bits that a step trains on: never, once, every epoch or every minibatch.

Each function is a `Binarization`: pure, and usable inside jit and scan. A pixel becomes 1 with
probability x and 0 otherwise, so 0 and 1 stay what they are. Which of key, epoch, step and index
the bits depend on is all that the functions differ in.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key, Shaped

Counter = int | Int[Array, ""]

Binarization = Callable[
    [Key[Array, ""], Counter, Counter, Int[Array, " B"], Shaped[Array, "B *X"]],
    Shaped[Array, "B *X"],
]
"""(key, epoch, step, index, x) -> bits; `index` holds the places of the batch in the data set."""


def unchanged(
    key: Key[Array, ""],
    epoch: Counter,
    step: Counter,
    index: Int[Array, " B"],
    x: Shaped[Array, "B *X"],
) -> Shaped[Array, "B *X"]:
    """The pixels as they are: for data that are binary already, or real-valued."""
    del key, epoch, step, index
    return x


def fixed(
    key: Key[Array, ""],
    epoch: Counter,
    step: Counter,
    index: Int[Array, " B"],
    x: Shaped[Array, "B *X"],
) -> Shaped[Array, "B *X"]:
    """One draw for good: the bits of datapoint n depend on (key, n) only.

    They are the same in every batch and place. As with JAX's default generator; `rbg` keys do not
    promise it under vmap. Consumes the key: keep one for each data set and use it for nothing else.
    """
    del epoch, step
    return _bits_of_each(key, index, x)


def per_epoch(
    key: Key[Array, ""],
    epoch: Counter,
    step: Counter,
    index: Int[Array, " B"],
    x: Shaped[Array, "B *X"],
) -> Shaped[Array, "B *X"]:
    """A new draw every epoch: the bits of datapoint n depend on (key, epoch, n) only.

    Consumes the key: the epochs fold into it.
    """
    del step
    return _bits_of_each(jax.random.fold_in(key, epoch), index, x)


def per_minibatch(
    key: Key[Array, ""],
    epoch: Counter,
    step: Counter,
    index: Int[Array, " B"],
    x: Shaped[Array, "B *X"],
) -> Shaped[Array, "B *X"]:
    """A new draw every step (Burda et al. 2015): the bits depend on (key, step) and the place.

    The place is that in the batch. `step` must count on through the epochs. Consumes the key: the
    steps fold into it.
    """
    del epoch, index
    return _bits(jax.random.fold_in(key, step), x)


def leaving_the_end(binarization: Binarization, size: int) -> Binarization:
    """The binarisation of all but the last numbers of each row, a condition; those stay."""
    if size == 0:
        return binarization

    def of_the_others(
        key: Key[Array, ""],
        epoch: Counter,
        step: Counter,
        index: Int[Array, " B"],
        x: Shaped[Array, "B *X"],
    ) -> Shaped[Array, "B *X"]:
        bits = binarization(key, epoch, step, index, x[..., :-size])
        return jnp.concatenate([bits, x[..., -size:]], axis=-1)

    return of_the_others


def _bits_of_each(
    key: Key[Array, ""], index: Int[Array, " B"], x: Shaped[Array, "B *X"]
) -> Shaped[Array, "B *X"]:
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, index)
    return jax.vmap(_bits)(keys, x)


def _bits(key: Key[Array, ""], x: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
    """1 with probability x, of the type of x: bools and integers are bits already, and stay.

    What is missing (NaN) stays missing.
    """
    if not jnp.issubdtype(x.dtype, jnp.floating):
        return jax.random.bernoulli(key, x.astype(float)).astype(x.dtype)
    return jnp.where(jnp.isnan(x), x, jax.random.bernoulli(key, x).astype(x.dtype))
