"""Runs of a model with a Boltzmann machine as its prior: meshes, checkpoints, replicas."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import remjax
from remjax import Particles, make_estimator
from remjax.methods import rws
from remjax.models import with_boltzmann_prior
from remjax.training import checkpoints, each_part
from remjax.training.replicas import replica, stack_replicas, train_replicas
from tests.models import tiny_boltzmann as tiny
from tests.models.prior_mesh_equivalence import DATA, MESHES, PHASES

_ROOT = Path(__file__).resolve().parents[2]


def make(phase="pcd"):
    inner = make_estimator(tiny.MODEL, tiny.RECOGNITION, rws(), Particles(3))
    return with_boltzmann_prior(inner, PHASES[phase])


OPTIMIZER = each_part(optax.identity(), 1e-2)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "name",
    ["pcd", *(pytest.param(n, marks=pytest.mark.exhaustive) for n in PHASES if n != "pcd")],
)
def test_eight_devices_give_what_one_gives(name):
    command = [sys.executable, "-m", "tests.models.prior_mesh_equivalence", name]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    assert len(done.stdout.splitlines()) == len(MESHES)


def test_a_run_goes_on_from_its_checkpoint(tmp_path):
    """Bit by bit, chains and log Z included."""
    estimator = make()

    def start(seed=0):
        return remjax.init_train_state(estimator, OPTIMIZER, jax.random.key(seed), DATA)

    epoch = remjax.make_epoch(estimator, OPTIMIZER, num_data=len(DATA), batch_size=8)
    whole = epoch(epoch(start(), DATA, 2), DATA, 3)
    checkpoints.save(tmp_path, 2, epoch(start(), DATA, 2))
    again = epoch(checkpoints.restore(tmp_path, start(seed=1)), DATA, 3)
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(whole), strict=True):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(a, b)


def test_replicas_are_the_runs_of_their_keys():
    estimator = make()
    epoch = remjax.make_epoch(estimator, OPTIMIZER, num_data=len(DATA), batch_size=8)

    def start(seed):
        return remjax.init_train_state(estimator, OPTIMIZER, jax.random.key(seed), DATA)

    together = train_replicas(epoch)(stack_replicas([start(0), start(1)]), DATA, 3)
    for seed in (0, 1):
        alone, own = epoch(start(seed), DATA, 3), replica(together, seed)
        for part in ("params", "estimator_state"):
            jax.tree.map(
                lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
                getattr(own, part),
                getattr(alone, part),
            )
