"""A stack of stochastic layers, of any kind: what `layered` makes models of.

A latent is the tuple of its layers (z_1, ..., z_L), z_1 nearest the data. The model draws them from
the top down, the recognition network from the bottom up; both are `distributions.Layers`.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.tree_util import Partial
from jaxtyping import Array, Key, PyTree, Shaped

from remjax.distributions.base import Distribution
from remjax.distributions.bernoulli import Bernoulli
from remjax.distributions.gaussian import DiagonalGaussian
from remjax.distributions.layers import Layers
from remjax.errors import InputError
from remjax.models.categorical import categories, check_categories
from remjax.models.initializations import Initialization
from remjax.models.inputs import PerColumn, centred
from remjax.models.latent_variable import Prior, dense_decoder, latent_variable_model
from remjax.models.likelihoods import Likelihood
from remjax.models.networks import MLP, GaussianEncoder, pure
from remjax.types import Model, Recognition


class Layer(NamedTuple):
    """A kind of stochastic layer.

    Attributes:
        network: the module that turns what a layer depends on into the parameters of its
            distribution.
        distribution: output of that network -> the distribution.
        init_top: length of the top layer -> the parameters of its prior at the start, () for none.
        top: (those parameters, length) -> the prior of the top layer.
        width: how many numbers a variable of the layer is written in.
    """

    network: Callable[..., nnx.Module]
    distribution: Callable[[PyTree[Array]], Distribution]
    init_top: Callable[[int], PyTree]
    top: Callable[[PyTree, int], Distribution]
    width: int = 1


GAUSSIAN = Layer(
    network=GaussianEncoder,
    distribution=lambda loc_and_scale: DiagonalGaussian(*loc_and_scale),
    init_top=lambda _: (),
    top=lambda _, length: DiagonalGaussian(jnp.zeros(length), jnp.ones(length)),
)

BINARY = Layer(
    network=MLP,
    distribution=Bernoulli,
    init_top=jnp.zeros,
    top=lambda logits, _: Bernoulli(logits),
)


def categorical(num_categories: int) -> Layer:
    """Layers of one-hot variables, all of the same number of categories."""
    check_categories(num_categories)
    return Layer(
        network=MLP,
        distribution=lambda logits: categories(logits, num_categories),
        init_top=jnp.zeros,
        top=lambda logits, _: categories(logits, num_categories),
        width=num_categories,
    )


def stacked_model(
    layer: Layer,
    likelihood: Likelihood,
    latent_sizes: Sequence[int],
    hidden_sizes: Sequence[Sequence[int]] | None,
    initialization: Initialization,
    condition_size: int,
) -> Model:
    """p(z_L) prod_l p(z_l | z_{l+1}), and the likelihood of an MLP of z_1.

    Args:
        layer: the kind of all layers.
        likelihood: of the data given the output of the network of z_1.
        latent_sizes: as in `deep_gaussian_model`.
        hidden_sizes: likewise; None for layers that are linear in one another.
        initialization: of the linear layers.
        condition_size: as in `gaussian_model`.

    Raises:
        InputError: for layers without sizes, or not as many hidden as latent ones.
    """
    hidden_sizes = _checked(latent_sizes, hidden_sizes)
    lengths = [layer.width * size for size in latent_sizes]
    downward = [tuple(reversed(widths)) for widths in hidden_sizes]
    init_conditionals, bind = _conditionals(layer, lengths[::-1], downward[:0:-1], initialization)

    def distribution(params: PyTree) -> Distribution:
        top = layer.top(params["top"], lengths[-1])
        return Layers(top, tuple(bind(params["conditionals"])), top_down=True)

    def init(key: Key[Array, ""]) -> PyTree:
        return {"top": layer.init_top(lengths[-1]), "conditionals": init_conditionals(key)}

    return latent_variable_model(
        likelihood,
        Prior(init, distribution),
        dense_decoder(
            likelihood.output_bias,
            latent_size=lengths[0],
            hidden_sizes=downward[0],
            initialization=initialization,
            nearest=lambda z: z[0],
            condition_size=condition_size,
        ),
    )


def stacked_recognition(
    layer: Layer,
    data_mean: PerColumn,
    data_scale: PerColumn | None,
    latent_sizes: Sequence[int],
    hidden_sizes: Sequence[Sequence[int]] | None,
    initialization: Initialization,
) -> Recognition:
    """r(z_1 | x) prod_l r(z_l | z_{l-1}), by MLPs of the layer before.

    Args:
        layer: the kind of all layers.
        data_mean: [X], subtracted from x.
        data_scale: as in `gaussian_recognition`.
        latent_sizes: as in `deep_gaussian_model`.
        hidden_sizes: as in `stacked_model`, the tanh layers being passed in the order given.
        initialization: of the linear layers.

    Raises:
        InputError: as `stacked_model` and `gaussian_recognition`.
    """
    hidden_sizes = _checked(latent_sizes, hidden_sizes)
    centre, data_size = centred(data_mean, data_scale)
    lengths = [data_size, *(layer.width * size for size in latent_sizes)]
    init, bind = _conditionals(layer, lengths, hidden_sizes, initialization)

    def distribution(eta: PyTree, x: Shaped[Array, "..."]) -> Distribution:
        first, *others = bind(eta)
        return Layers(first((centre(x),)), tuple(others))

    return Recognition(init=init, distribution=distribution)


def _conditional(
    layer: Layer,
    given_length: int,
    widths: Sequence[int],
    length: int,
    initialization: Initialization,
) -> tuple[Callable[[Key[Array, ""]], PyTree], Callable[[PyTree, tuple[Array, ...]], Distribution]]:
    """(init, distribution): key -> parameters; (parameters, layers before) -> the layer's own."""

    def build(rngs: nnx.Rngs) -> nnx.Module:
        return layer.network(given_length, widths, length, initialization=initialization, rngs=rngs)

    init, bind = pure(build)
    # Each layer depends on the one drawn just before it alone.
    return init, lambda params, given: layer.distribution(bind(params)(given[-1]))


def _conditionals(
    layer: Layer,
    lengths: Sequence[int],
    hidden_sizes: Sequence[Sequence[int]],
    initialization: Initialization,
) -> tuple[Callable[[Key[Array, ""]], list[PyTree]], Callable[[list[PyTree]], list[Partial]]]:
    """(init, bind) of the layers that lead from each length to the next.

    bind gives functions of the layers drawn before, whose parameters are leaves.
    """
    parts = [
        _conditional(layer, given, widths, length, initialization)
        for (given, length), widths in zip(itertools.pairwise(lengths), hidden_sizes, strict=True)
    ]

    def init_all(key: Key[Array, ""]) -> list[PyTree]:
        return [init(jax.random.fold_in(key, place)) for place, (init, _) in enumerate(parts)]

    def bind_all(params: list[PyTree]) -> list[Partial]:
        return [
            Partial(distribution, own) for (_, distribution), own in zip(parts, params, strict=True)
        ]

    return init_all, bind_all


def _checked(
    latent_sizes: Sequence[int], hidden_sizes: Sequence[Sequence[int]] | None
) -> Sequence[Sequence[int]]:
    """The widths between the layers, none by default, once all sizes are found to be right."""
    if not latent_sizes or min(latent_sizes) < 1:
        raise InputError(
            f"latent_sizes is {tuple(latent_sizes)}: give a positive size for each layer"
        )
    if hidden_sizes is None:
        return [()] * len(latent_sizes)
    of_each = all(isinstance(widths, Sequence) for widths in hidden_sizes)
    if not of_each or len(hidden_sizes) != len(latent_sizes):
        raise InputError(
            f"hidden_sizes is {tuple(hidden_sizes)}: give a tuple of widths for each of the "
            f"{len(latent_sizes)} latent layers, as ((200, 200), (100, 100)) for two"
        )
    if min(itertools.chain.from_iterable(hidden_sizes), default=1) < 1:
        raise InputError(f"hidden_sizes is {tuple(hidden_sizes)}: give positive widths")
    return hidden_sizes
