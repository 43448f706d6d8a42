"""remjax: sweeps, updates and temperatures, so many in one compiled program.

A sweep leaves the chains and no report. An update is that of `make_epoch`, with the metrics, the
pseudo-likelihood among them, and with the check that the gradient is finite.
"""

import jax
import jax.numpy as jnp
import optax

from benchmarks.peers.machines.work import (
    CENTRING,
    LEARNING_RATE,
    MachineWork,
    chains,
    data,
    parameters,
)
from benchmarks.peers.updates import prepared_updates
from benchmarks.peers.work import Prepared
from remjax import boltzmann
from remjax.boltzmann import RBM, Units


def machine(work: MachineWork) -> RBM:
    """The machine of the work."""
    return RBM(*map(jnp.asarray, parameters(work)))


def sweep(work: MachineWork) -> Prepared:
    """Gibbs sweeps of all chains."""

    def sweeps(key: jax.Array, rbm: RBM, units: Units) -> tuple[jax.Array, Units]:
        key, own = jax.random.split(key)
        return key, boltzmann.gibbs_steps(own, rbm, units, work.steps)[0]

    rbm, state = machine(work), (jax.random.key(0), Units(*map(jnp.asarray, chains(work))))
    compiled = jax.jit(sweeps, donate_argnums=2).lower(state[0], rbm, state[1]).compile()

    def run() -> None:
        nonlocal state
        state = jax.block_until_ready(compiled(state[0], rbm, state[1]))

    return Prepared(run, compiled.memory_analysis().temp_size_in_bytes)


def pcd(work: MachineWork) -> Prepared:
    """Updates of PCD-1."""
    rows = jnp.asarray(data(work))
    estimator = boltzmann.make_estimator(
        lambda key: machine(work), boltzmann.pcd(work.num_chains), centring=CENTRING
    )
    optimizer = optax.sgd(LEARNING_RATE)
    return prepared_updates(estimator, optimizer, rows, work.batch_size, work.steps)


def ais(work: MachineWork) -> Prepared:
    """Temperatures of annealed importance sampling."""
    path = boltzmann.bias_base(machine(work))
    schedule = boltzmann.linear_inverse_temperatures(work.steps)

    def estimate(key: jax.Array, path: boltzmann.Path[Units]) -> jax.Array:
        return boltzmann.ais(key, path, schedule, num_chains=work.num_chains).log_z

    compiled = jax.jit(estimate).lower(jax.random.key(0), path).compile()
    return Prepared(
        lambda: jax.block_until_ready(compiled(jax.random.key(0), path)),
        compiled.memory_analysis().temp_size_in_bytes,
    )
