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
)
from experiments.run.images import evaluation_images
from experiments.run.kind import Problem
from experiments.run.run_directory import RunDirectory
from remjax.training.steps import TrainState
from remjax.types import Params

# Test images that are encoded; lines between two of them, and the steps of each.
_CODES, _PATHS, _STEPS = 1000, 6, 9


def sample_means(problem: Problem, params: Params, keys: jax.Array) -> np.ndarray:
    """For each key the mean image [., H, W] of a latent drawn from the model.

    Its bits would add noise to the eye.
    """

    def mean_of_sample(key: jax.Array) -> jax.Array:
        z, _ = problem.parts.model.sample(params.theta, key)
        return problem.parts.model.mean(params.theta, z)

    images = jax.jit(jax.vmap(mean_of_sample))(keys)
    return np.reshape(images, (-1, *problem.dataset.image_shape))


def draw_run(problem: Problem, state: TrainState, run: RunDirectory) -> None:
    """Samples, reconstructions, the codes, learning curves, and the effective sample size."""
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
        r = recognition.r(params.eta, x).hard()
        return model.mean(params.theta, r.estimated_mean(key))

    means = jax.jit(jax.vmap(mean_of_posterior))(jnp.asarray(originals), keys[: len(originals)])
    reconstructions(
        run.picture("reconstructions.png"),
        np.reshape(originals, (-1, height, width)),
        np.reshape(means, (-1, height, width)),
        title=f"Test images, as evaluated, above their mean reconstructions: {name}",
    )
    _draw_latents(problem, params, run, name)
    metrics = run.metrics()
    learning_curves(run.picture("learning_curves.png"), metrics, title=name)
    ess_over_time(run.picture("ess.png"), metrics, num_particles=settings.num_particles, title=name)


def _draw_latents(problem: Problem, params: Params, run: RunDirectory, name: str) -> None:
    """Where the codes of test images lie, which latents they use, and what lies between two."""
    model, recognition = problem.parts.model, problem.parts.recognition
    originals = jnp.asarray(evaluation_images(problem.dataset, "test", _CODES))
    keys = jax.random.split(jax.random.key(problem.settings.seed), len(originals))

    def code(x: jax.Array, key: jax.Array) -> jax.Array:
        return recognition.r(params.eta, x).estimated_mean(key)

    codes = jax.jit(jax.vmap(code))(originals, keys)
    flat = np.concatenate([np.asarray(layer) for layer in jax.tree.leaves(codes)], axis=1)
    latent_space(run.picture("latent_space.png"), flat, title=f"Codes of test images: {name}")
    activity_bars(run.picture("activity.png"), flat.var(axis=0), title=name)
    ends = min(_PATHS, len(originals) // 2)
    share = jnp.linspace(0.0, 1.0, _STEPS)

    def between(first: jax.Array, last: jax.Array) -> jax.Array:
        along = jax.vmap(lambda s: jax.tree.map(lambda a, b: (1 - s) * a + s * b, first, last))
        return jax.vmap(lambda z: model.mean(params.theta, z))(along(share))

    starts, stops = (
        jax.tree.map(lambda layer, n=n: layer[n : 2 * ends : 2], codes) for n in (0, 1)
    )
    rows = np.asarray(jax.jit(jax.vmap(between))(starts, stops))
    interpolations(
        run.picture("interpolations.png"),
        rows.reshape(ends, _STEPS, *problem.dataset.image_shape),
        title=f"Between the codes of two test images: {name}",
    )
