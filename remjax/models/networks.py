"""The library's own networks: Flax NNX modules, turned into pure functions once, at the edge.

The methods know nothing of Flax: they take the pure functions of a Model and a Recognition,
which may as well come from Equinox, Linen or by hand.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, Key, PyTree

from remjax import statistics
from remjax.errors import InputError
from remjax.models.initializations import Initialization, glorot

M = TypeVar("M", bound=nnx.Module)

# exp(+-14) is a variance of 1e6 or 1e-6: beyond, float32 weights only overflow or underflow.
_LOG_VARIANCE_LIMIT = 14.0


@runtime_checkable
class Normalization(Protocol):
    """What stands between a linear layer and its nonlinearity."""

    def __call__(self, features: int, *, rngs: nnx.Rngs) -> nnx.Module:
        """Make it, for a layer of so many units."""
        ...


def batch_normalization(momentum: float = 0.99, epsilon: float = 1e-2) -> Normalization:
    """Batch normalisation (Ioffe & Szegedy 2015), with the settings of the discrete VAEs.

    Args:
        momentum: of the running averages, which serve outside of training.
        epsilon: added to the variance.
    """

    def make(features: int, *, rngs: nnx.Rngs) -> nnx.Module:
        return nnx.BatchNorm(features, momentum=momentum, epsilon=epsilon, rngs=rngs)

    return make


class TanhLayers(nnx.Module):
    """Dense tanh layers, normalised before the tanh if wanted; without any the identity."""

    def __init__(
        self,
        in_features: int,
        hidden_sizes: Sequence[int],
        *,
        initialization: Initialization = glorot,
        normalization: Normalization | None = None,
        rngs: nnx.Rngs,
    ) -> None:
        sizes = [in_features, *hidden_sizes]
        self.hidden = nnx.List(
            [initialization(m, n, rngs=rngs) for m, n in itertools.pairwise(sizes)]
        )
        made = [] if normalization is None else [normalization(n, rngs=rngs) for n in hidden_sizes]
        self.normalized = nnx.List(made)

    def __call__(self, x: Float[Array, "*batch X"]) -> Float[Array, "*batch Y"]:
        """The output of the last layer."""
        for layer, normalize in itertools.zip_longest(self.hidden, self.normalized):
            x = layer(x)
            x = jnp.tanh(x if normalize is None else normalize(x))
        return x


class MLP(TanhLayers):
    """Dense tanh layers and a linear head of `out_features`."""

    def __init__(
        self,
        in_features: int,
        hidden_sizes: Sequence[int],
        out_features: int,
        *,
        initialization: Initialization = glorot,
        normalization: Normalization | None = None,
        rngs: nnx.Rngs,
    ) -> None:
        super().__init__(
            in_features,
            hidden_sizes,
            initialization=initialization,
            normalization=normalization,
            rngs=rngs,
        )
        self.head = initialization([in_features, *hidden_sizes][-1], out_features, rngs=rngs)

    def __call__(self, x: Float[Array, "*batch X"]) -> Float[Array, "*batch Y"]:
        """The output of the head; no nonlinearity on it."""
        return self.head(super().__call__(x))


class GaussianEncoder(nnx.Module):
    """x -> (loc, scale) of a diagonal Gaussian: tanh layers, heads for mean and log-variance.

    The initialisation of the two heads is independent (unlike the IWAE release, where they
    coincide); the log-variance is limited to +-14 so that scales stay within float32's reach.
    """

    def __init__(
        self,
        in_features: int,
        hidden_sizes: Sequence[int],
        latent_size: int,
        *,
        initialization: Initialization = glorot,
        rngs: nnx.Rngs,
    ) -> None:
        self.mlp = MLP(
            in_features, hidden_sizes, 2 * latent_size, initialization=initialization, rngs=rngs
        )

    def __call__(self, x: Float[Array, "*batch X"]) -> tuple[Array, Array]:
        """(loc, scale), both [*batch, D]."""
        return loc_and_scale(self.mlp(x))


def loc_and_scale(heads: Float[Array, "*batch H"]) -> tuple[Array, Array]:
    """The two halves of a head, mean and log-variance, as (loc, scale), both [*batch, H / 2].

    The log-variance is limited to +-14.
    """
    loc, log_variance = jnp.split(heads, 2, axis=-1)
    log_variance = jnp.clip(log_variance, -_LOG_VARIANCE_LIMIT, _LOG_VARIANCE_LIMIT)
    return loc, jnp.exp(0.5 * log_variance)


def pure(
    build: Callable[[nnx.Rngs], M],
) -> tuple[Callable[[Key[Array, ""]], PyTree], Callable[[PyTree], M]]:
    """Turn a module into pure functions of its parameters.

    Batch normalisation has statistics beside its parameters: in training the network normalises by
    the batch, the gradient passes through its mean and variance, and the running averages are
    reported to the training step (`remjax.statistics`). Elsewhere it normalises by the running
    averages, which carry no gradient. `nnx.BatchNorm` knows which by `use_running_average` and
    `axis_name`, whatever they were.

    Args:
        build: rngs -> the module.

    Returns:
        (init, bind): init(key) gives the parameters and statistics, a plain dictionary of arrays;
        bind(params) gives the module with these in place, to be called within the same function,
        and the same vmap.

    Raises:
        InputError: for a module with any other state, such as that of dropout.
    """
    shapes = nnx.eval_shape(lambda: build(nnx.Rngs(0)))
    _check_state(shapes)
    graph, state = nnx.split(shapes)
    has_statistics = bool(_batch_statistics(shapes))

    def init(key: Key[Array, ""]) -> PyTree:
        return nnx.to_pure_dict(nnx.state(build(nnx.Rngs(key))))

    def filled(params: PyTree) -> M:
        own = jax.tree.map(lambda leaf: leaf, state)
        nnx.replace_by_pure_dict(own, params)
        return nnx.merge(graph, own)

    def with_statistics(params: PyTree) -> M:
        module = filled(params)
        axes, given = statistics.batch_axes(), []
        for variable in _batch_statistics(module):
            given.append(variable[...])
            variable[...] = lax.stop_gradient(variable[...])
        module.set_attributes(
            nnx.BatchNorm,
            use_running_average=not axes,
            axis_name=axes or None,
            raise_if_not_found=False,
        )
        if axes:
            statistics.report(given, lambda: [own[...] for own in _batch_statistics(module)])
        return module

    return init, with_statistics if has_statistics else filled


def _batch_statistics(module: nnx.Module) -> list[Any]:
    """The variables that hold them, always in the same order."""
    return [variable for _, variable in nnx.to_flat_state(nnx.state(module, nnx.BatchStat))]


def _check_state(module: nnx.Module) -> None:
    for path, leaf in nnx.to_flat_state(nnx.state(module)):
        if not isinstance(leaf, nnx.Param | nnx.BatchStat):
            kind = type(leaf).__name__ if isinstance(leaf, nnx.Variable) else "an array"
            raise InputError(
                f"the network holds {kind} at {'/'.join(map(str, path))}: networks here are "
                "functions of parameters (nnx.Param) and batch statistics (nnx.BatchStat); leave "
                "out nnx.Dropout and other state"
            )
