"""The E-step: draw K particles, score them in chunks, keep a summary of constant size.

An E-step has two phases. `e_step` streams through the particles once and returns a `Posterior`:
log-evidence, effective sample size, moments and, with keep=M, M particles that stand for all.
`particle_sum` is what the M-step differentiates. Neither holds more than one chunk of particles in
memory.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, Key, PyTree

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
from remjax.particles.posterior import Posterior
from remjax.particles.subsampling import Reservoir, empty_strands, merge_into_strand, merge_strands
from remjax.sharding import (
    of_all_devices,
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
        powers: powers of the weights whose moments are streamed (`covariances.Covariance`).
        record: keep log_joint of every particle: four bytes each, the one thing that grows with K.
        known: log_joint of the even particles 0, 2, 4, ..., recorded by the E-step of the first
            part of a `Stratified` proposal; they are not scored again.

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
    scoring = _Scoring(log_joint, _padded(known, cut))
    stream = _Stream(key, key_keep, proposal, scoring, cut, powers, record)
    moments, strands, recorded, drawn = stream.run(template, keep)
    kept = None
    if strands is not None:
        kept = merge_strands(
            jax.random.fold_in(key_keep, cut.num_chunks), cut.in_order(strands), cut.num_chunks
        )
    if recorded is not None:
        recorded = cut.in_order(recorded).reshape(-1)[:num_particles]
    return Posterior(key, proposal, moments, kept, drawn, recorded, num_particles, size, powers)


def _padded(known: Float[Array, " J"] | None, cut: Cut) -> Float[Array, " E"] | None:
    """The scores of the even particles, with something for the padding of the last chunk."""
    if known is None:
        return None
    return jnp.pad(known, (0, cut.num_chunks * cut.size // 2 - known.shape[0]))


class _Scoring(NamedTuple):
    """log_joint of a chunk of particles; where `known` is given only the odd ones are scored."""

    log_joint: LogJoint
    known: Float[Array, " J"] | None

    def __call__(self, z: PyTree, chunk: Int[Array, ""]) -> Float[Array, " C"]:
        if self.known is None:
            return scores(self.log_joint, z)
        half = jax.tree.leaves(z)[0].shape[0] // 2
        even = lax.dynamic_slice_in_dim(self.known, chunk * half, half)
        odd = scores(self.log_joint, jax.tree.map(lambda leaf: leaf[1::2], z))
        return jnp.stack([even, odd], axis=1).reshape(-1)


class _Stream(NamedTuple):
    """The pass through the chunks of an E-step; the fields are its arguments or made of them."""

    key: Key[Array, ""]
    key_keep: Key[Array, ""]
    proposal: Distribution
    scoring: _Scoring
    cut: Cut
    powers: tuple[float, ...]
    record: bool

    def run(
        self, template: PyTree, keep: int | None
    ) -> tuple[Moments, Reservoir | None, PyTree, PyTree]:
        """(moments of all devices, this device's strands, the scores recorded, the only chunk).

        Args:
            template: shapes of one latent.
            keep: M, or None: then there are no strands.
        """
        dtype, cut = jnp.result_type(float), self.cut
        dimension = sum(leaf.size for leaf in jax.tree.leaves(template))
        strands = None if keep is None else empty_strands(template, keep, cut.turns)
        start = (no_moments(len(self.powers), dimension, dtype), strands)
        (moments, strands), (recorded, drawn) = cut.stream(self.absorb, start)
        moments = functools.reduce(merge_moments, of_all_devices(moments))
        return moments, strands, recorded, jax.tree.map(lambda leaf: leaf[0], drawn)

    def absorb(
        self, carry: tuple[Moments, Reservoir | None], turn: Int[Array, ""]
    ) -> tuple[tuple[Moments, Reservoir | None], PyTree]:
        """Moments and strands with the chunk of this turn; its scores and particles if wanted."""
        moments, strands = carry
        cut, dtype = self.cut, jnp.result_type(float)
        chunk = cut.chunk(turn)
        index = cut.index(chunk)
        z, noise, log_q = jax.vmap(lambda i: self.proposal.particle(self.key, i))(index)
        log_joints = lax.stop_gradient(self.scoring(z, chunk))
        log_w = jnp.where(index < cut.num_particles, log_joints - log_q, -jnp.inf)
        flat = jax.vmap(lambda one: ravel_pytree(one)[0])(z).astype(dtype)
        exists = (index < cut.num_particles).astype(dtype)
        moments = merge_moments(moments, particle_moments(log_w, flat, exists, self.powers))
        if strands is not None:
            new = Reservoir(z=z, index=index, log_w=log_w, log_share=log_w)
            key_chunk = jax.random.fold_in(self.key_keep, chunk)
            strands = merge_into_strand(key_chunk, strands, turn, new, cut.exists(chunk))
        recorded = log_joints if self.record else None
        return (moments, strands), (recorded, (z, noise, log_w) if cut.turns == 1 else None)


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
        return draw_chunk(key, log_joint, proposal, index, num_particles)[2]

    return lax.map(score, jnp.arange(num_chunks)).reshape(-1)[:num_particles]


def draw_chunk(
    key: Key[Array, ""],
    log_joint: LogJoint,
    proposal: Distribution,
    index: Int[Array, " C"],
    num_particles: int,
) -> tuple[PyTree, PyTree, Float[Array, " C"]]:
    """The particles of these indices, their noise and log-weights, nats; -inf for padding.

    No gradient.
    """
    z, noise, log_q = jax.vmap(lambda i: proposal.particle(key, i))(index)
    log_w = lax.stop_gradient(scores(log_joint, z)) - log_q
    return z, noise, jnp.where(index < num_particles, log_w, -jnp.inf)


def scores(log_joint: LogJoint, z: PyTree) -> Float[Array, " C"]:
    """log_joint of each of some particles, nats.

    Raises:
        InputError: for one that is not one number.
    """
    values = jax.vmap(log_joint)(z)
    if values.ndim != 1:
        raise InputError(
            f"log p(x, z) of one particle has the shape {values.shape[1:]}: it is one number, "
            "summed over pixels and latents"
        )
    return values
