"""Updates that are left out: where a gradient, or its square, is not finite nothing moves."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, PyTree


def skip_nonfinite(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """The optimizer, whose update is zero and whose state stands still at such a gradient.

    As `optax.apply_if_finite`, whose state it has, but with one pass over the gradient where that
    has three and a branch that keeps the update from being fused with what follows. Nothing is
    given up after many skipped updates: they are counted.

    Args:
        optimizer: what moves the parameters otherwise.
    """

    def init(params: optax.Params) -> optax.ApplyIfFiniteState:
        # Each number a buffer of its own: a state is donated.
        return optax.ApplyIfFiniteState(
            notfinite_count=jnp.zeros((), jnp.int32),
            last_finite=jnp.array(True),
            total_notfinite=jnp.zeros((), jnp.int32),
            inner_state=optimizer.init(params),
        )

    def update(
        updates: optax.Updates, state: Any, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.ApplyIfFiniteState]:
        finite = has_finite_square(updates)
        moves, inner = optimizer.update(updates, state.inner_state, params)
        skipped = 1 - finite.astype(jnp.int32)
        return jax.tree.map(lambda u: jnp.where(finite, u, jnp.zeros_like(u)), moves), (
            optax.ApplyIfFiniteState(
                notfinite_count=skipped * (state.notfinite_count + 1),
                last_finite=finite,
                total_notfinite=state.total_notfinite + skipped,
                inner_state=jax.tree.map(
                    lambda new, old: jnp.where(finite, new, old), inner, state.inner_state
                ),
            )
        )

    return optax.GradientTransformation(init, update)


def has_finite_square(tree: PyTree[Array]) -> Bool[Array, ""]:
    """Whether the sum of the squares of every leaf is finite.

    A square that is not would make Adam's second moments infinite for good.
    """

    def total(leaf: Array) -> Array:
        # Of half precision, a sum of squares that are finite may not be.
        squares = jnp.square(leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32)))
        if leaf.ndim < 2:
            return jnp.sum(squares)
        # Most of it as a product: of a large array, a sum costs a CPU more than Adam does.
        rows = squares.reshape(-1, leaf.shape[-1])
        return jnp.sum(jnp.ones((2, rows.shape[0]), rows.dtype) @ rows)

    sums = [total(leaf) for leaf in jax.tree.leaves(tree)]
    return jnp.all(jnp.isfinite(jnp.stack(sums))) if sums else jnp.array(True)
