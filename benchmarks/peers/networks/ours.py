"""remjax's own step, or many of them in one compiled program."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers.networks.work import (
    ADAM_EPSILON,
    HIDDEN_SIZE,
    LATENT_SIZE,
    LEARNING_RATE,
    TrainingWork,
    images,
)
from benchmarks.peers.work import Prepared
from experiments.run.methods import build_estimator
from remjax.methods.batches import rows_in_flight
from remjax.methods.draws import Draws
from remjax.models.gaussian import gaussian_model, gaussian_recognition
from remjax.models.layered import sigmoid_belief_network, sigmoid_belief_recognition
from remjax.models.likelihoods import bernoulli_likelihood
from remjax.particles.covariances import weighted
from remjax.training.epochs import make_epoch
from remjax.training.optimizers import adam
from remjax.training.steps import init_train_state, make_train_step
from remjax.types import Batch, Model, Recognition

# What serves latents of bits alone.
_OF_BITS = ("disarm",)


def prepare(work: TrainingWork) -> Prepared:
    """A training step (or `steps` of them as part of an epoch), or the forward pass alone."""
    number = work.batch_size * work.steps
    x, mean = images(number)
    model, recognition = _networks(work.method, mean)
    data = jnp.asarray(x)
    options: dict[str, Any] = {"num_particles": work.num_particles, "keep": work.keep}
    if work.method == "rem_v1":
        options["covariance"] = weighted()  # the paper's, as in the other implementations

    if work.method == "e_step":
        estimator = build_estimator("iwae", model, recognition, options)
        params, _ = estimator.init(jax.random.key(0))

        def forward(key: jax.Array, x: jax.Array) -> jax.Array:
            def one(key: jax.Array, x: jax.Array) -> jax.Array:
                draws = Draws(
                    key,
                    model,
                    params.theta,
                    x,
                    recognition.r(params.eta, x),
                    num_particles=work.num_particles,
                    chunk_size=max(1, rows_in_flight(1, data.shape[1]) // work.batch_size),
                    keep=work.keep,
                )
                posterior = draws.from_r().posterior
                return posterior.log_evidence + jnp.sum(posterior.covariance)

            return jax.vmap(one)(jax.random.split(key, work.batch_size), x)

        compiled = jax.jit(forward).lower(jax.random.key(1), data).compile()
        return Prepared(
            lambda: jax.block_until_ready(compiled(jax.random.key(1), data)),
            compiled.memory_analysis().temp_size_in_bytes,
        )

    estimator = build_estimator(work.method, model, recognition, options)
    optimizer = adam(LEARNING_RATE, eps=ADAM_EPSILON)
    state = init_train_state(estimator, optimizer, jax.random.key(0), data)
    if work.steps > 1:
        step = make_epoch(estimator, optimizer, num_data=number, batch_size=work.batch_size)
        arguments = (data, work.steps)
    else:
        step = make_train_step(estimator, optimizer)
        arguments = (Batch(data, jnp.arange(number)),)
    compiled = step.lower(state, *arguments).compile()

    def run() -> None:
        nonlocal state
        result = compiled(state, *arguments)
        state = result if work.steps > 1 else result[0]
        jax.block_until_ready(state)

    return Prepared(run, compiled.memory_analysis().temp_size_in_bytes)


def _networks(method: str, mean: np.ndarray) -> tuple[Model, Recognition]:
    """The Gaussian networks, or for a method of bits belief networks of the same sizes."""
    likelihood = bernoulli_likelihood(mean)
    hidden_sizes = (HIDDEN_SIZE, HIDDEN_SIZE)
    if method in _OF_BITS:
        layers = {"latent_sizes": (LATENT_SIZE,), "hidden_sizes": (hidden_sizes,)}
        return (
            sigmoid_belief_network(likelihood, **layers),
            sigmoid_belief_recognition(mean, **layers),
        )
    one = {"latent_size": LATENT_SIZE, "hidden_sizes": hidden_sizes}
    return gaussian_model(likelihood, **one), gaussian_recognition(mean, **one)
