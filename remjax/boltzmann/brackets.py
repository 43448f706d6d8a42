"""log Z from both sides: forward and reverse chains, and the bridge between them."""

import math
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Key, Shaped

from remjax.boltzmann.annealing import ais, reverse_ais
from remjax.boltzmann.gibbs import gibbs_steps
from remjax.boltzmann.machine import as_states, check_count
from remjax.boltzmann.partition import ForwardChains, ReverseChains, check_same_units
from remjax.boltzmann.paths import Path, check_path
from remjax.errors import InputError

U = TypeVar("U")


class Bracket(NamedTuple):
    """log Z from both sides.

    Attributes:
        lower: of forward chains, too small on average.
        upper: of reverse chains, too large on average where their samples are exact.
        log_z: the bridge between both, nats: of least variance (Bennett 1976).
        stderr: of the bridge, nats.
    """

    lower: ForwardChains
    upper: ReverseChains
    log_z: Float[Array, ""]
    stderr: Float[Array, ""]

    @property
    def gap(self) -> Float[Array, ""]:
        """upper - lower, nats."""
        return self.upper.log_z - self.lower.log_z


def bracket(forward: ForwardChains, reverse: ReverseChains) -> Bracket:
    """Forward and reverse chains of the same path together, and the bridge between them.

    The bridge is Bennett's acceptance ratio (1976): with s the sigmoid and m = log(C_F / C_R) it
    solves sum_F s(log w - log Z - m) = sum_R s(log Z - log w + m), F the forward chains. Its
    standard error is infinite where one side has a single chain, which says nothing of its own.

    Args:
        forward: of `ais`.
        reverse: of `reverse_ais`, on the same path and inverse temperatures.

    Raises:
        InputError: for records of anything else, `exact` and `population_annealing` among them; for
            those of different machines.
    """
    if not (isinstance(forward, ForwardChains) and isinstance(reverse, ReverseChains)):
        raise InputError(
            f"a bracket of {type(forward).__name__} and {type(reverse).__name__} cannot be: give "
            "the record of ais, and after it that of reverse_ais"
        )
    check_same_units([forward, reverse])
    return Bracket(forward, reverse, *_bridge(forward.log_weights, reverse.log_weights))


def measure_bracket(
    key: Key[Array, ""],
    path: Path[U],
    inverse_temperatures: Shaped[Any, " T"],
    starts: U,
    *,
    num_chains: int = 500,
    burn_in: int = 1000,
) -> Bracket:
    """Forward chains from the base, and reverse ones from chains that ran long from elsewhere.

    Args:
        key: of everything. Consumed.
        path: from a base to the machine.
        inverse_temperatures: [T], rising from 0 to 1.
        starts: units, [R, ...] each, where the chains begin whose ends the reverse ones begin at:
            data (`init(key, machine, R, data)`), so that what the forward chains have missed shows.
        num_chains: C, of forward chains.
        burn_in: sweeps from the starts to the beginning of the reverse chains.

    Raises:
        InputError: as `ais` does, and for fewer than one sweep.
    """
    check_path(path)
    starts = as_states(path.machine, starts, "starts")
    check_count("burn_in", burn_in)
    key_forward, key_burn, key_reverse = jax.random.split(key, 3)
    forward = ais(key_forward, path, inverse_temperatures, num_chains=num_chains)
    samples, _ = gibbs_steps(key_burn, path.machine, starts, burn_in)
    return bracket(forward, reverse_ais(key_reverse, path, inverse_temperatures, samples))


@jax.jit
def _bridge(
    forward: Float[Array, " F"], reverse: Float[Array, " R"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """log Z of least variance, by bisection of a monotone equation, and its standard error."""
    shift = math.log(forward.shape[0] / reverse.shape[0])
    # Relative to one of them: log Z itself may be hundreds.
    origin = jnp.mean(forward)
    f, r = forward - origin, reverse - origin

    def excess(log_z: Float[Array, ""]) -> Float[Array, ""]:
        """Falls with log Z, and is zero at the solution."""
        return jnp.sum(jax.nn.sigmoid(f - log_z - shift)) - jnp.sum(
            jax.nn.sigmoid(log_z - r + shift)
        )

    def halve(_: Int[Array, ""], ends: tuple[Array, Array]) -> tuple[Array, Array]:
        middle = 0.5 * (ends[0] + ends[1])
        above = excess(middle) > 0
        return jnp.where(above, middle, ends[0]), jnp.where(above, ends[1], middle)

    both = jnp.concatenate([f, r])
    ends = (jnp.min(both) - abs(shift) - 1.0, jnp.max(both) + abs(shift) + 1.0)
    low, high = lax.fori_loop(0, 60, halve, ends)
    log_z = 0.5 * (low + high)
    parts = jax.nn.sigmoid(f - log_z - shift), jax.nn.sigmoid(log_z - r + shift)
    variance = sum(
        jnp.var(p) / (p.shape[0] * jnp.square(jnp.mean(p))) if p.shape[0] > 1 else jnp.inf
        for p in parts
    )
    return log_z + origin, jnp.sqrt(jnp.asarray(variance))
