"""The particle filter: K particles through the steps of ONE sequence, resampled when too unequal.

It is one `lax.scan`, differentiable. What a step computes is computed again in the backward pass,
and of the steps only every sqrt(T)-th is remembered there.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key, PyTree, Shaped

from remjax.errors import InputError
from remjax.particles.chunks import check_counts
from remjax.particles.weights import (
    effective_sample_size,
    log_mean_exp,
    normalize_log_weights,
    resample_systematic,
)
from remjax.sequential.checkpointed_scan import checkpointed_scan
from remjax.sequential.proposals import Moved, Step, StepProposal, from_r
from remjax.sequential.state_space import (
    StateSpaceModel,
    StepRecognition,
    Steps,
    WhereObserved,
    steps_of,
)
from remjax.types import Latent

# (key, log-weights [K], M) -> indices [M]; the particles' weights alone decide.
Resampling = Callable[[Key[Array, ""], Float[Array, " K"], int], Int[Array, " M"]]


class Filtered(NamedTuple):
    """The particles of ONE sequence. A step after its end repeats the last.

    Attributes:
        log_evidence: log Z, nats: E[Z] = p(x).
        z: latents, arrays [T, K, D].
        ancestors: at each step the places of the particles' parents in the step before; at the
            first, their own.
        log_w: log-weights since the last resampling, with the observation of the step, nats.
        ess: of these.
        resampled: whether the parents were resampled.
        active: whether the sequence has not ended.
    """

    log_evidence: Float[Array, ""]
    z: Latent
    ancestors: Int[Array, "T K"]
    log_w: Float[Array, "T K"]
    ess: Float[Array, " T"]
    resampled: Bool[Array, " T"]
    active: Bool[Array, " T"]


class _Particles(NamedTuple):
    """What goes from step to step."""

    z: Latent
    log_w: Float[Array, " K"]
    log_z: Float[Array, ""]


class _Passed(NamedTuple):
    """What a step leaves in `Filtered`."""

    z: Latent
    ancestors: Int[Array, " K"]
    log_w: Float[Array, " K"]
    resampled: Bool[Array, ""]


class _Mover(NamedTuple):
    """How the particles of one step come from those of the step before."""

    model: StateSpaceModel
    theta: PyTree
    recognition: StepRecognition
    eta: PyTree
    proposal: StepProposal
    chunk_size: int | None
    pathwise: bool

    def __call__(
        self,
        key: Key[Array, ""],
        previous: Latent | None,
        log_w: Float[Array, " K"],
        now: Steps,
    ) -> Moved:
        """K moves, and the factor of their weights."""
        model, theta, (row, observed, _) = self.model, self.theta, now
        step = Step(
            r=lambda before: WhereObserved(
                observed,
                self.recognition.r(self.eta, before, row),
                model.prior(lax.stop_gradient(theta), before),
            ),
            log_joint=lambda before, z: model.log_joint(theta, before, z, row, observed),
            over_particles=lambda function: over_particles(function, self.chunk_size),
            previous=previous,
            log_w=log_w,
            pathwise=self.pathwise,
        )
        return self.proposal(key, step)


def particle_filter(
    key: Key[Array, ""],
    model: StateSpaceModel,
    theta: PyTree,
    recognition: StepRecognition,
    eta: PyTree,
    x: Shaped[Array, "T ..."],
    num_particles: int,
    *,
    proposal: StepProposal = from_r,
    threshold: float = 0.5,
    resampling: Resampling = resample_systematic,
    chunk_size: int | None = None,
    pathwise: bool = False,
) -> Filtered:
    """Sequential importance sampling with adaptive resampling (Doucet & Johansen 2009, Section 4).

    w_t = w_{t-1} p(z_t | z_{t-1}) p(x_t | z_t) / q(z_t | z_{t-1}, x_t). Before a step whose
    particles have an ESS below threshold K, Z is multiplied by their mean weight, their places are
    drawn by the weights, and the weights start at one again. E[Z] = p(x) for every K, proposal and
    threshold (Del Moral 2004). Consumes the key.

    Where `resampling` was done its choice carries no gradient, so that of log Z is the one that
    Maddison et al. (2017), Le et al. (2018) and Naesseth et al. (2018) ascend: exact where
    threshold is 0, else without the score of the choice.

    Args:
        key: names the particles.
        model: p_theta(x, z).
        theta: its parameters; log_evidence carries their gradient.
        recognition: r_eta(z_t | z_{t-1}, x_t).
        eta: its parameters; log_evidence carries their gradient.
        x: one sequence; rows of NaN were not observed, and after the last observed one it has ended
            (`steps_of`).
        num_particles: K.
        proposal: what the particles of a step are drawn from.
        threshold: share of K below which they are resampled: 0 never, 1 before every step whose
            weights are not equal.
        resampling: (key, log-weights, K) -> places.
        chunk_size: particles in memory at a time within a step; None for all.
        pathwise: whether the draws carry the gradient of eta; needs a reparameterised r.

    Raises:
        InputError: for counts or a threshold that cannot be; for a pathwise gradient that the
            proposal or r does not have.
    """
    check_counts(num_particles, chunk_size, None)
    check_threshold(threshold)
    if pathwise and not proposal.is_pathwise:
        raise InputError(f"draws of {proposal} carry no gradient of eta: take from_r")
    mover = _Mover(model, theta, recognition, eta, proposal, chunk_size, pathwise)
    steps = steps_of(x)
    keys = jax.vmap(lambda step: jax.random.fold_in(key, step))(jnp.arange(x.shape[0]))
    places = jnp.arange(num_particles)

    def step(
        particles: _Particles, inputs: tuple[Key[Array, ""], Steps]
    ) -> tuple[_Particles, _Passed]:
        key, now = inputs
        key_places, key_z = jax.random.split(key)
        log_w, log_z = particles.log_w, particles.log_z
        known = lax.stop_gradient(log_w)
        resampled = now.active & (effective_sample_size(known) < threshold * num_particles)
        ancestors = jnp.where(resampled, resampling(key_places, known, num_particles), places)
        log_z = jnp.where(resampled, log_z + log_mean_exp(log_w), log_z)
        log_w = jnp.where(resampled, 0.0, log_w)
        previous = jax.tree.map(lambda leaf: leaf[ancestors], particles.z)
        z, log_a = mover(key_z, previous, log_w, now)
        z = jax.tree.map(lambda new, old: jnp.where(now.active, new, old), z, previous)
        log_w = jnp.where(now.active, log_w + log_a, log_w)
        return _Particles(z, log_w, log_z), _Passed(z, ancestors, log_w, resampled)

    # A sequence without any observation has evidence 1; its first step is taken all the same.
    begin = jax.tree.map(lambda leaf: leaf[0], steps)
    z, log_a = mover(keys[0], None, jnp.zeros(num_particles), begin)
    first = _Particles(z, jnp.where(begin.active, log_a, 0.0), jnp.zeros(()))
    rest = jax.tree.map(lambda leaf: leaf[1:], (keys, steps))
    last, later = checkpointed_scan(step, first, rest, x.shape[0] - 1)
    of_first = _Passed(z, places, first.log_w, jnp.zeros((), bool))
    passed = jax.tree.map(lambda one, others: jnp.concatenate([one[None], others]), of_first, later)
    return Filtered(
        log_evidence=last.log_z + log_mean_exp(last.log_w),
        z=passed.z,
        ancestors=passed.ancestors,
        log_w=passed.log_w,
        ess=effective_sample_size(lax.stop_gradient(passed.log_w)),
        resampled=passed.resampled,
        active=steps.active,
    )


def filtering_weights(filtered: Filtered) -> Float[Array, "T K"]:
    """Of z_t given x_1, ..., x_t: normalised at each step. No gradient."""
    return normalize_log_weights(lax.stop_gradient(filtered.log_w))


def smoothing_weights(filtered: Filtered) -> Float[Array, "T K"]:
    """Of z_t given all of x: at each step, what a particle's descendants at the end weigh.

    Consistent as K grows; of early steps few particles have descendants (Kitagawa 1996). No
    gradient.
    """
    num_particles = filtered.log_w.shape[1]

    def back(
        weights: Float[Array, " K"], ancestors: Int[Array, " K"]
    ) -> tuple[Float[Array, " K"], Float[Array, " K"]]:
        before = jnp.zeros(num_particles, weights.dtype).at[ancestors].add(weights)
        return before, before

    last = normalize_log_weights(lax.stop_gradient(filtered.log_w[-1]))
    _, earlier = lax.scan(back, last, filtered.ancestors[1:], reverse=True)
    return jnp.concatenate([earlier, last[None]])


def over_particles(function: Callable[..., Any], chunk_size: int | None) -> Callable[..., Any]:
    """A function of one particle as one of K, at most `chunk_size` of them in memory at a time."""
    if chunk_size is None:
        return jax.vmap(function)
    of_one = jax.checkpoint(lambda arguments: function(*arguments), prevent_cse=False)
    return lambda *arguments: lax.map(of_one, arguments, batch_size=chunk_size)


def check_threshold(threshold: float) -> None:
    """Raise InputError for a threshold that is no share."""
    if not 0.0 <= threshold <= 1.0:
        raise InputError(
            f"threshold is {threshold}: give the share of K below which particles are resampled, "
            "from 0 (never) to 1"
        )
