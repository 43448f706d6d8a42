"""The table of biases and noise of gradients through t sweeps."""

import numpy as np

from experiments.enumeration import relaxed_sweeps
from remjax.distributions import PiecewiseLinear, StraightThrough


def test_more_sweeps_leave_out_less():
    """Term I vanishes as t grows: with t = 60 what is kept is the exact gradient."""
    q = relaxed_sweeps.machine(1.0)
    exact = relaxed_sweeps.exact_gradient(q)
    off = [
        float(np.linalg.norm(relaxed_sweeps.gradient_through_sweeps(q, t).weights - exact.weights))
        for t in (1, 2, 4, 60)
    ]
    assert off[0] > off[1] > off[2] > off[3]
    assert off[3] < 1e-4 < 1e-2 < off[0]


def test_the_table_has_both_errors():
    """The relaxed bias is what t leaves out, and what the relaxation adds; noise grows with t."""
    found = relaxed_sweeps.rows(PiecewiseLinear(), (1, 2), num_draws=4000)
    assert [row["t"] for row in found] == [1, 2]
    assert found[0]["bias of t"] > 10 * found[1]["bias of t"] > 0.01
    assert all(row["error"] < 0.2 < row["noise"] for row in found)
    assert all(0.0 < row["bias"] < 1.0 for row in found)


def test_straight_through_bits_of_a_weak_machine_are_nearly_exact():
    """Where couplings are weak, term I is small, and f nearly linear in each bit: within noise."""
    (row,) = relaxed_sweeps.rows(StraightThrough(), (1,), scale=0.05, num_draws=4000)
    assert row["bias of t"] < 0.1
    # The length of the vector of errors is about `error`, small beside the gradient.
    assert row["error"] < 0.1
    assert row["bias"] < row["bias of t"] + 3 * row["error"]
