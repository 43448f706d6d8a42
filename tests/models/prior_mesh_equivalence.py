"""What eight virtual devices must give: run by test_boltzmann_prior_runs.py in its own process.

    python -m tests.models.prior_mesh_equivalence PHASE ...

A prior machine and its model come to the state of one device. A line is written for each
comparison.
"""

import sys

import jax

if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", 8)

import jax.numpy as jnp
import numpy as np

from remjax import Particles, boltzmann, make_estimator
from remjax.methods import rws, with_dreams
from remjax.models import with_boltzmann_prior
from remjax.sharding import make_mesh
from tests.models import tiny_boltzmann as tiny
from tests.training.mesh_equivalence import assert_close, trained

PHASES = {
    "pcd": boltzmann.pcd(24, 2),
    "tempered_pcd": boltzmann.tempered_pcd(24, 2, 3),
    "population": boltzmann.population(24, 1, 6),
}
MESHES = {"data:2,particles:4": (2, 4), "particles:8": (1, 8)}
DATA = jnp.asarray(np.random.default_rng(0).integers(0, 2, (16, tiny.DATA_SIZE)), jnp.float32)


def check(name: str) -> None:
    """Parameters, chains, log Z and metrics after three updates, asleep and awake."""
    # Nine particles in chunks of two: the shares of the devices differ.
    particles = Particles(9, chunk_size=2)
    method = with_dreams(rws(), 0.5, 2)
    inner = make_estimator(tiny.MODEL, tiny.RECOGNITION, method, particles)
    estimator = with_boltzmann_prior(inner, PHASES[name], weight_decay=1e-2)
    on_one = trained(estimator, DATA, None)
    for mesh, (data_devices, particle_devices) in MESHES.items():
        on_mesh = trained(estimator, DATA, make_mesh(data=data_devices, particles=particle_devices))
        assert_close(f"{name} | {mesh}", on_mesh, on_one, rtol=1e-4)


if __name__ == "__main__":
    for phase in sys.argv[1:]:
        check(phase)
