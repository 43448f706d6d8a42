"""What is measured of a machine: log Z from both sides, and likelihoods within that bracket."""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.run.images import evaluation_images
from experiments.run.kind import Check, Figures, Problem, Scoring
from experiments.run.log_z import TEST_METRICS, at_both_ends, base_of, log_z_figures
from experiments.run.machine_sampling import sampler_of
from experiments.run.progress import Bars, progress_bar
from experiments.run.sampled import COLUMNS, sampled_figures, sampled_remarks
from experiments.run.settings import Settings
from remjax.boltzmann import (
    RBM,
    init,
    linear_inverse_temperatures,
    measure_bracket,
)
from remjax.training.steps import TrainState

# All runs are measured with the same keys.
_KEY_TRACK = 1_000_007
_TRACK_CHAINS, _TRACK_BURN_IN = 100, 100
_ROWS = 5000


class Machines(NamedTuple):
    """What a run of a machine has besides its estimator.

    Attributes:
        data_mean: of the training images, where chains begin.
    """

    data_mean: np.ndarray


def score(problem: Problem, state: TrainState, check: Check, bars: Bars) -> Figures:
    """The figures of result.json: log Z with its bracket, and the log-likelihoods within it.

    With --csl_draws also those by which it is compared with models that have no log Z.

    Args:
        problem: the run's parts; its settings say how log Z is measured.
        state: of one replica.
        check: called between blocks of chains; may raise to stop.
        bars: makes the bar over the chains.
    """
    sampler = sampler_of(state.params.theta, problem.settings.csl_every)
    figures = likelihood_figures(problem, state, check, bars)
    return figures | sampled_figures(problem, sampler, check, bars)


def likelihood_figures(problem: Problem, state: TrainState, check: Check, bars: Bars) -> Figures:
    """Those within the bracket, without what --csl_draws asks for besides."""
    machine: RBM = state.params.theta
    images = evaluation_images(problem.dataset, "train", None)
    path = base_of(problem.settings, machine, problem.parts.data_mean)
    figures = log_z_figures(
        problem.settings,
        path,
        lambda key, count: init(key, machine, count, images),
        check,
        bars,
    )
    for part in ("train", "test"):
        images = evaluation_images(problem.dataset, part, problem.settings.eval_size)
        values = _minus_free_energies(machine, images)
        check()
        low, high = at_both_ends(values.mean(), figures["log_z_ais"], figures["log_z_reverse"])
        # Of parameters that ran away they are infinite, which the remarks say.
        with np.errstate(invalid="ignore"):
            spread = values.std(ddof=1)
        figures |= {
            f"{part}_log_likelihood": float(values.mean() - figures["log_z"]),
            f"{part}_log_likelihood_low": low,
            f"{part}_log_likelihood_high": high,
            f"{part}_log_likelihood_stderr": float(spread / np.sqrt(len(values))),
            f"{part}_images": len(values),
        }
    return figures


def test_metrics(problem: Problem, state: TrainState) -> dict[str, float]:
    """The log-likelihood of the test images and its bracket, measured as at the end of the run."""

    def nothing() -> None:
        return None

    bars = functools.partial(progress_bar, leave=False)
    figures = likelihood_figures(problem, state, nothing, bars)
    return {name: figures[name] for name in TEST_METRICS}


def tracked(problem: Problem, state: TrainState) -> dict[str, float]:
    """log Z by a short annealing in both directions, and with it that of some training images.

    A likelihood by so few temperatures is a wide bracket; how it grows shows all the same.
    """
    settings, machine = problem.settings, state.params.theta
    if not settings.track_temperatures:
        return {}
    key_start, key = jax.random.split(jax.random.key(_KEY_TRACK))
    images = evaluation_images(problem.dataset, "train", min(1000, len(problem.dataset.train)))
    found = measure_bracket(
        key,
        base_of(settings, machine, problem.parts.data_mean),
        linear_inverse_temperatures(settings.track_temperatures),
        init(key_start, machine, _TRACK_CHAINS, images),
        num_chains=_TRACK_CHAINS,
        burn_in=_TRACK_BURN_IN,
    )
    mean = float(_minus_free_energies(machine, images).mean())
    low, high = at_both_ends(mean, found.lower.log_z, found.upper.log_z)
    return {
        "tracked_log_z": float(found.log_z),
        "tracked_log_z_stderr": float(found.stderr),
        "tracked_log_likelihood": mean - float(found.log_z),
        "tracked_log_likelihood_low": low,
        "tracked_log_likelihood_high": high,
    }


@jax.jit
def _free_energies(machine: RBM, rows: jax.Array) -> jax.Array:
    return machine.free_energy(rows)


def _minus_free_energies(machine: RBM, images: np.ndarray) -> np.ndarray:
    """-F(x) of each image in float64, in blocks."""
    blocks = [images[start : start + _ROWS] for start in range(0, len(images), _ROWS)]
    rows = [np.asarray(_free_energies(machine, jnp.asarray(block))) for block in blocks]
    return -np.concatenate(rows).astype(np.float64)


def _announced(settings: Settings) -> str:
    return (
        f"log Z with {settings.log_z_temperatures:,} temperatures and {settings.log_z_chains:,} "
        "chains in each direction"
    )


def _remarks(figures: Mapping[str, Any]) -> str:
    """What to know of the figures of `score`."""
    text = _remark_on_likelihoods(figures)
    return f"{text}\n{sampled_remarks(figures)}" if "test_csl" in figures else text


def _remark_on_likelihoods(figures: Mapping[str, Any]) -> str:
    value = figures.get("test_log_likelihood", 0.0)
    # result.json has no infinities: it has null.
    if value is None or not np.isfinite(value):
        return (
            "the log-likelihood is no finite number: the parameters ran away, so lower "
            "--learning_rate"
        )
    if figures.get("log_z_by") == "enumeration":
        return "log-likelihoods in nats per image, exact: log Z is enumerated"
    text = (
        "log-likelihoods in nats per image: between low, by reverse chains, and high, by annealed "
        "importance\nsampling alone, which errs upward and is what papers report; the middle is "
        "the bridge between both"
    )
    gap = figures.get("log_z_gap")
    if gap is not None and abs(gap) > 0.5:
        text += (
            "\nthe bracket is wider than 0.5 nats: raise --log_z_temperatures, and "
            "--log_z_burn_in where log_z_gap is negative"
        )
    return text


SCORING = Scoring(
    score=score,
    test_metrics=test_metrics,
    announced=_announced,
    remarks=_remarks,
    recorded=("method", "dataset", "epochs", "seed", "num_replicas"),
    columns=(
        "method", "dataset", "epochs", "train_log_likelihood", "test_log_likelihood",
        "test_log_likelihood_low", "test_log_likelihood_high", "test_log_likelihood_stderr",
        "log_z", "log_z_stderr", "log_z_gap", *COLUMNS, "seconds",
    ),
    columns_again=(
        "step", "log_z_temperatures", "log_z_chains", "train_log_likelihood",
        "test_log_likelihood", "test_log_likelihood_low", "test_log_likelihood_high",
        "test_log_likelihood_stderr", "test_images", "log_z", "log_z_stderr", "log_z_gap",
        *COLUMNS,
    ),
)  # fmt: skip
