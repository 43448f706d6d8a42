"""A machine comes back from its file as it was, and a file that holds none says so."""

import jax
import numpy as np
import pytest

from remjax.boltzmann import load_machine, save_machine
from tests.boltzmann import machines
from tests.boltzmann.refusals import assert_refused


@pytest.mark.parametrize(
    "machine",
    [machines.rbm(), machines.gaussian_rbm(), machines.gaussian_rbm().transposed],
    ids=["bits", "reals", "hidden reals"],
)
def test_a_machine_comes_back(machine, tmp_path):
    path = tmp_path / "machine.npz"
    save_machine(path, machines.rbm(2, 2))
    save_machine(path, machine)
    again = load_machine(path)
    assert jax.tree.structure(again) == jax.tree.structure(machine)
    jax.tree.map(np.testing.assert_array_equal, again, machine)
    assert [file.name for file in tmp_path.iterdir()] == ["machine.npz"]
    with np.load(path) as file:
        np.testing.assert_array_equal(file["weights"], machine.weights)


def test_arrays_of_others_make_a_machine(tmp_path):
    np.savez(tmp_path / "theirs.npz", weights=np.eye(2), visible_bias=[1, 2], hidden_bias=[0, 0])
    assert load_machine(tmp_path / "theirs.npz").visible_bias.tolist() == [1.0, 2.0]


def test_wrong_files(tmp_path):
    assert_refused(lambda: load_machine(tmp_path / "none.npz"), "none.npz is missing: name a file")
    np.savez(tmp_path / "other.npz", weights=np.eye(2))
    assert_refused(lambda: load_machine(tmp_path / "other.npz"), "holds no visible_bias")
    (tmp_path / "text.npz").write_text("no arrays")
    assert_refused(lambda: load_machine(tmp_path / "text.npz"), "cannot be read: name a file")
    assert_refused(lambda: save_machine(tmp_path / "a.npy", machines.rbm()), "end in .npz: name it")
