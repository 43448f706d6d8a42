"""Particles in groups: bounds made of several importance-weighted ones (Rainforth et al. 2018).

More particles tighten a bound and drown the gradient of eta in noise. These methods give eta looser
bounds, of fewer particles each, without taking particles away from theta.
"""

from collections.abc import Callable
from typing import Any, Unpack

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from remjax.errors import InputError
from remjax.methods.batches import Terms
from remjax.methods.composition import (
    Choices,
    ParticleOptions,
    compose,
    init_params,
    terms_of_batch,
)
from remjax.methods.objectives import (
    Summand,
    evidence_lower_bound,
    exclusive_kl,
    expected_complete_log_likelihood,
    importance_weighted_bound,
)
from remjax.methods.proposals import from_r
from remjax.particles.weights import log_mean_exp, normalize_log_weights
from remjax.types import Batch, Estimate, Estimator, Model, Params, Recognition

# The log-evidences of the groups of ONE datapoint, nats -> what each group's gradient is worth.
Shares = Callable[[Float[Array, " G"]], Float[Array, " G"]]


def equal_shares(log_evidence: Float[Array, " G"]) -> Float[Array, " G"]:
    """1/G each: the average of the groups' bounds."""
    return jnp.full_like(log_evidence, 1.0 / log_evidence.shape[0])


def evidence_shares(log_evidence: Float[Array, " G"]) -> Float[Array, " G"]:
    """In proportion to each group's evidence: the bound of all particles together."""
    return normalize_log_weights(log_evidence)


class GroupOptions(ParticleOptions, total=False):
    """The knobs of the methods in groups besides K; `grouped` explains them."""

    num_groups: int


def grouped(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    theta_shares: Shares,
    eta_shares: Shares,
    num_groups: int = 5,
    chunk_size: int | None = None,
    keep: int | None = None,
) -> Estimator:
    """IWAE on K particles in G groups, whose gradients are averaged with shares of one's choice.

    theta ascends sum_g share_g(theta) sum_k weights_gk log p_theta(x, z_gk), eta ascends
    sum_g share_g(eta) sum_k weights_gk log w(z_gk(eta)); weights_gk are normalised in the group.

    Args:
        model: p_theta(x, z).
        recognition: r_eta(z | x), reparameterisable.
        num_particles: K, of all groups together.
        theta_shares: of the groups in theta's gradient: `equal_shares` or `evidence_shares`.
        eta_shares: of the groups in eta's.
        num_groups: G; it must divide K.
        chunk_size: particles per group in memory at a time.
        keep: particles per group that carry the gradient. None keeps all.

    Raises:
        InputError: for groups that do not divide the particles; at the first estimate, for latents
            without a reparameterised draw.
    """
    if num_groups < 1 or num_particles % num_groups:
        raise InputError(
            f"num_groups is {num_groups}: give a number that divides num_particles={num_particles}"
        )
    choices = Choices(
        num_particles=num_particles // num_groups,
        objective=expected_complete_log_likelihood,
        proposal=from_r,
        hyperobjective=importance_weighted_bound,
        hyperproposal=from_r,
        chunk_size=chunk_size,
        keep=keep,
    )

    def init(key: Key[Array, ""]) -> tuple[Params, tuple[()]]:
        return init_params(model, recognition, key), ()

    def estimate(
        params: Params, state: tuple[()], key: Key[Array, ""], batch: Batch
    ) -> tuple[Estimate, tuple[()]]:
        # A group is as good as a datapoint of its own.
        place = batch.index[None, :] * num_groups + jnp.arange(num_groups)[:, None]
        copies = Batch(jnp.tile(batch.x, (num_groups, 1)), place.reshape(-1))
        terms = terms_of_batch(model, recognition, choices, params, key, copies)
        terms = jax.tree.map(lambda leaf: leaf.reshape(num_groups, -1), terms)
        return over_groups(terms, theta_shares, eta_shares), state

    return Estimator(init, estimate)


def over_groups(terms: Terms, theta_shares: Shares, eta_shares: Shares) -> Estimate:
    """The estimate of a batch whose particles are in groups, or stand for them in layers.

    Args:
        terms: of every group and datapoint [G, B].
        theta_shares: of the groups in theta's gradient.
        eta_shares: of the groups in eta's.

    Returns:
        The estimate. Its log_evidence is that of all particles together, and ess and hyper_ess are
        those of the weights that each particle has in the end.
    """
    log_evidence = terms.metrics["log_evidence"]
    for_theta = jax.vmap(theta_shares, in_axes=1, out_axes=1)(log_evidence)
    for_eta = jax.vmap(eta_shares, in_axes=1, out_axes=1)(log_evidence)
    metrics = {
        "log_evidence": log_mean_exp(log_evidence.T),
        "ess": _ess(for_theta, terms.metrics["ess"]),
        "hyper_ess": _ess(for_eta, terms.metrics["hyper_ess"]),
        "scored": jnp.sum(terms.metrics["scored"], axis=0),
    }
    return Estimate(
        theta_loss=-jnp.mean(jnp.sum(for_theta * terms.theta, axis=0)),
        eta_loss=-jnp.mean(jnp.sum(for_eta * terms.eta, axis=0)),
        metrics=jax.tree.map(jnp.mean, metrics),
    )


def _ess(shares: Float[Array, "G B"], ess: Float[Array, "G B"]) -> Float[Array, " B"]:
    """1 / sum_g share_g^2 / ess_g; 0 where no group has a possible particle."""
    square = jnp.sum(jnp.where(ess == 0.0, 0.0, jnp.square(shares) / ess), axis=0)
    return jnp.where(square == 0.0, 0.0, 1.0 / square)


def miwae(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    **options: Unpack[GroupOptions],
) -> Estimator:
    """The multiply importance-weighted autoencoder, MIWAE (Rainforth et al. 2018, Eq. 12).

    Both networks ascend the average of G bounds of K / G particles each. Arguments as in `grouped`.
    """
    return grouped(
        model,
        recognition,
        num_particles=num_particles,
        theta_shares=equal_shares,
        eta_shares=equal_shares,
        **options,
    )


def piwae(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    **options: Unpack[GroupOptions],
) -> Estimator:
    """The partially importance-weighted autoencoder, PIWAE (Rainforth et al. 2018, Eq. 14).

    theta ascends L_K of all particles, eta the average of G bounds of K / G particles each, on the
    same particles. Arguments as in `grouped`.
    """
    return grouped(
        model,
        recognition,
        num_particles=num_particles,
        theta_shares=evidence_shares,
        eta_shares=equal_shares,
        **options,
    )


def ciwae(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    share: float = 0.5,
    chunk_size: int | None = None,
) -> Estimator:
    """The combined bound, CIWAE (Rainforth et al. 2018, Eq. 13): beta ELBO + (1 - beta) L_K.

    Both networks ascend it on the same particles of r: `iwae` at share 0, `vae` at share 1.

    Args:
        model: p_theta(x, z).
        recognition: r_eta(z | x), reparameterisable.
        num_particles: K.
        share: beta, of the evidence lower bound, from 0 to 1.
        chunk_size: particles per datapoint in memory at a time.

    Raises:
        InputError: for another share; at the first estimate, for latents without a reparameterised
            draw.
    """
    if not 0.0 <= share <= 1.0:
        raise InputError(f"share is {share}: give that of the evidence lower bound, from 0 to 1")
    return compose(
        model,
        recognition,
        num_particles=num_particles,
        objective=_blend(share, evidence_lower_bound, expected_complete_log_likelihood),
        proposal=from_r,
        hyperobjective=_blend(share, exclusive_kl, importance_weighted_bound),
        hyperproposal=from_r,
        chunk_size=chunk_size,
    )


def _blend(
    share: float, first: Callable[..., Summand], second: Callable[..., Summand]
) -> Callable[..., Summand]:
    """share * first + (1 - share) * second, of two objectives that are sums over particles."""

    def blended(*given: Any) -> Summand:
        one, other = first(*given), second(*given)
        return lambda particle: share * one(particle) + (1.0 - share) * other(particle)

    return blended
