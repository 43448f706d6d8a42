"""log Z as one record, whatever it came from; exact by enumeration; a bracket of two estimates."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Key, PyTree

from remjax.boltzmann.families import Bits
from remjax.boltzmann.machine import Machine, check_count
from remjax.boltzmann.machine_checks import check_machine
from remjax.errors import InputError
from remjax.particles.weights import effective_sample_size, log_mean_exp, resample_multinomial

U = TypeVar("U")

# Of the units that are enumerated: 2^25 states of them are some minutes of work.
_MOST = 25
# States that are summed at once.
_BLOCK = 12


class Sum(NamedTuple):
    """A sum in two parts: thousands of float32 numbers without loss (Kahan 1965)."""

    total: Float[Array, " C"]
    lost: Float[Array, " C"]

    def plus(self, term: Float[Array, " C"]) -> "Sum":
        """The sum with another term."""
        corrected = term - self.lost
        total = self.total + corrected
        return Sum(total, (total - self.total) - corrected)


class LogPartition(NamedTuple):
    """An estimate of log Z and what it is made of.

    That of independent annealed chains is one of the two kinds below, which say from which end the
    chains came; those of `exact` and of populations, whose chains are relatives, are neither.

    Attributes:
        log_z: the estimate, nats.
        stderr: its standard error over the chains, nats, by the delta method; 0 where it is exact.
            It knows nothing of what no chain has seen.
        ess: effective number of chains; infinite where it is exact.
        log_weights: of each chain, nats.
        samples: the units where the chains ended; of forward ones, weighted, samples of the
            machine. None where there are none.
    """

    log_z: Float[Array, ""]
    stderr: Float[Array, ""]
    ess: Float[Array, ""]
    log_weights: Float[Array, " C"]
    samples: Any


class ForwardChains(LogPartition):
    """Of independent chains from a base to the machine (`ais`).

    log_z is the log of the mean of exp(log_weights), an estimate of Z without bias, so that log_z
    is too small on average.
    """

    __slots__ = ()


class ReverseChains(LogPartition):
    """Of independent chains from samples of the machine to a base (`reverse_ais`).

    -log_z is the log of the mean of exp(-log_weights), so that log_z is too large on average where
    the samples were exact.
    """

    __slots__ = ()


Kind = TypeVar("Kind", ForwardChains, ReverseChains)


def from_forward(log_weights: Float[Array, " C"], samples: PyTree) -> ForwardChains:
    """The record of independent forward chains whose exp(log_weights) has the mean Z."""
    return ForwardChains(
        log_mean_exp(log_weights),
        _stderr(log_weights),
        effective_sample_size(log_weights),
        log_weights,
        samples,
    )


def from_reverse(log_weights: Float[Array, " C"], samples: PyTree) -> ReverseChains:
    """The record of independent reverse chains whose exp(-log_weights) has the mean 1 / Z."""
    return ReverseChains(
        -log_mean_exp(-log_weights),
        _stderr(-log_weights),
        effective_sample_size(-log_weights),
        log_weights,
        samples,
    )


def joined(records: Sequence[Kind]) -> Kind:
    """Independent records of one path as one, chains after chains.

    Args:
        records: one or more, all of `ais` or all of `reverse_ais`.

    Raises:
        InputError: for no records, those of both directions or of no independent chains, and those
            of different machines.
    """
    kinds = sorted({type(one).__name__ for one in records})
    if kinds not in (["ForwardChains"], ["ReverseChains"]):
        raise InputError(
            f"records of {' and '.join(kinds) or 'nothing'} are not put together: give one or "
            "more, all of ais or all of reverse_ais"
        )
    check_same_units(records)
    log_weights = jnp.concatenate([one.log_weights for one in records])
    samples = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *[r.samples for r in records])
    if isinstance(records[0], ForwardChains):
        return from_forward(log_weights, samples)
    return from_reverse(log_weights, samples)


def check_same_units(records: Sequence[LogPartition]) -> None:
    """Hold records against one another: chains [C] of units of one form.

    Raises:
        InputError: naming the shapes.
    """
    shapes = [one.log_weights.shape for one in records]
    if any(len(shape) != 1 for shape in shapes):
        raise InputError(
            f"log weights of the shapes {shapes}: give records of one run each, [C], or call it "
            "within vmap"
        )
    units = [[np.shape(leaf)[1:] for leaf in jax.tree.leaves(one.samples)] for one in records]
    forms = {jax.tree.structure(one.samples) for one in records}
    if len(forms) > 1 or any(one != units[0] for one in units):
        raise InputError(
            f"the records are of different machines, with units of the shapes "
            f"{', '.join(map(str, units))}: give those of one path"
        )


def _stderr(log_weights: Float[Array, " C"]) -> Float[Array, ""]:
    """sd(w) / (mean(w) sqrt(C)); infinite of one chain, which says nothing of its error."""
    count = log_weights.shape[0]
    if count == 1:
        return jnp.full((), jnp.inf)
    relative = jnp.exp(log_weights - log_mean_exp(log_weights))
    return jnp.std(relative, ddof=1) / math.sqrt(count)


def exact(machine: Machine[U]) -> LogPartition:
    """log Z by enumeration: the largest block summed out, every state of the others.

    The cost doubles with each unit of the smaller side: 2^20 states against 784 units are seconds.
    Gradients reach the parameters: those of log Z are -E_p[dE].

    Raises:
        InputError: for more than 25 units that are enumerated, or real ones among them; for what
            is no machine of finite parameters.
    """
    check_machine(machine)
    _enumerated(machine)
    log_z = _summed(machine)
    zero = jnp.zeros_like(log_z)
    return LogPartition(log_z, zero, jnp.full_like(log_z, jnp.inf), log_z[None], None)


@jax.jit
def _summed(machine: Machine[U]) -> Float[Array, ""]:
    largest, places = _enumerated(machine)
    count = 2 ** len(places)
    size = min(count, 2**_BLOCK)

    @jax.checkpoint
    def block_sum(number: Int[Array, ""]) -> Float[Array, ""]:
        units = _states(machine, places, number * size + jnp.arange(size))
        return jax.nn.logsumexp(machine.log_sum_out(largest, units))

    return jax.nn.logsumexp(lax.map(block_sum, jnp.arange(count // size)))


def log_partition(machine: Machine[U]) -> Float[Array, ""]:
    """log Z in nats, exactly: `exact(machine).log_z`."""
    return exact(machine).log_z


def exact_samples(key: Key[Array, ""], machine: Machine[U], num_samples: int) -> U:
    """Independent exact draws, by enumeration of up to 2^16 states. Consumes the key.

    Raises:
        InputError: for more than 16 units that are enumerated, or real ones among them; for what
            is no machine of finite parameters.
    """
    check_machine(machine)
    check_count("num_samples", num_samples)
    largest, places = _enumerated(machine)
    if len(places) > 16:
        raise InputError(
            f"exact draws enumerate 16 units at most, and these are {len(places)}: run chains"
        )
    states = _states(machine, places, jnp.arange(2 ** len(places)))
    key_state, key_block = jax.random.split(key)
    # Not `jax.random.categorical`, which draws a number for each sample AND state.
    chosen = resample_multinomial(key_state, machine.log_sum_out(largest, states), num_samples)
    units = jax.tree.map(lambda leaf: leaf[chosen], states)
    return machine.draw_block(key_block, largest, units, machine.field(largest, units))


def num_enumerated(machine: Machine[Any]) -> int | None:
    """How many units `exact` enumerates: all but the block that it sums out.

    That is the largest block, or the real units wherever there are some. None for two sides of real
    units, whose log Z is not known exactly.
    """
    summed_out = _summed_out(machine)
    return None if summed_out is None else sum(machine.sizes) - machine.sizes[summed_out]


def _summed_out(machine: Machine[Any]) -> int | None:
    real = [b for b, family in enumerate(machine.families) if not isinstance(family, Bits)]
    if len(real) > 1:
        return None
    return real[0] if real else int(np.argmax(machine.sizes))


def _enumerated(machine: Machine[U]) -> tuple[int, list[tuple[int, int]]]:
    """The block that is summed out, and (block, place in it) of each unit that is enumerated."""
    largest = _summed_out(machine)
    if largest is None:
        raise InputError("log Z of two sides of real units is not known exactly: estimate it")
    places = [
        (block, place)
        for block, size in enumerate(machine.sizes)
        if block != largest
        for place in range(size)
    ]
    if len(places) > _MOST:
        raise InputError(
            f"exact log Z enumerates 2^{len(places)} states and 2^{_MOST} is the most: use ais or "
            "population_annealing"
        )
    return largest, places


def _states(machine: Machine[U], places: list[tuple[int, int]], codes: Int[Array, " n"]) -> U:
    """The units whose enumerated bits are those of the codes; the others are zero."""
    digits = (codes[:, None] >> jnp.arange(len(places))) & 1
    values, start = [], 0
    enumerated = {block for block, _ in places}
    for block, size in enumerate(machine.sizes):
        width = size if block in enumerated else 0
        drawn = digits[:, start : start + width].astype(machine.dtype)
        values.append(drawn if width else jnp.zeros((codes.shape[0], size), machine.dtype))
        start += width
    return machine.units(values)
