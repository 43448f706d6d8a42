"""What state-space models learn: series of a linear-Gaussian model, and the rows of images."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float, PyTree

from remjax import bernoulli_likelihood, sequential
from remjax.data import load


class SequenceTask(NamedTuple):
    """Sequences, and the model and proposals that learn them.

    Attributes:
        title: in pictures.
        meaning: in words, with the sizes.
        train: [N, T, X].
        test: held out.
        model: p_theta.
        recognition: r_eta.
        exact: (theta, x [N, T, X]) -> mean log p(x), nats per sequence; None where it is not known.
    """

    title: str
    meaning: str
    train: Float[np.ndarray, "N T X"]
    test: Float[np.ndarray, "M T X"]
    model: sequential.StateSpaceModel
    recognition: sequential.StepRecognition
    exact: Callable[[PyTree, Any], Float[Any, ""]] | None


def linear(num_train: int, num_steps: int) -> SequenceTask:
    """A turning latent of two dimensions, observed in three, with noise of like size."""
    model = sequential.linear_gaussian_model(latent_size=2, data_size=3)
    turn = 0.95 * np.array([[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]])
    truth = model.init(jax.random.key(0))
    truth["transition"]["weight"] = jnp.asarray(turn, jnp.float32)
    truth["transition"]["log_scale"] = jnp.full(2, -1.0)
    truth["emission"]["log_scale"] = jnp.full(3, -0.5)
    keys = jax.random.split(jax.random.key(1), num_train + 200)
    _, x = jax.vmap(lambda key: model.sample(truth, key, num_steps))(keys)
    rows = np.asarray(x)

    def exact(theta: PyTree, x: Any) -> Any:
        each = jax.vmap(lambda one: sequential.kalman_filter(theta, one).log_evidence)(x)
        return jnp.mean(each)

    return SequenceTask(
        title="linear-Gaussian",
        meaning=f"linear: {num_train} sequences of {num_steps} steps, two latents, three numbers "
        "observed, drawn from a model of the same kind",
        train=rows[:num_train],
        test=rows[num_train:],
        model=model,
        recognition=sequential.linear_gaussian_recognition(latent_size=2, data_size=3),
        exact=exact,
    )


def images(
    name: str, num_train: int, num_test: int, data_dir: str | os.PathLike[str] | None
) -> SequenceTask:
    """Rows of bits of images, from top to bottom; a network of 50 units for each part."""
    dataset = load(name, data_dir=data_dir)
    rng = np.random.default_rng(0)
    train, test = (
        (rng.random(part.shape) < part).astype(np.float32).reshape(-1, *dataset.image_shape)
        for part in (dataset.train[:num_train], dataset.test[:num_test])
    )
    mean = train.mean(axis=(0, 1))
    sizes = {"latent_size": 5, "hidden_sizes": (50,)}
    return SequenceTask(
        title=f"rows of {name}",
        meaning=f"{name}: {len(train)} images, binarised once, as sequences of {train.shape[1]} "
        "rows; five latents, tanh networks of 50 units",
        train=train,
        test=test,
        model=sequential.network_model(bernoulli_likelihood(mean), **sizes),
        recognition=sequential.network_recognition(mean, **sizes),
        exact=None,
    )


def maximum_likelihood(task: SequenceTask, num_updates: int = 3_000) -> PyTree:
    """theta of the linear-Gaussian task by Adam on the exact log-likelihood of the training set."""
    exact = task.exact
    assert exact is not None
    optimizer = optax.adam(1e-2)

    @jax.jit
    def climb(theta: PyTree, x: Any) -> PyTree:
        def step(_: Any, carry: Any) -> Any:
            theta, state = carry
            gradient = jax.grad(lambda theta: -exact(theta, x))(theta)
            updates, state = optimizer.update(gradient, state, theta)
            return optax.apply_updates(theta, updates), state

        return jax.lax.fori_loop(0, num_updates, step, (theta, optimizer.init(theta)))[0]

    return climb(task.model.init(jax.random.key(5)), jnp.asarray(task.train))
