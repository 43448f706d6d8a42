"""How much a particle counts in a sum over particles: frozen values without gradient."""

import abc
import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from remjax.errors import InputError
from remjax.particles.posterior import Particle, Posterior

Scalar = Float[Array, ""]
# A weight that is traced, or a NumPy number: whether it vanishes at 0 is asked without JAX.
Number = Scalar | np.floating


class Weight(abc.ABC):
    """How much a particle counts in a sum; a frozen value without gradient."""

    @property
    def keeps(self) -> bool:
        """As `sums.Objective.keeps`."""
        return False

    @property
    def fewest(self) -> int:
        """As `sums.Objective.fewest`."""
        return 1

    @property
    def powers(self) -> tuple[float, ...]:
        """As `sums.Objective.powers`."""
        return ()

    @property
    def is_share(self) -> bool:
        """Whether a factor common to all w_k leaves it as it is."""
        return False

    @property
    def has_fixed_sum(self) -> bool:
        """Whether its sum over the particles is the same for all draws."""
        return False

    @abc.abstractmethod
    def __call__(self, posterior: Posterior, particle: Particle) -> Scalar:
        """The weight of one particle among all of them."""


def formula(function: Callable[..., Any]) -> str:
    """The first line of a function's docstring, which is its formula; else its name."""
    return (function.__doc__ or function.__name__).splitlines()[0].rstrip(".")


@dataclasses.dataclass(frozen=True)
class Uniform(Weight):
    """1/K."""

    @property
    def is_share(self) -> bool:
        """It is."""
        return True

    @property
    def has_fixed_sum(self) -> bool:
        """One."""
        return True

    def __call__(self, _posterior: Posterior, particle: Particle) -> Scalar:
        """1/K."""
        return jnp.asarray(1.0 / particle.num_particles)

    def __str__(self) -> str:
        """As a formula."""
        return "1/K"


def identity(weight: Number) -> Number:
    """w."""
    return weight


@dataclasses.dataclass(frozen=True)
class Normalized(Weight):
    """The self-normalised weight w_k, or a function of it that vanishes where it does.

    Attributes:
        function: of the weight; its docstring is its formula.
    """

    function: Callable[[Number], Number] = identity

    @property
    def keeps(self) -> bool:
        """They do where whoever has no weight adds nothing: function(0) is 0."""
        return bool(self.function(np.float32(0.0)) == 0.0)

    @property
    def is_share(self) -> bool:
        """It is."""
        return True

    @property
    def has_fixed_sum(self) -> bool:
        """One for the weights themselves; not known of functions of them."""
        return self.function is identity

    def __call__(self, _posterior: Posterior, particle: Particle) -> Scalar:
        """function(w_k)."""
        return jnp.asarray(self.function(particle.weight))

    def __str__(self) -> str:
        """As a formula."""
        return formula(self.function)


@dataclasses.dataclass(frozen=True)
class Tempered(Weight):
    """w_k^power, normalised: power 1 are the weights, power 0 is 1/K.

    Attributes:
        power: any finite number.
    """

    power: float

    def __post_init__(self) -> None:
        """Refuse a power that is not finite."""
        if not math.isfinite(self.power):
            raise InputError(f"power is {self.power}: give a finite number")

    @property
    def powers(self) -> tuple[float, ...]:
        """The one power."""
        return (self.power,)

    @property
    def is_share(self) -> bool:
        """It is."""
        return True

    @property
    def has_fixed_sum(self) -> bool:
        """One."""
        return True

    def __call__(self, posterior: Posterior, particle: Particle) -> Scalar:
        """The weight so tempered."""
        return posterior.tempered(particle, self.power)

    def __str__(self) -> str:
        """As a formula."""
        return f"w^{self.power:g}"
