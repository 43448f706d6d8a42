"""The pictures of a machine: filters, samples, chains over time, and how its training went."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.pictures.one_run import filter_grid, image_grid, learning_curves
from experiments.run.images import evaluation_images
from experiments.run.kind import Figures, Problem
from experiments.run.run_directory import RunDirectory
from remjax.boltzmann import RBM, gibbs_steps, init
from remjax.training.steps import TrainState

_SAMPLES, _CHAINS = 100, 10
# Sweeps between two pictures of a chain, and those before the samples.
_SWEEPS = (0, 1, 3, 10, 30, 100, 300, 1000, 3000)
_LONG = 5000


def draw_machine(problem: Problem, state: TrainState, run: RunDirectory, _: Figures) -> None:
    """Filters, samples, chains over time and learning curves."""
    machine: RBM = state.params.theta
    settings, shape = problem.settings, problem.dataset.image_shape
    name = f"{settings.method} on {settings.dataset}"
    filter_grid(
        run.picture("filters.png"),
        np.asarray(machine.weights),
        shape,
        title=f"Weights of the hidden units of largest norm, black to white: {name}",
    )
    key = jax.random.key(settings.seed)
    image_grid(
        run.picture("samples.png"),
        _samples(key, machine).reshape(-1, *shape),
        title=f"Means given the hidden units, after {_LONG:,} sweeps from noise: {name}",
    )
    starts = evaluation_images(problem.dataset, "test", _CHAINS)
    image_grid(
        run.picture("chains.png"),
        _over_time(key, machine, starts).reshape(-1, *shape),
        columns=len(_SWEEPS),
        title=f"Test images, and means after {', '.join(map(str, _SWEEPS[1:]))} sweeps: {name}",
    )
    metrics = run.metrics()
    learning_curves(
        run.picture("learning_curves.png"),
        metrics,
        title=name,
        curves={
            "tracked_log_likelihood": "training, short annealing",
            "test_log_likelihood": "test",
        },
        label="log-likelihood (nats per image)",
    )


def _samples(key: jax.Array, machine: RBM) -> np.ndarray:
    key_start, key_chains = jax.random.split(key)
    chains = init(key_start, machine, _SAMPLES)
    chains, _ = jax.jit(gibbs_steps)(key_chains, machine, chains, jnp.asarray(_LONG))
    return np.asarray(machine.visible_mean(chains.hidden))


def _over_time(key: jax.Array, machine: RBM, starts: np.ndarray) -> np.ndarray:
    """[., V], a row of images for each chain."""
    sweeps = jax.jit(gibbs_steps)
    chains = init(key, machine, len(starts), starts)
    pictures, before = [np.asarray(chains.visible)], 0
    for after in _SWEEPS[1:]:
        chains, _ = sweeps(
            jax.random.fold_in(key, after), machine, chains, jnp.asarray(after - before)
        )
        pictures.append(np.asarray(machine.visible_mean(chains.hidden)))
        before = after
    return np.stack(pictures, axis=1)
