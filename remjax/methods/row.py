"""The terms that the four choices of a method give for every datapoint of a batch.

| choice         | what it is here                                                              |
|----------------|------------------------------------------------------------------------------|
| objective      | (posterior, joint, r) -> what theta ascends                                  |
| proposal       | draws -> the E-step whose particles serve theta                              |
| hyperobjective | (posterior, joint, r) -> what eta ascends                                    |
| hyperproposal  | draws -> the E-step whose particles serve eta                                |

(Dieng & Paisley 2019, Table 1.) The choices themselves are in `objectives` and `proposals`.
"""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key, PyTree

from remjax import statistics
from remjax.distributions.base import Distribution
from remjax.errors import InputError
from remjax.methods.batches import Terms, largest_divisor, rows_in_flight
from remjax.methods.draws import Draws, Scored
from remjax.methods.proposals import Proposal, from_r
from remjax.methods.sums import Ascent, Objective
from remjax.particles.chunks import check_counts, even_chunk_size
from remjax.particles.particle_sum import particle_sum
from remjax.particles.posterior import Particle
from remjax.sharding import particle_devices
from remjax.types import Batch, Datapoint, Model, Params, Recognition

# Names the noise of a memory's advance; the key itself is split for the particles.
_VISIT = 2


@dataclasses.dataclass(frozen=True)
class Choices:
    """The four choices. Where `proposal` equals `hyperproposal`, both share their particles.

    Attributes:
        objective: what theta ascends.
        proposal: whose particles theta ascends it on.
        hyperobjective: what eta ascends.
        hyperproposal: whose particles eta ascends it on.
    """

    objective: Objective
    proposal: Proposal
    hyperobjective: Objective
    hyperproposal: Proposal

    @property
    def keeps(self) -> bool:
        """Whether `Particles.keep` serves: M particles stand for all in both losses."""
        return self.objective.keeps and self.hyperobjective.keeps

    @property
    def fewest(self) -> int:
        """The fewest particles that both objectives can do with."""
        return max(self.objective.fewest, self.hyperobjective.fewest)

    @property
    def serves_relaxed(self) -> bool:
        """Whether r may be of relaxed bits (`Distribution.is_relaxed`).

        It may where eta learns along the draws of r, and no particles of another distribution are
        weighed beside them. All others take the bits themselves.
        """
        return self.hyperobjective.is_pathwise and self.proposal == self.hyperproposal == from_r


@dataclasses.dataclass(frozen=True)
class Particles:
    """How many particles, and how they are held: alike for every method.

    Attributes:
        num_particles: K, drawn from each distribution that a proposal uses.
        keep: None, or how many particles carry the gradient (`particles.e_step`): 4 is a good
            value. Only for methods whose losses are sums under the weights (`Method.keeps`).
        chunk_size: particles per datapoint in memory at a time; by default as many as keep about
            1,000 decoder passes in flight, or with `keep` 4,000, fewer of data larger than 784
            (`batches.rows_in_flight`).

    Raises:
        InputError: for counts below one, or keep above K.
    """

    num_particles: int
    keep: int | None = None
    chunk_size: int | None = None

    def __post_init__(self) -> None:
        """Check the counts."""
        check_counts(self.num_particles, self.chunk_size, self.keep)


class Row(NamedTuple):
    """The choices of a method with a model, a recognition network and particles.

    Calling it gives the terms of every datapoint of a batch.

    Attributes:
        model: p_theta(x, z).
        recognition: r_eta(z | x).
        method: the choices.
        particles: how many, and how they are held.
        kl_weight: the power of p(z) / r(z) in the weights (`types.Joint`).
    """

    model: Model
    recognition: Recognition
    method: Choices
    particles: Particles
    kl_weight: Float[Array, ""] | float = 1.0

    def __call__(self, params: Params, key: Key[Array, ""], batch: Batch) -> Terms:
        """The terms of every datapoint. Consumes the key.

        The gradient of `theta` reaches only theta and that of `eta` only eta.
        """
        batch_size = batch.x.shape[0]
        most = max(1, self._rows_in_flight(batch) // batch_size)
        particles = self.particles
        chunk = particles.chunk_size or even_chunk_size(particles.num_particles, most)
        row = self._replace(particles=dataclasses.replace(particles, chunk_size=chunk))

        def of_datapoint(key: Key[Array, ""], x: Datapoint, memory: PyTree[Array]) -> Terms:
            return row.of_datapoint(params, key, x, memory)

        # By their place in the data set: how a batch is cut over devices changes no particle.
        keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(batch.index)
        if batch_size == 1 and not self._has_statistics(params, batch):
            # Without an axis of length one, the gradient of a layer is one product of matrices.
            # Batch statistics need the axis: other devices may have the rest of the batch.
            one = jax.tree.map(lambda leaf: leaf[0], (keys, batch.x, batch.memory))
            return jax.tree.map(lambda leaf: leaf[None], of_datapoint(*one))
        over_batch = jax.vmap(
            of_datapoint,
            axis_name=statistics.DATAPOINTS,
            out_axes=Terms(0, 0, 0, memory=0, statistics=None),  # pyright: ignore[reportArgumentType]
        )
        return over_batch(keys, batch.x, batch.memory)

    def of_datapoint(
        self, params: Params, key: Key[Array, ""], x: Datapoint, memory: PyTree[Array]
    ) -> Terms:
        """The terms of ONE datapoint, its particles in chunks of `particles.chunk_size`.

        The recognition network runs once: the memory, the statistics and the losses share it.
        """
        method, particles = self.method, self.particles
        r, seen = statistics.observed(lambda params: self.recognition.r(params.eta, x), params)
        r, memory = self.recognition.visit(r, params, jax.random.fold_in(key, _VISIT), x, memory)
        seen |= self._seen_at_a_draw(params, key, x, r)
        check_serves(r, method)
        check_scored_alike(r, self.model, params)
        objectives = method.objective, method.hyperobjective
        proposals = method.proposal, method.hyperproposal
        draws = Draws(
            key,
            self.model,
            params.theta,
            x,
            lax.stop_gradient(r),
            num_particles=particles.num_particles,
            chunk_size=particles.chunk_size or particles.num_particles,
            keep=particles.keep,
            powers=tuple(power for one in objectives for power in one.powers),
            matched_powers=tuple(
                power for one in proposals for power in getattr(one, "powers", ())
            ),
            kl_weight=self.kl_weight,
        )
        for_theta, for_eta = draws.of(method.proposal), draws.of(method.hyperproposal)
        theta = method.objective(for_theta.posterior, for_theta.moving, draws.r)
        eta = method.hyperobjective(for_eta.posterior, for_eta.frozen, r)
        if for_theta is for_eta:
            theta, eta = _summed(for_theta, (theta, eta))
        else:
            (theta,), (eta,) = _summed(for_theta, (theta,)), _summed(for_eta, (eta,))
        metrics = {
            "log_evidence": for_theta.posterior.log_evidence,
            "ess": for_theta.posterior.ess,
            "hyper_ess": for_eta.posterior.ess,
            "scored": jnp.asarray(float(draws.num_scored)),
        }
        return Terms(theta, eta, metrics, memory, seen)

    def datapoints_at_a_time(self, params: Params, key: Key[Array, ""], batch: Batch) -> int:
        """As many as keep one chunk of decoder passes in flight; a divisor of the batch size."""
        batch_size, particles = batch.x.shape[0], self.particles
        if particles.keep is not None or self._has_statistics(params, batch):
            # With keep the gradient takes little, and least for the whole batch at once; and batch
            # statistics are those of the whole.
            return batch_size
        per_device = -(-particles.num_particles // particle_devices())
        rows = self._rows_in_flight(batch)
        chunk = min(particles.chunk_size or rows, per_device)
        return largest_divisor(batch_size, rows // chunk)

    def _rows_in_flight(self, batch: Batch) -> int:
        return rows_in_flight(self.particles.keep, math.prod(batch.x.shape[1:]))

    def _seen_at_a_draw(
        self, params: Params, key: Key[Array, ""], x: Datapoint, r: Distribution
    ) -> dict[int, Array]:
        """The batch statistics of the networks that see a latent, here one draw of r.

        They are the model's, and those of the layers or groups of r after the first.
        """
        z = r.sample(key)

        def run(params: Params) -> tuple[Array, Array]:
            # r itself and not another made alike: its first network has run, and runs once.
            return self.model.joint(params.theta, x)(z), r.log_prob(z)

        return statistics.observed(run, params)[1]

    def _has_statistics(self, params: Params, batch: Batch) -> bool:
        """Whether any network has, by abstract evaluation: nothing is computed."""

        def seen(x: Datapoint, memory: PyTree[Array]) -> dict[int, Array]:
            r, found = statistics.observed(lambda params: self.recognition.r(params.eta, x), params)
            r = r.at(memory) if jax.tree.leaves(memory) else r
            return found | self._seen_at_a_draw(params, jax.random.key(0), x, r)

        over_batch = jax.vmap(seen, axis_name=statistics.DATAPOINTS, out_axes=None)
        return bool(jax.eval_shape(over_batch, batch.x, batch.memory))


def check_serves(r: Distribution, method: Choices) -> None:
    """Raise InputError for relaxed bits, or an unknown log Z, where the method cannot take them."""
    if r.is_relaxed and not method.serves_relaxed:
        raise InputError(
            "relaxed bits have no density, only a gradient along their draws, and eta ascends "
            f"{method.hyperobjective} over {method.hyperproposal}, which makes no use of it: leave "
            "the relaxation out, or use a method that does, such as dvae, stl, vae or dreg"
        )
    if r.is_normalized:
        return
    for name, objective in (("theta", method.objective), ("eta", method.hyperobjective)):
        if not objective.serves_unnormalized:
            raise InputError(
                f"{name} ascends {objective}, which needs a normalised r, and log Z of "
                f"{type(r).__name__} is not known: use rws, rem_v1, stl, dreg or vae"
            )


def check_scored_alike(r: Distribution, model: Model, params: Params) -> None:
    """Raise InputError where r and the prior are not smoothed alike.

    Of bits, relaxed or not, log p is a probability, which a density of smoothed ones is not weighed
    against. A prior that is not known, and r and priors of other real numbers, are not looked at.
    """
    prior = None if model.prior is None else model.prior(params.theta)
    if prior is None or prior.smoothed_by == r.smoothed_by:
        return
    if prior.smoothed_by is not None:
        raise InputError(
            f"the prior is a density of bits smoothed by the {prior.smoothed_by}, and r is "
            f"{_of_bits(r)}: give r the same smoothing, as models.grouped_recognition takes it, or "
            "leave out the model's"
        )
    if prior.is_discrete:
        raise InputError(
            f"r is {_of_bits(r)}, and the prior scores bits: give the model the same smoothing, as "
            "models.boltzmann_model takes it, or r a relaxation in its place"
        )


def _of_bits(r: Distribution) -> str:
    if r.smoothed_by is not None:
        return f"one of bits smoothed by the {r.smoothed_by}"
    return "of relaxed bits" if r.is_relaxed else "of bits" if r.is_discrete else "of real numbers"


def _summed(scored: Scored, ascents: tuple[Ascent, ...]) -> tuple[PyTree, ...]:
    """Each ascent summed over the same particles, all in one pass; what is a number stays."""
    summands = {place: ascent for place, ascent in enumerate(ascents) if callable(ascent)}

    def together(particle: Particle) -> dict[int, PyTree]:
        return {place: summand(particle) for place, summand in summands.items()}

    sums = particle_sum(scored.posterior, scored.scoring, together) if summands else {}
    return tuple(sums.get(place, ascent) for place, ascent in enumerate(ascents))
