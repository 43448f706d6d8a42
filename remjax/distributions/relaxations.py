"""Relaxations: numbers in [0, 1] in the place of independent bits, with a gradient in the log odds.

A relaxation makes a number zeta of the very uniform number that a bit is made of, so that both can
be had of one draw: the bit of `Bernoulli.sample` is 1 where uniform < q, q = sigmoid(logits). All
values and gradients are finite for all log odds, however large, and all uniform numbers of [0, 1).
Those that mix a density for each bit are in `smoothings`.
"""

import abc
import dataclasses
import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from remjax.errors import InputError

# The smallest number whose density is asked for: the slope of its logarithm is still a float.
_SMALLEST = 1e-30


class Relaxation(abc.ABC):
    """How a uniform number and the log odds of a bit become a number of [0, 1]; a frozen value."""

    @abc.abstractmethod
    def relax(
        self, uniform: Float[Array, "*shape"], logits: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        """zeta, elementwise: the larger, the smaller the uniform number and the larger the logits.

        Args:
            uniform: numbers of [0, 1), the very ones that `Bernoulli.sample` compares with q.
            logits: log odds of ones.

        Returns:
            Numbers in [0, 1], with the gradient of the logits and none of the uniform numbers.
        """


class Smooth(Relaxation):
    """A relaxation whose numbers have a density on (0, 1)."""

    @abc.abstractmethod
    def log_density(
        self, zeta: Float[Array, "*shape"], logits: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        """log q(zeta) of `relax`, elementwise, nats. Gradients reach both arguments.

        Args:
            zeta: numbers in [0, 1]. The ends, to which float32 rounds what lies close to them,
                stand for the last numbers before them and have no gradient.
            logits: log odds of ones.
        """


@dataclasses.dataclass(frozen=True)
class PiecewiseLinear(Relaxation):
    """clip(1/2 + slope (q - u), 0, 1) (Andriyash, Vahdat & Macready 2018).

    The slope is beta / 4 / (q (1 - q) + 0.01). zeta is 1/2 or more where the bit is 1, and
    1/2 or less where it is 0. E[zeta] is exactly q, and has the gradient of q, wherever the ramp
    lies within [0, 1]: where q and 1 - q are at least 1 / (2 slope), which for beta 3 or more is so
    of all q between 0.02 and 0.98.

    Attributes:
        beta: steepness, above 0: the larger, the nearer to bits.
        stop_slope: let no gradient through the slope, as the method was first described. It leaves
            the gradient of E[zeta] as it is, wherever the ramp lies within [0, 1].
    """

    beta: float = 4.0
    stop_slope: bool = False

    def __post_init__(self) -> None:
        """Refuse a beta that is not positive."""
        check_positive("beta", self.beta)

    def relax(
        self, uniform: Float[Array, "*shape"], logits: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        """As `Relaxation.relax`."""
        q = jax.nn.sigmoid(logits)
        slope = 0.25 * self.beta / (q * jax.nn.sigmoid(-logits) + 0.01)
        slope = lax.stop_gradient(slope) if self.stop_slope else slope
        return jnp.clip(0.5 + slope * (q - lax.stop_gradient(uniform)), 0.0, 1.0)

    def __str__(self) -> str:
        """As a formula."""
        held = ", slope held" if self.stop_slope else ""
        return f"piece-wise linear(beta {self.beta:g}{held})"


@dataclasses.dataclass(frozen=True)
class Concrete(Smooth):
    """sigmoid(beta (logits + logit(1 - u))), the binary Concrete (Maddison et al. 2017; Gumbel).

    zeta > 1/2 where the bit is 1, and only there. E[zeta] is 1/2 at log odds 0, and has no closed
    form elsewhere.

    Attributes:
        inverse_temperature: beta, above 0: the larger, the nearer to bits.
    """

    inverse_temperature: float = 10.0

    def __post_init__(self) -> None:
        """Refuse an inverse temperature that is not positive."""
        check_positive("inverse_temperature", self.inverse_temperature)

    def relax(
        self, uniform: Float[Array, "*shape"], logits: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        """As `Relaxation.relax`."""
        uniform = above_zero(uniform)
        logistic = jnp.log1p(-uniform) - jnp.log(uniform)
        return jax.nn.sigmoid(self.inverse_temperature * (logits + logistic))

    def log_density(
        self, zeta: Float[Array, "*shape"], logits: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        """As `Smooth.log_density`."""
        log_zeta, log_rest = logs_inside(zeta)
        logistic = (log_zeta - log_rest) / self.inverse_temperature - logits
        log_slope = math.log(self.inverse_temperature) + log_zeta + log_rest
        return jax.nn.log_sigmoid(logistic) + jax.nn.log_sigmoid(-logistic) - log_slope

    def __str__(self) -> str:
        """As a formula."""
        return f"Concrete(inverse temperature {self.inverse_temperature:g})"


@dataclasses.dataclass(frozen=True)
class StraightThrough(Relaxation):
    """The bit itself, with the gradient of its mean q (Bengio, Leonard & Courville 2013).

    E[zeta] is q and has the gradient of q; a function that is not linear in a bit does not have the
    gradient of its expectation.
    """

    def relax(
        self, uniform: Float[Array, "*shape"], logits: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        """As `Relaxation.relax`."""
        q = jax.nn.sigmoid(logits)
        bit = lax.stop_gradient(uniform < q).astype(q.dtype)
        return bit + (q - lax.stop_gradient(q))

    def __str__(self) -> str:
        """Its name."""
        return "straight-through"


def check_positive(name: str, value: float) -> None:
    """Raise InputError for a number that is not finite and above 0."""
    if not (math.isfinite(value) and value > 0.0):
        raise InputError(f"{name} is {value}: give a finite number above 0")


def above_zero(uniform: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The uniform numbers without gradient, 0 being the smallest float: below every q that is one.

    So its logarithm is finite, and whoever has the bit 1 at 0 keeps it.
    """
    return jnp.maximum(lax.stop_gradient(uniform), jnp.finfo(uniform.dtype).tiny)


def logs_inside(
    zeta: Float[Array, "*shape"],
) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """log zeta and log(1 - zeta) of zeta moved to the inside of (0, 1)."""
    inside = jnp.clip(zeta, _SMALLEST, 1.0 - jnp.finfo(zeta.dtype).epsneg)
    return jnp.log(inside), jnp.log1p(-inside)
