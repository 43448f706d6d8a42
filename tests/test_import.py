"""What an import of the library does not do."""

import subprocess
import sys


def test_importing_the_library_computes_nothing():
    """A host that joins others must do so before JAX is used for the first time."""
    source = (
        "import jax, remjax, experiments.run.training\n"
        "from jax._src import xla_bridge\n"
        "assert not xla_bridge.backends_are_initialized()"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
