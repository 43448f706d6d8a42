"""Deep latent-variable models fitted by expectation maximisation and importance weighting.

`import remjax` is the notebook's view: the types, the functions of weights and moments, the E-step,
the estimators, training and evaluation. The rooms behind it: `remjax.models`, `remjax.networks`,
`remjax.data`, `remjax.optimizers`, `remjax.checkpoints`.
"""

from remjax.chains import Chain
from remjax.distributions import (
    Bernoulli,
    DiagonalGaussian,
    Distribution,
    Drawn,
    FullGaussian,
    bernoulli_log_likelihood,
    gaussian_log_likelihood,
)
from remjax.errors import InputError
from remjax.estimators.composition import compose
from remjax.estimators.elbo import vae
from remjax.estimators.importance_weighted import iwae
from remjax.estimators.objectives import (
    evidence_lower_bound,
    exclusive_kl,
    exclusive_kl_analytic,
    expected_complete_log_likelihood,
    importance_weighted_bound,
    inclusive_kl,
)
from remjax.estimators.proposals import Draws, from_mixture, from_pooled, from_r, from_s
from remjax.estimators.rem import rem, rem_mixture, rem_pooled, rem_v1, rem_v2
from remjax.estimators.wake_sleep import rws
from remjax.evaluation import (
    Evaluation,
    from_recognition,
    log_likelihood,
    make_log_likelihood,
    two_stage,
)
from remjax.hierarchies import (
    deep_gaussian_model,
    deep_gaussian_recognition,
    sigmoid_belief_network,
    sigmoid_belief_recognition,
)
from remjax.latents import LatentUse, active_units, activity, latent_use
from remjax.mixtures import Balanced, Stratified
from remjax.models import (
    bernoulli_likelihood,
    gaussian_likelihood,
    gaussian_model,
    gaussian_recognition,
)
from remjax.moments import (
    Covariance,
    Moments,
    moment_match,
    scale_tril,
    shrunk,
    tempered,
    unweighted,
    weighted,
    weighted_covariance,
    weighted_mean,
)
from remjax.optimizers import adam, burda_schedule, scale_by_adam_epsilon_hat
from remjax.particles import Particle, Posterior, e_step, log_weights, particle_sum
from remjax.training import (
    TrainState,
    init_train_state,
    make_epoch,
    make_train_step,
    metric_means,
)
from remjax.types import Batch, Estimate, Estimator, Joint, Model, Params, Recognition
from remjax.uncertain_weights import uncertain_gaussian_networks, with_weight_divergence
from remjax.weights import (
    effective_sample_size,
    log_mean_exp,
    normalize_log_weights,
    pareto_k,
    resample_multinomial,
    resample_systematic,
)

__all__ = [
    "Balanced",
    "Batch",
    "Bernoulli",
    "Chain",
    "Covariance",
    "DiagonalGaussian",
    "Distribution",
    "Drawn",
    "Draws",
    "Estimate",
    "Estimator",
    "Evaluation",
    "FullGaussian",
    "InputError",
    "Joint",
    "LatentUse",
    "Model",
    "Moments",
    "Params",
    "Particle",
    "Posterior",
    "Recognition",
    "Stratified",
    "TrainState",
    "active_units",
    "activity",
    "adam",
    "bernoulli_likelihood",
    "bernoulli_log_likelihood",
    "burda_schedule",
    "compose",
    "deep_gaussian_model",
    "deep_gaussian_recognition",
    "e_step",
    "effective_sample_size",
    "evidence_lower_bound",
    "exclusive_kl",
    "exclusive_kl_analytic",
    "expected_complete_log_likelihood",
    "from_mixture",
    "from_pooled",
    "from_r",
    "from_recognition",
    "from_s",
    "gaussian_likelihood",
    "gaussian_log_likelihood",
    "gaussian_model",
    "gaussian_recognition",
    "importance_weighted_bound",
    "inclusive_kl",
    "init_train_state",
    "iwae",
    "latent_use",
    "log_likelihood",
    "log_mean_exp",
    "log_weights",
    "make_epoch",
    "make_log_likelihood",
    "make_train_step",
    "metric_means",
    "moment_match",
    "normalize_log_weights",
    "pareto_k",
    "particle_sum",
    "rem",
    "rem_mixture",
    "rem_pooled",
    "rem_v1",
    "rem_v2",
    "resample_multinomial",
    "resample_systematic",
    "rws",
    "scale_by_adam_epsilon_hat",
    "scale_tril",
    "shrunk",
    "sigmoid_belief_network",
    "sigmoid_belief_recognition",
    "tempered",
    "two_stage",
    "uncertain_gaussian_networks",
    "unweighted",
    "vae",
    "weighted",
    "weighted_covariance",
    "weighted_mean",
    "with_weight_divergence",
]
