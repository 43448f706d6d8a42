"""Sums over the particles of an E-step, which the M-step differentiates."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from remjax.particles.chunks import Cut
from remjax.particles.e_step import LogJoint, draw_chunk
from remjax.particles.posterior import Particle, Posterior
from remjax.particles.subsampling import Reservoir
from remjax.sharding import particle_device, particle_devices, sum_over_particles


def particle_sum(
    posterior: Posterior, log_joint: LogJoint, summand: Callable[[Particle], PyTree]
) -> PyTree:
    """sum_k summand(particle k) over the particles of an E-step, for the M-step to differentiate.

    With `keep` the M kept particles stand for all, so the sum is unbiased for that over all K given
    the particles. Without, all K are drawn and scored again chunk by chunk (`jax.checkpoint`), and
    neither the sum nor its gradient holds more than a chunk. An importance-weighted sum is one
    whose summand multiplies by `particle.weight`.

    Args:
        posterior: of ONE datapoint.
        log_joint: the very function that the E-step scored with; particles that are drawn again are
            weighted by its values.
        summand: a particle -> a scalar or a pytree of scalars. Carries the gradients of whatever
            it closes over.

    Returns:
        The sum, of the structure that `summand` returns.
    """

    def term(z: PyTree, noise: PyTree, weight: Float[Array, ""], log_w: Float[Array, ""]) -> PyTree:
        count, foreign = posterior.num_particles, posterior.foreign
        return summand(Particle(z, noise, weight, log_w, count, foreign))

    total = _sum_of_all if posterior.kept is None else _sum_of_kept
    return sum_over_particles(total(posterior, log_joint, jax.vmap(term)))


# (z, noise, weights, log-weights) of some particles -> the summand of each.
_Terms = Callable[[PyTree, PyTree, Float[Array, " C"], Float[Array, " C"]], PyTree]


def _sum_of_kept(posterior: Posterior, _log_joint: LogJoint, terms: _Terms) -> PyTree:
    """This device's share of the sum over the kept particles, each for those it stands for."""
    proposal, key, all_kept = posterior.proposal, posterior.key, posterior.kept
    assert all_kept is not None
    kept, is_own = _own_places(all_kept)
    noise = jax.vmap(lambda index: proposal.particle(key, index).noise)(kept.index)
    weight = posterior.normalize(kept.log_w)
    # A kept particle stands for log_share of weight, of which its own is w. Rounding may put a
    # particle whose weight underflows into a place: it must not be blown up to infinity.
    blown_up = jnp.exp(jnp.minimum(kept.log_share - kept.log_w, 80.0))
    stands_for = jnp.where(is_own & (weight != 0.0), blown_up, 0.0)
    return jax.tree.map(
        lambda term: jnp.sum(jnp.where(stands_for == 0.0, 0.0, stands_for * term)),
        terms(kept.z, noise, weight, kept.log_w),
    )


def _sum_of_all(posterior: Posterior, log_joint: LogJoint, terms: _Terms) -> PyTree:
    """This device's share of the sum over all K, drawn and scored again chunk by chunk."""
    proposal, key, count = posterior.proposal, posterior.key, posterior.num_particles
    cut = Cut(count, posterior.chunk_size)

    def chunk_sum(turn: Int[Array, ""]) -> PyTree:
        index = cut.index(cut.chunk(turn))
        drawn = posterior.drawn or draw_chunk(key, log_joint, proposal, index, count)
        z, noise, log_w = drawn
        weight = posterior.normalize(log_w)
        # What padding adds is left out below, but 0 times its -inf would be a gradient of NaN.
        log_w = jnp.where(index < count, log_w, posterior.moments.largest[0])
        summands = terms(z, noise, weight, log_w)
        if cut.turns * particle_devices() * cut.size == count:
            return jax.tree.map(jnp.sum, summands)
        return jax.tree.map(lambda term: jnp.sum(jnp.where(index < count, term, 0.0)), summands)

    if cut.turns == 1:
        return chunk_sum(jnp.zeros((), int))

    def add(total: PyTree, turn: Int[Array, ""]) -> tuple[PyTree, None]:
        summed = jax.checkpoint(chunk_sum, prevent_cse=False)(turn)
        return jax.tree.map(jnp.add, total, summed), None

    shapes = jax.eval_shape(chunk_sum, jnp.zeros((), int))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return cut.stream(add, zeros)[0]


def _own_places(kept: Reservoir) -> tuple[Reservoir, Bool[Array, " M"]]:
    """This device's share of the kept particles, and which of them are not there as padding."""
    count, devices = kept.index.shape[0], particle_devices()
    share = -(-count // devices)
    place = particle_device() * share + jnp.arange(share)
    own = jax.tree.map(lambda leaf: leaf[jnp.minimum(place, count - 1)], kept)
    return own, place < count
