"""log Z, and samples, by population annealing: annealed chains that are resampled on the way.

Hukushima & Iba 2003; a sequential Monte Carlo sampler (Del Moral et al. 2006). Chains of little
weight die and others multiply where the effective number falls, so that the population stays one of
samples: a negative phase of learning, and what the closed QuPA of Vahdat et al. 2019 does.
"""

import functools
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key, PyTree, Shaped

from remjax.boltzmann.machine import check_count
from remjax.boltzmann.partition import LogPartition, Sum
from remjax.boltzmann.paths import Path, check_inverse_temperatures, check_path
from remjax.data.checks import is_concrete
from remjax.errors import InputError
from remjax.particles.weights import (
    effective_sample_size,
    log_mean_exp,
    normalize_log_weights,
    resample_systematic,
)

U = TypeVar("U")


def population_annealing(
    key: Key[Array, ""],
    path: Path[U],
    inverse_temperatures: Shaped[Any, " T"],
    *,
    num_chains: int = 1024,
    num_populations: int = 16,
    num_sweeps: int = 1,
    resample_below: float = 0.5,
) -> LogPartition:
    """log Z by independent populations of chains.

    A population's estimate of Z is the product of its mean weights from one resampling to the next:
    it has no bias. log Z is the log of the mean over the populations, so that it is too small on
    average, as that of `ais`; its standard error is that between the populations.

    Args:
        key: of everything. Consumed.
        path: from a base to the machine.
        inverse_temperatures: [T], rising from 0 to 1 (`choose_inverse_temperatures`).
        num_chains: of all populations together.
        num_populations: G, which divides the chains; with one there is no standard error.
        num_sweeps: at each temperature.
        resample_below: a population is resampled where its effective number is less than this share
            of its chains.

    Returns:
        The record. `log_weights` of a chain: that of its population and, since the last resampling,
        its own; `ess` counts the ancestors that are left, weighted, so that chains of one family
        count once. No gradient passes.

    Raises:
        InputError: for inverse temperatures that do not rise from 0 to 1, no chains or
            populations, chains that the populations do not divide, or a share outside [0, 1].
    """
    check_path(path)
    check_count("num_chains", num_chains)
    check_count("num_populations", num_populations)
    if num_chains % num_populations:
        raise InputError(
            f"num_populations is {num_populations}: give a number that divides the "
            f"{num_chains} chains"
        )
    check_count("num_sweeps", num_sweeps)
    if is_concrete(resample_below) and not 0 <= resample_below <= 1:
        raise InputError(f"resample_below is {resample_below}: give a share between 0 and 1")
    schedule = check_inverse_temperatures(inverse_temperatures)
    return _anneal(key, path, schedule, resample_below, num_chains, num_populations, num_sweeps)


class _Population(NamedTuple):
    """One population.

    Attributes:
        units: of its chains.
        log_w: of its chains since the last resampling.
        log_z: of the resamplings so far, less log Z of the base.
        family: the first ancestor of each chain.
    """

    units: Any
    log_w: Sum
    log_z: Float[Array, ""]
    family: Int[Array, " c"]


@functools.partial(jax.jit, static_argnames=("num_chains", "num_populations", "num_sweeps"))
def _anneal(
    key: Key[Array, ""],
    path: Path[U],
    schedule: Float[Array, " T"],
    resample_below: float | Float[Array, ""],
    num_chains: int,
    num_populations: int,
    num_sweeps: int,
) -> LogPartition:
    path = lax.stop_gradient(path)
    size = num_chains // num_populations

    def grow(key: Key[Array, ""]) -> _Population:
        key_base, key = jax.random.split(key)
        zero = jnp.zeros(())
        start = _Population(path.draw_base(key_base, (size,)), _zeros(size), zero, jnp.arange(size))

        def step(one: _Population, number: Int[Array, ""]) -> tuple[_Population, None]:
            begin, end = schedule[number], schedule[number + 1]
            key_resample, key_sweep = jax.random.split(jax.random.fold_in(key, number))
            ahead = path.ahead(one.units)
            log_w = one.log_w.plus(path.log_ratio(one.units, ahead, begin, end))
            # What the sweep begins with is resampled too: it is as large as the units, and dear.
            one = one._replace(units=(one.units, ahead), log_w=log_w)
            one = _resampled(key_resample, one, resample_below * size)
            units, ahead = one.units
            units = path.sweep_from(jax.random.fold_in(key_sweep, 0), units, ahead, end)
            for sweep in range(1, num_sweeps):
                units = path.sweep(jax.random.fold_in(key_sweep, sweep), units, end)
            return one._replace(units=units), None

        return lax.scan(step, start, jnp.arange(schedule.shape[0] - 1))[0]

    population = jax.vmap(grow)(jax.random.split(key, num_populations))
    log_weights = path.log_z_of_base + population.log_z[:, None] + population.log_w.total
    families = population.family + size * jnp.arange(num_populations)[:, None]
    return _record(log_weights, families, population.units)


def _resampled(
    key: Key[Array, ""], one: _Population, least: float | Float[Array, ""]
) -> _Population:
    """The population, resampled where its effective number is below `least`."""
    log_w = one.log_w.total
    due: Bool[Array, ""] = effective_sample_size(log_w) < least
    count = log_w.shape[0]
    chosen = jnp.where(due, resample_systematic(key, log_w, count), jnp.arange(count))
    return _Population(
        jax.tree.map(lambda leaf: leaf[chosen], one.units),
        jax.tree.map(lambda part: jnp.where(due, 0.0, part), one.log_w),
        one.log_z + jnp.where(due, log_mean_exp(log_w), 0.0),
        one.family[chosen],
    )


def _zeros(count: int) -> Sum:
    return Sum(jnp.zeros(count), jnp.zeros(count))


def _record(
    log_weights: Float[Array, "G c"], families: Int[Array, "G c"], units: PyTree
) -> LogPartition:
    groups = log_mean_exp(log_weights)
    log_z = log_mean_exp(groups)
    count = groups.shape[0]
    spread = jnp.std(jnp.exp(groups - log_z), ddof=1) if count > 1 else jnp.inf
    flat = log_weights.reshape(-1)
    weights = normalize_log_weights(flat)
    of_family = jnp.zeros(flat.shape[0]).at[families.reshape(-1)].add(weights)
    return LogPartition(
        log_z,
        jnp.asarray(spread / jnp.sqrt(count)),
        1.0 / jnp.sum(jnp.square(of_family)),
        flat,
        jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), units),
    )
