"""The pictures of a run with a recognition network: what it makes, and how its training went."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.pictures.latents import activity_bars, interpolations, latent_space
from experiments.pictures.one_run import (
    ess_over_time,
    image_grid,
    learning_curves,
    reconstructions,
    weight_diagnostics,
)
from experiments.run.images import evaluation_images, spaced_index
from experiments.run.kind import Figures, Problem
from experiments.run.run_directory import RunDirectory
from remjax.data import Dataset
from remjax.evaluation import code
from remjax.training.steps import TrainState
from remjax.types import Params

# Test images that are encoded; lines between two of them, and the steps of each.
_CODES, _PATHS, _STEPS = 1000, 6, 9
# Of more kinds the colours would tell nothing.
_COLOURED = 20


def sample_means(problem: Problem, params: Params, keys: jax.Array) -> np.ndarray:
    """For each key the mean image [., H, W] of a latent drawn from the model.

    Its bits would add noise to the eye. Of a model with a condition, at those of test images.
    """

    def mean_of_sample(key: jax.Array, x: jax.Array) -> jax.Array:
        model = problem.parts.model.at(x)
        z, _ = model.sample(params.theta, key)
        return model.mean(params.theta, z)

    test = problem.dataset.test
    seen = jnp.asarray(test[np.arange(len(keys)) % len(test)])
    images = jax.jit(jax.vmap(mean_of_sample))(keys, seen)
    return np.reshape(images, (-1, *problem.dataset.image_shape))


def draw_run(problem: Problem, state: TrainState, run: RunDirectory, figures: Figures) -> None:
    """Samples, reconstructions, the codes, learning curves, and how well the particles serve."""
    height, width = problem.dataset.image_shape
    model, recognition = problem.parts.model, problem.parts.recognition
    settings, params = problem.settings, state.params
    name = f"{settings.method} on {settings.dataset}"
    keys = jax.random.split(jax.random.key(settings.seed), 100)
    image_grid(
        run.picture("samples.png"),
        sample_means(problem, params, keys),
        title=f"Mean images of latents drawn from the prior: {name}",
    )
    originals = evaluation_images(problem.dataset, "test", 20)

    def mean_of_posterior(x: jax.Array, key: jax.Array) -> jax.Array:
        return model.at(x).mean(params.theta, code(recognition.r(params.eta, x), key))

    means = jax.jit(jax.vmap(mean_of_posterior))(jnp.asarray(originals), keys[: len(originals)])
    reconstructions(
        run.picture("reconstructions.png"),
        np.reshape(problem.dataset.without_condition(originals), (-1, height, width)),
        np.reshape(means, (-1, height, width)),
        title=f"Test images, as evaluated, above their mean reconstructions: {name}",
    )
    _draw_latents(problem, params, run, name)
    metrics = run.metrics()
    learning_curves(run.picture("learning_curves.png"), metrics, title=name)
    ess_over_time(run.picture("ess.png"), metrics, num_particles=settings.num_particles, title=name)
    weight_diagnostics(
        run.picture("evaluation.png"),
        figures["ess_each"],
        figures["pareto_k_each"],
        num_particles=settings.eval_num_particles,
        title=f"Test images, by the weights of their particles: {name}",
    )


def _draw_latents(problem: Problem, params: Params, run: RunDirectory, name: str) -> None:
    """Where the codes of test images lie, which latents they use, and what lies between two."""
    model, recognition = problem.parts.model, problem.parts.recognition
    originals = jnp.asarray(evaluation_images(problem.dataset, "test", _CODES))
    keys = jax.random.split(jax.random.key(problem.settings.seed), len(originals))

    def code_of(x: jax.Array, key: jax.Array) -> jax.Array:
        return code(recognition.r(params.eta, x), key)

    codes = jax.jit(jax.vmap(code_of))(originals, keys)
    flat = np.concatenate([np.asarray(layer) for layer in jax.tree.leaves(codes)], axis=1)
    latent_space(
        run.picture("latent_space.png"),
        flat,
        labels=_labels(problem.dataset),
        title=f"Codes of test images: {name}",
    )
    activity_bars(run.picture("activity.png"), flat.var(axis=0), title=name)
    ends = min(_PATHS, len(originals) // 2)
    share = jnp.linspace(0.0, 1.0, _STEPS)

    def between(first: tuple, last: tuple) -> jax.Array:
        """From one code to the other, at the condition of the first image."""
        along = jax.vmap(
            lambda s: jax.tree.map(lambda a, b: (1 - s) * a + s * b, first[0], last[0])
        )
        given = model.at(first[1])
        return jax.vmap(lambda z: given.mean(params.theta, z))(along(share))

    starts, stops = (
        jax.tree.map(lambda layer, n=n: layer[n : 2 * ends : 2], (codes, originals)) for n in (0, 1)
    )
    rows = np.asarray(jax.jit(jax.vmap(between))(starts, stops))
    interpolations(
        run.picture("interpolations.png"),
        rows.reshape(ends, _STEPS, *problem.dataset.image_shape),
        title=f"Between the codes of two test images: {name}",
    )


def _labels(dataset: Dataset) -> list[str] | None:
    """Of the test images that are encoded: those of the set, or else of what they are given."""
    index = spaced_index(len(dataset.test), _CODES)
    if dataset.test_labels is not None:
        return [str(label) for label in dataset.test_labels[index]]
    if dataset.condition is None:
        return None
    table = dataset.condition.to_table(dataset.test[index, -dataset.condition_size :])
    for place, (name, values) in enumerate(
        zip(table.names, dataset.condition.categories, strict=True)
    ):
        if 1 < len(values) <= _COLOURED:
            levels = table.levels.get(name)
            column = table.values[:, place]
            return [levels[int(one)] if levels else f"{one:g}" for one in column]
    return None
