"""Restricted Boltzmann machines in the commands: train, resume, evaluate, mesh, replicas."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments import evaluate, methods, train
from experiments.run.images import evaluation_images
from experiments.run.initial_state import initial_state
from experiments.run.problem import build
from experiments.run.settings import Settings
from remjax.boltzmann import exact, load_machine
from remjax.training import checkpoints
from tests.experiments.run.runs import json_of, metrics_of, state_of, stop_at_every_call

_ROOT = Path(__file__).parents[3]
# 4 updates in each of 3 epochs; log Z is enumerated over 6 hidden units.
_FLAGS = (
    "--model=rbm", "--dataset=digits", "--train_size=200", "--batch_size=50", "--epochs=3",
    "--latent_size=6", "--num_chains=8", "--learning_rate=0.5", "--track_temperatures=20",
)  # fmt: skip
_LONGER = ("--epochs=60", "--learning_rate=0.4")
# A run enumerates 20 hidden units at most; of 21 a test can, once.
_ANNEALED = (
    "--latent_size=21", "--log_z_temperatures=400", "--log_z_chains=150", "--log_z_burn_in=300",
)  # fmt: skip


@pytest.fixture(scope="module")
def fitted(run_binary, tmp_path_factory):
    """A finished run by persistent chains, and what it printed."""
    path = tmp_path_factory.mktemp("fitted") / "run"
    done = run_binary(train, *_FLAGS, "--pictures", f"--run_dir={path}")
    assert (done.code, done.stderr) == (0, "")
    return path, done.stdout


def _exact(machine, x):
    """[N] log p(x) in float64, log Z by all states of the hidden units."""
    weights, a, b = (
        np.asarray(leaf, np.float64)
        for leaf in (machine.weights, machine.visible_bias, machine.hidden_bias)
    )
    hidden = (np.arange(2 ** len(b))[:, None] >> np.arange(len(b))) & 1
    terms = hidden @ b + np.logaddexp(0.0, a + hidden @ weights.T).sum(axis=1)
    return x @ a + np.logaddexp(0.0, b + x @ weights).sum(axis=1) - np.logaddexp.reduce(terms)


def test_result_is_exact_where_log_z_can_be_enumerated(fitted):
    path, stdout = fitted
    result, (problem, state) = json_of(path / "result.json"), state_of(path)
    for part in ("train", "test"):
        x = evaluation_images(problem.dataset, part, 0).astype(np.float64)
        expected = np.mean(_exact(state.params.theta, x))
        for name in ("", "_low", "_high"):
            assert result[f"{part}_log_likelihood{name}"] == pytest.approx(expected, abs=2e-3)
        assert result[f"{part}_images"] == len(x)
    assert result["log_z_by"] == "enumeration"
    assert result["log_z_gap"] == 0
    assert (result["method"], result["skipped_updates"]) == ("pcd", 0)
    assert "exact: log Z is enumerated" in stdout
    names = {"filters", "samples", "chains", "learning_curves"}
    assert {picture.stem for picture in (path / "pictures").iterdir()} == names
    for name in names:
        with Image.open(path / "pictures" / f"{name}.png") as image:
            assert min(image.size) > 100
    for saved, kept in zip(
        jax.tree.leaves(load_machine(path / "machine.npz")),
        jax.tree.leaves(state.params.theta),
        strict=True,
    ):
        np.testing.assert_array_equal(saved, kept)


def test_epochs_follow_log_z_and_the_chains(fitted):
    path, stdout = fitted
    rows = metrics_of(path)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    result = json_of(path / "result.json")
    distance = rows[-1]["tracked_log_z"] - result["log_z"]
    assert abs(distance) < 5 * rows[-1]["tracked_log_z_stderr"] + 0.05
    assert 0 < rows[-1]["flip_rate"] < 1
    assert "pseudo-log-likelihood" in stdout
    last = rows[-1]
    low, middle, high = (last[f"tracked_log_likelihood{name}"] for name in ("_low", "", "_high"))
    assert f"log-likelihood {middle:8.2f} ({low:.2f} to {high:.2f}) nats" in stdout


def test_annealed_log_z_is_bracketed(run_binary, tmp_path):
    """Around the enumerated one; the command prints and logs both ends of a likelihood."""
    flags = (*_FLAGS, *_ANNEALED, "--eval_every=3", f"--run_dir={tmp_path}")
    done = run_binary(train, *flags)
    assert (done.code, done.stderr) == (0, "")
    assert "evaluating log Z with 400 temperatures and 150 chains in each direction" in done.stdout
    result, (problem, state) = json_of(tmp_path / "result.json"), state_of(tmp_path)
    x = evaluation_images(problem.dataset, "test", 0).astype(np.float64)
    log_z = float(jax.jit(exact)(state.params.theta).log_z)
    for name in ("log_z", "log_z_ais", "log_z_reverse"):
        error = result["log_z_stderr" if name == "log_z" else f"{name}_stderr"]
        assert abs(result[name] - log_z) < 4.5 * error + 1e-3, name
    assert result["log_z_gap"] == pytest.approx(result["log_z_reverse"] - result["log_z_ais"])
    free = float(np.mean(-np.asarray(state.params.theta.free_energy(jnp.asarray(x, jnp.float32)))))
    smaller, larger = sorted((result["log_z_ais"], result["log_z_reverse"]))
    ends = {"": result["log_z"], "_low": larger, "_high": smaller}
    for name, end in ends.items():
        figure = f"test_log_likelihood{name}"
        assert result[figure] == pytest.approx(free - end, abs=1e-3)
        (line,) = (one for one in done.stdout.splitlines() if figure in one.split())
        printed = line.replace("|", " ").split()[1]
        assert float(printed) == pytest.approx(result[figure], abs=0.006)
    rows = metrics_of(tmp_path)
    assert ["test_log_likelihood" in row for row in rows] == [False, False, True]
    for name in ("log_z_gap", *(f"test_log_likelihood{name}" for name in ends)):
        assert rows[-1][name] == pytest.approx(result[name], abs=1e-4)
    # Without pictures, the machine is there all the same.
    assert f"the result is in {tmp_path}" in done.stdout
    assert not (tmp_path / "pictures").exists()
    assert load_machine(tmp_path / "machine.npz").weights.shape == (64, 21)


@pytest.mark.parametrize("method", ["cd", "pcd", "tempered_pcd", "population"])
def test_every_method_improves_the_likelihood(run_binary, tmp_path, method):
    flags = [
        flag
        for flag in (*_FLAGS, *_LONGER)
        if method != "cd" or not flag.startswith("--num_chains")
    ]
    done = run_binary(train, *flags, f"--method={method}", "--l2=1e-4", f"--run_dir={tmp_path}")
    assert (done.code, done.stderr) == (0, "")
    rows = metrics_of(tmp_path)
    assert rows[-1]["tracked_log_likelihood"] > rows[0]["tracked_log_likelihood"] + 1
    measured = {
        "cd": "flip_rate",
        "pcd": "flip_rate",
        "tempered_pcd": "swap_rate",
        "population": "log_z",
    }
    assert measured[method] in rows[0]


def test_stopped_run_comes_to_the_same_bits(run_binary, fitted, tmp_path, numbers):
    with pytest.MonkeyPatch.context() as patch:
        stop_at_every_call(patch)
        flags = [*_FLAGS, f"--run_dir={tmp_path}", "--resume"]
        assert "stopped by SIGTERM" in run_binary(train, *flags).stdout
    done = run_binary(train, f"--run_dir={tmp_path}", "--resume")
    assert (done.code, done.stderr) == (0, "")
    assert numbers(tmp_path) == numbers(fitted[0])


def test_replicas_are_the_runs_of_their_seeds(run_binary, fitted, tmp_path):
    assert run_binary(train, *_FLAGS, f"--run_dir={tmp_path}", "--num_replicas=2").code == 0
    first = json_of(tmp_path / "result.json")["replicas"][0]
    alone = json_of(fitted[0] / "result.json")
    assert first["test_log_likelihood"] == pytest.approx(alone["test_log_likelihood"], abs=1e-3)


def test_evaluated_again_by_annealing_of_another_length(run_binary, tmp_path):
    path = tmp_path / "run"
    assert run_binary(train, *_FLAGS, *_ANNEALED, f"--run_dir={path}").code == 0
    flags = ("--log_z_temperatures=200", "--log_z_base=mean_field", "--eval_size=50")
    done = run_binary(evaluate, f"--run_dir={path}", *flags)
    assert (done.code, done.stderr) == (0, "")
    result = json_of(path / "result.json")
    (figures,) = result["evaluations"]
    assert (figures["log_z_temperatures"], figures["test_images"]) == (200, 50)
    assert figures["log_z"] == pytest.approx(result["log_z"], abs=0.2)


def test_mesh_comes_to_the_same_numbers(fitted, tmp_path):
    command = [sys.executable, "-m", "experiments.train", *_FLAGS, f"--run_dir={tmp_path}"]
    environment = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    done = subprocess.run(
        [*command, "--mesh=data:2,particles:2"],
        cwd=_ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    ours, theirs = (json_of(path / "result.json") for path in (tmp_path, fitted[0]))
    assert ours["test_log_likelihood"] == pytest.approx(theirs["test_log_likelihood"], abs=1e-3)
    (_, one), (_, other) = state_of(fitted[0]), state_of(tmp_path, mesh=None)
    np.testing.assert_allclose(
        one.params.theta.weights, other.params.theta.weights, rtol=1e-4, atol=1e-5
    )
    for a, b in zip(one.estimator_state.negative, other.estimator_state.negative, strict=True):
        np.testing.assert_array_equal(a, b)


def test_real_data_have_real_units(run_binary, tmp_path, frey_file):
    flags = (
        "--model=rbm", "--dataset=freyfaces", f"--data_dir={frey_file.parent}", "--train_size=100",
        "--batch_size=50", "--epochs=2", "--latent_size=4", "--learning_rate=0.001",
        "--track_temperatures=0", f"--run_dir={tmp_path}",
    )  # fmt: skip
    done = run_binary(train, *flags)
    assert (done.code, done.stderr) == (0, "")
    result = json_of(tmp_path / "result.json")
    assert np.isfinite(result["test_log_likelihood"])
    assert "tracked_log_z" not in metrics_of(tmp_path)[0]


def test_few_real_columns_beside_many_hidden_units(run_binary, tmp_path):
    """It is the hidden side that would be enumerated: 2^30 states, so log Z is annealed."""
    table = tmp_path / "real.csv"
    rows = np.random.default_rng(0).normal(size=(80, 4))
    np.savetxt(table, rows, delimiter=",", header="a,b,c,d", comments="")
    flags = (
        "--model=rbm", f"--dataset={table}", "--latent_size=30", "--batch_size=20", "--epochs=1",
        "--learning_rate=0.001", "--track_temperatures=0", "--log_z_temperatures=50",
        "--log_z_chains=20", "--log_z_burn_in=20", f"--run_dir={tmp_path / 'run'}",
    )  # fmt: skip
    done = run_binary(train, *flags)
    assert (done.code, done.stderr) == (0, "")
    result = json_of(tmp_path / "run" / "result.json")
    assert result["log_z_by"] == "annealing"
    assert np.isfinite([result[f"test_log_likelihood{end}"] for end in ("_low", "", "_high")]).all()


def _bytes_of(path):
    return {file.name: file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_flags_of_another_machine_are_refused(run_binary, fitted, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(fitted[0], path)
    before = _bytes_of(path)
    done = run_binary(train, *_FLAGS, f"--run_dir={path}", "--resume", "--latent_size=7")
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "--latent_size" in done.stderr
    assert _bytes_of(path) == before


def test_more_epochs_of_a_schedule_that_ends_with_the_last_are_refused(run_binary, fitted):
    """The default schedule is linear, which nothing on the command line says."""
    before = _bytes_of(fitted[0])
    done = run_binary(train, f"--run_dir={fitted[0]}", "--resume", "--epochs=6")
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    why = "(--schedule=linear ends with the last epoch, so every rate would be another)"
    assert f"with --epochs=3, which cannot go on with --epochs=6 {why}: give" in done.stderr
    assert f"give --epochs=3 again, or choose another --run_dir, which --init_from={fitted[0]}" in (
        done.stderr
    )
    fewer = run_binary(train, f"--run_dir={fitted[0]}", "--resume", "--epochs=2")
    assert "with --epochs=3, which cannot go on with --epochs=2: give" in fewer.stderr
    assert _bytes_of(fitted[0]) == before


def test_checkpoint_of_another_machine_is_refused(run_binary, fitted, tmp_path):
    """A run that was stopped finds the checkpoint of a machine of 7 hidden units in its folder."""
    path = tmp_path / "run"
    shutil.copytree(fitted[0], path, ignore=shutil.ignore_patterns("result.json", "checkpoints"))
    config = json_of(path / "config.json") | {"latent_size": "7"}
    other = initial_state(build(Settings.from_mapping(config)))
    checkpoints.save(path / "checkpoints", 4, other)
    before = _bytes_of(path)
    done = run_binary(train, f"--run_dir={path}", "--resume")
    assert (done.code, done.stderr.count("\n")) == (2, 1)
    assert "checkpoints/00000004" in done.stderr
    assert _bytes_of(path) == before
    # And so does the evaluation of a run that is finished.
    shutil.copy(fitted[0] / "result.json", path)
    done = run_binary(evaluate, f"--run_dir={path}")
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "checkpoints/00000004" in done.stderr
    assert _bytes_of(path) == before | {"result.json": (fitted[0] / "result.json").read_bytes()}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method=iwae"], "--method=iwae does not serve --model=rbm: use one of cd, pcd, "),
        (["--num_particles=5"], "--num_particles does nothing for --model=rbm: leave it out"),
        (["--latent_size=5,6"], "has one layer of hidden units: give one number"),
        (["--num_chains=0"], "error: --num_chains is 0: give 1 or more"),
        (["--method=cd"], "--num_chains does nothing for --method=cd: leave it out"),
        (
            ["--method=tempered_pcd", "--num_temperatures=1"],
            "error: --num_temperatures is 1: give 2",
        ),
        (["--log_z_base=foo"], "use one of uniform, biases, data_mean, mean_field\n"),
        (["--log_z_base=means"], "use one of data_mean, mean_field, uniform, biases\n"),
        (["--log_z_temperatures=1"], "--log_z_temperatures=1 cannot be: one step anneals nothing"),
        (["--track_temperatures=1"], "--track_temperatures=1 cannot be: give 0 for none, or 2"),
        (["--track_temperatures=-1"], "--track_temperatures=-1 cannot be: give 0 for none, or 2"),
        (["--log_z_chains=1"], "--log_z_chains=1 cannot be"),
        (["--centring_rate=2"], "--centring_rate=2.0 cannot be: give a share from 0 to 1"),
        (["--sparsity=1", "--sparsity_target=1"], "--sparsity_target=1.0 cannot be"),
        (["--sparsity_target=0.2"], "--sparsity_target does nothing without --sparsity"),
        (["--l1=-1"], "--l1=-1.0 cannot be: give 0 or more"),
        (["--mesh=data:1,particles:8", "--num_chains=4"], "more devices for particles than"),
    ],
)
def test_wrong_input_is_one_line(run_binary, tmp_path, arguments, words):
    done = run_binary(train, *_FLAGS, *arguments, f"--run_dir={tmp_path / 'run'}")
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert words in done.stderr
    assert not (tmp_path / "run").exists()


def test_settings_of_machines_are_refused_by_networks(run_binary, tmp_path):
    done = run_binary(train, "--l2=0.1", "--dataset=digits", f"--run_dir={tmp_path / 'run'}")
    assert (done.code, done.stderr.count("\n")) == (2, 1)
    assert "--l2 does nothing for --model=gaussian: leave it out" in done.stderr


def test_methods_of_machines_are_in_the_table(run_binary):
    done = run_binary(methods)
    assert (done.code, done.stderr) == (0, "")
    for name in ("cd", "pcd", "tempered_pcd", "population"):
        assert f"| {name} " in done.stdout


def test_the_digits_have_defaults_of_their_own(run_binary, tmp_path):
    """Few and small, so fewer units and larger steps; a flag that is given takes precedence."""
    flags = ("--model=rbm", "--dataset=digits", "--train_size=200", "--epochs=1")
    short = ("--log_z_temperatures=20", "--log_z_chains=10", "--log_z_burn_in=5")
    path = tmp_path / "run"
    done = run_binary(train, *flags, *short, "--track_temperatures=0", f"--run_dir={path}")
    assert (done.code, done.stderr) == (0, "")
    config = json_of(path / "config.json")
    found = [config[name] for name in ("latent_size", "learning_rate", "batch_size", "epochs")]
    assert found == ["64", 0.3, 100, 1]
