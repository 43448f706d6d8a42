"""What is measured of a denoising model: what it restores, and what its chain draws."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.run.images import evaluation_images
from experiments.run.kind import Check, Figures, Problem, Scoring
from experiments.run.progress import Bars, progress_bar
from experiments.run.sampled import (
    COLUMNS,
    Sampler,
    csl_figures,
    draw_by,
    sampled_figures,
    sampled_remarks,
)
from experiments.run.settings import Settings
from remjax.distributions import Corruption
from remjax.evaluation import SampleBased
from remjax.evaluation.importance_sampling import standard_error
from remjax.methods import Chains, DenoisingMethod
from remjax.training.steps import TrainState
from remjax.types import DenoisingModel

# All runs are scored on the same corruptions.
_KEY_CORRUPTIONS = 1_000_009
_ROWS = 1000


class Denoising(NamedTuple):
    """What a run of a denoising model has besides its estimator; each function compiles once.

    Attributes:
        model: p(x | zbar).
        method: how it is trained.
        corruption: q(zbar | x), or where a learned one starts.
        noise: (key, number) -> images that say nothing of the data.
        advance: (theta, corruption, key, images) -> `Chains` of --csl_every steps.
        csl: (theta, zbar, images, progress) -> the conservative log-likelihood.
        means: (theta, zbar [N, X]) -> the mean images.
        reconstruct: (theta, x [N, X], zbar [N, X]) -> log p(x | zbar) [N].
    """

    model: DenoisingModel
    method: DenoisingMethod
    corruption: Corruption
    noise: Callable[[jax.Array, int], jax.Array]
    advance: Callable[..., Chains]
    csl: Callable[..., SampleBased]
    means: Callable[..., jax.Array]
    reconstruct: Callable[..., jax.Array]

    def corruption_of(self, state: TrainState) -> Corruption:
        """The corruption as it is after training."""
        return self.method.corruption_at(self.corruption, state.params.eta)


def sampler_of(problem: Problem, state: TrainState) -> Sampler:
    """The chains of a trained model: x -> zbar ~ q(. | x) -> x ~ p(. | zbar)."""
    parts: Denoising = problem.parts
    theta, corruption = state.params.theta, parts.corruption_of(state)

    def start(key: jax.Array, count: int) -> Chains:
        noise = parts.noise(key, count)[None]
        return Chains(noise, noise)

    return Sampler(
        start=start,
        advance=lambda key, chains: parts.advance(theta, corruption, key, chains.x[-1]),
        sources=lambda chains: chains.zbar[-1],
        mean=functools.partial(parts.means, theta),
        score=functools.partial(parts.csl, theta),
    )


def score(problem: Problem, state: TrainState, check: Check, bars: Bars) -> Figures:
    """The figures of result.json: the CSL with its history, and what the model restores.

    Args:
        problem: the run's parts; its settings say how the chains are run.
        state: of one replica.
        check: called between blocks of work; may raise to stop.
        bars: makes the bars over states and images.
    """
    figures = sampled_figures(problem, sampler_of(problem, state), check, bars)
    for part in ("train", "test"):
        values = reconstruction(problem, state, part)
        check()
        figures |= {
            f"{part}_reconstruction": float(np.mean(values)),
            f"{part}_reconstruction_stderr": standard_error(values),
            f"{part}_images": len(values),
        }
    return figures | {"corruption_strength": strength(problem, state)}


def test_metrics(problem: Problem, state: TrainState) -> dict[str, float]:
    """The CSL of the test images, measured as at the end of the run."""
    settings, bars = problem.settings, functools.partial(progress_bar, leave=False)
    if not settings.draw_counts:
        return {}

    def nothing() -> None:
        return None

    sampler = sampler_of(problem, state)
    drawn = draw_by(sampler, settings, nothing, bars)
    return {"test_csl": csl_figures(problem, sampler, drawn, nothing, bars)["test_csl"]}


def epoch_metrics(problem: Problem, state: TrainState) -> dict[str, float]:
    """What the model restores of the test images, and the strength of the corruption."""
    values = reconstruction(problem, state, "test")
    return {
        "test_reconstruction": float(np.mean(values)),
        "corruption_strength": strength(problem, state),
    }


def reconstruction(problem: Problem, state: TrainState, part: str) -> np.ndarray:
    """log p(x | zbar) of images under one corruption of each, nats [N] in float64."""
    images = evaluation_images(problem.dataset, part, problem.settings.eval_size)
    corruption = problem.parts.corruption_of(state)
    blocks = []
    for start in range(0, len(images), _ROWS):
        rows = jnp.asarray(images[start : start + _ROWS])
        zbar = corrupted(corruption, start + jnp.arange(len(rows)), rows)
        values = problem.parts.reconstruct(state.params.theta, rows, zbar)
        blocks.append(np.asarray(values, np.float64))
    return np.concatenate(blocks)


@jax.jit
def corrupted(corruption: Corruption, places: jax.Array, rows: jax.Array) -> jax.Array:
    """A corruption of each image, the same in every run: it follows from the place of the image."""
    key = jax.random.key(_KEY_CORRUPTIONS)
    keys = jax.vmap(lambda place: jax.random.fold_in(key, place))(places)
    return jax.vmap(corruption.sample)(keys, rows)


def strength(problem: Problem, state: TrainState) -> float:
    """The rate or the scale of the corruption."""
    (leaf,) = jax.tree.leaves(problem.parts.corruption_of(state))
    return float(leaf)


def _announced(settings: Settings) -> str:
    if not settings.draw_counts:
        return "what the model restores"
    return (
        f"{settings.draw_counts[-1]:,} draws of {settings.csl_chains:,} chains, "
        f"{settings.csl_every:,} steps apart after {settings.csl_burn_in:,}"
    )


def _remarks(figures: Mapping[str, Any]) -> str:
    """What to know of the figures of `score`."""
    text = (
        "reconstruction: log p(x | zbar) of a corruption of each image, nats per image: no figure "
        "of the\nmodel of x, for it falls with the noise"
    )
    return f"{sampled_remarks(figures)}\n{text}" if "test_csl" in figures else text


SCORING = Scoring(
    score=score,
    test_metrics=test_metrics,
    announced=_announced,
    remarks=_remarks,
    recorded=("method", "dataset", "epochs", "seed", "num_replicas", "corruption"),
    columns=(
        "method", "dataset", "epochs", "corruption", "corruption_strength", *COLUMNS,
        "train_reconstruction", "test_reconstruction", "seconds",
    ),
    columns_again=("step", *COLUMNS, "test_images", "test_reconstruction"),
    headline="test_csl",
)  # fmt: skip
