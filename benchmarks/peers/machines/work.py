"""The work on machines: an RBM of bits, its chains and its data, float32.

What is the same everywhere: the parameters, the chains, the batches, and the draws: every unit is
a bit drawn from its exact conditional probability. What a step is:

- sweep: v ~ p(v | h), then h ~ p(h | v), of all chains. Two matrix products.
- pcd: an update of persistent contrastive divergence by plain gradient descent: one sweep of the
  chains, and the gradient with the hidden means of the batch and of the chains, from data that lie
  on the device, shuffled. Five products: two of the sweep, one of the batch, two of the gradient.
  The gradient is centred everywhere but in scikit-learn, which has the plain one.
- ais: one inverse temperature of annealed importance sampling from the machine without couplings:
  the log ratio with one side summed out, and one sweep. Two products.

The first lines of each file say what else its implementation does.
"""

from typing import NamedTuple

import numpy as np

LEARNING_RATE = 0.01
# The share of a batch in the moving averages that centring subtracts.
CENTRING = 0.01


class MachineWork(NamedTuple):
    """What to time.

    Attributes:
        num_chains: C.
        num_visible: V.
        num_hidden: H.
        batch_size: datapoints of an update.
        steps: sweeps, updates or temperatures of one timed run, so many that its start does not
            count.
    """

    num_chains: int
    num_visible: int
    num_hidden: int
    batch_size: int
    steps: int


class Parameters(NamedTuple):
    """Of the machine, as float32: weights [V, H], the biases [V] and [H]."""

    weights: np.ndarray
    visible_bias: np.ndarray
    hidden_bias: np.ndarray


def parameters(work: MachineWork) -> Parameters:
    """Those of a machine as learning begins with it.

    Its weights are small, so that the steps of `ais` change the log weights as little as those of
    a schedule of thousands of temperatures do.
    """
    rng = np.random.default_rng(0)
    weights = 0.01 * rng.normal(size=(work.num_visible, work.num_hidden))
    mean = _data_mean(work)
    bias = np.log(mean) - np.log1p(-mean)
    return Parameters(
        *(np.asarray(a, np.float32) for a in (weights, bias, np.zeros(weights.shape[1])))
    )


def data(work: MachineWork) -> np.ndarray:
    """Binary datapoints [batch_size x steps, V], one batch for each step."""
    shape = (work.batch_size * work.steps, work.num_visible)
    uniform = np.random.default_rng(1).uniform(size=shape)
    return (uniform < _data_mean(work)).astype(np.float32)


def chains(work: MachineWork) -> tuple[np.ndarray, np.ndarray]:
    """Where the chains begin: bits [C, V] and [C, H]."""
    rng = np.random.default_rng(2)
    sizes = (work.num_visible, work.num_hidden)
    visible, hidden = (rng.integers(0, 2, (work.num_chains, size)) for size in sizes)
    return visible.astype(np.float32), hidden.astype(np.float32)


def _data_mean(work: MachineWork) -> np.ndarray:
    return np.random.default_rng(3).uniform(0.05, 0.3, work.num_visible)
