"""The four choices of which every method is made, composed into an estimator.

| choice         | what it is here                                                              |
|----------------|------------------------------------------------------------------------------|
| objective      | (posterior, joint) -> what theta ascends                                     |
| proposal       | draws -> the E-step whose particles serve theta                              |
| hyperobjective | (posterior, joint, r) -> what eta ascends                                    |
| hyperproposal  | draws -> the E-step whose particles serve eta                                |

(Dieng & Paisley 2019, Table 1.) The choices themselves are in `objectives` and `proposals`.
Objectives that use the same particles are summed in one pass, so that a decoder shared by both is
run once.
"""

import dataclasses
import functools
from typing import TypedDict

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key, PyTree

from remjax.distributions.base import Distribution
from remjax.errors import InputError
from remjax.methods.batches import Terms, batch_mean, largest_divisor, rows_in_flight
from remjax.methods.draws import Draws
from remjax.methods.objectives import Ascent, Hyperobjective, Objective, Summand
from remjax.methods.proposals import Proposal
from remjax.particles.chunks import check_counts, even_chunk_size
from remjax.particles.e_step import particle_sum
from remjax.particles.matching import Covariance, shrunk_with_mean
from remjax.particles.posterior import Particle, Posterior
from remjax.sharding import particle_devices
from remjax.types import Batch, Estimate, Estimator, Model, Params, Recognition


class ParticleOptions(TypedDict, total=False):
    """The knobs of the particles besides K; `compose` explains them."""

    chunk_size: int | None
    keep: int | None


def compose(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    objective: Objective,
    proposal: Proposal,
    hyperobjective: Hyperobjective,
    hyperproposal: Proposal,
    covariance: Covariance | None = None,
    chunk_size: int | None = None,
    keep: int | None = None,
) -> Estimator:
    """The estimator of four choices (Dieng & Paisley 2019, Table 1).

    theta_loss sees only particles without gradient and eta_loss only a model without gradient, so
    neither can leak into the other.

    Args:
        model: p_theta(x, z).
        recognition: r_eta(z | x).
        num_particles: K, drawn from each distribution that a proposal uses.
        objective: what theta ascends.
        proposal: whose particles theta ascends it on.
        hyperobjective: what eta ascends.
        hyperproposal: whose particles eta ascends it on; the same function as `proposal` means the
            same particles.
        covariance: of s(z), default `matching.shrunk_with_mean()`.
        chunk_size: particles per datapoint in memory at a time; by default as many as keep about
            1,000 decoder passes in flight, or with `keep` 4,000, fewer of data larger than 784
            (`batches.rows_in_flight`).
        keep: None, or how many particles carry the gradient (`particles.e_step`).

    Returns:
        The estimator. Its metrics, averaged over the batch: log_evidence (nats) and ess of theta's
        particles, hyper_ess of eta's, and scored, how many particles the model scored.

    Raises:
        InputError: for counts below one, or keep above K.
    """
    choices = Choices(
        num_particles=num_particles,
        objective=objective,
        proposal=proposal,
        hyperobjective=hyperobjective,
        hyperproposal=hyperproposal,
        covariance=covariance,
        chunk_size=chunk_size,
        keep=keep,
    )

    def init(key: Key[Array, ""]) -> tuple[Params, tuple[()]]:
        return init_params(model, recognition, key), ()

    def estimate(
        params: Params, state: tuple[()], key: Key[Array, ""], batch: Batch
    ) -> tuple[Estimate, tuple[()]]:
        terms = functools.partial(terms_of_batch, model, recognition, choices)
        size = _datapoints_at_a_time(choices, batch.x)
        theta_term, eta_term, metrics = batch_mean(terms, params, key, batch, size)
        return Estimate(-theta_term, -eta_term, metrics), state

    return Estimator(init, estimate)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choices:
    """The four choices and the knobs of their E-steps: the arguments of `compose`, checked."""

    num_particles: int
    objective: Objective
    proposal: Proposal
    hyperobjective: Hyperobjective
    hyperproposal: Proposal
    covariance: Covariance | None = None
    chunk_size: int | None = None
    keep: int | None = None

    def __post_init__(self) -> None:
        check_counts(self.num_particles, self.chunk_size, self.keep)


def _datapoints_at_a_time(choices: Choices, x: Float[Array, "B X"]) -> int:
    """As many as keep one chunk of decoder passes in flight; a divisor of the batch size."""
    batch_size, data_size = x.shape
    if choices.keep is not None:
        # The gradient takes little, and takes least for the whole batch at once.
        return batch_size
    per_device = -(-choices.num_particles // particle_devices())
    rows = rows_in_flight(choices.keep, data_size)
    chunk = min(choices.chunk_size or rows, per_device)
    return largest_divisor(batch_size, rows // chunk)


def init_params(model: Model, recognition: Recognition, key: Key[Array, ""]) -> Params:
    """theta and eta at the start. Consumes the key."""
    key_theta, key_eta = jax.random.split(key)
    return Params(model.init(key_theta), recognition.init(key_eta))


def terms_of_batch(
    model: Model,
    recognition: Recognition,
    choices: Choices,
    params: Params,
    key: Key[Array, ""],
    batch: Batch,
) -> Terms:
    """The terms of four choices for every datapoint of a batch. Consumes the key.

    For methods that combine datapoints or several such draws in a way of their own; the mean is
    `compose`. The gradient of `theta` reaches only theta and that of `eta` only eta.
    """
    batch_size, data_size = batch.x.shape
    most = max(1, rows_in_flight(choices.keep, data_size) // batch_size)
    chunk = choices.chunk_size or even_chunk_size(choices.num_particles, most)
    covariance = choices.covariance or shrunk_with_mean()

    def of_datapoint(key: Key[Array, ""], x: Float[Array, " X"]) -> Terms:
        r = recognition.distribution(params.eta, x)
        if not isinstance(r, Distribution):
            raise InputError(
                f"Recognition.distribution returns a {type(r).__name__}: return a "
                "remjax.Distribution, such as remjax.DiagonalGaussian(loc, scale)"
            )
        draws = Draws(
            key,
            model,
            params.theta,
            x,
            recognition.distribution(lax.stop_gradient(params.eta), x),
            num_particles=choices.num_particles,
            covariance=covariance,
            chunk_size=chunk,
            keep=choices.keep,
        )
        for_theta = choices.proposal(draws)
        shared = choices.hyperproposal is choices.proposal
        for_eta = for_theta if shared else choices.hyperproposal(draws)
        joint, frozen_joint = draws.joints_of(for_theta).moving, draws.joints_of(for_eta).frozen
        ascents = (
            (for_theta, choices.objective(for_theta, joint)),
            (for_eta, choices.hyperobjective(for_eta, frozen_joint, r)),
        )
        theta_term, eta_term = _sum_together(ascents, draws)
        metrics = {
            "log_evidence": for_theta.log_evidence,
            "ess": for_theta.ess,
            "hyper_ess": for_eta.ess,
            "scored": jnp.asarray(float(draws.scored)),
        }
        return Terms(theta_term, eta_term, metrics)

    # By their place in the data set: how a batch is cut over devices changes no particle.
    keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(batch.index)
    if batch_size == 1:
        # Without an axis of length one, the gradient of a layer is one product of matrices.
        terms = of_datapoint(keys[0], batch.x[0])
        return jax.tree.map(lambda leaf: leaf[None], terms)
    return jax.vmap(of_datapoint)(keys, batch.x)


def _sum_together(
    ascents: tuple[tuple[Posterior, Ascent], ...], draws: Draws
) -> list[PyTree[Float[Array, ""]]]:
    """Sum each ascent over its particles; those over the same particles in one pass."""
    totals: dict[int, PyTree[Float[Array, ""]]] = {}
    waiting: dict[int, dict[int, Summand]] = {}
    posteriors = {id(posterior): posterior for posterior, _ in ascents}
    for place, (posterior, ascent) in enumerate(ascents):
        if callable(ascent):
            waiting.setdefault(id(posterior), {})[place] = ascent
        else:
            totals[place] = ascent
    for name, summands in waiting.items():

        def together(
            particle: Particle, summands: dict[int, Summand] = summands
        ) -> dict[int, PyTree[Float[Array, ""]]]:
            return {place: summand(particle) for place, summand in summands.items()}

        posterior = posteriors[name]
        totals |= particle_sum(posterior, draws.joints_of(posterior).frozen, together)
    return [totals[place] for place in range(len(ascents))]
