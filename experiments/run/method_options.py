"""The methods' own knobs, each a flag of `experiments.train` that only the methods with it take.

A field is named as the keyword of the estimators is, and which methods have it is read off their
signatures. None means that the flag was not given, and the method's own default holds.
"""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from experiments.run.methods import COVARIANCES, METHODS, accepts, look_up
from remjax.methods.nvil import local_signals, whole_signal
from remjax.methods.proposals import (
    from_bernoulli,
    from_mixture,
    from_pooled,
    from_r,
    from_s,
    from_shrunk_bernoulli,
)
from remjax.methods.score_function import arithmetic_mean, geometric_mean

SIGNALS = {"local": local_signals, "whole": whole_signal}

STAND_INS = {"geometric_mean": geometric_mean, "arithmetic_mean": arithmetic_mean}

PROPOSALS = {
    "r": from_r,
    "s": from_s,
    "mixture": from_mixture,
    "pooled": from_pooled,
    "bernoulli": from_bernoulli,
    "shrunk_bernoulli": from_shrunk_bernoulli,
}


def _option(name: str, meaning: str, table: Mapping[str, Any] | None = None) -> Any:
    if table is not None:
        meaning = f"{meaning}: {', '.join(table)}"
    methods = ", ".join(method for method in METHODS if accepts(method, name))
    metadata = {"meaning": f"{meaning}; for {methods}", "table": table}
    return dataclasses.field(default=None, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MethodOptions:
    """The options that some methods have and others have not."""

    keep: int | None = _option(
        "keep",
        "M, particles per image that carry the gradient: 4 is a good value (default all, exactly)",
    )
    chunk_size: int | None = _option(
        "chunk_size", "particles per image in memory at a time (default by the batch size)"
    )
    covariance: str | None = _option(
        "covariance",
        "of s(z), default shrunk_with_mean, but shrunk for rem_mixture and rem_pooled",
        {name: make() for name, make in COVARIANCES.items()},
    )
    hyperproposal: str | None = _option(
        "hyperproposal", "where the particles of eta come from, default as the README has it",
        PROPOSALS,
    )  # fmt: skip
    dream_share: float | None = _option(
        "dream_share", "share of the model's own samples in eta's loss, 0 (default) to 1"
    )
    defence: float | None = _option(
        "defence", "share of the prior in eta's proposal, between 0 and 1 (default 0.2)"
    )
    alpha: float | None = _option(
        "alpha", "order of the Renyi bound, any number: 0 is iwae, 1 is vae (default 0.5)"
    )
    num_groups: int | None = _option(
        "num_groups", "G, groups of particles, a divisor of --num_particles (default 5)"
    )
    share: float | None = _option(
        "share", "share of the evidence lower bound, 0 (iwae) to 1 (vae) (default 0.5)"
    )
    analytic_kl: bool | None = _option(
        "analytic_kl", "KL(r || prior) in closed form and not by particles (default off)"
    )
    stand_in: str | None = _option(
        "stand_in",
        "mean of the other weights that replaces a particle's own (default geometric_mean)",
        STAND_INS,
    )
    gamma: float | None = _option(
        "gamma", "share of a particle's own weight in its control variate, 0 to 1 (default 1)"
    )
    num_partitions: int | None = _option(
        "num_partitions", "J, steps from r to the posterior (default 5)"
    )
    first_beta: float | None = _option(
        "first_beta", "power of the weights after the first step, between 0 and 1 (default 0.025)"
    )
    signals: str | None = _option(
        "signals",
        "a learning signal for each stochastic layer, or one for all (default local)",
        SIGNALS,
    )
    centring: bool | None = _option(
        "centring", "subtract the running mean of the signal (default on)"
    )
    scaling: bool | None = _option(
        "scaling", "divide by the signal's running deviation above 1 (default on)"
    )
    lagged: bool | None = _option(
        "lagged", "statistics as they were before this batch: unbiased (default off)"
    )
    decay: float | None = _option(
        "decay", "of the running statistics per update, 0 to below 1 (default 0.8)"
    )

    def __post_init__(self) -> None:
        """Refuse names that are in no table."""
        for name, value, table in self._given():
            if table is not None:
                look_up(table, name, value)

    def _given(self) -> list[tuple[str, Any, Mapping[str, Any] | None]]:
        """(name, value, table) of the options that were given."""
        return [
            (field.name, getattr(self, field.name), field.metadata["table"])
            for field in dataclasses.fields(MethodOptions)
            if getattr(self, field.name) is not None
        ]

    def for_estimator(self) -> dict[str, Any]:
        """The options that were given, as the estimators take them."""
        return {
            name: value if table is None else table[value] for name, value, table in self._given()
        }


NAMES = frozenset(typing.get_type_hints(MethodOptions))


def applies(setting: str, method: str) -> bool:
    """Whether a setting means something for the method; those that are no option do for all."""
    return setting not in NAMES or accepts(method, setting)
