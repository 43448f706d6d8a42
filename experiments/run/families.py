"""Families of methods read from the library: their names, and their knobs.

A method is a public value of a module, or a function that returns one; its knobs are the arguments
of that function, with their defaults and docstrings.
"""

import inspect
import re
import types
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import docstring_parser

from experiments.run.choices import COVARIANCES, PROPOSALS, SIGNALS, STAND_INS
from remjax.methods.baselines import BaselineOf
from remjax.methods.nvil import Signals
from remjax.methods.proposals import Proposal
from remjax.methods.signals import StandIn
from remjax.particles.covariances import Covariance

# What a knob that is no number or switch can be; a baseline is made of the settings of a run.
_NAMED: tuple[tuple[Any, Mapping[str, Any]], ...] = (
    (Covariance, {name: make() for name, make in COVARIANCES.items()}),
    (Proposal, PROPOSALS),
    (Signals, SIGNALS),
    (StandIn, STAND_INS),
)


def _no_options(_: Any) -> Collection[str]:
    return ()


class Family(NamedTuple):
    """The methods that fit one kind of model.

    Attributes:
        kind: the type of each as a value.
        methods: name -> the value, or a function of its knobs that returns it.
        row: the value -> its cells in the table of methods, column by column.
        legend: what the columns mean.
        options: the value -> the settings that it has besides its knobs, among those that only
            some methods have.
    """

    kind: type
    methods: Mapping[str, Any]
    row: Callable[[Any], Mapping[str, str]]
    legend: str
    options: Callable[[Any], Collection[str]] = _no_options

    def default_of(self, name: str) -> Any:
        """The method of that name with the defaults of its knobs."""
        method = self.methods[name]
        return method if isinstance(method, self.kind) else method()

    def accepts(self, name: str, option: str) -> bool:
        """Whether the method has this option: a knob of its own, or another setting."""
        knobs = parameters(self.methods[name])
        return option in knobs or option in self.options(self.default_of(name))

    def with_knobs(self, name: str, knobs: Mapping[str, Any]) -> Any:
        """The method as a value; a method without knobs takes none.

        Raises:
            InputError: for a value that a knob cannot have.
        """
        method = self.methods[name]
        return method if isinstance(method, self.kind) else method(**knobs)


def public(namespace: types.ModuleType, kind: type) -> dict[str, Any]:
    """The public methods of a module: values, and functions that need no argument."""
    return {
        name: value
        for name, value in vars(namespace).items()
        if not name.startswith("_") and _makes(value, kind)
    }


def _makes(value: Any, kind: type) -> bool:
    if not inspect.isfunction(value):
        return isinstance(value, kind)
    if typing.get_type_hints(value).get("return") is not kind:
        return False
    return all(one.default is not inspect.Parameter.empty for one in parameters(value).values())


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


def knobs_of(methods: Mapping[str, Any]) -> dict[str, Knob]:
    """The knobs of all these methods but their baselines, by the name of the argument."""
    found: dict[str, list[str]] = {}
    for name, method in methods.items():
        for argument in _arguments(method):
            found.setdefault(argument, []).append(name)
    return {argument: _knob(argument, methods, names) for argument, names in found.items()}


def parameters(method: Any) -> Mapping[str, inspect.Parameter]:
    """Of the function that makes a method; a value has none."""
    return inspect.signature(method).parameters if inspect.isfunction(method) else {}


def _arguments(method: Any) -> list[str]:
    """The arguments that are knobs: all but a baseline."""
    names = parameters(method)
    return [name for name in names if not _is(_hint(method, name), BaselineOf)]


def _is(hint: Any, kind: Any) -> bool:
    """Whether a hint is that kind, or that kind or None."""
    return hint == kind or kind in typing.get_args(hint)


def _knob(argument: str, methods: Mapping[str, Any], names: list[str]) -> Knob:
    """The knob of the methods of these names."""
    having = {name: methods[name] for name in names}
    hint = _hint(having[names[0]], argument)
    table = next((table for kind, table in _NAMED if _is(hint, kind)), None)
    meaning = _meaning(argument, having)
    if table is not None:
        meaning += f": {', '.join(table)}"
    meaning += _defaults(argument, having, table)
    return Knob(
        kind=hint if table is None else str,
        table=table,
        meaning=f"{meaning}; for {', '.join(names)}",
        methods=tuple(names),
    )


def _hint(method: Any, argument: str) -> Any:
    return typing.get_type_hints(method)[argument]


def _meaning(argument: str, having: Mapping[str, Any]) -> str:
    """What the methods' docstrings say of an argument, each text once."""
    texts: dict[str, list[str]] = {}
    for name, method in having.items():
        texts.setdefault(_text(argument, method), []).append(name)
    if len(texts) == 1:
        return next(iter(texts))
    return "; ".join(f"{text} ({', '.join(names)})" for text, names in texts.items())


def _text(argument: str, method: Any) -> str:
    """The first sentence of what the docstring of a method says of an argument."""
    documented = docstring_parser.parse(inspect.getdoc(method) or "").params
    text = next(one.description or "" for one in documented if one.arg_name == argument)
    # A name such as Burda et al. (2015) is no end of a sentence.
    return re.split(r"\.\s+(?=[A-Z])", " ".join(text.split()))[0].rstrip(".")


def _defaults(argument: str, having: Mapping[str, Any], table: Mapping[str, Any] | None) -> str:
    """The default of the first method, in brackets, with those that differ from it.

    Nothing where that is None: the docstring says what it means.
    """
    names: dict[str | None, list[str]] = {}
    for name, method in having.items():
        default = parameters(method)[argument].default
        shown = None if default is None else _shown(default, table)
        names.setdefault(shown, []).append(name)
    first, *others = names
    if first is None:
        return ""
    texts = [f"{other} for {', '.join(names[other])}" for other in others if other is not None]
    return f" (default {'; '.join([first, *texts])})"


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
