"""What an import of the library does not do."""

import subprocess
import sys

import pytest

import remjax


def test_importing_the_library_computes_nothing():
    """A host that joins others must do so before JAX is used for the first time."""
    source = (
        "import jax, remjax, experiments.run.training\n"
        "from jax._src import xla_bridge\n"
        "assert not xla_bridge.backends_are_initialized()"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_importing_the_library_waits_for_no_room_and_no_third_party():
    source = (
        "import sys, remjax\n"
        "heavy = {'jax', 'flax', 'optax', 'orbax', 'sklearn', 'scipy', 'pyarrow', 'matplotlib'}\n"
        "assert not {*sys.modules} & heavy, {*sys.modules} & heavy"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_name_is_that_of_its_room():
    for name in remjax.__all__:
        value = getattr(remjax, name)
        home = getattr(value, "__module__", None) or value.__name__
        assert home.startswith("remjax"), name
    assert set(remjax.__all__) <= set(dir(remjax))
    assert remjax.fit is remjax.fitting.fit
    with pytest.raises(AttributeError, match="no attribute 'vr'"):
        _ = remjax.vr
