"""Gaussian latents: a standard normal prior, and the recognition network that goes with it.

Those with several stochastic layers are in `layered`.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx

from remjax.distributions.gaussian import DiagonalGaussian
from remjax.models.initializations import Initialization, glorot
from remjax.models.inputs import PerColumn, centred
from remjax.models.latent_variable import Prior, dense_decoder, latent_variable_model
from remjax.models.likelihoods import Likelihood
from remjax.models.networks import GaussianEncoder, pure
from remjax.types import Model, Recognition


def gaussian_model(
    likelihood: Likelihood,
    *,
    latent_size: int,
    hidden_sizes: Sequence[int],
    initialization: Initialization = glorot,
    condition_size: int = 0,
) -> Model:
    """p(z) = N(0, I), p_theta(x | z) = likelihood of an MLP of z (tanh layers).

    With a condition c the MLP is one of z and c, and a datapoint is x with c behind it
    (`latent_variable_model`); the recognition network is `gaussian_recognition` of such datapoints.

    Args:
        likelihood: of the data given the output of the network.
        latent_size: D.
        hidden_sizes: widths of the tanh layers, from z to x.
        initialization: of the linear layers.
        condition_size: C, numbers at the end of a datapoint that are its condition.
    """
    standard_normal = DiagonalGaussian(jnp.zeros(latent_size), jnp.ones(latent_size))
    return latent_variable_model(
        likelihood,
        Prior(init=lambda _: (), distribution=lambda _: standard_normal),
        dense_decoder(
            likelihood.output_bias,
            latent_size=latent_size,
            hidden_sizes=hidden_sizes,
            initialization=initialization,
            condition_size=condition_size,
        ),
    )


def gaussian_recognition(
    data_mean: PerColumn,
    *,
    latent_size: int,
    hidden_sizes: Sequence[int],
    data_scale: PerColumn | None = None,
    initialization: Initialization = glorot,
) -> Recognition:
    """r_eta(z | x) = N(mean, diag(scale^2)), both from an MLP of x - data_mean (tanh layers).

    Args:
        data_mean: [X], subtracted from the input; zeros feed the raw image.
        latent_size: D.
        hidden_sizes: widths of the tanh layers, from x to z.
        data_scale: the centred input is divided by it: [X], or one number for all columns. None for
            data of about unit size, such as pixels in [0, 1]; give the standard deviations where
            the data have units.
        initialization: of the linear layers.

    Raises:
        InputError: for other shapes, or numbers that are not finite, or negative scales; from
            `distribution`, for an x of another shape than [X].
    """
    centre, data_size = centred(data_mean, data_scale)

    def build(rngs: nnx.Rngs) -> GaussianEncoder:
        return GaussianEncoder(
            data_size, hidden_sizes, latent_size, initialization=initialization, rngs=rngs
        )

    init, bind = pure(build)
    return Recognition(
        init=init, distribution=lambda eta, x: DiagonalGaussian(*bind(eta)(centre(x)))
    )
