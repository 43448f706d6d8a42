"""What a user of this room gets wrong is one line that names the cause and the mend."""

import jax
import jax.numpy as jnp
import numpy as np

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
from tests.boltzmann import machines
from tests.boltzmann.refusals import assert_refused, every

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
    "no units": (lambda: grid_graph(0, 3), "height is 0: give 1 or more"),
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
    "standard deviations below zero": (
        lambda: boltzmann.gaussian_units([1.0, -1.0]),
        "data_std holds -1 in column 1: give finite standard deviations of 0 or more",
    ),
    "one standard deviation": (
        lambda: boltzmann.gaussian_units(1.0),
        "data_std has the shape (): give [V], one for each column",
    ),
    "an edge of three": (
        lambda: make_graph(3, [(0, 1, 2)]),
        "the edge (0, 1, 2) cannot be: give pairs of units",
    ),
    "a graph of reals": (
        lambda: boltzmann.as_pairwise(REAL),
        "machines on graphs are of bits, and this one has real units: leave it",
    ),
    # Shapes.
    "hidden units of an energy": (
        lambda: MACHINE.energy(Units(*zeros((3, 5), (3, 3)))),
        "units of the shapes [(3, 5), (3, 3)]: give those of the machine, [..., 5], [..., 4], as",
    ),
    "chains of different numbers": (
        lambda: MACHINE.energy(Units(*zeros((3, 5), (2, 4)))),
        "units of the shapes [(3, 5), (2, 4)]: give those of the machine",
    ),
    "a likelihood of grey values": (
        lambda: MACHINE.log_prob(0.5 + 0 * ROWS, 0.0),
        "row 0 holds 0.5 .* whole numbers: binarise them",
    ),
    "rows for chains": (
        lambda: sweep(state=jnp.asarray(ROWS)),
        "chains of the shapes [(6, 5)]: give those of the machine, [..., 5], [..., 4], as init",
    ),
    "rows for chains that have modes": (
        lambda: boltzmann.find_modes(MACHINE, jnp.asarray(ROWS)),
        "chains of the shapes [(6, 5)]: give those of the machine",
    ),
    "rows for means": (
        lambda: boltzmann.mean_field(MACHINE, jnp.asarray(ROWS), 3),
        "start of the shapes [(6, 5)]: give those of the machine",
    ),
    "half a sweep": (
        lambda: boltzmann.gibbs_steps(KEY, MACHINE, STATE, 2.5),
        "num_sweeps is 2.5: give a whole number, as an integer",
    ),
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
        "units of the shapes [(2, 8)]: give those of the machine, [..., 9]",
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
        "only the visible units of an RBM begin at data: leave data out, or take rows",
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
        "and not of the form of the chains: give Units(mask, False)",
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
        "chains of the shapes [(4, 5), (4, 3)]: give those of the machine, [..., 5], [..., 4]",
    ),
    "no sweeps": (
        lambda: boltzmann.gibbs_steps(KEY, MACHINE, STATE, 0),
        "num_sweeps is 0: give 1 or more",
    ),
    "a number of chains that is no integer": (
        lambda: boltzmann.init(KEY, MACHINE, 3.0),
        "num_chains is 3.0: give a whole number, as an integer",
    ),
    "less than no sweep": (
        lambda: boltzmann.mean_field(MACHINE, STATE, -1),
        "num_sweeps is -1: give 0 or more",
    ),
    # Values.
    "no hidden units of a machine": (
        lambda: RBM(*zeros((5, 0), 5, 0)),
        "5 visible and 0 hidden units: give one of each or more",
    ),
    "complex weights": (
        lambda: RBM(jnp.zeros((5, 4), complex), *zeros(5, 4)),
        "parameters of type complex64: give real numbers",
    ),
    "lists of units": (
        lambda: MACHINE.energy(Units([0, 0, 0, 0, 1], [0, 0, 0, 0])),
        "units hold lists or single numbers: give arrays [..., 5], [..., 4]",
    ),
    "bytes given hidden units": (
        lambda: MACHINE.visible_log_prob(255 * ROWS, STATE.hidden[0]),
        "row 1 holds 255 .* must lie in [0, 1]",
    ),
    "a pseudo-likelihood of bytes": (
        lambda: boltzmann.pseudo_log_likelihood(KEY, MACHINE, 255 * ROWS),
        "row 1 holds 255 .* must lie in [0, 1]",
    ),
    "a loss of bytes": (
        lambda: boltzmann.likelihood_loss(MACHINE, 255 * ROWS, STATE.visible),
        "data: row 1 holds 255 .* must lie in [0, 1]",
    ),
    "a loss of NaN": (
        lambda: boltzmann.likelihood_loss(MACHINE, ROWS, np.nan * ROWS),
        "samples: row 0 holds nan",
    ),
    "means of the data of a graph": (
        lambda: boltzmann.data_mean_base(GRID, ROWS.mean(axis=0)),
        "PairwiseMachine has no visible side: give bias_base or mean_field_base",
    ),
    "a file of a graph": (
        lambda: boltzmann.save_machine("grid.npz", GRID),
        "PairwiseMachine is no RBM, which a file holds: save its arrays",
    ),
}


@every(WRONG)
def test_wrong_input_is_one_line(wrong, message):
    assert_refused(wrong, message)


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
    init_rbm(KEY, 1, np.float32([0.0, 1.0, 1.0000001]))
    assert jnp.isfinite(forward([0, 0.5, 0.5, 1], num_chains=1).log_z)
    sweep(float("inf"))
    boltzmann.init(KEY, MACHINE, 1, data=ROWS.astype(bool))
    annealed(num_chains=4, num_populations=4, resample_below=0.0)
