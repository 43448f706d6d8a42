"""Inverse temperatures chosen for a machine, on pilot chains that do not count."""

import functools
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Key

from remjax.boltzmann.machine import check_count
from remjax.boltzmann.paths import Path, check_path
from remjax.errors import InputError
from remjax.particles.weights import effective_sample_size, resample_systematic

U = TypeVar("U")

# Steps of the pilots, at most: machines that need more have them from interpolation.
_MOST = 4096
# Halvings of the interval in which the next inverse temperature lies.
_HALVINGS = 24


def choose_inverse_temperatures(
    key: Key[Array, ""],
    path: Path[U],
    count: int | None = None,
    *,
    num_pilots: int = 128,
    efficiency: float = 0.9,
) -> Float[np.ndarray, " T"]:
    """Inverse temperatures such that every step costs the weights as much.

    Pilot chains go from the base to the machine; each next inverse temperature is the one at which
    the effective sample size of the step's weights is `efficiency` of the chains, which are then
    resampled and swept. `count` steps are laid evenly among those of the pilots, by interpolation.
    Schedules adapted to the very chains that are counted would bias log Z, by O(1 / chains): the
    pilots are thrown away, and the chains that count have other keys. How many steps the pilots
    take is known when they have run: it cannot be part of a compiled function.

    Args:
        key: of the pilots. Consumed.
        path: from a base to the machine.
        count: of steps, T - 1; as many as the pilots made by default. With one, annealing is
            importance sampling from the base.
        num_pilots: chains.
        efficiency: above 0 and below 1; nearer to 1 makes more steps.

    Returns:
        [T] numbers rising from 0 to 1, for `ais` and `population_annealing`.

    Raises:
        InputError: for another efficiency, a count below one, or fewer than two pilots.
    """
    check_path(path)
    if not 0.0 < efficiency < 1.0:
        raise InputError(f"efficiency is {efficiency}: give a number between 0 and 1")
    check_count("num_pilots", num_pilots, 2)
    if count is not None:
        check_count("count", count)
    found, steps = _pilot(key, path, efficiency, num_pilots)
    knots = np.array(found, np.float64)[: int(steps) + 1]  # JAX lends its own read-only
    knots[-1] = max(1.0, knots[-1])  # where the pilots ran out of steps
    places = np.arange(len(knots))
    # The last step of the pilots leads beyond 1: as much of it counts as leads there.
    end = float(np.interp(1.0, knots, places))
    wanted = places if count is None else np.linspace(0.0, end, count + 1)
    chosen = np.interp(wanted, places, knots)
    chosen[-1] = 1.0
    return chosen


@functools.partial(jax.jit, static_argnames="num_pilots")
def _pilot(
    key: Key[Array, ""], path: Path[U], efficiency: float | Float[Array, ""], num_pilots: int
) -> tuple[Float[Array, " _"], Int[Array, ""]]:
    """The inverse temperatures of the pilots, the last one beyond 1, and the number of steps."""
    path = lax.stop_gradient(path)
    key_base, key = jax.random.split(key)

    def unfinished(carry: tuple[Any, Array, Array]) -> Array:
        _, found, steps = carry
        return (found[steps] < 1.0) & (steps < _MOST)

    def step(carry: tuple[Any, Array, Array]) -> tuple[Any, Array, Array]:
        units, found, steps = carry
        now, ahead = found[steps], path.ahead(units)

        def log_w(end: Float[Array, ""]) -> Float[Array, " C"]:
            return path.log_ratio(units, ahead, now, end)

        def good(end: Float[Array, ""]) -> Array:
            return effective_sample_size(log_w(end)) >= efficiency * num_pilots

        def halve(_: Int[Array, ""], ends: tuple[Array, Array]) -> tuple[Array, Array]:
            middle = 0.5 * (ends[0] + ends[1])
            fits = good(middle)
            return jnp.where(fits, middle, ends[0]), jnp.where(fits, ends[1], middle)

        farthest = now + 1.0
        _, end = lax.fori_loop(0, _HALVINGS, halve, (now, farthest))
        end = jnp.where(good(farthest), farthest, end)
        key_resample, key_sweep = jax.random.split(jax.random.fold_in(key, steps))
        chosen = resample_systematic(key_resample, log_w(end), num_pilots)
        units = jax.tree.map(lambda leaf: leaf[chosen], units)
        units = path.sweep(key_sweep, units, end)
        return units, found.at[steps + 1].set(end), steps + 1

    start = (path.draw_base(key_base, (num_pilots,)), jnp.zeros(_MOST + 1), jnp.zeros((), int))
    _, found, steps = lax.while_loop(unfinished, step, start)
    return found, steps
