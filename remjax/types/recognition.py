"""What a recognition network is, and what it may remember of each datapoint."""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jax import lax
from jaxtyping import Array, Key, PyTree

from remjax.distributions.base import Distribution
from remjax.errors import InputError
from remjax.types.arrays import Datapoint, Params


class Memory(NamedTuple):
    """What is remembered of each datapoint from one visit to the next: Markov chains, say.

    A training step gathers the memories of its batch. The estimate advances them, without gradient,
    by what the network says of x, and shows them to that same distribution (`Recognition.visit`).
    The step writes them back; where the update is skipped they stay as they were. They are arrays
    of any type; bits (bool) are stored eight to the byte.

    Attributes:
        init: key -> the memory of one datapoint that was never visited, a pytree of arrays.
        advance: (params, key, x, r, memory) -> the memory of that datapoint at this visit, where r
            is `Recognition.distribution(eta, x)`: the network need not be run for it again.
    """

    init: Callable[[Key[Array, ""]], PyTree[Array]]
    advance: Callable[
        [Params, Key[Array, ""], Datapoint, Distribution, PyTree[Array]], PyTree[Array]
    ]


class Recognition(NamedTuple):
    """A recognition network r_eta(z | x), a pure function of ONE x.

    Attributes:
        init: key -> eta.
        distribution: (eta, x) -> the distribution r_eta(. | x).
        memory: what it remembers of each datapoint, if anything.
    """

    init: Callable[[Key[Array, ""]], PyTree]
    distribution: Callable[[PyTree, Datapoint], Distribution]
    memory: Memory | None = None

    def r(self, eta: PyTree, x: Datapoint) -> Distribution:
        """The distribution r_eta(. | x), without a memory of x.

        Raises:
            InputError: where `distribution` returns something else.
        """
        r = self.distribution(eta, x)
        if not isinstance(r, Distribution):
            raise InputError(
                f"Recognition.distribution returns a {type(r).__name__}: return a "
                "remjax.Distribution, such as remjax.DiagonalGaussian(loc, scale)"
            )
        return r

    def visit(
        self,
        r: Distribution,
        params: Params,
        key: Key[Array, ""],
        x: Datapoint,
        memory: PyTree[Array],
    ) -> tuple[Distribution, PyTree[Array]]:
        """r at what is remembered of x after this visit, and that memory, which has no gradient.

        Args:
            r: what `r` gives for x.
            params: of which the memory may make use.
            key: of the advance. Consumed.
            x: the datapoint.
            memory: as the last visit left it; () for a datapoint of which nothing is remembered.
        """
        if self.memory is None or not jax.tree.leaves(memory):
            return r, memory
        seen = lax.stop_gradient((params, r))
        memory = lax.stop_gradient(self.memory.advance(seen[0], key, x, seen[1], memory))
        return r.at(memory), memory
