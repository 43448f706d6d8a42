"""Boltzmann machines: energies, chains as explicit state, log Z with its error, and learning.

    from remjax import boltzmann

    keys = iter(jax.random.split(jax.random.key(0), 4))
    rbm = boltzmann.init_rbm(next(keys), 500, data.mean(axis=0))
    chains = boltzmann.init(next(keys), rbm, num_chains=100)
    chains, info = boltzmann.gibbs_step(next(keys), rbm, chains)
    found = boltzmann.measure_log_likelihood(next(keys), rbm, test, data)
    print(found.low, found.value, found.high)  # nats per row

This room needs nothing of models, methods or training; an estimator of `make_estimator` is trained
as those of the methods are.
"""

from remjax.boltzmann import negative_phases, trajectories
from remjax.boltzmann.annealing import ais, reverse_ais
from remjax.boltzmann.brackets import Bracket, bracket, measure_bracket
from remjax.boltzmann.enumerated import EnumeratedMachine
from remjax.boltzmann.families import Bits, Family, Reals
from remjax.boltzmann.files import load_machine, save_machine
from remjax.boltzmann.gibbs import Info, gibbs_step, gibbs_steps, init
from remjax.boltzmann.harmonium_posterior import HarmoniumPosterior
from remjax.boltzmann.learning import (
    LearningState,
    l1,
    l2,
    make_estimator,
    pseudo_log_likelihood,
    sparse,
)
from remjax.boltzmann.likelihood import Offsets, Sample, likelihood_loss
from remjax.boltzmann.machine import Machine
from remjax.boltzmann.mean_field import Modes, find_modes, mean_field
from remjax.boltzmann.negative_phases import cd, pcd, population, tempered_pcd
from remjax.boltzmann.normalized import NormalizedMachine
from remjax.boltzmann.pairwise import (
    Graph,
    PairwiseMachine,
    as_pairwise,
    complete_graph,
    grid_graph,
    make_graph,
)
from remjax.boltzmann.partition import (
    ForwardChains,
    LogPartition,
    ReverseChains,
    exact,
    exact_samples,
    joined,
    log_partition,
)
from remjax.boltzmann.paths import (
    Path,
    bias_base,
    data_mean_base,
    linear_inverse_temperatures,
    mean_field_base,
    salakhutdinov_inverse_temperatures,
    uniform_base,
)
from remjax.boltzmann.phases import NegativePhase
from remjax.boltzmann.population import population_annealing
from remjax.boltzmann.posterior import MarginalPosterior, UndirectedPosterior
from remjax.boltzmann.rbm import RBM, Units, gaussian_units, init_rbm
from remjax.boltzmann.schedules import choose_inverse_temperatures
from remjax.boltzmann.scores import LogLikelihood, measure_log_likelihood
from remjax.boltzmann.smoothed import SmoothedMachine
from remjax.boltzmann.spins import Spins, from_spins, to_spins
from remjax.boltzmann.tempering import (
    Ladder,
    LadderInfo,
    init_ladder,
    ladder_step,
    machine_chains,
)

__all__ = [
    "RBM",
    "Bits",
    "Bracket",
    "EnumeratedMachine",
    "Family",
    "ForwardChains",
    "Graph",
    "HarmoniumPosterior",
    "Info",
    "Ladder",
    "LadderInfo",
    "LearningState",
    "LogLikelihood",
    "LogPartition",
    "Machine",
    "MarginalPosterior",
    "Modes",
    "NegativePhase",
    "NormalizedMachine",
    "Offsets",
    "PairwiseMachine",
    "Path",
    "Reals",
    "ReverseChains",
    "Sample",
    "SmoothedMachine",
    "Spins",
    "UndirectedPosterior",
    "Units",
    "ais",
    "as_pairwise",
    "bias_base",
    "bracket",
    "cd",
    "choose_inverse_temperatures",
    "complete_graph",
    "data_mean_base",
    "exact",
    "exact_samples",
    "find_modes",
    "from_spins",
    "gaussian_units",
    "gibbs_step",
    "gibbs_steps",
    "grid_graph",
    "init",
    "init_ladder",
    "init_rbm",
    "joined",
    "l1",
    "l2",
    "ladder_step",
    "likelihood_loss",
    "linear_inverse_temperatures",
    "load_machine",
    "log_partition",
    "machine_chains",
    "make_estimator",
    "make_graph",
    "mean_field",
    "mean_field_base",
    "measure_bracket",
    "measure_log_likelihood",
    "negative_phases",
    "pcd",
    "population",
    "population_annealing",
    "pseudo_log_likelihood",
    "reverse_ais",
    "salakhutdinov_inverse_temperatures",
    "save_machine",
    "sparse",
    "tempered_pcd",
    "to_spins",
    "trajectories",
    "uniform_base",
]
