"""Deep latent-variable models fitted by expectation maximisation and importance weighting.

The names here are those that a first notebook needs. The others are in the rooms, whose names give
them their meaning: `remjax.methods.iwae`, `remjax.covariances.shrunk`, `remjax.training.adam`.

A room is imported when the first of its names is used: `import remjax` alone imports nothing else,
and who takes methods and networks of their own never waits for Flax.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what type checkers and editors see; `_NAMES` says the same at run time
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

# The names of this module that are no rooms, by the room that defines them.
_NAMES = {
    "distributions": "Bernoulli Categorical DiagonalGaussian Distribution FullGaussian",
    "errors": "InputError",
    "evaluation": "log_likelihood make_log_likelihood",
    "fitting": "Fit fit load",
    "methods": "Method Particles make_estimator",
    "models": "bernoulli_likelihood gaussian_likelihood gaussian_model gaussian_recognition "
    "sigmoid_belief_network sigmoid_belief_recognition",
    "particles": "covariances e_step effective_sample_size log_mean_exp normalize_log_weights",
    "sharding": "make_mesh replicate",
    "training": "TrainState adam init_train_state make_epoch make_train_step metric_means",
    "types": "Batch Estimate Estimator Memory Model Params Recognition",
}
_SMALL_ROOMS = ("errors", "sharding", "statistics", "types")
_ROOM_OF = {name: room for room, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """The room of this name, or what a room defines under it; imported when it is asked for."""
    if name not in __all__ and name not in _SMALL_ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_ROOM_OF.get(name, name)}")
    value = getattr(module, name) if name in _ROOM_OF else module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
