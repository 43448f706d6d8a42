"""A machine comes back from its file as it was, and a file that holds none says so."""

import functools

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
    # Of a file that was to be written the name is mended, of one to be read where that is a file.
    for wrong in ("a.npy", "a"):
        save = functools.partial(save_machine, tmp_path / wrong, machines.rbm())
        assert_refused(save, f"end in .npz: name it {tmp_path / wrong}.npz")
        load = functools.partial(load_machine, tmp_path / wrong)
        assert_refused(load, "does not end in .npz: name a file of save_machine")
    save_machine(tmp_path / "a.npz", machines.rbm())
    assert_refused(load, f"does not end in .npz: name {tmp_path / 'a.npz'}")


def test_places_that_cannot_be_written(tmp_path):
    """The line names the file that was asked for, and nothing is left beside it."""
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "file").touch()
    for place, why in (
        ("none/m.npz", "No such file or directory"),
        ("file/m.npz", "Not a directory"),
        ("folder.npz", "Is a directory"),
    ):
        save = functools.partial(save_machine, tmp_path / place, machines.rbm())
        assert_refused(save, f"cannot write {tmp_path / place}: {why}; name a file in a folder")
    assert {file.name for file in tmp_path.iterdir()} == {"folder.npz", "file"}
