"""What the fields of settings have in common: a meaning, and refusals of one line."""

import contextlib
import dataclasses
import re
import types
import typing
from collections.abc import Callable, Collection, Iterator
from typing import Any

from absl import flags

from remjax.errors import InputError


class Checked:
    """The last of the classes that settings are made of: each checks its own and calls the next."""

    def __post_init__(self) -> None:
        """Nothing is left to check."""


def setting(default: Any, meaning: str, again: str | None = None) -> Any:
    """A field of settings.

    Args:
        default: of its flag.
        meaning: the help of its flag of `experiments.train`.
        again: the help of its flag of `experiments.evaluate`, if an evaluation may have another
            value of it than the run.
    """
    return dataclasses.field(default=default, metadata={"meaning": meaning, "again": again})


def define(field: dataclasses.Field) -> Callable[..., Any]:
    """What defines a flag for values of a field's kind: (name, default, meaning) -> the flag."""
    kind: Any = field.type
    if isinstance(kind, types.UnionType):
        kind = next(k for k in typing.get_args(kind) if k is not types.NoneType)
    return {
        str: flags.DEFINE_string,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        bool: flags.DEFINE_bool,
    }[kind]


def require_positive(settings: Any, flags: str) -> None:
    """Check some settings, their names separated by spaces; None passes.

    Raises:
        InputError: for a number that is not positive, or that no compiled program can count to.
    """
    for flag in flags.split():
        value = getattr(settings, flag)
        if value is not None and not value > 0:
            raise InputError(f"--{flag}={value} cannot be: give a positive number")
        if value is not None and value >= 2**31:  # a compiled program counts in 32 bits
            raise InputError(f"--{flag}={value} is too large: give less than 2^31")


@contextlib.contextmanager
def said_of(flag: str) -> Iterator[None]:
    """What the library refuses within the block, said of a flag: it knows none by name.

    Raises:
        InputError: that of the library, after the flag and its value.
    """
    try:
        yield
    except InputError as error:
        raise InputError(f"{flag} cannot be: {error}") from error


@contextlib.contextmanager
def said_of_flags(names: Collection[str]) -> Iterator[None]:
    """What the library refuses of an argument within the block, said of the flag of that name.

    "num_chains is 0: ..." and "give num_particles=2" get the dashes of a flag; what has them
    already stays.

    Args:
        names: of the flags whose values are arguments.

    Raises:
        InputError: that of the library.
    """
    try:
        yield
    except InputError as error:
        name = "|".join(names)
        flag = rf"^(?:{name})(?= is )|(?<![-\w])(?:{name})(?==\d)"
        raise InputError(re.sub(flag, r"--\g<0>", str(error))) from error
