"""A weight that goes linearly from one value to another over the first updates."""

import dataclasses
import math

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from remjax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Ramp:
    """first + (last - first) min(updates / num_updates, 1), and the count of updates.

    Attributes:
        first: the weight in the first update.
        last: the weight after `num_updates`, and from there on.
        num_updates: of the way, at least 1.

    Raises:
        InputError: for fewer than one update, or a weight that is negative or not finite.
    """

    first: float
    last: float
    num_updates: int

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.num_updates < 1:
            raise InputError(f"num_updates is {self.num_updates}: give 1 or more")
        for name in ("first", "last"):
            weight = getattr(self, name)
            if not (math.isfinite(weight) and weight >= 0.0):
                raise InputError(f"{name} is {weight}: give a finite weight, 0 or more")

    @property
    def start(self) -> Int[Array, ""]:
        """The count before the first update."""
        return jnp.zeros((), jnp.int32)

    def weight(self, updates: Int[Array, ""]) -> Float[Array, ""]:
        """The weight after so many updates."""
        done = jnp.minimum(updates / self.num_updates, 1.0)
        return self.first + (self.last - self.first) * done

    def after(self, updates: Int[Array, ""]) -> Int[Array, ""]:
        """The count after one more; beyond the end there is nothing to count."""
        return jnp.minimum(updates + 1, self.num_updates)

    def __str__(self) -> str:
        """As the tables have it."""
        return f"from {self.first:g} to {self.last:g} over {self.num_updates:,} updates"
