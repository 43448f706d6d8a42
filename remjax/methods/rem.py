"""Reweighted expectation maximisation (Dieng & Paisley 2019)."""

from remjax.errors import InputError
from remjax.methods.curvature_proposals import TaughtByCurvature, from_curvature
from remjax.methods.importance_weighted import dreg
from remjax.methods.method import Method
from remjax.methods.objectives import expected_complete_log_likelihood, inclusive_kl
from remjax.methods.proposals import (
    Proposal,
    from_defensive,
    from_mixture,
    from_pooled,
    from_r,
    from_s,
)
from remjax.particles.covariances import Covariance, shrunk_with_mean, tempered_with_mean


def rem(proposal: Proposal, hyperproposal: Proposal) -> Method:
    """EM for theta, the inclusive KL for eta: what RWS and every REM have in common.

    theta ascends sum_k w_k log p_theta(x, z_k) on the particles of `proposal` and eta ascends
    sum_k w_k log r_eta(z_k | x) on those of `hyperproposal` (Eqs. 9, 15, 20). With s replaced by r
    in both it is `rws`.

    Args:
        proposal: `from_r`, `from_s()`, `from_mixture()` or your own.
        hyperproposal: likewise.
    """
    return Method(expected_complete_log_likelihood, proposal, inclusive_kl, hyperproposal)


def rem_v1(covariance: Covariance | None = None) -> Method:
    """REM v1 (Algorithm 1): theta learns from the particles of r, eta from those of s.

    Two independent draws of K particles. The z of r are never differentiated in the theta loss. s
    is of the kind of r: a Gaussian, or for bits independent bits.

    Args:
        covariance: of s(z), by default shrunk_with_mean.
    """
    return rem(from_r, from_s(covariance))


def rem_v2(covariance: Covariance | None = None, hyperproposal: Proposal | None = None) -> Method:
    """REM v2 (Algorithm 2): theta and eta both learn from the particles of s.

    Algorithm 2 and the text take s for eta, Tables 1 and 2 say r: give `from_r` for that reading.

    Args:
        covariance: of s(z), by default shrunk_with_mean.
        hyperproposal: where the particles of eta come from, by default where those of theta do.
    """
    s = from_s(covariance)
    return rem(s, s if hyperproposal is None else hyperproposal)


def rem_mixture(covariance: Covariance | None = None) -> Method:
    """REM with nothing thrown away: r's and s's particles together serve both losses.

    v1 trains theta on the K particles of r and eta on the K of s. Here all 2 K are weighted as
    draws of the mixture, log_w = log p(x, z) - log(1/2 r(z) + 1/2 s(z)) (the balance heuristic,
    Veach & Guibas 1995), and serve both.

    Args:
        covariance: of s(z), by default shrunk, because r is beside s.
    """
    both = from_mixture(covariance)
    return rem(both, both)


def rem_pooled(covariance: Covariance | None = None) -> Method:
    """REM whose particles serve both losses and are all properly weighted.

    s is made from the particles of r. To weigh those same particles by a density that holds s, as
    `rem_mixture` does, punishes the very particles that s was centred on: the heavier a particle,
    the more s covers it, the less it then weighs, and the evidence comes out too low. Here the K
    particles of r keep the weight p(x, z) / r(z), and the K that follow are drawn afresh from
    1/2 r + 1/2 s and weighted by that density. Every weight is unbiased for p(x) and none exceeds
    twice what it would be under r alone, however poor s is (the defensive mixture of Hesterberg
    1995).

    Args:
        covariance: of s(z), by default shrunk, because r is beside s.
    """
    pooled = from_pooled(covariance)
    return rem(pooled, pooled)


def rem_dreg(covariance: Covariance | None = None) -> Method:
    """REM's particles for theta, the doubly reparameterised gradient for eta.

    theta ascends sum_k w_k log p(x, z_k) on the particles of `rem_pooled`: K of r and K of
    1/2 r + 1/2 s. eta follows sum_k w_k^2 d log w(z_k) / dz dz_k / d eta (`dreg`; Tucker et al.
    2019, Eq. 8) on the K of r alone, which are scored already: a particle of s does not move with
    eta. An outlook of Dieng & Paisley 2019. Latents must be real.

    Args:
        covariance: of s(z), by default tempered_with_mean.
    """
    matched = tempered_with_mean() if covariance is None else covariance
    pooled = from_pooled(matched)
    return Method(expected_complete_log_likelihood, pooled, dreg.hyperobjective, from_r)


def rem_defensive(covariance: Covariance | None = None, defence: float = 0.2) -> Method:
    """`rem_v1` whose eta learns from (1 - defence) s + defence p(z).

    Where the few particles that have weight are far from a part of the posterior, so is s, and eta
    forgets that part; particles of the prior find it again, and no weight exceeds p(x | z) /
    defence (Hesterberg 1995; Le et al. 2019 do so for r, `rws_defensive`).

    Args:
        covariance: of s(z), by default shrunk_with_mean.
        defence: share of the prior in eta's proposal, above 0 and below 1.

    Raises:
        InputError: for another share.
    """
    matched = shrunk_with_mean() if covariance is None else covariance
    return rem(from_r, from_defensive(defence, matched))


def rem_curvature(
    steps: int = 3,
    share: float = 0.25,
    inflation: float = 1.2,
    largest_cost: float = 2.0,
    gaussian_share: float = 0.0,
) -> Method:
    """REM whose proposal comes from the curvature of the posterior, and not from particles of r.

    With fewer effective particles than dimensions the moments of r's particles know nothing that r
    does not. A few linearisations of the decoder do (`from_curvature`); theta and eta both learn
    from the K particles of share r + (1 - share) N(mu, inflation Lambda^-1). With D = 20 latents it
    is ahead of `rws` at equal passes from K = 34 on, where the steps are two thirds of the passes
    (docs/results.md); with fewer than steps (D + 2) / largest_cost particles it is `rws`.

    Args:
        steps: averaged Gauss-Newton steps, of D + 2 passes through the decoder each.
        share: of r among the particles.
        inflation: factor of the covariance.
        largest_cost: passes that the steps may cost for each of the K particles.
        gaussian_share: of N(mu, Lambda^-1) itself in what eta learns: 1 ascends -KL(N || r) in
            closed form, 0 takes the weighted particles alone, and what lies between is the mixture
            of both.

    Raises:
        InputError: for other numbers; at the first estimate, for a model without `Model.decoded`,
            or discrete latents, or a gaussian_share with an r of several layers.
    """
    proposal = from_curvature(steps, share, inflation, largest_cost)
    if not 0.0 <= gaussian_share <= 1.0:
        raise InputError(f"gaussian_share is {gaussian_share}: give a share from 0 to 1")
    taught = TaughtByCurvature(proposal, gaussian_share) if gaussian_share else proposal
    return rem(proposal, taught)
