"""What a Boltzmann machine is: units in blocks, and an energy that is linear in its parameters.

p(z) = exp(-E(z)) / Z. The units of a block are independent given the others, so that a block is
drawn, or summed out, at once (Gibbs sampling by colours of the graph; two blocks make a bipartite
one). Whatever moves or measures machines in this room is written against these few functions.
"""

import abc
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from remjax.boltzmann.families import Family
from remjax.data.checks import check_rows, is_concrete
from remjax.errors import InputError

U = TypeVar("U")
"""The units of a machine: a pytree of arrays whose leading axes are those of the chains."""

# Of the numbers of blocks in `random`: far from those in a sweep, lest chains that are begun and
# swept with one key repeat themselves.
_BEGINNING = 1 << 20


class Machine(abc.ABC, Generic[U]):
    """A frozen pytree of parameters with the functions that Gibbs sampling and log Z need.

    Blocks are numbered from 0 in the order of a sweep. `block` is a Python number, everywhere.
    """

    @property
    @abc.abstractmethod
    def families(self) -> Sequence[Family]:
        """The family of the units of each block."""

    @property
    @abc.abstractmethod
    def sizes(self) -> Sequence[int]:
        """The number of units of each block."""

    @property
    @abc.abstractmethod
    def widths(self) -> PyTree[int]:
        """The last axis of every leaf of a state, in the form of a state."""

    @abc.abstractmethod
    def field(self, block: int, units: U) -> Float[Array, "... N"]:
        """The natural parameters of a block given the other units: log odds, for bits."""

    @abc.abstractmethod
    def rest(self, block: int, units: U) -> Float[Array, "..."]:
        """The terms of -E(z) in which the block has no part, nats."""

    @abc.abstractmethod
    def values(self, block: int, units: U) -> Float[Array, "... N"]:
        """The units of a block."""

    @abc.abstractmethod
    def units(self, values: Sequence[Float[Array, "... _"]]) -> U:
        """The units whose blocks have these values."""

    @abc.abstractmethod
    def with_values(self, block: int, units: U, values: Float[Array, "... N"]) -> U:
        """The units with another value of one block."""

    @property
    @abc.abstractmethod
    def biases(self) -> Sequence[Float[Array, " _"]]:
        """The field of each block where all other units are zero."""

    @property
    def num_units(self) -> int:
        """Of all blocks."""
        return sum(self.sizes)

    @property
    def dtype(self) -> jnp.dtype:
        """Of the parameters, and of the units that are drawn."""
        return self.biases[0].dtype

    def energy(self, units: U) -> Float[Array, "..."]:
        """E(z) in nats, one number for each chain. Gradients reach the parameters and the units.

        Raises:
            InputError: for units that are none of this machine.
        """
        units = as_chains(self, units, "units")
        last = len(self.families) - 1
        return -(self.rest(last, units) + self.given_field(last, units, self.field(last, units)))

    def given_field(
        self, block: int, units: U, field: Float[Array, "... N"]
    ) -> Float[Array, "..."]:
        """The terms of -E(z) that a block has a part in, once its field is known."""
        z = self.values(block, units)
        return jnp.sum(z * field, axis=-1) + self.families[block].log_base(z)

    def log_sum_out(self, block: int, units: U) -> Float[Array, "..."]:
        """log sum over a block of exp(-E(z)), nats: minus the free energy of the other units."""
        field = self.field(block, units)
        return self.rest(block, units) + self.families[block].log_normalizer(field)

    def draw_block(
        self,
        key: Key[Array, ""],
        block: int,
        units: U,
        field: Float[Array, "... N"],
        temperature: Float[Array, "..."] | float = 1.0,
    ) -> U:
        """The units with a block drawn from its field. Consumes the key; no gradient passes."""
        drawn = self.families[block].draw(key, field, temperature)
        return self.with_values(block, units, drawn)

    def random(self, key: Key[Array, ""], shape: tuple[int, ...]) -> U:
        """Units without any tie to one another: fair bits, normal reals. Consumes the key.

        Args:
            key: of the draw.
            shape: the leading axes, those of the chains.
        """
        drawn = []
        for number, (family, size) in enumerate(zip(self.families, self.sizes, strict=True)):
            blank = jnp.zeros((*shape, size), self.dtype)
            drawn.append(family.draw(jax.random.fold_in(key, _BEGINNING + number), blank))
        return self.units(drawn)


def check_width(what: str, shape: tuple[int, ...], size: int) -> None:
    """Hold the last axis of an array against the number of units that it stands for.

    Raises:
        InputError: naming both.
    """
    if shape[-1:] != (size,):
        raise InputError(
            f"{what} of the shape {shape} for the {size} of the machine: give [..., {size}]"
        )


def as_chains(machine: Machine[U], units: U, what: str = "chains") -> U:
    """Units as arrays of the machine's own type, once their form is known to be its.

    Chains and data come as bools or integers too, which means cannot be.

    Raises:
        InputError: naming the shapes that came and those that were wanted.
    """
    check_chains(machine, units, what)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, machine.dtype), units)


def as_states(machine: Machine[U], units: U, what: str = "chains") -> U:
    """`as_chains`, once the values are known to be such as the units have: bits are 0 or 1.

    Those of traced arrays are not looked at.

    Raises:
        InputError: as `as_chains`, and naming the first value that cannot be, and its row among all
            chains.
    """
    units = as_chains(machine, units, what)
    if all(map(is_concrete, jax.tree.leaves(units))):
        # Under a jit that closes over them, too.
        with jax.ensure_compile_time_eval():
            blocks = [np.asarray(machine.values(b, units)) for b in range(len(machine.sizes))]
        for values, size, family in zip(blocks, machine.sizes, machine.families, strict=True):
            try:
                check_rows(values.reshape(-1, size), family.support)
            except InputError as error:
                found = str(error).rsplit(":", 1)[0]  # what to do with data is no help here
                raise InputError(f"{what}: {found}: give states, as sweeps leave them") from error
    return units


def check_chains(machine: Machine[U], units: U, what: str = "chains") -> None:
    """Hold units against the form that a machine has them in.

    Raises:
        InputError: naming the shapes that came and those that were wanted.
    """
    widths, form = jax.tree.flatten(machine.widths)
    leaves, found = jax.tree.flatten(units)
    shapes = [np.shape(leaf) for leaf in leaves]
    if form == found and [shape[-1:] for shape in shapes] == [(width,) for width in widths]:
        try:
            np.broadcast_shapes(*(shape[:-1] for shape in shapes))
        except ValueError:
            pass
        else:
            return
    wanted = ", ".join(f"[..., {width}]" for width in widths)
    if any(not np.shape(leaf) for leaf in leaves):
        raise InputError(f"{what} hold lists or single numbers: give arrays {wanted}")
    raise InputError(
        f"{what} of the shapes {shapes}: give those of the machine, {wanted}, as init makes them"
    )


def check_count(name: str, value: Any, least: int = 1) -> Any:
    """A number of things, once it is known to be one. The value of a traced one is not looked at.

    Raises:
        InputError: for less than `least`, or what is no integer.
    """
    if np.shape(value) or not jnp.issubdtype(jnp.result_type(value), jnp.integer):
        raise InputError(f"{name} is {value}: give a whole number, as an integer")
    if is_concrete(value) and value < least:
        raise InputError(f"{name} is {value}: give {least} or more")
    return value
