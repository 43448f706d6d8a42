"""Baselines: networks of x that guess the learning signals of score-function methods."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from remjax.types import Datapoint


class Baseline(NamedTuple):
    """A guess, from ONE x, of each learning signal; pure functions with parameters of their own.

    Attributes:
        init: key -> the parameters.
        value: (parameters, x) -> the guesses [L], nats.
    """

    init: Callable[[Key[Array, ""]], PyTree]
    value: Callable[[PyTree, Datapoint], Float[Array, " L"]]


# (X, the number of signals L) -> the network.
BaselineOf = Callable[[int, int], Baseline]


def tanh_baseline(
    data_size: int,
    num_signals: int,
    *,
    hidden_size: int = 100,
    data_mean: Float[np.ndarray, " X"] | float = 0.0,
    data_scale: Float[np.ndarray, " X"] | float = 1.0,
) -> Baseline:
    """One tanh layer, and a linear head for each signal (Mnih & Gregor 2014).

    value(x) = W_2 tanh(W_1 (x - data_mean) / data_scale + b_1) + b_2, the weights uniform with
    variance 2 / (fan_in + fan_out) at the start, the biases zero (Glorot & Bengio 2010).

    Args:
        data_size: X.
        num_signals: L, one per stochastic layer where the signals are local, else 1.
        hidden_size: units of the tanh layer.
        data_mean: subtracted from x; a missing entry (NaN) enters as zero.
        data_scale: what the centred x is divided by; where it is zero, by one.
    """
    unit = np.where(np.equal(data_scale, 0.0), 1.0, data_scale).astype(np.float32)
    sizes = {"hidden": (data_size, hidden_size), "head": (hidden_size, num_signals)}

    def init(key: Key[Array, ""]) -> PyTree:
        params = {}
        for name, key_layer in zip(sizes, jax.random.split(key), strict=True):
            kernel = jax.nn.initializers.glorot_uniform()(key_layer, sizes[name])
            params[name] = {"kernel": kernel, "bias": jnp.zeros(sizes[name][1])}
        return params

    def value(params: PyTree, x: Datapoint) -> Float[Array, " L"]:
        hidden, head = params["hidden"], params["head"]
        observed, offset = ~jnp.isnan(x), jnp.asarray(data_mean, jnp.result_type(float))
        distance = (jnp.where(observed, x, 0) - offset) / unit
        centred = jnp.ravel(jnp.where(observed, distance, 0.0))
        return jnp.tanh(centred @ hidden["kernel"] + hidden["bias"]) @ head["kernel"] + head["bias"]

    return Baseline(init, value)


def no_baseline(data_size: int, num_signals: int) -> Baseline:
    """Nothing to learn: it guesses zero."""
    del data_size
    return Baseline(lambda _: (), lambda _, x: jnp.zeros(num_signals))
