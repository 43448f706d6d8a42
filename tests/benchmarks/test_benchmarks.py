"""Each benchmark runs at a tiny size, writes what it says, and refuses what cannot be."""

import json

import numpy as np
import pytest

from benchmarks import (
    boltzmann,
    compile_time,
    gradient_variance,
    precision,
    replicas,
    roofline,
    scaling,
    step_time,
    time_to_quality,
)
from benchmarks.peers import __main__ as peers
from benchmarks.peers.machines.work import MachineWork
from benchmarks.peers.networks.work import TrainingWork
from benchmarks.peers.processes import workers
from benchmarks.peers.work import Implementation, decoded, encoded

# Each compiles what it measures, and some start processes.
pytestmark = pytest.mark.exhaustive

_SCALING = (
    "--methods=rws,disarm",
    "--particles=64,128",
    "--keep=4",
    "--batch_size=2",
    "--repeats=1",
)
_VARIANCE = (
    "--methods=iwae,disarm,nvil", "--particles=8", "--keep=4", "--train_size=100",
    "--train_steps=1", "--batch_size=4", "--draws=3", "--hidden_size=8", "--latent_size=2",
)  # fmt: skip
_QUALITY = (
    "--methods=iwae:8:4", "--dataset=digits", "--minutes=0.001", "--turns=1", "--eval_size=4",
    "--eval_num_particles=8", "--hidden_size=8", "--latent_size=2",
)  # fmt: skip
_REPLICAS = (
    "--num_replicas=2", "--batch_size=4", "--num_particles=4", "--hidden_size=8", "--steps=2",
    "--repeats=1",
)  # fmt: skip
_BOLTZMANN = (
    "--chains=4,6", "--hidden=3,5", "--num_chains=4", "--hidden_size=3", "--visible_size=7",
    "--batch_size=2", "--operations=1000", "--repeats=1",
)  # fmt: skip
_ROOFLINE = ("--batch_size=2", "--num_particles=8", "--size=64", "--repeats=1")


@pytest.mark.parametrize(
    ("module", "arguments", "columns", "has_picture"),
    [
        (scaling, _SCALING, {"method", "keep", "num_particles", "temp_bytes"}, True),
        (boltzmann, _BOLTZMANN, {"sweep", "products", "ratio", "update", "sweep_bytes"}, True),
        (time_to_quality, _QUALITY, {"method", "seconds", "log_likelihood"}, True),
        (roofline, _ROOFLINE, {"what", "GFLOP/s", "GB/s"}, False),
        (replicas, _REPLICAS, {"method", "speedup of updates"}, False),
    ],
    ids=["scaling", "boltzmann", "time_to_quality", "roofline", "replicas"],
)
def test_benchmark(module, arguments, columns, has_picture, tmp_path, run_binary):
    picture = [f"--picture={tmp_path / 'picture.png'}"] if has_picture else []
    done = run_binary(module, *arguments, f"--json={tmp_path / 'rows.json'}", *picture)
    assert done.code == 0, done.stderr
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert rows
    assert all(columns <= set(row) for row in rows)
    assert not has_picture or (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_step_time(run_binary):
    done = run_binary(
        step_time, "--methods=rem_v1,iwae", "--batch_size=2", "--num_particles=8", "--keep=4",
        "--repeats=1",
    )  # fmt: skip
    assert done.code == 0, done.stderr
    for form in ("one-shot", "exact", "keep=4"):
        assert done.stdout.count(form) == 2


def test_compile_time(run_binary):
    done = run_binary(
        compile_time, "--methods=rws,iwae", "--batch_size=2", "--num_particles=8", "--keep=4",
        "--repeats=1",
    )  # fmt: skip
    assert done.code == 0, done.stderr
    assert "| rws" in done.stdout
    assert "| iwae" in done.stdout


def test_precision(tmp_path, run_binary):
    done = run_binary(
        precision, "--methods=iwae:4", "--dataset=digits", "--num_particles=8", "--train_size=40",
        "--epochs=1", "--seeds=0", "--eval_size=4", "--eval_num_particles=8", "--hidden_size=8",
        "--latent_size=2", f"--out={tmp_path / 'out'}",
    )  # fmt: skip
    assert (done.code, done.stderr) == (0, "")
    exact, rounded = json.loads((tmp_path / "out" / "rows.json").read_text())
    assert (exact["trained in"], rounded["trained in"]) == ("float32", "bfloat16")
    for row in (exact, rounded):
        assert 0.0 < abs(row["L_K in bfloat16"] - row["L_K in float32"]) < 0.1
    assert exact["L_K in float32"] != rounded["L_K in float32"]


def test_gradient_variance(tmp_path, run_binary):
    """Each method on the models that it fits."""
    done = run_binary(gradient_variance, *_VARIANCE, f"--out={tmp_path / 'out'}")
    assert (done.code, done.stderr) == (0, "")
    rows = json.loads((tmp_path / "out" / "rows.json").read_text())
    of_state = [row for row in rows if row["state"] == "at the start"]
    cells = [tuple(list(row.values())[i] for i in (0, 2, 3, 4)) for row in of_state]
    assert cells == [
        ("gaussian", "iwae", 8, None),
        ("gaussian", "iwae", 8, 4),
        ("gaussian", "nvil", 8, None),
        ("sigmoid_belief", "disarm", 8, None),
        ("sigmoid_belief", "nvil", 8, None),
    ]
    assert len(rows) == 2 * len(of_state)
    assert all(row["theta_snr"] >= 0.0 and row["eta_snr"] >= 0.0 for row in rows)
    for name in ("gaussian", "gaussian_keep", "sigmoid_belief"):
        assert (tmp_path / "out" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "out" / "table.md").read_text() == done.stdout


@pytest.mark.parametrize("ratio", [0.0, 0.5, 3.0])
def test_signal_to_noise_is_not_raised_by_few_draws(ratio):
    """Of 20 draws the mean of pure noise has a ratio of 0.15. What stands still does not count."""
    noise = np.random.default_rng(0).normal(size=(20, 4000))
    gradients = np.concatenate([5.0 * (ratio + noise), np.ones((20, 4000))], axis=1)
    assert gradient_variance.signal_to_noise(gradients) == pytest.approx(ratio, abs=0.1)


def test_seconds_to_a_target_lie_between_the_turns():
    rows = [
        {"seconds": 2.0 * turn, "log_likelihood": value}
        for turn, value in enumerate((-100.0, -90.0, -95.0, -80.0), start=1)
    ]
    assert time_to_quality.seconds_to(-95.0, rows) == 3.0
    assert time_to_quality.seconds_to(-85.0, rows) == pytest.approx(6.0 + 2.0 * 10 / 15)
    assert time_to_quality.seconds_to(-120.0, rows) == 2.0
    assert time_to_quality.seconds_to(-70.0, rows) is None


def test_sizes_of_both_lines_stand_once(tmp_path, run_binary):
    done = run_binary(boltzmann, *_BOLTZMANN, f"--json={tmp_path / 'rows.json'}")
    assert done.code == 0, done.stderr
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [(row["num_chains"], row["num_hidden"]) for row in rows] == [(4, 3), (6, 3), (4, 5)]
    for row in rows:
        assert row["steps"] == max(1, 1000 // (4 * row["num_chains"] * 7 * row["num_hidden"]))
        assert row["share"] == pytest.approx(1.0 / row["ratio"])


def test_peers(tmp_path, run_binary):
    """Ours has a time in every group; a peer has one, or says why not."""
    done = run_binary(
        peers, "--methods=e_step,rws,ais", "--sizes=4x8", "--machines=4x7x3", "--machine_steps=2",
        "--repeats=1", "--memory_gb=1e-9", f"--json={tmp_path / 'rows.json'}",
        f"--picture={tmp_path / 'picture.png'}",
    )  # fmt: skip
    assert done.code == 0, done.stderr
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [(row["method"], row["implementation"]) for row in rows] == [
        ("e_step", "remjax"),
        ("e_step", "matrix products"),
        ("rws", "remjax"),
        ("rws", "PyTorch"),
        ("rws", "Pyro"),
        ("ais", "remjax"),
        ("ais", "matrix products"),
        ("ais", "rbms (PyTorch)"),
        ("ais", "PyTorch"),
    ]
    for row in rows:
        if row["implementation"] in ("remjax", "matrix products"):
            assert row["milliseconds"] > 0.0
            assert row["speedup"] > 0.0
            assert row["temp_bytes"] > 0
        else:
            assert "would take about" in row["error"]
    # Networks and machines have tables of their own, with their own columns.
    tables = done.stdout.split("\n\n")[-2:]
    assert all("| keep |" in one.splitlines()[0] for one in tables[:1])
    assert "| chains | V | H |" in tables[1].splitlines()[0]
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("method", ["sweep", "pcd"])
def test_peers_of_machines(method, tmp_path, run_binary):
    """scikit-learn is a dependency, and has a time wherever ours has."""
    flags = [f"--methods={method}", "--machines=4x7x3,2x5x3", "--machine_steps=2", "--repeats=1"]
    done = run_binary(peers, *flags, f"--json={tmp_path / 'rows.json'}")
    assert done.code == 0, done.stderr
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert {(row["num_chains"], row["num_visible"]) for row in rows} == {(4, 7), (2, 5)}
    for name in ("remjax", "scikit-learn", "matrix products"):
        mine = [row for row in rows if row["implementation"] == name]
        assert [row["rounds"] for row in mine] == [1, 1]
        assert all(row["milliseconds"] > 0.0 and row["speedup"] > 0.0 for row in mine)


@pytest.mark.parametrize(
    "work",
    [TrainingWork("iwae", 4, 8, None, 1), MachineWork(4, 7, 3, 2, 1)],
    ids=["net", "machine"],
)
def test_work_travels_as_json(work):
    there = Implementation("networks.ours", "prepare", work, 8.0)
    assert decoded(encoded(there)) == there
    assert type(decoded(encoded(there)).work) is type(work)


def test_a_peer_that_is_missing_says_so():
    work = TrainingWork("iwae", 4, 8, None, 1)
    wanted = {
        "other": Implementation("absent", "prepare", work),
        "wrong": Implementation("networks.products", "prepare", work),
    }
    with workers(wanted, 60.0) as started:
        assert not started.ready
        assert "is not installed" in started.failed["other"]
        assert "beside the forward pass" in started.failed["wrong"]


@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        (peers, ["--sizes=20"], "--sizes=20 is no B x K: write it as 20x1000"),
        (peers, ["--machines=5x4"], "--machines=5x4 is no chains x visible x hidden units: write"),
        (boltzmann, ["--chains=0"], "--chains=0: give positive whole numbers"),
        (peers, ["--methods=rem"], "--methods=rem is not known"),
        (scaling, ["--keep=64", "--particles=8"], "--keep=64 is more than --particles=8"),
        (scaling, ["--methods=remv1"], "--method=remv1 is not known: use one of rem_v1"),
        (gradient_variance, ["--particles=0"], "--particles=0: give positive whole numbers"),
        (time_to_quality, ["--dataset=digits", "--methods=iwae:x"], "write it as name:K:keep"),
        (peers, ["--json=/nowhere/rows.json"], "cannot write /nowhere/rows.json"),
    ],
)
def test_bad_input_is_one_line(module, arguments, message, run_binary):
    done = run_binary(module, *arguments)
    assert done.code == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
