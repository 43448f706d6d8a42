"""TensorFlow Probability on JAX: monte_carlo_variational_loss with importance samples is IWAE."""

import jax
import jax.numpy as jnp
import optax
from tensorflow_probability.substrates import jax as tfp

from benchmarks.peers.networks.work import (
    ADAM_EPSILON,
    DATA_SIZE,
    HIDDEN_SIZE,
    LATENT_SIZE,
    LEARNING_RATE,
    TrainingWork,
    images,
    initial_weights,
)
from benchmarks.peers.work import Prepared
from remjax.errors import InputError

Layers = list[tuple[jax.Array, jax.Array]]


def _init(in_features: int, out_features: int) -> Layers:
    weights = initial_weights((in_features, HIDDEN_SIZE, HIDDEN_SIZE, out_features))
    return [(jnp.asarray(weight), jnp.zeros(weight.shape[1])) for weight in weights]


def _apply(layers: Layers, x: jax.Array) -> jax.Array:
    for weight, bias in layers[:-1]:
        x = jnp.tanh(x @ weight + bias)
    return x @ layers[-1][0] + layers[-1][1]


def prepare(work: TrainingWork) -> Prepared:
    """One update, compiled whole."""
    if work.method != "iwae":
        raise InputError(f"TFP has no {work.method}")
    tfd = tfp.distributions
    x = jnp.asarray(images(work.batch_size)[0])
    params = {
        "decoder": _init(LATENT_SIZE, DATA_SIZE),
        "encoder": _init(DATA_SIZE, 2 * LATENT_SIZE),
    }
    optimizer = optax.adam(LEARNING_RATE, eps=ADAM_EPSILON)

    def loss(params: dict[str, Layers], key: jax.Array, x: jax.Array) -> jax.Array:
        def log_joint(z: jax.Array) -> jax.Array:
            prior = tfd.MultivariateNormalDiag(jnp.zeros(LATENT_SIZE), jnp.ones(LATENT_SIZE))
            likelihood = tfd.Independent(
                tfd.Bernoulli(logits=_apply(params["decoder"], z)), reinterpreted_batch_ndims=1
            )
            return prior.log_prob(z) + likelihood.log_prob(x)

        loc, log_variance = jnp.split(_apply(params["encoder"], x), 2, axis=-1)
        r = tfd.MultivariateNormalDiag(loc, jnp.exp(0.5 * log_variance))
        per_datapoint = tfp.vi.monte_carlo_variational_loss(
            log_joint, r, importance_sample_size=work.num_particles, seed=key
        )
        return jnp.mean(per_datapoint)

    def update(state: tuple, x: jax.Array) -> tuple:
        params, opt_state, key = state
        key, key_loss = jax.random.split(key)
        updates, opt_state = optimizer.update(jax.grad(loss)(params, key_loss, x), opt_state)
        return optax.apply_updates(params, updates), opt_state, key

    state = (params, optimizer.init(params), jax.random.PRNGKey(0))
    compiled = jax.jit(update, donate_argnums=0).lower(state, x).compile()

    def run() -> None:
        nonlocal state
        state = jax.block_until_ready(compiled(state, x))

    return Prepared(run, compiled.memory_analysis().temp_size_in_bytes)
