"""Models of several stochastic layers: deep Gaussian models and sigmoid belief networks.

A latent is the tuple of its layers (z_1, ..., z_L), z_1 nearest the data. The model draws them from
the top down, the recognition network from the bottom up; both are `chains.Layers`.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key, PyTree

from remjax.distributions.base import Distribution
from remjax.distributions.bernoulli import Bernoulli
from remjax.distributions.gaussian import DiagonalGaussian
from remjax.distributions.layers import Layers
from remjax.errors import InputError
from remjax.models.gaussian import Likelihood, Prior, dense_decoder, latent_variable_model
from remjax.models.networks import MLP, GaussianEncoder, Initialization, glorot, pure
from remjax.types import Model, Recognition


class Layer(NamedTuple):
    """A kind of stochastic layer.

    Attributes:
        network: the module that turns what a layer depends on into the parameters of its law.
        law: output of that network -> the law.
        init_top: size of the top layer -> the parameters of its prior at the start, () for none.
        top: (those parameters, size) -> the prior of the top layer.
    """

    network: Callable[..., nnx.Module]
    law: Callable[[PyTree[Array]], Distribution]
    init_top: Callable[[int], PyTree]
    top: Callable[[PyTree, int], Distribution]


GAUSSIAN = Layer(
    network=GaussianEncoder,
    law=lambda loc_and_scale: DiagonalGaussian(*loc_and_scale),
    init_top=lambda _: (),
    top=lambda _, size: DiagonalGaussian(jnp.zeros(size), jnp.ones(size)),
)

BINARY = Layer(
    network=MLP,
    law=Bernoulli,
    init_top=jnp.zeros,
    top=lambda logits, _: Bernoulli(logits),
)


def deep_gaussian_model(
    likelihood: Likelihood,
    *,
    latent_sizes: Sequence[int],
    hidden_sizes: Sequence[Sequence[int]],
    initialization: Initialization = glorot,
) -> Model:
    """N(0, I) on top, diagonal Gaussians below, the data at the end (Burda et al. 2015, Eq. 4).

    p(z) = N(z_L; 0, I) prod_l N(z_l; loc_l(z_{l+1}), diag(scale_l(z_{l+1})^2)).

    Args:
        likelihood: of the data given the output of the network of z_1.
        latent_sizes: of the layers, z_1 (nearest the data) first: (100, 50) in the paper.
        hidden_sizes: widths of the tanh layers between x and z_1, between z_1 and z_2, ..., as many
            as there are layers, each from the data upward: ((200, 200), (100, 100)).
        initialization: of the linear layers.

    Raises:
        InputError: for layers without sizes, or not as many hidden as latent ones.
    """
    return _model(GAUSSIAN, likelihood, latent_sizes, hidden_sizes, initialization)


def deep_gaussian_recognition(
    data_mean: Float[np.ndarray, " X"],
    *,
    latent_sizes: Sequence[int],
    hidden_sizes: Sequence[Sequence[int]],
    initialization: Initialization = glorot,
) -> Recognition:
    """r(z | x) = prod_l N(z_l; loc_l(z_{l-1}), diag(scale_l(z_{l-1})^2)), z_0 = x - data_mean.

    Arguments as in `deep_gaussian_model`; the tanh layers are passed in the order given.
    """
    return _recognition(GAUSSIAN, data_mean, latent_sizes, hidden_sizes, initialization)


def sigmoid_belief_network(
    likelihood: Likelihood,
    *,
    latent_sizes: Sequence[int],
    hidden_sizes: Sequence[Sequence[int]] | None = None,
    initialization: Initialization = glorot,
) -> Model:
    """Binary layers, each independent bits given the one above (Mnih & Gregor 2014).

    p(z) = Bernoulli(z_L; logits b) prod_l Bernoulli(z_l; logits_l(z_{l+1})).

    Args:
        likelihood: of the data given the output of the network of z_1.
        latent_sizes: of the layers, z_1 (nearest the data) first: (200, 200, 200), say.
        hidden_sizes: widths of deterministic tanh layers, as in `deep_gaussian_model`; by default
            none, and the logits are linear in the layer above.
        initialization: of the linear layers.

    Raises:
        InputError: for layers without sizes, or not as many hidden as latent ones.
    """
    hidden_sizes = [()] * len(latent_sizes) if hidden_sizes is None else hidden_sizes
    return _model(BINARY, likelihood, latent_sizes, hidden_sizes, initialization)


def sigmoid_belief_recognition(
    data_mean: Float[np.ndarray, " X"],
    *,
    latent_sizes: Sequence[int],
    hidden_sizes: Sequence[Sequence[int]] | None = None,
    initialization: Initialization = glorot,
) -> Recognition:
    """r(z | x) = prod_l Bernoulli(z_l; logits_l(z_{l-1})), z_0 = x - data_mean: the mirror image.

    Arguments as in `sigmoid_belief_network`.
    """
    hidden_sizes = [()] * len(latent_sizes) if hidden_sizes is None else hidden_sizes
    return _recognition(BINARY, data_mean, latent_sizes, hidden_sizes, initialization)


def _conditional(
    layer: Layer,
    given_size: int,
    widths: Sequence[int],
    size: int,
    initialization: Initialization,
) -> tuple[Callable[[Key[Array, ""]], PyTree], Callable[[PyTree, Array], Distribution]]:
    """(init, law) of one layer: key -> parameters, and (parameters, layer before) -> its law."""

    def build(rngs: nnx.Rngs) -> nnx.Module:
        return layer.network(given_size, widths, size, initialization=initialization, rngs=rngs)

    init, bind = pure(build)
    return init, lambda params, given: layer.law(bind(params)(given))


def _conditionals(
    layer: Layer,
    sizes: Sequence[int],
    hidden_sizes: Sequence[Sequence[int]],
    initialization: Initialization,
) -> tuple[Callable[[Key[Array, ""]], list[PyTree]], Callable[[list[PyTree]], list[Partial]]]:
    """(init, bind) of the layers that lead from each size to the next.

    bind gives functions of the layer drawn before, whose parameters are leaves.
    """
    parts = [
        _conditional(layer, given_size, widths, size, initialization)
        for (given_size, size), widths in zip(itertools.pairwise(sizes), hidden_sizes, strict=True)
    ]

    def init_all(key: Key[Array, ""]) -> list[PyTree]:
        return [init(jax.random.fold_in(key, place)) for place, (init, _) in enumerate(parts)]

    def bind_all(params: list[PyTree]) -> list[Partial]:
        return [Partial(law, own) for (_, law), own in zip(parts, params, strict=True)]

    return init_all, bind_all


def _check(latent_sizes: Sequence[int], hidden_sizes: Sequence[Sequence[int]]) -> None:
    if not latent_sizes or min(latent_sizes) < 1:
        raise InputError(
            f"latent_sizes is {tuple(latent_sizes)}: give a positive size for each layer"
        )
    of_each = all(isinstance(widths, Sequence) for widths in hidden_sizes)
    if not of_each or len(hidden_sizes) != len(latent_sizes):
        raise InputError(
            f"hidden_sizes is {tuple(hidden_sizes)}: give a tuple of widths for each of the "
            f"{len(latent_sizes)} latent layers, as ((200, 200), (100, 100)) for two"
        )
    if min(itertools.chain.from_iterable(hidden_sizes), default=1) < 1:
        raise InputError(f"hidden_sizes is {tuple(hidden_sizes)}: give positive widths")


def _model(
    layer: Layer,
    likelihood: Likelihood,
    latent_sizes: Sequence[int],
    hidden_sizes: Sequence[Sequence[int]],
    initialization: Initialization,
) -> Model:
    _check(latent_sizes, hidden_sizes)
    downward = [tuple(reversed(widths)) for widths in hidden_sizes]
    init_conditionals, bind = _conditionals(
        layer, latent_sizes[::-1], downward[:0:-1], initialization
    )
    top_size = latent_sizes[-1]

    def law(params: PyTree) -> Distribution:
        top = layer.top(params["top"], top_size)
        return Layers(top, tuple(bind(params["conditionals"])), top_down=True)

    def init(key: Key[Array, ""]) -> PyTree:
        return {"top": layer.init_top(top_size), "conditionals": init_conditionals(key)}

    return latent_variable_model(
        likelihood,
        Prior(init, law),
        dense_decoder(
            likelihood.output_bias,
            latent_size=latent_sizes[0],
            hidden_sizes=downward[0],
            initialization=initialization,
            nearest=lambda z: z[0],
        ),
    )


def _recognition(
    layer: Layer,
    data_mean: Float[np.ndarray, " X"],
    latent_sizes: Sequence[int],
    hidden_sizes: Sequence[Sequence[int]],
    initialization: Initialization,
) -> Recognition:
    _check(latent_sizes, hidden_sizes)
    offset = jnp.asarray(data_mean, jnp.float32)
    sizes = [offset.shape[0], *latent_sizes]
    init, bind = _conditionals(layer, sizes, hidden_sizes, initialization)

    def distribution(eta: PyTree, x: Float[Array, " X"]) -> Distribution:
        first, *others = bind(eta)
        return Layers(first(x - offset), tuple(others))

    return Recognition(init=init, distribution=distribution)
