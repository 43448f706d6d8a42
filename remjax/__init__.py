"""Deep latent-variable models fitted by expectation maximisation and importance weighting.

The names here are those that a first notebook needs. The others are in the rooms, whose names give
them their meaning: `remjax.methods.iwae`, `remjax.covariances.shrunk`, `remjax.training.adam`.
"""

from remjax import (
    boltzmann,
    data,
    distributions,
    evaluation,
    fitting,
    methods,
    models,
    particles,
    training,
)
from remjax.distributions import (
    Bernoulli,
    Categorical,
    DiagonalGaussian,
    Distribution,
    FullGaussian,
)
from remjax.errors import InputError
from remjax.evaluation import log_likelihood, make_log_likelihood
from remjax.fitting import Fit, fit, load
from remjax.methods import Method, Particles, make_estimator
from remjax.models import (
    bernoulli_likelihood,
    gaussian_likelihood,
    gaussian_model,
    gaussian_recognition,
    sigmoid_belief_network,
    sigmoid_belief_recognition,
)
from remjax.particles import (
    covariances,
    e_step,
    effective_sample_size,
    log_mean_exp,
    normalize_log_weights,
)
from remjax.sharding import make_mesh, replicate
from remjax.training import (
    TrainState,
    adam,
    init_train_state,
    make_epoch,
    make_train_step,
    metric_means,
)
from remjax.types import Batch, Estimate, Estimator, Memory, Model, Params, Recognition

__all__ = [
    "Batch",
    "Bernoulli",
    "Categorical",
    "DiagonalGaussian",
    "Distribution",
    "Estimate",
    "Estimator",
    "Fit",
    "FullGaussian",
    "InputError",
    "Memory",
    "Method",
    "Model",
    "Params",
    "Particles",
    "Recognition",
    "TrainState",
    "adam",
    "bernoulli_likelihood",
    "boltzmann",
    "covariances",
    "data",
    "distributions",
    "e_step",
    "effective_sample_size",
    "evaluation",
    "fit",
    "fitting",
    "gaussian_likelihood",
    "gaussian_model",
    "gaussian_recognition",
    "init_train_state",
    "load",
    "log_likelihood",
    "log_mean_exp",
    "make_epoch",
    "make_estimator",
    "make_log_likelihood",
    "make_mesh",
    "make_train_step",
    "methods",
    "metric_means",
    "models",
    "normalize_log_weights",
    "particles",
    "replicate",
    "sigmoid_belief_network",
    "sigmoid_belief_recognition",
    "training",
]
