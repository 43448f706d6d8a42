"""Batch statistics: what a network with batch normalisation takes from a batch, and remembers.

Models and recognition networks are functions of ONE datapoint. In training they are mapped over the
datapoints of a batch by an axis with a name, so that a network can average over the batch; wherever
that axis has no name, in evaluation for instance, the network uses what it remembers: leaves of its
parameters without a gradient, which the training step brings up to date. This file knows of no
network library: `models.networks` reports, the training step collects.
"""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import NamedTuple, TypeVar

import jax
from jax import lax
from jaxtyping import Array

from remjax import sharding
from remjax.errors import InputError

P = TypeVar("P")
V = TypeVar("V")

# The axis of the datapoints of a training batch.
DATAPOINTS = "datapoints"


class _Report(NamedTuple):
    """The statistics of one network as it was given them, and how to read them once it has run."""

    given: Sequence[Array]
    after: Callable[[], Sequence[Array]]


_REPORTS: ContextVar[list[_Report] | None] = ContextVar("reports", default=None)


def batch_axes() -> tuple[str, ...]:
    """The names of the axes that a training batch lies on here; none outside of training."""
    try:
        lax.axis_size(DATAPOINTS)
    except NameError:
        return ()
    return (DATAPOINTS, *sharding.batch_axes())


def report(given: Sequence[Array], after: Callable[[], Sequence[Array]]) -> None:
    """A network with statistics says so, each time that it is made of its parameters.

    Args:
        given: its statistics among the parameters, the very arrays that it was given.
        after: gives the new ones in the same order; called after the network has run.
    """
    reports = _REPORTS.get()
    if reports is not None:
        reports.append(_Report(given, after))


def observed(function: Callable[[P], V], params: P) -> tuple[V, dict[int, Array]]:
    """function(params), and the statistics after it: the number of each leaf and its value.

    Args:
        function: runs networks made of the parameters.
        params: a pytree of arrays.

    Raises:
        InputError: for a network whose statistics are not leaves of `params`: they could not be
            remembered.
    """
    token = _REPORTS.set([])
    try:
        value = function(params)
        reports = _REPORTS.get() or []
    finally:
        _REPORTS.reset(token)
    # By identity: a leaf is known by nothing else to a network that was given a part of the tree.
    places = {id(leaf): place for place, leaf in enumerate(jax.tree.leaves(params))}
    changes = {}
    for given, after in reports:
        for old, new in zip(given, after(), strict=True):
            if id(old) not in places:
                raise InputError(
                    "a network with batch statistics was made of arrays that are not theta's or "
                    "eta's own: give `bind` the parameters as `init` made them"
                )
            changes[places[id(old)]] = lax.stop_gradient(new)
    return value, changes


def replaced(params: P, changes: dict[int, Array]) -> P:
    """The parameters with the leaves of these numbers replaced."""
    leaves, structure = jax.tree.flatten(params)
    return jax.tree.unflatten(structure, [changes.get(n, leaf) for n, leaf in enumerate(leaves)])


def leaves_of(params: object, changes: dict[int, Array]) -> dict[int, Array]:
    """The leaves of the parameters that would be replaced."""
    leaves = jax.tree.leaves(params)
    return {place: leaves[place] for place in changes}
