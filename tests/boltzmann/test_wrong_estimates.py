"""What a user gets wrong of log Z, tempering and learning is one line each."""

import jax
import jax.numpy as jnp
import numpy as np

from remjax import boltzmann
from remjax.boltzmann import (
    RBM,
    Reals,
    Units,
    linear_inverse_temperatures,
    uniform_base,
)
from remjax.boltzmann.tempering import init_ladder
from tests.boltzmann import machines
from tests.boltzmann.refusals import assert_refused, every

KEY = jax.random.key(0)
MACHINE = machines.rbm()
REAL = machines.gaussian_rbm()
GRID = machines.OF_BITS["grid"]
PATH = uniform_base(MACHINE)
FEW = linear_inverse_temperatures(3)
STATE = boltzmann.init(KEY, MACHINE, 4)


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


WRONG = {
    # log Z.
    "a machine for a path": (
        lambda: boltzmann.ais(KEY, MACHINE, FEW),
        "a path leads from a base to a machine, and RBM is none: give uniform_base(machine), ",
    ),
    "a machine for a path of pilots": (
        lambda: boltzmann.choose_inverse_temperatures(KEY, MACHINE),
        "and RBM is none",
    ),
    "a machine for a path of populations": (
        lambda: boltzmann.population_annealing(KEY, MACHINE, FEW),
        "and RBM is none",
    ),
    "a machine for a path of a ladder": (
        lambda: boltzmann.ladder_step(KEY, MACHINE, init_ladder(KEY, MACHINE, 3, 2), FEW),
        "and RBM is none",
    ),
    "a number of temperatures": (
        lambda: forward(100),
        "give two or more finite numbers, as linear_inverse_temperatures(1000) does",
    ),
    "rows where long chains begin": (
        lambda: boltzmann.measure_bracket(KEY, PATH, FEW, jnp.zeros((3, 5))),
        "starts of the shapes [(3, 5)]: give those of the machine",
    ),
    "no exact draws": (
        lambda: boltzmann.exact_samples(KEY, MACHINE, 0),
        "num_samples is 0: give 1 or more",
    ),
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
        "samples of the shapes [(3, 4), (3, 4)]: give those of the machine, [..., 5], [..., 4]",
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
        "count is 0: give 1 or more",
    ),
    # Tempering.
    "a ladder of one": (lambda: init_ladder(KEY, MACHINE, 1, 2), "num_temperatures is 1: give 2"),
    "no ladders": (lambda: init_ladder(KEY, MACHINE, 2, 0), "num_chains is 0: give 1 or more"),
    "another ladder": (
        lambda: ladder_of([0.0, 1.0]),
        "inverse temperatures of the shape (2,) for ladders of 3 chains: give one for each",
    ),
    "a ladder that falls": (lambda: ladder_of([1.0, 0.5, 0.0]), "rise from 0, the base, to 1"),
    # Values that units cannot have.
    "samples that are no bits": (
        lambda: boltzmann.reverse_ais(KEY, PATH, FEW, Units(jnp.full((3, 5), 7.0), STATE[1][:3])),
        "samples: row 0 holds 7 (and 2 more rows) and values must lie in [0, 1]: give states",
    ),
    "samples that are means": (
        lambda: boltzmann.reverse_ais(KEY, PATH, FEW, Units(jnp.full((3, 5), 0.5), STATE[1][:3])),
        "samples: row 0 holds 0.5 (and 2 more rows) and values must be whole numbers",
    ),
    "starts that are means": (
        lambda: boltzmann.measure_bracket(KEY, PATH, FEW, Units(STATE[0], STATE[1] * 0.5)),
        "starts: row ",
    ),
    "chains of NaN": (
        lambda: boltzmann.gibbs_steps(KEY, MACHINE, STATE._replace(hidden=STATE[1] * jnp.nan), 2),
        "chains: row 0 holds nan (and 3 more rows): give states, as sweeps leave them",
    ),
    "chains of a graph that are spins": (
        lambda: boltzmann.gibbs_steps(KEY, GRID, -jnp.ones((2, 9)), 2),
        "chains: row 0 holds -1 (and 1 more row) and values must lie in [0, 1]",
    ),
    "modes of chains that are means": (
        lambda: boltzmann.find_modes(MACHINE, Units(STATE[0] + 0.25, STATE[1])),
        "chains: row 0 holds ",
    ),
    # Learning.
    "one datapoint": (
        lambda: boltzmann.likelihood_loss(MACHINE, jnp.zeros(5), jnp.zeros((2, 5))),
        "data of the shape (5,): give rows [n, 5]",
    ),
    "no samples to learn from": (
        lambda: boltzmann.likelihood_loss(MACHINE, jnp.zeros((2, 5)), jnp.zeros((0, 5))),
        "samples of the shape (0, 5): give rows [n, 5]",
    ),
    "samples of another width": (
        lambda: boltzmann.likelihood_loss(MACHINE, jnp.zeros((2, 5)), jnp.zeros((2, 4))),
        "samples of the shape (2, 4) for the 5 of the machine",
    ),
    "weights of other samples": (
        lambda: boltzmann.likelihood_loss(MACHINE, *zeros((2, 5), (4, 5), 3)),
        "weights of the shape (3,) for 4 samples: give one of each",
    ),
    "offsets of other units": (
        lambda: boltzmann.likelihood_loss(
            MACHINE, *zeros((2, 5), (2, 5)), offsets=boltzmann.Offsets(*zeros(5, 3))
        ),
        "offsets.hidden of the shape (3,) for the 4 of the machine",
    ),
    "offsets of a graph": (
        lambda: boltzmann.likelihood_loss(
            GRID, *zeros((2, 9), (2, 9)), offsets=boltzmann.Offsets(*zeros(9, 0))
        ),
        "offsets center an RBM: leave them out for a machine on a graph",
    ),
    "an estimator of a graph": (
        lambda: boltzmann.make_estimator(lambda key: GRID, boltzmann.pcd()),
        "an estimator trains RBMs, and init makes a PairwiseMachine: descend likelihood_loss, with",
    ),
    "a penalty below zero": (
        lambda: boltzmann.l2(-1.0),
        "the strength of a penalty is -1.0: give 0 or more",
    ),
    "no sweeps": (lambda: boltzmann.cd(0), "num_sweeps is 0: give 1 or more"),
    "no persistent chains": (lambda: boltzmann.pcd(0), "num_chains is 0: give 1 or more"),
    "no persistent sweeps": (lambda: boltzmann.pcd(1, 0), "num_sweeps is 0: give 1 or more"),
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
}


@every(WRONG)
def test_wrong_input_is_one_line(wrong, message):
    assert_refused(wrong, message)


def test_chains_that_a_compiled_function_closes_over_are_looked_at():
    """Those of a graph too, whose blocks are taken out of one array."""
    chains, spins = jnp.zeros((2, 9)), -jnp.ones((2, 9))
    after = jax.jit(lambda key: boltzmann.gibbs_steps(key, GRID, chains, 2)[0])(KEY)
    assert after.shape == (2, 9)
    assert_refused(
        lambda: jax.jit(lambda key: boltzmann.gibbs_steps(key, GRID, spins, 2))(KEY),
        "chains: row 0 holds -1 (and 1 more row) and values must lie in [0, 1]: give states",
    )
