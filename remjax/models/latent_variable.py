"""Latent-variable models of their parts: a prior, a network of the latent, and a likelihood."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key, PyTree

from remjax.distributions.base import Distribution
from remjax.models.likelihoods import Likelihood
from remjax.models.networks import MLP, Initialization, Normalization, glorot, pure
from remjax.types import Decoded, Model


class Prior(NamedTuple):
    """p_theta(z) and the start of its parameters.

    Attributes:
        init: key -> its parameters, () for none.
        distribution: parameters -> the distribution of z.
    """

    init: Callable[[Key[Array, ""]], PyTree]
    distribution: Callable[[PyTree], Distribution]


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
    normalization: Normalization | None = None,
    nearest: Callable[[PyTree[Array]], Float[Array, " D"]] = lambda z: z,
) -> Decoder:
    """An MLP with tanh layers.

    Args:
        output_bias: added to the bias of the last layer at the start.
        latent_size: D, of the layer of z that the data depend on.
        hidden_sizes: widths of the tanh layers, from z to x.
        initialization: of the linear layers.
        normalization: of the tanh layers, such as `batch_normalization()`; None for none.
        nearest: z -> the layer of it that the data depend on.
    """
    data_size = output_bias.shape[0]

    def build(rngs: nnx.Rngs) -> MLP:
        return MLP(
            latent_size,
            hidden_sizes,
            data_size,
            initialization=initialization,
            normalization=normalization,
            rngs=rngs,
        )

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
        # A caller may use up theta, as training does; the likelihood serves other models too.
        of_likelihood = jax.tree.map(jnp.array, likelihood.init)
        return {"prior": own, "network": decoder.init(key), "likelihood": of_likelihood}

    def output(theta: PyTree, z: PyTree[Array]) -> Float[Array, " X"]:
        return decoder.output(theta["network"], z)

    def distribution(theta: PyTree) -> Distribution:
        return prior.distribution(theta["prior"])

    def sample(theta: PyTree, key: Key[Array, ""]) -> tuple[PyTree[Array], Float[Array, " X"]]:
        key_z, key_x = jax.random.split(key)
        z = distribution(theta).sample(key_z)
        return z, likelihood.sample(theta["likelihood"], output(theta, z), key_x)

    return Model(
        init=init,
        log_prior=lambda theta, z: distribution(theta).log_prob(z),
        log_likelihood=lambda theta, x, z: likelihood.log_prob(
            theta["likelihood"], output(theta, z), x
        ),
        sample=sample,
        prior=distribution,
        mean=lambda theta, z: likelihood.mean(theta["likelihood"], output(theta, z)),
        support=likelihood.support,
        decoded=lambda theta, x: Decoded(
            output=lambda z: output(theta, z),
            log_prob=lambda o: likelihood.log_prob(theta["likelihood"], o, x),
        ),
    )
