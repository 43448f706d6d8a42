"""The fixture that runs a binary is that of tests/experiments."""

from tests.experiments.conftest import run_binary as run_binary
