"""The work on discrete VAEs: one update with a Boltzmann machine as prior (Vahdat et al. 2019).

What is the same everywhere: networks of 784-200-200 with batch normalisation and tanh, piece-wise
linear bits, one particle, the KL term at means, a prior of `bits` on each side that learns by 500
chains of 5 sweeps each, Adam, data that lie on the device, shuffled. A step is:

- dvae: an update with independent bits as posterior.
- dvae_machine: with a machine for each datapoint, whose chain goes on for 10 sweeps of bits and one
  relaxed sweep; the chains of all datapoints are kept.
"""

from typing import NamedTuple

import numpy as np

DATA_SIZE, HIDDEN_SIZE = 784, 200
PRIOR_CHAINS, PRIOR_SWEEPS, SWEEPS = 500, 5, 10
SHARPNESS, LEARNING_RATE, ADAM_EPSILON = 4.0, 3e-4, 1e-3
MOMENTUM, NORMALIZATION_EPSILON = 0.99, 1e-2


class DiscreteWork(NamedTuple):
    """What to time.

    Attributes:
        batch_size: datapoints of an update.
        bits: of each side of the prior and of the posterior.
        steps: updates of one timed run.
    """

    batch_size: int
    bits: int
    steps: int


def data(work: DiscreteWork) -> np.ndarray:
    """Binary datapoints [batch_size x steps, 784], one batch for each step."""
    rng = np.random.default_rng(0)
    mean = rng.uniform(0.05, 0.3, DATA_SIZE)
    shape = (work.batch_size * work.steps, DATA_SIZE)
    return (rng.uniform(size=shape) < mean).astype(np.float32)
