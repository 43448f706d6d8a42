"""Directed posteriors in groups whose particles are told what they are: bits, and machines."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, Key, PyTree

from experiments.enumeration.machine_posteriors import (
    SIZE,
    STATES,
    STRAIGHT,
    Kind,
    generic,
    named,
    number,
    with_gradient_of_mean,
)
from remjax.boltzmann import RBM, EnumeratedMachine
from remjax.boltzmann.pytrees import frozen_pytree
from remjax.distributions import Groups, RelaxedBernoulli
from remjax.distributions.base import Distribution, Drawn


@dataclasses.dataclass(frozen=True)
class _BitsOfGroup(RelaxedBernoulli):
    """Independent straight-through bits that are told what they are."""

    told: Float[Array, " D"] | None = None

    def rsample(self, key: Key[Array, ""]) -> Float[Array, " D"]:
        assert self.told is not None
        return with_gradient_of_mean(self.told, self.logits)


jax.tree_util.register_dataclass(
    _BitsOfGroup, data_fields=["logits", "told"], meta_fields=["relaxation"]
)


@frozen_pytree
@dataclasses.dataclass(frozen=True)
class _MachineOfGroup(EnumeratedMachine):
    """A machine of straight-through bits that are told what they are."""

    told: Float[Array, " D"] | None = None

    def _uniforms(self, key: Key[Array, ""]) -> Float[Array, " D"]:
        assert self.told is not None
        return 1.0 - self.told  # 0 makes a one of a bit, and 1 a zero, whatever its odds


@dataclasses.dataclass(frozen=True)
class _Grouped(Groups):
    """Groups of straight-through bits, particle k the one that is assigned to it."""

    assigned: Float[Array, "K D"] | None = None

    # The draws are bits, at which any method may learn from scores; some follow them besides.
    is_relaxed = False

    def at(self, memory: PyTree[Array]) -> "_Grouped":
        return dataclasses.replace(self, assigned=memory[1])

    def particle(self, key: Key[Array, ""], index: Int[Array, ""]) -> Drawn:
        assert self.assigned is not None
        z = self.assigned[index]
        return Drawn(z, named(index), lax.stop_gradient(self.log_prob(z)))

    def _drawn(self, key: Key[Array, ""], draw: Any) -> tuple[list[Any], list[Array]]:
        assert self.assigned is not None
        bits = self.layers(self.assigned[number(key)])
        conditioned: list[Any] = []
        drawn: list[Array] = []
        for place, group in enumerate(bits):
            layer: Any = self.conditionals[place - 1](tuple(drawn)) if place else self.first
            conditioned.append(dataclasses.replace(layer, told=group))
            drawn.append(draw(conditioned[-1], key))
        return conditioned, drawn


jax.tree_util.register_dataclass(
    _Grouped,
    data_fields=["first", "conditionals", "assigned"],
    meta_fields=["top_down", "sizes", "num_smoothed"],
)


def _output(params: Sequence[Array], before: tuple[Array, ...]) -> Float[Array, " O"]:
    bias, *weights = params
    return bias + sum(jnp.concatenate(before) @ one for one in weights)


def _bits(params: Sequence[Array], before: tuple[Array, ...]) -> _BitsOfGroup:
    return _BitsOfGroup(_output(params, before), STRAIGHT)


def _machine(params: Sequence[Array], before: tuple[Array, ...]) -> _MachineOfGroup:
    """One bit on each side."""
    coupling, *biases = jnp.split(_output(params, before), 3)
    return _MachineOfGroup(RBM(coupling[None], *biases), STRAIGHT)


def _groups(count: int, name: str, group: Callable[..., Distribution], num_outputs: int) -> Kind:
    """So many groups, those of the second side at their means where they are smoothed."""
    size = SIZE // count
    eta = [
        [generic((num_outputs,), 20 + place)]
        + [generic((place * size, num_outputs), 30 + place)] * (place > 0)
        for place in range(count)
    ]

    def make(eta: Any) -> _Grouped:
        others = tuple(Partial(group, params) for params in eta[1:])
        sizes = (size,) * count
        return _Grouped(group(eta[0], ()), others, sizes=sizes, num_smoothed=max(count // 2, 1))

    def log_q(eta: Any) -> Float[Array, " C"]:
        return jax.vmap(make(eta).log_prob)(STATES)

    def draws(eta: Any) -> tuple[Array, Array, Array]:
        return jnp.zeros((len(STATES), 1), bool), STATES, jnp.exp(log_q(eta))

    return Kind(f"{count} {name}", STATES, eta, make, log_q, draws)


TWO_GROUPS, FOUR_GROUPS = _groups(2, "groups", _bits, 2), _groups(4, "groups", _bits, 1)
TWO_MACHINES = _groups(2, "machines, 1 + 1 each", _machine, 3)
