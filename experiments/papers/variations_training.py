"""Training of one arm at every rate and seed, side by side in one program, and what came of it."""

import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from experiments.papers.variations_arms import Arm
from experiments.papers.variations_tasks import Task
from remjax.boltzmann import RBM
from remjax.boltzmann.trajectories import exact_divergence
from remjax.training import (
    TrainState,
    init_train_state,
    make_epoch,
    stack_replicas,
    train_replicas,
)

# Machines that are evaluated side by side.
_AT_ONCE = 16


class Length(NamedTuple):
    """How long every arm learns, and how often.

    Attributes:
        rates: of plain gradient descent, the same ones for every arm.
        seeds: how many: of the machine at the start and of all draws.
        updates: in all.
        records: how often the machines are kept on the way; the first time before any update.
    """

    rates: tuple[float, ...]
    seeds: int
    updates: int
    records: int


class Course(NamedTuple):
    """What became of an arm.

    Attributes:
        arm: which.
        updates: [T] before which the machines were kept.
        machines: the leaves [T, rates, seeds, ...].
        log_likelihood: [T, rates, seeds], exact, nats per row.
        milliseconds: of processor time, of an update of one machine where all rates and seeds learn
            side by side; without compilation.
    """

    arm: Arm
    updates: np.ndarray
    machines: RBM
    log_likelihood: Float[np.ndarray, "T rates seeds"]
    milliseconds: float

    @property
    def best(self) -> int:
        """The place of the rate with the highest mean log-likelihood over seeds at the end."""
        return int(np.argmax(np.nan_to_num(self.log_likelihood[-1].mean(axis=1), nan=-np.inf)))

    @property
    def final(self) -> Float[np.ndarray, " seeds"]:
        """The log-likelihood at the end, at the best rate."""
        return self.log_likelihood[-1, self.best]

    def machine(self, record: int, rate: int, seed: int) -> RBM:
        """One of the machines that were kept."""
        return jax.tree.map(lambda leaf: leaf[record, rate, seed], self.machines)


def train(task: Task, arm: Arm, length: Length) -> Course:
    """All rates and seeds of an arm."""
    optimizer = optax.inject_hyperparams(optax.sgd)(learning_rate=1.0)
    epoch = make_epoch(
        arm.estimator, optimizer, num_data=len(task.rows), batch_size=task.batch_size
    )
    run = train_replicas(epoch, at_a_time=1 if arm.enumerates else None)
    data = task.data
    begun = [
        _at_rate(init_train_state(arm.estimator, optimizer, jax.random.key(seed), data), rate)
        for rate in length.rates
        for seed in range(length.seeds)
    ]
    state = stack_replicas(begun)
    state = run(state, data, 0)  # compiles
    marks = np.unique(np.linspace(0, length.updates, length.records + 1).astype(int))
    kept = [jax.tree.map(np.asarray, state.params.theta)]
    begin = time.process_time()
    for count in np.diff(marks):
        state = run(state, data, int(count))
        kept.append(jax.tree.map(np.asarray, state.params.theta))
    spent = time.process_time() - begin
    shape = (len(kept), len(length.rates), length.seeds)
    machines = jax.tree.map(
        lambda *leaves: np.stack(leaves).reshape(*shape, *leaves[0].shape[1:]), *kept
    )
    values = _over_all(task.log_likelihood, machines)
    return Course(arm, marks, machines, values, 1e3 * spent / (length.updates * len(begun)))


def divergences(task: Task, course: Course, steps: int) -> Float[np.ndarray, " seeds"]:
    """KL(q || p) of trajectories (24) at the end, at the best rate; nats, exact."""
    last = jax.tree.map(lambda leaf: leaf[-1, course.best], course.machines)
    data, states = task.distribution, task.states

    def divergence(machine: RBM) -> Float[Array, ""]:
        return exact_divergence(machine, data, states, steps)

    return np.asarray(jax.jit(lambda machines: jax.lax.map(divergence, machines))(last))


def _at_rate(state: TrainState, rate: float) -> TrainState:
    # Of a type of its own: a Python number's would change with the first update, and compile anew.
    value = jnp.asarray(rate, jnp.float32)
    return state._replace(opt_state=optax.tree.set(state.opt_state, learning_rate=value))


def _over_all(function: Callable[[RBM], Float[Array, ""]], machines: RBM) -> np.ndarray:
    """The function of every machine; the three leading axes of the leaves stay."""
    shape = jax.tree.leaves(machines)[0].shape[:3]
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[3:]), machines)
    values = jax.jit(lambda flat: jax.lax.map(function, flat, batch_size=_AT_ONCE))(flat)
    return np.asarray(values).reshape(shape)
