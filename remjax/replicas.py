"""Replicas: several runs that differ in their seed alone, trained side by side in one program."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from remjax.errors import InputError
from remjax.training import TrainState

# Every part of the state of several replicas has a first axis for them, but for the one step that
# they have in common: whether an epoch begins is then asked once and not of each.
_AXES = TrainState._make(None if name == "step" else 0 for name in TrainState._fields)


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


def train_replicas(epoch: jax.stages.Wrapped) -> jax.stages.Wrapped:
    """What `make_epoch` returns, for the stacked states of several replicas.

    Each replica goes through the data in the order, with the bits and the particles of its own key,
    as it would alone.

    Args:
        epoch: run(state, data, num_steps) -> state.

    Returns:
        The same for states as `stack_replicas` makes them. The state given to it is donated.
    """
    every = jax.vmap(epoch, in_axes=(_AXES, None, None), out_axes=_AXES)
    return jax.jit(every, donate_argnums=0)
