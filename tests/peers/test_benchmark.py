"""Every peer runs: a row of its own with a time and no error."""

import json

import pytest

from benchmarks.peers import __main__ as peers

NETWORKS = ("torch", "pyro", "numpyro", "tensorflow_probability")
MACHINES = ("torch", "rbms", "thrml")


def need(names):
    for name in names:
        pytest.importorskip(name, reason=f"{name} is not installed: pip install '.[peers]'")


def rows_of(tmp_path, run_binary, *flags):
    done = run_binary(peers, *flags, "--repeats=1", f"--json={tmp_path / 'rows.json'}")
    assert done.code == 0, done.stderr
    return json.loads((tmp_path / "rows.json").read_text())


@pytest.mark.timeout(600)
def test_every_peer_of_networks_has_a_time(tmp_path, run_binary):
    need(NETWORKS)
    flags = ["--methods=iwae,rws,rem_v1,epoch", "--sizes=4x8", "--keep=4", "--epoch_steps=2"]
    rows = rows_of(tmp_path, run_binary, *flags)
    assert {row["implementation"] for row in rows} >= {"PyTorch", "Pyro", "NumPyro", "TFP on JAX"}
    assert all(row["milliseconds"] > 0.0 for row in rows), rows


@pytest.mark.timeout(600)
def test_every_peer_of_machines_has_a_time(tmp_path, run_binary):
    need(MACHINES)
    flags = ["--methods=sweep,pcd,ais", "--machines=4x7x3", "--machine_steps=2"]
    rows = rows_of(tmp_path, run_binary, *flags)
    assert [(row["method"], row["implementation"]) for row in rows] == [
        ("sweep", "remjax"),
        ("sweep", "rbms (PyTorch)"),
        ("sweep", "PyTorch"),
        ("sweep", "scikit-learn"),
        ("sweep", "thrml"),
        ("sweep", "matrix products"),
        ("pcd", "remjax"),
        ("pcd", "rbms (PyTorch)"),
        ("pcd", "PyTorch"),
        ("pcd", "scikit-learn"),
        ("pcd", "matrix products"),
        ("ais", "remjax"),
        ("ais", "rbms (PyTorch)"),
        ("ais", "PyTorch"),
        ("ais", "matrix products"),
    ]
    assert all(row["milliseconds"] > 0.0 for row in rows), rows
