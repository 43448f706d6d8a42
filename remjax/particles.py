"""The E-step: draw K particles, score them in chunks, keep a summary of constant size.

An E-step has two phases. `e_step` streams through the particles once and returns a `Posterior`:
log-evidence, effective sample size, moments and, with keep=M, M particles that stand for all.
`particle_sum` is what the M-step differentiates: a sum over the kept particles, or over all K drawn
again chunk by chunk. Neither holds more than one chunk of particles in memory.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, Key, PyTree

from remjax.distributions import Distribution
from remjax.errors import InputError
from remjax.moments import Moments, merge_moments, no_moments, particle_moments
from remjax.subsampling import Reservoir, empty_reservoir, merge_into_reservoir

LogJoint = Callable[[PyTree], Float[Array, ""]]

# Particles per chunk where the caller knows nothing better; estimators choose from the batch size.
DEFAULT_CHUNK_SIZE = 64


class Particle(NamedTuple):
    """One particle, as the summand of `particle_sum` sees it. Carries no gradient.

    Attributes:
        z: the latent.
        key: what `rsample` makes the same z of.
        weight: the self-normalised weight among all K particles.
        log_w: the unnormalised log-weight, nats.
        num_particles: K.
    """

    z: PyTree
    key: Key[Array, ""]
    weight: Float[Array, ""]
    log_w: Float[Array, ""]
    num_particles: int

    def z_along(self, proposal: Distribution) -> PyTree:
        """z with the gradient of the proposal that drew it, through the draw (reparameterised)."""
        # With the very array z as its value, and not a second draw of it, the compiler sees that a
        # decoder applied to either is applied once.
        return _z_along(self.z, proposal.rsample(self.key))


@jax.custom_jvp
def _z_along(z: PyTree, path: PyTree) -> PyTree:
    """The value of z with the tangent of the path."""
    del path
    return z


@_z_along.defjvp
def _(primals: tuple[PyTree, PyTree], tangents: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
    return primals[0], tangents[1]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Posterior:
    """What an E-step knows of p(z | x): of constant size (but for `log_joints`), without gradient.

    Attributes:
        key: names the stream of particles (`proposal.particle`).
        proposal: the distribution that they come from.
        moments: streamed moments; the first row is that of the weights themselves.
        kept: the M particles that stand for all, or None when all take part (keep=None).
        drawn: z, keys and log-weights of all particles, where all are one chunk; else None.
        log_joints: log p(x, z_k) of every particle in turn, nats, or None where not recorded.
        num_particles: K.
        chunk_size: particles held in memory at a time.
    """

    key: Key[Array, ""]
    proposal: Distribution
    moments: Moments
    kept: Reservoir | None
    drawn: tuple[PyTree, Key[Array, " K"], Float[Array, " K"]] | None
    log_joints: Float[Array, " K"] | None
    num_particles: int = dataclasses.field(metadata={"static": True})
    chunk_size: int = dataclasses.field(metadata={"static": True})

    @property
    def log_evidence(self) -> Float[Array, ""]:
        """log 1/K sum_k w_k in nats, the single-draw estimate of L_K (Burda et al. 2015, Eq. 8)."""
        return self.moments.log_total[0] - jnp.log(float(self.num_particles))

    @property
    def ess(self) -> Float[Array, ""]:
        """Effective sample size of the weights, between 1 and K."""
        return self.moments.ess[0]

    @property
    def mean(self) -> Float[Array, " D"]:
        """The weighted mean of the (flattened) particles."""
        return self.moments.mean[0]

    @property
    def covariance(self) -> Float[Array, "D D"]:
        """The weighted covariance of the (flattened) particles."""
        return self.moments.covariance[0]

    @property
    def particles(self) -> PyTree:
        """The M kept particles; None with keep=None."""
        return None if self.kept is None else self.kept.z

    @property
    def weights(self) -> Float[Array, " M"] | None:
        """The normalised weights of the kept particles; None with keep=None."""
        if self.kept is None:
            return None
        return self._normalize(self.kept.log_share)

    def _normalize(self, log_w: Float[Array, " C"]) -> Float[Array, " C"]:
        """The self-normalised weights of some of the particles; 0 where none is possible."""
        # Through the largest weight and not log_total, whose rounding at hundreds of nats would be
        # a factor common to all weights.
        largest, total = self.moments.largest[0], self.moments.total[0]
        possible = largest != -jnp.inf
        w = jnp.exp(log_w - jnp.where(possible, largest, 0.0))
        return w / jnp.where(possible, total, 1.0)


def balanced_chunks(num_particles: int, chunk_size: int) -> tuple[int, int]:
    """(number of chunks, particles per chunk): as even as can be, none above `chunk_size`."""
    num_chunks = -(-num_particles // min(chunk_size, num_particles))
    return num_chunks, -(-num_particles // num_chunks)


def check_counts(num_particles: int, chunk_size: int | None, keep: int | None) -> None:
    """Raise InputError where the numbers of particles make no sense together."""
    if num_particles < 1:
        raise InputError(f"num_particles is {num_particles}: give at least 1 particle")
    if chunk_size is not None and chunk_size < 1:
        raise InputError(f"chunk_size is {chunk_size}: give at least 1, or leave it out")
    if keep is not None and not 1 <= keep <= num_particles:
        raise InputError(
            f"keep is {keep}: give a number from 1 to num_particles ({num_particles}), "
            "or leave it out to keep all particles"
        )


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
    particle. It depends on (key, k) alone, and the summary on the chunk size only by rounding.

    Args:
        key: consumed; names the particles.
        log_joint: z -> log p_theta(x, z), nats.
        proposal: what draws and scores the particles.
        num_particles: K, any positive number.
        chunk_size: particles scored at a time (default 64). The last chunk is padded.
        keep: None, or the number M of particles that carry the gradient of the M-step: an unbiased
            subsample of minimal variance (`subsampling`), M = 1 being the one-backward-pass trick
            of Burda et al. 2015, Section 3.1.
        powers: powers of the weights whose moments are streamed (`moments.Covariance`).
        record: keep log_joint of every particle: four bytes each, the one thing that grows with K.
        known: log_joint of the even particles 0, 2, 4, ..., recorded by the E-step of the first law
            of a `Stratified` proposal; they are not scored again.

    Returns:
        The `Posterior`. Nothing in it carries a gradient.

    Raises:
        InputError: for counts below one, or keep above K.
    """
    check_counts(num_particles, chunk_size, keep)
    num_chunks, size = balanced_chunks(num_particles, chunk_size or DEFAULT_CHUNK_SIZE)
    size += size % 2 if known is not None else 0
    proposal = lax.stop_gradient(proposal)
    key, key_keep = jax.random.split(key)

    template = jax.eval_shape(lambda: proposal.particle(key, jnp.zeros((), int)).z)
    dimension = sum(leaf.size for leaf in jax.tree.leaves(template))
    dtype = jnp.result_type(float)

    if known is not None:
        known = jnp.pad(known, (0, num_chunks * size // 2 - known.shape[0]))

    def score(z: PyTree, chunk: Int[Array, ""]) -> Float[Array, " C"]:
        if known is None:
            return jax.vmap(log_joint)(z)
        even = lax.dynamic_slice_in_dim(known, chunk * (size // 2), size // 2)
        odd = jax.vmap(log_joint)(jax.tree.map(lambda leaf: leaf[1::2], z))
        return jnp.stack([even, odd], axis=1).reshape(-1)

    def absorb(
        carry: tuple[Moments, Reservoir | None], chunk: Int[Array, ""]
    ) -> tuple[tuple[Moments, Reservoir | None], Float[Array, " C"] | None, PyTree]:
        moments, kept = carry
        index = chunk * size + jnp.arange(size)
        z, keys, log_q = jax.vmap(lambda i: proposal.particle(key, i))(index)
        log_joints = lax.stop_gradient(score(z, chunk))
        log_w = jnp.where(index < num_particles, log_joints - log_q, -jnp.inf)
        flat = jax.vmap(lambda one: ravel_pytree(one)[0])(z).astype(dtype)
        exists = (index < num_particles).astype(dtype)
        moments = merge_moments(moments, particle_moments(log_w, flat, exists, powers))
        if kept is not None:
            new = Reservoir(z=z, index=index, log_w=log_w, log_share=log_w)
            kept = merge_into_reservoir(jax.random.fold_in(key_keep, chunk), kept, new)
        return (moments, kept), log_joints if record else None, (z, keys, log_w)

    kept = None if keep is None else empty_reservoir(template, keep)
    carry = (no_moments(len(powers), dimension, dtype), kept)
    drawn = None
    if num_chunks == 1:
        carry, recorded, drawn = absorb(carry, jnp.zeros((), int))
    else:
        # The number of the chunk is carried: an array of all of them would grow with K.
        def absorb_next(state: PyTree, _: None) -> tuple[PyTree, Float[Array, " C"] | None]:
            carry, chunk = state
            carry, recorded, _ = absorb(carry, chunk)
            return (carry, chunk + 1), recorded

        start = (carry, jnp.zeros((), int))
        (carry, _), recorded = lax.scan(absorb_next, start, length=num_chunks)
    if recorded is not None:
        recorded = recorded.reshape(-1)[:num_particles]
    moments, kept = carry
    return Posterior(key, proposal, moments, kept, drawn, recorded, num_particles, size)


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
        return summand(Particle(z, key, weight, log_w, count))

    if posterior.kept is not None:
        kept = posterior.kept
        keys = jax.vmap(lambda index: proposal.particle(key, index).key)(kept.index)
        weight = posterior._normalize(kept.log_w)
        terms = jax.vmap(as_particle)(kept.z, keys, weight, kept.log_w)
        # A kept particle speaks for log_share of weight, of which its own is w. Rounding may put a
        # particle whose weight underflows into a place: it must not be blown up to infinity.
        blown_up = jnp.exp(jnp.minimum(kept.log_share - kept.log_w, 80.0))
        stands_for = jnp.where(weight > 0.0, blown_up, 0.0)
        return jax.tree.map(
            lambda term: jnp.sum(jnp.where(stands_for > 0.0, stands_for * term, 0.0)), terms
        )

    if posterior.drawn is not None:
        z, keys, log_w = posterior.drawn
        terms = jax.vmap(as_particle)(z, keys, posterior._normalize(log_w), log_w)
        return jax.tree.map(lambda term: jnp.sum(term[:count]), terms)

    num_chunks, size = balanced_chunks(count, posterior.chunk_size)

    def chunk_sum(chunk: Int[Array, ""]) -> PyTree:
        index = chunk * size + jnp.arange(size)
        z, keys, log_w = _draw_chunk(key, log_joint, proposal, index, count)
        weight = posterior._normalize(log_w)
        terms = jax.vmap(as_particle)(z, keys, weight, log_w)
        if num_chunks * size == count:
            return jax.tree.map(jnp.sum, terms)
        return jax.tree.map(lambda term: jnp.sum(jnp.where(index < count, term, 0.0)), terms)

    def add(total: PyTree, chunk: Int[Array, ""]) -> tuple[PyTree, None]:
        terms = jax.checkpoint(chunk_sum, prevent_cse=False)(chunk)
        return jax.tree.map(jnp.add, total, terms), None

    shapes = jax.eval_shape(chunk_sum, jnp.zeros((), int))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return lax.scan(add, zeros, jnp.arange(num_chunks))[0]


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
