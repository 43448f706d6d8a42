"""The replicas of a run: the state of each, and their figures as one."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from experiments.output.tables import mean_and_std
from remjax.training.replicas import replica
from remjax.training.steps import TrainState


def each_replica(state: TrainState, num_replicas: int) -> list[TrainState]:
    """The state of each replica; of a run without replicas, its own."""
    if num_replicas == 1:
        return [state]
    return [replica(state, number) for number in range(num_replicas)]


def local(state: TrainState) -> TrainState:
    """A state on a device of this host alone, for what a host does by itself.

    Where there are several hosts, all call it at the same point.
    """

    def own(leaf: Any) -> jax.Array:
        if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jnp.asarray(jax.device_get(leaf))
        numbers = jnp.asarray(jax.device_get(jax.random.key_data(leaf)))
        return jax.random.wrap_key_data(numbers, impl=jax.random.key_impl(leaf))

    return jax.tree.map(own, state)


def over_replicas(each: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The figures of several replicas as one: means and standard deviations over them."""
    measured = [name for name, value in each[0].items() if isinstance(value, float | int)]
    # What is the same for all, such as the number of images, has no deviation to speak of.
    same = {name: value for name, value in each[0].items() if all(value == o[name] for o in each)}
    varies = [name for name in measured if name not in same]
    return same | mean_and_std([{name: one[name] for name in varies} for one in each])
