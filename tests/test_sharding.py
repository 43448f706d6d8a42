"""Many devices give what one gives; a mesh that cannot be is one clear line."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.run.methods import METHODS
from remjax.errors import InputError
from remjax.sharding import check_divides, make_mesh
from remjax.training.steps import init_train_state, make_train_step
from remjax.types import Batch, Estimate, Estimator, Params

_ROOT = Path(__file__).parents[1]


def test_eight_devices_give_what_one_gives():
    """The kept particles, an epoch, the communication, an evaluation, and every estimator."""
    command = [sys.executable, "-m", "tests.many_devices"]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    assert len(done.stdout.splitlines()) == len(METHODS) + 2


@pytest.mark.parametrize(
    ("sizes", "named"),
    [
        ({"data": 0}, "give data:1 or more, and particles:1, 2, 4 or 8"),
        ({"particles": 3}, "a mesh of data:1,particles:3 cannot be"),
        ({"particles": 16}, "a mesh of data:1,particles:16 cannot be"),
        ({"data": 1000, "particles": 2}, "takes 2000 devices and there"),
    ],
)
def test_meshes_that_cannot_be(sizes, named):
    with pytest.raises(InputError, match=named):
        make_mesh(**sizes)


def test_batch_that_the_mesh_does_not_divide():
    mesh = jax.sharding.AbstractMesh((3, 1), ("data", "particles"))
    check_divides(None, 4)
    check_divides(mesh, 6)
    with pytest.raises(InputError, match="batch_size is 4, which the 3 devices"):
        check_divides(mesh, 4)


def test_estimator_with_a_memory_is_refused_a_mesh(key):
    def estimate(params, state, key, batch):
        return Estimate(jnp.sum(params.theta), jnp.sum(params.eta), {}), state

    zeros = Params(jnp.zeros(1), jnp.zeros(1))
    estimator = Estimator(lambda key: (zeros, jnp.zeros(3)), estimate)
    step = make_train_step(estimator, optax.sgd(1.0), mesh=make_mesh())
    state = init_train_state(estimator, optax.sgd(1.0), key, data_size=2)
    with pytest.raises(InputError, match="memory of its own"):
        step(state, Batch(jnp.asarray(np.zeros((4, 2))), jnp.arange(4)))
