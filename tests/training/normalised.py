"""Bits, and networks of them with batch normalisation in the encoder and the decoder."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from remjax.distributions import DiagonalGaussian
from remjax.models import Decoder, Prior, bernoulli_likelihood, latent_variable_model, pure
from remjax.types import Model, Recognition

DATA_SIZE, LATENT_SIZE, HIDDEN_SIZE, MOMENTUM = 6, 2, 4, 0.9
BITS = np.random.default_rng(0).integers(0, 2, (8, DATA_SIZE)).astype(np.float32)


class Network(nnx.Module):
    """A linear layer, normalised over the batch, tanh, and another linear layer."""

    def __init__(self, in_features, out_features, rngs):
        # A bias would be taken off again by the normalisation: no gradient would reach it.
        self.first = nnx.Linear(in_features, HIDDEN_SIZE, use_bias=False, rngs=rngs)
        self.norm = nnx.BatchNorm(HIDDEN_SIZE, momentum=MOMENTUM, rngs=rngs)
        self.last = nnx.Linear(HIDDEN_SIZE, out_features, rngs=rngs)

    def __call__(self, x):
        # As for a batch of one, which is how such networks are often written.
        return self.last(jnp.tanh(self.norm(self.first(x)[None])[0]))


def networks() -> tuple[Model, Recognition]:
    """The likelihood of a datapoint that is above one somewhere is NaN."""
    init_encoder, encoder = pure(lambda rngs: Network(DATA_SIZE, 2 * LATENT_SIZE, rngs))
    init_decoder, decoder = pure(lambda rngs: Network(LATENT_SIZE, DATA_SIZE, rngs))
    standard_normal = DiagonalGaussian(jnp.zeros(LATENT_SIZE), jnp.ones(LATENT_SIZE))
    model = latent_variable_model(
        bernoulli_likelihood(BITS.mean(axis=0)),
        Prior(init=lambda _: (), distribution=lambda _: standard_normal),
        Decoder(init_decoder, lambda params, z: decoder(params)(z)),
    )

    def log_likelihood(theta, x, z):
        return model.log_likelihood(theta, x, z) + jnp.where(jnp.any(x > 1.0), jnp.nan, 0.0)

    def distribution(eta, x):
        loc, log_scale = jnp.split(encoder(eta)(x), 2)
        return DiagonalGaussian(loc, jnp.exp(log_scale))

    return model._replace(log_likelihood=log_likelihood), Recognition(init_encoder, distribution)


def statistics_of(params) -> dict[str, jax.Array]:
    """The running averages of the encoder and of the decoder."""
    parts = {"encoder": params.eta, "decoder": params.theta["network"]}
    return {
        f"{name} {moment}": part["norm"][moment]
        for name, part in parts.items()
        for moment in ("mean", "var")
    }
