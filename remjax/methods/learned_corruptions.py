"""Denoising under a corruption whose strength is learned: an option, with a warning.

Eqs. 9 and 20 of Bachman & Precup 2015 cancel gradients at fixed draws against gradients through
them, and so lose that of the mutual information between x and zbar. It is estimated here.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key, PyTree, Shaped

from remjax.distributions.corruptions import Corruption
from remjax.errors import InputError
from remjax.methods.denoising import both_supports, make_observe, over_batch
from remjax.particles.chunks import check_counts
from remjax.particles.weights import log_mean_exp
from remjax.sharding import whole_batch
from remjax.types import Batch, Datapoint, DenoisingModel, Estimate, Estimator, Params


def make_learned_denoising_estimator(
    model: DenoisingModel, start: Corruption, *, num_particles: int = 1, information: float = 1.0
) -> Estimator:
    """The estimator of a denoising model whose corruption is learned too; eta is its parameter.

    WARNING: prefer a fixed corruption. Eq. 9 alone (information=0) falls as the noise falls, and
    pushes it to zero, where p(x | zbar) copies zbar and the chain never moves. The whole bound,

        E_D E_q [-log p_theta(x | zbar)] + I_q(x; zbar) >= E_D [-log p(x)],

    does not push, but holds nothing either: at p(x | zbar) = q(x | zbar) it is the entropy of the
    data at every strength of the noise, and a p that is not that posterior, or cannot be, drives it
    to where it comes closest: to no noise at all, or to so much that zbar says nothing of x. Watch
    the metric `information`, and stop in time.

    theta_loss = -mean log p_theta(x | zbar); eta_loss is that with theta held, and `information`
    times an estimate of the mutual information from the batch of B, of all devices together:

        I_q(x; zbar) ~ mean_i log q(zbar_i | x_i) - log 1/B sum_j q(zbar_i | x_j).

    Over independent batches its expectation is neither above I nor above log B (van den Oord et al.
    2018; Poole et al. 2019). Where the B datapoints can be told apart through the noise, as images
    mostly can, it is log B whatever the noise, its gradient is zero, and eta moves as with Eq. 9.
    It takes K B^2 evaluations of q.

    Gaussian noise is reparameterised. A corruption with a mass function has the score-function
    gradient: the cost of each draw, less the mean cost of the K - 1 others of its datapoint, times
    the gradient of log q(zbar | x). theta_loss has no gradient in eta, nor eta_loss in theta.

    Args:
        model: p_theta(x | zbar).
        start: the corruption to start from. Its `parameter` is the first eta, and
            `start.at(params.eta)` is what was learned.
        num_particles: K, corruptions of each datapoint: two or more for a mass function.
        information: what the mutual information counts in eta_loss: 1 for the bound, 0 for Eq. 9.

    Returns:
        The estimator. Its metrics, in nats: log_likelihood, the mean of log p_theta(x | zbar), and
        information, the estimate of I.

    Raises:
        InputError: for fewer particles, a negative `information`, or a rate of 0 or 1 to start
            from; at the first estimate, for a log density that is not one number.
    """
    _check(start, num_particles, information)
    observe = make_observe(model, start.at)

    def estimate(
        params: Params, state: Any, key: Key[Array, ""], batch: Batch
    ) -> tuple[Estimate, Any]:
        x_of_all = whole_batch(batch.x)

        def of_datapoint(params: Params, key: Key[Array, ""], x: Datapoint) -> _Terms:
            keys, corruption = jax.random.split(key, num_particles), start.at(params.eta)
            return _terms(model, corruption, params.theta, keys, x, x_of_all)

        terms = over_batch(of_datapoint, params, key, batch)
        weighted = information * terms.information
        cost = weighted - terms.log_likelihood_of_draw
        eta_loss = jnp.mean(cost)
        if start.is_discrete:
            signal = _less_the_others(lax.stop_gradient(cost))
            eta_loss = jnp.mean(signal * terms.log_q + weighted)
        means = jax.tree.map(jnp.mean, terms)
        metrics = {"log_likelihood": means.log_likelihood, "information": means.information}
        metrics, seen = lax.stop_gradient(metrics), observe(params, key, batch)
        return Estimate(-means.log_likelihood, eta_loss, metrics, statistics=seen), state

    return Estimator(
        lambda key: (Params(model.init(key), start.parameter), ()),
        estimate,
        state_of_batch=True,
        support=both_supports(model, start),
    )


class _Terms(NamedTuple):
    """What the K corruptions of each datapoint contribute, nats.

    Attributes:
        log_likelihood: log p_theta(x | zbar); its gradient reaches theta alone.
        log_likelihood_of_draw: the same; its gradient reaches eta alone, through a draw that is
            reparameterised.
        information: log q(zbar | x) - log 1/B sum_j q(zbar | x_j); its gradient reaches eta.
        log_q: log q(zbar | x); likewise.
    """

    log_likelihood: Float[Array, "*B K"]
    log_likelihood_of_draw: Float[Array, "*B K"]
    information: Float[Array, "*B K"]
    log_q: Float[Array, "*B K"]


def _terms(
    model: DenoisingModel,
    corruption: Corruption,
    theta: PyTree,
    keys: Key[Array, " K"],
    x: Datapoint,
    x_of_all: Shaped[Array, "B *X"],
) -> _Terms:
    """The terms of ONE datapoint, one of `x_of_all`."""

    def of_draw(key: Key[Array, ""]) -> _Terms:
        zbar = (corruption.sample if corruption.is_discrete else corruption.rsample)(key, x)
        log_q = corruption.log_prob(zbar, x)
        log_q_of_all = jax.vmap(lambda other: corruption.log_prob(zbar, other))(x_of_all)
        return _Terms(
            log_likelihood=model.reconstruction(theta, x, lax.stop_gradient(zbar)),
            log_likelihood_of_draw=model.reconstruction(lax.stop_gradient(theta), x, zbar),
            information=log_q - log_mean_exp(log_q_of_all),
            log_q=log_q,
        )

    return jax.vmap(of_draw)(keys)


def _less_the_others(values: Float[Array, "B K"]) -> Float[Array, "B K"]:
    """Each value less the mean of the others of its row."""
    count = values.shape[-1]
    others = (jnp.sum(values, axis=-1, keepdims=True) - values) / (count - 1)
    return values - others


def _check(start: Corruption, num_particles: int, information: float) -> None:
    """Raise InputError for what cannot be learned."""
    check_counts(num_particles, None, None)
    if start.is_discrete and num_particles < 2:
        raise InputError(
            f"num_particles is {num_particles}: each draw of {type(start).__name__} is compared "
            "with the others of its datapoint, so give 2 or more"
        )
    if not 0.0 <= information < float("inf"):
        raise InputError(f"information is {information}: give 1 for the bound, or 0 for Eq. 9")
    if not np.isfinite(start.parameter).all():
        raise InputError(
            f"a rate of {type(start).__name__} to start from is 0 or 1, which never changes: give "
            "one between them"
        )
