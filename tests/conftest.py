"""What every test shares: run-time checks of shapes, JAX on the CPU, a compilation cache, a key.

The environment is set before JAX is imported, so that subprocesses of the tests inherit it.
"""

import gc
import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

# On an accelerator: JAX_PLATFORMS=cuda make test.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of a test's time is compilation; a second run, or a subprocess, reads the result instead.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).resolve().parent.parent / ".cache" / "jax")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
# Machine code that runs for milliseconds is not worth polishing, and the emitters of fusions take
# two thirds of the time to compile; JAX 0.11 knows no way around them, and XLA ends a process whose
# flags it does not know.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    + " --xla_cpu_use_fusion_emitters=false" * version("jaxlib").startswith("0.10."),
)

import jax
import numpy as np
import pytest
import scipy.io
from jaxtyping import install_import_hook

# Checks every annotated call into the library, and so must come before its first import.
# REMJAX_TYPECHECK=0 switches it off: for timing, or to see the error behind a wrong shape.
if os.environ.get("REMJAX_TYPECHECK", "1") != "0":
    install_import_hook("remjax", "beartype.beartype")


# A tenth of a test's time went to looking for cycles among the objects of JAX's traces, of which
# few are garbage, and among the modules and tests, of which none is.
gc.set_threshold(100_000, 50, 1_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole commands first: a long file begun last would run while the other processes wait."""
    items.sort(key=lambda item: "experiments" not in item.path.parts)


def pytest_collection_finish() -> None:
    """Lets the collector pass over what lives as long as the process."""
    gc.freeze()


@pytest.fixture
def key() -> jax.Array:
    """A typed PRNG key, the same for every test."""
    return jax.random.key(0)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the published files, where this machine has them."""
    named = os.environ.get("REMJAX_TEST_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no data files at {folder}; name their folder in REMJAX_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests that read the published files, which are slow to parse."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def frames() -> np.ndarray:
    """Pixels in the shape of the Frey faces' file."""
    return np.random.default_rng(0).integers(0, 256, (560, 1_965), dtype=np.uint8)


@pytest.fixture(scope="session")
def frey_file(tmp_path_factory: pytest.TempPathFactory, frames: np.ndarray) -> Path:
    """A file that passes for the Frey faces: the one data set without a published checksum."""
    path = tmp_path_factory.mktemp("frey") / "frey_rawface.mat"
    scipy.io.savemat(path, {"ff": frames}, do_compression=True)
    return path


@pytest.fixture(scope="module", autouse=True)
def _forget_programs() -> Iterator[None]:
    """Lets go of a module's compiled programs, which would fill the memory of a long run."""
    yield
    jax.clear_caches()
    gc.collect()
