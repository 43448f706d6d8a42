"""Figures of what a model draws, by one evaluator for all models that only chains draw from.

The conservative sampling-based log-likelihood (CSL), and Parzen windows as history.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.run.images import as_evaluated, evaluation_images, spaced_index
from experiments.run.kind import Check, Figures, Problem
from experiments.run.progress import Bars
from experiments.run.settings import Settings
from remjax.evaluation import SampleBased, parzen_windows

# All runs are drawn from with the same key.
_KEY_DRAWS = 1_000_008
_BANDWIDTHS = np.logspace(-1.0, 0.0, 13)
# Validation images that choose the bandwidth.
_VALIDATION = 1000


class Sampler(NamedTuple):
    """The chains of a model at some parameters. A source is what an image is drawn from.

    Attributes:
        start: (key, number of chains) -> chains at noise.
        advance: (key, chains) -> the chains --csl_every steps later.
        sources: chains -> the sources of their images [C, S].
        mean: sources -> the mean image that each gives [C, X].
        score: (sources [M, S], images [N, X], progress) -> log 1/M sum_m p(x | source m).
    """

    start: Callable[[jax.Array, int], Any]
    advance: Callable[[jax.Array, Any], Any]
    sources: Callable[[Any], jax.Array]
    mean: Callable[[jax.Array], jax.Array]
    score: Callable[[np.ndarray, np.ndarray, Callable[[int], None]], SampleBased]


class Drawn(NamedTuple):
    """States of chains that have left their beginning: those of all chains, then the next ones.

    Attributes:
        sources: [M, S].
        means: the mean image of each [M, X].
    """

    sources: np.ndarray
    means: np.ndarray


def draw_by(sampler: Sampler, settings: Settings, check: Check, bars: Bars) -> Drawn:
    """As many draws as the largest figure needs.

    Args:
        sampler: the chains.
        settings: their number, burn-in and spacing.
        check: called between draws; may raise to stop.
        bars: makes the bar over the states.
    """
    key_start, key_chains = jax.random.split(jax.random.key(_KEY_DRAWS))
    most, count = settings.draw_counts[-1], settings.csl_chains
    before, kept = -(-settings.csl_burn_in // settings.csl_every), -(-most // count)
    chains = sampler.start(key_start, count)
    sources, means = [], []
    with bars(total=before + kept, unit="state", desc="draw", leave=False) as bar:
        for number in range(before + kept):
            chains = sampler.advance(jax.random.fold_in(key_chains, number), chains)
            if number >= before:
                sources.append(np.asarray(sampler.sources(chains)))
                means.append(np.asarray(sampler.mean(sampler.sources(chains))))
            jax.block_until_ready(chains)
            bar.update(1)
            check()
    return Drawn(np.concatenate(sources)[:most], np.concatenate(means)[:most])


def csl_figures(
    problem: Problem, sampler: Sampler, drawn: Drawn, check: Check, bars: Bars
) -> Figures:
    """The CSL of the test images: of the most draws, and of the first of them as --csl_draws says.

    Args:
        problem: the run's parts.
        sampler: scores images under sources.
        drawn: the sources.
        check: called between blocks of images; may raise to stop.
        bars: makes the bar over the images.
    """
    settings = problem.settings
    images = evaluation_images(problem.dataset, "test", settings.eval_size)
    *fewer, most = settings.draw_counts
    total = len(images) * (len(fewer) + 1)
    with bars(total=total, unit="image", desc="evaluate test", leave=False) as bar:

        def progress(count: int) -> None:
            bar.update(count)
            check()

        of_fewer = {
            f"test_csl_{count}": sampler.score(drawn.sources[:count], images, progress).mean
            for count in fewer
        }
        found = sampler.score(drawn.sources, images, progress)
    return {
        "test_csl": found.mean,
        "test_csl_stderr": found.stderr,
        **of_fewer,
        "test_images": len(images),
        "csl_draws": most,
        "csl_chains": settings.csl_chains,
        "csl_every": settings.csl_every,
        "csl_burn_in": settings.csl_burn_in,
    }


def parzen_figures(problem: Problem, drawn: Drawn) -> Figures:
    """Parzen windows around the mean images, as the papers before 2016 had them."""
    dataset = problem.dataset
    # A set without a validation part has its bandwidth chosen by training images.
    rows = dataset.valid if len(dataset.valid) else dataset.train
    validation = as_evaluated(dataset, rows, spaced_index(len(rows), _VALIDATION))
    found = parzen_windows(
        drawn.means,
        evaluation_images(dataset, "test", problem.settings.eval_size),
        validation=validation,
        bandwidths=_BANDWIDTHS,
    )
    return {
        "parzen_history": found.test.mean,
        "parzen_history_stderr": found.test.stderr,
        "parzen_history_bandwidth": found.bandwidth,
    }


def sampled_figures(problem: Problem, sampler: Sampler, check: Check, bars: Bars) -> Figures:
    """Both, of the same draws; none where --csl_draws=0."""
    if not problem.settings.draw_counts:
        return {}
    drawn = draw_by(sampler, problem.settings, check, bars)
    figures = csl_figures(problem, sampler, drawn, check, bars)
    check()
    return figures | parzen_figures(problem, drawn)


def sampled_remarks(figures: Mapping[str, Any]) -> str:
    """What to know of these figures."""
    fewer = [name for name in figures if name.removeprefix("test_csl_").isdecimal()]
    less = "; ".join(
        f"{int(name.removeprefix('test_csl_')):,}: {figures[name]:.2f}" for name in fewer
    )
    return (
        f"test_csl: conservative sampling-based log-likelihood, nats per image, of "
        f"{figures['csl_draws']:,} draws{f' ({less})' if less else ''};\n"
        "on average a lower bound, if the chains have mixed, that rises with the draws\n"
        "parzen_history: Parzen windows, for comparison with tables before 2016 and nothing else: "
        "they rank\nmodels wrongly (Theis et al. 2016, Wu et al. 2017)"
    )


COLUMNS = (
    "csl_draws", "test_csl", "test_csl_stderr", "parzen_history", "parzen_history_bandwidth",
)  # fmt: skip
