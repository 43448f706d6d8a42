"""What a user of this room gets wrong is one line that names the cause and the mend."""

import re

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from remjax import boltzmann
from remjax.boltzmann import (
    RBM,
    PairwiseMachine,
    Reals,
    Units,
    grid_graph,
    init_rbm,
    linear_inverse_temperatures,
    make_graph,
    uniform_base,
)
from remjax.boltzmann.tempering import init_ladder
from remjax.boltzmann.trajectories import estimated_end_log_prob, trajectory, transition_matrix
from remjax.errors import InputError
from tests.boltzmann import machines

KEY = jax.random.key(0)
MACHINE = machines.rbm()
GRID = machines.OF_BITS["grid"]
REAL = machines.gaussian_rbm()
PATH = uniform_base(MACHINE)
FEW = linear_inverse_temperatures(3)
STATE = boltzmann.init(KEY, MACHINE, 4)
ROWS = machines.all_states(5)[:6]


def zeros(*shapes):
    return [jnp.zeros(shape) for shape in shapes]


def wide_rbm(num_visible, num_hidden):
    return RBM(*zeros((num_visible, num_hidden), num_visible, num_hidden))


def ladder_of(b, chains=3):
    ladder = init_ladder(KEY, MACHINE, chains, 2)
    return boltzmann.ladder_step(KEY, PATH, ladder, jnp.asarray(b))


def forward(values, **options):
    return boltzmann.ais(KEY, PATH, np.asarray(values), **options)


def annealed(**options):
    return boltzmann.population_annealing(KEY, PATH, FEW, **options)


def sweep(temperature=1.0, clamped=None, state=STATE):
    return boltzmann.gibbs_step(KEY, MACHINE, state, temperature, clamped)


WRONG = {
    # Machines.
    "weights and biases": (
        lambda: RBM(*zeros((5, 4), 5, 3)),
        "weights of the shape (5, 4) with biases of the shapes (5,) and (3,): give weights [V, H]",
    ),
    "weights of one axis": (lambda: RBM(*zeros(5, 5, 5)), "weights of the shape (5,) with"),
    "precisions": (
        lambda: RBM(*zeros((5, 4), 5, 4), Reals(jnp.zeros(3))),
        "log_precision of the shape (3,) for the 5 of the machine: give [..., 5]",
    ),
    "couplings": (
        lambda: PairwiseMachine(*zeros(3, 4), grid_graph(2, 2)),
        "couplings of the shape (3,) and a bias of the shape (4,) for 4 edges and 4 units",
    ),
    "an edge to itself": (
        lambda: make_graph(3, [(1, 1)]),
        "the edge (1, 1) cannot be: it joins two of the units 0 to 2",
    ),
    "an edge to no unit": (lambda: make_graph(3, [(0, 3)]), "the edge (0, 3) cannot be"),
    "an edge twice": (
        lambda: make_graph(3, [(0, 1), (1, 0)]),
        "the edge (0, 1) comes twice: give it once",
    ),
    "no units": (lambda: grid_graph(0, 3), "num_units is 0: give 1 or more"),
    "no hidden units": (lambda: init_rbm(KEY, 0, [0.5]), "num_hidden is 0: give 1 or more"),
    "means of rows": (lambda: init_rbm(KEY, 2, ROWS), "data_mean has the shape (6, 5): give [V]"),
    "means of bytes": (
        lambda: init_rbm(KEY, 2, [0.5, 130.0]),
        "data_mean holds 130 in column 1: means are finite numbers in [0, 1]; binarise them",
    ),
    "means that are NaN": (lambda: init_rbm(KEY, 2, [np.nan]), "data_mean holds nan in column 0"),
    "precisions of other columns": (
        lambda: init_rbm(KEY, 2, [0.5, 0.5], visible=Reals(jnp.zeros(3))),
        "log_precision of the shape (3,) for the 2",
    ),
    "spins of reals": (lambda: boltzmann.to_spins(REAL), "this machine has real units: leave it"),
    # Shapes.
    "visible units": (
        lambda: MACHINE.free_energy(jnp.zeros((2, 7))),
        "visible units of the shape (2, 7) for the 5 of the machine: give [..., 5]",
    ),
    "hidden units": (
        lambda: MACHINE.hidden_free_energy(jnp.zeros(5)),
        "hidden units of the shape (5,) for the 4 of the machine",
    ),
    "units of a graph": (
        lambda: GRID.energy(jnp.zeros((2, 8))),
        "units of the shape (2, 8) for the 9 of the machine",
    ),
    # Chains.
    "no chains": (lambda: boltzmann.init(KEY, MACHINE, 0), "num_chains is 0: give 1 or more"),
    "data that are not bits": (
        lambda: boltzmann.init(KEY, MACHINE, 2, data=0.5 + 0 * ROWS),
        "row 0 holds 0.5 .* whole numbers: binarise them",
    ),
    "data of bytes": (
        lambda: boltzmann.init(KEY, MACHINE, 2, data=255 * ROWS),
        "row 1 holds 255 .* must lie in [0, 1]: binarise them",
    ),
    "data of another width": (
        lambda: boltzmann.init(KEY, MACHINE, 2, data=ROWS[:, :4]),
        "data of the shape (6, 4) for 5 visible units: give rows [n, 5]",
    ),
    "no data": (lambda: boltzmann.init(KEY, MACHINE, 2, data=ROWS[:0]), "data of the shape (0, 5)"),
    "data of a graph": (
        lambda: boltzmann.init(KEY, GRID, 2, data=ROWS),
        "only the visible units of an RBM begin at data: leave data out",
    ),
    "a temperature of zero": (lambda: sweep(0.0), "temperature is 0: give a positive one"),
    "one of many temperatures": (
        lambda: sweep(jnp.asarray([1.0, 2.0, -1.0, 1.0])),
        "temperature is -1: give a positive one",
    ),
    "a temperature that is NaN": (lambda: sweep(float("nan")), "temperature is nan: give"),
    "temperatures of other chains": (
        lambda: sweep(jnp.ones(3)),
        "temperature has the shape (3,): give one that broadcasts to (4,)",
    ),
    "a clamp of another form": (
        lambda: sweep(clamped=jnp.zeros(9, bool)),
        "clamped has the form .* give the same",
    ),
    "a clamp of another shape": (
        lambda: sweep(clamped=Units(jnp.zeros(4, bool), jnp.zeros(4, bool))),
        "clamped has the shape (4,): give one that broadcasts to (4, 5)",
    ),
    "a clamp of more chains": (
        lambda: sweep(clamped=Units(jnp.zeros((2, 4, 5), bool), jnp.zeros(4, bool))),
        "clamped has the shape (2, 4, 5): give one that broadcasts to (4, 5)",
    ),
    "chains of another machine": (
        lambda: sweep(state=Units(*zeros((4, 5), (4, 3)))),
        "hidden units of the shape (4, 3) for the 4 of the machine",
    ),
    "no sweeps": (
        lambda: boltzmann.gibbs_steps(KEY, MACHINE, STATE, 0),
        "num_steps is 0: give 1 or more",
    ),
    # log Z.
    "too many states": (
        lambda: boltzmann.exact(wide_rbm(30, 26)),
        "exact log Z enumerates 2^26 states and 2^25 is the most: use ais or population_annealing",
    ),
    "too many states to draw": (
        lambda: boltzmann.exact_samples(KEY, wide_rbm(20, 17), 2),
        "exact draws enumerate 16 units at most, and these are 17: run chains",
    ),
    "two real sides": (
        lambda: boltzmann.exact(
            RBM(*zeros((2, 2), 2, 2), Reals(jnp.zeros(2)), Reals(jnp.zeros(2)))
        ),
        "log Z of two sides of real units is not known exactly: estimate it",
    ),
    "above one": (
        lambda: forward([0, 1.5, 1]),
        "an inverse temperature of 1.5 cannot be: they lie in [0, 1]",
    ),
    "below zero": (lambda: forward([-0.5, 0, 1]), "an inverse temperature of -0.5 cannot be"),
    "unsorted": (lambda: forward([0, 0.7, 0.3, 1]), "rise from 0, the base, to 1, .* sort them"),
    "falling": (lambda: forward([1, 0.5, 0]), "(these begin at 1 and end at 0)"),
    "not from zero": (lambda: forward([0.1, 1.0]), "(these begin at 0.1 and end at 1)"),
    "not to one": (lambda: forward([0.0, 0.9]), "(these begin at 0 and end at 0.9)"),
    "NaN": (lambda: forward([0, np.nan, 1]), "give two or more finite numbers"),
    "one alone": (lambda: forward([1.0]), "inverse temperatures of the shape (1,): give two"),
    "no number": (lambda: boltzmann.linear_inverse_temperatures(0), "is 0: give 1 or more"),
    "no annealed chains": (lambda: forward(FEW, num_chains=0), "num_chains is 0: give 1 or more"),
    "no annealed sweeps": (lambda: forward(FEW, num_sweeps=0), "num_sweeps is 0: give 1 or more"),
    "means of other units": (
        lambda: boltzmann.data_mean_base(MACHINE, np.full(4, 0.5)),
        "data_mean of the shape (4,) for the 5 of the machine",
    ),
    "samples of another machine": (
        lambda: boltzmann.reverse_ais(KEY, PATH, FEW, Units(*zeros((3, 4), (3, 4)))),
        "samples of the shapes [(3, 4), (3, 4)]: give those of the machine, [C, 5], [C, 4]",
    ),
    "no samples": (
        lambda: boltzmann.reverse_ais(KEY, PATH, FEW, Units(*zeros((0, 5), (0, 4)))),
        "samples of the shapes [(0, 5), (0, 4)]",
    ),
    "samples of different numbers": (
        lambda: boltzmann.reverse_ais(KEY, PATH, FEW, Units(*zeros((3, 5), (2, 4)))),
        "samples of the shapes [(3, 5), (2, 4)]",
    ),
    "populations that do not divide": (
        lambda: annealed(num_chains=100, num_populations=16),
        "num_populations is 16: give a number that divides the 100 chains",
    ),
    "no populations": (lambda: annealed(num_populations=0), "num_populations is 0: give"),
    "no sweeps of populations": (lambda: annealed(num_sweeps=0), "num_sweeps is 0: give 1"),
    "a share of resampling": (
        lambda: annealed(resample_below=1.5),
        "resample_below is 1.5: give a share between 0 and 1",
    ),
    "efficiency": (
        lambda: boltzmann.choose_inverse_temperatures(KEY, PATH, efficiency=1.0),
        "efficiency is 1.0: give a number between 0 and 1",
    ),
    "one pilot": (
        lambda: boltzmann.choose_inverse_temperatures(KEY, PATH, num_pilots=1),
        "num_pilots is 1: give 2 or more",
    ),
    "no chosen number": (
        lambda: boltzmann.choose_inverse_temperatures(KEY, PATH, 0),
        "the number of inverse temperatures is 0: give 1 or more",
    ),
    # Tempering.
    "a ladder of one": (lambda: init_ladder(KEY, MACHINE, 1, 2), "num_temperatures is 1: give 2"),
    "no ladders": (lambda: init_ladder(KEY, MACHINE, 2, 0), "num_chains is 0: give 1 or more"),
    "another ladder": (
        lambda: ladder_of([0.0, 1.0]),
        "inverse temperatures of the shape (2,) for ladders of 3 chains: give one for each",
    ),
    "a ladder that falls": (lambda: ladder_of([1.0, 0.5, 0.0]), "rise from 0, the base, to 1"),
    # Learning.
    "no steps": (lambda: boltzmann.cd(0), "steps is 0: give 1 or more"),
    "no persistent chains": (lambda: boltzmann.pcd(0), "num_chains is 0: give 1 or more"),
    "no persistent steps": (lambda: boltzmann.pcd(1, 0), "steps is 0: give 1 or more"),
    "one temperature": (
        lambda: boltzmann.tempered_pcd(num_temperatures=1),
        "num_temperatures is 1: give 2 or more",
    ),
    "no temperatures": (
        lambda: boltzmann.population(num_temperatures=0),
        "num_temperatures is 0: give 1 or more",
    ),
    "no population": (lambda: boltzmann.population(0), "num_chains is 0: give 1 or more"),
    "centring": (
        lambda: boltzmann.make_estimator(lambda key: MACHINE, boltzmann.cd(), centring=0.0),
        "centring is 0.0: give a share above 0 and up to 1, or None",
    ),
    "sparsity of all": (
        lambda: boltzmann.sparse(1.0, 0.1),
        "the target of sparsity is 1.0: give a number between 0 and 1",
    ),
    "sparsity of reals": (
        lambda: boltzmann.sparse(0.1, 0.1)(REAL.transposed, jnp.zeros((2, 4))),
        "sparsity is for hidden units that are bits: leave it out",
    ),
    "pseudo-likelihood of reals": (
        lambda: boltzmann.pseudo_log_likelihood(KEY, REAL, jnp.zeros(3)),
        "the pseudo-likelihood is of visible units that are bits: leave it out",
    ),
    # Trajectories.
    "no steps of a trajectory": (
        lambda: trajectory(KEY, MACHINE, STATE.visible, 0),
        "steps is 0: give 1 or more",
    ),
    "one trajectory": (
        lambda: estimated_end_log_prob(MACHINE, trajectory(KEY, MACHINE, STATE.visible[:1], 1)),
        "log q(x_k) is estimated from other chains and there is 1: give 2 or more",
    ),
    "states of reals": (
        lambda: transition_matrix(REAL, jnp.zeros((2, 3))),
        "real units have no list of states: simulate trajectories instead",
    ),
}


@pytest.fixture(autouse=True)
def _as_a_user_has_it():
    """Without the checks of shapes that the tests switch on, which would come first."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_one_line(name):
    wrong, message = WRONG[name]
    pattern = ".*".join(re.escape(part) for part in message.split(" .* "))
    with pytest.raises(InputError, match=pattern) as raised:
        wrong()
    assert "\n" not in str(raised.value)


def test_traced_values_are_not_looked_at():
    """Nothing of a value may be asked while it is traced: the checks let it through."""

    @jax.jit
    def run(schedule, temperature, steps):
        record = boltzmann.ais(KEY, PATH, schedule, num_chains=2)
        state, _ = boltzmann.gibbs_steps(KEY, MACHINE, STATE, steps, temperature)
        return record.log_z + state.visible.sum()

    assert jnp.isfinite(run(jnp.asarray(FEW), jnp.asarray(0.5), jnp.asarray(2)))


def test_what_is_at_the_edge_is_taken():
    """Constant pixels, means rounded beyond one, repeated inverse temperatures, one chain."""
    init_rbm(KEY, 1, [0.0, 1.0, np.float32(1.0000001)])
    assert jnp.isfinite(forward([0, 0.5, 0.5, 1], num_chains=1).log_z)
    sweep(float("inf"))
    boltzmann.init(KEY, MACHINE, 1, data=ROWS.astype(bool))
    annealed(num_chains=4, num_populations=4, resample_below=0.0)
