"""scikit-learn's machine is ours: means, energies, a sweep, an update."""

import numpy as np

from benchmarks.peers.machines import scikit_learn
from tests.peers import same_machine
from tests.peers.same_machine import assert_close, bits


def generator():
    return np.random.RandomState(0)


def test_means_and_energies():
    theirs, v = scikit_learn.machine(same_machine.VALUES, 5), bits(5, 6, 1)
    assert_close([same_machine.hidden_mean(v)], [theirs._mean_hiddens(v)])
    assert_close([same_machine.free_energy(v)], [theirs._free_energy(v)])


def test_sweep():
    theirs, h, rng = scikit_learn.machine(same_machine.VALUES, 5), bits(1, 4, 2), generator()
    v = theirs._sample_visibles(np.repeat(h, same_machine.CHAINS, axis=0), rng)
    h_new = theirs._sample_hiddens(v, rng)
    same_machine.assert_swept(h[0], v.astype(np.float32), h_new)


def test_update():
    theirs, x = scikit_learn.machine(same_machine.VALUES, 5), bits(5, 6, 1)
    theirs.h_samples_ = bits(5, 4, 2)
    v = theirs._sample_visibles(theirs.h_samples_, generator())
    theirs._fit(x, generator())
    moved = (theirs.components_.T, theirs.intercept_visible_, theirs.intercept_hidden_)
    assert all(array.dtype == np.float32 for array in moved)
    assert_close(same_machine.after_update(same_machine.ascent(x, v.astype(np.float32))), moved)
