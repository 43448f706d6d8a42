"""Restricted Boltzmann machines: what a run of one is made of."""

import functools
from collections.abc import Mapping

import jax
import numpy as np

from experiments.run.data_facts import DataFacts
from experiments.run.kind import Kind, Problem, Work
from experiments.run.log_z_settings import LOG_Z_SETTINGS
from experiments.run.machine_pictures import draw_machine
from experiments.run.machine_scoring import SCORING, Machines, tracked
from experiments.run.machine_settings import MACHINE_SETTINGS
from experiments.run.methods import MACHINES, with_knobs
from experiments.run.run_directory import RunDirectory
from experiments.run.sampling_settings import SAMPLING_SETTINGS
from experiments.run.settings import Settings
from remjax.boltzmann import (
    Bits,
    Family,
    gaussian_units,
    init_rbm,
    l1,
    l2,
    make_estimator,
    save_machine,
    sparse,
)
from remjax.errors import InputError
from remjax.training.steps import TrainState
from remjax.types import Estimator

# Root mean square of a column above which real units are refused: a column as it comes, on the
# scale of centimetres or years, ends in NaN.
_LARGEST = 10.0
# What a negative phase says of its mixing, and how an epoch's line has it.
_MIXING = {"flip_rate": "flips", "swap_rate": "swaps", "population_ess": "families"}


def _build(
    settings: Settings, facts: DataFacts, mesh: jax.sharding.Mesh | None
) -> tuple[Estimator, Machines]:
    """The estimator, and the images that log Z is measured with."""
    if len(settings.latent_sizes) > 1:
        raise InputError(
            f"--latent_size={settings.latent_size} does not go with --model=rbm, which has one "
            "layer of hidden units: give one number"
        )
    num_hidden, data_mean = settings.latent_sizes[0], facts.mean
    if num_hidden * len(data_mean) >= 2**31:
        raise InputError(
            f"the machine would have {num_hidden * len(data_mean):,} weights: lower --latent_size"
        )
    init = functools.partial(
        init_rbm, num_hidden=num_hidden, data_mean=data_mean, visible=_visible(facts)
    )
    penalties = [
        penalty
        for strength, penalty in (
            (settings.l1, l1(settings.l1)),
            (settings.l2, l2(settings.l2)),
            (settings.sparsity, sparse(settings.sparsity_target, settings.sparsity)),
        )
        if strength
    ]
    estimator = make_estimator(
        init,
        with_knobs(settings.method, settings.for_estimator()),
        centring=settings.centring_rate or None,
        penalties=penalties,
    )
    return estimator, Machines(data_mean)


def _visible(facts: DataFacts) -> Family:
    """The visible units that the training data ask for.

    Raises:
        InputError: for two values other than 0 and 1, and for columns so far from mean 0 and
            variance 1 that no step of the couplings serves them and the biases alike.
    """
    if not facts.real_valued:
        return Bits()
    mean, scale = (np.asarray(x, np.float64) for x in (facts.mean, facts.scale))
    low, high = facts.values.low, facts.values.high
    # No variance within [low, high] is larger than that of its two ends.
    if high > low and np.allclose(scale**2, (mean - low) * (high - mean), rtol=1e-3):
        raise InputError(
            f"the data hold {low:g} and {high:g} alone, and visible units of two values are 0 and "
            f"1: save them as x == {high:g}"
        )
    size = np.hypot(mean, scale)
    worst = int(np.argmax(size))
    if not size[worst] <= _LARGEST:
        named = facts.columns.model_names[worst] if facts.columns else f"number {worst}"
        raise InputError(
            f"column {named} holds numbers of about {size[worst]:.3g}, and real visible units "
            "learn columns of about mean 0 and variance 1: add --standardize"
        )
    return gaussian_units(facts.scale)


def _about(problem: Problem) -> str:
    facts = problem.facts
    if facts.real_valued:
        units = "standardized columns" if problem.settings.standardize else "columns as they are"
        return f"visible units: real numbers, Gaussian given the hidden ones, of {units}"
    return "visible units: bits" + ("" if facts.binary else ", drawn from grey levels")


def _line(metrics: Mapping[str, float]) -> str:
    parts = []
    if "pseudo_log_likelihood" in metrics:
        parts.append(f"pseudo-log-likelihood {metrics['pseudo_log_likelihood']:8.2f}")
    if "tracked_log_likelihood" in metrics:
        middle, low, high = (
            metrics[f"tracked_log_likelihood{name}"] for name in ("", "_low", "_high")
        )
        parts.append(f"log-likelihood {middle:8.2f} ({low:z.2f} to {high:z.2f}) nats")
    for name, named in _MIXING.items():
        if name in metrics:
            parts.append(f"{named} {metrics[name]:.3g}")
    return "  ".join(parts)


def _keep(state: TrainState, run: RunDirectory) -> None:
    """The machine alone, for `boltzmann.load_machine`."""
    save_machine(run.path / "machine.npz", state.params.theta)


def _chains(settings: Settings) -> tuple[str, int] | None:
    count = with_knobs(settings.method, settings.for_estimator()).chains_to_divide
    return ("num_chains", count) if count else None


def _work(settings: Settings) -> Work:
    """In products of one row with the weights."""
    return Work(update=5 * settings.batch_size, image=1)


KINDS: Mapping[str, Kind] = {
    "rbm": Kind(
        family=MACHINES,
        settings=MACHINE_SETTINGS | LOG_Z_SETTINGS | SAMPLING_SETTINGS | {"latent_size"},
        build=_build,
        line=_line,
        about=_about,
        draw=draw_machine,
        keep=_keep,
        scoring=SCORING,
        defaults={
            "method": "pcd",
            "optimizer": "sgd",
            "learning_rate": 0.03,
            "schedule": "linear",
            "latent_size": "500",
            "epochs": 100,
            "eval_size": 0,
        },
        # Few and small: 500 hidden units at a small rate would have learned nothing of them.
        of_data={
            "digits": {
                "learning_rate": 0.3,
                "latent_size": "64",
                "epochs": 150,
                "batch_size": 100,
            }
        },
        epoch_metrics=tracked,
        particles=_chains,
        work=_work,
    )
}
