"""Parallel tempering: chains at several temperatures that exchange their places.

Swendsen & Wang 1986; Geyer 1991. Even and odd pairs of neighbours take turns (the non-reversible
order, Syed et al. 2022), which makes round trips between the base and the machine most frequent.
"""

from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key, PyTree, Shaped

from remjax.boltzmann.machine import Machine, check_chains, check_count
from remjax.boltzmann.machine_checks import check_machine
from remjax.boltzmann.paths import Path, check_inverse_temperatures, check_path
from remjax.errors import InputError

U = TypeVar("U")


class Ladder(NamedTuple):
    """C groups of R chains, one at each inverse temperature: explicit state, all of it numbers.

    Attributes:
        units: [R, C, ...] of each leaf, the base first and the machine last.
        heading: [R, C], where each chain comes from: 1 from the base, -1 from the machine, 0 from
            neither yet.
        round_trips: [C], how often a chain came back to the base from the machine.
        turn: which pairs exchange next: 0 the even ones, 1 the odd ones.
    """

    units: PyTree[Array]
    heading: Float[Array, "R C"]
    round_trips: Float[Array, " C"]
    turn: Float[Array, ""]


class LadderInfo(NamedTuple):
    """What a step knows.

    Attributes:
        swap_rates: [R - 1], the mean acceptance probability between neighbours, whether or not it
            was their turn: small ones show where an inverse temperature is missing.
        round_trips: [C], as in the state.
    """

    swap_rates: Float[Array, " _"]
    round_trips: Float[Array, " C"]


def init_ladder(
    key: Key[Array, ""], machine: Machine[U], num_temperatures: int, num_chains: int
) -> Ladder:
    """The chains before the first step, drawn without any tie. Consumes the key.

    Raises:
        InputError: for fewer than two temperatures, or no chains; for what is no machine of finite
            parameters.
    """
    check_machine(machine)
    check_count("num_temperatures", num_temperatures, 2)
    check_count("num_chains", num_chains)
    shape = (num_temperatures, num_chains)
    zero = jnp.zeros(())
    return Ladder(machine.random(key, shape), jnp.zeros(shape), jnp.zeros(num_chains), zero)


def ladder_of(units: PyTree[Array], heading: Float[Array, "R C"]) -> Ladder:
    """Chains that someone has already, as the state before the first step."""
    return Ladder(units, heading, jnp.zeros(heading.shape[1]), jnp.zeros(()))


def ladder_step(
    key: Key[Array, ""],
    path: Path[U],
    state: Ladder,
    inverse_temperatures: Shaped[Any, " R"],
) -> tuple[Ladder, LadderInfo]:
    """A sweep of every chain at its inverse temperature, then exchanges between neighbours.

    Neighbours i, j change places with probability min(1, exp((b_i - b_j)(G(z_j) - G(z_i)))), where
    G = E_base - E: the product of p_b over the ladder stays as it is. No gradient passes.

    Args:
        key: of everything. Consumed.
        path: from a base to the machine.
        state: the chains.
        inverse_temperatures: [R] rising from 0 to 1; traced, so that a ladder may be moved.

    Returns:
        The chains after the step, those of the machine last, and what is known of them.

    Raises:
        InputError: for inverse temperatures that do not rise from 0 to 1, or another number of
            them than of the chains of a group.
    """
    check_path(path)
    check_chains(path.machine, state.units)
    if np.shape(inverse_temperatures) != state.heading.shape[:1]:
        raise InputError(
            f"inverse temperatures of the shape {np.shape(inverse_temperatures)} for ladders of "
            f"{state.heading.shape[0]} chains: give one for each"
        )
    inverse_temperatures = check_inverse_temperatures(inverse_temperatures)
    path, b = lax.stop_gradient((path, inverse_temperatures))
    key_sweep, key_swap = jax.random.split(key)
    count, num_chains = state.heading.shape
    each = jnp.broadcast_to(b[:, None], (count, num_chains))
    units = path.sweep(key_sweep, state.units, each)
    gain = path.gain(units)
    log_accept = (b[:-1] - b[1:])[:, None] * (gain[1:] - gain[:-1])
    turn = jnp.arange(count - 1) % 2 == state.turn
    uniform = jax.random.uniform(key_swap, log_accept.shape)
    swapped = turn[:, None] & (jnp.log(uniform) < log_accept)
    # Chain i goes down where pair i swaps, and up where pair i - 1 does; never both.
    none = jnp.zeros((1, num_chains), bool)
    source = (
        jnp.arange(count)[:, None]
        + jnp.concatenate([swapped, none]).astype(int)
        - jnp.concatenate([none, swapped]).astype(int)
    )
    units = jax.tree.map(lambda leaf: _taken(leaf, source), units)
    heading = _taken(state.heading, source)
    back = (heading[0] == -1).astype(heading.dtype)
    heading = heading.at[0].set(1.0)
    heading = heading.at[-1].set(jnp.where(heading[-1] == 1, -1.0, heading[-1]))
    trips = state.round_trips + back
    rates = jnp.mean(jnp.exp(jnp.minimum(log_accept, 0.0)), axis=1)
    return Ladder(units, heading, trips, 1 - state.turn), LadderInfo(rates, trips)


def machine_chains(state: Ladder) -> PyTree[Array]:
    """The chains at the inverse temperature 1, [C, ...] of each leaf."""
    return jax.tree.map(lambda leaf: leaf[-1], state.units)


def _taken(leaf: Array, source: Array) -> Array:
    """leaf[source[r, c], c]."""
    index: Any = source.reshape(*source.shape, *[1] * (leaf.ndim - 2))
    return jnp.take_along_axis(leaf, index, axis=0)
