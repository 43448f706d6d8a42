"""The decoders and encoders of the papers, for the data they are to fit."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from remjax.data import Dataset
from remjax.errors import InputError
from remjax.models.gaussian import gaussian_model, gaussian_recognition
from remjax.models.layered import (
    deep_categorical_model,
    deep_categorical_recognition,
    deep_gaussian_model,
    deep_gaussian_recognition,
    sigmoid_belief_network,
    sigmoid_belief_recognition,
)
from remjax.models.likelihoods import Likelihood, bernoulli_likelihood, gaussian_likelihood
from remjax.models.networks import Initialization, glorot
from remjax.models.uncertain import uncertain_gaussian_networks, with_weight_divergence
from remjax.types import Estimator, Model, Recognition


class Shape(NamedTuple):
    """Sizes of both networks.

    Attributes:
        latent_sizes: of each stochastic layer, z_1 (nearest the data) first.
        hidden_sizes: widths of the tanh layers below each stochastic layer.
        num_categories: of each latent, where they are categories.
        initialization: of the linear layers.
    """

    latent_sizes: Sequence[int]
    hidden_sizes: Sequence[Sequence[int]]
    num_categories: int
    initialization: Initialization

    def of_layers(self) -> dict[str, Any]:
        """As the models of several layers take them."""
        return {
            "latent_sizes": self.latent_sizes,
            "hidden_sizes": self.hidden_sizes,
            "initialization": self.initialization,
        }


class Networks(NamedTuple):
    """A kind of model with its recognition network.

    Attributes:
        build: (likelihood, what the encoder subtracts, shape) -> decoder and encoder.
        addition: (estimator, number of training images) -> the estimator with what the networks
            themselves add to its losses.
    """

    build: Callable[[Likelihood, np.ndarray, Shape], tuple[Model, Recognition]]
    addition: Callable[[Estimator, int], Estimator] = lambda estimator, _: estimator


def _gaussian(
    likelihood: Likelihood, offset: np.ndarray, shape: Shape
) -> tuple[Model, Recognition]:
    """Diagonal Gaussian layers: a vector for one of them, whose moments have closed forms."""
    if len(shape.latent_sizes) == 1:
        one: dict[str, Any] = {
            "latent_size": shape.latent_sizes[0],
            "hidden_sizes": shape.hidden_sizes[0],
            "initialization": shape.initialization,
        }
        return gaussian_model(likelihood, **one), gaussian_recognition(offset, **one)
    sizes = shape.of_layers()
    return deep_gaussian_model(likelihood, **sizes), deep_gaussian_recognition(offset, **sizes)


def _sigmoid_belief(
    likelihood: Likelihood, offset: np.ndarray, shape: Shape
) -> tuple[Model, Recognition]:
    """Layers of bits, linear in one another where `hidden_sizes` are empty."""
    sizes = shape.of_layers()
    return sigmoid_belief_network(likelihood, **sizes), sigmoid_belief_recognition(offset, **sizes)


def _categorical(
    likelihood: Likelihood, offset: np.ndarray, shape: Shape
) -> tuple[Model, Recognition]:
    """Layers of categories, linear in one another where `hidden_sizes` are empty."""
    sizes = shape.of_layers() | {"num_categories": shape.num_categories}
    model = deep_categorical_model(likelihood, **sizes)
    return model, deep_categorical_recognition(offset, **sizes)


def _uncertain_gaussian(
    likelihood: Likelihood, offset: np.ndarray, shape: Shape
) -> tuple[Model, Recognition]:
    """One Gaussian layer, and a Gaussian over each weight of both networks.

    Raises:
        InputError: for several layers, or other layers than those of glorot.
    """
    if len(shape.latent_sizes) > 1:
        raise InputError(
            "--model=uncertain_gaussian has one stochastic layer: give one --latent_size"
        )
    if shape.initialization is not glorot:
        raise InputError(
            "--model=uncertain_gaussian has layers of its own: leave out --initialization and "
            "--bfloat16"
        )
    sizes = {"latent_size": shape.latent_sizes[0], "hidden_sizes": shape.hidden_sizes[0]}
    return uncertain_gaussian_networks(likelihood, offset, **sizes)


gaussian = Networks(_gaussian)
sigmoid_belief = Networks(_sigmoid_belief)
categorical = Networks(_categorical)
uncertain_gaussian = Networks(
    _uncertain_gaussian,
    lambda estimator, num_data: with_weight_divergence(estimator, num_data=num_data),
)


def input_offset(dataset: Dataset, *, centred: bool) -> np.ndarray:
    """What networks of x subtract from it: the mean training image, or nothing."""
    mean = np.mean(dataset.train, axis=0)
    return mean if centred else np.zeros_like(mean)


def build_networks(
    dataset: Dataset,
    networks: Networks = gaussian,
    *,
    latent_sizes: Sequence[int],
    hidden_sizes: Sequence[Sequence[int]],
    initialization: Initialization,
    num_categories: int = 10,
    mean_output: bool = True,
    centred_input: bool = True,
) -> tuple[Model, Recognition]:
    """The decoder and encoder for a data set.

    With mean_output the output bias starts at the mean training image, and with centred_input the
    encoder subtracts that image. Without, the output starts at a half (Bernoulli) or zero, and the
    encoder sees the raw image, as in the release of REM.
    """
    shape = Shape(latent_sizes, hidden_sizes, num_categories, initialization)
    likelihood = likelihood_of(dataset, mean_output=mean_output)
    return networks.build(likelihood, input_offset(dataset, centred=centred_input), shape)


def likelihood_of(dataset: Dataset, *, mean_output: bool = True) -> Likelihood:
    """Of the pixels: Bernoullis, or Gaussians of real ones, that start at the mean image or not."""
    mean = np.mean(dataset.train, axis=0)
    # The log odds of a half are zero.
    blank = np.full_like(mean, 0.0 if dataset.real_valued else 0.5)
    output_mean = mean if mean_output else blank
    if dataset.real_valued:
        return gaussian_likelihood(output_mean, np.std(dataset.train, axis=0))
    return bernoulli_likelihood(output_mean)
