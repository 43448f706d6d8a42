"""The pictures of a discrete VAE: what its prior makes, what its bits do, and its training."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.pictures.one_run import filter_grid, image_grid, learning_curves, reconstructions
from experiments.run.images import evaluation_images
from experiments.run.kind import Figures, Problem
from experiments.run.run_directory import RunDirectory
from remjax.boltzmann import RBM, Units, gibbs_steps
from remjax.models import prior_machine
from remjax.training.steps import TrainState
from remjax.types import Params

_SAMPLES, _CHAINS = 100, 10
# Sweeps of the prior between two pictures of a chain, and those before the samples.
_SWEEPS = (0, 1, 3, 10, 30, 100, 300, 1000, 3000)
_LONG = 5000


def draw_discrete(problem: Problem, state: TrainState, run: RunDirectory, _: Figures) -> None:
    """Samples, chains of the prior, what each bit changes, reconstructions and learning curves."""
    settings, shape = problem.settings, problem.dataset.image_shape
    name = f"{settings.method}, {settings.posterior} posterior, on {settings.dataset}"
    key = jax.random.key(settings.seed)
    chains = _over_time(key, prior_machine(state.params.theta))
    means = np.stack([_means(problem, state.params, units) for units in chains], axis=1)
    image_grid(
        run.picture("samples.png"),
        means[:, -1].reshape(-1, *shape),
        title=f"Mean images of bits of the prior, after {_LONG:,} sweeps from fair coins: {name}",
    )
    image_grid(
        run.picture("prior_chains.png"),
        means[:_CHAINS, :-1].reshape(-1, *shape),
        columns=len(_SWEEPS),
        title=f"Chains of the prior after {', '.join(map(str, _SWEEPS))} sweeps: {name}",
    )
    filter_grid(
        run.picture("bits.png"),
        _changes(problem, state, chains[-1]).T,
        shape,
        title=f"What a bit of the prior adds to the mean image, black to white: {name}",
    )
    _reconstructed(problem, state, run, name)
    learning_curves(run.picture("learning_curves.png"), run.metrics(), title=name)


def prior_images(problem: Problem, params: Params, count: int) -> np.ndarray:
    """[count, X], mean images of bits of the prior, after many sweeps from fair coins."""
    chains = _over_time(jax.random.key(0), prior_machine(params.theta))
    return _means(problem, params, jax.tree.map(lambda leaf: leaf[:count], chains[-1]))


def _over_time(key: jax.Array, machine: RBM) -> list[Units]:
    """The units of chains from fair coins after each of the numbers of sweeps."""
    units, before, found = machine.random(key, (_SAMPLES,)), 0, []
    sweeps = jax.jit(gibbs_steps)
    for after in (*_SWEEPS, _LONG):
        if after > before:
            name = jax.random.fold_in(key, after)
            units, _ = sweeps(name, machine, units, jnp.asarray(after - before))
        found.append(units)
        before = after
    return found


def _means(problem: Problem, params: Params, units: Units) -> np.ndarray:
    """[., X], the mean image of each latent."""
    mean, theta = problem.parts.model.mean, params.theta
    return np.asarray(jax.jit(jax.vmap(mean, (None, 0)))(theta, jnp.concatenate(units, axis=-1)))


def _changes(problem: Problem, state: TrainState, units: Units) -> np.ndarray:
    """[D, X], the mean image with a bit less that without it, over samples of the prior."""
    mean, theta = problem.parts.model.mean, state.params.theta
    z = jnp.concatenate(units, axis=-1)

    def change(place: jax.Array) -> jax.Array:
        on, off = z.at[:, place].set(1.0), z.at[:, place].set(0.0)
        differences = jax.vmap(lambda a, b: mean(theta, a) - mean(theta, b))(on, off)
        return differences.mean(axis=0)

    return np.asarray(jax.jit(lambda places: jax.lax.map(change, places))(jnp.arange(z.shape[1])))


def _reconstructed(problem: Problem, state: TrainState, run: RunDirectory, name: str) -> None:
    """Test images, and the mean image of bits of the posterior of each."""
    (height, width), params = problem.dataset.image_shape, state.params
    originals = evaluation_images(problem.dataset, "test", 20)
    model, recognition = problem.parts.model, problem.parts.recognition

    def mean_of_posterior(x: jax.Array, key: jax.Array) -> jax.Array:
        return model.mean(params.theta, recognition.r(params.eta, x).hard().sample(key))

    keys = jax.random.split(jax.random.key(problem.settings.seed), len(originals))
    means = jax.jit(jax.vmap(mean_of_posterior))(jnp.asarray(originals), keys)
    reconstructions(
        run.picture("reconstructions.png"),
        np.reshape(originals, (-1, height, width)),
        np.reshape(means, (-1, height, width)),
        title=f"Test images, as evaluated, above the means of bits of their posteriors: {name}",
    )
