"""What is measured of a fitted model with a recognition network."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.run.choices import ACTIVITIES, EVALUATION_PROPOSALS, look_up
from experiments.run.images import as_evaluated, evaluation_images
from experiments.run.kind import Check, Figures, Problem, Scoring
from experiments.run.likelihoods import Chosen
from experiments.run.progress import Bar, Bars
from experiments.run.settings import Settings
from remjax.evaluation.importance_sampling import Evaluation, make_log_likelihood
from remjax.evaluation.latents import latent_use
from remjax.training.steps import TrainState
from remjax.types import Model, Params, Recognition

# All runs are scored on the same bits of the same images with the same particles' keys.
_KEY_PARTICLES = 1_000_002
_KEY_LATENTS = 1_000_003

# What `make_log_likelihood` returns.
Evaluate = Callable[..., Evaluation]


class LatentVariables(NamedTuple):
    """What a run of a model with a recognition network has besides its estimator.

    Attributes:
        model: what is fitted; the one that is trained may round its products.
        recognition: its recognition network.
        evaluate: the evaluation that the settings ask for, compiled once for all replicas and
            epochs.
        likelihood: that of the data, and why it is.
    """

    model: Model
    recognition: Recognition
    evaluate: Evaluate
    likelihood: Chosen


def make_evaluate(
    model: Model, recognition: Recognition, settings: Settings, mesh: jax.sharding.Mesh | None
) -> Evaluate:
    """The evaluation that the settings ask for."""
    return make_log_likelihood(
        model,
        recognition,
        num_particles=settings.eval_num_particles,
        proposal=look_up(EVALUATION_PROPOSALS, "eval_proposal", settings.eval_proposal),
        mesh=mesh,
    )


def score(problem: Problem, state: TrainState, check: Check, bars: Bars) -> Figures:
    """The figures of result.json: log-likelihoods of train and test images, and the latents' use.

    Args:
        problem: the run's parts; its settings name the evaluation's K, images and proposal.
        state: of one replica.
        check: called between blocks of images; may raise to stop.
        bars: makes the bar over the images of each part.
    """
    settings, params = problem.settings, state.params
    results: Figures = {}
    for part in ("train", "test"):
        images = evaluation_images(problem.dataset, part, settings.eval_size)
        with bars(total=len(images), unit="image", desc=f"evaluate {part}", leave=False) as bar:

            def progress(count: int, bar: Bar = bar) -> None:
                bar.update(count)
                check()

            key = jax.random.key(_KEY_PARTICLES)
            evaluation = problem.parts.evaluate(params, key, images, progress)
        results |= _figures(part, evaluation)
        if part == "test":
            results |= {"ess_each": evaluation.ess, "pareto_k_each": evaluation.pareto_k}
            results |= _latent_figures(problem, params, images)
    return results | {
        "ess": results["test_ess"],
        "likelihood": problem.parts.likelihood.name,
        "eval_num_particles": settings.eval_num_particles,
        "eval_proposal": settings.eval_proposal,
    }


def test_metrics(problem: Problem, state: TrainState) -> dict[str, float]:
    """The log-likelihood of the test images, of one replica while it trains."""
    images = evaluation_images(problem.dataset, "test", problem.settings.eval_size)
    evaluation = problem.parts.evaluate(state.params, jax.random.key(_KEY_PARTICLES), images)
    return {"test_log_likelihood": evaluation.mean}


def remarks(figures: Mapping[str, Any]) -> str:
    """What to know of the figures of `score`."""
    text = "log-likelihoods in nats per image; ess and pareto_k of the evaluation's particles"
    if spread := figures.get("test_log_likelihood_std"):
        text += (
            "\nmeans over the seeds, between which test_log_likelihood has a standard deviation of "
            f"{spread:.2f}; its stderr is that over images"
        )
    pareto_k = figures.get("test_pareto_k")
    if pareto_k is not None and pareto_k > 0.7:
        text += (
            "\npareto_k above 0.7: a few particles decide, and the log-likelihood is a loose lower "
            "bound; raise --eval_num_particles, or see --ais_steps of experiments.evaluate"
        )
    return text


def _figures(part: str, evaluation: Evaluation) -> dict[str, Any]:
    return {
        f"{part}_log_likelihood": evaluation.mean,
        f"{part}_log_likelihood_stderr": evaluation.stderr,
        f"{part}_images": len(evaluation.log_likelihood),
        f"{part}_ess": float(np.mean(evaluation.ess)),
        f"{part}_pareto_k": float(np.median(evaluation.pareto_k)),
        f"{part}_pareto_k_above_0.7": float(np.mean(evaluation.pareto_k > 0.7)),
    }


def _latent_figures(problem: Problem, params: Params, images: np.ndarray) -> Figures:
    key, recognition = jax.random.key(_KEY_LATENTS), problem.parts.recognition
    use = latent_use(problem.parts.model, recognition, params, key, images)
    activity = problem.settings.eval_activity
    measure = look_up(ACTIVITIES, "eval_activity", activity)
    train = problem.dataset.train
    first = as_evaluated(problem.dataset, train, np.arange(min(500, len(train))))
    use = measure(use, recognition, params, key, first)
    return {
        "kl_to_prior": use.kl_to_prior,
        "active_units": use.active_units(),
        "active_units_per_layer": use.active_units_per_layer(),
        "activity": [layer.tolist() for layer in jax.tree.leaves(use.activity)],
    }


def _announced(settings: Settings) -> str:
    return f"test and training images with K = {settings.eval_num_particles:,}"


SCORING = Scoring(
    score=score,
    test_metrics=test_metrics,
    announced=_announced,
    remarks=remarks,
    recorded=("method", "dataset", "epochs", "num_particles", "seed", "num_replicas"),
    columns=(
        "method", "dataset", "epochs", "num_particles", "eval_num_particles",
        "train_log_likelihood", "test_log_likelihood", "test_log_likelihood_stderr", "ess",
        "test_pareto_k", "kl_to_prior", "active_units", "active_units_per_layer", "seconds",
    ),
    columns_again=(
        "step", "eval_num_particles", "eval_proposal", "train_log_likelihood",
        "test_log_likelihood", "test_log_likelihood_stderr", "test_images", "test_ess",
        "test_pareto_k", "kl_to_prior", "active_units", "active_units_per_layer",
    ),
)  # fmt: skip
