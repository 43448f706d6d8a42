"""thrml's spins are our bits: energies, a sweep."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax import boltzmann
from tests.peers import same_machine
from tests.peers.same_machine import assert_close, bits

thrml = pytest.importorskip("thrml", reason="thrml is not installed: pip install '.[peers]'")

from thrml.models.ising import IsingSamplingProgram  # noqa: E402

from benchmarks.peers.machines import thrml_blocks  # noqa: E402  it imports thrml


@pytest.fixture
def theirs():
    return thrml_blocks.machine(same_machine.VALUES)


def test_energies(theirs):
    model, blocks = theirs
    v, h = bits(5, 6, 1), bits(5, 4, 2)
    energies = [
        float(model.energy([jnp.asarray(a, bool), jnp.asarray(b, bool)], list(blocks)))
        for a, b in zip(v, h, strict=True)
    ]
    _, constant = boltzmann.to_spins(same_machine.OURS)
    assert_close([same_machine.energy(v, h) + constant], [energies])


def test_sweep(theirs):
    model, blocks = theirs
    program = IsingSamplingProgram(model, list(blocks), [])
    schedule = thrml.SamplingSchedule(n_warmup=1, n_samples=1, steps_per_sample=1)
    h = bits(1, 4, 2)[0]
    start = [jnp.zeros(6, bool), jnp.asarray(h, bool)]

    @jax.jit
    @jax.vmap
    def chains(key):
        return thrml.sample_states(key, program, schedule, start, [], list(blocks))

    # With the flags of the tests, XLA draws other bits for 20,000 chains at once, and wrong ones.
    keys = jax.random.split(jax.random.key(0), (same_machine.CHAINS // 1000, 1000))
    lots = [chains(lot) for lot in keys]
    drawn = (np.concatenate([lot[block][:, 0] for lot in lots]) for block in range(2))
    v, h_new = (units.astype(np.float32) for units in drawn)
    same_machine.assert_swept(h, v, h_new)
