"""The machine of the library rbms is ours: means, energies, the centred gradient, log Z."""

import jax.numpy as jnp
import numpy as np
import pytest

from remjax import boltzmann
from remjax.boltzmann import Offsets
from tests.peers import same_machine
from tests.peers.same_machine import assert_close, bits

pytest.importorskip("rbms", reason="rbms is not installed: pip install '.[peers]'")

import torch
from rbms.partition_function.ais import compute_partition_function_ais
from rbms.partition_function.exact import compute_partition_function

from benchmarks.peers.machines import rbms_pytorch


@pytest.fixture
def theirs():
    torch.manual_seed(0)
    return rbms_pytorch.machine(same_machine.VALUES, torch.device("cpu"))


def test_means_and_energies(theirs):
    v, h = bits(5, 6, 1), bits(5, 4, 2)
    visible, hidden = torch.from_numpy(v), torch.from_numpy(h)
    drawn = theirs.sample_hiddens({"visible": visible})
    assert_close([same_machine.hidden_mean(v)], [drawn["hidden_mag"]])
    drawn = theirs.sample_visibles({"hidden": hidden})
    assert_close([same_machine.visible_mean(h)], [drawn["visible_mag"]])
    assert_close([same_machine.energy(v, h)], [theirs.compute_energy(visible, hidden)])
    assert_close([same_machine.free_energy(v)], [theirs.compute_energy_visibles(visible)])


def test_sweep(theirs):
    h = bits(1, 4, 2)
    state = {"hidden": torch.from_numpy(h).expand(same_machine.CHAINS, -1)}
    state = theirs.sample_hiddens(theirs.sample_visibles(state))
    same_machine.assert_swept(h[0], state["visible"].numpy(), state["hidden"].numpy())


def test_centred_gradient(theirs):
    """Its offsets are the means of the batch."""
    x, v = bits(5, 6, 1), bits(7, 6, 2)
    data, chains = (
        theirs.init_chains(len(rows), start_v=torch.from_numpy(rows)) for rows in (x, v)
    )
    theirs.init_grad()
    theirs.compute_gradient(data, chains)
    means = (rows.mean(axis=0) for rows in (x, same_machine.hidden_mean(x)))
    gradient = same_machine.ascent(x, v, Offsets(*map(jnp.asarray, means)))
    assert_close(gradient, [parameter.grad for parameter in theirs.parameters()])


def test_log_z(theirs):
    states = (np.arange(2**4)[:, None] >> np.arange(4) & 1).astype(np.float32)
    exact = compute_partition_function(theirs, torch.from_numpy(states))
    assert exact == pytest.approx(float(boltzmann.log_partition(same_machine.OURS)), rel=1e-5)
    same_machine.assert_log_z(compute_partition_function_ais(1000, 101, theirs))
