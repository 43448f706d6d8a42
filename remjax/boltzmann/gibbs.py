"""Markov chains of a machine as explicit state: block Gibbs sampling.

The state of chains is the machine's units, one leading axis for the chains: it goes in, and the
last one always comes out. A sweep draws every block in turn; it leaves p(z)^(1 / temperature) as it
is, but it is not reversible (Vahdat et al. 2019, Eq. 5, and not Eq. 4).
"""

from typing import Any, NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key, PyTree, Shaped

from remjax.boltzmann.families import Temperature
from remjax.boltzmann.machine import Machine, as_chains, as_states, check_count
from remjax.boltzmann.machine_checks import check_machine
from remjax.boltzmann.rbm import RBM, Units
from remjax.data.checks import check_rows, is_concrete
from remjax.errors import InputError

U = TypeVar("U")

# Which units stay: of each, or one truth value for a whole side.
Marks = Bool[Array, "..."] | Bool[np.ndarray, "..."] | bool


class Info(NamedTuple):
    """What a sweep knows of each chain when it ends.

    Attributes:
        hidden_means: the means of the last block given the NEW values of the others; in an RBM
            those of the hidden units given the new visible ones. Of temperature one.
        flip_rate: the share of the units that changed; real ones always do.
        energy: E(z) of the new units, nats.
    """

    hidden_means: Float[Array, "... N"]
    flip_rate: Float[Array, "..."]
    energy: Float[Array, "..."]


def init(
    key: Key[Array, ""],
    machine: Machine[U],
    num_chains: int,
    data: Shaped[Any, "n V"] | None = None,
) -> U:
    """The chains before the first sweep. Consumes the key.

    Args:
        key: of the draws.
        machine: whose units they are.
        num_chains: of independent chains.
        data: rows, of which each chain takes one at random (different ones while they last) as the
            visible units of an RBM, and draws the hidden ones given it; without data all units are
            drawn without any tie (fair bits, normal reals).

    Raises:
        InputError: for a machine whose parameters are not finite, no chains, or data that do not
            fit the visible units.
    """
    check_machine(machine)
    check_count("num_chains", num_chains)
    if data is None:
        return machine.random(key, (num_chains,))
    if not isinstance(machine, RBM):
        raise InputError(
            "only the visible units of an RBM begin at data: leave data out, or take rows of all "
            "units as the chains themselves"
        )
    rows = jnp.asarray(visible_rows(machine, data), machine.dtype)
    key_rows, key_hidden = jax.random.split(key)
    order = jax.random.permutation(key_rows, rows.shape[0])
    visible = rows[order[jnp.arange(num_chains) % rows.shape[0]]]
    hidden = machine.hidden.draw(key_hidden, machine.hidden_field(visible))
    return cast(U, Units(visible, hidden))


def visible_rows(machine: RBM, data: Shaped[Any, "n V"]) -> Shaped[Any, "n V"]:
    """The data, once they are known to be what the visible units can be.

    Raises:
        InputError: naming the shape, or the first row and value that cannot be.
    """
    shape, size = np.shape(data), machine.sizes[0]
    if len(shape) != 2 or shape[1] != size or not shape[0]:
        raise InputError(
            f"data of the shape {shape} for {size} visible units: give rows [n, {size}]"
        )
    if is_concrete(data):
        check_rows(np.asarray(data), machine.visible.support)
    return data


def gibbs_step(
    key: Key[Array, ""],
    machine: Machine[U],
    state: U,
    temperature: Temperature = 1.0,
    clamped: PyTree[Marks] | None = None,
) -> tuple[U, Info]:
    """One sweep of all chains: each block drawn given the others, the last one last.

    In an RBM v ~ p(v | h), then h ~ p(h | v). Two products with the weights. No gradient passes.

    Args:
        key: of all draws of the sweep. Consumed.
        machine: whose distribution it leaves as it is.
        state: the chains; leading axes of any shape.
        temperature: the sweep leaves p(z)^(1 / temperature) as it is, renormalised; positive, one
            number or one for each chain. It may be traced, when its value is not looked at: none
            compiles anew.
        clamped: units of the form of `state` (broadcast to it), True where a unit keeps its value:
            the others are drawn given it. All are free by default.

    Returns:
        The chains after the sweep, and what is known of them.

    Raises:
        InputError: for a temperature that is not positive, or shapes that do not meet. The values
            of units are looked at by `gibbs_steps`, once for all its sweeps.
    """
    state = as_chains(machine, state)
    _check_sweep(state, temperature, clamped)
    machine, before = lax.stop_gradient((machine, state))
    state, last = before, len(machine.families) - 1
    field = machine.field(0, state)
    for block in range(last + 1):
        field = machine.field(block, state) if block else field
        drawn = machine.draw_block(jax.random.fold_in(key, block), block, state, field, temperature)
        state = drawn if clamped is None else _kept(clamped, state, drawn)
    z = machine.given_field(last, state, field)
    info = Info(
        machine.families[last].mean(field),
        _flip_rate(before, state, machine.num_units),
        -(machine.rest(last, state) + z),
    )
    return state, info


def gibbs_steps(
    key: Key[Array, ""],
    machine: Machine[U],
    state: U,
    num_sweeps: Int[Array, ""] | int,
    temperature: Temperature = 1.0,
    clamped: PyTree[Marks] | None = None,
) -> tuple[U, Info]:
    """Sweeps one after the other, compiled once for any number of them.

    Args:
        key: of all sweeps. Consumed.
        machine: as in `gibbs_step`, and so are state, temperature and clamped.
        state: the chains before.
        num_sweeps: of sweeps, at least one.
        temperature: of all sweeps.
        clamped: units that keep their values.

    Returns:
        The chains after the last sweep, and what is known of them.

    Raises:
        InputError: as `gibbs_step`, for a number of sweeps below one, and for values that units
            cannot have.
    """
    check_count("num_sweeps", num_sweeps)
    state = as_states(machine, state)
    _check_sweep(state, temperature, clamped)
    # A temperature of one is no argument: the fields need no division then.
    plain = isinstance(temperature, float | int) and temperature == 1
    return _sweeps(key, machine, state, num_sweeps, None if plain else temperature, clamped)


@jax.jit
def _sweeps(
    key: Key[Array, ""],
    machine: Machine[U],
    state: U,
    num_sweeps: Int[Array, ""] | int,
    temperature: Temperature | None,
    clamped: PyTree[Marks] | None,
) -> tuple[U, Info]:
    machine, state = lax.stop_gradient((machine, state))
    of_sweep = 1.0 if temperature is None else temperature

    def sweep(number: Int[Array, ""], state: U) -> U:
        one = jax.random.fold_in(key, number)
        return gibbs_step(one, machine, state, of_sweep, clamped)[0]

    state = lax.fori_loop(1, num_sweeps, sweep, state)
    # The last sweep stands outside of the loop, so that only it reports.
    return gibbs_step(jax.random.fold_in(key, 0), machine, state, of_sweep, clamped)


def _check_sweep(state: PyTree, temperature: Temperature, clamped: PyTree[Marks] | None) -> None:
    leaves, form = jax.tree.flatten(state)
    chains = leaves[0].shape[:-1]
    _check_broadcast("temperature", np.shape(temperature), chains)
    if is_concrete(temperature) and not np.all(np.asarray(temperature) > 0):
        lowest = np.min(np.asarray(temperature))
        raise InputError(
            f"temperature is {lowest:g}: give a positive one, 1 for the machine itself"
        )
    if clamped is None:
        return
    marks, form_of_marks = jax.tree.flatten(clamped)
    if form_of_marks != form:
        such = "Units(mask, False)" if isinstance(state, Units) else "one mask of all units"
        raise InputError(
            f"clamped is of the type {type(clamped).__name__} and not of the form of the chains: "
            f"give {such}"
        )
    for mark, leaf in zip(marks, leaves, strict=True):
        _check_broadcast("clamped", np.shape(mark), leaf.shape)


def _check_broadcast(name: str, shape: tuple[int, ...], whole: tuple[int, ...]) -> None:
    try:
        fits = np.broadcast_shapes(shape, whole) == whole
    except ValueError:
        fits = False
    if not fits:
        raise InputError(f"{name} has the shape {shape}: give one that broadcasts to {whole}")


def _kept(clamped: PyTree[Marks], old: U, new: U) -> U:
    return jax.tree.map(lambda keep, a, b: jnp.where(keep, a, b), clamped, old, new)


def _flip_rate(old: PyTree, new: PyTree, num_units: int) -> Float[Array, "..."]:
    changed = jax.tree.map(lambda a, b: jnp.sum(a != b, axis=-1), old, new)
    return jnp.asarray(sum(jax.tree.leaves(changed)) / num_units)
