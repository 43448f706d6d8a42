"""The benchmarks are binaries like those of the experiments and run in the same way."""

from tests.experiments.conftest import run_binary as run_binary
