"""Denoising: a model learns p(x | zbar), what a datapoint was before it was corrupted.

With a corruption q(zbar | x) and the data D, KL(D(x) q(zbar | x) || p(x | zbar) q(zbar)) is, but
for the entropy of the data,

    E_D E_q [-log p_theta(x | zbar)] + I_q(x; zbar)     (Bachman & Precup 2015, Eqs. 6 to 8).

Where the corruption is fixed, so is the mutual information I, and the first term is what a
denoising auto-encoder descends: Eq. 9 without further latents. A corruption that is learned too is
in `learned_corruptions`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key, PyTree

from remjax import statistics
from remjax.distributions.corruptions import Corruption
from remjax.methods.denoising_chains import check_steps, walk_back
from remjax.particles.chunks import check_counts
from remjax.types import Batch, Datapoint, DenoisingModel, Estimate, Estimator, Params, Support


def make_denoising_estimator(
    model: DenoisingModel, corruption: Corruption, *, num_particles: int = 1, num_steps: int = 1
) -> Estimator:
    """The estimator of a denoising model under a fixed corruption; eta is ().

    theta_loss = -1/B sum_x 1/K sum_k 1/S sum_s log p_theta(x | zbar_ks), nats per datapoint, where
    zbar_k1 ~ q(. | x) and K independent chains go on from there (`denoising_chains.walk_back`).
    With S = 1 it is the objective of Eq. 9 (Bachman & Precup 2015). With more it is walkback
    training (Bengio et al. 2013, Algorithm 1, with S steps in place of a random number of them):
    the model learns the way back to x from wherever its own chain goes. A model that can be any
    p(x | zbar) comes to a chain with the same stationary distribution, the data (Proposition 1
    there); one that cannot has a harder task, and may come to a worse one. No gradient passes
    through the draws, so that with S > 1 the gradient is not that of the expected loss.

    A step draws from p_theta S - 1 times and scores S corruptions, for each of B K chains.

    Args:
        model: p_theta(x | zbar).
        corruption: q(zbar | x).
        num_particles: K, corruptions of each datapoint.
        num_steps: S, corruptions along the chain from each.

    Returns:
        The estimator. Its metric is log_likelihood, the mean of log p_theta(x | zbar), nats.

    Raises:
        InputError: for counts below one; at the first estimate, for a log density that is not one
            number.
    """
    check_counts(num_particles, None, None)
    check_steps(num_steps=num_steps)

    def of_datapoint(params: Params, key: Key[Array, ""], x: Datapoint) -> Float[Array, ""]:
        def of_chain(key: Key[Array, ""]) -> Float[Array, " S"]:
            points = walk_back(key, model, params.theta, corruption, x, num_steps)
            return jax.vmap(lambda zbar: model.reconstruction(params.theta, x, zbar))(points)

        return jnp.mean(jax.vmap(of_chain)(jax.random.split(key, num_particles)))

    observe = make_observe(model, lambda _: corruption)

    def estimate(
        params: Params, state: Any, key: Key[Array, ""], batch: Batch
    ) -> tuple[Estimate, Any]:
        value = jnp.mean(over_batch(of_datapoint, params, key, batch))
        metrics = {"log_likelihood": lax.stop_gradient(value)}
        seen = observe(params, key, batch)
        return Estimate(-value, jnp.zeros_like(value), metrics, statistics=seen), state

    return Estimator(
        lambda key: (Params(model.init(key), ()), ()),
        estimate,
        state_of_batch=True,
        support=both_supports(model, corruption),
    )


def over_batch(
    of_datapoint: Callable[[Params, Key[Array, ""], Datapoint], PyTree],
    params: Params,
    key: Key[Array, ""],
    batch: Batch,
    *,
    out_axes: int | None = 0,
) -> PyTree[Array]:
    """of_datapoint(params, key, x) of a batch, on the axis that batch statistics are taken over.

    A datapoint's key follows from its place in the data set: how a batch is cut over devices
    changes no draw.
    """
    keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(batch.index)
    mapped = jax.vmap(
        lambda key, x: of_datapoint(params, key, x),
        axis_name=statistics.DATAPOINTS,
        out_axes=out_axes,
    )
    return mapped(keys, batch.x)


def make_observe(
    model: DenoisingModel, corruption: Callable[[PyTree], Corruption]
) -> Callable[[Params, Key[Array, ""], Batch], dict[int, Array]]:
    """(params, key, batch) -> batch statistics: the network sees one corruption of each datapoint.

    Args:
        model: p_theta(x | zbar).
        corruption: eta -> q(zbar | x).
    """

    def one(params: Params, key: Key[Array, ""], x: Datapoint) -> dict[int, Array]:
        zbar = corruption(params.eta).sample(key, x)
        return statistics.observed(
            lambda params: model.reconstruction(params.theta, x, zbar), params
        )[1]

    return lambda params, key, batch: over_batch(one, params, key, batch, out_axes=None)


def both_supports(model: DenoisingModel, corruption: Corruption) -> Support:
    """The values of x that the model has a density for and the corruption takes."""
    own = model.support
    if not corruption.of_unit_interval or (own.low >= 0.0 and own.high <= 1.0):
        return own
    return own._replace(
        low=max(own.low, 0.0),
        high=min(own.high, 1.0),
        mend="use GaussianNoise or Masking for other values",
    )
