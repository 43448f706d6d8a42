"""Categorical latents: learned prior probabilities, and the recognition network for them.

The latent is one-hot and flattened, [D * C]. Those with several stochastic layers are in `layered`.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from remjax.distributions.categorical import Categorical
from remjax.errors import InputError
from remjax.models.initializations import Initialization, glorot
from remjax.models.inputs import PerColumn, centred
from remjax.models.latent_variable import Prior, dense_decoder, latent_variable_model
from remjax.models.likelihoods import Likelihood
from remjax.models.networks import MLP, pure
from remjax.types import Model, Recognition


def categories(flat: Float[Array, " DC"], num_categories: int) -> Categorical:
    """The distribution whose logits are a vector, one variable after the other."""
    return Categorical(flat.reshape(-1, num_categories))


def check_categories(num_categories: int) -> None:
    """Raise InputError for fewer than two."""
    if num_categories < 2:
        raise InputError(f"num_categories is {num_categories}: give 2 or more")


def categorical_model(
    likelihood: Likelihood,
    *,
    latent_size: int,
    num_categories: int,
    hidden_sizes: Sequence[int],
    initialization: Initialization = glorot,
) -> Model:
    """p(z) = prod_d Categorical(z_d; logits b_d), p_theta(x | z) = likelihood of an MLP of z.

    The logits of the prior are learned, and even at the start.

    Args:
        likelihood: of the data given the output of the network.
        latent_size: D, the number of variables.
        num_categories: C, of each variable.
        hidden_sizes: widths of the tanh layers, from z to x; () for an output linear in z.
        initialization: of the linear layers.

    Raises:
        InputError: for fewer than two categories.
    """
    check_categories(num_categories)
    return latent_variable_model(
        likelihood,
        Prior(
            init=lambda _: jnp.zeros(latent_size * num_categories),
            distribution=lambda logits: categories(logits, num_categories),
        ),
        dense_decoder(
            likelihood.output_bias,
            latent_size=latent_size * num_categories,
            hidden_sizes=hidden_sizes,
            initialization=initialization,
        ),
    )


def categorical_recognition(
    data_mean: PerColumn,
    *,
    latent_size: int,
    num_categories: int,
    hidden_sizes: Sequence[int],
    data_scale: PerColumn | None = None,
    initialization: Initialization = glorot,
) -> Recognition:
    """r_eta(z | x) = prod_d Categorical(z_d; logits_d), logits from an MLP of x - data_mean.

    Args:
        data_mean: [X], subtracted from the input; zeros feed the raw image.
        latent_size: D, the number of variables.
        num_categories: C, of each variable.
        hidden_sizes: widths of the tanh layers, from x to z.
        data_scale: as in `gaussian_recognition`.
        initialization: of the linear layers.

    Raises:
        InputError: for fewer than two categories, and as `gaussian_recognition`.
    """
    check_categories(num_categories)
    centre, data_size = centred(data_mean, data_scale)

    def build(rngs: nnx.Rngs) -> MLP:
        size = latent_size * num_categories
        return MLP(data_size, hidden_sizes, size, initialization=initialization, rngs=rngs)

    init, bind = pure(build)
    return Recognition(
        init=init, distribution=lambda eta, x: categories(bind(eta)(centre(x)), num_categories)
    )
