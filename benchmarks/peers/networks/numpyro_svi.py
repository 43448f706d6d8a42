"""NumPyro: RenyiELBO(alpha=0) is the bound of IWAE."""

import jax
import jax.numpy as jnp
import numpyro
import optax
from numpyro import distributions as dist
from numpyro.infer import SVI, RenyiELBO

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


def _network(name: str, in_features: int, out_features: int, x: jax.Array) -> jax.Array:
    sizes = (in_features, HIDDEN_SIZE, HIDDEN_SIZE, out_features)
    weights = initial_weights(sizes)
    for place, weight in enumerate(weights):
        kernel = numpyro.param(f"{name}.{place}.weight", jnp.asarray(weight))
        bias = numpyro.param(f"{name}.{place}.bias", jnp.zeros(weight.shape[1]))
        x = x @ kernel + bias
        if place < len(weights) - 1:
            x = jnp.tanh(x)
    return x


def _model(x: jax.Array) -> None:
    with numpyro.plate("batch", x.shape[0]):
        z = numpyro.sample("z", dist.Normal(0.0, 1.0).expand([LATENT_SIZE]).to_event(1))
        logits = _network("decoder", LATENT_SIZE, DATA_SIZE, z)
        numpyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=x)


def _guide(x: jax.Array) -> None:
    output = _network("encoder", DATA_SIZE, 2 * LATENT_SIZE, x)
    loc, log_variance = jnp.split(output, 2, axis=-1)
    with numpyro.plate("batch", x.shape[0]):
        numpyro.sample("z", dist.Normal(loc, jnp.exp(0.5 * log_variance)).to_event(1))


def prepare(work: TrainingWork) -> Prepared:
    """One update of SVI."""
    if work.method != "iwae":
        raise InputError(f"NumPyro has no {work.method}")
    optimizer = optax.adam(LEARNING_RATE, eps=ADAM_EPSILON)
    loss = RenyiELBO(alpha=0.0, num_particles=work.num_particles)
    svi = SVI(_model, _guide, optimizer, loss)
    x = jnp.asarray(images(work.batch_size)[0])
    state = svi.init(jax.random.key(0), x)
    compiled = jax.jit(svi.update, donate_argnums=0).lower(state, x).compile()

    def run() -> None:
        nonlocal state
        state, _ = jax.block_until_ready(compiled(state, x))

    return Prepared(run, compiled.memory_analysis().temp_size_in_bytes)
