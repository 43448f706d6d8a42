"""Many devices: one mesh with the axes `data` and `particles`, and who does what on it.

The gradient of a step is computed inside ONE `jax.shard_map` over both axes. Every device holds all
parameters. Along `data` each has a slice of the batch; along `particles` each streams a share of
the chunks of particles, and learns the summary of the others' once they are done. So the devices
talk between the loops over chunks and never within one: left to itself, the compiler would add up
the gradient of theta over the devices after every chunk.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import mesh_utils, multihost_utils
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int, PyTree

from remjax.errors import InputError

DATA, PARTICLES = "data", "particles"

# The kept particles are chosen in this many strands, whatever the mesh (`subsampling`), and a
# device owns whole strands.
NUM_STRANDS = 8

T = TypeVar("T")


def make_mesh(*, data: int = 1, particles: int = 1) -> Mesh:
    """A mesh of the first data x particles devices, of all hosts together.

    Args:
        data: devices among which a batch is divided; it must divide the batch size.
        particles: devices among which the particles of a datapoint are divided: 1, 2, 4 or 8.

    Raises:
        InputError: for counts that cannot be, or more devices than there are.
    """
    if data < 1 or particles < 1 or NUM_STRANDS % particles:
        raise InputError(
            f"a mesh of data:{data},particles:{particles} cannot be: "
            "give data:1 or more, and particles:1, 2, 4 or 8"
        )
    devices, wanted = jax.devices(), data * particles
    if wanted > len(devices):
        raise InputError(
            f"a mesh of data:{data},particles:{particles} takes {wanted} devices and there "
            f"{'is' if len(devices) == 1 else 'are'} {len(devices)}: ask for less"
        )
    if jax.process_count() > 1 and wanted < len(devices):
        raise InputError(
            f"a mesh of data:{data},particles:{particles} takes {wanted} of the {len(devices)} "
            f"devices of {jax.process_count()} hosts: it must take all"
        )
    shape = (data, particles)
    if wanted < len(devices):
        return Mesh(np.array(devices[:wanted]).reshape(shape), (DATA, PARTICLES))
    # Neighbours on the mesh are neighbours in the machine, where the way between devices differs.
    placed = mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
    return Mesh(placed, (DATA, PARTICLES))


def replicate(mesh: Mesh | None, tree: T) -> T:
    """The same arrays on every device of the mesh; every host gives the same values.

    Without a mesh, the arrays on the default device.
    """
    if mesh is None:
        return jax.tree.map(jnp.asarray, tree)
    return multihost_utils.host_local_array_to_global_array(tree, mesh, PartitionSpec())


def replicated(mesh: Mesh | None) -> NamedSharding | None:
    """How `replicate` lays out each array; None without a mesh."""
    return None if mesh is None else NamedSharding(mesh, PartitionSpec())


def check_divides(mesh: Mesh | AbstractMesh | None, batch_size: int) -> None:
    """Raise InputError where the batch cannot be divided evenly over the axis `data`."""
    if mesh is not None and batch_size % mesh.shape[DATA]:
        raise InputError(
            f"batch_size is {batch_size}, which the {mesh.shape[DATA]} devices of the mesh's data "
            "axis do not divide: change the one or the other"
        )


def mean_over(
    mesh: Mesh | None, function: Callable[[T, PyTree], tuple[Any, PyTree]]
) -> Callable[[T, PyTree], tuple[Any, PyTree]]:
    """A function of (common, batch) that gives means over the batch and rows, on all devices.

    Args:
        mesh: None leaves the function as it is.
        function: (what every device has in full, arrays whose first axis is that of the batch) ->
            a pytree of means over the batch, and one of arrays with a row for each datapoint. Along
            the axis `particles` it must give the same on every device, or gradients of the same:
            what `e_step` and `particle_sum` return is so. Whole numbers and bits among the means
            are the same on all devices, and stay what they are.

    Returns:
        The function of the whole batch. The means are on every device, the rows where the batch is.
    """
    if mesh is None:
        return function

    def mean(leaf: Array) -> Array:
        # Counts and bits are those of a state, the same everywhere; a mean would be a float.
        inexact = jnp.issubdtype(leaf.dtype, jnp.inexact)
        return lax.pmean(leaf, (DATA, PARTICLES)) if inexact else leaf

    def on_device(common: T, batch: PyTree) -> tuple[Any, PyTree]:
        means, rows = function(common, batch)
        return jax.tree.map(mean, means), rows

    # Without the check of `varying` types: it asks for annotations in the loops of whatever a user
    # writes into a likelihood, and the one mean at the end is all there is to check.
    return jax.shard_map(
        on_device,
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec(DATA)),
        out_specs=(PartitionSpec(), PartitionSpec(DATA)),
        check_vma=False,
    )


def rows_over(
    mesh: Mesh | None, function: Callable[[T, PyTree], PyTree]
) -> Callable[[T, PyTree], PyTree]:
    """A function of (common, rows) that gives something for each row, the rows on all devices.

    Args:
        mesh: its axes are taken together, so no device sees a share of the particles; None leaves
            the function as it is.
        function: (what every device has in full, arrays of rows) -> arrays with as many rows.

    Returns:
        The function of all rows, whose number must be a multiple of that of the devices.
    """
    if mesh is None:
        return function
    return rows_over_data(Mesh(mesh.devices.reshape(-1, 1), mesh.axis_names), function)


def rows_over_data(
    mesh: Mesh | None, function: Callable[[T, PyTree], PyTree]
) -> Callable[[T, PyTree], PyTree]:
    """As `rows_over`, the rows along the axis `data` alone, whose devices divide them."""
    if mesh is None:
        return function
    return jax.shard_map(
        function,
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec(DATA)),
        out_specs=PartitionSpec(DATA),
        check_vma=False,
    )


def particle_devices() -> int:
    """How many devices share the particles here: 1 outside of a `shard_map` over `particles`."""
    mesh = jax.sharding.get_abstract_mesh()
    return mesh.shape[PARTICLES] if PARTICLES in mesh.manual_axes else 1


def particle_device() -> Int[Array, ""]:
    """The number of this device among those that share the particles."""
    return lax.axis_index(PARTICLES) if particle_devices() > 1 else jnp.zeros((), int)


def of_all_devices(tree: T) -> list[T]:
    """What each of the devices that share the particles has, on every one of them."""
    if particle_devices() == 1:
        return [tree]
    stacked = jax.tree.map(lambda leaf: lax.all_gather(leaf, PARTICLES), tree)
    return [jax.tree.map(lambda leaf, p=p: leaf[p], stacked) for p in range(particle_devices())]


def batch_axes() -> tuple[str, ...]:
    """The mesh axes over which a batch is divided here; none outside of a `shard_map` over them."""
    return (DATA,) if DATA in jax.sharding.get_abstract_mesh().manual_axes else ()


def mean_over_batch(tree: T) -> T:
    """The mean of what the devices that share a batch have, on every one; no gradient passes."""
    tree = lax.stop_gradient(tree)
    return lax.pmean(tree, batch_axes()) if batch_axes() else tree


def whole_batch(tree: T) -> T:
    """The rows that the devices that share a batch have, in order, on every one; no gradient."""
    tree = lax.stop_gradient(tree)
    if not batch_axes():
        return tree
    return jax.tree.map(lambda leaf: lax.all_gather(leaf, DATA, tiled=True), tree)


def sum_over_particles(tree: T) -> T:
    """The sum of what the devices that share the particles have, on every one."""
    return lax.psum(tree, PARTICLES) if particle_devices() > 1 else tree
