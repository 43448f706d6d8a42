"""The work that every implementation does: one update of both networks on one batch.

Networks 784-200-200-20 and back with tanh layers, Bernoulli pixels, a standard normal prior,
float32, Adam. A step is the gradients of both losses and the update, from a batch that lies on the
device already.
"""

import itertools
from typing import NamedTuple

import numpy as np

DATA_SIZE, HIDDEN_SIZE, LATENT_SIZE = 784, 200, 20
LEARNING_RATE, ADAM_EPSILON = 1e-3, 5e-6


class TrainingWork(NamedTuple):
    """What to time.

    Attributes:
        method: rem_v1, rws, iwae, or e_step: drawing and scoring the particles alone.
        batch_size: B.
        num_particles: K.
        keep: particles that carry the gradient, of the implementations that have the choice.
        steps: training steps in one timed run; more than one is a loop, where the cost of
            starting a step shows.
    """

    method: str
    batch_size: int
    num_particles: int
    keep: int | None
    steps: int


def images(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Binary images [number, 784] and the mean image, the same everywhere."""
    rng = np.random.default_rng(0)
    mean = rng.uniform(0.0, 0.3, DATA_SIZE)
    return (rng.uniform(size=(number, DATA_SIZE)) < mean).astype(np.float32), mean


def initial_weights(sizes: tuple[int, ...]) -> list[np.ndarray]:
    """Uniform weights [in, out] of variance 2 / (in + out) for each layer of a network."""
    rng = np.random.default_rng(1)
    limits = [(m, n, np.sqrt(6.0 / (m + n))) for m, n in itertools.pairwise(sizes)]
    return [rng.uniform(-limit, limit, (m, n)).astype(np.float32) for m, n, limit in limits]
