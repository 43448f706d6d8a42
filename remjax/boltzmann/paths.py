"""The way from a distribution that is known to a machine: what log Z is measured along.

The base has independent units and a known log Z. At the inverse temperature b the units have the
energy (1 - b) E_base + b E: p_0 is the base and p_1 the machine.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key, Shaped

from remjax.boltzmann.machine import Machine, check_count, check_width
from remjax.boltzmann.machine_checks import check_machine
from remjax.boltzmann.mean_field import mean_field
from remjax.boltzmann.pytrees import frozen_pytree
from remjax.boltzmann.rbm import RBM, checked_mean
from remjax.data.checks import is_concrete
from remjax.errors import InputError

U = TypeVar("U")
Fields = Sequence[Float[Array, " _"]]
InverseTemperature = Float[Array, "..."] | float


@frozen_pytree
@dataclasses.dataclass(frozen=True)
class Path(Generic[U]):
    """From independent units to a machine.

    Attributes:
        machine: at the inverse temperature 1.
        base: the field of each block at the inverse temperature 0, whatever the others are.
    """

    machine: Machine[U]
    base: Fields

    @property
    def log_z_of_base(self) -> Float[Array, ""]:
        """log Z at the inverse temperature 0, nats."""
        pairs = zip(self.machine.families, self.base, strict=True)
        return sum(
            (one.log_normalizer(field) for one, field in pairs), jnp.zeros((), self.machine.dtype)
        )

    def draw_base(self, key: Key[Array, ""], shape: tuple[int, ...]) -> U:
        """Exact draws at the inverse temperature 0, of these leading axes. Consumes the key."""
        drawn = [
            family.draw(
                jax.random.fold_in(key, number), jnp.broadcast_to(field, (*shape, *field.shape))
            )
            for number, (family, field) in enumerate(
                zip(self.machine.families, self.base, strict=True)
            )
        ]
        return self.machine.units(drawn)

    def gain(self, units: U) -> Float[Array, "..."]:
        """E_base(z) - E(z), nats: the derivative of log p_b(z) + log Z_b by b."""
        return -self.machine.energy(units) - self._base_terms(range(len(self.base)), units)

    def sweep(
        self,
        key: Key[Array, ""],
        units: U,
        inverse_temperature: InverseTemperature,
        *,
        backward: bool = False,
    ) -> U:
        """One Gibbs sweep at an inverse temperature, without gradient.

        Args:
            key: of the draws. Consumed.
            units: of the chains.
            inverse_temperature: one number, or one for each chain.
            backward: block 0 first all the same, then the others from the last to the first: the
                sweep in reverse time, seen by the blocks but the first.
        """
        return self.sweep_from(
            key, units, self.ahead(units), inverse_temperature, backward=backward
        )

    def sweep_from(
        self,
        key: Key[Array, ""],
        units: U,
        ahead: Float[Array, "... N"],
        inverse_temperature: InverseTemperature,
        *,
        backward: bool = False,
    ) -> U:
        """As `sweep`, where the field of the first block is known already (`ahead`)."""
        count = len(self.base)
        order = [0, *(reversed(range(1, count)) if backward else range(1, count))]
        for block in order:
            difference = ahead if block == 0 else self._difference(block, units)
            field = self._mixed(block, difference, inverse_temperature)
            units = self.machine.draw_block(jax.random.fold_in(key, block), block, units, field)
        return units

    def ahead(self, units: U) -> Float[Array, "... N"]:
        """The field of the first block less that of the base: `log_ratio` and a sweep share it."""
        return self._difference(0, units)

    def log_ratio(
        self,
        units: U,
        ahead: Float[Array, "... N"],
        start: InverseTemperature,
        end: InverseTemperature,
    ) -> Float[Array, "..."]:
        """log f_end(z) - log f_start(z), nats, where f_b is p_b unnormalised, block 0 summed out.

        Exact for steps so small that a difference of two free energies would be lost in rounding.

        Args:
            units: z; of block 0 nothing is used.
            ahead: as `ahead(units)` gives it.
            start: an inverse temperature, one number or one for each chain.
            end: another one.
        """
        step = jnp.asarray(end - start)
        rest = self.machine.rest(0, units) - self._base_terms(range(1, len(self.base)), units)
        change = (step[..., None] if step.ndim else step) * ahead
        summed = self.machine.families[0].log_normalizer_difference(
            self._mixed(0, ahead, start), change
        )
        return step * rest + summed

    def _difference(self, block: int, units: U) -> Float[Array, "... N"]:
        return self.machine.field(block, units) - self.base[block]

    def _mixed(
        self, block: int, difference: Float[Array, "... N"], inverse_temperature: InverseTemperature
    ) -> Float[Array, "... N"]:
        b = jnp.asarray(inverse_temperature, difference.dtype)
        return self.base[block] + (b[..., None] if b.ndim else b) * difference

    def _base_terms(self, blocks: Sequence[int], units: U) -> Float[Array, "..."]:
        """Those of the base's negative energy that come from some blocks."""
        total = jnp.zeros((), self.machine.dtype)
        for block in blocks:
            z = self.machine.values(block, units)
            total = total + z @ self.base[block] + self.machine.families[block].log_base(z)
        return total


def uniform_base(machine: Machine[U]) -> Path[U]:
    """From units without any preference: fair bits, reals around zero.

    Raises:
        InputError: for what is no machine of finite parameters.
    """
    check_machine(machine)
    return Path(machine, tuple(jnp.zeros_like(bias) for bias in machine.biases))


def bias_base(machine: Machine[U]) -> Path[U]:
    """From the machine without its couplings.

    Raises:
        InputError: for what is no machine of finite parameters.
    """
    check_machine(machine)
    return Path(machine, tuple(machine.biases))


def data_mean_base(machine: RBM, data_mean: Shaped[Any, " V"]) -> Path[Any]:
    """From visible units with the means of the data, hidden ones without preference.

    Salakhutdinov & Murray 2008, Section 4.1.

    Args:
        machine: an RBM.
        data_mean: [V]; those of bits are kept between 0.01 and 0.99.

    Raises:
        InputError: for another shape, or means that visible units cannot have; for what is no
            machine of finite parameters.
    """
    check_machine(machine)
    if not isinstance(machine, RBM):
        raise InputError(
            f"{type(machine).__name__} has no visible side: give bias_base or mean_field_base"
        )
    mean = checked_mean(machine.visible, jnp.asarray(data_mean, machine.dtype))
    check_width("data_mean", mean.shape, machine.sizes[0])
    return Path(machine, (machine.visible.field_of(mean), jnp.zeros_like(machine.hidden_bias)))


def mean_field_base(machine: Machine[U], num_sweeps: int = 100) -> Path[U]:
    """From the machine's mean-field approximation, found from means of a half (or zero).

    Args:
        machine: of any kind.
        num_sweeps: of the mean-field iteration.

    Raises:
        InputError: for what is no machine of finite parameters, or less than no sweep.
    """
    check_machine(machine)
    blank = [
        family.mean(jnp.zeros_like(bias))
        for family, bias in zip(machine.families, machine.biases, strict=True)
    ]
    means = mean_field(machine, machine.units(blank), num_sweeps)
    fields = [
        family.field_of(machine.values(block, means))
        for block, family in enumerate(machine.families)
    ]
    return Path(machine, lax.stop_gradient(tuple(fields)))


def check_path(path: Any) -> None:
    """Hold what should be a path against what one is.

    Raises:
        InputError: for a machine alone, or anything else.
    """
    if not isinstance(path, Path):
        raise InputError(
            f"a path leads from a base to a machine, and {type(path).__name__} is none: give "
            "uniform_base(machine), bias_base(machine), data_mean_base or mean_field_base"
        )


def linear_inverse_temperatures(count: int) -> Float[np.ndarray, " T"]:
    """0, 1 / count, ..., 1.

    Args:
        count: of steps; with one, annealing is importance sampling from the base.

    Raises:
        InputError: for a count below one.
    """
    check_count("count", count)
    return np.linspace(0.0, 1.0, count + 1)


def salakhutdinov_inverse_temperatures() -> Float[np.ndarray, " T"]:
    """The 14,500 steps of Salakhutdinov & Murray 2008: 1e-3 to 0.5, 1e-4 to 0.9, 1e-5 to 1."""
    parts = np.linspace(0, 0.5, 501), np.linspace(0.5, 0.9, 4001), np.linspace(0.9, 1, 10001)
    return np.concatenate([parts[0], parts[1][1:], parts[2][1:]])


def check_inverse_temperatures(values: Shaped[Any, " T"]) -> Float[Array, " T"]:
    """The inverse temperatures as an array, once they are known to go from 0 to 1.

    Raises:
        InputError: for others. Traced ones are not looked at.
    """
    if not is_concrete(values):
        return values
    numbers = np.asarray(values, np.float64)
    mend = "give two or more finite numbers, as linear_inverse_temperatures(1000) does"
    if numbers.ndim != 1 or len(numbers) < 2:
        raise InputError(f"inverse temperatures of the shape {numbers.shape}: {mend}")
    odd = np.flatnonzero(~np.isfinite(numbers))
    if odd.size:
        raise InputError(f"an inverse temperature of {numbers[odd[0]]} at place {odd[0]}: {mend}")
    if numbers.min() < 0 or numbers.max() > 1:
        wrong = numbers.min() if numbers.min() < 0 else numbers.max()
        raise InputError(f"an inverse temperature of {wrong:g} cannot be: they lie in [0, 1]")
    if numbers[0] != 0 or numbers[-1] != 1 or (np.diff(numbers) < 0).any():
        raise InputError(
            "inverse temperatures rise from 0, the base, to 1, the machine: sort them, and begin "
            f"and end there (these begin at {numbers[0]:g} and end at {numbers[-1]:g})"
        )
    return jnp.asarray(numbers, jnp.float32)
