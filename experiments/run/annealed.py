"""The figures of annealed importance sampling, which `experiments.evaluate` adds to the score."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from experiments.run.images import evaluation_images
from experiments.run.kind import Check, Figures, Flag, Further, Problem
from experiments.run.progress import progress_bar
from remjax.errors import InputError
from remjax.evaluation.annealing import Annealing
from remjax.evaluation.bounds import make_annealed_log_likelihood, make_sandwich
from remjax.training.steps import TrainState

# All runs are annealed with the same keys.
_KEY_CHAINS = 1_000_004
_KEY_SIMULATED = 1_000_005


def annealed_figures(
    problem: Problem, state: TrainState, check: Check, annealing: Annealing, simulated: int
) -> Figures:
    """A lower bound on the test images; lower and upper bounds on images of the model itself.

    Args:
        problem: the run's parts; its recognition network is where the chains begin.
        state: of one replica.
        check: called between blocks of images; may raise to stop.
        annealing: how long and how many the chains are.
        simulated: number of images that are drawn from the model; 0 for none.
    """
    params, parts = state.params, (problem.parts.model, problem.parts.recognition, annealing)
    images = evaluation_images(problem.dataset, "test", problem.settings.eval_size)
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
        figures: dict[str, Any] = {
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


_FLAGS = {
    "ais_steps": Flag(None, "temperatures of annealed importance sampling (AIS); default no AIS"),
    "ais_chains": Flag(16, "chains of AIS per image"),
    "ais_simulated": Flag(0, "images drawn from the model for lower and upper bounds; 0 for none"),
}


def _asked(
    given: Mapping[str, int],
) -> Callable[[Problem, TrainState, Check], Figures] | None:
    """The annealing that the flags ask for, or None."""
    for flag, least in (("ais_steps", 1), ("ais_chains", 1), ("ais_simulated", 0)):
        if flag in given and given[flag] < least:
            raise InputError(f"--{flag}={given[flag]} cannot be: give {least} or more")
    if "ais_steps" not in given:
        for flag in given:
            raise InputError(f"--{flag} does nothing without --ais_steps: give it too")
        return None
    values = {name: given.get(name, flag.default) for name, flag in _FLAGS.items()}
    annealing = Annealing(num_steps=values["ais_steps"], num_chains=values["ais_chains"])

    def figures(problem: Problem, state: TrainState, check: Check) -> Figures:
        return annealed_figures(problem, state, check, annealing, values["ais_simulated"])

    return figures


ANNEALED = Further(
    flags=_FLAGS,
    asked=_asked,
    columns=(
        "ais_log_likelihood", "ais_log_likelihood_stderr", "ais_acceptance_rate", "ais_ess",
        "ais_simulated_lower", "ais_simulated_upper",
    ),
)  # fmt: skip
