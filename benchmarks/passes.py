"""How many particles a number of decoder passes buys."""

from collections.abc import Callable

from remjax.errors import InputError


def affordable(scored: Callable[[int], int], passes: int) -> int:
    """The largest K whose passes are no more than so many.

    Args:
        scored: K -> the decoder passes of one datapoint and step: affine in K, or so on either side
            of the K at which a method falls back to another.
        passes: how many there may be.

    Raises:
        InputError: where no particle is left.
    """
    few, more = (scored(count) for count in (2, 4))
    found = 2 + (passes - few) // ((more - few) // 2)
    if found < 1:
        raise InputError(f"--passes={passes} leaves no particle: the method takes {few} for two")
    if scored(found) <= passes:
        return found
    least, most = 1, found
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (middle, most) if scored(middle) <= passes else (least, middle)
    return least
