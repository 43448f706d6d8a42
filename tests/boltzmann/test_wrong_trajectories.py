"""What a user gets wrong of trajectories and of tables over all states is one line each."""

import jax
import jax.numpy as jnp
import numpy as np

from remjax import boltzmann
from remjax.boltzmann import RBM, trajectories
from remjax.boltzmann.trajectories import (
    Trajectory,
    all_bits,
    end_marginal,
    estimated_end_log_prob,
    exact_divergence,
    neglected_term,
    trajectory,
    transition_matrix,
)
from tests.boltzmann import machines
from tests.boltzmann.refusals import assert_refused, every

KEY = jax.random.key(0)
MACHINE = machines.rbm(3, 2)
REAL = machines.gaussian_rbm()
STATES = jnp.asarray(machines.all_states(3), jnp.float32)
DATA = jnp.full(8, 0.125)
TAU = trajectory(KEY, MACHINE, STATES[:4], 2)
SHAPES = "give [k + 1, ..., 3] and [k, ..., 2], as trajectory makes them"


def zero_rbm(num_visible, num_hidden):
    return RBM(jnp.zeros((num_visible, num_hidden)), jnp.zeros(num_visible), jnp.zeros(num_hidden))


def divergence(data=DATA, states=STATES, steps=1):
    return exact_divergence(MACHINE, data, states, steps)


WRONG = {
    # Trajectories.
    "no sweeps": (lambda: trajectory(KEY, MACHINE, STATES, 0), "num_sweeps is 0: give 1 or more"),
    "a start of another width": (
        lambda: trajectory(KEY, MACHINE, jnp.zeros((4, 5)), 1),
        "visible units of the shape (4, 5) for the 3 of the machine: give [..., 3]",
    ),
    "one trajectory": (
        lambda: estimated_end_log_prob(MACHINE, trajectory(KEY, MACHINE, STATES[:1], 1)),
        "log q(x_k) is estimated from other chains and there is 1: give 2 or more",
    ),
    "one without an axis": (
        lambda: estimated_end_log_prob(MACHINE, trajectory(KEY, MACHINE, STATES[0], 1)),
        "log q(x_k) is estimated from chains [k + 1, C, V], and these are (2, 3): give one axis",
    ),
    "parts of different lengths": (
        lambda: trajectories.log_ratio(MACHINE, Trajectory(TAU.visible[1:], TAU.hidden)),
        f"a trajectory of the shapes (2, 4, 3) and (2, 4, 2): {SHAPES}",
    ),
    "parts of different numbers": (
        lambda: trajectories.forward_log_prob(MACHINE, Trajectory(TAU.visible[:, :1], TAU.hidden)),
        f"a trajectory of the shapes (3, 1, 3) and (2, 4, 2): {SHAPES}",
    ),
    "of another machine": (
        lambda: trajectories.backward_log_prob(zero_rbm(3, 4), TAU),
        "a trajectory of the shapes (3, 4, 3) and (2, 4, 2): give [k + 1, ..., 3] and [k, ..., 4]",
    ),
    "a column of marginals": (
        lambda: neglected_term(MACHINE, TAU, jnp.zeros((4, 1))),
        "log_marginal of the shape (4, 1) for trajectories (4,): give one number of each",
    ),
    "marginals of others": (
        lambda: neglected_term(MACHINE, TAU, jnp.zeros(3)),
        "log_marginal of the shape (3,) for trajectories (4,): give one number of each",
    ),
    "a column of baselines": (
        lambda: neglected_term(MACHINE, TAU, 0.0, jnp.zeros((4, 1))),
        "baseline of the shape (4, 1) for trajectories (4,): give one number of each",
    ),
    # Tables over all states.
    "states of reals": (
        lambda: transition_matrix(REAL, jnp.zeros((2, 3))),
        "real units have no list of states: simulate trajectories instead",
    ),
    "40 hidden units": (
        lambda: transition_matrix(zero_rbm(3, 40), STATES),
        "enumeration makes a table of 2^3 x 2^40 numbers, and 2^25 of 2^20 rows or columns is the "
        "most: simulate trajectories instead",
    ),
    "40 visible units": (
        lambda: divergence_of_wide(40, 3),
        "enumeration makes a table of 2^40 x 2^3 numbers",
    ),
    "both sides together": (
        lambda: divergence_of_wide(14, 12),
        "enumeration makes a table of 2^14 x 2^12 numbers",
    ),
    "a matrix over 13 units": (
        lambda: transition_matrix(zero_rbm(13, 2), all_bits(13)),
        "enumeration makes a table of 2^13 x 2^13 numbers",
    ),
    "a list of 40 bits": (
        lambda: all_bits(40),
        "a list of 2^40 states: give 0 to 20 bits, or simulate trajectories of a larger machine",
    ),
    "some of the states": (
        lambda: transition_matrix(MACHINE, STATES[:5]),
        "states of the shape (5, 3), and all of 3 bits are 8 rows: give all_bits(3)",
    ),
    "some of the states, traced": (
        lambda: jax.jit(lambda states: transition_matrix(MACHINE, states))(STATES[:5]),
        "states of the shape (5, 3), and all of 3 bits are 8 rows: give all_bits(3)",
    ),
    "states of another width": (
        lambda: transition_matrix(MACHINE, all_bits(4)),
        "states of the shape (16, 4) for the 3 of the machine: give [..., 3]",
    ),
    "a state twice": (
        lambda: transition_matrix(MACHINE, STATES.at[1].set(0.0)),
        "states that are not all of 3 bits, each once: give all_bits(3)",
    ),
    "states that are no bits": (
        lambda: transition_matrix(MACHINE, STATES @ np.float32([[1, 0, 0], [2, 0, 0], [4, 0, 0]])),
        "states that are not all of 3 bits, each once: give all_bits(3)",
    ),
    "no sweeps of a divergence": (lambda: divergence(steps=0), "num_sweeps is 0: give 1 or more"),
    "no steps of a marginal": (
        lambda: end_marginal(MACHINE, DATA, STATES, 0),
        "num_sweeps is 0: give 1 or more",
    ),
    "counts for D": (
        lambda: divergence(data=8 * DATA),
        "data whose sum over the states is 8: divide by it, so that it is 1",
    ),
    "NaN in D": (lambda: divergence(data=DATA + np.nan), "data with D(x) = nan of a state: give 0"),
    "D below zero": (
        lambda: divergence(data=np.float32([1.5, -0.5, *[0] * 6])),
        "data with D(x) = -0.5 of a state: give 0 or more of each",
    ),
    "D of other states": (
        lambda: divergence(data=np.full(4, 0.25)),
        "data of the shape (4,) for 8 states: give D(x) of each, [8]",
    ),
    "a column of D": (
        lambda: divergence(data=DATA[:, None]),
        "data of the shape (8, 1) for 8 states: give D(x) of each, [8]",
    ),
}


def divergence_of_wide(num_visible, num_hidden):
    """Of a machine too large: it is refused before the states are looked at."""
    return exact_divergence(zero_rbm(num_visible, num_hidden), DATA, STATES, 1)


@every(WRONG)
def test_wrong_input_is_one_line(wrong, message):
    assert_refused(wrong, message)


def test_states_in_another_order_are_all_states():
    """Rows and columns of the matrix change their places with the states, and nothing else does."""
    order = np.random.default_rng(0).permutation(8)
    whole = transition_matrix(MACHINE, STATES)
    found = transition_matrix(MACHINE, STATES[order])
    np.testing.assert_allclose(found, whole[order][:, order], rtol=1e-6)


def test_a_user_finds_the_file_beside_the_rest():
    assert boltzmann.trajectories is trajectories
