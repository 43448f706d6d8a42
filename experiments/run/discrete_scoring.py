"""What is measured of a discrete VAE: log Z of its prior from both sides, and bounds within it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.run.images import evaluation_images
from experiments.run.kind import Check, Figures, Problem, Scoring
from experiments.run.likelihoods import Chosen
from experiments.run.log_z import TEST_METRICS, at_both_ends, base_of, log_z_figures
from experiments.run.progress import Bar, Bars, progress_bar
from experiments.run.settings import Settings
from remjax.boltzmann import Units, bias_base, linear_inverse_temperatures, measure_bracket
from remjax.boltzmann.normalized import split
from remjax.evaluation.undirected import UndirectedEvaluation
from remjax.models import normalize_prior, prior_machine
from remjax.training.steps import TrainState, metric_means
from remjax.types import Model, Recognition

# All runs are scored with the same particles' keys.
_KEY_PARTICLES = 1_000_002
_KEY_TRACK = 1_000_007
_TRACK_CHAINS, _TRACK_BURN_IN = 100, 100


class DiscreteVAE(NamedTuple):
    """What a run of a discrete VAE has besides its estimator.

    Attributes:
        model: what is fitted, its prior a Boltzmann machine.
        recognition: its recognition network.
        evaluate: the evaluation of its posterior, compiled once for all replicas and epochs.
        likelihood: how it was chosen.
    """

    model: Model
    recognition: Recognition
    evaluate: Callable[..., Any]
    likelihood: Chosen


def score(problem: Problem, state: TrainState, check: Check, bars: Bars) -> Figures:
    """The figures of result.json.

    log Z of the prior, and log-likelihoods of train and test images within its bracket.

    Args:
        problem: the run's parts; its settings name the evaluation's particles and images.
        state: of one replica.
        check: called between blocks of work; may raise to stop.
        bars: makes the bars.
    """
    settings = problem.settings
    figures = prior_figures(problem, state, check, bars)
    for part in ("train", "test"):
        figures |= _of_part(problem, state, part, figures, check, bars)
    return figures | {"eval_num_particles": settings.eval_num_particles}


def test_metrics(problem: Problem, state: TrainState) -> dict[str, float]:
    """The log-likelihood of the test images and its bracket, measured as at the end of the run."""

    def nothing() -> None:
        return None

    figures = prior_figures(problem, state, nothing, progress_bar)
    figures |= _of_part(problem, state, "test", figures, nothing, progress_bar)
    return {name: figures[name] for name in TEST_METRICS}


def prior_figures(problem: Problem, state: TrainState, check: Check, bars: Bars) -> Figures:
    """log Z of the prior. Its long chains begin at the posteriors of training images."""
    machine, settings = prior_machine(state.params.theta), problem.settings
    images = evaluation_images(problem.dataset, "train", 1000)
    recognition, eta = problem.parts.recognition, state.params.eta

    @jax.jit
    def latents(key: jax.Array, rows: jax.Array) -> Units:
        def one(x: jax.Array, key: jax.Array) -> jax.Array:
            return recognition.r(eta, x).hard().sample(key)

        return split(machine, jax.vmap(one)(rows, jax.random.split(key, rows.shape[0])))

    def starts(key: jax.Array, count: int) -> Units:
        rows = images[np.arange(count) % len(images)]
        return latents(key, jnp.asarray(rows))

    mean = np.asarray(jax.nn.sigmoid(machine.visible_bias))
    return log_z_figures(settings, base_of(settings, machine, mean), starts, check, bars)


def tracked(problem: Problem, state: TrainState) -> dict[str, float]:
    """log Z of the prior by a short annealing in both directions, and the log-evidence with it.

    Chains that persist give log Z no value (`with_boltzmann_prior`).
    """
    settings, machine = problem.settings, prior_machine(state.params.theta)
    means = metric_means(state)
    if not settings.track_temperatures or "unnormalized_log_evidence" not in means:
        return {}
    key_start, key = jax.random.split(jax.random.key(_KEY_TRACK))
    path = bias_base(machine)
    found = measure_bracket(
        key,
        path,
        linear_inverse_temperatures(settings.track_temperatures),
        path.draw_base(key_start, (_TRACK_CHAINS,)),
        num_chains=_TRACK_CHAINS,
        burn_in=_TRACK_BURN_IN,
    )
    unnormalized = means["unnormalized_log_evidence"]
    # While the KL term warms up, log Z counts for as much of it.
    weight = means.get("kl_weight", 1.0)
    ends = weight * found.lower.log_z, weight * found.upper.log_z
    low, high = at_both_ends(unnormalized, *ends)
    return {
        "log_z": float(found.log_z),
        "log_z_gap": float(found.gap),
        "log_evidence": unnormalized - weight * float(found.log_z),
        "log_evidence_low": low,
        "log_evidence_high": high,
    }


def _of_part(
    problem: Problem, state: TrainState, part: str, figures: Figures, check: Check, bars: Bars
) -> Figures:
    """The log-likelihoods of the images of "train" or "test", once log Z is known."""
    images = evaluation_images(problem.dataset, part, problem.settings.eval_size)
    params = state.params._replace(theta=normalize_prior(state.params.theta, figures["log_z"]))
    with bars(total=len(images), unit="image", desc=f"evaluate {part}", leave=False) as bar:

        def progress(count: int, bar: Bar = bar) -> None:
            bar.update(count)
            check()

        key = jax.random.key(_KEY_PARTICLES)
        found = problem.parts.evaluate(params, key, images, progress=progress)
    low, high = at_both_ends(
        found.mean + figures["log_z"], figures["log_z_ais"], figures["log_z_reverse"]
    )
    released = isinstance(found, UndirectedEvaluation)
    return {
        f"{part}_log_likelihood": found.mean,
        f"{part}_log_likelihood_low": low,
        f"{part}_log_likelihood_high": high,
        f"{part}_log_likelihood_stderr": found.stderr,
        f"{part}_images": len(images),
        f"{part}_ess": float(np.mean(found.ess)),
    } | ({f"{part}_log_likelihood_as_released": found.mean_as_released} if released else {})


def _announced(settings: Settings) -> str:
    return (
        f"log Z of the prior with {settings.log_z_temperatures:,} temperatures, and test and "
        f"training images with K = {settings.eval_num_particles:,}"
    )


def _remarks(figures: Mapping[str, Any]) -> str:
    text = (
        "log-likelihoods in nats per image, on average lower bounds at a given log Z of the prior; "
        "low and high:\nat the upper and the lower end of its bracket"
    )
    if "test_log_likelihood_as_released" in figures:
        text += (
            "\nas_released: by the scheme of Vahdat et al. 2019, which is no bound, for comparison "
            "with their tables"
        )
    return text


SCORING = Scoring(
    score=score,
    test_metrics=test_metrics,
    announced=_announced,
    remarks=_remarks,
    recorded=("method", "dataset", "epochs", "posterior", "num_particles", "seed", "num_replicas"),
    columns=(
        "method", "dataset", "epochs", "posterior", "eval_num_particles", "train_log_likelihood",
        "test_log_likelihood", "test_log_likelihood_low", "test_log_likelihood_high",
        "test_log_likelihood_stderr", "test_log_likelihood_as_released", "test_ess", "log_z",
        "log_z_stderr", "log_z_gap", "seconds",
    ),
    columns_again=(
        "step", "eval_num_particles", "train_log_likelihood", "test_log_likelihood",
        "test_log_likelihood_low", "test_log_likelihood_high", "test_log_likelihood_stderr",
        "test_log_likelihood_as_released", "test_images", "test_ess", "log_z", "log_z_stderr",
        "log_z_gap",
    ),
)  # fmt: skip
