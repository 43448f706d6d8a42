"""The log-likelihood in one call against enumeration."""

import jax
import numpy as np

from remjax import boltzmann
from tests.boltzmann import machines
from tests.boltzmann.refusals import assert_refused

KEY = jax.random.key(0)
FEW = {"num_temperatures": 200, "num_chains": 200, "burn_in": 50}


def test_of_an_enumerated_machine(key):
    machine = machines.rbm(5, 4)
    rows = machines.all_states(5)
    train = boltzmann.exact_samples(key, machine, 100).visible
    found = boltzmann.measure_log_likelihood(KEY, machine, rows, train, **FEW)
    true = machine.log_prob(rows, machines.log_z(machine))
    error = 5 * float(found.log_z_stderr) + 1e-5
    np.testing.assert_allclose(found.rows, true, atol=error)
    np.testing.assert_allclose(found.value, np.mean(true), atol=error)
    assert found.low - 0.05 < np.mean(true) < found.high + 0.05
    assert 0.0 < found.log_z_stderr < 0.02


def test_wrong_rows_are_refused():
    machine, rows = machines.rbm(5, 4), machines.all_states(5)
    assert_refused(
        lambda: boltzmann.measure_log_likelihood(KEY, machine, 255 * rows, rows),
        "row 1 holds 255 .* must lie in [0, 1]",
    )
    assert_refused(
        lambda: boltzmann.measure_log_likelihood(KEY, machine, rows, rows[:, :3]),
        "data of the shape (32, 3) for 5 visible units",
    )
