"""Denoising networks: p(x | zbar), the datapoint that a corruption was made of."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from remjax.errors import InputError
from remjax.models.initializations import Initialization, glorot
from remjax.models.inputs import PerColumn, centred
from remjax.models.latent_variable import dense_decoder
from remjax.models.likelihoods import Likelihood
from remjax.types import Datapoint, DenoisingModel


def denoising_model(
    likelihood: Likelihood,
    data_mean: PerColumn,
    *,
    hidden_sizes: Sequence[int],
    data_scale: PerColumn | None = None,
    initialization: Initialization = glorot,
) -> DenoisingModel:
    """p_theta(x | zbar) = likelihood of an MLP of (zbar - data_mean) / data_scale (tanh layers).

    The units of x are independent given zbar, so that the posterior of the data under the
    corruption is met the better, the less noise there is. The first mean is that of the data.

    Args:
        likelihood: of x given the output of the network (`bernoulli_likelihood`,
            `gaussian_likelihood`).
        data_mean: [X], subtracted from the input.
        hidden_sizes: widths of the tanh layers, from zbar to x.
        data_scale: the centred input is divided by it, as in `gaussian_recognition`.
        initialization: of the linear layers.

    Returns:
        The model; theta is a dictionary of the network's parameters and the likelihood's own.

    Raises:
        InputError: for shapes that do not meet, numbers that are not finite, or negative scales;
            from its functions, for an x or a zbar of another shape than [X].
    """
    centre, size = centred(data_mean, data_scale, "the denoising network")
    if size != likelihood.output_bias.shape[0]:
        raise InputError(
            f"data_mean has {size} columns and the likelihood {likelihood.output_bias.shape[0]}: "
            "make both of the same data"
        )
    network = dense_decoder(
        likelihood.output_bias,
        latent_size=size,
        hidden_sizes=hidden_sizes,
        initialization=initialization,
        nearest=centre,
    )

    def init(key: Key[Array, ""]) -> PyTree:
        # A caller may use up theta, as training does; the likelihood serves other models too.
        own = jax.tree.map(jnp.array, likelihood.init)
        return {"network": network.init(key), "likelihood": own}

    def output(theta: PyTree, zbar: Datapoint) -> Float[Array, " X"]:
        return network.output(theta["network"], zbar)

    return DenoisingModel(
        init=init,
        log_likelihood=lambda theta, x, zbar: likelihood.log_prob(
            theta["likelihood"], output(theta, zbar), x
        ),
        sample=lambda theta, key, zbar: likelihood.sample(
            theta["likelihood"], output(theta, zbar), key
        ),
        mean=lambda theta, zbar: likelihood.mean(theta["likelihood"], output(theta, zbar)),
        support=likelihood.support,
    )
