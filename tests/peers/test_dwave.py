"""The machine of D-Wave's plug-in is ours, in spins: energies, and a draw of one side."""

import numpy as np
import pytest

from remjax.boltzmann import to_spins
from tests.peers import same_machine
from tests.peers.same_machine import CHAINS, NUM_HIDDEN, NUM_VISIBLE, OURS, bits

pytest.importorskip(
    "dwave.plugins.torch",
    reason="dwave-pytorch-plugin is not installed: pip install '.[peers]'",
)

import torch

from benchmarks.peers.discrete import dwave_pytorch


@pytest.fixture
def theirs():
    """Its energy is the negative of what has the sign of a gain."""
    spins, _ = to_spins(OURS)
    machine = dwave_pytorch.machine(NUM_VISIBLE, NUM_HIDDEN)
    fields = np.concatenate([spins.visible_field, spins.hidden_field])
    machine.set_linear({spin: -float(field) for spin, field in enumerate(fields)})
    machine.set_quadratic(
        {
            (v, NUM_VISIBLE + h): -float(spins.couplings[v, h])
            for v in range(NUM_VISIBLE)
            for h in range(NUM_HIDDEN)
        }
    )
    return machine


def test_energies(theirs):
    v, h = bits(5, NUM_VISIBLE, 1), bits(5, NUM_HIDDEN, 2)
    found = theirs(torch.from_numpy(2.0 * np.concatenate([v, h], axis=1) - 1.0))
    _, away = to_spins(OURS)
    expected = same_machine.energy(v, h) + away
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-5, atol=1e-5)


def test_draws_of_one_side_given_the_other(theirs):
    torch.manual_seed(0)
    v = 2.0 * bits(1, NUM_VISIBLE, 1) - 1.0
    given = np.concatenate([v, np.full((1, NUM_HIDDEN), np.nan, np.float32)], axis=1)
    chains = dwave_pytorch.sampler(theirs, NUM_VISIBLE, CHAINS, 1)
    drawn = chains.sample(torch.from_numpy(np.repeat(given, CHAINS, axis=0))).numpy()
    np.testing.assert_array_equal(drawn[:, :NUM_VISIBLE], np.repeat(v, CHAINS, axis=0))
    mean = same_machine.hidden_mean((v + 1.0) / 2.0)[0]
    error = np.sqrt(mean * (1.0 - mean) / CHAINS)
    np.testing.assert_array_less(
        np.abs((drawn[:, NUM_VISIBLE:].mean(axis=0) + 1.0) / 2.0 - mean), 5.0 * error + 1e-6
    )
