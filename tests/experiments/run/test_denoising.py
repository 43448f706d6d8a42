"""Denoising models in the commands: train, resume, evaluate, mesh, replicas."""

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
from experiments.run.denoising_scoring import sampler_of
from experiments.run.images import evaluation_images
from experiments.run.progress import progress_bar
from experiments.run.sampled import draw_by
from tests.experiments.run.runs import json_of, metrics_of, state_of, stop_at_every_call

_ROOT = Path(__file__).parents[3]
# 4 updates in each of 3 epochs; 40 draws of 8 chains.
_FLAGS = (
    "--model=denoising", "--method=denoising", "--dataset=digits", "--train_size=200",
    "--batch_size=50", "--epochs=3", "--hidden_size=8", "--csl_draws=10,40",
    "--csl_chains=8", "--csl_every=2", "--csl_burn_in=6", "--eval_size=50", "--learning_rate=0.01",
)  # fmt: skip


@pytest.fixture(scope="module")
def fitted(run_binary, tmp_path_factory):
    """A finished run with a fixed corruption, and what it printed."""
    path = tmp_path_factory.mktemp("fitted") / "run"
    done = run_binary(train, *_FLAGS, "--eval_every=2", "--pictures", f"--run_dir={path}")
    assert (done.code, done.stderr) == (0, "")
    return path, done.stdout


def _log_probs(network, zbar, centre):
    """[M, 2, X] log p(0 | zbar) and log p(1 | zbar) in float64: two tanh layers and a head."""
    units = zbar - centre
    for layer in (network["hidden"][0], network["hidden"][1]):
        kernel, bias = (np.asarray(layer[name], np.float64) for name in ("kernel", "bias"))
        units = np.tanh(units @ kernel + bias)
    logits = units @ np.asarray(network["head"]["kernel"], np.float64) + network["head"]["bias"]
    return np.stack([-np.logaddexp(0.0, logits), -np.logaddexp(0.0, -logits)], axis=1)


def test_result_is_that_of_the_draws(fitted):
    """CSL, and Parzen windows at the bandwidth found, in float64 from the draws themselves."""
    path, stdout = fitted
    result, (problem, state) = json_of(path / "result.json"), state_of(path)
    drawn = draw_by(sampler_of(problem, state), problem.settings, lambda: None, progress_bar)
    assert drawn.sources.shape == drawn.means.shape == (40, 64)
    x = evaluation_images(problem.dataset, "test", 50).astype(np.float64)
    network, centre = state.params.theta["network"], problem.dataset.train.mean(axis=0)
    off, on = _log_probs(network, drawn.sources.astype(np.float64), centre).swapaxes(0, 1)
    log_p = x @ on.T + (1 - x) @ off.T
    for name, count in (("test_csl_10", 10), ("test_csl", 40)):
        csl = np.logaddexp.reduce(log_p[:, :count], axis=1) - np.log(count)
        assert result[name] == pytest.approx(csl.mean(), rel=1e-4)
    assert result["test_csl_stderr"] == pytest.approx(csl.std(ddof=1) / 50**0.5, rel=1e-3)
    np.testing.assert_allclose(drawn.means, np.exp(on), rtol=1e-3, atol=1e-5)
    width = result["parzen_history_bandwidth"]
    squares = ((x[:, None] - drawn.means) ** 2).sum(axis=-1)
    windows = -squares / (2 * width**2) - 64 * np.log(width * np.sqrt(2 * np.pi))
    history = np.mean(np.logaddexp.reduce(windows, axis=1) - np.log(40))
    assert result["parzen_history"] == pytest.approx(history, rel=1e-3)
    assert "test_log_likelihood" not in result
    assert (result["corruption"], result["skipped_updates"]) == ("salt_and_pepper", 0)
    assert result["corruption_strength"] == pytest.approx(0.4)
    assert "of 40 draws (10: -" in stdout
    assert "evaluating 40 draws of 8 chains, 2 steps apart after 6" in stdout


def test_pictures(fitted):
    path, _ = fitted
    names = {"samples", "chains", "restored", "filters", "learning_curves", "csl"}
    assert {picture.stem for picture in (path / "pictures").iterdir()} == names
    for name in names:
        with Image.open(path / "pictures" / f"{name}.png") as image:
            assert min(image.size) > 40


def test_epochs_follow_what_the_model_restores(fitted):
    path, stdout = fitted
    rows, result = metrics_of(path), json_of(path / "result.json")
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert ["test_csl" in row for row in rows] == [False, True, False]
    assert rows[-1]["test_reconstruction"] == pytest.approx(result["test_reconstruction"])
    assert rows[-1]["log_likelihood"] > rows[0]["log_likelihood"]
    assert "log p(x | zbar)" in stdout


def test_walkback_and_learned_corruptions_are_other_losses(run_binary, fitted, tmp_path):
    plain = metrics_of(fitted[0])
    flags = [*_FLAGS, "--csl_draws=0"]
    walk = [*flags, "--method=walkback", "--num_steps=3", f"--run_dir={tmp_path / 'walk'}"]
    assert run_binary(train, *walk).code == 0
    rows = metrics_of(tmp_path / "walk")
    assert rows[-1]["log_likelihood"] < plain[-1]["log_likelihood"]
    assert "test_csl" not in json_of(tmp_path / "walk" / "result.json")
    for name, more in (
        ("salt_and_pepper", ["--corruption_rate=0.5"]),
        ("gaussian", ["--corruption_scale=0.8"]),
    ):
        path = tmp_path / name
        learned = [*flags, "--method=learned_corruption", "--information=0"]
        done = run_binary(train, *learned, f"--corruption={name}", *more, f"--run_dir={path}")
        assert (done.code, done.stderr) == (0, "")
        rows, result = metrics_of(path), json_of(path / "result.json")
        # Eq. 9 alone pushes the noise to zero.
        strengths = [float(more[0].partition("=")[2])]
        strengths += [row["corruption_strength"] for row in rows]
        assert all(np.diff(strengths) < 0)
        assert result["corruption_strength"] == pytest.approx(strengths[-1])
        assert "information" in rows[0]


def test_stopped_run_comes_to_the_same_bits(run_binary, fitted, tmp_path, numbers):
    flags = [*_FLAGS, "--eval_every=2", f"--run_dir={tmp_path}", "--resume"]
    with pytest.MonkeyPatch.context() as patch:
        stop_at_every_call(patch)
        assert "stopped by SIGTERM" in run_binary(train, *flags).stdout
    done = run_binary(train, f"--run_dir={tmp_path}", "--resume")
    assert (done.code, done.stderr) == (0, "")
    assert numbers(tmp_path) == numbers(fitted[0])


def test_replicas_are_the_runs_of_their_seeds(run_binary, fitted, tmp_path):
    assert run_binary(train, *_FLAGS, f"--run_dir={tmp_path}", "--num_replicas=2").code == 0
    result, alone = (json_of(path / "result.json") for path in (tmp_path, fitted[0]))
    first, second = result["replicas"]
    assert first["test_reconstruction"] == pytest.approx(alone["test_reconstruction"], rel=1e-4)
    assert first["test_reconstruction"] != second["test_reconstruction"]
    assert result["test_csl"] == pytest.approx((first["test_csl"] + second["test_csl"]) / 2)


def test_evaluated_again_by_other_draws(run_binary, fitted, tmp_path):
    """The first draws of the same chains are the same."""
    path = tmp_path / "run"
    shutil.copytree(fitted[0], path)
    done = run_binary(evaluate, f"--run_dir={path}", "--csl_draws=5,40,100")
    assert (done.code, done.stderr) == (0, "")
    assert "| test_csl " in done.stdout
    done = run_binary(
        evaluate, f"--run_dir={path}", "--csl_draws=40", "--csl_chains=20", "--eval_size=20"
    )
    assert (done.code, done.stderr) == (0, "")
    result = json_of(path / "result.json")
    longer, other = result["evaluations"]
    assert longer["test_csl_40"] == pytest.approx(result["test_csl"], rel=1e-6)
    assert longer["test_reconstruction"] == pytest.approx(result["test_reconstruction"])
    assert longer["csl_draws"] == 100
    assert (other["csl_chains"], other["test_images"]) == (20, 20)
    assert other["test_csl"] != result["test_csl"]


def test_mesh_comes_to_the_same_numbers(fitted, tmp_path):
    command = [sys.executable, "-m", "experiments.train", *_FLAGS, f"--run_dir={tmp_path}"]
    environment = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    done = subprocess.run(
        [*command, "--mesh=data:2"],
        cwd=_ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (_, one), (_, other) = state_of(fitted[0]), state_of(tmp_path, mesh=None)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5),
        one.params,
        other.params,
    )
    ours, theirs = (json_of(path / "result.json") for path in (tmp_path, fitted[0]))
    assert ours["test_reconstruction"] == pytest.approx(theirs["test_reconstruction"], rel=1e-4)


def test_real_data_have_gaussian_noise(run_binary, tmp_path, frey_file):
    flags = (
        "--dataset=freyfaces", f"--data_dir={frey_file.parent}", "--train_size=100",
        "--corruption=gaussian", "--corruption_scale=0.2", "--epochs=1", f"--run_dir={tmp_path}",
    )  # fmt: skip
    done = run_binary(train, *_FLAGS, *flags)
    assert (done.code, done.stderr) == (0, "")
    result = json_of(tmp_path / "result.json")
    assert np.isfinite([result["test_csl"], result["parzen_history"]]).all()
    assert result["corruption_strength"] == pytest.approx(0.2)
    problem, _ = state_of(tmp_path)
    noise = problem.parts.noise(jax.random.key(0), 200)
    np.testing.assert_allclose(
        jnp.mean(noise), np.mean(problem.dataset.train), atol=5 / np.sqrt(noise.size)
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method=iwae"], "--method=iwae does not serve --model=denoising: use one of denoising"),
        (["--num_particles=5"], "--num_particles does nothing for --model=denoising: leave it out"),
        (["--warm_up=9"], "--warm_up does nothing for --model=denoising: leave it out"),
        (["--latent_size=9"], "--latent_size does nothing for --model=denoising: leave it out"),
        (["--log_z_chains=9"], "--log_z_chains does nothing for --model=denoising: leave it out"),
        (["--num_steps=2"], "--num_steps does nothing for --method=denoising: leave it out"),
        (["--method=walkback", "--num_steps=0"], "error: --num_steps is 0: give at least 1 step"),
        (["--num_corruptions=0"], "error: --num_corruptions is 0: give 1 or more"),
        (
            ["--method=learned_corruption", "--num_corruptions=1"],
            "error: --num_corruptions is 1: each draw of SaltAndPepper is compared",
        ),
        (["--corruption=salt"], "--corruption=salt is not known: use one of salt_and_pepper"),
        (["--corruption_rate=1.5"], "--corruption_rate=1.5 cannot be: give a probability from 0"),
        (["--corruption_rate=nan"], "--corruption_rate=nan cannot be: give a probability from 0"),
        (["--corruption_scale=0.5"], "--corruption_scale does nothing for --corruption=salt_and"),
        (
            ["--corruption=gaussian", "--corruption_rate=0.5"],
            "--corruption_rate does nothing for --corruption=gaussian: give --corruption_scale",
        ),
        (["--corruption=gaussian", "--corruption_scale=0"], "--corruption_scale=0.0 cannot be"),
        (
            ["--csl_draws=100,10"],
            "--csl_draws=100,10 cannot be: give a positive number, or several",
        ),
        (["--csl_draws=many"], "--csl_draws=many cannot be"),
        (["--csl_chains=0"], "--csl_chains=0 cannot be: give a positive number"),
        (["--mesh=particles:2"], "has devices for particles, which --model=denoising has not"),
        (["--hidden_size=3000000"], "the network would have a layer of up to"),
    ],
)
def test_wrong_input_is_one_line(run_binary, tmp_path, arguments, words):
    done = run_binary(train, *_FLAGS, *arguments, f"--run_dir={tmp_path / 'run'}")
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert words in done.stderr
    assert not (tmp_path / "run").exists()


def test_corruption_of_bits_is_refused_for_real_data(run_binary, tmp_path, frey_file):
    flags = ("--dataset=freyfaces", f"--data_dir={frey_file.parent}", "--corruption=flips")
    done = run_binary(train, *_FLAGS, *flags, f"--run_dir={tmp_path / 'run'}")
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "--corruption=flips is for pixels within [0, 1], which the draws for --dataset=fre" in (
        done.stderr
    )


def test_settings_of_denoising_are_refused_by_others(run_binary, tmp_path):
    for flag in ("--corruption=flips", "--csl_draws=100"):
        done = run_binary(train, flag, "--dataset=digits", f"--run_dir={tmp_path / 'run'}")
        assert (done.code, done.stderr.count("\n")) == (2, 1)
        name = flag.partition("=")[0]
        assert f"{name} does nothing for --model=gaussian: leave it out" in done.stderr


def test_methods_of_denoising_are_in_the_table(run_binary):
    done = run_binary(methods)
    assert (done.code, done.stderr) == (0, "")
    for name in ("denoising", "walkback", "learned_corruption"):
        assert f"| {name} " in done.stdout
    one = run_binary(methods, "--method=walkback").stdout
    assert "--num_steps: corruptions that the chain of the model passes through" in one
