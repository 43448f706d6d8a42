"""The E-step: draw K particles, score them in chunks, keep a summary of constant size.

An E-step has two phases. `e_step` streams through the particles once and returns a `Posterior`:
log-evidence, effective sample size, moments and, with keep=M, M particles that stand for all.
`particle_sum` is what the M-step differentiates: a sum over the kept particles, or over all K drawn
again chunk by chunk. Neither holds more than one chunk of particles in memory.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from remjax.distributions.base import Distribution
from remjax.errors import InputError
from remjax.particles.chunks import (
    DEFAULT_CHUNK_SIZE,
    Cut,
    balanced_chunks,
    check_counts,
    even_chunk_size,
)
from remjax.particles.moments import Moments, merge_moments, no_moments, particle_moments
from remjax.particles.posterior import Particle, Posterior
from remjax.particles.subsampling import Reservoir, empty_strands, merge_into_strand, merge_strands
from remjax.sharding import (
    of_all_devices,
    particle_device,
    particle_devices,
    sum_over_particles,
)

LogJoint = Callable[[PyTree], Float[Array, ""]]


def e_step(
    key: Key[Array, ""],
    log_joint: LogJoint,
    proposal: Distribution,
    num_particles: int,
    *,
    chunk_size: int | None = None,
    keep: int | None = None,
    powers: tuple[float, ...] = (1.0,),
    record: bool = False,
    known: Float[Array, " J"] | None = None,
) -> Posterior:
    """Draw K particles of ONE datapoint from the proposal, weight them, summarise.

    log_w_k = log_joint(z_k) - log_q_k, the log-density that `proposal.particle` gives with the
    particle. It depends on (key, k) alone, and the summary on the chunk size only by rounding; the
    choice of the particles to keep depends on the chunk size too. Inside a `jax.shard_map` over the
    axis `particles` each device scores its share of the chunks, and all get the same summary.

    Args:
        key: consumed; names the particles.
        log_joint: z -> log p_theta(x, z), nats.
        proposal: what draws and scores the particles.
        num_particles: K, any positive number.
        chunk_size: particles scored at a time (default up to 64). The last chunk is padded.
        keep: None, or the number M of particles that carry the gradient of the M-step: an unbiased
            subsample of minimal variance (`subsampling`), M = 1 being the one-backward-pass trick
            of Burda et al. 2015, Section 3.1.
        powers: powers of the weights whose moments are streamed (`matching.Covariance`).
        record: keep log_joint of every particle: four bytes each, the one thing that grows with K.
        known: log_joint of the even particles 0, 2, 4, ..., recorded by the E-step of the first law
            of a `Stratified` proposal; they are not scored again.

    Returns:
        The `Posterior`. Nothing in it carries a gradient.

    Raises:
        InputError: for counts below one, or keep above K.
    """
    check_counts(num_particles, chunk_size, keep)
    chunk_size = chunk_size or even_chunk_size(num_particles, DEFAULT_CHUNK_SIZE)
    size = balanced_chunks(num_particles, chunk_size)[1]
    size += size % 2 if known is not None else 0
    cut = Cut(num_particles, size)
    proposal = lax.stop_gradient(proposal)
    key, key_keep = jax.random.split(key)

    template = jax.eval_shape(lambda: proposal.particle(key, jnp.zeros((), int)).z)
    dimension = sum(leaf.size for leaf in jax.tree.leaves(template))
    dtype = jnp.result_type(float)

    if known is not None:
        known = jnp.pad(known, (0, cut.num_chunks * size // 2 - known.shape[0]))

    def score(z: PyTree, chunk: Int[Array, ""]) -> Float[Array, " C"]:
        if known is None:
            return _one_number_each(jax.vmap(log_joint)(z))
        even = lax.dynamic_slice_in_dim(known, chunk * (size // 2), size // 2)
        odd = jax.vmap(log_joint)(jax.tree.map(lambda leaf: leaf[1::2], z))
        return jnp.stack([even, odd], axis=1).reshape(-1)

    def absorb(
        carry: tuple[Moments, Reservoir | None], turn: Int[Array, ""]
    ) -> tuple[tuple[Moments, Reservoir | None], PyTree]:
        moments, strands = carry
        chunk = cut.chunk(turn)
        index = cut.index(chunk)
        z, keys, log_q = jax.vmap(lambda i: proposal.particle(key, i))(index)
        log_joints = lax.stop_gradient(score(z, chunk))
        log_w = jnp.where(index < num_particles, log_joints - log_q, -jnp.inf)
        flat = jax.vmap(lambda one: ravel_pytree(one)[0])(z).astype(dtype)
        exists = (index < num_particles).astype(dtype)
        moments = merge_moments(moments, particle_moments(log_w, flat, exists, powers))
        if strands is not None:
            new = Reservoir(z=z, index=index, log_w=log_w, log_share=log_w)
            key_chunk = jax.random.fold_in(key_keep, chunk)
            strands = merge_into_strand(key_chunk, strands, turn, new, cut.exists(chunk))
        recorded = log_joints if record else None
        return (moments, strands), (recorded, (z, keys, log_w) if cut.turns == 1 else None)

    strands = None if keep is None else empty_strands(template, keep, cut.turns)
    start = (no_moments(len(powers), dimension, dtype), strands)
    (moments, strands), (recorded, drawn) = cut.stream(absorb, start)
    moments = functools.reduce(merge_moments, of_all_devices(moments))
    kept = None
    if strands is not None:
        kept = merge_strands(
            jax.random.fold_in(key_keep, cut.num_chunks), cut.in_order(strands), cut.num_chunks
        )
    if recorded is not None:
        recorded = cut.in_order(recorded).reshape(-1)[:num_particles]
    drawn = jax.tree.map(lambda leaf: leaf[0], drawn)
    return Posterior(key, proposal, moments, kept, drawn, recorded, num_particles, size, powers)


def _one_number_each(log_joints: Array) -> Array:
    if log_joints.ndim != 1:
        raise InputError(
            f"log p(x, z) of one particle has the shape {log_joints.shape[1:]}: it is one number, "
            "summed over pixels and latents"
        )
    return log_joints


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
        log_joint: the function that the E-step scored with; only its values are used, for weights.
        summand: a particle -> a scalar or a pytree of scalars. Carries the gradients of whatever
            it closes over.

    Returns:
        The sum, of the structure that `summand` returns.
    """
    proposal, key = posterior.proposal, posterior.key
    count = posterior.num_particles

    def as_particle(
        z: PyTree, key: Key[Array, ""], weight: Float[Array, ""], log_w: Float[Array, ""]
    ) -> PyTree:
        return summand(Particle(z, key, weight, log_w, count, posterior.foreign))

    if posterior.kept is not None:
        kept, is_own = _own_places(posterior.kept)
        keys = jax.vmap(lambda index: proposal.particle(key, index).key)(kept.index)
        weight = posterior.normalize(kept.log_w)
        terms = jax.vmap(as_particle)(kept.z, keys, weight, kept.log_w)
        # A kept particle speaks for log_share of weight, of which its own is w. Rounding may put a
        # particle whose weight underflows into a place: it must not be blown up to infinity.
        blown_up = jnp.exp(jnp.minimum(kept.log_share - kept.log_w, 80.0))
        stands_for = jnp.where(is_own & (weight != 0.0), blown_up, 0.0)
        return sum_over_particles(
            jax.tree.map(
                lambda term: jnp.sum(jnp.where(stands_for == 0.0, 0.0, stands_for * term)), terms
            )
        )

    cut = Cut(count, posterior.chunk_size)

    def chunk_sum(turn: Int[Array, ""]) -> PyTree:
        index = cut.index(cut.chunk(turn))
        drawn = posterior.drawn or _draw_chunk(key, log_joint, proposal, index, count)
        z, keys, log_w = drawn
        weight = posterior.normalize(log_w)
        # What padding adds is left out below, but 0 times its -inf would be a gradient of NaN.
        log_w = jnp.where(index < count, log_w, posterior.moments.largest[0])
        terms = jax.vmap(as_particle)(z, keys, weight, log_w)
        if cut.turns * particle_devices() * cut.size == count:
            return jax.tree.map(jnp.sum, terms)
        return jax.tree.map(lambda term: jnp.sum(jnp.where(index < count, term, 0.0)), terms)

    if cut.turns == 1:
        return sum_over_particles(chunk_sum(jnp.zeros((), int)))

    def add(total: PyTree, turn: Int[Array, ""]) -> tuple[PyTree, None]:
        terms = jax.checkpoint(chunk_sum, prevent_cse=False)(turn)
        return jax.tree.map(jnp.add, total, terms), None

    shapes = jax.eval_shape(chunk_sum, jnp.zeros((), int))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return sum_over_particles(cut.stream(add, zeros)[0])


def _own_places(kept: Reservoir) -> tuple[Reservoir, Bool[Array, " M"]]:
    """This device's share of the kept particles, and which of them are not there as padding."""
    count, devices = kept.index.shape[0], particle_devices()
    share = -(-count // devices)
    place = particle_device() * share + jnp.arange(share)
    own = jax.tree.map(lambda leaf: leaf[jnp.minimum(place, count - 1)], kept)
    return own, place < count


def log_weights(
    key: Key[Array, ""],
    log_joint: LogJoint,
    proposal: Distribution,
    num_particles: int,
    *,
    chunk_size: int = DEFAULT_CHUNK_SIZE,
) -> Float[Array, " K"]:
    """All K log-weights of ONE datapoint, nats: four bytes per particle, scored in chunks.

    For diagnostics that need every weight, such as `pareto_k`. Without gradient.
    """
    check_counts(num_particles, chunk_size, None)
    num_chunks, size = balanced_chunks(num_particles, chunk_size)
    proposal = lax.stop_gradient(proposal)
    key, _ = jax.random.split(key)

    def score(chunk: Int[Array, ""]) -> Float[Array, " C"]:
        index = chunk * size + jnp.arange(size)
        return _draw_chunk(key, log_joint, proposal, index, num_particles)[2]

    return lax.map(score, jnp.arange(num_chunks)).reshape(-1)[:num_particles]


def _draw_chunk(
    key: Key[Array, ""],
    log_joint: LogJoint,
    proposal: Distribution,
    index: Int[Array, " C"],
    num_particles: int,
) -> tuple[PyTree, Key[Array, " C"], Float[Array, " C"]]:
    """The particles of these indices, their keys and log-weights; -inf for padding. No gradient."""
    z, keys, log_q = jax.vmap(lambda i: proposal.particle(key, i))(index)
    log_w = lax.stop_gradient(jax.vmap(log_joint)(z)) - log_q
    return z, keys, jnp.where(index < num_particles, log_w, -jnp.inf)
