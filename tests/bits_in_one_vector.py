"""Models of independent bits in one vector, and posteriors over it in groups."""

import jax.numpy as jnp

from remjax.distributions import Bernoulli
from remjax.models import Prior, dense_decoder, grouped_recognition, latent_variable_model


def model_of_bits(likelihood, latent_size, hidden_sizes=(5,)):
    """Independent bits with learned log odds, and an MLP of them."""
    return latent_variable_model(
        likelihood,
        Prior(lambda _: jnp.zeros(latent_size), Bernoulli),
        dense_decoder(
            likelihood.output_bias, latent_size=latent_size, hidden_sizes=tuple(hidden_sizes)
        ),
    )


def networks_of_bits(likelihood, data_mean, latent_size, **options):
    """(model, recognition) with the options of `grouped_recognition`."""
    recognition = grouped_recognition(
        data_mean, latent_size=latent_size, hidden_sizes=(5,), **options
    )
    return model_of_bits(likelihood, latent_size), recognition
