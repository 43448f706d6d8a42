"""The pictures of a run with a recognition network: what it makes, and how its training went."""

import jax
import jax.numpy as jnp
import numpy as np

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
    """Samples, reconstructions, learning curves and the effective sample size over time."""
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
    metrics = run.metrics()
    learning_curves(run.picture("learning_curves.png"), metrics, title=name)
    ess_over_time(run.picture("ess.png"), metrics, num_particles=settings.num_particles, title=name)
