"""Replicas: several runs that differ in their seed alone, trained side by side in one program."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int

from remjax.errors import InputError
from remjax.methods.batches import rows_in_flight
from remjax.training.epochs import Epochs
from remjax.training.steps import TrainState


def stack_replicas(states: Sequence[TrainState]) -> TrainState:
    """The states of several runs at the same step as one, its arrays [R, ...], its step common.

    Raises:
        InputError: for no states, or states at different steps.
    """
    if len({int(state.step) for state in states}) != 1:
        raise InputError("replicas share one step: stack one state or more, all at the same step")
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    # A copy: the stacked state will be donated, and the first run's must live on.
    return stacked._replace(step=jnp.copy(states[0].step))


def replica(state: TrainState, number: int) -> TrainState:
    """The state of one of the replicas, as its run by itself would have it."""
    one = jax.tree.map(lambda leaf: leaf[number], state._replace(step=state.step[None]))
    return one._replace(step=state.step)


def replicas_in_flight(*, passes: int, keep: int | None, data_size: int) -> int:
    """How many replicas to step together: as many as have in flight what one run would have.

    Args:
        passes: decoder passes of a step on one device, B K over the number of devices.
        keep: M, or None.
        data_size: X.
    """
    return max(1, rows_in_flight(keep, data_size) // passes)


def train_replicas(epoch: Epochs, *, at_a_time: int | None = None) -> Epochs:
    """What `make_epoch` returns, for the stacked states of several replicas.

    Each replica goes through the data in the order, with the bits and the particles of its own key,
    as it would alone.

    Args:
        epoch: run(state, data, num_steps) -> state.
        at_a_time: how many replicas take their steps together, the groups one after the other;
            default all. Few together keep to the cache where one alone fills it; all together
            spare the cost of starting small steps. See `replicas_in_flight`.

    Returns:
        The same for states as `stack_replicas` makes them. The state given to it is donated.

    Raises:
        InputError: for fewer than one at a time.
    """
    if at_a_time is not None and at_a_time < 1:
        raise InputError(f"at_a_time is {at_a_time}: give 1 or more, or leave it out for all")

    def every(
        state: TrainState,
        data: Array,
        num_steps: Int[Array, ""],
        places: Int[Array, "R N"],
        known: Bool[Array, ""],
    ) -> tuple[TrainState, Int[Array, "R N"]]:
        count = jax.tree.leaves(state.params)[0].shape[0]

        def one(
            own: tuple[TrainState, Int[Array, " N"]],
        ) -> tuple[TrainState, Int[Array, " N"]]:
            # The step is common, so that whether an epoch begins is asked once and not of each.
            begun = own[0]._replace(step=state.step)
            after, places = epoch.steps(begun, data, num_steps, own[1], known)
            return after._replace(step=None), places

        group = min(at_a_time or count, count)
        after, places = lax.map(one, (state._replace(step=None), places), batch_size=group)
        return after._replace(step=state.step + num_steps), places

    return epoch.of(every)
