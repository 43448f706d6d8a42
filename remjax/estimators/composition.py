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

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from remjax.chunks import check_counts, even_chunk_size
from remjax.estimators.objectives import Ascent, Hyperobjective, Objective, Summand
from remjax.estimators.proposals import Draws
from remjax.moments import Covariance, tempered
from remjax.particles import Particle, Posterior, particle_sum
from remjax.types import Batch, Estimate, Estimator, Joint, Model, Params, Recognition

# Decoder passes in flight: enough rows to fill a matrix product, few enough to stay in the cache.
_ROWS_IN_FLIGHT = 1024


def compose(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    objective: Objective,
    proposal: Callable[[Draws], Posterior],
    hyperobjective: Hyperobjective,
    hyperproposal: Callable[[Draws], Posterior],
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
        hyperproposal: whose particles eta ascends it on.
        covariance: of s(z), default `moments.tempered()`.
        chunk_size: particles per datapoint in memory at a time; by default as many as keep about
            1,000 decoder passes in flight.
        keep: None, or how many particles carry the gradient (`particles.e_step`).

    Returns:
        The estimator. Its metrics, averaged over the batch: log_evidence (nats) and ess of theta's
        particles, hyper_ess of eta's.

    Raises:
        InputError: for counts below one, or keep above K.
    """
    check_counts(num_particles, chunk_size, keep)
    covariance = covariance or tempered()

    def init(key: Key[Array, ""]) -> tuple[Params, tuple[()]]:
        key_theta, key_eta = jax.random.split(key)
        return Params(model.init(key_theta), recognition.init(key_eta)), ()

    def terms(
        params: Params, key: Key[Array, ""], x: Float[Array, " X"], chunk: int
    ) -> tuple[Float[Array, ""], Float[Array, ""], dict[str, Float[Array, ""]]]:
        frozen = lax.stop_gradient(params)
        joint, r = model.joint(params.theta, x), recognition.distribution(params.eta, x)
        frozen_joint = model.joint(frozen.theta, x)
        draws = Draws(
            key,
            frozen_joint,
            recognition.distribution(frozen.eta, x),
            num_particles=num_particles,
            covariance=covariance,
            chunk_size=chunk,
            keep=keep,
        )
        for_theta, for_eta = proposal(draws), hyperproposal(draws)
        ascents = (
            (for_theta, objective(for_theta, joint)),
            (for_eta, hyperobjective(for_eta, frozen_joint, r)),
        )
        theta_term, eta_term = _sum_together(ascents, frozen_joint)
        metrics = {
            "log_evidence": for_theta.log_evidence,
            "ess": for_theta.ess,
            "hyper_ess": for_eta.ess,
        }
        return theta_term, eta_term, metrics

    def estimate(
        params: Params, state: tuple[()], key: Key[Array, ""], batch: Batch
    ) -> tuple[Estimate, tuple[()]]:
        size = batch.x.shape[0]
        chunk = chunk_size or even_chunk_size(num_particles, max(1, _ROWS_IN_FLIGHT // size))
        # By their place in the data set: how a batch is cut over devices changes no particle.
        keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(batch.index)
        per_datapoint = jax.vmap(terms, in_axes=(None, 0, 0, None))(params, keys, batch.x, chunk)
        theta_term, eta_term, metrics = jax.tree.map(jnp.mean, per_datapoint)
        return Estimate(-theta_term, -eta_term, metrics), state

    return Estimator(init, estimate)


def _sum_together(
    ascents: tuple[tuple[Posterior, Ascent], ...], joint: Joint
) -> list[Float[Array, ""]]:
    """Sum each ascent over its particles; those over the same particles in one pass."""
    totals: dict[int, Float[Array, ""]] = {}
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
        ) -> dict[int, Float[Array, ""]]:
            return {place: summand(particle) for place, summand in summands.items()}

        totals |= particle_sum(posteriors[name], joint, together)
    return [totals[place] for place in range(len(ascents))]
