"""log Z by annealed importance sampling, forward and in reverse (Neal 2001).

Forward chains begin at the base and end at the machine: their estimate of Z has no bias, so that
log Z comes out too small and a likelihood too large. Reverse chains begin at samples of the machine
and err the other way. Neither says it of itself: report both (`bracket`).
"""

import functools
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Key, Shaped

from remjax.boltzmann.machine import as_states, check_count
from remjax.boltzmann.partition import (
    ForwardChains,
    ReverseChains,
    Sum,
    from_forward,
    from_reverse,
)
from remjax.boltzmann.paths import Path, check_inverse_temperatures, check_path
from remjax.errors import InputError

U = TypeVar("U")


def ais(
    key: Key[Array, ""],
    path: Path[U],
    inverse_temperatures: Shaped[Any, " T"],
    *,
    num_chains: int = 1000,
    num_sweeps: int = 1,
) -> ForwardChains:
    """log Z by chains from the base to the machine (Neal 2001; Salakhutdinov & Murray 2008).

    log w = log Z_base + sum_t log f_{t+1}(z_t) - log f_t(z_t), the first block of z_t summed out;
    z_{t+1} is a sweep at the temperature t + 1 further. The sum is compensated: 30,000 temperatures
    in float32 lose less than 0.01 nats.

    Args:
        key: of all chains. Consumed.
        path: from a base to the machine.
        inverse_temperatures: [T], rising from 0 to 1 (`choose_inverse_temperatures`).
        num_chains: C, independent of one another.
        num_sweeps: at each temperature.

    Returns:
        The record; its samples are where the chains ended, after a sweep at temperature one, and
        have the weights `log_weights`. No gradient passes.

    Raises:
        InputError: for inverse temperatures that do not rise from 0 to 1, or no chains.
    """
    check_path(path)
    check_count("num_chains", num_chains)
    check_count("num_sweeps", num_sweeps)
    schedule = check_inverse_temperatures(inverse_temperatures)
    return _forward(key, path, schedule, num_chains, num_sweeps)


def reverse_ais(
    key: Key[Array, ""],
    path: Path[U],
    inverse_temperatures: Shaped[Any, " T"],
    samples: U,
    *,
    num_sweeps: int = 1,
) -> ReverseChains:
    """log Z by chains from samples of the machine down to the base.

    exp(-log w) has the mean 1 / Z where the samples are exact; then log Z comes out too large on
    average, and an upper bound stands beside the lower one of `ais` (Burda et al. 2015, RAISE;
    Grosse et al. 2015). Samples of a chain that mixes badly spoil that: give those of long ones.

    Args:
        key: of all chains. Consumed.
        path: the one of the forward chains.
        inverse_temperatures: those of the forward chains, rising.
        samples: units of the machine, [C, ...] each; independent ones for an honest standard error.
        num_sweeps: at each temperature.

    Returns:
        The record; its samples are where the chains ended. No gradient passes.

    Raises:
        InputError: for inverse temperatures that do not rise from 0 to 1, or samples that are none
            of this machine.
    """
    check_path(path)
    check_count("num_sweeps", num_sweeps)
    samples = _checked_samples(path, samples)
    schedule = check_inverse_temperatures(inverse_temperatures)
    return _reverse(key, path, schedule, samples, num_sweeps)


def _checked_samples(path: Path[U], samples: U) -> U:
    samples = as_states(path.machine, samples, "samples")
    counts = [leaf.shape[:-1] for leaf in jax.tree.leaves(samples)]
    if len(set(counts)) != 1 or len(counts[0]) != 1 or not counts[0][0]:
        shapes = [leaf.shape for leaf in jax.tree.leaves(samples)]
        raise InputError(
            f"samples of the shapes {shapes}: give the same number of each, one or more"
        )
    return samples


def _walk(
    key: Key[Array, ""],
    path: Path[U],
    units: U,
    schedule: Float[Array, " T"],
    num_sweeps: int,
    *,
    backward: bool,
) -> tuple[U, Float[Array, " C"]]:
    """The units at the end of a schedule, rising or falling, and the sum of the log ratios."""

    def step(carry: tuple[U, Sum], number: Int[Array, ""]) -> tuple[tuple[U, Sum], None]:
        units, log_w = carry
        start, end = schedule[number], schedule[number + 1]
        ahead = path.ahead(units)
        log_w = log_w.plus(path.log_ratio(units, ahead, start, end))
        one = jax.random.fold_in(key, number * num_sweeps)
        units = path.sweep_from(one, units, ahead, end, backward=backward)
        for extra in range(1, num_sweeps):
            another = jax.random.fold_in(key, number * num_sweeps + extra)
            units = path.sweep(another, units, end, backward=backward)
        return (units, log_w), None

    zero = jnp.zeros(jax.tree.leaves(units)[0].shape[0])
    numbers = jnp.arange(schedule.shape[0] - 1)
    (units, log_w), _ = lax.scan(step, (units, Sum(zero, zero)), numbers)
    return units, log_w.total


@functools.partial(jax.jit, static_argnames=("num_chains", "num_sweeps"))
def _forward(
    key: Key[Array, ""],
    path: Path[U],
    schedule: Float[Array, " T"],
    num_chains: int,
    num_sweeps: int,
) -> ForwardChains:
    path = lax.stop_gradient(path)
    key_base, key_walk = jax.random.split(key)
    units = path.draw_base(key_base, (num_chains,))
    units, log_ratio = _walk(key_walk, path, units, schedule, num_sweeps, backward=False)
    return from_forward(path.log_z_of_base + log_ratio, units)


@functools.partial(jax.jit, static_argnames="num_sweeps")
def _reverse(
    key: Key[Array, ""],
    path: Path[U],
    schedule: Float[Array, " T"],
    samples: U,
    num_sweeps: int,
) -> ReverseChains:
    path, samples = lax.stop_gradient((path, samples))
    units, log_ratio = _walk(key, path, samples, schedule[::-1], num_sweeps, backward=True)
    return from_reverse(path.log_z_of_base - log_ratio, units)
