"""What the recognition network makes of the latents: which it uses, and how far from the prior.

Both are averages over r(z | x). Where a layer's mean or the divergence has a closed form it is
used; elsewhere draws of r stand in, whose noise leaves no bias.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key, PyTree, Shaped

from remjax.data.checks import check_rows
from remjax.distributions.base import Distribution
from remjax.errors import InputError
from remjax.evaluation.blocks import Images
from remjax.types import Datapoint, Model, Params, Recognition, Support

# Draws of r in flight.
_ROWS_IN_FLIGHT = 4096


class LatentUse(NamedTuple):
    """What the recognition network makes of the latents over a data set.

    Attributes:
        activity: A_u = Var_x(E_r[z_u | x]) of each latent u, in the latent's unit squared; of the
            latent's structure, a tuple where it has layers.
        kl_to_prior: mean over x of KL(r(z | x) || p(z)), nats.
    """

    activity: PyTree[np.ndarray]
    kl_to_prior: float

    def active_units_per_layer(self, threshold: float = 0.01) -> list[int]:
        """The number of latents of each layer with A_u above the threshold, z_1 first."""
        return [int(np.sum(layer > threshold)) for layer in jax.tree.leaves(self.activity)]

    def active_units(self, threshold: float = 0.01) -> int:
        """The number of latents with A_u above the threshold (Burda et al. 2015, Section 5.2)."""
        return sum(self.active_units_per_layer(threshold))


def latent_use(
    model: Model,
    recognition: Recognition,
    params: Params,
    key: Key[Array, ""],
    x: Images,
    *,
    num_samples: int = 100,
) -> LatentUse:
    """Activity of each latent and KL(r || prior) over a data set.

    Args:
        model: p_theta(x, z).
        recognition: r_eta(z | x).
        params: of both.
        key: of the draws of r; of no effect where all is in closed form.
        x: the data set, two datapoints or more.
        num_samples: draws of r for each datapoint, where it has no closed form.

    Raises:
        InputError: for a data set of fewer than two, values that are not finite, fewer than two
            samples, or a log density that is not one number.
    """

    def measure(
        params: Params, x: Datapoint, r: Distribution, keys: Key[Array, " K"]
    ) -> tuple[Float[Array, ""], PyTree[Array]]:
        joint = model.joint(params.theta, x).hard()
        # Nothing is computed: a model that training refuses is refused here too.
        jax.eval_shape(lambda key: joint(r.sample(key)), keys[0])
        divergence = None if joint.prior is None else r.kl_divergence(joint.prior)
        if divergence is None:
            z = jax.vmap(r.sample)(keys)
            divergence = jnp.mean(jax.vmap(r.log_prob)(z) - jax.vmap(joint.log_prior)(z))
        return divergence, _half_means(r, keys)

    allowed = Support(missing=model.support.missing, condition=model.support.condition)
    divergences, halves = _over_data(measure, recognition, params, key, x, num_samples, allowed)
    return LatentUse(
        activity=jax.tree.map(_covariance, halves),
        kl_to_prior=float(np.mean(divergences, dtype=np.float64)),
    )


def activity(
    recognition: Recognition,
    params: Params,
    key: Key[Array, ""],
    x: Images,
    *,
    num_samples: int = 100,
) -> PyTree[np.ndarray]:
    """A_u = Var_x(E_r[z_u | x]) of every latent (Burda et al. 2015, Section 5.2).

    E_r[z_u | x] of a higher layer is an average over draws of the layers before it, whose noise
    would add to the variance. Two averages m and m' over independent halves of the draws have the
    covariance Cov_x(m_u, m'_u) = A_u, to which the noise adds nothing on average. Where the mean
    has a closed form both are that mean.

    Arguments as in `latent_use`; latents that are not used may come out below zero.
    """
    halves = _over_data(
        lambda _, __, r, keys: _half_means(r, keys),
        recognition,
        params,
        key,
        x,
        num_samples,
        Support(),
    )
    return jax.tree.map(_covariance, halves)


def active_units(
    recognition: Recognition,
    params: Params,
    key: Key[Array, ""],
    x: Images,
    *,
    threshold: float = 0.01,
    num_samples: int = 100,
) -> int:
    """The number of latents, of all layers together, whose activity exceeds the threshold.

    Arguments as in `latent_use`.
    """
    layers = jax.tree.leaves(activity(recognition, params, key, x, num_samples=num_samples))
    return sum(int(np.sum(layer > threshold)) for layer in layers)


def _half_means(r: Distribution, keys: Key[Array, " K"]) -> PyTree[Array]:
    """E_r[z], estimated twice: by one half of the draws and by the other."""
    means, half = jax.vmap(r.estimated_mean)(keys), keys.shape[0] // 2

    def of_layer(layer: Float[Array, "K D"]) -> Float[Array, "2 D"]:
        return jnp.stack([jnp.mean(layer[:half], axis=0), jnp.mean(layer[half:], axis=0)])

    return jax.tree.map(of_layer, means)


def _covariance(halves: Float[np.ndarray, "N 2 D"]) -> Float[np.ndarray, " D"]:
    """The covariance over the datapoints of the two estimates of each coordinate."""
    first, second = np.moveaxis(halves.astype(np.float64), 1, 0)
    products = (first - first.mean(axis=0)) * (second - second.mean(axis=0))
    return np.sum(products, axis=0) / (len(halves) - 1)


def _over_data(
    measure: Callable[[Params, Datapoint, Distribution, Key[Array, " K"]], PyTree[Array]],
    recognition: Recognition,
    params: Params,
    key: Key[Array, ""],
    x: Images,
    num_samples: int,
    support: Support,
) -> PyTree[np.ndarray]:
    """measure(params, x, r(. | x), keys of the draws) of every datapoint."""
    check_rows(np.asarray(x), support)
    if x.shape[0] < 2:
        raise InputError("the activity of latents is a variance over data: give two datapoints")
    if num_samples < 2:
        raise InputError(f"num_samples is {num_samples}: give 2 or more")
    block = max(1, _ROWS_IN_FLIGHT // num_samples)

    @jax.jit
    def measured(params: Params, key: Key[Array, ""], x: Shaped[Array, "N *X"]) -> PyTree[Array]:
        keys = jax.random.split(key, x.shape[0])

        def one(item: tuple[Key[Array, ""], Datapoint]) -> PyTree[Array]:
            r = recognition.r(params.eta, item[1]).hard()
            return measure(params, item[1], r, jax.random.split(item[0], num_samples))

        return lax.map(one, (keys, x), batch_size=block)

    return jax.tree.map(np.asarray, measured(params, key, jnp.asarray(x)))
