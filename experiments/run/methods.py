"""The tables from a flag's value to a function, and what the binaries build of them.

The library has no registry and no mode strings; a command line needs names, and they stand here.
"""

import difflib
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import optax

from experiments.run.networks import Networks, gaussian, sigmoid_belief, uncertain_gaussian
from experiments.run.presets import (
    Activity,
    averaged,
    iwae_release,
    rem_v1_leaky,
    rounded_burda_schedule,
    unweighted_with_ridge,
)
from remjax.data import Dataset
from remjax.data.binarization import Binarization, fixed, per_epoch, per_minibatch, unchanged
from remjax.data.orders import Order, as_stored, shuffled
from remjax.errors import InputError
from remjax.evaluation.log_likelihood import EvaluationProposal, from_recognition, two_stage
from remjax.methods.disarm import disarm
from remjax.methods.elbo import vae
from remjax.methods.groups import ciwae, miwae, piwae
from remjax.methods.importance_weighted import dreg, iwae, stl
from remjax.methods.nvil import nvil
from remjax.methods.ovis import ovis
from remjax.methods.rem import rem_mixture, rem_pooled, rem_v1, rem_v2
from remjax.methods.rem_discrete import rem_v1_bernoulli, rem_v2_bernoulli
from remjax.methods.renyi import vr
from remjax.methods.score_function import reinforce, rloo, vimco
from remjax.methods.thermodynamic import tvo
from remjax.methods.wake_sleep import rws, rws_defensive, rws_dreg, wake_sleep
from remjax.models.networks import Initialization, fan_in_uniform, glorot
from remjax.particles.matching import (
    Covariance,
    shrunk,
    shrunk_with_mean,
    tempered,
    unweighted,
    weighted,
)
from remjax.training.optimizers import burda_schedule
from remjax.types import Batch, Estimator, Model, Recognition

V = TypeVar("V")

METHODS: Mapping[str, Callable[..., Estimator]] = {
    "vae": vae,
    "iwae": iwae,
    "dreg": dreg,
    "stl": stl,
    "vr": vr,
    "miwae": miwae,
    "piwae": piwae,
    "ciwae": ciwae,
    "wake_sleep": wake_sleep,
    "rws": rws,
    "rws_defensive": rws_defensive,
    "rws_dreg": rws_dreg,
    "reinforce": reinforce,
    "nvil": nvil,
    "rloo": rloo,
    "disarm": disarm,
    "vimco": vimco,
    "ovis": ovis,
    "tvo": tvo,
    "rem_v1": rem_v1,
    "rem_v2": rem_v2,
    "rem_mixture": rem_mixture,
    "rem_pooled": rem_pooled,
    "rem_v1_bernoulli": rem_v1_bernoulli,
    "rem_v2_bernoulli": rem_v2_bernoulli,
    "rem_v1_leaky": rem_v1_leaky,
}

MODELS: Mapping[str, Networks] = {
    "gaussian": gaussian,
    "sigmoid_belief": sigmoid_belief,
    "uncertain_gaussian": uncertain_gaussian,
}

COVARIANCES: Mapping[str, Callable[[], Covariance]] = {
    "shrunk": shrunk,
    "shrunk_with_mean": shrunk_with_mean,
    "tempered": tempered,
    "weighted": weighted,
    "unweighted": unweighted,
    "unweighted_with_ridge": unweighted_with_ridge,
}

BINARIZATIONS: Mapping[str, Binarization] = {
    "fixed": fixed,
    "per_epoch": per_epoch,
    "per_minibatch": per_minibatch,
}

ORDERS: Mapping[str, Order] = {
    "shuffled": shuffled,
    "as_stored": as_stored,
}

SCHEDULES: Mapping[str, Callable[[float, int], optax.Schedule]] = {
    "burda": burda_schedule,
    "burda_rounded": rounded_burda_schedule,
    "constant": lambda learning_rate, _: optax.constant_schedule(learning_rate),
}

EVALUATION_PROPOSALS: Mapping[str, EvaluationProposal] = {
    "recognition": from_recognition,
    "two_stage": two_stage,
}

ACTIVITIES: Mapping[str, Activity] = {
    "averaged": averaged,
    "iwae_release": iwae_release,
}

INITIALIZATIONS: Mapping[str, Initialization] = {
    "glorot": glorot,
    "fan_in_uniform": fan_in_uniform,
}


def look_up(table: Mapping[str, V], flag: str, name: str) -> V:
    """The entry of that name.

    Raises:
        InputError: naming the flag and the valid names nearest to the one given.
    """
    if name in table:
        return table[name]
    nearest = difflib.get_close_matches(name, table, n=3, cutoff=0.4)
    names = ", ".join(nearest or table)
    if nearest and len(nearest) < len(table):
        names += f" (the nearest of {len(table)})"
    raise InputError(f"--{flag}={name} is not known: use one of {names}")


def accepts(method: str, option: str) -> bool:
    """Whether the method has this keyword, named by itself or among its family's options."""
    function = look_up(METHODS, "method", method)
    keywords = set(inspect.signature(function).parameters)
    if family := typing.get_type_hints(function).get("options"):
        keywords |= typing.get_type_hints(*typing.get_args(family)).keys()
    return option in keywords


def particles_scored(estimator: Estimator, data_size: int) -> int:
    """Decoder passes without gradient per datapoint and step, as the estimator counts them."""

    def scored(key: jax.Array) -> jax.Array:
        params, state = estimator.init(key)
        batch = Batch(jnp.zeros((1, data_size)), jnp.zeros(1, int))
        return estimator.estimate(params, state, key, batch)[0].metrics["scored"]

    return int(jax.jit(scored)(jax.random.key(0)))


def build_estimator(
    method: str, model: Model, recognition: Recognition, options: Mapping[str, Any]
) -> Estimator:
    """The estimator of a --method with the options that were set (None: not set).

    Raises:
        InputError: for an unknown method or an option that the method does not have.
    """
    for option, value in options.items():
        if value is not None and not accepts(method, option):
            raise InputError(f"--{option} does nothing for --method={method}: leave it out")
    chosen = {option: value for option, value in options.items() if value is not None}
    return look_up(METHODS, "method", method)(model, recognition, **chosen)


def choose_binarization(dataset: Dataset, name: str) -> Binarization:
    """The named binarisation, or none for data that is binary or real-valued already."""
    if dataset.binary or dataset.real_valued:
        return unchanged
    return look_up(BINARIZATIONS, "binarization", name)
