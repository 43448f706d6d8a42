"""The decoders and encoders of the papers, for the data they are to fit."""

from collections.abc import Callable, Sequence

import numpy as np

from remjax.data import Dataset
from remjax.errors import InputError
from remjax.models.gaussian import (
    Likelihood,
    bernoulli_likelihood,
    gaussian_likelihood,
    gaussian_model,
    gaussian_recognition,
)
from remjax.models.layered import (
    deep_gaussian_model,
    deep_gaussian_recognition,
    sigmoid_belief_network,
    sigmoid_belief_recognition,
)
from remjax.models.networks import Initialization, glorot
from remjax.models.uncertain import uncertain_gaussian_networks
from remjax.types import Model, Recognition

# (likelihood, what the encoder subtracts, sizes and initialisation) -> decoder and encoder.
Networks = Callable[..., tuple[Model, Recognition]]


def gaussian(
    likelihood: Likelihood,
    offset: np.ndarray,
    *,
    latent_sizes: Sequence[int],
    hidden_sizes: Sequence[Sequence[int]],
    initialization: Initialization,
) -> tuple[Model, Recognition]:
    """Diagonal Gaussian layers: a vector for one of them, whose moments have closed forms."""
    if len(latent_sizes) == 1:
        one = {"latent_size": latent_sizes[0], "hidden_sizes": hidden_sizes[0]}
        return (
            gaussian_model(likelihood, initialization=initialization, **one),
            gaussian_recognition(offset, initialization=initialization, **one),
        )
    sizes = {"latent_sizes": latent_sizes, "hidden_sizes": hidden_sizes}
    return (
        deep_gaussian_model(likelihood, initialization=initialization, **sizes),
        deep_gaussian_recognition(offset, initialization=initialization, **sizes),
    )


def sigmoid_belief(
    likelihood: Likelihood,
    offset: np.ndarray,
    *,
    latent_sizes: Sequence[int],
    hidden_sizes: Sequence[Sequence[int]],
    initialization: Initialization,
) -> tuple[Model, Recognition]:
    """Layers of bits, linear in one another where `hidden_sizes` are empty."""
    sizes = {"latent_sizes": latent_sizes, "hidden_sizes": hidden_sizes}
    return (
        sigmoid_belief_network(likelihood, initialization=initialization, **sizes),
        sigmoid_belief_recognition(offset, initialization=initialization, **sizes),
    )


def uncertain_gaussian(
    likelihood: Likelihood,
    offset: np.ndarray,
    *,
    latent_sizes: Sequence[int],
    hidden_sizes: Sequence[Sequence[int]],
    initialization: Initialization,
) -> tuple[Model, Recognition]:
    """One Gaussian layer, and a Gaussian over each weight of both networks.

    Raises:
        InputError: for several layers, or other layers than those of glorot.
    """
    if len(latent_sizes) > 1:
        raise InputError(
            "--model=uncertain_gaussian has one stochastic layer: give one --latent_size"
        )
    if initialization is not glorot:
        raise InputError(
            "--model=uncertain_gaussian has layers of its own: leave out --initialization and "
            "--bfloat16"
        )
    return uncertain_gaussian_networks(
        likelihood, offset, latent_size=latent_sizes[0], hidden_sizes=hidden_sizes[0]
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
    mean_output: bool = True,
    centred_input: bool = True,
) -> tuple[Model, Recognition]:
    """The decoder and encoder for a data set.

    With mean_output the output bias starts at the mean training image, and with centred_input the
    encoder subtracts that image. Without, the output starts at a half (Bernoulli) or zero, and the
    encoder sees the raw image, as in the release of REM.
    """
    mean = np.mean(dataset.train, axis=0)
    # The log odds of a half are zero.
    blank = np.full_like(mean, 0.0 if dataset.real_valued else 0.5)
    output_mean = mean if mean_output else blank
    if dataset.real_valued:
        likelihood = gaussian_likelihood(output_mean, np.std(dataset.train, axis=0))
    else:
        likelihood = bernoulli_likelihood(output_mean)
    return networks(
        likelihood,
        input_offset(dataset, centred=centred_input),
        latent_sizes=latent_sizes,
        hidden_sizes=hidden_sizes,
        initialization=initialization,
    )
