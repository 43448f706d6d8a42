"""What a machine must be where it enters functions that measure it."""

from typing import Any

import jax
import numpy as np

from remjax.boltzmann.machine import Machine
from remjax.boltzmann.rbm import RBM
from remjax.data.checks import is_concrete
from remjax.errors import InputError


def check_machine(machine: Any) -> None:
    """A machine, and its parameters finite: log Z of others would be NaN without a word.

    Raises:
        InputError: for anything else, or naming the parameters. Traced ones are not looked at.
    """
    if not isinstance(machine, Machine):
        raise InputError(
            f"{type(machine).__name__} is no machine: give an RBM or a PairwiseMachine"
        )
    for place, leaf in jax.tree_util.tree_leaves_with_path(machine):
        if is_concrete(leaf) and not np.isfinite(np.asarray(leaf)).all():
            values = np.asarray(leaf)
            name = jax.tree_util.keystr(place, simple=True, separator=".")
            raise InputError(
                f"{name} of the machine holds {values[~np.isfinite(values)][0]:g}: give finite "
                "parameters, as learning at a lower rate leaves them"
            )


def check_rbm(machine: Any, mend: str) -> None:
    """An RBM, and no machine on a graph, or array, or record with a machine in it.

    Args:
        machine: what should be one.
        mend: what to do about another, as the end of a sentence.

    Raises:
        InputError: naming what came, and the mend.
    """
    if not isinstance(machine, RBM):
        raise InputError(f"{type(machine).__name__} is no RBM: {mend}")
