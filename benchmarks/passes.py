"""How many particles a number of decoder passes buys."""

from collections.abc import Callable

from remjax.errors import InputError


def affordable(scored: Callable[[int], int], passes: int) -> int:
    """The largest K whose passes are no more than so many; they are affine in K.

    Args:
        scored: K -> the decoder passes of one datapoint and step.
        passes: how many there may be.

    Raises:
        InputError: where no particle is left.
    """
    few, more = (scored(count) for count in (2, 4))
    found = 2 + (passes - few) // ((more - few) // 2)
    if found < 1:
        raise InputError(f"--passes={passes} leaves no particle: the method takes {few} for two")
    return found
