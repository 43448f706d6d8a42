"""Deep latent-variable models fitted by expectation maximisation and importance weighting.

`import remjax` is the notebook's view: the types, the functions of weights and moments, the E-step,
the estimators, training and evaluation. The rooms behind it: `remjax.models`, `remjax.networks`,
`remjax.data`, `remjax.optimizers`, `remjax.checkpoints`.
"""

from remjax.distributions import (
    Bernoulli,
    DiagonalGaussian,
    Distribution,
    Drawn,
    FullGaussian,
)
from remjax.distributions.layers import Layers
from remjax.distributions.likelihoods import bernoulli_log_likelihood, gaussian_log_likelihood
from remjax.distributions.mixtures import Balanced, Mixture, Stratified
from remjax.errors import InputError
from remjax.evaluation.latents import LatentUse, active_units, activity, latent_use
from remjax.evaluation.log_likelihood import (
    Evaluation,
    from_recognition,
    log_likelihood,
    make_log_likelihood,
    two_stage,
)
from remjax.methods.composition import compose
from remjax.methods.disarm import disarm
from remjax.methods.draws import Draws
from remjax.methods.elbo import vae
from remjax.methods.groups import ciwae, miwae, piwae
from remjax.methods.importance_weighted import dreg, importance_weighted, iwae, stl
from remjax.methods.nvil import local_signals, nvil, whole_signal
from remjax.methods.objectives import (
    evidence_lower_bound,
    exclusive_kl,
    exclusive_kl_analytic,
    expected_complete_log_likelihood,
    importance_weighted_bound,
    inclusive_kl,
    path_derivative,
)
from remjax.methods.ovis import ovis
from remjax.methods.proposals import (
    from_bernoulli,
    from_defensive,
    from_mixture,
    from_pooled,
    from_r,
    from_r_with,
    from_s,
    from_shrunk_bernoulli,
)
from remjax.methods.rem import rem, rem_mixture, rem_pooled, rem_v1, rem_v2
from remjax.methods.rem_discrete import rem_v1_bernoulli, rem_v2_bernoulli
from remjax.methods.renyi import vr
from remjax.methods.score_function import (
    arithmetic_mean,
    geometric_mean,
    reinforce,
    rloo,
    score_function,
    scored,
    vimco,
)
from remjax.methods.thermodynamic import tvo
from remjax.methods.wake_sleep import rws, rws_defensive, rws_dreg, wake_sleep, with_dreams
from remjax.models.baselines import Baseline, tanh_baseline
from remjax.models.gaussian import gaussian_model, gaussian_recognition
from remjax.models.layered import (
    deep_gaussian_model,
    deep_gaussian_recognition,
    sigmoid_belief_network,
    sigmoid_belief_recognition,
)
from remjax.models.likelihoods import bernoulli_likelihood, gaussian_likelihood
from remjax.models.uncertain import uncertain_gaussian_networks, with_weight_divergence
from remjax.particles.e_step import e_step, log_weights, particle_sum
from remjax.particles.matching import (
    Covariance,
    MeanVariance,
    bernoulli_match,
    moment_match,
    scale_tril,
    shrunk,
    shrunk_bernoulli_match,
    shrunk_with_mean,
    tempered,
    unweighted,
    weighted,
)
from remjax.particles.moments import Moments, weighted_covariance, weighted_mean
from remjax.particles.posterior import Particle, Posterior
from remjax.particles.weights import (
    effective_sample_size,
    log_mean_exp,
    normalize_log_weights,
    pareto_k,
    resample_multinomial,
    resample_systematic,
)
from remjax.sharding import make_mesh, replicate
from remjax.training.optimizers import adam, burda_schedule, each_part, scale_by_adam_epsilon_hat
from remjax.training.replicas import replica, replicas_in_flight, stack_replicas, train_replicas
from remjax.training.steps import (
    TrainState,
    init_train_state,
    make_epoch,
    make_train_step,
    metric_means,
)
from remjax.types import Batch, Estimate, Estimator, Joint, Model, Params, Recognition

__all__ = [
    "Balanced",
    "Baseline",
    "Batch",
    "Bernoulli",
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
    "Layers",
    "MeanVariance",
    "Mixture",
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
    "arithmetic_mean",
    "bernoulli_likelihood",
    "bernoulli_log_likelihood",
    "bernoulli_match",
    "burda_schedule",
    "ciwae",
    "compose",
    "deep_gaussian_model",
    "deep_gaussian_recognition",
    "disarm",
    "dreg",
    "e_step",
    "each_part",
    "effective_sample_size",
    "evidence_lower_bound",
    "exclusive_kl",
    "exclusive_kl_analytic",
    "expected_complete_log_likelihood",
    "from_bernoulli",
    "from_defensive",
    "from_mixture",
    "from_pooled",
    "from_r",
    "from_r_with",
    "from_recognition",
    "from_s",
    "from_shrunk_bernoulli",
    "gaussian_likelihood",
    "gaussian_log_likelihood",
    "gaussian_model",
    "gaussian_recognition",
    "geometric_mean",
    "importance_weighted",
    "importance_weighted_bound",
    "inclusive_kl",
    "init_train_state",
    "iwae",
    "latent_use",
    "local_signals",
    "log_likelihood",
    "log_mean_exp",
    "log_weights",
    "make_epoch",
    "make_log_likelihood",
    "make_mesh",
    "make_train_step",
    "metric_means",
    "miwae",
    "moment_match",
    "normalize_log_weights",
    "nvil",
    "ovis",
    "pareto_k",
    "particle_sum",
    "path_derivative",
    "piwae",
    "reinforce",
    "rem",
    "rem_mixture",
    "rem_pooled",
    "rem_v1",
    "rem_v1_bernoulli",
    "rem_v2",
    "rem_v2_bernoulli",
    "replica",
    "replicas_in_flight",
    "replicate",
    "resample_multinomial",
    "resample_systematic",
    "rloo",
    "rws",
    "rws_defensive",
    "rws_dreg",
    "scale_by_adam_epsilon_hat",
    "scale_tril",
    "score_function",
    "scored",
    "shrunk",
    "shrunk_bernoulli_match",
    "shrunk_with_mean",
    "sigmoid_belief_network",
    "sigmoid_belief_recognition",
    "stack_replicas",
    "stl",
    "tanh_baseline",
    "tempered",
    "train_replicas",
    "tvo",
    "two_stage",
    "uncertain_gaussian_networks",
    "unweighted",
    "vae",
    "vimco",
    "vr",
    "wake_sleep",
    "weighted",
    "weighted_covariance",
    "weighted_mean",
    "whole_signal",
    "with_dreams",
    "with_weight_divergence",
]
