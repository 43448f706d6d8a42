"""Every method of the library with the defaults of its knobs, by its name.

But for the knob by which a method would fall back to another.
"""

import inspect
import math
import typing

from remjax import methods
from remjax.methods import Method

NO_FALLBACK = {"largest_cost": math.inf}


def every_method() -> dict[str, Method]:
    """Public values, and functions that need no argument."""
    found = {}
    for name, value in vars(methods).items():
        if isinstance(value, Method):
            found[name] = value
        elif inspect.isfunction(value) and typing.get_type_hints(value).get("return") is Method:
            names = inspect.signature(value).parameters
            if all(one.default is not inspect.Parameter.empty for one in names.values()):
                found[name] = value(**{k: v for k, v in NO_FALLBACK.items() if k in names})
    return found
