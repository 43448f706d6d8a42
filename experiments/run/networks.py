"""The decoders and encoders of the papers, for the data they are to fit."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.run.data_facts import DataFacts
from experiments.run.likelihoods import AUTO, LIKELIHOODS, choose
from remjax.errors import InputError
from remjax.models.full_gaussian import full_gaussian_recognition
from remjax.models.gaussian import gaussian_model, gaussian_recognition
from remjax.models.initializations import Initialization, glorot
from remjax.models.layered import (
    deep_categorical_model,
    deep_categorical_recognition,
    deep_gaussian_model,
    deep_gaussian_recognition,
    sigmoid_belief_network,
    sigmoid_belief_recognition,
)
from remjax.models.likelihoods import Likelihood, marginalized
from remjax.models.uncertain import uncertain_gaussian_networks, with_weight_divergence
from remjax.types import Estimator, Model, Recognition


class Shape(NamedTuple):
    """Sizes of both networks.

    Attributes:
        latent_sizes: of each stochastic layer, z_1 (nearest the data) first.
        hidden_sizes: widths of the tanh layers below each stochastic layer.
        num_categories: of each latent, where they are categories.
        initialization: of the linear layers.
        condition_size: numbers of a condition behind each row.
    """

    latent_sizes: Sequence[int]
    hidden_sizes: Sequence[Sequence[int]]
    num_categories: int
    initialization: Initialization
    condition_size: int = 0

    def of_layers(self) -> dict[str, Any]:
        """As the models of several layers take them, and their recognition networks."""
        return {
            "latent_sizes": self.latent_sizes,
            "hidden_sizes": self.hidden_sizes,
            "initialization": self.initialization,
        }


class Inputs(NamedTuple):
    """How data enter the encoder.

    Attributes:
        offset: what it subtracts [X].
        scale: what it divides by [X]; None for data in [0, 1].
    """

    offset: np.ndarray
    scale: np.ndarray | None

    def arguments(self) -> dict[str, Any]:
        """As the recognition networks take them."""
        return {"data_mean": self.offset, "data_scale": self.scale}


class Networks(NamedTuple):
    """A kind of model with its recognition network.

    Attributes:
        build: (likelihood, how data enter the encoder, shape) -> decoder and encoder.
        addition: (estimator, number of training images) -> the estimator with what the networks
            themselves add to its losses.
    """

    build: Callable[[Likelihood, Inputs, Shape], tuple[Model, Recognition]]
    addition: Callable[[Estimator, int], Estimator] = lambda estimator, _: estimator


def _gaussian(likelihood: Likelihood, inputs: Inputs, shape: Shape) -> tuple[Model, Recognition]:
    """Diagonal Gaussian layers: a vector for one of them, whose moments have closed forms."""
    if len(shape.latent_sizes) == 1:
        one: dict[str, Any] = {
            "latent_size": shape.latent_sizes[0],
            "hidden_sizes": shape.hidden_sizes[0],
            "initialization": shape.initialization,
        }
        model = gaussian_model(likelihood, condition_size=shape.condition_size, **one)
        return model, gaussian_recognition(**inputs.arguments(), **one)
    sizes = shape.of_layers()
    model = deep_gaussian_model(likelihood, condition_size=shape.condition_size, **sizes)
    return model, deep_gaussian_recognition(**inputs.arguments(), **sizes)


def _full_gaussian(
    likelihood: Likelihood, inputs: Inputs, shape: Shape
) -> tuple[Model, Recognition]:
    """One Gaussian layer whose recognition network has a full covariance.

    Raises:
        InputError: for several layers.
    """
    if len(shape.latent_sizes) > 1:
        raise InputError("--model=full_gaussian has one stochastic layer: give one --latent_size")
    model, _ = _gaussian(likelihood, inputs, shape)
    return model, full_gaussian_recognition(
        **inputs.arguments(),
        latent_size=shape.latent_sizes[0],
        hidden_sizes=shape.hidden_sizes[0],
        initialization=shape.initialization,
    )


def _sigmoid_belief(
    likelihood: Likelihood, inputs: Inputs, shape: Shape
) -> tuple[Model, Recognition]:
    """Layers of bits, linear in one another where `hidden_sizes` are empty."""
    sizes = shape.of_layers()
    model = sigmoid_belief_network(likelihood, condition_size=shape.condition_size, **sizes)
    return model, sigmoid_belief_recognition(**inputs.arguments(), **sizes)


def _categorical(likelihood: Likelihood, inputs: Inputs, shape: Shape) -> tuple[Model, Recognition]:
    """Layers of categories, linear in one another where `hidden_sizes` are empty."""
    sizes = shape.of_layers() | {"num_categories": shape.num_categories}
    model = deep_categorical_model(likelihood, condition_size=shape.condition_size, **sizes)
    return model, deep_categorical_recognition(**inputs.arguments(), **sizes)


def _uncertain_gaussian(
    likelihood: Likelihood, inputs: Inputs, shape: Shape
) -> tuple[Model, Recognition]:
    """One Gaussian layer, and a Gaussian over each weight of both networks.

    Raises:
        InputError: for several layers, other layers than those of glorot, or a condition.
    """
    if len(shape.latent_sizes) > 1:
        raise InputError(
            "--model=uncertain_gaussian has one stochastic layer: give one --latent_size"
        )
    if shape.condition_size:
        raise InputError("--condition does nothing for --model=uncertain_gaussian: leave it out")
    if shape.initialization is not glorot:
        raise InputError(
            "--model=uncertain_gaussian has layers of its own: leave out --initialization and "
            "--bfloat16"
        )
    sizes = {"latent_size": shape.latent_sizes[0], "hidden_sizes": shape.hidden_sizes[0]}
    return uncertain_gaussian_networks(likelihood, **inputs.arguments(), **sizes)


gaussian = Networks(_gaussian)
full_gaussian = Networks(_full_gaussian)
sigmoid_belief = Networks(_sigmoid_belief)
categorical = Networks(_categorical)
uncertain_gaussian = Networks(
    _uncertain_gaussian,
    lambda estimator, num_data: with_weight_divergence(estimator, num_data=num_data),
)


def inputs_of(facts: DataFacts, *, centred: bool) -> Inputs:
    """What networks of x see of it: less the mean training image, or as it is; tables in units.

    A condition, which stands behind x, has units of its own already.
    """
    in_units = facts.columns is not None and facts.real_valued
    mean = facts.mean if centred else np.zeros_like(facts.mean)
    size = facts.condition_size
    return Inputs(
        np.append(mean, np.zeros(size, mean.dtype)),
        np.append(facts.scale, np.ones(size, mean.dtype)) if in_units else None,
    )


def build_networks(
    facts: DataFacts,
    networks: Networks = gaussian,
    *,
    latent_sizes: Sequence[int],
    hidden_sizes: Sequence[Sequence[int]],
    initialization: Initialization,
    num_categories: int = 10,
    mean_output: bool = True,
    centred_input: bool = True,
    likelihood: str = AUTO,
    missing: bool = False,
) -> tuple[Model, Recognition]:
    """The decoder and encoder for a data set.

    With mean_output the output bias starts at the mean training image, and with centred_input the
    encoder subtracts that image. Without, the output starts at a half (Bernoulli) or zero, and the
    encoder sees the raw image, as in the release of REM. With `missing`, entries that are missing
    are left out of the likelihood.
    """
    shape = Shape(latent_sizes, hidden_sizes, num_categories, initialization, facts.condition_size)
    chosen = likelihood_of(choose(likelihood, facts).name, facts, mean_output=mean_output)
    return networks.build(
        marginalized(chosen) if missing else chosen, inputs_of(facts, centred=centred_input), shape
    )


def likelihood_of(name: str, facts: DataFacts, *, mean_output: bool = True) -> Likelihood:
    """The likelihood of that name, whose output starts at the mean training image or not.

    Args:
        name: one of `LIKELIHOODS`.
        facts: of the training images.
        mean_output: otherwise the output starts at zero: a half for Bernoullis, one for counts.
    """
    blank = {"bernoulli": 0.5, "gaussian": 0.0}.get(name, 1.0)
    start = facts.mean if mean_output else np.full_like(facts.mean, blank)
    return LIKELIHOODS[name](start, facts)
