"""What trajectories, lists of states and distributions over them must be, held where they enter."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from remjax.boltzmann.families import Bits
from remjax.boltzmann.machine import check_width
from remjax.boltzmann.rbm import RBM
from remjax.data.checks import is_concrete
from remjax.errors import InputError

# States of 20 bits are a million rows; a table of 2^25 numbers takes 128 MiB.
_MOST_BITS, _MOST_ENTRIES = 20, 25
# A sum in float32 over all states is as near to one as this by far.
_OFF = 1e-3


def check_trajectory(
    machine: RBM, visible: Float[Array, "_ ... V"], hidden: Float[Array, "_ ... H"]
) -> None:
    """Hold the two parts of a trajectory against each other and against the machine.

    Raises:
        InputError: naming the shapes that came and those that were wanted.
    """
    v, h = machine.sizes
    x, z = np.shape(visible), np.shape(hidden)
    if len(z) < 2 or z[0] < 1 or z[-1] != h or x != (z[0] + 1, *z[1:-1], v):
        raise InputError(
            f"a trajectory of the shapes {x} and {z}: give [k + 1, ..., {v}] and [k, ..., {h}], as "
            "trajectory makes them"
        )


def check_each(name: str, value: Float[Array, "..."] | float, shape: tuple[int, ...]) -> None:
    """A number of each trajectory, or one for all of them.

    Raises:
        InputError: for another shape, which might broadcast.
    """
    if jnp.shape(value) not in ((), shape):
        raise InputError(
            f"{name} of the shape {jnp.shape(value)} for trajectories {shape}: give one number of "
            "each"
        )


def check_bits(count: int) -> None:
    """So many bits can be listed, state by state.

    Raises:
        InputError: for a number below zero, or above 20.
    """
    if not 0 <= count <= _MOST_BITS:
        raise InputError(
            f"a list of 2^{count} states: give 0 to {_MOST_BITS} bits, or simulate trajectories "
            "of a larger machine"
        )


def check_enumerable(machine: RBM, *sides: int) -> None:
    """Tables over all states of so many bits of each side, or of both, can be made.

    Args:
        machine: whose states they are.
        sides: rows and columns of the table, as numbers of bits.

    Raises:
        InputError: for real units, and for tables too large.
    """
    if not all(isinstance(family, Bits) for family in machine.families):
        raise InputError("real units have no list of states: simulate trajectories instead")
    if max(sides) > _MOST_BITS or sum(sides) > _MOST_ENTRIES:
        rows, columns = sides
        raise InputError(
            f"enumeration makes a table of 2^{rows} x 2^{columns} numbers, and 2^{_MOST_ENTRIES} "
            f"of 2^{_MOST_BITS} rows or columns is the most: simulate trajectories instead"
        )


def check_states(machine: RBM, states: Float[Array, "n V"]) -> None:
    """All visible states, each once, in any order; the values of traced ones are not looked at.

    Raises:
        InputError: for another number of them, or where one is missing.
    """
    count = machine.sizes[0]
    shape = np.shape(states)
    check_width("states", shape, count)
    if shape != (2**count, count):
        raise InputError(
            f"states of the shape {shape}, and all of {count} bits are {2**count} rows: give "
            f"all_bits({count})"
        )
    if is_concrete(states):
        rows = np.asarray(jax.device_get(states), np.float64)
        codes = rows @ 2.0 ** np.arange(count)
        bits = np.isin(rows, (0.0, 1.0)).all()
        if not bits or not np.array_equal(np.sort(codes), np.arange(len(codes))):
            raise InputError(
                f"states that are not all of {count} bits, each once: give all_bits({count})"
            )


def check_distribution(data: Float[Array, " n"], count: int) -> None:
    """D of each of so many states. A traced one is not looked at but for its shape.

    Raises:
        InputError: for another number of them, negative ones, or a sum that is not one.
    """
    if np.shape(data) != (count,):
        raise InputError(
            f"data of the shape {np.shape(data)} for {count} states: give D(x) of each, [{count}]"
        )
    if not is_concrete(data):
        return
    values = np.asarray(jax.device_get(data), np.float64)
    if not (values >= 0).all():
        raise InputError(f"data with D(x) = {values.min():g} of a state: give 0 or more of each")
    if not abs(values.sum() - 1.0) <= _OFF:
        raise InputError(
            f"data whose sum over the states is {values.sum():g}: divide by it, so that it is 1"
        )
