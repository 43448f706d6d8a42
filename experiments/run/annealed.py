"""The figures of annealed importance sampling, beside those of `scoring`."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from experiments.run.problem import Problem
from experiments.run.progress import progress_bar
from experiments.run.scoring import evaluation_images
from experiments.run.settings import Settings
from remjax.errors import InputError
from remjax.evaluation.annealing import Annealing
from remjax.evaluation.bounds import make_annealed_log_likelihood, make_sandwich
from remjax.types import Params

# All runs are annealed with the same keys.
_KEY_CHAINS = 1_000_004
_KEY_SIMULATED = 1_000_005


def annealed_figures(
    problem: Problem,
    settings: Settings,
    params: Params,
    check: Callable[[], None],
    annealing: Annealing,
    simulated: int,
) -> dict[str, Any]:
    """A lower bound on the test images; lower and upper bounds on images of the model itself.

    Args:
        problem: the run's parts; its recognition network is where the chains begin.
        settings: of the run; the number of images.
        params: what was fitted.
        check: called between blocks of images; may raise to stop.
        annealing: how long and how many the chains are.
        simulated: number of images that are drawn from the model; 0 for none.
    """
    parts = problem.model, problem.recognition, annealing
    images = evaluation_images(problem, "test", settings.eval_size)
    with progress_bar(
        total=len(images) + 2 * simulated, unit="image", desc="anneal", leave=False
    ) as bar:

        def progress(count: int) -> None:
            bar.update(count)
            check()

        evaluate = make_annealed_log_likelihood(*parts)
        try:
            bound = evaluate(params, jax.random.key(_KEY_CHAINS), images, progress)
        except InputError as error:
            raise InputError(f"--ais_steps does nothing here: {error}") from error
        figures = {
            "ais_log_likelihood": bound.mean,
            "ais_log_likelihood_stderr": bound.stderr,
            "ais_acceptance_rate": float(np.mean(bound.acceptance_rate)),
            "ais_ess": float(np.mean(bound.ess)),
            "ais_steps": annealing.num_steps,
            "ais_chains": annealing.num_chains,
        }
        if simulated:
            key = jax.random.key(_KEY_SIMULATED)
            sandwich = make_sandwich(*parts)(params, key, simulated, progress)
            figures |= {
                "ais_simulated_lower": sandwich.lower.mean,
                "ais_simulated_upper": sandwich.upper.mean,
            }
    return figures
