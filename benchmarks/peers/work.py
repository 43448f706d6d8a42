"""What a process is asked to prepare, how that travels to it, and what it has then.

Work is a named tuple of numbers and words: `networks.work` has that of training a pair of networks,
`machines.work` that of Boltzmann machines.
"""

import importlib
import json
from collections.abc import Callable
from typing import Any, NamedTuple


class Prepared(NamedTuple):
    """Work that is built and compiled.

    Attributes:
        run: does it once and returns when it is finished.
        temp_bytes: temporary memory by the compiler's own analysis, where there is a compiler.
    """

    run: Callable[[], Any]
    temp_bytes: int | None


class Implementation(NamedTuple):
    """A function that prepares some work.

    Attributes:
        module: of benchmarks.peers, as "networks.ours". It is imported where the work is done, for
            it may need what is not installed.
        function: in it: work -> Prepared.
        work: its argument.
        peak_bytes: what it would hold at its peak, counted by hand; 0 where that is of no account.
    """

    module: str
    function: str
    work: Any
    peak_bytes: float = 0.0

    def prepare(self) -> Prepared:
        """Build and compile the work."""
        module = importlib.import_module(f"benchmarks.peers.{self.module}")
        return getattr(module, self.function)(self.work)


def encoded(implementation: Implementation) -> str:
    """The implementation as one line of JSON."""
    kind = type(implementation.work)
    return json.dumps([kind.__module__, kind.__name__, implementation])


def decoded(line: str) -> Implementation:
    """The implementation that `encoded` made a line of."""
    module, name, (*place, work, peak_bytes) = json.loads(line)
    kind = getattr(importlib.import_module(module), name)
    return Implementation(*place, kind(*work), peak_bytes)
