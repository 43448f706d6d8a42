"""Models p(x, z), recognition networks r(z | x) and denoising models p(x | zbar).

They are pure functions made of Flax NNX modules: a likelihood of the data, then a model and the
recognition network that goes with it. `pure` makes one of a user's own module, and
`latent_variable_model` a model of a user's own parts.
"""

from remjax.models.boltzmann_prior import (
    PriorState,
    boltzmann_model,
    boltzmann_prior,
    normalize_prior,
    prior_machine,
    with_boltzmann_prior,
)
from remjax.models.categorical import categorical_model, categorical_recognition
from remjax.models.choice import ChosenLikelihood, choose_likelihood
from remjax.models.convolutional import convolutional_model, convolutional_recognition
from remjax.models.count_likelihoods import (
    categorical_likelihood,
    negative_binomial_likelihood,
    poisson_likelihood,
)
from remjax.models.denoising import denoising_model
from remjax.models.full_gaussian import full_gaussian_recognition
from remjax.models.gaussian import gaussian_model, gaussian_recognition
from remjax.models.groups import grouped_recognition
from remjax.models.initializations import fan_in_uniform, glorot, he, in_bfloat16
from remjax.models.latent_variable import Decoder, Prior, dense_decoder, latent_variable_model
from remjax.models.layered import (
    deep_categorical_model,
    deep_categorical_recognition,
    deep_gaussian_model,
    deep_gaussian_recognition,
    sigmoid_belief_network,
    sigmoid_belief_recognition,
)
from remjax.models.likelihoods import (
    Likelihood,
    bernoulli_likelihood,
    gaussian_likelihood,
    marginalized,
)
from remjax.models.networks import MLP, GaussianEncoder, batch_normalization, pure
from remjax.models.uncertain import uncertain_gaussian_networks, with_weight_divergence
from remjax.models.undirected import (
    HarmoniumHeads,
    IsingHeads,
    RawHeads,
    undirected_recognition,
)

__all__ = [
    "MLP",
    "ChosenLikelihood",
    "Decoder",
    "GaussianEncoder",
    "HarmoniumHeads",
    "IsingHeads",
    "Likelihood",
    "Prior",
    "PriorState",
    "RawHeads",
    "batch_normalization",
    "bernoulli_likelihood",
    "boltzmann_model",
    "boltzmann_prior",
    "categorical_likelihood",
    "categorical_model",
    "categorical_recognition",
    "choose_likelihood",
    "convolutional_model",
    "convolutional_recognition",
    "deep_categorical_model",
    "deep_categorical_recognition",
    "deep_gaussian_model",
    "deep_gaussian_recognition",
    "denoising_model",
    "dense_decoder",
    "fan_in_uniform",
    "full_gaussian_recognition",
    "gaussian_likelihood",
    "gaussian_model",
    "gaussian_recognition",
    "glorot",
    "grouped_recognition",
    "he",
    "in_bfloat16",
    "latent_variable_model",
    "marginalized",
    "negative_binomial_likelihood",
    "normalize_prior",
    "poisson_likelihood",
    "prior_machine",
    "pure",
    "sigmoid_belief_network",
    "sigmoid_belief_recognition",
    "uncertain_gaussian_networks",
    "undirected_recognition",
    "with_boltzmann_prior",
    "with_weight_divergence",
]
