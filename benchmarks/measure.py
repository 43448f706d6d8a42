"""Timing compiled programs side by side, what the compiler says of their memory, and the rows."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.output.files import replacing


class Program(NamedTuple):
    """A compiled program and the arguments to run it with."""

    compiled: Any
    arguments: Sequence[Any]

    @property
    def temp_bytes(self) -> int:
        """Temporary memory, from the compiler's own analysis."""
        return self.compiled.memory_analysis().temp_size_in_bytes


def compile_program(function: Callable[..., Any], *arguments: Any) -> Program:
    """Compile a function for these arguments."""
    return Program(jax.jit(function).lower(*arguments).compile(), arguments)


def time_interleaved(programs: Mapping[str, Program], repeats: int) -> dict[str, list[float]]:
    """Seconds of every run of compiled programs, as `time_in_turn` has them."""

    def runner(program: Program) -> Callable[[], Any]:
        return lambda: jax.block_until_ready(program.compiled(*program.arguments))

    return time_in_turn({name: runner(one) for name, one in programs.items()}, repeats)


def time_in_turn(runs: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Seconds of every run; they take turns, so that a drift of the machine hits all.

    Args:
        runs: by name; each returns when it is finished.
        repeats: counted runs of each, after one that is not.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            if repeat:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def write_rows(path: str | None, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows measured so far as JSON, whole or not at all; nothing where path is None.

    Called with no rows before the first, so that what cannot be written is known at once.

    Raises:
        InputError: the disk is full or cannot be written.
    """
    if path is not None:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(rows, indent=1) + "\n")


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Median over turns of theirs / ours: how many times as fast we are."""
    return float(np.median(np.divide(theirs, ours)))


def median(seconds: Sequence[float]) -> float:
    """The middle of the runs."""
    return float(np.median(seconds))
