"""The four choices of which every method is made, and their composition into an estimator.

| choice         | what it is here                                                              |
|----------------|------------------------------------------------------------------------------|
| objective      | (posterior, joint) -> what theta ascends                                     |
| proposal       | draws -> the E-step whose particles serve theta                              |
| hyperobjective | (posterior, joint, r) -> what eta ascends                                    |
| hyperproposal  | draws -> the E-step whose particles serve eta                                |

(Dieng & Paisley 2019, Table 1.) An objective returns either a number or the function of one
particle that is to be summed over the particles. Objectives that use the same particles are summed
in one pass, so that a decoder shared by both is run once.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from remjax.distributions import Balanced, Distribution, Stratified
from remjax.errors import InputError
from remjax.estimators.groups import batch_mean, group_size, rows_in_flight
from remjax.moments import Covariance, moment_match, shrunk
from remjax.particles import Particle, Posterior, check_counts, e_step, particle_sum
from remjax.types import Batch, Estimate, Estimator, Joint, Model, Params, Recognition

Summand = Callable[[Particle], Float[Array, ""]]
Ascent = Summand | Float[Array, ""]
Objective = Callable[[Posterior, Joint], Ascent]
Hyperobjective = Callable[[Posterior, Joint, Distribution], Ascent]

# Scores of r's particles that the mixture uses again: above this many, memory would grow with K, so
# they are scored a second time.
_LONGEST_RECORD = 16_384


class Draws:
    """The E-steps of ONE datapoint that the proposals choose from, each run at most once.

    Attributes:
        key: names all particles of this datapoint.
        joint: log p_theta(x, z) and its parts, without gradient.
        recognition: r_eta(z | x), without gradient.
        num_particles: K, the particles drawn from each distribution.
        covariance: the choice of the covariance of s.
        chunk_size: particles in memory at a time.
        keep: particles that carry the gradient, or None for all.
    """

    def __init__(
        self,
        key: Key[Array, ""],
        joint: Joint,
        recognition: Distribution,
        *,
        num_particles: int,
        covariance: Covariance,
        chunk_size: int,
        keep: int | None,
    ) -> None:
        self.key, self._key_s = jax.random.split(key)
        self.joint = joint
        self.recognition = recognition
        self.num_particles = num_particles
        self.covariance = covariance
        self.chunk_size = chunk_size
        self.keep = keep

    def draw(
        self,
        key: Key[Array, ""],
        proposal: Distribution,
        num_particles: int,
        **options: Any,
    ) -> Posterior:
        """An E-step from any proposal with this datapoint's settings and options of `e_step`."""
        return e_step(
            key,
            self.joint,
            proposal,
            num_particles,
            chunk_size=self.chunk_size,
            keep=self.keep,
            **options,
        )

    @functools.cached_property
    def r(self) -> Posterior:
        """K particles of the recognition network."""
        return self.draw(
            self.key,
            self.recognition,
            self.num_particles,
            powers=self.covariance.powers,
            record=self.num_particles <= _LONGEST_RECORD,
        )

    @functools.cached_property
    def matched(self) -> Distribution:
        """s(z), the Gaussian that matches the moments of the particles of r (Eqs. 16-18)."""
        return moment_match(
            self.r.moments, self.recognition.variance, self.num_particles, self.covariance
        )

    @functools.cached_property
    def s(self) -> Posterior:
        """K particles of s, independent of those that it was matched to."""
        return self.draw(self._key_s, self.matched, self.num_particles)

    @functools.cached_property
    def mixture(self) -> Posterior:
        """The K particles of r and K of s, weighted together by the balance heuristic."""
        return self._with_r(Balanced(self.recognition, self.matched))

    @functools.cached_property
    def pooled(self) -> Posterior:
        """The K particles of r, and K of the even mixture of r and s, each properly weighted."""
        return self._with_r(Stratified(self.recognition, Balanced(self.recognition, self.matched)))

    def _with_r(self, proposal: Stratified) -> Posterior:
        # The even particles are those of r, scored already.
        return self.draw(self.key, proposal, 2 * self.num_particles, known=self.r.log_joints)


def from_r(draws: Draws) -> Posterior:
    """Proposal: the recognition network r_eta(z | x)."""
    return draws.r


def from_s(draws: Draws) -> Posterior:
    """Proposal: the moment-matched Gaussian s(z)."""
    return draws.s


def from_mixture(draws: Draws) -> Posterior:
    """Proposal: r and s together, weighted as draws of their even mixture."""
    return draws.mixture


def from_pooled(draws: Draws) -> Posterior:
    """Proposal: r, then the even mixture of r and s, each particle weighted by its own law."""
    return draws.pooled


def expected_complete_log_likelihood(_posterior: Posterior, joint: Joint) -> Ascent:
    """sum_k weights_k log p_theta(x, z_k): what EM ascends (Dieng & Paisley 2019, Eqs. 9-10).

    Its gradient is that of L_K with respect to theta (Burda et al. 2015, Eq. 14).
    """
    return lambda particle: _weighted(particle.weight, joint(particle.z))


def evidence_lower_bound(_posterior: Posterior, joint: Joint) -> Ascent:
    """1/K sum_k log p_theta(x, z_k): the part of the ELBO that moves theta (Eq. 1)."""
    return lambda particle: joint(particle.z) / particle.num_particles


def inclusive_kl(posterior: Posterior, _joint: Joint, r: Distribution) -> Ascent:
    """sum_k weights_k log r_eta(z_k | x), minus KL(p || r) up to a constant (Eqs. 12-15).

    Where log r depends on the particles through their mean and covariance alone (Gaussians), the
    streamed moments give the sum over all K exactly, whatever `keep` is, and no particle is drawn
    a second time.
    """
    closed = r.expected_log_prob(posterior.mean, posterior.covariance)
    if closed is not None:
        return jnp.where(posterior.ess > 0.0, closed, 0.0)
    return lambda particle: _weighted(particle.weight, r.log_prob(particle.z))


def importance_weighted_bound(_posterior: Posterior, joint: Joint, r: Distribution) -> Ascent:
    """The gradient of L_K in eta: sum_k weights_k log w(z_k(eta)) (Burda et al. 2015, Eq. 14).

    Pathwise: the particles must come from r itself.
    """

    def summand(particle: Particle) -> Float[Array, ""]:
        z = particle.z_along(r)
        return _weighted(particle.weight, joint(z) - r.log_prob(z))

    return summand


def exclusive_kl(_posterior: Posterior, joint: Joint, r: Distribution) -> Ascent:
    """1/K sum_k log w(z_k(eta)), minus KL(r || p) up to a constant, by Monte Carlo (Eq. 1).

    Pathwise: the particles must come from r itself.
    """

    def summand(particle: Particle) -> Float[Array, ""]:
        z = particle.z_along(r)
        return (joint(z) - r.log_prob(z)) / particle.num_particles

    return summand


def exclusive_kl_analytic(_posterior: Posterior, joint: Joint, r: Distribution) -> Ascent:
    """1/K sum_k log p(x | z_k(eta)) - KL(r || prior), the divergence in closed form (Eq. 1).

    Pathwise: the particles must come from r itself. Needs `Model.prior`.
    """
    divergence = None if joint.prior is None else r.kl_divergence(joint.prior)
    if divergence is None:
        raise InputError(
            "KL(r || prior) has no closed form here: give Model.prior and a diagonal Gaussian r, "
            "or take it by Monte Carlo"
        )

    def summand(particle: Particle) -> Float[Array, ""]:
        return (joint.log_likelihood(particle.z_along(r)) - divergence) / particle.num_particles

    return summand


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
        covariance: of s(z), default `moments.shrunk()`.
        chunk_size: particles per datapoint in memory at a time; by default as many as keep
            `groups.rows_in_flight()` decoder passes in flight.
        keep: None, or how many particles carry the gradient (`particles.e_step`).

    Returns:
        The estimator. Its metrics, averaged over the batch: log_evidence (nats) and ess of theta's
        particles, hyper_ess of eta's.

    Raises:
        InputError: for counts below one, or keep above K.
    """
    check_counts(num_particles, chunk_size, keep)
    covariance = covariance or shrunk()

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
        rows = rows_in_flight()
        if keep is None:
            chunk = min(chunk_size or rows, num_particles)
            group = group_size(size, rows // chunk)
        else:
            # The gradient takes little, and takes least for the whole batch at once.
            chunk, group = chunk_size or max(1, rows // size), size
        keys = jax.random.split(key, size)
        theta_term, eta_term, metrics = batch_mean(
            functools.partial(terms, chunk=chunk), params, keys, batch.x, group
        )
        return Estimate(-theta_term, -eta_term, metrics), state

    return Estimator(init, estimate)


def _weighted(weight: Float[Array, ""], value: Float[Array, ""]) -> Float[Array, ""]:
    """Weight times value, 0 for an impossible particle, whose value is -inf."""
    return jnp.where(weight > 0.0, weight * value, 0.0)


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
