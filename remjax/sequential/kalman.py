"""The exact filter and smoother of the linear-Gaussian model: what particles are held against."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PyTree

from remjax.factorization import cholesky, triangular_inverse
from remjax.sequential.linear_gaussian import _product
from remjax.sequential.state_space import Steps, steps_of


class Kalman(NamedTuple):
    """Exact moments of ONE sequence. After its end they are those of its last step.

    Attributes:
        log_evidence: log p(x), nats.
        mean: E[z_t | x_1, ..., x_t], or given all of x from the smoother.
        covariance: of the same.
    """

    log_evidence: Float[Array, ""]
    mean: Float[Array, "T D"]
    covariance: Float[Array, "T D D"]


def kalman_filter(theta: PyTree, x: Float[Array, "T X"]) -> Kalman:
    """log p(x) and the moments of z_t given x_1, ..., x_t (Kalman 1960). Gradients reach theta.

    Args:
        theta: of `linear_gaussian_model`.
        x: one sequence; rows of NaN as in `steps_of`.
    """
    steps = steps_of(x)
    initial, move = theta["initial"], theta["transition"]
    log_p, mean, covariance = _updated(
        theta, initial["loc"], jnp.diag(jnp.exp(2.0 * initial["log_scale"])), steps.x[0]
    )
    prior = initial["loc"], jnp.diag(jnp.exp(2.0 * initial["log_scale"]))
    first = _chosen(steps.observed[0], (log_p, mean, covariance), (jnp.zeros(()), *prior))

    def step(carry: tuple[Array, Array], row: Steps) -> tuple[tuple[Array, Array], tuple]:
        mean, covariance = carry
        predicted = _product(move["weight"], mean) + move["bias"]
        spread = _product(_product(move["weight"], covariance), move["weight"].T)
        spread = spread + jnp.diag(jnp.exp(2.0 * move["log_scale"]))
        nothing = jnp.zeros(())
        unobserved = (nothing, predicted, spread)
        found = _chosen(row.observed, _updated(theta, predicted, spread, row.x), unobserved)
        found = _chosen(row.active, found, (nothing, mean, covariance))
        return found[1:], found

    rest = jax.tree.map(lambda leaf: leaf[1:], steps)
    _, later = lax.scan(step, first[1:], rest)
    log_p, mean, covariance = jax.tree.map(
        lambda one, others: jnp.concatenate([one[None], others]), first, later
    )
    return Kalman(jnp.sum(log_p), mean, covariance)


def kalman_smoother(theta: PyTree, x: Float[Array, "T X"]) -> Kalman:
    """log p(x) and the moments of z_t given all of x (Rauch, Tung & Striebel 1965).

    Args:
        theta: of `linear_gaussian_model`.
        x: one sequence; rows of NaN as in `steps_of`.
    """
    filtered, move = kalman_filter(theta, x), theta["transition"]
    noise = jnp.diag(jnp.exp(2.0 * move["log_scale"]))

    def back(carry: tuple[Array, Array], own: tuple) -> tuple[tuple[Array, Array], tuple]:
        mean, covariance, next_is_active = own
        spread = _product(_product(move["weight"], covariance), move["weight"].T) + noise
        whitening = triangular_inverse(cholesky(spread))
        white = _product(whitening, _product(move["weight"], covariance))
        gain = _product(whitening.T, white).T
        ahead = carry[0] - _product(move["weight"], mean) - move["bias"]
        smoothed = (
            mean + _product(gain, ahead),
            covariance + _product(_product(gain, carry[1] - spread), gain.T),
        )
        smoothed = _chosen(next_is_active, smoothed, carry)
        return smoothed, smoothed

    last = filtered.mean[-1], filtered.covariance[-1]
    active = steps_of(x).active
    earlier = (filtered.mean[:-1], filtered.covariance[:-1], active[1:])
    _, (mean, covariance) = lax.scan(back, last, earlier, reverse=True)
    return Kalman(
        filtered.log_evidence,
        jnp.concatenate([mean, last[0][None]]),
        jnp.concatenate([covariance, last[1][None]]),
    )


def _updated(
    theta: PyTree, mean: Float[Array, " D"], covariance: Float[Array, "D D"], x: Array
) -> tuple[Array, Array, Array]:
    """log p(x_t | before), and the moments of z_t with it."""
    out = theta["emission"]
    noise = jnp.diag(jnp.exp(2.0 * out["log_scale"]))
    crossed = _product(out["weight"], covariance)
    factor = cholesky(_product(crossed, out["weight"].T) + noise)
    whitening = triangular_inverse(factor)
    surprise = x - _product(out["weight"], mean) - out["bias"]
    white = _product(whitening, surprise)
    gain = _product(whitening.T, _product(whitening, crossed)).T
    log_p = -0.5 * jnp.sum(white**2) - jnp.sum(jnp.log(jnp.diagonal(factor)))
    log_p = log_p - 0.5 * x.shape[0] * jnp.log(2.0 * jnp.pi)
    # (I - G C) P (I - G C)^T + G R G^T stays symmetric and positive.
    kept = jnp.eye(mean.shape[0]) - _product(gain, out["weight"])
    covariance = _product(_product(kept, covariance), kept.T)
    return (
        log_p,
        mean + _product(gain, surprise),
        covariance + _product(gain * jnp.diagonal(noise), gain.T),
    )


def _chosen(condition: Array, one: tuple, other: tuple) -> tuple:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), one, other)
