"""Corruptions of data: q(zbar | x), which adds noise to each unit of ONE datapoint by itself.

A denoising model learns to undo one (`methods.denoising`). Where a corruption replaces units, zbar
has a mass function and is not differentiable in the strength; Gaussian noise has a density and is.
"""

import abc
import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key, Shaped

from remjax.distributions.likelihoods import gaussian_log_likelihood
from remjax.errors import InputError

# One number for all units, or an array of them that broadcasts to x.
Strength = Float[Array, "..."] | Float[np.ndarray, "..."] | float | int
# What a unit is replaced by: (probability, value).
Replacements = Sequence[tuple[float, Float[Array, "..."] | float]]


class Corruption(abc.ABC):
    """q(zbar | x) of ONE x (vmap gives many), independent over its units.

    Subclasses are pytrees of their strength, so that a compiled function takes any. A strength that
    is a number or a NumPy array is checked; one that JAX computed is taken as it is.
    """

    @property
    def is_discrete(self) -> bool:
        """Whether zbar has a mass function, and its draws no gradient."""
        return True

    @property
    def of_unit_interval(self) -> bool:
        """Whether it is for data within [0, 1], bits above all."""
        return False

    @property
    @abc.abstractmethod
    def parameter(self) -> Float[Array, "..."]:
        """The strength on an unbounded scale: what the eta of a learned corruption is."""

    @abc.abstractmethod
    def at(self, parameter: Float[Array, "..."]) -> "Corruption":
        """The corruption of this kind with another parameter, whose gradient it carries."""

    @abc.abstractmethod
    def sample(self, key: Key[Array, ""], x: Shaped[Array, "..."]) -> Float[Array, "..."]:
        """A draw of zbar, of the shape of x and made of floats, without any gradient."""

    def rsample(self, key: Key[Array, ""], x: Shaped[Array, "..."]) -> Float[Array, "..."]:
        """The draw that `sample` gives for this key, with the gradients of strength and x.

        Raises:
            InputError: for a mass function, whose draws have none.
        """
        del key, x
        raise InputError(
            f"{type(self).__name__} has no reparameterised draw, for it replaces units: use its "
            "log_prob, or GaussianNoise"
        )

    @abc.abstractmethod
    def log_prob(self, zbar: Shaped[Array, "..."], x: Shaped[Array, "..."]) -> Float[Array, ""]:
        """log q(zbar | x), nats, summed over the units.

        Gradients reach the strength; -inf, without a gradient, for a zbar that is impossible.

        Raises:
            InputError: for shapes that differ: they are never broadcast.
        """


@dataclasses.dataclass(frozen=True)
class _Replacement(Corruption):
    """Each unit stays with probability 1 - rate, and is replaced by a draw of a few values."""

    rate: Strength

    def __post_init__(self) -> None:
        """Check the rate."""
        refused = _refused(self.rate, lambda rate: (rate >= 0.0) & (rate <= 1.0))
        if refused is not None:
            raise InputError(f"rate is {refused:g}: give the probability of a unit, from 0 to 1")

    @property
    def parameter(self) -> Float[Array, "..."]:
        """The log odds of the rate."""
        return jax.scipy.special.logit(jnp.asarray(self.rate, float))

    def at(self, parameter: Float[Array, "..."]) -> "Corruption":
        """The rate sigmoid(parameter)."""
        return dataclasses.replace(self, rate=jax.nn.sigmoid(parameter))

    @abc.abstractmethod
    def replacements(self, x: Float[Array, "..."]) -> Replacements:
        """By what a unit of x is replaced."""

    def sample(self, key: Key[Array, ""], x: Shaped[Array, "..."]) -> Float[Array, "..."]:
        """A draw of zbar, of the shape of x and made of floats, without any gradient."""
        x = lax.stop_gradient(_as_floats(x))
        uniform, rate = jax.random.uniform(key, x.shape, x.dtype), lax.stop_gradient(self.rate)
        zbar, threshold = x, 0.0
        # One uniform number says both whether a unit is replaced and by what.
        for probability, value in self.replacements(x):
            chosen = (uniform >= threshold * rate) & (uniform < (threshold + probability) * rate)
            zbar, threshold = jnp.where(chosen, value, zbar), threshold + probability
        return zbar

    def log_prob(self, zbar: Shaped[Array, "..."], x: Shaped[Array, "..."]) -> Float[Array, ""]:
        """sum_i log((1 - rate) [zbar_i = x_i] + rate P(replaced by zbar_i)), nats."""
        _check_shapes(zbar, x)
        x = _as_floats(x)
        mass = (1.0 - self.rate) * (zbar == x)
        for probability, value in self.replacements(x):
            mass = mass + probability * self.rate * (zbar == value)
        possible = mass > 0.0
        return jnp.sum(jnp.where(possible, jnp.log(jnp.where(possible, mass, 1.0)), -jnp.inf))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SaltAndPepper(_Replacement):
    """Each unit becomes a fair bit with probability `rate`, which may leave it as it was.

    q(zbar_i | x_i) = (1 - rate) [zbar_i = x_i] + rate / 2 [zbar_i in {0, 1}], for x in [0, 1].

    Raises:
        InputError: for a rate outside of [0, 1].
    """

    @property
    def of_unit_interval(self) -> bool:
        """They are black and white grains."""
        return True

    def replacements(self, x: Float[Array, "..."]) -> Replacements:
        """Zero and one."""
        del x
        return ((0.5, 0.0), (0.5, 1.0))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Masking(_Replacement):
    """Each unit becomes 0 with probability `rate`, for data of any values.

    q(zbar_i | x_i) = (1 - rate) [zbar_i = x_i] + rate [zbar_i = 0] (Vincent et al. 2008).

    Raises:
        InputError: for a rate outside of [0, 1].
    """

    def replacements(self, x: Float[Array, "..."]) -> Replacements:
        """Zero."""
        del x
        return ((1.0, 0.0),)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Flips(_Replacement):
    """Each bit is flipped with probability `rate`; a grey value x_i becomes 1 - x_i.

    q(zbar_i | x_i) = (1 - rate) [zbar_i = x_i] + rate [zbar_i = 1 - x_i], for x in [0, 1].

    Raises:
        InputError: for a rate outside of [0, 1].
    """

    @property
    def of_unit_interval(self) -> bool:
        """A flip is a reflection of it."""
        return True

    def replacements(self, x: Float[Array, "..."]) -> Replacements:
        """The other bit."""
        return ((1.0, 1.0 - x),)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class GaussianNoise(Corruption):
    """zbar = x + scale * noise, N(x, scale^2) for each unit; in the units of the data.

    Raises:
        InputError: for a scale that is not positive.
    """

    scale: Strength

    def __post_init__(self) -> None:
        """Check the scale."""
        refused = _refused(self.scale, lambda scale: (scale > 0.0) & np.isfinite(scale))
        if refused is not None:
            raise InputError(f"scale is {refused:g}: give a standard deviation above 0")

    @property
    def is_discrete(self) -> bool:
        """It has a density."""
        return False

    @property
    def parameter(self) -> Float[Array, "..."]:
        """The log of the scale."""
        return jnp.log(jnp.asarray(self.scale, float))

    def at(self, parameter: Float[Array, "..."]) -> "GaussianNoise":
        """The scale exp(parameter)."""
        return GaussianNoise(jnp.exp(parameter))

    def sample(self, key: Key[Array, ""], x: Shaped[Array, "..."]) -> Float[Array, "..."]:
        """A draw of zbar, of the shape of x and made of floats, without any gradient."""
        return lax.stop_gradient(self.rsample(key, x))

    def rsample(self, key: Key[Array, ""], x: Shaped[Array, "..."]) -> Float[Array, "..."]:
        """`x + scale * noise`. Gradients reach the scale and x."""
        x = _as_floats(x)
        return x + self.scale * jax.random.normal(key, x.shape, x.dtype)

    def log_prob(self, zbar: Shaped[Array, "..."], x: Shaped[Array, "..."]) -> Float[Array, ""]:
        """log N(zbar; x, scale^2), nats, summed over the units. Gradients reach all three."""
        _check_shapes(zbar, x)
        log_scale = jnp.broadcast_to(jnp.log(jnp.asarray(self.scale, float)), x.shape)
        return gaussian_log_likelihood(_as_floats(x).ravel(), log_scale.ravel(), zbar.ravel())


def _refused(strength: object, allowed: Callable[[np.ndarray], np.ndarray]) -> float | None:
    """The first number that a user gave and that is not allowed.

    What JAX computed may be traced, or the gradient of a strength, which has no bounds.
    """
    if not isinstance(strength, int | float | np.ndarray | np.generic):
        return None
    numbers = np.ravel(strength)
    offending = ~allowed(numbers)
    return float(numbers[np.argmax(offending)]) if offending.any() else None


def _check_shapes(zbar: Shaped[Array, "..."], x: Shaped[Array, "..."]) -> None:
    if zbar.shape != x.shape:
        raise InputError(
            f"zbar has the shape {zbar.shape} and x {x.shape}: give ONE of each, of the same "
            "shape, and map over others by jax.vmap"
        )


def _as_floats(x: Shaped[Array, "..."]) -> Float[Array, "..."]:
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(float)
