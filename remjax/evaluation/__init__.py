"""How good a fitted model is: log-likelihoods, the use of latents, annealed bounds, draws."""

from remjax.evaluation.annealing import Annealing
from remjax.evaluation.bounds import (
    Annealed,
    Sandwich,
    make_annealed_log_likelihood,
    make_sandwich,
)
from remjax.evaluation.codes import code
from remjax.evaluation.expectations import Expectation, make_expectation, make_imputation
from remjax.evaluation.importance_sampling import (
    Evaluation,
    log_likelihood,
    make_log_likelihood,
)
from remjax.evaluation.latents import LatentUse, active_units, activity, latent_use
from remjax.evaluation.proposals import from_curvature, from_recognition, two_stage
from remjax.evaluation.sample_based import (
    Parzen,
    SampleBased,
    make_conservative_log_likelihood,
    parzen_windows,
)
from remjax.evaluation.undirected import UndirectedEvaluation, make_undirected_log_likelihood

__all__ = [
    "Annealed",
    "Annealing",
    "Evaluation",
    "Expectation",
    "LatentUse",
    "Parzen",
    "SampleBased",
    "Sandwich",
    "UndirectedEvaluation",
    "active_units",
    "activity",
    "code",
    "from_curvature",
    "from_recognition",
    "latent_use",
    "log_likelihood",
    "make_annealed_log_likelihood",
    "make_conservative_log_likelihood",
    "make_expectation",
    "make_imputation",
    "make_log_likelihood",
    "make_sandwich",
    "make_undirected_log_likelihood",
    "parzen_windows",
    "two_stage",
]
