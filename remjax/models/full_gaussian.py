"""A recognition network whose Gaussian has a full covariance."""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PyTree, Shaped

from remjax.distributions.gaussian import FullGaussian
from remjax.models.initializations import Initialization, glorot
from remjax.models.inputs import PerColumn, centred
from remjax.models.networks import MLP, loc_and_scale, pure
from remjax.types import Recognition


def full_gaussian_recognition(
    data_mean: PerColumn,
    *,
    latent_size: int,
    hidden_sizes: Sequence[int],
    data_scale: PerColumn | None = None,
    initialization: Initialization = glorot,
) -> Recognition:
    """r_eta(z | x) = N(mean, L L^T), L = diag(scale) (I + A), A strictly lower triangular.

    mean, log scale^2 and the D (D - 1) / 2 numbers of A are heads of one MLP of x - data_mean (tanh
    layers). The posterior of a decoder that mixes its latents is correlated: a diagonal r can only
    be as wide as the narrowest direction (exclusive KL) or spill over it (inclusive KL). A head of
    D^2 / 2 outputs and, for each x, one triangular inverse of size D are the price; particles cost
    a product of size D more.

    Args:
        data_mean: [X], subtracted from the input.
        latent_size: D.
        hidden_sizes: widths of the tanh layers, from x to z.
        data_scale: as in `gaussian_recognition`.
        initialization: of the linear layers.

    Raises:
        InputError: as `gaussian_recognition`.
    """
    centre, data_size = centred(data_mean, data_scale)
    pairs = latent_size * (latent_size - 1) // 2

    def build(rngs: nnx.Rngs) -> MLP:
        return MLP(
            data_size,
            hidden_sizes,
            2 * latent_size + pairs,
            initialization=initialization,
            rngs=rngs,
        )

    init, bind = pure(build)
    below = jnp.tril_indices(latent_size, -1)

    def unit(numbers: Float[Array, " P"]) -> Float[Array, "D D"]:
        return jnp.eye(latent_size, dtype=numbers.dtype).at[below].set(numbers)

    def distribution(eta: PyTree, x: Shaped[Array, "..."]) -> FullGaussian:
        heads = bind(eta)(centre(x))
        loc, scale = loc_and_scale(heads[: 2 * latent_size])
        return FullGaussian(loc, scale[:, None] * unit(heads[2 * latent_size :]))

    return Recognition(init=init, distribution=distribution)
