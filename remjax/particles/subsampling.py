"""A reservoir of M particles that stands for all those seen so far.

Sampling M of the K particles so that every weighted sum over them is unbiased, with the least
variance of the weights: particles heavier than a threshold tau are kept with their own weight, each
lighter one is kept with probability w / tau and then stands for tau (Fearnhead & Clifford 2003;
streamed as VarOpt by Cohen, Duffield, Kaplan, Lund & Thorup 2011). The lighter ones are taken by
systematic sampling. Multinomial or plain systematic resampling would spend the M places on copies
of the few heavy particles: with an effective sample size of 3, most of 32 places; here none.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from remjax.particles.weights import finite_maximum
from remjax.sharding import NUM_STRANDS, particle_devices


class Reservoir(NamedTuple):
    """Kept particles.

    Attributes:
        z: the particles [M, D] (or a pytree of such arrays).
        index: their numbers in the stream.
        log_w: their own unnormalised log-weights, nats.
        log_share: log of the unnormalised weight that each stands for, at least log_w; the shares
            sum to the total weight of all particles seen.
    """

    z: PyTree
    index: Int[Array, " M"]
    log_w: Float[Array, " M"]
    log_share: Float[Array, " M"]


def empty_reservoir(template: PyTree, size: int) -> Reservoir:
    """M empty places, of no weight, for particles shaped like `template`."""
    dtype = jnp.result_type(float)
    return Reservoir(
        z=jax.tree.map(lambda leaf: jnp.zeros((size, *leaf.shape), leaf.dtype), template),
        index=jnp.zeros((size,), int),
        log_w=jnp.full((size,), -jnp.inf, dtype),
        log_share=jnp.full((size,), -jnp.inf, dtype),
    )


def merge_into_reservoir(key: Key[Array, ""], kept: Reservoir, new: Reservoir) -> Reservoir:
    """The M best representatives of the kept and the new particles together.

    Args:
        key: consumed.
        kept: the reservoir so far, M places.
        new: a chunk of particles, each standing for itself.

    Returns:
        M places whose expected shares are those of `kept` and `new`.
    """
    pool = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), kept, new)
    return _best(key, pool, kept.index.shape[0])


def _best(key: Key[Array, ""], pool: Reservoir, size: int) -> Reservoir:
    """The M best representatives of a pool."""
    chosen, log_share = choose(key, pool.log_share, size)
    picked = jax.tree.map(lambda leaf: leaf[chosen], pool)
    return picked._replace(log_share=log_share)


def empty_strands(template: PyTree, size: int, turns: int) -> Reservoir:
    """The strands of one device: reservoirs [S, M] that take the chunks of its turns in rotation.

    The choice depends on the order of the merges. So that it is the same on every mesh, chunk c
    goes to strand c mod `NUM_STRANDS`, a device owns whole strands, and they are merged at last.
    """
    strands = min(NUM_STRANDS // particle_devices(), turns)
    one = empty_reservoir(template, size)
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (strands, *leaf.shape)), one)


def merge_into_strand(
    key: Key[Array, ""],
    strands: Reservoir,
    turn: Int[Array, ""],
    new: Reservoir,
    exists: Bool[Array, ""],
) -> Reservoir:
    """The strands after the chunk of this turn; unchanged where the chunk does not exist."""
    strand = turn % strands.index.shape[0]
    old = jax.tree.map(lambda leaf: lax.dynamic_index_in_dim(leaf, strand, keepdims=False), strands)
    merged = merge_into_reservoir(key, old, new)
    # Not even the order of the places may change for a chunk that only some meshes have.
    merged = jax.tree.map(functools.partial(jnp.where, exists), merged, old)
    return jax.tree.map(
        lambda leaf, place: lax.dynamic_update_index_in_dim(leaf, place, strand, 0), strands, merged
    )


def merge_strands(key: Key[Array, ""], strands: Reservoir, num_chunks: int) -> Reservoir:
    """The M best representatives of all strands [S, M] together; consumes the key."""
    used = min(NUM_STRANDS, num_chunks)
    if used == 1:
        return jax.tree.map(lambda leaf: leaf[0], strands)
    size = strands.index.shape[1]
    pool = jax.tree.map(lambda leaf: leaf[:used].reshape(-1, *leaf.shape[2:]), strands)
    return _best(key, pool, size)


def choose(
    key: Key[Array, ""], log_share: Float[Array, " P"], size: int
) -> tuple[Int[Array, " M"], Float[Array, " M"]]:
    """Choose `size` of P weighted items without bias and with the least variance.

    Args:
        key: consumed.
        log_share: log weights of the items, nats; -inf for an empty place.
        size: M, at most P.

    Returns:
        The places of the chosen items and the log weight each now stands for.
    """
    order = jnp.argsort(-log_share)
    largest = finite_maximum(log_share)
    w = jnp.exp(log_share - largest)[order]
    # rest[h]: the weight of all but the h heaviest; threshold[h]: what the others then stand for.
    rest = jnp.cumsum(w[::-1])[::-1][:size]
    threshold = rest / (size - jnp.arange(size))
    heavy = jnp.argmax(w[:size] <= threshold)
    tau = threshold[heavy]

    place = jnp.arange(size)
    is_heavy = place < heavy
    light = jnp.where(jnp.arange(w.shape[0]) < heavy, 0.0, w)
    cumulative = jnp.cumsum(light)
    comb = (place - heavy + jax.random.uniform(key)) / (size - heavy) * cumulative[-1]
    drawn = jnp.searchsorted(cumulative, comb, side="right")
    # The last tooth may be rounded up to the total, beyond the last item that has any weight.
    drawn = jnp.minimum(drawn, jnp.maximum(jnp.sum(w > 0.0), 1) - 1)

    rank = jnp.where(is_heavy, place, drawn)
    share = jnp.where(is_heavy, w[:size], tau)
    empty = share == 0.0
    log_chosen = jnp.where(empty, -jnp.inf, jnp.log(jnp.where(empty, 1.0, share)) + largest)
    return order[rank], log_chosen
