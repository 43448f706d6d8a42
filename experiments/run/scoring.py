"""What is measured of a fitted model."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.output.tables import mean_and_std
from experiments.run.choices import ACTIVITIES, EVALUATION_PROPOSALS, look_up
from experiments.run.problem import Problem, fixed_bits, spaced_index
from experiments.run.progress import Bar, Bars, progress_bar
from experiments.run.settings import Settings
from remjax.evaluation.importance_sampling import Evaluation, make_log_likelihood
from remjax.evaluation.latents import latent_use
from remjax.types import Params

# All runs are scored on the same bits of the same images with the same particles' keys.
_KEY_PARTICLES = 1_000_002
_KEY_LATENTS = 1_000_003


def evaluation_images(problem: Problem, part: str, size: int | None) -> np.ndarray:
    """Evenly spaced images of "train" or "test", their bits drawn once for all runs."""
    images = getattr(problem.dataset, part)
    return _as_evaluated(problem, images, spaced_index(len(images), size))


def _as_evaluated(problem: Problem, images: np.ndarray, index: np.ndarray) -> np.ndarray:
    if problem.dataset.binary or problem.dataset.real_valued:
        return images[index]
    return fixed_bits(images, index)


# What `make_log_likelihood` returns.
Evaluate = Callable[..., Evaluation]


def make_evaluate(problem: Problem, settings: Settings) -> Evaluate:
    """The evaluation that the settings ask for, compiled once for all replicas and epochs."""
    return make_log_likelihood(
        problem.model,
        problem.recognition,
        num_particles=settings.eval_num_particles,
        proposal=look_up(EVALUATION_PROPOSALS, "eval_proposal", settings.eval_proposal),
        mesh=problem.mesh,
    )


def score(
    problem: Problem,
    settings: Settings,
    evaluate: Evaluate,
    params: Params,
    check: Callable[[], None],
    bars: Bars = progress_bar,
) -> dict[str, Any]:
    """The figures of result.json: log-likelihoods of train and test images, and the latents' use.

    Args:
        problem: the run's parts.
        settings: of the run; the evaluation's K, number of images and proposal.
        evaluate: as `make_evaluate` makes it.
        params: what was fitted.
        check: called between blocks of images; may raise to stop.
        bars: makes the bar over the images of each part.
    """
    results: dict[str, Any] = {}
    for part in ("train", "test"):
        images = evaluation_images(problem, part, settings.eval_size)
        with bars(total=len(images), unit="image", desc=f"evaluate {part}", leave=False) as bar:

            def progress(count: int, bar: Bar = bar) -> None:
                bar.update(count)
                check()

            evaluation = evaluate(params, jax.random.key(_KEY_PARTICLES), images, progress)
        results |= _figures(part, evaluation)
        if part == "test":
            results |= _latent_figures(problem, settings, params, images)
    return results | {
        "ess": results["test_ess"],
        "eval_num_particles": settings.eval_num_particles,
        "eval_proposal": settings.eval_proposal,
    }


def test_metrics(
    problem: Problem, settings: Settings, evaluate: Evaluate, replicas: Sequence[Params]
) -> dict[str, float]:
    """The log-likelihood of the test images during training, as `score` has it at the end.

    Args:
        problem: the run's parts.
        settings: of the run; the number of images.
        evaluate: as `make_evaluate` makes it.
        replicas: the parameters of each.

    Returns:
        Metrics of an epoch: of one replica the mean over the images, of several the mean and the
        standard deviation of theirs.
    """
    images = evaluation_images(problem, "test", settings.eval_size)
    key = jax.random.key(_KEY_PARTICLES)
    # On a device of this host alone, as `evaluate` takes them.
    params = [jax.tree.map(jnp.asarray, jax.device_get(one)) for one in replicas]
    rows = [{"test_log_likelihood": evaluate(one, key, images).mean} for one in params]
    return rows[0] if len(rows) == 1 else mean_and_std(rows)


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


def over_replicas(each: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The figures of several replicas as one: means and standard deviations over them."""
    measured = [name for name, value in each[0].items() if isinstance(value, float | int)]
    # What is the same for all, such as the number of images, has no deviation to speak of.
    same = {name: value for name, value in each[0].items() if all(value == o[name] for o in each)}
    varies = [name for name in measured if name not in same]
    return same | mean_and_std([{name: one[name] for name in varies} for one in each])


def _figures(part: str, evaluation: Evaluation) -> dict[str, Any]:
    return {
        f"{part}_log_likelihood": evaluation.mean,
        f"{part}_log_likelihood_stderr": evaluation.stderr,
        f"{part}_images": len(evaluation.log_likelihood),
        f"{part}_ess": float(np.mean(evaluation.ess)),
        f"{part}_pareto_k": float(np.median(evaluation.pareto_k)),
        f"{part}_pareto_k_above_0.7": float(np.mean(evaluation.pareto_k > 0.7)),
    }


def _latent_figures(
    problem: Problem, settings: Settings, params: Params, images: np.ndarray
) -> dict[str, Any]:
    key, recognition = jax.random.key(_KEY_LATENTS), problem.recognition
    use = latent_use(problem.model, recognition, params, key, images)
    measure = look_up(ACTIVITIES, "eval_activity", settings.eval_activity)
    train = problem.dataset.train
    first = _as_evaluated(problem, train, np.arange(min(500, len(train))))
    use = measure(use, recognition, params, key, first)
    return {
        "kl_to_prior": use.kl_to_prior,
        "active_units": use.active_units(),
        "active_units_per_layer": use.active_units_per_layer(),
        "activity": [layer.tolist() for layer in jax.tree.leaves(use.activity)],
    }
