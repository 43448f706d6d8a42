"""Boltzmann machines on any graph, drawn by its colours."""

import dataclasses
import functools
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from remjax.boltzmann.families import Bits, Family
from remjax.boltzmann.machine import Machine, check_count, check_width
from remjax.boltzmann.machine_checks import check_rbm
from remjax.boltzmann.parameters import as_parameters
from remjax.boltzmann.pytrees import frozen_pytree
from remjax.boltzmann.rbm import RBM
from remjax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Graph:
    """Units, the edges between them, and a colouring: no edge joins two units of one colour.

    Attributes:
        num_units: N.
        edges: pairs of units.
        colors: the units of each colour, which are drawn together.
    """

    num_units: int
    edges: tuple[tuple[int, int], ...]
    colors: tuple[tuple[int, ...], ...]

    @functools.cached_property
    def places(self) -> np.ndarray:
        """[E, 2], the edges as an array."""
        return np.asarray(self.edges, np.int32).reshape(-1, 2)

    @functools.cached_property
    def others(self) -> tuple[np.ndarray, ...]:
        """For each colour, the units of all others."""
        return tuple(np.setdiff1d(np.arange(self.num_units), color) for color in self.colors)

    def __hash__(self) -> int:
        """Of all fields, computed once: a compiled function asks for it at every call."""
        return self._hash

    @functools.cached_property
    def _hash(self) -> int:
        return hash((self.num_units, self.edges, self.colors))


def make_graph(num_units: int, edges: Iterable[tuple[int, int]] | Int[np.ndarray, "E 2"]) -> Graph:
    """A graph with a colouring: units of most neighbours first, each the first colour that is free.

    Args:
        num_units: N.
        edges: pairs of units, in any order, each a whole number.

    Raises:
        InputError: for no units, an edge that is no pair of whole numbers, one from a unit to
            itself, one that comes twice, or a unit that is none.
    """
    check_count("num_units", num_units)
    pairs = [_pair(edge) for edge in edges]
    found: set[tuple[int, int]] = set()
    neighbours: list[set[int]] = [set() for _ in range(num_units)]
    for first, second in pairs:
        if not (0 <= first < num_units and 0 <= second < num_units) or first == second:
            raise InputError(
                f"the edge ({first}, {second}) cannot be: it joins two of the units 0 to "
                f"{num_units - 1}"
            )
        edge = (min(first, second), max(first, second))
        if edge in found:
            raise InputError(f"the edge {edge} comes twice: give it once")
        found.add(edge)
        neighbours[first].add(second)
        neighbours[second].add(first)
    color = np.full(num_units, -1)
    for unit in sorted(range(num_units), key=lambda one: -len(neighbours[one])):
        taken = {color[other] for other in neighbours[unit]}
        color[unit] = next(c for c in range(num_units) if c not in taken)
    colors = tuple(
        tuple(np.flatnonzero(color == one).tolist()) for one in range(color.max(initial=-1) + 1)
    )
    return Graph(num_units, tuple(sorted(found)), colors)


def _pair(edge: Any) -> tuple[int, int]:
    """Two whole numbers, of Python or NumPy."""
    try:
        first, second = map(operator.index, edge)
    except (TypeError, ValueError) as error:
        shown = tuple(edge) if isinstance(edge, Iterable) else edge
        raise InputError(
            f"the edge {shown} cannot be: give pairs of units, as whole numbers"
        ) from error
    return first, second


def complete_graph(num_units: int) -> Graph:
    """Every unit with every other: as many colours as units.

    Raises:
        InputError: for no units.
    """
    check_count("num_units", num_units)
    pairs = ((first, second) for second in range(num_units) for first in range(second))
    return make_graph(num_units, pairs)


def grid_graph(height: int, width: int) -> Graph:
    """A square lattice with open ends, unit r * width + c at row r and column c: two colours.

    Raises:
        InputError: for no rows or no columns.
    """
    check_count("height", height)
    check_count("width", width)
    number = np.arange(height * width).reshape(height, width)
    across = zip(number[:, :-1].ravel().tolist(), number[:, 1:].ravel().tolist(), strict=True)
    down = zip(number[:-1].ravel().tolist(), number[1:].ravel().tolist(), strict=True)
    return make_graph(height * width, [*across, *down])


@frozen_pytree
@dataclasses.dataclass(frozen=True)
class PairwiseMachine(Machine[Float[Array, "... N"]]):
    """A Boltzmann machine (Ackley et al. 1985): p(z) = exp(-E(z)) / Z, z bits [N].

    E(z) = -(sum_i bias_i z_i + sum_{edges (i, j)} coupling_ij z_i z_j).

    A colour is drawn by one product with the dense matrix of couplings: for graphs of up to some
    thousands of units.

    Attributes:
        couplings: one for each edge of the graph, in its order.
        bias: [N].
        graph: edges and colours.
    """

    couplings: Float[Array, " E"]
    bias: Float[Array, " N"]
    graph: Graph = dataclasses.field(metadata={"static": True})

    def __post_init__(self) -> None:
        edges, units = len(self.graph.edges), self.graph.num_units
        if (np.shape(self.couplings), np.shape(self.bias)) != ((edges,), (units,)):
            raise InputError(
                f"couplings of the shape {np.shape(self.couplings)} and a bias of the shape "
                f"{np.shape(self.bias)} for {edges} edges and {units} units: give one for each"
            )
        couplings, bias = as_parameters(self.couplings, self.bias)
        object.__setattr__(self, "couplings", couplings)
        object.__setattr__(self, "bias", bias)

    @property
    def widths(self) -> int:
        """N."""
        return self.graph.num_units

    @property
    def matrix(self) -> Float[Array, "N N"]:
        """The couplings as a symmetric matrix."""
        first, second = self.graph.places.T
        blank = jnp.zeros((self.graph.num_units, self.graph.num_units), self.couplings.dtype)
        upper = blank.at[first, second].set(self.couplings)
        return upper + upper.T

    @property
    def families(self) -> Sequence[Family]:
        """Bits."""
        return (Bits(),) * len(self.graph.colors)

    @property
    def sizes(self) -> Sequence[int]:
        """The number of units of each colour."""
        return tuple(len(color) for color in self.graph.colors)

    @property
    def biases(self) -> Sequence[Float[Array, " _"]]:
        """Those of each colour."""
        return tuple(self.bias[np.asarray(color)] for color in self.graph.colors)

    def field(self, block: int, units: Float[Array, "... N"]) -> Float[Array, "... n"]:
        """bias_i + sum_j coupling_ij z_j of the units of a colour."""
        check_width("units", units.shape, self.graph.num_units)
        color, others = np.asarray(self.graph.colors[block]), self.graph.others[block]
        return units[..., others] @ self.matrix[others[:, None], color] + self.bias[color]

    def rest(self, block: int, units: Float[Array, "... N"]) -> Float[Array, "..."]:
        """The terms of all other colours."""
        others = self.graph.others[block]
        z = units[..., others]
        pairs = 0.5 * jnp.sum(z * (z @ self.matrix[others[:, None], others]), axis=-1)
        return pairs + z @ self.bias[others]

    def values(self, block: int, units: Float[Array, "... N"]) -> Float[Array, "... n"]:
        """The units of a colour."""
        return units[..., np.asarray(self.graph.colors[block])]

    def units(self, values: Sequence[Float[Array, "... _"]]) -> Float[Array, "... N"]:
        """All colours put together."""
        places = np.concatenate([np.asarray(color) for color in self.graph.colors])
        return jnp.concatenate(values, axis=-1)[..., np.argsort(places)]

    def with_values(
        self, block: int, units: Float[Array, "... N"], values: Float[Array, "... n"]
    ) -> Float[Array, "... N"]:
        """The units of a colour replaced."""
        return units.at[..., np.asarray(self.graph.colors[block])].set(values)


def as_pairwise(rbm: RBM) -> PairwiseMachine:
    """An RBM of bits as a machine on its bipartite graph: units 0 to V - 1 are the visible ones.

    Raises:
        InputError: for what is no RBM, or units that are no bits.
    """
    check_rbm(rbm, "give one, whose graph is bipartite")
    if not all(isinstance(family, Bits) for family in rbm.families):
        raise InputError("machines on graphs are of bits, and this one has real units: leave it")
    num_visible, num_hidden = rbm.sizes
    edges = [(i, num_visible + j) for i in range(num_visible) for j in range(num_hidden)]
    graph = make_graph(num_visible + num_hidden, edges)
    first, second = graph.places.T
    return PairwiseMachine(
        rbm.weights[first, second - num_visible], jnp.concatenate(rbm.biases), graph
    )
