"""The PyTorch machine that the benchmark times is ours: a sweep, an update, log Z."""

import jax.numpy as jnp
import numpy as np
import pytest

from remjax.boltzmann import Offsets
from tests.peers import same_machine
from tests.peers.same_machine import assert_close, bits

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[peers]'")

from benchmarks.peers.machines import plain_pytorch  # noqa: E402  it imports torch


@pytest.fixture
def theirs():
    torch.manual_seed(0)
    return plain_pytorch.Machine(*map(torch.tensor, same_machine.VALUES))


def test_sweep(theirs):
    h = bits(1, 4, 2)
    chains = torch.from_numpy(h).expand(same_machine.CHAINS, -1)
    v, h_new = (units.numpy() for units in plain_pytorch.gibbs_sweep(theirs, chains))
    same_machine.assert_swept(h[0], v, h_new)


def test_update(theirs):
    x, h = bits(5, 6, 1), torch.from_numpy(bits(3, 4, 2))
    offsets = Offsets(jnp.full(6, 0.3), jnp.full(4, 0.6))
    expected_offsets = [
        0.99 * np.asarray(old) + 0.01 * new.mean(axis=0)
        for old, new in zip(offsets, (x, same_machine.hidden_mean(x)), strict=True)
    ]
    moving = plain_pytorch.Offsets(*(torch.tensor(np.array(one)) for one in offsets))
    before = torch.get_rng_state()
    v = torch.bernoulli(theirs.visible_mean(h)).numpy()
    torch.set_rng_state(before)
    plain_pytorch.update(theirs, moving, torch.from_numpy(x), h)
    gradient = same_machine.ascent(x, v, offsets)
    assert_close(same_machine.after_update(gradient), theirs)
    assert_close(expected_offsets, moving)


def test_log_z(theirs):
    same_machine.assert_log_z(float(plain_pytorch.annealed(theirs, 1000, 100)))
