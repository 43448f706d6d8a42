"""What is no machine, or a machine of NaN, is refused where it enters, and so are odd numbers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax import boltzmann
from remjax.boltzmann import Units, linear_inverse_temperatures, make_graph, uniform_base
from remjax.boltzmann.tempering import init_ladder
from tests.boltzmann import machines
from tests.boltzmann.refusals import assert_refused, every

KEY = jax.random.key(0)
MACHINE = machines.rbm()
GRID = machines.OF_BITS["grid"]
REAL = machines.gaussian_rbm()
PATH = uniform_base(MACHINE)
FEW = linear_inverse_temperatures(3)
ROWS = machines.all_states(5)[:6]
ARRAY = jnp.zeros((5, 4))

NAN = dataclasses.replace(MACHINE, weights=MACHINE.weights.at[1, 2].set(jnp.nan))
INFINITE = dataclasses.replace(GRID, bias=GRID.bias.at[3].set(-jnp.inf))
_LOG_PRECISION = REAL.visible.log_precision.at[0].set(jnp.nan)
OF_PRECISION = dataclasses.replace(REAL, visible=boltzmann.Reals(_LOG_PRECISION))

MEASURES = {
    "uniform_base": uniform_base,
    "bias_base": boltzmann.bias_base,
    "data_mean_base": lambda machine: boltzmann.data_mean_base(machine, np.full(5, 0.5)),
    "mean_field_base": boltzmann.mean_field_base,
    "exact": boltzmann.exact,
    "log_partition": boltzmann.log_partition,
    "exact_samples": lambda machine: boltzmann.exact_samples(KEY, machine, 2),
    "init_ladder": lambda machine: init_ladder(KEY, machine, 3, 2),
    "measure_log_likelihood": lambda machine: boltzmann.measure_log_likelihood(
        KEY, machine, ROWS, ROWS
    ),
    "save_machine": lambda machine: boltzmann.save_machine("never.npz", machine),
}


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES.keys())
def test_measures_refuse_what_is_no_machine_of_numbers(measure):
    assert_refused(lambda: measure(NAN), "weights of the machine holds nan: give finite parameters")
    assert_refused(lambda: measure(ARRAY), " is no ")


def test_any_parameter_is_looked_at():
    assert_refused(lambda: boltzmann.exact(INFINITE), "bias of the machine holds -inf: give finite")
    assert_refused(
        lambda: uniform_base(OF_PRECISION), "visible.log_precision of the machine holds nan"
    )


def test_traced_machines_are_not_looked_at():
    """A fit that diverges finds NaN, and the gradient of one machine is that of any other."""
    assert jnp.isnan(jax.jit(boltzmann.log_partition)(NAN))
    found = jax.grad(boltzmann.log_partition)(MACHINE)
    assert np.isfinite(found.weights).all()
    assert jax.vmap(boltzmann.log_partition)(jax.tree.map(lambda x: x[None], NAN)).shape == (1,)


def annealed(**options):
    return boltzmann.population_annealing(KEY, PATH, FEW, **options)


def chosen(*arguments, **options):
    return boltzmann.choose_inverse_temperatures(KEY, PATH, *arguments, **options)


WRONG = {
    # What is no machine of the kind that is wanted.
    "spins of an array": (
        lambda: boltzmann.to_spins(ARRAY),
        " is no RBM: give one, whose bits become spins",
    ),
    "spins of a graph": (lambda: boltzmann.to_spins(GRID), "PairwiseMachine is no RBM: give one"),
    "all of to_spins": (
        lambda: boltzmann.from_spins(boltzmann.to_spins(MACHINE)),
        "tuple is no Spins: give the first of the two that to_spins returns",
    ),
    "bits of a machine of bits": (lambda: boltzmann.from_spins(MACHINE), "RBM is no Spins: give"),
    "the graph of a graph": (
        lambda: boltzmann.as_pairwise(GRID),
        "PairwiseMachine is no RBM: give one, whose graph is bipartite",
    ),
    "the graph of units": (lambda: boltzmann.as_pairwise(Units(1, 2)), "Units is no RBM: give one"),
    "the likelihood of a graph": (
        lambda: boltzmann.measure_log_likelihood(KEY, GRID, ROWS, ROWS),
        "PairwiseMachine is no RBM: of another machine",
    ),
    # Graphs.
    "an edge to half a unit": (
        lambda: make_graph(3, [(0, 1.5)]),
        "the edge (0, 1.5) cannot be: give pairs of units, as whole numbers",
    ),
    "edges of floats": (
        lambda: make_graph(3, np.array([[0.0, 1.0]])),
        "cannot be: give pairs of units, as whole numbers",
    ),
    "an edge of a word": (lambda: make_graph(3, [("a", 1)]), "the edge ('a', 1) cannot be: give"),
    "an edge that is a unit": (lambda: make_graph(3, [0, 1]), "the edge 0 cannot be: give pairs"),
    "half a row": (lambda: boltzmann.grid_graph(2, 1.5), "width is 1.5: give a whole number"),
    "rows below none": (lambda: boltzmann.grid_graph(-1, -1), "height is -1: give 1 or more"),
    "half a unit": (lambda: boltzmann.complete_graph(1.5), "num_units is 1.5: give a whole number"),
    # Numbers of things.
    "no chains of populations": (lambda: annealed(num_chains=0), "num_chains is 0: give 1 or more"),
    "chains below none": (lambda: annealed(num_chains=-16), "num_chains is -16: give 1 or more"),
    "half a population": (
        lambda: annealed(num_chains=3, num_populations=1.5),
        "num_populations is 1.5: give a whole number",
    ),
    "half a step": (
        lambda: linear_inverse_temperatures(2.5),
        "count is 2.5: give a whole number",
    ),
    "half a step of those chosen": (
        lambda: chosen(2.5),
        "count is 2.5: give a whole number",
    ),
    "half a pilot": (lambda: chosen(num_pilots=2.5), "num_pilots is 2.5: give a whole number"),
    "an inverse temperature of NaN": (
        lambda: boltzmann.ais(KEY, PATH, [0, np.nan, 1]),
        "an inverse temperature of nan at place 1: give two or more finite numbers",
    ),
    "an endless inverse temperature": (
        lambda: boltzmann.ais(KEY, PATH, [0, 0.5, np.inf]),
        "an inverse temperature of inf at place 2: give",
    ),
}


@every(WRONG)
def test_wrong_input_is_one_line(wrong, message):
    assert_refused(wrong, message)


def test_edges_are_whole_numbers_of_any_type():
    ours = make_graph(3, [(0, 1), (2, 1)])
    theirs = make_graph(3, np.array([[0, 1], [2, 1]], np.int8))
    assert ours == theirs
    assert hash(ours) == hash(theirs)
