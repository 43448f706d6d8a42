"""Every method of the library with the defaults of its knobs, by its name."""

import inspect
import typing

from remjax import methods
from remjax.methods import Method


def every_method() -> dict[str, Method]:
    """Public values, and functions that need no argument."""
    found = {}
    for name, value in vars(methods).items():
        if isinstance(value, Method):
            found[name] = value
        elif inspect.isfunction(value) and typing.get_type_hints(value).get("return") is Method:
            parameters = inspect.signature(value).parameters.values()
            if all(one.default is not inspect.Parameter.empty for one in parameters):
                found[name] = value()
    return found
