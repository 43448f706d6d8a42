"""Models of several stochastic layers: Gaussian, binary (sigmoid belief networks), categorical.

A latent is the tuple of its layers (z_1, ..., z_L), z_1 nearest the data; `stacks` puts them
together.
"""

from collections.abc import Sequence

from remjax.models.initializations import Initialization, glorot
from remjax.models.inputs import PerColumn
from remjax.models.likelihoods import Likelihood
from remjax.models.stacks import (
    BINARY,
    GAUSSIAN,
    categorical,
    stacked_model,
    stacked_recognition,
)
from remjax.types import Model, Recognition


def deep_gaussian_model(
    likelihood: Likelihood,
    *,
    latent_sizes: Sequence[int],
    hidden_sizes: Sequence[Sequence[int]],
    initialization: Initialization = glorot,
    condition_size: int = 0,
) -> Model:
    """N(0, I) on top, diagonal Gaussians below, the data at the end (Burda et al. 2015, Eq. 4).

    p(z) = N(z_L; 0, I) prod_l N(z_l; loc_l(z_{l+1}), diag(scale_l(z_{l+1})^2)).

    Args:
        likelihood: of the data given the output of the network of z_1.
        latent_sizes: of the layers, z_1 (nearest the data) first: (100, 50) in the paper.
        hidden_sizes: widths of the tanh layers between x and z_1, between z_1 and z_2, ..., as many
            as there are layers, each from the data upward: ((200, 200), (100, 100)).
        initialization: of the linear layers.
        condition_size: as in `gaussian_model`.

    Raises:
        InputError: for layers without sizes, or not as many hidden as latent ones.
    """
    return stacked_model(
        GAUSSIAN, likelihood, latent_sizes, hidden_sizes, initialization, condition_size
    )


def deep_gaussian_recognition(
    data_mean: PerColumn,
    *,
    latent_sizes: Sequence[int],
    hidden_sizes: Sequence[Sequence[int]],
    data_scale: PerColumn | None = None,
    initialization: Initialization = glorot,
) -> Recognition:
    """r(z | x) = prod_l N(z_l; loc_l(z_{l-1}), diag(scale_l(z_{l-1})^2)), z_0 = x - data_mean.

    Args:
        data_mean: [X], subtracted from the input; zeros feed the raw image.
        latent_sizes: as in `deep_gaussian_model`.
        hidden_sizes: as in `deep_gaussian_model`, the tanh layers being passed in the order given.
        data_scale: as in `gaussian_recognition`.
        initialization: of the linear layers.

    Raises:
        InputError: as `deep_gaussian_model` and `gaussian_recognition`.
    """
    return stacked_recognition(
        GAUSSIAN, data_mean, data_scale, latent_sizes, hidden_sizes, initialization
    )


def sigmoid_belief_network(
    likelihood: Likelihood,
    *,
    latent_sizes: Sequence[int],
    hidden_sizes: Sequence[Sequence[int]] | None = None,
    initialization: Initialization = glorot,
    condition_size: int = 0,
) -> Model:
    """Binary layers, each independent bits given the one above (Mnih & Gregor 2014).

    p(z) = Bernoulli(z_L; logits b) prod_l Bernoulli(z_l; logits_l(z_{l+1})).

    Args:
        likelihood: of the data given the output of the network of z_1.
        latent_sizes: of the layers, z_1 (nearest the data) first: (200, 200, 200), say.
        hidden_sizes: widths of deterministic tanh layers, as in `deep_gaussian_model`; by default
            none, and the logits are linear in the layer above.
        initialization: of the linear layers.
        condition_size: as in `gaussian_model`.

    Raises:
        InputError: for layers without sizes, or not as many hidden as latent ones.
    """
    return stacked_model(
        BINARY, likelihood, latent_sizes, hidden_sizes, initialization, condition_size
    )


def sigmoid_belief_recognition(
    data_mean: PerColumn,
    *,
    latent_sizes: Sequence[int],
    hidden_sizes: Sequence[Sequence[int]] | None = None,
    data_scale: PerColumn | None = None,
    initialization: Initialization = glorot,
) -> Recognition:
    """r(z | x) = prod_l Bernoulli(z_l; logits_l(z_{l-1})), z_0 = x - data_mean: the mirror image.

    Arguments as in `sigmoid_belief_network` and `deep_gaussian_recognition`.
    """
    return stacked_recognition(
        BINARY, data_mean, data_scale, latent_sizes, hidden_sizes, initialization
    )


def deep_categorical_model(
    likelihood: Likelihood,
    *,
    latent_sizes: Sequence[int],
    num_categories: int,
    hidden_sizes: Sequence[Sequence[int]] | None = None,
    initialization: Initialization = glorot,
    condition_size: int = 0,
) -> Model:
    """Layers of categories, each independent variables given the layer above.

    p(z) = Categorical(z_L; logits b) prod_l Categorical(z_l; logits_l(z_{l+1})).

    Args:
        likelihood: of the data given the output of the network of z_1.
        latent_sizes: the number of variables of each layer, z_1 (nearest the data) first.
        num_categories: C, of every variable; a layer of D variables is a vector [D * C].
        hidden_sizes: as in `sigmoid_belief_network`.
        initialization: of the linear layers.
        condition_size: as in `gaussian_model`.

    Raises:
        InputError: as `sigmoid_belief_network`, and for fewer than two categories.
    """
    layer = categorical(num_categories)
    return stacked_model(
        layer, likelihood, latent_sizes, hidden_sizes, initialization, condition_size
    )


def deep_categorical_recognition(
    data_mean: PerColumn,
    *,
    latent_sizes: Sequence[int],
    num_categories: int,
    hidden_sizes: Sequence[Sequence[int]] | None = None,
    data_scale: PerColumn | None = None,
    initialization: Initialization = glorot,
) -> Recognition:
    """r(z | x) = prod_l Categorical(z_l; logits_l(z_{l-1})), z_0 = x - data_mean: the mirror image.

    Arguments as in `deep_categorical_model` and `deep_gaussian_recognition`.
    """
    layer = categorical(num_categories)
    return stacked_recognition(
        layer, data_mean, data_scale, latent_sizes, hidden_sizes, initialization
    )
