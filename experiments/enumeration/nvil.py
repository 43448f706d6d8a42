"""NVIL with each of its switches, after some batches: what it remembers is part of its claim."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from experiments.enumeration.cases import Case, Claim, Draws
from experiments.enumeration.claims import LOWER_BOUND
from experiments.enumeration.recognition import probability_of
from experiments.enumeration.tiny_networks import DATA_SIZE, TinyNetwork, X, gradient_of
from remjax.methods.baselines import tanh_baseline
from remjax.methods.method import make_estimator
from remjax.methods.nvil import SignalStatistics, nvil, whole_signal
from remjax.methods.row import Particles
from remjax.types import Params

_SWITCHES: Sequence[dict[str, Any]] = (
    {},
    {"scaling": False},
    {"centring": False},
    {"lagged": True},
    {"centring": False, "scaling": False},
    {"lagged": True, "scaling": False},
    {"lagged": True, "scaling": False, "baseline": None},
    {"lagged": True, "scaling": False, "signals": whole_signal},
)
_DECAY = 0.8


def cases() -> list[Case]:
    """Every switch with two particles; the default and the lagged form with one and three too."""
    counts = [_case(count, **switches) for count in (1, 3) for switches in ({}, {"lagged": True})]
    return [*counts, *[_case(2, **switches) for switches in _SWITCHES]]


def _remembered(num_signals: int) -> SignalStatistics:
    """What an NVIL that has run for a while remembers of each of its signals."""
    mean, variance = jnp.array([-3.0, 1.0]), jnp.array([4.0, 9.0])
    return SignalStatistics(mean[:num_signals], variance[:num_signals], jnp.ones(()))


def _guess(num_signals: int) -> Array:
    """The parameters of the baseline: any will do."""
    return tanh_baseline(DATA_SIZE, num_signals).init(jax.random.key(1))


def _case(num_particles: int, **switches: Any) -> Case:
    num_signals = 1 if switches.get("signals") is whole_signal else 2

    def draws(net: TinyNetwork, params: Params) -> Draws:
        own = params
        if switches.get("baseline", True) is not None:
            own = params._replace(baseline=_guess(num_signals))
        tuples = net.tuples(num_particles)

        def on_tuple(numbers: Array) -> Params:
            recognition = net.assigning(net.at(numbers))
            method = nvil(decay=_DECAY, **switches)
            estimator = make_estimator(net.model, recognition, method, Particles(num_particles))
            return gradient_of(estimator, own, _remembered(num_signals))

        return Draws(probability_of(net, params, tuples), jax.vmap(on_tuple)(tuples))

    return Case(_name(switches), num_particles, LOWER_BOUND, _claim(switches), draws)


def _name(switches: dict[str, Any]) -> str:
    named = (f"{name}={getattr(value, '__name__', value)}" for name, value in switches.items())
    return f"nvil({', '.join(named)})" if switches else "nvil"


def _claim(switches: dict[str, Any]) -> Claim:
    """What eta follows: where nothing of the batch enters, the bound, or its part of each layer."""
    lagged = switches.get("lagged", False)
    centring, scaling = switches.get("centring", True), switches.get("scaling", True)
    if not scaling and (lagged or not centring):
        return LOWER_BOUND

    def loss(net: TinyNetwork, params: Params, num_particles: int) -> Float[Array, ""]:
        return _scored(net, params, num_particles, centring, scaling, lagged)

    if lagged:
        return Claim("the evidence lower bound, each layer over its running deviation", loss)
    what = " and ".join(["centre"] * centring + ["scale"] * scaling)
    of_layers = ", each layer over its running deviation," if scaling else ","
    return Claim(
        f"the evidence lower bound{of_layers} biased by the batch's own part in its {what}: a bias "
        "of order 1/B, and B = 1 here",
        loss,
    )


def _scored(
    net: TinyNetwork,
    params: Params,
    num_particles: int,
    centring: bool,
    scaling: bool,
    lagged: bool,
) -> Float[Array, ""]:
    """-E 1/K sum_kl (signal_kl - C_l - c_l) / max(1, sqrt(v_l)) log r(z_kl); the first is fixed."""
    values, log_r = _signals(net, params)
    tuples, old = net.tuples(num_particles), _remembered(2)
    probability = lax.stop_gradient(probability_of(net, params, tuples))
    guess = tanh_baseline(DATA_SIZE, 2).value(_guess(2), X)
    left = lax.stop_gradient(values)[tuples] - guess
    mean, variance = old.mean, old.variance
    if not lagged:  # a batch of one: the spread is that of its particles
        mean = _DECAY * mean + (1.0 - _DECAY) * jnp.mean(left, axis=1, keepdims=True)
        variance = _DECAY * variance + (1.0 - _DECAY) * jnp.var(left, axis=1, keepdims=True)
    signal = left - mean if centring else left
    if scaling:
        signal = signal / jnp.maximum(1.0, jnp.sqrt(variance))
    return -probability @ jnp.sum(jnp.mean(signal * log_r[tuples], axis=1), axis=1)


def _signals(net: TinyNetwork, params: Params) -> tuple[Float[Array, "C L"], Float[Array, "C L"]]:
    """(what the layers learn from, log r of the layers) of each configuration of two layers."""
    joint, r = net.model.joint(params.theta, X), net.recognition.r(params.eta, X)

    def of(z: tuple[Array, Array]) -> tuple[Array, Array]:
        r_1, r_2 = r.layer_log_probs(z)
        p_1, p_2 = joint.prior.layer_log_probs(z)
        upper = p_1 + p_2 - r_2
        return jnp.stack([joint.log_likelihood(z) + upper - r_1, upper]), jnp.stack([r_1, r_2])

    return jax.vmap(of)(net.configurations)
