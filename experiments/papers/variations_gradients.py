"""Bias and noise of the gradients that the variations compare, at one and the same machine."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key

from experiments.papers.variations_arms import Arm
from experiments.papers.variations_tasks import Task
from remjax.boltzmann import RBM
from remjax.boltzmann.trajectories import exact_divergence
from remjax.types import Batch

# Draws that are differentiated side by side.
_AT_ONCE = 50

Gradient = Callable[[RBM], RBM]
"""machine -> the gradient of a loss by it."""


class GradientError(NamedTuple):
    """How a gradient differs from that of the mean -log p, g.

    Attributes:
        arm: whose gradient it is.
        angle: between its mean and g, degrees.
        bias: |mean - g| / |g|.
        from_divergence: |mean - d| / |d|, d the gradient (35) of KL(q || p) with the same k: what
            CD-k leaves out, relative to the whole. None without a k.
        noise: of one update: the root of the summed variances of its numbers / |g|.
        floor: what noise the mean itself has / |g|, where it is one of draws; 0 where it is exact.
        size: |g|, in nats per unit of the parameters.
    """

    arm: Arm
    angle: float
    bias: float
    from_divergence: float | None
    noise: float
    floor: float
    size: float


class Point(NamedTuple):
    """A machine with its exact gradients, each as one vector.

    Attributes:
        machine: at which the gradients are taken.
        truth: g, of the mean -log p.
        wholes: k -> the gradient (35) of KL(q || p).
    """

    machine: RBM
    truth: Float[np.ndarray, " _"]
    wholes: Mapping[int, Float[np.ndarray, " _"]]


def points(task: Task, steps: Sequence[int], machines: Sequence[RBM]) -> list[Point]:
    """Machines with their exact gradients, by enumeration.

    Args:
        task: what is learned.
        steps: the values of k.
        machines: at which the gradients are compared.
    """
    data, states = task.distribution, task.states

    def of_divergence(k: int) -> Gradient:
        return jax.jit(jax.grad(lambda machine: exact_divergence(machine, data, states, k)))

    truth = jax.jit(jax.grad(lambda machine: -task.log_likelihood(machine)))
    wholes = {k: of_divergence(k) for k in steps}
    return [
        Point(m, _flat(truth(m)), {k: _flat(whole(m)) for k, whole in wholes.items()})
        for m in (jax.tree.map(jnp.asarray, machine) for machine in machines)
    ]


def gradient_errors(
    task: Task, arm: Arm, compared: Sequence[Point], draws: int
) -> list[GradientError]:
    """The errors of an arm at each point.

    Not of PCD, whose chains depend on all machines before this one.

    Args:
        task: what is learned.
        arm: of that task.
        compared: where.
        draws: independent updates, for the variance, and for the mean where no closed form of it is
            known; a draw is of rows as well where a batch is not all of them.
    """
    # Two draws show that there is no noise.
    draw = _draws(task, arm, 2 if arm.enumerates else draws)
    expected = None if arm.expected is None else jax.jit(jax.grad(arm.expected))
    errors = []
    for machine, truth, wholes in compared:
        drawn = np.asarray(draw(machine), np.float64)
        mean = drawn.mean(axis=0) if expected is None else _flat(expected(machine))
        whole = None if arm.steps is None else wholes[arm.steps]
        size = float(np.linalg.norm(truth))
        noise = math.sqrt(float(np.sum(np.var(drawn, axis=0, ddof=1)))) / size
        errors.append(
            GradientError(
                arm,
                _angle(mean, truth),
                float(np.linalg.norm(mean - truth)) / size,
                None if whole is None else _relative(mean - whole, whole),
                noise,
                0.0 if expected is not None else noise / math.sqrt(draws),
                size,
            )
        )
    return errors


def _draws(task: Task, arm: Arm, draws: int) -> Callable[[RBM], Float[Array, "draws _"]]:
    """machine -> gradients of independent updates, each as one vector."""
    data = task.data
    params, state = arm.estimator.init(jax.random.key(0))

    def gradient(machine: RBM, key: Key[Array, ""]) -> Float[Array, " _"]:
        key_rows, key_update = jax.random.split(key)
        index = jax.random.permutation(key_rows, data.shape[0])[: task.batch_size]
        batch = Batch(data[index], index)

        def loss(machine: RBM) -> Float[Array, ""]:
            at = params._replace(theta=machine)
            return arm.estimator.estimate(at, state, key_update, batch)[0].theta_loss

        return ravel_pytree(jax.grad(loss)(machine))[0]

    def every(machine: RBM) -> Float[Array, "draws _"]:
        keys = jax.random.split(jax.random.key(1), draws)
        return lax.map(lambda key: gradient(machine, key), keys, batch_size=min(_AT_ONCE, draws))

    return jax.jit(every)


def _relative(difference: np.ndarray, whole: np.ndarray) -> float:
    return float(np.linalg.norm(difference) / np.linalg.norm(whole))


def _flat(machine: RBM) -> np.ndarray:
    return np.asarray(ravel_pytree(machine)[0], np.float64)


def _angle(a: np.ndarray, b: np.ndarray) -> float:
    """Degrees."""
    cosine = a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
