"""One implementation in a process of its own, so that its peak memory is its own.

Started by `benchmarks.peers.processes`; speaks JSON, a line at a time. First line out: what was
prepared, or the error. For each "run" that comes in, the work is done twice, and the second time's
seconds go out with the peak memory.
"""

import json
import resource
import sys
import time
from typing import Any

from benchmarks.peers.work import Implementation, decoded
from remjax.errors import InputError


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def main(implementation: Implementation) -> None:
    """Prepare the work and do it as often as asked."""
    try:
        prepared = implementation.prepare()
        prepared.run()  # whatever happens only once
    except ModuleNotFoundError as error:
        return _say({"error": f"{error.name} is not installed: pip install -e '.[peers]'"})
    except InputError as error:
        return _say({"error": str(error)})
    except Exception as error:
        # Whatever a peer may raise is a row of the table and never the end of the benchmark.
        return _say({"error": f"{type(error).__name__}: {_first_line(error)}"})
    _say({"temp_bytes": prepared.temp_bytes})
    for _ in sys.stdin:
        # As in a loop of steps: the caches and pages are its own again, not those of the process
        # whose turn it was.
        prepared.run()
        began = time.perf_counter()
        prepared.run()
        seconds = time.perf_counter() - began
        kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        _say({"seconds": seconds, "peak_bytes": 1024 * kibibytes})


if __name__ == "__main__":
    main(decoded(sys.argv[1]))
