"""Sequences of different lengths as the rows of one array."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Num

from remjax.errors import InputError


def padded(sequences: Sequence[Num[np.ndarray, "..."]]) -> Float[np.ndarray, "N T X"]:
    """Sequences [T_n, X] as [N, T, X], T the longest, rows of NaN after the end of the others.

    Args:
        sequences: one or more, each of one step or more, all with the same X.

    Raises:
        InputError: for something else.
    """
    if not sequences:
        raise InputError("there are no sequences: give one or more, each [T, X]")
    width = sequences[0].shape[-1] if sequences[0].ndim == 2 else 0
    for place, one in enumerate(sequences):
        if one.ndim != 2 or one.shape[0] == 0 or one.shape[1] != width:
            raise InputError(
                f"sequence {place} has the shape {one.shape}: give [T, X], of one step or more, X "
                "the same for all"
            )
    longest = max(len(one) for one in sequences)
    out = np.full((len(sequences), longest, width), np.nan, np.float32)
    for row, one in zip(out, sequences, strict=True):
        row[: len(one)] = one
    return out
