"""The pictures of a denoising model: what it restores and draws, and how its training went."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.pictures.one_run import filter_grid, image_grid, learning_curves
from experiments.run.denoising_scoring import Denoising, corrupted, sampler_of
from experiments.run.images import evaluation_images
from experiments.run.kind import Figures, Problem
from experiments.run.run_directory import RunDirectory
from remjax.methods import make_chains
from remjax.training.steps import TrainState

_SAMPLES, _RESTORED, _CHAINS = 100, 20, 10
# Steps between two pictures of a chain.
_STEPS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


def draw_denoising(problem: Problem, state: TrainState, run: RunDirectory, _: Figures) -> None:
    """Samples, chains over time, restored images, filters and learning curves."""
    settings, shape = problem.settings, problem.dataset.image_shape
    name = f"{settings.method} on {settings.dataset}"
    image_grid(
        run.picture("samples.png"),
        _samples(problem, state).reshape(-1, *shape),
        title=f"Means after {settings.csl_burn_in:,} steps from noise: {name}",
    )
    image_grid(
        run.picture("chains.png"),
        _over_time(problem, state).reshape(-1, *shape),
        columns=len(_STEPS),
        title=f"Chains after {', '.join(map(str, _STEPS[:4]))}, ..., {_STEPS[-1]} steps: {name}",
    )
    image_grid(
        run.picture("restored.png"),
        _restored(problem, state).reshape(-1, *shape),
        columns=_RESTORED,
        title=f"Test images, their corruptions, and the means given those: {name}",
    )
    filter_grid(
        run.picture("filters.png"),
        _first_layer(state),
        shape,
        title=f"Weights of the first layer: {name}",
    )
    metrics = run.metrics()
    learning_curves(
        run.picture("learning_curves.png"),
        metrics,
        title=name,
        curves={"log_likelihood": "training", "test_reconstruction": "test, one corruption"},
        label="log p(x | zbar) (nats per image)",
    )
    if any("test_csl" in row for row in metrics):
        learning_curves(
            run.picture("csl.png"),
            metrics,
            title=name,
            curves={"test_csl": f"test, {settings.draw_counts[-1]:,} draws"},
            label="conservative log-likelihood (nats per image)",
        )


def _samples(problem: Problem, state: TrainState) -> np.ndarray:
    """The mean images of chains that began at noise and have been through the burn-in."""
    settings, sampler = problem.settings, sampler_of(problem, state)
    key_start, key_chains = jax.random.split(jax.random.key(settings.seed))
    chains = sampler.start(key_start, _SAMPLES)
    for number in range(-(-settings.csl_burn_in // settings.csl_every)):
        chains = sampler.advance(jax.random.fold_in(key_chains, number), chains)
    return np.asarray(sampler.mean(sampler.sources(chains)))


def _over_time(problem: Problem, state: TrainState) -> np.ndarray:
    """[., X], a row of images for each chain: where it begins, then means."""
    parts: Denoising = problem.parts
    theta, corruption = state.params.theta, parts.corruption_of(state)
    starts = evaluation_images(problem.dataset, "test", _CHAINS)
    run = make_chains(parts.model, num_kept=_STEPS[-1])
    zbar = run(theta, corruption, jax.random.key(problem.settings.seed), starts).zbar
    chosen = zbar[np.asarray(_STEPS[1:]) - 1]
    means = jax.vmap(lambda rows: parts.means(theta, rows))(chosen)
    return np.concatenate([starts[None], np.asarray(means)]).swapaxes(0, 1)


def _restored(problem: Problem, state: TrainState) -> np.ndarray:
    """[3, ., X]: test images, a corruption of each, and the mean given it."""
    parts: Denoising = problem.parts
    images = jnp.asarray(evaluation_images(problem.dataset, "test", _RESTORED))
    zbar = corrupted(parts.corruption_of(state), jnp.arange(len(images)), images)
    return np.stack([images, zbar, parts.means(state.params.theta, zbar)])


def _first_layer(state: TrainState) -> np.ndarray:
    """[X, H], the weights of the first tanh layer, or of the head where there is none."""
    network = state.params.theta["network"]
    hidden = network.get("hidden", {})
    return np.asarray((hidden[0] if hidden else network["head"])["kernel"])
