"""Warm-up of the KL divergence, for any method: at first the prior and log r count for nothing.

A KL term that weighs in fully from the start lets the latents that are not yet of use fall back on
the prior, and few find a use later.
"""

import dataclasses
from typing import NamedTuple

from jaxtyping import Array, Int, Key, PyTree

from remjax.errors import InputError
from remjax.methods.combine import Combine
from remjax.methods.method import Method
from remjax.methods.ramps import Ramp
from remjax.methods.row import Particles, Row
from remjax.types import Batch, Estimate, Params


class WarmUpState(NamedTuple):
    """What a warm-up carries from one update to the next.

    Attributes:
        inner: the state of the method itself.
        updates: how many there were.
    """

    inner: PyTree
    updates: Int[Array, ""]


@dataclasses.dataclass(frozen=True)
class WarmUp(Combine):
    """The combination of a method whose weights have p(z) / r(z) to a rising power (`warm_up`).

    Attributes:
        combine: of the method itself.
        ramp: of the power, lambda.
    """

    combine: Combine
    ramp: Ramp

    def check(self, particles: Particles) -> None:
        """As the method itself."""
        self.combine.check(particles)

    def init(self, key: Key[Array, ""], row: Row) -> tuple[PyTree, WarmUpState]:
        """As the method itself, and no update yet."""
        baseline, inner = self.combine.init(key, row)
        return baseline, WarmUpState(inner, self.ramp.start)

    def estimate(
        self, row: Row, params: Params, state: WarmUpState, key: Key[Array, ""], batch: Batch
    ) -> tuple[Estimate, WarmUpState]:
        """The losses of the method itself, under the weights of this update."""
        weight = self.ramp.weight(state.updates)
        annealed = row._replace(kl_weight=weight)
        estimate, inner = self.combine.estimate(annealed, params, state.inner, key, batch)
        estimate = estimate._replace(metrics=estimate.metrics | {"kl_weight": weight})
        return estimate, WarmUpState(inner, self.ramp.after(state.updates))

    def __str__(self) -> str:
        """As the tables have it."""
        return f"{self.combine}, warmed up over {self.ramp.num_updates:,} updates"


def warm_up(method: Method, num_updates: int) -> Method:
    """A method whose KL term is annealed over the first updates (Vahdat et al. 2019, Eqs. 17-20).

    Particles are weighted by w = p(x | z) (p(z) / r(z))^lambda, where lambda rises linearly from 0
    in the first update to 1 after `num_updates`, from where on the method is what it was. So the
    lower bound becomes E[log p(x | z)] - lambda KL(r || p) (Sonderby et al. 2016) and L_K becomes
    E[log 1/K sum_k w_k], no bound of log p(x) where lambda < 1. Methods that learn from weighted
    particles take p(x | z) p(z)^lambda r(z)^(1 - lambda) for the posterior, whatever the particles
    are drawn from. Gradients that stand for others stand for those of the annealed objective: that
    of `dreg` has lambda w^2 + (1 - lambda) w. What eta learns from dreams stays as it is. Until the
    end the metrics are those of the weights w; `kl_weight` among them is lambda.

    Args:
        method: any.
        num_updates: of the warm-up; 30 % of all updates in the paper's experiments.

    Raises:
        InputError: for fewer than one update.
    """
    if num_updates < 1:
        raise InputError(f"num_updates is {num_updates}: give 1 or more, or leave the warm-up out")
    return dataclasses.replace(method, combine=WarmUp(method.combine, Ramp(0.0, 1.0, num_updates)))
