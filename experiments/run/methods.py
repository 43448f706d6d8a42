"""The methods by the names that a command line has for them, and their knobs.

Both are read from the library: a method is a public value of `remjax.methods`, or a function that
returns one, and its knobs are the arguments of that function, with their defaults and docstrings.
"""

import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import docstring_parser
import jax
import jax.numpy as jnp

from experiments.run.choices import COVARIANCES, PROPOSALS, SIGNALS, STAND_INS, look_up
from experiments.run.presets import rem_v1_leaky
from remjax import methods
from remjax.errors import InputError
from remjax.methods.baselines import BaselineOf
from remjax.methods.method import Method, make_estimator
from remjax.methods.nvil import Signals
from remjax.methods.proposals import Proposal
from remjax.methods.row import Particles
from remjax.methods.signals import StandIn
from remjax.particles.covariances import Covariance
from remjax.types import Batch, Estimator, Model, Recognition

MethodOf = Callable[..., Method]

# What a knob that is no number or switch can be; a baseline is made of the settings of a run.
_NAMED: tuple[tuple[Any, Mapping[str, Any]], ...] = (
    (Covariance, {name: make() for name, make in COVARIANCES.items()}),
    (Proposal, PROPOSALS),
    (Signals, SIGNALS),
    (StandIn, STAND_INS),
)


def _public() -> Iterator[tuple[str, Method | MethodOf]]:
    """The methods of the library, family by family: values, and functions that need no argument."""
    for name, value in vars(methods).items():
        if isinstance(value, Method):
            yield name, value
        elif inspect.isfunction(value) and typing.get_type_hints(value).get("return") is Method:
            parameters = inspect.signature(value).parameters.values()
            if all(one.default is not inspect.Parameter.empty for one in parameters):
                yield name, value


METHODS: Mapping[str, Method | MethodOf] = {**dict(_public()), "rem_v1_leaky": rem_v1_leaky}


class Knob(NamedTuple):
    """An option that some methods have and others have not.

    Attributes:
        kind: of its values: int, float or bool; str for the names of a table.
        table: from these names to values.
        meaning: in words, with the default and the methods that have it.
        methods: their names.
    """

    kind: type
    table: Mapping[str, Any] | None
    meaning: str
    methods: tuple[str, ...]


def default_of(name: str) -> Method:
    """The method of that name with the defaults of its knobs.

    Raises:
        InputError: for an unknown name.
    """
    method = look_up(METHODS, "method", name)
    return method if isinstance(method, Method) else method()


def knobs() -> dict[str, Knob]:
    """The knobs of all methods but their baselines, by the name of the argument."""
    found: dict[str, list[str]] = {}
    for name, method in METHODS.items():
        for argument in _arguments(method):
            found.setdefault(argument, []).append(name)
    return {argument: _knob(argument, tuple(names)) for argument, names in found.items()}


def accepts(method: str, option: str) -> bool:
    """Whether the method has this option: a knob of its own, or one of its particles."""
    if option == "keep":
        return default_of(method).keeps
    if option in ("num_particles", "chunk_size"):
        return True
    return option in _parameters(look_up(METHODS, "method", method))


def build_estimator(
    method: str, model: Model, recognition: Recognition, options: Mapping[str, Any]
) -> Estimator:
    """The estimator of a --method with the options that were set (None: not set).

    Raises:
        InputError: for an unknown method or an option that the method does not have.
    """
    chosen = {option: value for option, value in options.items() if value is not None}
    for option in chosen:
        if not accepts(method, option):
            raise InputError(f"--{option} does nothing for --method={method}: leave it out")
    names = ("num_particles", "keep", "chunk_size")
    particles = Particles(**{name: chosen.pop(name) for name in names if name in chosen})
    value = look_up(METHODS, "method", method)
    if "hyperproposal" in chosen:
        # Where it is made of s, s is matched as it is for theta.
        chosen["hyperproposal"] = chosen["hyperproposal"](chosen.get("covariance"))
    value = value if isinstance(value, Method) else value(**chosen)
    return make_estimator(model, recognition, value, particles)


def particles_scored(estimator: Estimator, data_size: int) -> int:
    """Decoder passes without gradient per datapoint and step, as the estimator counts them."""

    def scored(key: jax.Array) -> jax.Array:
        params, state = estimator.init(key)
        batch = Batch(jnp.zeros((1, data_size)), jnp.zeros(1, int))
        return estimator.estimate(params, state, key, batch)[0].metrics["scored"]

    return int(jax.jit(scored)(jax.random.key(0)))


def _parameters(method: Method | MethodOf) -> Mapping[str, inspect.Parameter]:
    return {} if isinstance(method, Method) else inspect.signature(method).parameters


def _arguments(method: Method | MethodOf) -> list[str]:
    """The arguments that are knobs: all but a baseline."""
    if isinstance(method, Method):
        return []
    hints = typing.get_type_hints(method)
    return [name for name in _parameters(method) if not _is(hints[name], BaselineOf)]


def _is(hint: Any, kind: Any) -> bool:
    """Whether a hint is that kind, or that kind or None."""
    return hint == kind or kind in typing.get_args(hint)


def _knob(argument: str, names: tuple[str, ...]) -> Knob:
    texts: dict[str, list[str]] = {}
    for name in names:
        texts.setdefault(_text(argument, name), []).append(name)
    meaning = next(iter(texts))
    if len(texts) > 1:
        meaning = "; ".join(f"{text} ({', '.join(having)})" for text, having in texts.items())
    hint = _hint(argument, names[0])
    table = next((table for kind, table in _NAMED if _is(hint, kind)), None)
    if table is not None:
        meaning += f": {', '.join(table)}"
    default = _parameters(METHODS[names[0]])[argument].default
    if default is not None:
        meaning += f" (default {_shown(default, table)})"
    return Knob(
        kind=hint if table is None else str,
        table=table,
        meaning=f"{meaning}; for {', '.join(names)}",
        methods=names,
    )


def _hint(argument: str, name: str) -> Any:
    return typing.get_type_hints(METHODS[name])[argument]


def _text(argument: str, name: str) -> str:
    """The first sentence of what the docstring of a method says of an argument."""
    documented = docstring_parser.parse(inspect.getdoc(METHODS[name]) or "").params
    text = next(one.description or "" for one in documented if one.arg_name == argument)
    return " ".join(text.split()).partition(". ")[0].rstrip(".")


def _shown(default: Any, table: Mapping[str, Any] | None) -> str:
    if table is not None:
        # A proposal by itself stands in the table as what gives it for a covariance.
        same = (name for name, value in table.items() if default in (value, _given(value)))
        return next(same)
    return (
        {True: "on", False: "off"}.get(default, str(default))
        if isinstance(default, bool)
        else str(default)
    )


def _given(value: Any) -> Any:
    """What a proposal of the table is without a covariance."""
    return value(None) if value in PROPOSALS.values() else None
