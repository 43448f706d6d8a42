"""Baselines: networks of x that guess the learning signals of score-function estimators."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Key, PyTree

from remjax.models.networks import MLP, pure


class Baseline(NamedTuple):
    """A guess, from ONE x, of each learning signal; pure functions with parameters of their own.

    Attributes:
        init: key -> the parameters.
        value: (parameters, x) -> the guesses [L], nats.
    """

    init: Callable[[Key[Array, ""]], PyTree]
    value: Callable[[PyTree, Float[Array, " X"]], Float[Array, " L"]]


def tanh_baseline(
    data_size: int,
    num_signals: int,
    *,
    hidden_size: int = 100,
    data_mean: Float[np.ndarray, " X"] | float = 0.0,
) -> Baseline:
    """One tanh layer, and a linear head for each signal (Mnih & Gregor 2014).

    Args:
        data_size: X.
        num_signals: L, one per stochastic layer where the signals are local, else 1.
        hidden_size: units of the tanh layer.
        data_mean: subtracted from x.
    """

    def build(rngs: nnx.Rngs) -> MLP:
        return MLP(data_size, (hidden_size,), num_signals, rngs=rngs)

    init, bind = pure(build)
    return Baseline(init, lambda params, x: bind(params)(x - data_mean))


def no_baseline(data_size: int, num_signals: int) -> Baseline:
    """Nothing to learn: it guesses zero."""
    del data_size
    return Baseline(lambda _: (), lambda _, x: jnp.zeros(num_signals, x.dtype))
