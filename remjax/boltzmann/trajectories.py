"""Contrastive divergence as a divergence of trajectories (Bachman & Precup 2015, Section 5.4).

q(tau) runs k sweeps of the Gibbs chain from the data, tau = (x_0, z_0, x_1, ..., z_{k-1}, x_k),
and p(tau) runs them backward from the marginal of x_k under q. KL(q || p) has the gradient (35):
that of CD-k, and a term (45) that CD-k leaves out. This file has the trajectories and that term.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from remjax.boltzmann.families import Family
from remjax.boltzmann.machine import check_count
from remjax.boltzmann.rbm import RBM
from remjax.boltzmann.trajectory_checks import (
    check_bits,
    check_distribution,
    check_each,
    check_enumerable,
    check_states,
    check_trajectory,
)
from remjax.errors import InputError


class Trajectory(NamedTuple):
    """A trajectory of k sweeps; leading axes are those of the chains.

    Attributes:
        visible: [k + 1, ..., V], x_0 to x_k.
        hidden: [k, ..., H], z_0 to z_{k-1}.
    """

    visible: Float[Array, "_ ... V"]
    hidden: Float[Array, "_ ... H"]


def trajectory(
    key: Key[Array, ""], machine: RBM, start: Float[Array, "... V"], num_sweeps: int
) -> Trajectory:
    """z_i ~ p(z | x_i), x_{i+1} ~ p(x | z_i), from x_0 = start. Consumes the key; no gradient.

    Raises:
        InputError: for fewer sweeps than one, rows of another width, or values that visible units
            cannot have.
    """
    check_count("num_sweeps", num_sweeps)
    start = jnp.asarray(machine.checked_visible(start), machine.dtype)
    machine, start = lax.stop_gradient((machine, start))

    def step(
        x: Float[Array, "... V"], key: Key[Array, ""]
    ) -> tuple[Float[Array, "... V"], tuple[Float[Array, "... V"], Float[Array, "... H"]]]:
        key_hidden, key_visible = jax.random.split(key)
        z = machine.hidden.draw(key_hidden, machine.hidden_field(x))
        following = machine.visible.draw(key_visible, machine.visible_field(z))
        return following, (following, z)

    _, (visible, hidden) = lax.scan(step, start, jax.random.split(key, num_sweeps))
    return Trajectory(jnp.concatenate([start[None], visible]), hidden)


def forward_log_prob(machine: RBM, tau: Trajectory) -> Float[Array, "..."]:
    """log q(z_0, x_1, ..., x_k | x_0), nats. Gradients reach the machine.

    Raises:
        InputError: for a trajectory of other shapes than `trajectory` makes.
    """
    check_trajectory(machine, *tau)
    to_hidden = _hidden_log_prob(machine, tau.visible[:-1], tau.hidden)
    to_visible = _visible_log_prob(machine, tau.hidden, tau.visible[1:])
    return jnp.sum(to_hidden + to_visible, axis=0)


def backward_log_prob(machine: RBM, tau: Trajectory) -> Float[Array, "..."]:
    """log p(x_0, z_0, ..., z_{k-1} | x_k), nats: the chain run from x_k to x_0.

    Raises:
        InputError: for a trajectory of other shapes than `trajectory` makes.
    """
    check_trajectory(machine, *tau)
    to_hidden = _hidden_log_prob(machine, tau.visible[1:], tau.hidden)
    to_visible = _visible_log_prob(machine, tau.hidden, tau.visible[:-1])
    return jnp.sum(to_hidden + to_visible, axis=0)


def log_ratio(machine: RBM, tau: Trajectory) -> Float[Array, "..."]:
    """log q(z_0, ..., x_k | x_0) / p(x_0, ..., z_{k-1} | x_k) = F(x_0) - F(x_k), nats (37)-(41).

    Without biases of the visible units it is log Z_{x_k} - log Z_{x_0}, as the paper prints it; its
    mean gradient is that of CD-k, to be descended (43).

    Raises:
        InputError: for a trajectory of other shapes than `trajectory` makes.
    """
    check_trajectory(machine, *tau)
    return machine.free_energy(tau.visible[0]) - machine.free_energy(tau.visible[-1])


def neglected_term(
    machine: RBM,
    tau: Trajectory,
    log_marginal: Float[Array, "..."] | float = 0.0,
    baseline: Float[Array, "..."] | None = None,
) -> Float[Array, ""]:
    """A loss whose gradient estimates the term (45) that CD-k leaves out.

    (45) is E_D E_q[grad log q(tau | x) log q(tau | x) / p(tau | x)], a score function: it pushes
    the chains from where q visits more often than p. By (33) the log ratio is, but for terms of x_0
    alone, F(x_0) - F(x_k) - log q(x_k), and terms of x_0 alone have a score of mean zero.

    The paper gives no estimator, for log q(x_k) has no closed form: enumerate it on tiny machines
    (`end_marginal`) or estimate it from the chains (`estimated_end_log_prob`). Without it (0) the
    sum with CD-k is the gradient of E_D[F(x_0)] - E_q[F(x_k)].

    Args:
        machine: its parameters learn.
        tau: trajectories of this machine, [C] of them, x_0 from the data.
        log_marginal: log q(x_k) of the end of each, nats.
        baseline: of each trajectory, a number that depends on neither it nor what follows from it;
            by default the mean of the other trajectories' ratios.

    Returns:
        Its value is no sign of progress. Add it to `likelihood_loss` for the gradient (35).

    Raises:
        InputError: for a trajectory of other shapes than `trajectory` makes, or another number of
            log_marginal or of baselines than of trajectories.
    """
    ratio = log_ratio(machine, tau)
    check_each("log_marginal", log_marginal, ratio.shape)
    check_each("baseline", 0.0 if baseline is None else baseline, ratio.shape)
    signal = lax.stop_gradient(ratio - log_marginal)
    if baseline is None:
        count = signal.size
        baseline = (jnp.sum(signal) - signal) / max(1, count - 1)
    signal = signal - lax.stop_gradient(baseline)
    return jnp.mean(signal * forward_log_prob(machine, lax.stop_gradient(tau)))


def estimated_end_log_prob(machine: RBM, tau: Trajectory) -> Float[Array, " C"]:
    """log q(x_k) of the end of each chain, estimated from the last hidden units of the others.

    log 1/(C - 1) sum_{c' != c} p(x_k^c | z_{k-1}^c'): q(x_k) is the mean of p(x_k | z_{k-1}) over
    the chains. Too small on average, by Jensen's inequality, the more so the fewer chains there
    are.

    Args:
        machine: whose trajectories they are.
        tau: of [C] chains, two or more.

    Raises:
        InputError: for one chain, which has no others, and for other shapes.
    """
    check_trajectory(machine, *tau)
    if tau.visible.ndim != 3:
        raise InputError(
            f"log q(x_k) is estimated from chains [k + 1, C, V], and these are {tau.visible.shape}:"
            " give one axis of them"
        )
    if tau.visible.shape[1] < 2:
        raise InputError("log q(x_k) is estimated from other chains and there is 1: give 2 or more")
    fields = machine.visible_field(tau.hidden[-1])
    ends = tau.visible[-1]
    terms = ends @ fields.T - machine.visible.log_normalizer(fields)
    terms = terms + machine.visible.log_base(ends)[:, None]
    others = jnp.where(jnp.eye(ends.shape[0], dtype=bool), -jnp.inf, terms)
    return jax.nn.logsumexp(others, axis=1) - jnp.log(ends.shape[0] - 1)


def transition_matrix(machine: RBM, states: Float[Array, "n V"]) -> Float[Array, "n n"]:
    """q(x' | x) of one step x -> z -> x', between all states, by enumeration of the hidden units.

    Args:
        machine: of bits, of at most 12 visible units and 25 in all.
        states: all 2^V visible states (`all_bits`), in any order.

    Returns:
        [n, n]; rows sum to one. Gradients reach the machine.

    Raises:
        InputError: for real units, which have no list of states; for a machine too large; for
            other states than all of them.
    """
    to_hidden, to_visible = _conditionals(machine, states)
    check_enumerable(machine, machine.sizes[0], machine.sizes[0])
    return to_hidden @ to_visible


def end_marginal(
    machine: RBM, data: Float[Array, " n"], states: Float[Array, "n V"], num_sweeps: int
) -> Float[Array, " n"]:
    """q(x_k) of all states, where x_0 has the distribution `data` over them (32).

    A step goes by way of the hidden states: 2 n 2^H multiplications, and no [n, n] matrix.

    Raises:
        InputError: as `transition_matrix` does, but for visible units up to 20; for fewer sweeps
            than one; for a D of another number of states, of negative numbers or of another sum
            than one.
    """
    check_count("num_sweeps", num_sweeps)
    to_hidden, to_visible = _conditionals(machine, states)
    check_distribution(data, len(states))
    end = lax.fori_loop(0, num_sweeps, lambda _, q: (q @ to_hidden) @ to_visible, data)
    return end / jnp.sum(end)  # one, but for what hundreds of float32 products have lost


def exact_divergence(
    machine: RBM, data: Float[Array, " n"], states: Float[Array, "n V"], num_sweeps: int
) -> Float[Array, ""]:
    """KL(q || p) of trajectories (24), whose gradient is (35) with the term (45), by enumeration.

    = E_D[log D(x_0)] + E_D[F(x_0)] - E_q[F(x_k)] - E_q[log q(x_k)], by (33) and (37): only the ends
    of the trajectories count. With k it tends to KL(D || p), which maximum likelihood descends.

    Args:
        machine: of bits, small enough for `end_marginal`.
        data: D(x) of all states.
        states: all visible states.
        num_sweeps: k.

    Returns:
        Nats. Its gradient by the machine is exact, that through the chain included.

    Raises:
        InputError: as `end_marginal` does.
    """
    end = end_marginal(machine, data, states, num_sweeps)
    free = machine.free_energy(states)
    return (
        jnp.sum(jax.scipy.special.xlogy(data, data))
        - jnp.sum(jax.scipy.special.xlogy(end, end))
        + jnp.sum((data - end) * free)
    )


def all_bits(count: int) -> Float[Array, "_ N"]:
    """All 2^count states of so many bits, a row each.

    Raises:
        InputError: for more than 20 bits.
    """
    check_bits(count)
    return ((jnp.arange(2**count)[:, None] >> jnp.arange(count)) & 1).astype(jnp.float32)


def _conditionals(
    machine: RBM, states: Float[Array, "n V"]
) -> tuple[Float[Array, "n m"], Float[Array, "m n"]]:
    """p(z | x) and p(x | z) of the states given and all hidden ones; rows sum to one."""
    check_enumerable(machine, *machine.sizes)
    check_states(machine, states)
    hidden = all_bits(machine.sizes[1])

    def table(family: Family, fields: Array, values: Array) -> Array:
        terms = fields @ values.T + family.log_base(values)
        return jnp.exp(terms - family.log_normalizer(fields)[:, None])

    return (
        table(machine.hidden, machine.hidden_field(states), hidden),
        table(machine.visible, machine.visible_field(hidden), states),
    )


def _log_prob(
    family: Family, field: Float[Array, "... N"], z: Float[Array, "... N"]
) -> Float[Array, "..."]:
    """log p(z | field) of a block, nats."""
    terms = jnp.sum(field * z, axis=-1) + family.log_base(z)
    return terms - family.log_normalizer(field)


def _hidden_log_prob(
    machine: RBM, v: Float[Array, "... V"], h: Float[Array, "... H"]
) -> Float[Array, "..."]:
    return _log_prob(machine.hidden, machine.hidden_field(v), h)


def _visible_log_prob(
    machine: RBM, h: Float[Array, "... H"], v: Float[Array, "... V"]
) -> Float[Array, "..."]:
    return _log_prob(machine.visible, machine.visible_field(h), v)
