"""Cholesky factors and inverses of triangular matrices, as loops of XLA on the CPU.

jaxlib 0.10 hands each batch of small matrices to LAPACK in pieces that wait for threads of one
pool. As many such calls at a time as the pool has threads wait for one another for ever: two, on a
machine of two cores. What stands here calls no library there, and so needs no order among calls.
Accelerators keep their own kernels.
"""

import functools

import jax.numpy as jnp
from jax import lax
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, Int

# Up to this size column by column; above it by halves, most of whose work is a product.
_LOOPED = 64

_product = functools.partial(jnp.matmul, precision=lax.Precision.HIGHEST)


def cholesky(matrix: Float[Array, "D D"]) -> Float[Array, "D D"]:
    """The lower triangular L with L L^T = matrix and a positive diagonal. Gradients reach it.

    Args:
        matrix: symmetric and positive definite; the upper triangle is not read. Of any other the
            factor has entries that are not finite.
    """
    return lax.platform_dependent(matrix, cpu=_cholesky, default=_cholesky_of_library)


def triangular_inverse(tril: Float[Array, "D D"]) -> Float[Array, "D D"]:
    """L^-1 of a lower triangular L, itself lower triangular. Gradients reach L.

    With W = L^-1, (L L^T)^-1 = W^T W, and a system for each of K right-hand sides is one product.

    Args:
        tril: its upper triangle is not read. A zero on the diagonal gives entries that are not
            finite.
    """
    return lax.platform_dependent(tril, cpu=_inverse, default=_inverse_of_library)


def _cholesky_of_library(matrix: Float[Array, "D D"]) -> Float[Array, "D D"]:
    return jnp.linalg.cholesky(matrix, symmetrize_input=False)


def _inverse_of_library(tril: Float[Array, "D D"]) -> Float[Array, "D D"]:
    return solve_triangular(tril, jnp.eye(tril.shape[0], dtype=tril.dtype), lower=True)


def _cholesky(matrix: Float[Array, "D D"]) -> Float[Array, "D D"]:
    size = matrix.shape[0]
    if size > _LOOPED:
        half = size // 2
        first = _cholesky(matrix[:half, :half])
        below = _product(matrix[half:, :half], _inverse(first).T)
        second = _cholesky(matrix[half:, half:] - _product(below, below.T))
        return _from_blocks(first, below, second)

    rows = jnp.arange(size)

    def column(place: Int[Array, ""], factor: Float[Array, "D D"]) -> Float[Array, "D D"]:
        rest = matrix[:, place] - _product(factor, factor[place])
        # The root of the pivot as a division, so that a matrix of zeros has no factor either.
        scaled = jnp.where(rows >= place, rest / jnp.sqrt(rest[place]), 0.0)
        return factor.at[:, place].set(scaled)

    return lax.fori_loop(0, size, column, jnp.zeros_like(matrix))


def _inverse(tril: Float[Array, "D D"]) -> Float[Array, "D D"]:
    size = tril.shape[0]
    if size > _LOOPED:
        half = size // 2
        first, second = _inverse(tril[:half, :half]), _inverse(tril[half:, half:])
        below = -_product(second, _product(tril[half:, :half], first))
        return _from_blocks(first, below, second)

    identity = jnp.eye(size, dtype=tril.dtype)

    def row(place: Int[Array, ""], inverse: Float[Array, "D D"]) -> Float[Array, "D D"]:
        # The rows from this one on are zero yet, so only what lies left of the diagonal counts.
        found = (identity[place] - _product(tril[place], inverse)) / tril[place, place]
        return inverse.at[place].set(found)

    return lax.fori_loop(0, size, row, jnp.zeros_like(tril))


def _from_blocks(
    first: Float[Array, "A A"], below: Float[Array, "B A"], second: Float[Array, "B B"]
) -> Float[Array, "D D"]:
    above = jnp.zeros((first.shape[0], second.shape[1]), first.dtype)
    return jnp.block([[first, above], [below, second]])
