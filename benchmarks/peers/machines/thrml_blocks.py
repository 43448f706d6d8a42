"""thrml (JAX): block Gibbs sampling of the same distribution over spins, each chain by `vmap`.

Its graph is made node by node and edge by edge, once, which does not count.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from thrml import Block, SamplingSchedule, SpinNode, sample_states
from thrml.models.ising import IsingEBM, IsingSamplingProgram

from benchmarks.peers.machines.work import MachineWork, Parameters, chains, parameters
from benchmarks.peers.work import Prepared
from remjax.boltzmann import RBM, to_spins


def machine(values: Parameters) -> tuple[IsingEBM, tuple[Block, Block]]:
    """The model of spins, and its blocks: visible, hidden."""
    spins, _ = to_spins(RBM(*map(jnp.asarray, values)))
    visible, hidden = ([SpinNode() for _ in range(n)] for n in spins.couplings.shape)
    edges = [(v, h) for v in visible for h in hidden]
    biases = jnp.concatenate([spins.visible_field, spins.hidden_field])
    model = IsingEBM([*visible, *hidden], edges, biases, spins.couplings.reshape(-1), jnp.ones(()))
    return model, (Block(visible), Block(hidden))


def sweep(work: MachineWork) -> Prepared:
    """Sweeps of all chains in one compiled program."""
    model, blocks = machine(parameters(work))
    program = IsingSamplingProgram(model, list(blocks), [])
    # Arrays as arguments: as constants of the program they would be compiled into it.
    arrays, static = eqx.partition(program, eqx.is_array)
    # Its "warm-up" is every sweep before the first sample, which is the last state.
    schedule = SamplingSchedule(n_warmup=work.steps, n_samples=1, steps_per_sample=1)

    def sweeps(
        arrays: IsingSamplingProgram, key: jax.Array, units: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        program = eqx.combine(arrays, static)
        key, own = jax.random.split(key)

        def chain(key: jax.Array, units: tuple[jax.Array, jax.Array]) -> tuple:
            last = sample_states(key, program, schedule, list(units), [], list(blocks))
            return tuple(one[0] for one in last)

        return key, jax.vmap(chain)(jax.random.split(own, work.num_chains), units)

    visible, hidden = (jnp.asarray(units, bool) for units in chains(work))
    state = (jax.random.key(0), (visible, hidden))
    compiled = jax.jit(sweeps, donate_argnums=2).lower(arrays, *state).compile()

    def run() -> None:
        nonlocal state
        state = jax.block_until_ready(compiled(arrays, *state))

    return Prepared(run, compiled.memory_analysis().temp_size_in_bytes)
