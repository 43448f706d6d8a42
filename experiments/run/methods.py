"""The methods by the names that a command line has for them, family by family."""

from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from experiments.run.choices import look_up
from experiments.run.families import Family, Knob, knobs_of, public
from experiments.run.presets import rem_v1_leaky
from remjax import methods
from remjax.boltzmann import negative_phases
from remjax.boltzmann.phases import NegativePhase
from remjax.errors import InputError
from remjax.methods.denoising_methods import DenoisingMethod
from remjax.methods.method import Method, make_estimator
from remjax.methods.row import Particles
from remjax.types import Batch, Estimator, Model, Recognition

_LEGEND = """\
Each ascends a sum over particles; "over" says where they come from, for eta where it is not as for
theta. w: a particle's normalised weight, w^b that under a power of the weights. log w: log p(x, z)
- log r(z | x). z(eta): the gradient passes through the draw. s: matches the weighted particles of
r; "r and s together": weighted as draws of 1/2 r + 1/2 s; g: a Gaussian by the curvature of
log p(x, z). L: the importance-weighted bound, L_-k that without particle k. C, c, v: baseline,
running mean and variance. b, e: powers on the path from r to p, and the excess of log w. phi: the
log odds of r; z': the antithetic partner. Shares of groups: those of theta, those of eta."""


def _row(method: Method) -> dict[str, str]:
    """What theta and eta ascend, and on which particles."""
    same = method.hyperproposal == method.proposal
    return {
        "theta ascends": str(method.objective),
        "over": str(method.proposal),
        "eta ascends": str(method.hyperobjective),
        "over ": "" if same else str(method.hyperproposal),
        "combined": str(method.combine),
    }


def _options(method: Method) -> Collection[str]:
    """How many particles there are, and how they are held."""
    options = ("num_particles", "chunk_size")
    return (*options, "keep") if method.keeps else options


# Of models with a recognition network.
WITH_RECOGNITION = Family(
    kind=Method,
    methods={**public(methods, Method), "rem_v1_leaky": rem_v1_leaky},
    row=_row,
    legend=_LEGEND,
    options=_options,
)

# Of Boltzmann machines.
MACHINES = Family(
    kind=NegativePhase,
    methods=public(negative_phases, NegativePhase),
    row=lambda phase: {
        "the machine descends": "mean F(x) - mean F(samples)",
        "samples": str(phase),
    },
    legend="F: the free energy. A sweep draws the visible units, then the hidden ones.",
)

# Of denoising models.
DENOISING = Family(
    kind=DenoisingMethod,
    methods=public(methods, DenoisingMethod),
    row=lambda method: {"the model ascends": "mean log p(x | zbar)", "over": str(method)},
    legend="q: the corruption. I: the mutual information of x and zbar, estimated in a batch.",
)

FAMILIES = (WITH_RECOGNITION, MACHINES, DENOISING)

# Name -> the family; no name is that of two.
METHODS: Mapping[str, Family] = {name: family for family in FAMILIES for name in family.methods}


def family_of(name: str) -> Family:
    """The family of a --method.

    Raises:
        InputError: for an unknown name.
    """
    return look_up(METHODS, "method", name)


def default_of(name: str) -> Any:
    """The method of that name with the defaults of its knobs.

    Raises:
        InputError: for an unknown name.
    """
    return family_of(name).default_of(name)


def knobs() -> dict[str, Knob]:
    """The knobs of all methods but their baselines, by the name of the argument."""
    return knobs_of({name: family.methods[name] for name, family in METHODS.items()})


def accepts(method: str, option: str) -> bool:
    """Whether the method has this option: a knob of its own, or one of its particles."""
    return family_of(method).accepts(method, option)


def given(method: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were set (None: not set).

    Raises:
        InputError: for an unknown method or an option that the method does not have.
    """
    chosen = {option: value for option, value in options.items() if value is not None}
    for option in chosen:
        if not accepts(method, option):
            raise InputError(f"--{option} does nothing for --method={method}: leave it out")
    return chosen


def with_knobs(method: str, options: Mapping[str, Any]) -> Any:
    """A --method as a value, for a family whose options are knobs alone (None: not set).

    Raises:
        InputError: for an option that the method does not have, or a value that it cannot have.
    """
    return family_of(method).with_knobs(method, given(method, options))


def build_estimator(
    method: str,
    model: Model,
    recognition: Recognition,
    options: Mapping[str, Any],
    warm_up: int = 0,
) -> Estimator:
    """The estimator of a --method with the options that were set (None: not set).

    Args:
        method: its name.
        model: p_theta(x, z).
        recognition: r_eta(z | x).
        options: of the method and its particles.
        warm_up: updates over which the weight of the KL term rises; 0 for none.

    Raises:
        InputError: for an unknown method or an option that the method does not have.
    """
    chosen = given(method, options)
    names = ("num_particles", "keep", "chunk_size")
    particles = Particles(**{name: chosen.pop(name) for name in names if name in chosen})
    if "hyperproposal" in chosen:
        # Where it is made of s, s is matched as it is for theta.
        chosen["hyperproposal"] = chosen["hyperproposal"](chosen.get("covariance"))
    value = WITH_RECOGNITION.with_knobs(method, chosen)
    if warm_up:
        value = methods.warm_up(value, warm_up)
    return make_estimator(model, recognition, value, particles)


def particles_scored(estimator: Estimator, data_size: int) -> int:
    """Decoder passes without gradient per datapoint and step, as the estimator counts them."""

    def scored(key: jax.Array) -> jax.Array:
        params, state = estimator.init(key)
        batch = Batch(jnp.zeros((1, data_size)), jnp.zeros(1, int))
        return estimator.estimate(params, state, key, batch)[0].metrics["scored"]

    return int(jax.jit(scored)(jax.random.key(0)))
