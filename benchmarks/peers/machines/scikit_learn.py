"""scikit-learn's BernoulliRBM, on the processor whatever else there is.

What is not the same: its uniform numbers have 64 bits, a sweep draws h and then v, and the gradient
of an update is not centred.
"""

import numpy as np
from sklearn.neural_network import BernoulliRBM

from benchmarks.peers.machines.work import (
    LEARNING_RATE,
    MachineWork,
    Parameters,
    chains,
    data,
    parameters,
)
from benchmarks.peers.work import Prepared


def machine(values: Parameters, batch_size: int) -> BernoulliRBM:
    """Its machine with these parameters, float32 as `fit` leaves it after float32 data."""
    num_visible, num_hidden = values.weights.shape
    rbm = BernoulliRBM(
        num_hidden,
        learning_rate=LEARNING_RATE,
        batch_size=batch_size,
        n_iter=0,
        random_state=np.random.RandomState(0),
    )
    rbm.fit(np.zeros((1, num_visible), np.float32))
    rbm.components_ = np.array(values.weights.T, order="F")
    rbm.intercept_visible_ = values.visible_bias.copy()
    rbm.intercept_hidden_ = values.hidden_bias.copy()
    return rbm


def sweep(work: MachineWork) -> Prepared:
    """A loop of `gibbs`."""
    rbm = machine(parameters(work), work.batch_size)
    visible = chains(work)[0]

    def run() -> None:
        nonlocal visible
        for _ in range(work.steps):
            visible = rbm.gibbs(visible)

    return Prepared(run, None)


def pcd(work: MachineWork) -> Prepared:
    """The loop of `fit`; `partial_fit` would make float64 of everything."""
    rbm = machine(parameters(work), work.num_chains)
    rbm.h_samples_ = chains(work)[1]
    rows, rng = data(work), np.random.default_rng(0)

    def run() -> None:
        for index in rng.permutation(len(rows)).reshape(work.steps, work.batch_size):
            rbm._fit(rows[index], rbm.random_state)

    return Prepared(run, None)
