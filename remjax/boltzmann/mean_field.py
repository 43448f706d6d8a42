"""Mean-field fixed points: an approximation of a machine, and the modes of its distribution."""

from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from remjax.boltzmann.machine import Machine, as_chains, as_states, check_count
from remjax.boltzmann.rbm import RBM
from remjax.data.checks import is_concrete

U = TypeVar("U")


def mean_field(machine: Machine[U], start: U, num_sweeps: Int[Array, ""] | int) -> U:
    """Independent units of locally least KL divergence to the machine, by coordinate descent.

    Each block in turn has its means replaced by those given the means of the others:
    m_block <- E[z_block | others = m]. KL(prod_i q_i || p) falls with every replacement.

    Args:
        machine: of any kind.
        start: means to begin at, units of real values in their place; chain states make each
            chain find its mode (Vahdat et al. 2019, Section 4.1.1).
        num_sweeps: over all blocks; 40 in the code of Vahdat et al.

    Returns:
        The means. Gradients flow through the sweeps where their number is no traced one.

    Raises:
        InputError: for a start that is not of the machine's form, or less than no sweep.
    """
    start = as_chains(machine, start, "start")
    check_count("num_sweeps", num_sweeps, 0)
    if is_concrete(num_sweeps):
        return _compiled(machine, start, int(num_sweeps))
    return _descended(machine, start, num_sweeps)


def log_z_bound(machine: RBM, start: Float[Array, " V"], num_sweeps: int) -> Float[Array, ""]:
    """H(m) - F(m) <= log Z, nats, for means m of independent visible bits (Saul et al. 1996).

    The hidden units, independent given the visible ones, are summed out; F is concave in v, so that
    E[-F(v)] >= -F(m). The gradient reaches the machine, and not m: it is that of the bound where m
    is a fixed point.

    Args:
        machine: whose visible units are bits.
        start: means of the visible units that the iteration begins at.
        num_sweeps: of the iteration, m <- E[v | E[h | m]]; one or more, a Python number.
    """
    fixed, mean = lax.stop_gradient((machine, start))
    field = jnp.zeros_like(mean)
    for _ in range(num_sweeps):
        field = fixed.visible_field(fixed.hidden_mean(mean))
        mean = jax.nn.sigmoid(field)
    entropy = jnp.sum(jax.nn.softplus(field) - mean * field)
    return entropy - machine.free_energy(mean)


def _descended(machine: Machine[U], start: U, num_sweeps: Int[Array, ""] | int) -> U:
    def sweep(_: Int[Array, ""], means: U) -> U:
        for block, family in enumerate(machine.families):
            means = machine.with_values(block, means, family.mean(machine.field(block, means)))
        return means

    return lax.fori_loop(0, num_sweeps, sweep, start)


_compiled = jax.jit(_descended, static_argnums=2)


class Modes(NamedTuple):
    """The fixed points that chains were drawn to.

    Attributes:
        means: [M, N], those of all units, block after block; the mode of most chains first.
        counts: [M], the chains of each.
    """

    means: Float[np.ndarray, "M N"]
    counts: Int[np.ndarray, " M"]


def find_modes(
    machine: Machine[U], chains: U, *, num_sweeps: int = 40, least: int = 6, decimals: int = 2
) -> Modes:
    """The modes of a machine, counted as Vahdat et al. 2019 do (Section 4.1.1).

    Every chain is the start of a mean-field iteration; fixed points whose means agree once they are
    rounded are one mode. How many there are is known when it has run: it cannot be part of a
    compiled function.

    Args:
        machine: of any kind.
        chains: samples of it, of any leading axes.
        num_sweeps: of each iteration.
        least: chains that a mode has; those of fewer are left out (the authors: more than 5).
        decimals: that the means are rounded to.

    Raises:
        InputError: for chains that are not of the machine's form, or values that units cannot have.
    """
    means = mean_field(machine, as_states(machine, chains), num_sweeps)
    blocks = [np.asarray(machine.values(b, means)) for b in range(len(machine.families))]
    rows = np.concatenate([block.reshape(-1, block.shape[-1]) for block in blocks], axis=1)
    # Zero is added for the sake of -0, which has other bytes than 0.
    unique, counts = np.unique(np.round(rows, decimals) + 0.0, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] >= least]
    return Modes(unique[order], counts[order])
