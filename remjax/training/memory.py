"""Where a run keeps what is remembered of each datapoint: one row each, bits eight to the byte."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int, Key, PyTree

from remjax.types import Memory

# Memories that are made at a time.
_ROWS = 1024


def init_rows(memory: Memory | None, key: Key[Array, ""], num_data: int) -> PyTree[Array]:
    """The stored memories [N, ...] of datapoints that were never visited; () for no memory.

    Consumes the key.
    """
    if memory is None:
        return ()

    def one(place: Int[Array, ""]) -> PyTree[Array]:
        return _packed(memory.init(jax.random.fold_in(key, place)))

    return jax.jit(lambda: lax.map(one, jnp.arange(num_data), batch_size=min(num_data, _ROWS)))()


def gather(memory: Memory, stored: PyTree[Array], index: Int[Array, " B"]) -> PyTree[Array]:
    """The memories of these datapoints [B, ...], as `Memory.init` makes them."""
    form = jax.eval_shape(memory.init, jax.random.key(0))

    def one(row: PyTree[Array]) -> PyTree[Array]:
        return jax.tree.map(_unpacked_leaf, row, form)

    return jax.vmap(one)(jax.tree.map(lambda leaf: leaf[index], stored))


def scatter(
    stored: PyTree[Array], index: Int[Array, " B"], rows: PyTree[Array], applied: Bool[Array, ""]
) -> PyTree[Array]:
    """The stored memories with the rows of these datapoints, or as they were if not applied."""
    if not jax.tree.leaves(rows):
        return stored
    packed = jax.vmap(_packed)(rows)

    def put(leaf: Array, new: Array) -> Array:
        return leaf.at[index].set(jnp.where(applied, new, leaf[index]), unique_indices=True)

    return jax.tree.map(put, stored, packed)


def _packed(row: PyTree[Array]) -> PyTree[Array]:
    def pack(leaf: Array) -> Array:
        return jnp.packbits(leaf.ravel()) if leaf.dtype == jnp.bool_ else leaf

    return jax.tree.map(pack, row)


def _unpacked_leaf(leaf: Array, form: jax.ShapeDtypeStruct) -> Array:
    if form.dtype != jnp.bool_:
        return leaf
    return jnp.unpackbits(leaf, count=form.size).reshape(form.shape).astype(bool)
