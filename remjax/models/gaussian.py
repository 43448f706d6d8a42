"""Latent-variable models: a prior, a network of the latent, and a likelihood of the data.

`gaussian_model` and `gaussian_recognition` give the pure functions that the estimators take; those
with several stochastic layers are in `hierarchies`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Key, PyTree

from remjax.distributions.base import Distribution
from remjax.distributions.gaussian import DiagonalGaussian
from remjax.distributions.likelihoods import bernoulli_log_likelihood, gaussian_log_likelihood
from remjax.models.networks import MLP, GaussianEncoder, Initialization, glorot, pure
from remjax.types import Model, Recognition

# A likelihood narrower than this (data in [0, 1], 8-bit grey) only fits the rounding of the pixels.
_SMALLEST_LOG_SCALE = float(np.log(1e-3))


class Likelihood(NamedTuple):
    """How the output of a decoder becomes a distribution over ONE x.

    Attributes:
        init: the likelihood's own parameters at the start.
        output_bias: the bias of the last layer at the start, so that the first mean is the data's.
        log_prob: (own parameters, output, x) -> nats.
        mean: (own parameters, output) -> E[x].
        sample: (own parameters, output, key) -> x.
    """

    init: PyTree
    output_bias: Float[Array, " X"]
    log_prob: Callable[[PyTree, Float[Array, " X"], Float[Array, " X"]], Float[Array, ""]]
    mean: Callable[[PyTree, Float[Array, " X"]], Float[Array, " X"]]
    sample: Callable[[PyTree, Float[Array, " X"], Key[Array, ""]], Float[Array, " X"]]


def bernoulli_likelihood(data_mean: Float[np.ndarray, " X"]) -> Likelihood:
    """Independent Bernoullis; the output is their logits.

    Args:
        data_mean: mean training image; its log odds (clipped to 0.001..0.999) start the output
            bias, as in the code of Burda et al. 2015.
    """
    mean = np.clip(data_mean, 0.001, 0.999)
    return Likelihood(
        init=(),
        output_bias=jnp.asarray(np.log(mean / (1.0 - mean)), jnp.float32),
        log_prob=lambda _, logits, x: bernoulli_log_likelihood(logits, x),
        mean=lambda _, logits: jax.nn.sigmoid(logits),
        sample=lambda _, logits, key: jax.random.bernoulli(key, jax.nn.sigmoid(logits)).astype(
            logits.dtype
        ),
    )


def gaussian_likelihood(
    data_mean: Float[np.ndarray, " X"], data_scale: Float[np.ndarray, " X"]
) -> Likelihood:
    """Independent Gaussians; the output is their means, one learned scale per dimension of x.

    A scale that depended on z could collapse onto a training image and make the density unbounded;
    this one is learned but shared by all z, and held above 0.001.

    Args:
        data_mean: mean training image, starts the output bias.
        data_scale: standard deviation per dimension, starts the scale.
    """

    def log_scale(own: PyTree) -> Float[Array, " X"]:
        return jnp.maximum(own["log_scale"], _SMALLEST_LOG_SCALE)

    return Likelihood(
        init={"log_scale": jnp.asarray(np.log(np.maximum(data_scale, 1e-2)), jnp.float32)},
        output_bias=jnp.asarray(data_mean, jnp.float32),
        log_prob=lambda own, mean, x: gaussian_log_likelihood(mean, log_scale(own), x),
        mean=lambda _, mean: mean,
        sample=lambda own, mean, key: (
            mean + jnp.exp(log_scale(own)) * jax.random.normal(key, mean.shape)
        ),
    )


class Prior(NamedTuple):
    """p_theta(z) and the start of its parameters.

    Attributes:
        init: key -> its parameters, () for none.
        law: parameters -> the distribution of z.
    """

    init: Callable[[Key[Array, ""]], PyTree]
    law: Callable[[PyTree], Distribution]


class Decoder(NamedTuple):
    """A network from z to what the likelihood takes.

    Attributes:
        init: key -> its parameters.
        output: (parameters, z) -> [X].
    """

    init: Callable[[Key[Array, ""]], PyTree]
    output: Callable[[PyTree, PyTree[Array]], Float[Array, " X"]]


def dense_decoder(
    output_bias: Float[Array, " X"],
    *,
    latent_size: int,
    hidden_sizes: Sequence[int],
    initialization: Initialization = glorot,
    nearest: Callable[[PyTree[Array]], Float[Array, " D"]] = lambda z: z,
) -> Decoder:
    """An MLP with tanh layers.

    Args:
        output_bias: added to the bias of the last layer at the start.
        latent_size: D, of the layer of z that the data depend on.
        hidden_sizes: widths of the tanh layers, from z to x.
        initialization: of the linear layers.
        nearest: z -> the layer of it that the data depend on.
    """
    data_size = output_bias.shape[0]

    def build(rngs: nnx.Rngs) -> MLP:
        return MLP(latent_size, hidden_sizes, data_size, initialization=initialization, rngs=rngs)

    init_network, bind = pure(build)

    def init(key: Key[Array, ""]) -> PyTree:
        params = init_network(key)
        params["head"]["bias"] = params["head"]["bias"] + output_bias
        return params

    return Decoder(init, lambda params, z: bind(params)(nearest(z)))


def latent_variable_model(likelihood: Likelihood, prior: Prior, decoder: Decoder) -> Model:
    """p_theta(z) of any form, p_theta(x | z) = likelihood of the decoder's output.

    Args:
        likelihood: of the data.
        prior: of z.
        decoder: whose output the likelihood takes.

    Returns:
        The model; theta is a dictionary of the prior's, the network's and the likelihood's own.
    """

    def init(key: Key[Array, ""]) -> PyTree:
        own = prior.init(jax.random.fold_in(key, 1))
        return {"prior": own, "network": decoder.init(key), "likelihood": likelihood.init}

    def output(theta: PyTree, z: PyTree[Array]) -> Float[Array, " X"]:
        return decoder.output(theta["network"], z)

    def law(theta: PyTree) -> Distribution:
        return prior.law(theta["prior"])

    def sample(theta: PyTree, key: Key[Array, ""]) -> tuple[PyTree[Array], Float[Array, " X"]]:
        key_z, key_x = jax.random.split(key)
        z = law(theta).sample(key_z)
        return z, likelihood.sample(theta["likelihood"], output(theta, z), key_x)

    return Model(
        init=init,
        log_prior=lambda theta, z: law(theta).log_prob(z),
        log_likelihood=lambda theta, x, z: likelihood.log_prob(
            theta["likelihood"], output(theta, z), x
        ),
        sample=sample,
        prior=law,
        mean=lambda theta, z: likelihood.mean(theta["likelihood"], output(theta, z)),
    )


def gaussian_model(
    likelihood: Likelihood,
    *,
    latent_size: int,
    hidden_sizes: Sequence[int],
    initialization: Initialization = glorot,
) -> Model:
    """p(z) = N(0, I), p_theta(x | z) = likelihood of an MLP of z (tanh layers).

    Args:
        likelihood: of the data given the output of the network.
        latent_size: D.
        hidden_sizes: widths of the tanh layers, from z to x.
        initialization: of the linear layers.
    """
    standard_normal = DiagonalGaussian(jnp.zeros(latent_size), jnp.ones(latent_size))
    return latent_variable_model(
        likelihood,
        Prior(init=lambda _: (), law=lambda _: standard_normal),
        dense_decoder(
            likelihood.output_bias,
            latent_size=latent_size,
            hidden_sizes=hidden_sizes,
            initialization=initialization,
        ),
    )


def gaussian_recognition(
    data_mean: Float[np.ndarray, " X"],
    *,
    latent_size: int,
    hidden_sizes: Sequence[int],
    initialization: Initialization = glorot,
) -> Recognition:
    """r_eta(z | x) = N(mean, diag(scale^2)), both from an MLP of x - data_mean (tanh layers).

    Args:
        data_mean: subtracted from the input; zeros feed the raw image.
        latent_size: D.
        hidden_sizes: widths of the tanh layers, from x to z.
        initialization: of the linear layers.
    """
    offset = jnp.asarray(data_mean, jnp.float32)

    def build(rngs: nnx.Rngs) -> GaussianEncoder:
        return GaussianEncoder(
            offset.shape[0], hidden_sizes, latent_size, initialization=initialization, rngs=rngs
        )

    init, bind = pure(build)
    return Recognition(
        init=init, distribution=lambda eta, x: DiagonalGaussian(*bind(eta)(x - offset))
    )
