"""The gradients that the variations compare: CD-k alone, and with the term (45) in three ways.

Each is an estimator of the library's protocol, so that the same steps train all of them. Those that
`make_estimator` does not have are a loss of the machine, and begin at the machine it begins at.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from experiments.papers.variations_tasks import Task, places_of
from remjax.boltzmann import RBM, cd, likelihood_loss, log_partition, make_estimator, pcd
from remjax.boltzmann.trajectories import (
    Trajectory,
    end_marginal,
    estimated_end_log_prob,
    exact_divergence,
    neglected_term,
    trajectory,
)
from remjax.types import Batch, Estimate, Estimator, Params

Loss = Callable[[RBM, Key[Array, ""], Float[Array, "B V"]], Float[Array, ""]]
"""(machine, key, rows) -> what the machine descends."""
Marginal = Callable[[RBM, Trajectory], Float[Array, " B"]]
"""(machine, trajectories) -> log q(x_k) of the end of each, nats."""


class Arm(NamedTuple):
    """A gradient to learn by.

    Attributes:
        name: in tables and pictures, without k.
        steps: k; None where there is none.
        estimator: what is trained.
        expected: machine -> a loss whose gradient is the mean of the arm's over its draws, by
            enumeration; None where no closed form is known.
        remark: what the table says of it.
        enumerates: whether an update goes through all visible states: then it has no noise, and
            seeds and rates take their steps one after the other, because the states fill the cache.
    """

    name: str
    steps: int | None
    estimator: Estimator
    expected: Callable[[RBM], Float[Array, ""]] | None
    remark: str
    enumerates: bool = False


MAXIMUM_LIKELIHOOD = "maximum likelihood"
PERSISTENT = "PCD-1"
PLAIN = "CD"
NOISELESS = "CD, exact"
EXACT = "CD+(45), exact"
SAMPLED = "CD+(45), sampled"
ESTIMATED = "CD+(45), estimated"


def references(task: Task) -> Iterator[Arm]:
    """The arms without a k: exact maximum likelihood, and PCD-1 with as many chains as rows."""

    def likelihood(machine: RBM, _: Key[Array, ""], x: Float[Array, "B V"]) -> Float[Array, ""]:
        return jnp.mean(machine.free_energy(x)) + log_partition(machine)

    yield Arm(
        MAXIMUM_LIKELIHOOD,
        None,
        of_loss(task, likelihood),
        lambda machine: -task.log_likelihood(machine),
        "the gradient of the batch's exact log-likelihood, log Z by enumeration",
    )
    yield Arm(
        PERSISTENT,
        None,
        make_estimator(task.init, pcd(task.batch_size), centring=None),
        None,
        "persistent chains, one sweep between updates, as many as rows of a batch",
    )


def of_steps(task: Task, steps: int) -> Iterator[Arm]:
    """The arms of a k: CD-k, and with the term (45) by enumeration and by the score function."""

    def divergence(machine: RBM) -> Float[Array, ""]:
        return exact_divergence(machine, task.distribution, task.states, steps)

    def enumerated(machine: RBM, tau: Trajectory) -> Float[Array, " B"]:
        ends = end_marginal(machine, task.distribution, task.states, steps)
        return jnp.log(ends[places_of(tau.visible[-1])])

    def from_others(machine: RBM, tau: Trajectory) -> Float[Array, " B"]:
        if tau.visible.shape[1] == 1:
            # Only `init_train_state` looks at a batch of one row, and only at its form.
            return jnp.zeros(1)
        return estimated_end_log_prob(machine, tau)

    def plain(machine: RBM) -> Float[Array, ""]:
        return _plain(task, machine, steps)

    yield Arm(
        PLAIN,
        steps,
        make_estimator(task.init, cd(steps), centring=None),
        plain,
        "contrastive divergence, which leaves (45) out",
    )
    if task.enumerates:
        yield Arm(
            NOISELESS,
            steps,
            of_loss(task, lambda machine, key, x: plain(machine)),
            plain,
            "the mean gradient of CD by enumeration: (45) is all that it lacks of (35)",
            enumerates=True,
        )
        yield Arm(
            EXACT,
            steps,
            of_loss(task, lambda machine, key, x: divergence(machine)),
            divergence,
            "the gradient (35) whole, by enumeration of all states: no noise",
            enumerates=True,
        )
        yield Arm(
            SAMPLED,
            steps,
            of_loss(task, with_neglected(steps, enumerated)),
            divergence,
            "(45) by the score function, log q(x_k) by enumeration; the baseline is the mean ratio "
            "of the other chains",
        )
    yield Arm(
        ESTIMATED,
        steps,
        of_loss(task, with_neglected(steps, from_others)),
        None,
        "(45) by the score function, log q(x_k) from the hidden units of the batch's other chains: "
        "it enumerates nothing",
    )


def of_task(task: Task, steps: tuple[int, ...]) -> list[Arm]:
    """All arms of a task."""
    return [*references(task), *(arm for k in steps for arm in of_steps(task, k))]


def of_loss(task: Task, loss: Loss) -> Estimator:
    """The estimator that descends a loss of the machine; its state is empty."""

    def begin(key: Key[Array, ""]) -> tuple[Params, tuple[()]]:
        # As `make_estimator` divides it: the same seed begins at the same machine in every arm.
        key_machine, _ = jax.random.split(key)
        return Params(task.init(key_machine), ()), ()

    def estimate(
        params: Params, state: tuple[()], key: Key[Array, ""], batch: Batch
    ) -> tuple[Estimate, tuple[()]]:
        value = loss(params.theta, key, batch.x.astype(params.theta.dtype))
        return Estimate(value, jnp.zeros(()), {}), state

    return Estimator(begin, estimate)


def with_neglected(steps: int, marginal: Marginal) -> Loss:
    """CD-k with the term (45), from the same trajectories; its mean gradient is (35).

    Args:
        steps: k.
        marginal: log q(x_k) of each end. From the chains themselves it is too small on average, and
            then the baseline knows something of the chain that it serves: a bias of order 1 / B.
    """

    def loss(machine: RBM, key: Key[Array, ""], x: Float[Array, "B V"]) -> Float[Array, ""]:
        tau = trajectory(key, machine, x, steps)
        ends = marginal(lax.stop_gradient(machine), tau)
        plain = likelihood_loss(machine, x, tau.visible[-1])
        return plain + neglected_term(machine, tau, ends)

    return loss


def _plain(task: Task, machine: RBM, steps: int) -> Float[Array, ""]:
    """A loss with the mean gradient of CD-k: F under D less F under q(x_k), which stands still."""
    ends = end_marginal(machine, task.distribution, task.states, steps)
    change = task.distribution - lax.stop_gradient(ends)
    return jnp.sum(change * machine.free_energy(task.states))
