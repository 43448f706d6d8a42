"""Every peer runs: a row of its own with a time and no error."""

import json

import pytest

from benchmarks.peers import __main__ as peers

for name in ("torch", "pyro", "numpyro", "tensorflow_probability"):
    pytest.importorskip(name, reason=f"{name} is not installed: pip install '.[peers]'")


@pytest.mark.timeout(600)
def test_every_peer_has_a_time(tmp_path, run_binary):
    flags = ["--methods=iwae,rws,rem_v1,epoch", "--sizes=4x8", "--keep=4", "--repeats=1"]
    done = run_binary(peers, *flags, "--epoch_steps=2", f"--json={tmp_path / 'rows.json'}")
    assert done.code == 0, done.stderr
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert {row["implementation"] for row in rows} >= {"PyTorch", "Pyro", "NumPyro", "TFP on JAX"}
    assert all(row["milliseconds"] > 0.0 for row in rows), rows
