"""The parent's side: workers started, run in turn, and ended."""

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from benchmarks.peers.work import Implementation, encoded
from remjax.errors import InputError

# Several processes share one accelerator: none may take all its memory at the start.
_ENVIRONMENT = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "PYTHONWARNINGS": "ignore"}


class Worker:
    """One implementation with its work prepared, in its own process."""

    def __init__(self, implementation: Implementation, limit: float) -> None:
        """Start it.

        Args:
            implementation: what to prepare.
            limit: seconds that the preparation, and each run, may take.
        """
        self._limit = limit
        self.temp_bytes: int | None = None
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.peers.worker", encoded(implementation)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
            env=os.environ | _ENVIRONMENT,
        )

    def prepare(self) -> None:
        """Wait until the work is compiled and was done once."""
        self.temp_bytes = self._answer()["temp_bytes"]

    def run(self) -> tuple[float, int]:
        """Do the work twice: (seconds of the second time, peak memory of the process in bytes)."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the answer will say that it is gone
            self._process.stdin.write("run\n")
        answer = self._answer()
        return answer["seconds"], answer["peak_bytes"]

    def _answer(self) -> Mapping[str, Any]:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], self._limit)[0]:
            raise InputError(f"no answer within {self._limit:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            raise InputError(f"the process ended (exit code {code}), most likely out of memory")
        answer = json.loads(line)
        if "error" in answer:
            raise InputError(answer["error"])
        return answer

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.communicate()


class Started(NamedTuple):
    """The workers that are ready, and why the others are not; by name."""

    ready: dict[str, Worker]
    failed: dict[str, str]


@contextlib.contextmanager
def workers(wanted: Mapping[str, Implementation], limit: float) -> Iterator[Started]:
    """Workers by name, prepared one after the other and ended with the block."""
    started = Started({}, {})
    try:
        for name, implementation in wanted.items():
            worker = started.ready[name] = Worker(implementation, limit)
            try:
                worker.prepare()
            except InputError as error:
                started.failed[name] = str(error)
                started.ready.pop(name).end()
        yield started
    finally:
        for worker in started.ready.values():
            worker.end()
