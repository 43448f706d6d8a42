"""A group: the same work in several implementations, and what its rows say of it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.peers.work import Implementation
from remjax.errors import InputError

# What a row says of the size of the work, and how tables and pictures call it.
SIZES: Mapping[str, str] = {
    "batch_size": "B",
    "num_particles": "K",
    "num_chains": "chains",
    "num_visible": "V",
    "num_hidden": "H",
}


class Form(NamedTuple):
    """One of our ways to do the work.

    Attributes:
        name: what tells it from the others of its group.
        columns: what its rows, and those of the peers that it is compared with, say of it.
        implementation: of ours.
    """

    name: str
    columns: Mapping[str, Any]
    implementation: Implementation


class Group(NamedTuple):
    """Implementations that are timed in turn.

    Attributes:
        name: of the work, the column `method`.
        sizes: of the work, by the names in `SIZES`.
        steps: the work of one run is so many steps, and a row has the time of one.
        forms: ours.
        peers: by name.
    """

    name: str
    sizes: Mapping[str, int]
    steps: int
    forms: Sequence[Form]
    peers: Mapping[str, Implementation]


def numbers(flag: str, text: str, names: Sequence[str], example: str) -> list[int]:
    """The positive whole numbers of a size, as 20x1000.

    Args:
        flag: of the command line, for the error.
        text: what it was given.
        names: of the numbers, in their order.
        example: of such a size.

    Raises:
        InputError: for anything else.
    """
    parts = text.split("x")
    if len(parts) != len(names) or not all(part.isdecimal() and int(part) for part in parts):
        raise InputError(f"--{flag}={text} is no {' x '.join(names)}: write it as {example}")
    return [int(part) for part in parts]
