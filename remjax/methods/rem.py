"""Reweighted expectation maximisation (Dieng & Paisley 2019)."""

from typing import Unpack

from remjax.methods.composition import ParticleOptions, compose
from remjax.methods.objectives import expected_complete_log_likelihood, inclusive_kl
from remjax.methods.proposals import Proposal, from_mixture, from_pooled, from_r, from_s
from remjax.particles.matching import Covariance, shrunk
from remjax.types import Estimator, Model, Recognition


class RemOptions(ParticleOptions, total=False):
    """The knobs that every REM takes besides K; `rem` explains them."""

    covariance: Covariance | None


def rem(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    proposal: Proposal,
    hyperproposal: Proposal,
    covariance: Covariance | None = None,
    chunk_size: int | None = None,
    keep: int | None = None,
) -> Estimator:
    """EM for theta, the inclusive KL for eta: what RWS and every REM have in common.

    theta ascends sum_k weights_k log p_theta(x, z_k) on the particles of `proposal` and eta ascends
    sum_k weights_k log r_eta(z_k | x) on those of `hyperproposal` (Eqs. 9, 15, 20). With s replaced
    by r in both it is `rws`.

    Args:
        model: p_theta(x, z).
        recognition: r_eta(z | x).
        num_particles: K, drawn from r, and again from s where it is used.
        proposal: `from_r`, `from_s`, `from_mixture` or your own.
        hyperproposal: likewise.
        covariance: of s(z): `matching.shrunk_with_mean()` (default), `shrunk()`, `tempered()`,
            `weighted()`, `unweighted()`.
        chunk_size: particles per datapoint in memory at a time.
        keep: particles that carry the gradient of theta. None keeps all.
    """
    return compose(
        model,
        recognition,
        num_particles=num_particles,
        objective=expected_complete_log_likelihood,
        proposal=proposal,
        hyperobjective=inclusive_kl,
        hyperproposal=hyperproposal,
        covariance=covariance,
        chunk_size=chunk_size,
        keep=keep,
    )


def rem_v1(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    **options: Unpack[RemOptions],
) -> Estimator:
    """REM v1 (Algorithm 1): theta learns from the particles of r, eta from those of s.

    Two independent draws of K particles. The z of r are never differentiated in the theta loss.
    Arguments as in `rem`.
    """
    return rem(
        model,
        recognition,
        num_particles=num_particles,
        proposal=from_r,
        hyperproposal=from_s,
        **options,
    )


def rem_v2(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    hyperproposal: Proposal = from_s,
    **options: Unpack[RemOptions],
) -> Estimator:
    """REM v2 (Algorithm 2): theta and eta both learn from the particles of s.

    Algorithm 2 and the text take s for eta, Tables 1 and 2 say r: pass `hyperproposal=from_r` for
    that reading. Other arguments as in `rem`.
    """
    return rem(
        model,
        recognition,
        num_particles=num_particles,
        proposal=from_s,
        hyperproposal=hyperproposal,
        **options,
    )


def rem_mixture(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    **options: Unpack[RemOptions],
) -> Estimator:
    """REM with nothing thrown away: r's and s's particles together serve both losses.

    v1 trains theta on the K particles of r and eta on the K of s. Here all 2 K are weighted as
    draws of the mixture, log_w = log p(x, z) - log(1/2 r(z) + 1/2 s(z)) (the balance heuristic,
    Veach & Guibas 1995), and serve both. Arguments as in `rem`; the covariance is `shrunk()` by
    default, for r is in the mixture.
    """
    options["covariance"] = options.get("covariance") or shrunk()
    return rem(
        model,
        recognition,
        num_particles=num_particles,
        proposal=from_mixture,
        hyperproposal=from_mixture,
        **options,
    )


def rem_pooled(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    **options: Unpack[RemOptions],
) -> Estimator:
    """REM whose particles serve both losses and are all properly weighted.

    s is made from the particles of r. To weigh those same particles by a density that holds s, as
    `rem_mixture` does, punishes the very particles that s was centred on: the heavier a particle,
    the more s covers it, the less it then weighs, and the evidence comes out too low. Here the K
    particles of r keep the weight p(x, z) / r(z), and the K that follow are drawn afresh from
    1/2 r + 1/2 s and weighted by that density. Every weight is unbiased for p(x) and none exceeds
    twice what it would be under r alone, however poor s is (the defensive mixture of Hesterberg
    1995). Arguments as in `rem`; the covariance is `shrunk()` by default, for r is in the mixture.
    """
    options["covariance"] = options.get("covariance") or shrunk()
    return rem(
        model,
        recognition,
        num_particles=num_particles,
        proposal=from_pooled,
        hyperproposal=from_pooled,
        **options,
    )
