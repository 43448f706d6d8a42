"""Chains in strands: how several devices draw what one would.

Chains that persist are divided into strands, each with a key of its own; the devices along the mesh
axis `particles` have whole strands.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key, PyTree

from remjax import sharding
from remjax.errors import InputError
from remjax.types import Metrics


def layout(num_chains: int) -> tuple[int, int]:
    """(number of strands, chains of each)."""
    count = math.gcd(num_chains, sharding.NUM_STRANDS)
    return count, num_chains // count


def on_own(function: Any, key: Key[Array, ""], state: PyTree[Array]) -> Any:
    """function(key, state) of each strand that this device has."""
    strands, devices = jax.tree.leaves(state)[0].shape[0], sharding.particle_devices()
    if strands % devices:
        raise InputError(
            f"{strands} strands of chains are not divided by {devices} devices along `particles`: "
            f"let num_chains be a multiple of {devices}, or use fewer devices"
        )
    own = strands // devices
    begin = own * sharding.particle_device()
    mine = jax.tree.map(lambda leaf: lax.dynamic_slice_in_dim(leaf, begin, own), state)
    keys = jax.vmap(lambda n: jax.random.fold_in(key, n))(begin + jnp.arange(own))
    return lax.stop_gradient(jax.vmap(function)(keys, mine))


def of_all(tree: PyTree[Array]) -> PyTree[Array]:
    """The strands of all devices, in their order."""
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), *sharding.of_all_devices(tree))


def joined(leaf: Float[Array, "S c N"]) -> Float[Array, "S*c N"]:
    """The chains of all strands on one axis."""
    return leaf.reshape(-1, leaf.shape[-1])


def means(metrics: Metrics) -> Metrics:
    """Means over the chains of all devices."""
    total = sharding.sum_over_particles(jax.tree.map(jnp.mean, metrics))
    return jax.tree.map(lambda value: value / sharding.particle_devices(), total)
