"""A case: a method, what it claims, and all that it can draw; its rows say whether that is so."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, PyTree

from experiments.enumeration.tiny_networks import Latents, TinyNetwork, network
from remjax.types import Params

ONE_LAYER, TWO_LAYERS = Latents((2,)), Latents((2, 1))
# Two layers of one variable with three categories.
CATEGORIES = Latents((1, 1), num_categories=3)
_COMPILER_OPTIONS = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}


# (network, params, K) -> nats.
Loss = Callable[[TinyNetwork, Params, int], Float[Array, ""]]


class Claim(NamedTuple):
    """Of which loss an expected gradient is said to be the gradient.

    Attributes:
        text: in words, with the bias where there is one.
        loss: exact; written without the estimators.
    """

    text: str
    loss: Loss


class Draws(NamedTuple):
    """Everything that a method can draw for one datapoint: T cases, their probabilities sum to 1.

    Attributes:
        probability: of each.
        gradients: of both losses, on each.
    """

    probability: Float[Array, " T"]
    gradients: Params


class Case(NamedTuple):
    """A method with its knobs and what it claims.

    Attributes:
        method: its name, with the knobs that are not the default.
        num_particles: K.
        theta: the claim about the gradient of theta.
        eta: that about the gradient of eta.
        draws: (network, params) -> all draws.
        layers: the latents of the networks that it is tried on.
    """

    method: str
    num_particles: int
    theta: Claim
    eta: Claim
    draws: Callable[[TinyNetwork, Params], Draws]
    layers: tuple[Latents, ...] = (TWO_LAYERS,)

    @property
    def name(self) -> str:
        """The method without its knobs."""
        return self.method.partition("(")[0]


def rows(case: Case) -> list[dict[str, Any]]:
    """Of the gradient of theta and that of eta: the claim, and the largest absolute deviation.

    Over all networks that the case is tried on.
    """
    expected = [_expected(case, network(latents)) for latents in case.layers]
    found = []
    for part in ("theta", "eta"):
        claim: Claim = getattr(case, part)
        deviations = [
            _largest_difference(
                getattr(ours, part),
                getattr(_gradient(claim.loss, latents, case.num_particles), part),
            )
            for ours, latents in zip(expected, case.layers, strict=True)
        ]
        found.append(
            {
                "method": case.method,
                "num_particles": case.num_particles,
                "gradient": part,
                "claim": claim.text,
                "deviation": max(deviations),
            }
        )
    return found


def _largest_difference(ours: PyTree, claimed: PyTree) -> float:
    differences = jax.tree.map(lambda a, b: float(np.max(np.abs(a - b))), ours, claimed)
    return max(jax.tree.leaves(differences))


def _expected(case: Case, net: TinyNetwork) -> Params:
    """sum_t probability_t gradients_t in float64."""
    draws = run(lambda params: case.draws(net, params), net.params)
    probability = draws.probability.astype(np.float64)
    # A sum over something else than all draws would be an expectation of nothing.
    assert abs(probability.sum() - 1.0) < 1e-5, case.method
    return jax.tree.map(
        lambda leaf: np.tensordot(probability, leaf.astype(np.float64), 1), draws.gradients
    )


@functools.cache
def _gradient(loss: Loss, latents: Latents, num_particles: int) -> Params:
    net = network(latents)
    return run(jax.grad(lambda params: loss(net, params, num_particles)), net.params)


def run(function: Callable[[Params], Any], params: Params) -> Any:
    """What runs for milliseconds: most of the time would go into polishing its machine code."""
    return jax.device_get(jax.jit(function).lower(params).compile(_COMPILER_OPTIONS)(params))
