"""What eight virtual devices must give: run by test_learning_runs.py in a process of its own.

    python -m tests.boltzmann.mesh_equivalence PHASE ...

Each negative phase comes to the state of one device. A line is written for each comparison.
"""

import sys

import jax

if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", 8)

import jax.numpy as jnp
import numpy as np

from remjax.boltzmann import cd, init_rbm, l2, make_estimator, pcd, population, tempered_pcd
from remjax.sharding import make_mesh
from tests.boltzmann import machines
from tests.training.mesh_equivalence import assert_close, trained

PHASES = {
    "cd": cd(2),
    "pcd": pcd(24, 2),
    "tempered_pcd": tempered_pcd(24, 2, 3),
    "population": population(24, 1, 6),
}
MESHES = {"data:2,particles:4": (2, 4), "particles:8": (1, 8)}


def check(name: str) -> None:
    """Parameters, chains, offsets and metrics after three updates."""
    data = jnp.asarray(machines.all_states(6)[::4], jnp.float32)
    mean = np.asarray(data).mean(axis=0)
    estimator = make_estimator(
        lambda key: init_rbm(key, 4, mean, scale=0.5), PHASES[name], penalties=(l2(1e-3),)
    )
    on_one = trained(estimator, data, None)
    for mesh, (data_devices, particle_devices) in MESHES.items():
        on_mesh = trained(estimator, data, make_mesh(data=data_devices, particles=particle_devices))
        assert_close(f"{name} | {mesh}", on_mesh, on_one, rtol=1e-4)


if __name__ == "__main__":
    for phase in sys.argv[1:]:
        check(phase)
