"""Convolutional networks of images: a model with a Gaussian latent, and its recognition network."""

import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key, PyTree

from remjax.distributions.gaussian import DiagonalGaussian
from remjax.errors import InputError
from remjax.models.inputs import PerColumn, centred
from remjax.models.latent_variable import Decoder, Prior, latent_variable_model
from remjax.models.likelihoods import Likelihood
from remjax.models.networks import loc_and_scale, pure
from remjax.types import Model, Recognition


def convolutional_model(
    likelihood: Likelihood,
    *,
    image_shape: tuple[int, int],
    latent_size: int,
    features: Sequence[int] = (32, 64),
    batch_norm: bool = False,
) -> Model:
    """p(z) = N(0, I), p_theta(x | z) = likelihood of transposed convolutions of z.

    A dense layer makes an image of `features[-1]` channels, and each of the layers that follow,
    3x3 with a stride of 2 and rectified before, doubles its sides; what is beyond `image_shape` is
    cut off.

    Args:
        likelihood: of the pixels, in C order.
        image_shape: (H, W).
        latent_size: D.
        features: channels of the layers, from x to z.
        batch_norm: whether each layer is normalised by its batch (`nnx.BatchNorm`) before it is
            rectified. See "Batch statistics" in the documentation of models.

    Raises:
        InputError: for another number of pixels than the likelihood's, or no features.
    """
    _check(likelihood.output_bias.shape[0], image_shape, features)

    def build(rngs: nnx.Rngs) -> ConvolutionalDecoder:
        return ConvolutionalDecoder(
            latent_size, features, image_shape, batch_norm=batch_norm, rngs=rngs
        )

    init, bind = pure(build)

    def output(params: PyTree, z: Float[Array, " D"]) -> Float[Array, " X"]:
        return bind(params["layers"])(z) + params["bias"]

    def with_bias(key: Key[Array, ""]) -> PyTree:
        return {"layers": init(key), "bias": jnp.array(likelihood.output_bias)}

    standard_normal = DiagonalGaussian(jnp.zeros(latent_size), jnp.ones(latent_size))
    prior = Prior(init=lambda _: (), distribution=lambda _: standard_normal)
    return latent_variable_model(likelihood, prior, Decoder(with_bias, output))


def convolutional_recognition(
    data_mean: PerColumn,
    *,
    image_shape: tuple[int, int],
    latent_size: int,
    features: Sequence[int] = (32, 64),
    batch_norm: bool = False,
    data_scale: PerColumn | None = None,
) -> Recognition:
    """r_eta(z | x) = N(mean, diag(scale^2)), both from convolutions of x - data_mean.

    The mirror image of `convolutional_model`: 3x3 with a stride of 2 and rectified, then two dense
    heads.

    Args:
        data_mean: [X], as in `gaussian_recognition`.
        image_shape: (H, W).
        latent_size: D.
        features: channels of the layers, from x to z.
        batch_norm: as in `convolutional_model`.
        data_scale: as in `gaussian_recognition`.

    Raises:
        InputError: as `convolutional_model` and `gaussian_recognition`.
    """
    centre, data_size = centred(data_mean, data_scale)
    _check(data_size, image_shape, features)

    def build(rngs: nnx.Rngs) -> ConvolutionalEncoder:
        return ConvolutionalEncoder(
            image_shape, features, 2 * latent_size, batch_norm=batch_norm, rngs=rngs
        )

    init, bind = pure(build)
    return Recognition(
        init=init,
        distribution=lambda eta, x: DiagonalGaussian(*loc_and_scale(bind(eta)(centre(x)))),
    )


class ConvolutionalEncoder(nnx.Module):
    """One image as a row [H W] -> `out_features` numbers."""

    def __init__(
        self,
        image_shape: tuple[int, int],
        features: Sequence[int],
        out_features: int,
        *,
        batch_norm: bool = False,
        rngs: nnx.Rngs,
    ) -> None:
        self.image_shape = image_shape
        channels = (1, *features)
        self.layers = nnx.List(
            [
                nnx.Conv(m, n, (3, 3), strides=2, padding="SAME", rngs=rngs)
                for m, n in itertools.pairwise(channels)
            ]
        )
        self.norms = nnx.List([nnx.BatchNorm(n, rngs=rngs) for n in features if batch_norm])
        sides = _sides(image_shape, len(features))[-1]
        self.head = nnx.Linear(math.prod(sides) * features[-1], out_features, rngs=rngs)

    def __call__(self, x: Float[Array, " X"]) -> Float[Array, " Y"]:
        """The output of the head; no nonlinearity on it."""
        image = x.reshape(*self.image_shape, 1)
        for number, layer in enumerate(self.layers):
            image = layer(image)
            if self.norms:
                image = self.norms[number](image)
            image = jax.nn.relu(image)
        return self.head(image.reshape(-1))


class ConvolutionalDecoder(nnx.Module):
    """A latent [D] -> one image as a row [H W], before its bias."""

    def __init__(
        self,
        latent_size: int,
        features: Sequence[int],
        image_shape: tuple[int, int],
        *,
        batch_norm: bool = False,
        rngs: nnx.Rngs,
    ) -> None:
        self.sides = _sides(image_shape, len(features))[::-1]
        channels = (*features[::-1], 1)
        self.dense = nnx.Linear(latent_size, math.prod(self.sides[0]) * channels[0], rngs=rngs)
        self.layers = nnx.List(
            [
                nnx.ConvTranspose(
                    m, n, (3, 3), strides=2, padding="SAME", use_bias=n > 1, rngs=rngs
                )
                for m, n in itertools.pairwise(channels)
            ]
        )
        self.norms = nnx.List([nnx.BatchNorm(n, rngs=rngs) for n in channels[:-1] if batch_norm])

    def __call__(self, z: Float[Array, " D"]) -> Float[Array, " X"]:
        """The image, without a nonlinearity on it."""
        image = self.dense(z).reshape(*self.sides[0], -1)
        for number, layer in enumerate(self.layers):
            if self.norms:
                image = self.norms[number](image)
            height, width = self.sides[number + 1]
            image = layer(jax.nn.relu(image))[:height, :width]
        return image.reshape(-1)


def _sides(image_shape: tuple[int, int], num_layers: int) -> list[tuple[int, int]]:
    """(height, width) of the image and after each layer, which halves both and rounds up."""
    sides = [image_shape]
    for _ in range(num_layers):
        height, width = sides[-1]
        sides.append((-(-height // 2), -(-width // 2)))
    return sides


def _check(data_size: int, image_shape: tuple[int, int], features: Sequence[int]) -> None:
    if math.prod(image_shape) != data_size:
        raise InputError(
            f"image_shape {image_shape} has {math.prod(image_shape)} pixels and the data have "
            f"{data_size} columns: give the height and width of the images"
        )
    if not features or min(features) < 1:
        raise InputError(f"features are {tuple(features)}: give a positive number for each layer")
