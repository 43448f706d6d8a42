"""log Z of a machine as a run reports it: from both sides, or exactly."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from experiments.run.choices import BASES, look_up
from experiments.run.kind import Check, Figures
from experiments.run.progress import Bars
from experiments.run.settings import Settings
from remjax.boltzmann import (
    RBM,
    Bracket,
    Path,
    Units,
    bracket,
    choose_inverse_temperatures,
    exact,
    joined,
    measure_bracket,
)
from remjax.boltzmann.partition import num_enumerated

# All runs are measured with the same key.
_KEY = 1_000_006
# Chains that are annealed together: a stop is heard, and the bar moves, between blocks.
_BLOCK = 100
# Where it takes no more units than these, log Z is enumerated.
_EXACT = 20

TEST_METRICS = (
    "log_z",
    "log_z_gap",
    "test_log_likelihood",
    "test_log_likelihood_low",
    "test_log_likelihood_high",
)
"""What an epoch of --eval_every has of the figures of a result: likelihoods with their bracket."""


def base_of(settings: Settings, machine: RBM, visible_mean: np.ndarray) -> Path[Any]:
    """The path from what --log_z_base names to the machine."""
    return look_up(BASES, "log_z_base", settings.log_z_base)(machine, visible_mean)


def log_z_figures(
    settings: Settings,
    path: Path[Units],
    starts: Callable[[jax.Array, int], Units],
    check: Check,
    bars: Bars,
) -> Figures:
    """log Z exactly where that is cheap, or by the bridge between both directions.

    Args:
        settings: temperatures, chains and burn-in.
        path: from a base to the machine.
        starts: (key, number) -> units where the long chains begin, at whose ends the reverse ones
            begin: data, so that what the forward chains have missed shows.
        check: called between blocks of chains; may raise to stop.
        bars: makes the bar over the chains.
    """
    enumerated = num_enumerated(path.machine)
    if enumerated is not None and enumerated <= _EXACT:
        value = float(exact(path.machine).log_z)
        return {"log_z_by": "enumeration", "log_z_gap": 0.0, "log_z_stderr": 0.0} | dict.fromkeys(
            ("log_z", "log_z_ais", "log_z_reverse"), value
        )
    key = jax.random.key(_KEY)
    key_pilot, key_start, key_blocks = jax.random.split(key, 3)
    schedule = choose_inverse_temperatures(key_pilot, path, settings.log_z_temperatures)
    count = settings.log_z_chains
    sizes = [len(some) for some in np.array_split(np.arange(count), -(-count // _BLOCK))]
    blocks: list[Bracket] = []
    with bars(total=count, unit="chain", desc="measure log Z", leave=False) as bar:
        for number, size in enumerate(sizes):
            found = measure_bracket(
                jax.random.fold_in(key_blocks, number),
                path,
                schedule,
                starts(jax.random.fold_in(key_start, number), size),
                num_chains=size,
                burn_in=settings.log_z_burn_in,
            )
            blocks.append(jax.block_until_ready(found))
            bar.update(size)
            check()
    whole = bracket(joined([one.lower for one in blocks]), joined([one.upper for one in blocks]))
    return {
        "log_z_by": "annealing",
        "log_z": float(whole.log_z),
        "log_z_stderr": float(whole.stderr),
        "log_z_ais": float(whole.lower.log_z),
        "log_z_ais_stderr": float(whole.lower.stderr),
        "log_z_ais_ess": float(whole.lower.ess),
        "log_z_reverse": float(whole.upper.log_z),
        "log_z_reverse_stderr": float(whole.upper.stderr),
        "log_z_gap": float(whole.gap),
        "log_z_temperatures": settings.log_z_temperatures,
        "log_z_chains": settings.log_z_chains,
    }


def at_both_ends(unnormalized: float, lower: Any, upper: Any) -> tuple[float, float]:
    """A mean log-likelihood with log Z at the two ends of its bracket, the smaller first.

    Where the ends differ by less than their noise the lower one may lie above the other.

    Args:
        unnormalized: the log-likelihood plus log Z, nats.
        lower: log Z of the forward chains, nats.
        upper: log Z of the reverse chains, nats.
    """
    low, high = sorted(unnormalized - float(end) for end in (lower, upper))
    return low, high
