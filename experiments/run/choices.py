"""The tables from a flag's value to a function, of everything but the methods.

The library has no registry and no mode strings; a command line needs names, and they stand here.
"""

import difflib
import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

import numpy as np
import optax

from experiments.run.networks import (
    Networks,
    categorical,
    full_gaussian,
    gaussian,
    sigmoid_belief,
    uncertain_gaussian,
)
from experiments.run.posteriors import Posterior, directed, machine_groups, undirected
from experiments.run.presets import (
    Activity,
    averaged,
    iwae_release,
    rounded_burda_schedule,
    unweighted_with_ridge,
)
from remjax.boltzmann import (
    RBM,
    NegativePhase,
    Path,
    bias_base,
    data_mean_base,
    mean_field_base,
    pcd,
    population,
    tempered_pcd,
    uniform_base,
)
from remjax.data import Dataset
from remjax.data.binarization import Binarization, fixed, per_epoch, per_minibatch, unchanged
from remjax.data.orders import Order, as_stored, shuffled
from remjax.distributions import (
    Concrete,
    Corruption,
    Flips,
    GaussianNoise,
    Masking,
    OverlappingExponentials,
    PiecewiseLinear,
    PowerFunction,
    Relaxation,
    SaltAndPepper,
    Smoothing,
    SpikeAndExponential,
    StraightThrough,
    as_smoothing,
)
from remjax.errors import InputError
from remjax.evaluation.proposals import (
    EvaluationProposal,
    from_curvature,
    from_recognition,
    two_stage,
)
from remjax.methods.nvil import Signals, local_signals, whole_signal
from remjax.methods.proposals import Proposal, from_mixture, from_pooled, from_r, from_s
from remjax.methods.signals import StandIn, arithmetic_mean, geometric_mean
from remjax.models.initializations import Initialization, fan_in_uniform, glorot, he
from remjax.particles.covariances import (
    Covariance,
    shrunk,
    shrunk_with_mean,
    tempered,
    tempered_with_mean,
    unweighted,
    weighted,
)
from remjax.training.optimizers import burda_schedule, vahdat_schedule

V = TypeVar("V")

# Names that a message has room for.
_SHORT = 8

NETWORKS: Mapping[str, Networks] = {
    "gaussian": gaussian,
    "sigmoid_belief": sigmoid_belief,
    "categorical": categorical,
    "full_gaussian": full_gaussian,
    "uncertain_gaussian": uncertain_gaussian,
}

COVARIANCES: Mapping[str, Callable[[], Covariance]] = {
    "shrunk": shrunk,
    "shrunk_with_mean": shrunk_with_mean,
    "tempered": tempered,
    "tempered_with_mean": tempered_with_mean,
    "weighted": weighted,
    "unweighted": unweighted,
    "unweighted_with_ridge": unweighted_with_ridge,
}

# How s is matched -> the proposal; the covariance is that of --covariance, or None.
PROPOSALS: Mapping[str, Callable[[Covariance | None], Proposal]] = {
    "r": lambda _: from_r,
    "s": from_s,
    "mixture": from_mixture,
    "pooled": from_pooled,
}

SIGNALS: Mapping[str, Signals] = {
    "local": local_signals,
    "whole": whole_signal,
}

STAND_INS: Mapping[str, StandIn] = {
    "geometric_mean": geometric_mean,
    "arithmetic_mean": arithmetic_mean,
}

BINARIZATIONS: Mapping[str, Binarization] = {
    "fixed": fixed,
    "per_epoch": per_epoch,
    "per_minibatch": per_minibatch,
}

ORDERS: Mapping[str, Order] = {
    "shuffled": shuffled,
    "as_stored": as_stored,
}

# (first rate, updates per epoch, epochs of the run) -> the rate of each update.
SCHEDULES: Mapping[str, Callable[[float, int, int], optax.Schedule]] = {
    "burda": lambda rate, steps, _: burda_schedule(rate, steps),
    "burda_rounded": lambda rate, steps, _: rounded_burda_schedule(rate, steps),
    "vahdat": lambda rate, steps, epochs: vahdat_schedule(rate, steps * epochs),
    "constant": lambda rate, *_: optax.constant_schedule(rate),
    # It would reach zero one update after the last.
    "linear": lambda rate, steps, epochs: optax.linear_schedule(rate, 0.0, steps * epochs),
}

# Those that end with the last epoch: of more epochs every rate is another.
ENDING_SCHEDULES = frozenset({"vahdat", "linear"})

EVALUATION_PROPOSALS: Mapping[str, EvaluationProposal] = {
    "recognition": from_recognition,
    "curvature": from_curvature,
    "two_stage": two_stage,
}

# What a network learns to undo, of its strength: a rate, or the scale of the noise.
CORRUPTIONS: Mapping[str, Callable[[float], Corruption]] = {
    "salt_and_pepper": SaltAndPepper,
    "masking": Masking,
    "flips": Flips,
    "gaussian": GaussianNoise,
}

# The posteriors of a model whose prior is a Boltzmann machine.
POSTERIORS: Mapping[str, Posterior] = {
    "directed": directed,
    "rbm": undirected,
    "rbm_groups": machine_groups,
}

# Of a bit, with the sharpness that was asked for, if any.
RELAXATIONS: Mapping[str, Callable[..., Relaxation | None]] = {
    "pwl": PiecewiseLinear,
    "pwl_stop_slope": functools.partial(PiecewiseLinear, stop_slope=True),
    "concrete": Concrete,
    "power": PowerFunction,
    "spike_exponential": SpikeAndExponential,
    "overlapping": OverlappingExponentials,
    "straight_through": StraightThrough,
    "none": lambda: None,
}


class RelaxedPrior(NamedTuple):
    """How a prior of bits scores the numbers in their place.

    Attributes:
        default: the relaxation of the posterior where none is given.
        bits: relaxation -> that of bits that are scored as bits, and the smoothing of numbers that
            have a density; one of them is None.
    """

    default: str
    bits: Callable[[Relaxation | None], tuple[Relaxation | None, Smoothing | None]]


RELAXED_PRIORS: Mapping[str, RelaxedPrior] = {
    "energy": RelaxedPrior("pwl", lambda relaxation: (relaxation, None)),
    "marginal": RelaxedPrior("power", lambda relaxation: (None, as_smoothing(relaxation))),
}

# Where the samples of a prior come from: (chains, sweeps, temperatures) -> the negative phase.
PRIOR_PHASES: Mapping[str, Callable[[int, int, int], NegativePhase]] = {
    "population": population,
    "pcd": lambda chains, sweeps, _: pcd(chains, sweeps),
    "tempered_pcd": tempered_pcd,
}

# What the annealing of a machine begins at, from the machine and the mean training image.
BASES: Mapping[str, Callable[[RBM, np.ndarray], Path]] = {
    "uniform": lambda machine, _: uniform_base(machine),
    "biases": lambda machine, _: bias_base(machine),
    "data_mean": data_mean_base,
    "mean_field": lambda machine, _: mean_field_base(machine),
}

ACTIVITIES: Mapping[str, Activity] = {
    "averaged": averaged,
    "iwae_release": iwae_release,
}

INITIALIZATIONS: Mapping[str, Initialization] = {
    "glorot": glorot,
    "fan_in_uniform": fan_in_uniform,
    "he": he,
}


def look_up(table: Mapping[str, V], flag: str, name: str) -> V:
    """The entry of that name.

    Raises:
        InputError: naming the flag and the valid names, the nearest to the one given first; of
            many those alone.
    """
    if name in table:
        return table[name]
    nearest = difflib.get_close_matches(name, table, n=3, cutoff=0.4)
    if not nearest or len(table) <= _SHORT:
        names = ", ".join(dict.fromkeys([*nearest, *table]))
    else:
        names = f"{', '.join(nearest)} (the nearest of {len(table)})"
    raise InputError(f"--{flag}={name} is not known: use one of {names}")


def choose_binarization(dataset: Dataset, name: str) -> Binarization:
    """The named binarisation, or none for data that is binary or real-valued already."""
    if dataset.binary or dataset.real_valued:
        return unchanged
    return look_up(BINARIZATIONS, "binarization", name)
