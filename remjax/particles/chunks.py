"""How K particles are cut: into chunks that are held in memory, over the devices that share them.

Chunk c holds the particles c * size, ..., (c + 1) * size - 1 whatever the mesh, and belongs to
device c mod P of the P that share the particles. Each device goes through its own in turns.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int, PyTree

from remjax.errors import InputError
from remjax.sharding import of_all_devices, particle_device, particle_devices

# Particles per chunk where the caller knows nothing better; estimators choose from the batch size.
DEFAULT_CHUNK_SIZE = 64

C = TypeVar("C")


def check_counts(num_particles: int, chunk_size: int | None, keep: int | None) -> None:
    """Raise InputError where the numbers of particles make no sense together."""
    if num_particles < 1:
        raise InputError(f"num_particles is {num_particles}: give at least 1 particle")
    if chunk_size is not None and chunk_size < 1:
        raise InputError(f"chunk_size is {chunk_size}: give at least 1, or leave it out")
    if keep is not None and not 1 <= keep <= num_particles:
        raise InputError(
            f"keep is {keep}: give a number from 1 to num_particles ({num_particles}), "
            "or leave it out to keep all particles"
        )


def balanced_chunks(num_particles: int, chunk_size: int) -> tuple[int, int]:
    """(number of chunks, particles per chunk): as even as can be, none above `chunk_size`."""
    num_chunks = -(-num_particles // min(chunk_size, num_particles))
    return num_chunks, -(-num_particles // num_chunks)


def even_chunk_size(num_particles: int, most: int) -> int:
    """The largest chunk size up to `most` that gives all devices here the same number of chunks."""
    devices = particle_devices()
    turns = balanced_chunks(-(-num_particles // devices), most)[0]
    return -(-num_particles // (turns * devices))


class Cut(NamedTuple):
    """K particles in chunks of `size` over the devices that share them.

    Attributes:
        num_particles: K.
        size: particles per chunk; the last chunk is padded.
    """

    num_particles: int
    size: int

    @property
    def num_chunks(self) -> int:
        """The number of chunks that hold a particle."""
        return -(-self.num_particles // self.size)

    @property
    def turns(self) -> int:
        """The chunks of each device; those from `num_chunks` on hold nothing but padding."""
        return -(-self.num_chunks // particle_devices())

    def chunk(self, turn: Int[Array, ""]) -> Int[Array, ""]:
        """The number of the chunk that is this device's in this turn."""
        return turn * particle_devices() + particle_device()

    def exists(self, chunk: Int[Array, ""]) -> Bool[Array, ""]:
        """Whether the chunk holds a particle."""
        if self.turns * particle_devices() == self.num_chunks:
            return jnp.ones((), bool)  # known to the compiler
        return chunk < self.num_chunks

    def index(self, chunk: Int[Array, ""]) -> Int[Array, " C"]:
        """The numbers of the particles of a chunk; from K on they are padding."""
        return chunk * self.size + jnp.arange(self.size)

    def stream(
        self, absorb: Callable[[C, Int[Array, ""]], tuple[C, PyTree]], carry: C
    ) -> tuple[C, PyTree]:
        """Carry something through this device's turns; what each turn gives is stacked.

        Args:
            absorb: (carry, turn) -> (carry, whatever is to be stacked).
            carry: at the start.
        """
        first = jnp.zeros((), int)
        if self.turns == 1:
            carry, given = absorb(carry, first)
            return carry, jax.tree.map(lambda leaf: leaf[None], given)

        # The number of the turn is carried: an array of all of them would grow with K.
        def absorb_next(state: tuple[C, Int[Array, ""]], _: None) -> Any:
            carry, turn = state
            carry, given = absorb(carry, turn)
            return (carry, turn + 1), given

        (carry, _), given = lax.scan(absorb_next, (carry, first), length=self.turns)
        return carry, given

    def in_order(self, given: PyTree) -> PyTree:
        """What the turns of all devices gave, [turns, ...] on each, as that of chunks 0, 1, ..."""
        devices = of_all_devices(given)
        interleaved = jax.tree.map(lambda *leaves: jnp.stack(leaves, axis=1), *devices)
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), interleaved)
