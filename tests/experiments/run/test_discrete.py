"""Discrete VAEs in the commands: a Boltzmann prior with both posteriors; resume, mesh, refusals."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from PIL import Image

from experiments import evaluate, train
from experiments.run.images import evaluation_images
from experiments.run.kinds import chosen
from experiments.run.log_z import at_both_ends
from experiments.run.methods import WITH_RECOGNITION
from experiments.run.presets import PRESETS
from experiments.run.settings import Settings
from remjax.distributions import PiecewiseLinear, PowerFunction
from remjax.models import normalize_prior
from remjax.training import checkpoints
from remjax.training.optimizers import vahdat_schedule
from tests.experiments.run.runs import json_of, metrics_of, state_of, stop_at_every_call

_ROOT = Path(__file__).parents[3]
# 4 updates in each of 2 epochs; all 2^7 latents can be enumerated.
_FLAGS = (
    "--model=dvae", "--dataset=digits", "--train_size=200", "--batch_size=50", "--epochs=2",
    "--latent_size=4,3", "--hidden_size=8", "--hidden_layers=1", "--prior_chains=8",
    "--warm_up=4", "--track_temperatures=20", "--eval_size=10", "--eval_num_particles=400",
)  # fmt: skip
_MACHINE = ("--posterior=rbm", "--posterior_sweeps=3", "--eval_temperatures=20")


@pytest.fixture(scope="module")
def directed(run_binary, tmp_path_factory):
    """A finished run with a directed posterior of bits in two groups, and what it printed."""
    path = tmp_path_factory.mktemp("directed") / "run"
    done = run_binary(
        train, *_FLAGS, "--latent_size=4,4", "--posterior_groups=2", f"--run_dir={path}"
    )
    assert (done.code, done.stderr) == (0, "")
    return path, done.stdout


@pytest.fixture(scope="module")
def undirected(run_binary, tmp_path_factory):
    """A finished run with an undirected posterior, and what it printed."""
    path = tmp_path_factory.mktemp("undirected") / "run"
    done = run_binary(train, *_FLAGS, *_MACHINE, "--pictures", f"--run_dir={path}")
    assert (done.code, done.stderr) == (0, "")
    return path, done.stdout


def _exact(problem, state, log_z):
    """log p(x) of each test image, by all latents."""
    theta, size = normalize_prior(state.params.theta, log_z), sum(problem.settings.latent_sizes)
    z = jnp.asarray((np.arange(2**size)[:, None] >> np.arange(size)) & 1, jnp.float32)
    model = problem.parts.model
    images = jnp.asarray(evaluation_images(problem.dataset, "test", problem.settings.eval_size))
    log_joint = jax.vmap(lambda x: jax.vmap(model.joint(theta, x).hard())(z))(images)
    return scipy.special.logsumexp(np.asarray(log_joint, np.float64), axis=1)


@pytest.mark.parametrize("posterior", ["directed", "undirected"])
def test_log_likelihood_is_that_by_all_latents(posterior, request):
    """400 particles of 2^7 or 2^8 latents are within a tenth of a nat; log Z is enumerated."""
    path, stdout = request.getfixturevalue(posterior)
    result, (problem, state) = json_of(path / "result.json"), state_of(path)
    expected = np.mean(_exact(problem, state, result["log_z"]))
    for name in ("", "_low", "_high"):
        assert result[f"test_log_likelihood{name}"] == pytest.approx(expected, abs=0.1)
    assert (result["log_z_by"], result["skipped_updates"]) == ("enumeration", 0)
    assert ("as_released" in stdout) == (posterior == "undirected")


def test_pictures(undirected):
    pictures = undirected[0] / "pictures"
    names = {"samples", "prior_chains", "bits", "reconstructions", "learning_curves"}
    assert {picture.stem for picture in pictures.iterdir()} == names
    for name in names:
        with Image.open(pictures / f"{name}.png") as image:
            assert min(image.size) > 100


def test_log_z_is_followed_while_it_learns(undirected):
    """By a short annealing after every epoch, and with it the log-evidence."""
    rows, result = metrics_of(undirected[0]), json_of(undirected[0] / "result.json")
    assert abs(rows[-1]["log_z"] - result["log_z"]) < 0.05
    for row in rows:
        expected = row["unnormalized_log_evidence"] - row["kl_weight"] * row["log_z"]
        assert row["log_evidence"] == pytest.approx(expected, abs=1e-3)
        low, middle, high = (row[f"log_evidence{end}"] for end in ("_low", "", "_high"))
        assert high - low == pytest.approx(row["kl_weight"] * abs(row["log_z_gap"]), abs=1e-3)
        assert f"log_evidence {middle:9.2f} ({low:.2f} to {high:.2f}) nats" in undirected[1]
    assert f"log Z {rows[-1]['log_z']:8.2f}" in undirected[1]


def test_stopped_run_comes_to_the_same_bits(run_binary, undirected, tmp_path, numbers):
    """The chains of the prior and those of every training image among them."""
    with pytest.MonkeyPatch.context() as patch:
        stop_at_every_call(patch)
        flags = [*_FLAGS, *_MACHINE, f"--run_dir={tmp_path}", "--resume"]
        assert "stopped by SIGTERM" in run_binary(train, *flags).stdout
    done = run_binary(train, f"--run_dir={tmp_path}", "--resume")
    assert (done.code, done.stderr) == (0, "")
    assert numbers(tmp_path) == numbers(undirected[0])


def test_killed_run_comes_to_the_same_bits(run_binary, undirected, tmp_path, numbers, kills_itself):
    """The metrics of epoch 2 are written, its checkpoint is not."""
    flags = [*_FLAGS, *_MACHINE, f"--run_dir={tmp_path}", "--resume"]
    command = [*kills_itself("remjax.training.checkpoints:save:2"), *flags]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (-signal.SIGKILL, "")
    assert checkpoints.latest_step(tmp_path / "checkpoints") == 4
    done = run_binary(train, f"--run_dir={tmp_path}", "--resume")
    assert (done.code, done.stderr) == (0, "")
    assert numbers(tmp_path) == numbers(undirected[0])


def test_the_lower_figure_comes_first():
    """Where noise has the ends of the bracket of log Z the wrong way about, too."""
    for ends in ((5.0, 6.0), (6.0, 5.0)):
        assert at_both_ends(-4.5, *ends) == (-10.5, -9.5)


def test_chains_of_the_images_are_bits_in_the_state(undirected):
    """4 bits of one chain for each of 200 images, eight to the byte; visits have moved them."""
    _, state = state_of(undirected[0])
    (chains,) = jax.tree.leaves(state.memory)
    assert (chains.shape[0], chains.dtype) == (200, jnp.uint8)
    assert chains.nbytes <= 200
    assert len(np.unique(chains)) > 4


@pytest.mark.exhaustive
def test_mesh_and_replicas_come_to_the_same_numbers(undirected, run_binary, tmp_path):
    path = tmp_path / "mesh"
    command = [sys.executable, "-m", "experiments.train", *_FLAGS, *_MACHINE, f"--run_dir={path}"]
    environment = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    done = subprocess.run(
        [*command, "--mesh=data:2"],
        cwd=_ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    alone = json_of(undirected[0] / "result.json")
    ours = json_of(path / "result.json")
    assert ours["test_log_likelihood"] == pytest.approx(alone["test_log_likelihood"], abs=2e-2)
    path = tmp_path / "replicas"
    done = run_binary(train, *_FLAGS, *_MACHINE, f"--run_dir={path}", "--num_replicas=2")
    assert (done.code, done.stderr) == (0, "")
    first = json_of(path / "result.json")["replicas"][0]
    assert first["test_log_likelihood"] == pytest.approx(alone["test_log_likelihood"], abs=2e-2)


def test_evaluated_again_with_more_temperatures(run_binary, undirected):
    flags = ("--eval_temperatures=40", "--eval_num_particles=200", "--eval_size=6")
    done = run_binary(evaluate, f"--run_dir={undirected[0]}", *flags)
    assert (done.code, done.stderr) == (0, "")
    (figures,) = json_of(undirected[0] / "result.json")["evaluations"]
    assert (figures["eval_num_particles"], figures["test_images"]) == (200, 6)
    assert np.isfinite(figures["test_log_likelihood_as_released"])


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "flags",
    [
        ["--method=rws", "--relaxation=none", "--num_particles=5"],
        ["--method=rem_v1", "--num_particles=5", *_MACHINE],
        ["--method=dreg", "--relaxation=pwl_stop_slope", "--num_particles=3", *_MACHINE],
        ["--method=iwae", "--relaxation=concrete", "--sharpness=5", "--num_particles=3"],
        [
            "--method=stl",
            "--relaxation=power",
            "--prior_phase=population",
            "--raw_heads",
            *_MACHINE,
        ],
        ["--method=dvae", "--prior_phase=tempered_pcd", "--noshared_context"],
        ["--posterior=rbm_groups", "--latent_size=4,4", "--posterior_groups=2"],
    ],
    ids=lambda flags: flags[0].partition("=")[2],
)
def test_other_methods_train(run_binary, tmp_path, flags):
    done = run_binary(train, *_FLAGS, *flags, f"--run_dir={tmp_path}")
    assert (done.code, done.stderr) == (0, "")
    result = json_of(tmp_path / "result.json")
    assert np.isfinite(result["test_log_likelihood"])
    assert result["skipped_updates"] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--latent_size=8"], "whose prior has two sides: give two numbers, as 100,100"),
        (
            ["--posterior_groups=3"],
            "--posterior_groups=3 cannot be: num_groups is 3: give a number",
        ),
        (["--relaxation=power", "--sharpness=1"], "--sharpness=1.0 cannot be: beta is 1.0: give a"),
        (
            ["--prior_phase=tempered_pcd", "--prior_temperatures=1"],
            "--prior_temperatures=1 cannot be: num_temperatures is 1: ",
        ),
        (
            ["--relaxation=pwl", "--method=vimco", "--num_particles=3"],
            "--relaxation=pwl does not go with --method=vimco, which has no gradient along the ",
        ),
        (
            ["--relaxation=concrete", "--method=rws", *_MACHINE],
            "--relaxation=concrete does not go with --method=rws",
        ),
        (["--method=rem_curvature", "--num_particles=50"], "those of r are discrete"),
        (["--method=tvo", "--sharpness=3"], "--sharpness does nothing for --relaxation=none"),
        (["--posterior=rbm", "--posterior_groups=7"], "does nothing for --posterior=rbm"),
        (["--raw_heads"], "--raw_heads does nothing for --posterior=directed: leave it out"),
        (["--relaxation=step"], "--relaxation=step is not known: use one of"),
        (["--relaxation=none", "--sharpness=3"], "does nothing for --relaxation=none"),
        (["--relaxation=none"], "binary latents have no reparameterised draw"),
        (["--sharpness=0"], "--sharpness=0.0 cannot be: give a positive number"),
        (["--prior_chains=0"], "--prior_chains=0 cannot be: give a positive number"),
        (["--prior_temperatures=9"], "--prior_temperatures does nothing for --prior_phase=pcd"),
        (["--prior_phase=cd"], "--prior_phase=cd is not known: use one of"),
        (["--posterior=rbm", "--method=nvil"], "log Z"),
        (
            ["--posterior=rbm_groups", "--latent_size=14,14"],
            "--posterior_groups=1 cannot be: num_groups is 1, of 28 bits each, and",
        ),
        (["--posterior=rbm_groups", "--raw_heads"], "does nothing for --posterior=rbm_groups"),
        (
            ["--relaxed_prior=marginal", "--relaxation=concrete"],
            "--relaxed_prior=marginal with --relaxation=concrete cannot be: the smoothing is Conc",
        ),
        (
            ["--relaxed_prior=marginal", "--posterior=rbm"],
            "--relaxed_prior does nothing for --posterior=rbm: leave it out",
        ),
        (["--relaxed_prior=marginal", "--posterior=rbm_groups"], "--relaxed_prior does nothing"),
        (
            ["--relaxed_prior=marginal", "--method=rem_v1", "--num_particles=5"],
            "no distribution of the kind SmoothedBernoulli is known by its mean and covariance",
        ),
        (["--relaxed_prior=density"], "--relaxed_prior=density is not known: use one of energy"),
        (["--model=gaussian", "--relaxation=concrete"], "--relaxation does nothing for --model="),
    ],
)
def test_what_cannot_be_is_one_line(run_binary, tmp_path, arguments, words):
    path = tmp_path / "run"
    others = "--model=gaussian" in arguments
    flags = ["--dataset=digits"] if others else _FLAGS
    done = run_binary(train, *flags, *arguments, f"--run_dir={path}")
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert words in done.stderr
    assert not path.exists()


@pytest.mark.parametrize("method", WITH_RECOGNITION.methods)
def test_bits_are_relaxed_where_the_method_has_a_use_for_it(method):
    """Without a word on the command line; a sharpness is one."""
    serves = WITH_RECOGNITION.default_of(method).serves_relaxed
    expected = PiecewiseLinear() if serves else None
    assert Settings(model="dvae").relaxed_for(method, serves).bits_as == expected


@pytest.mark.parametrize("method", ["vae", "rws"])
def test_smoothed_bits_are_of_a_smoothing_whatever_the_method(method):
    serves = WITH_RECOGNITION.default_of(method).serves_relaxed
    settings = Settings(model="dvae", relaxed_prior="marginal", sharpness=20.0)
    settings = settings.relaxed_for(method, serves)
    assert (settings.relaxation, settings.bits_as) == ("power", None)
    assert settings.smoothing == PowerFunction(20.0)
    assert Settings(model="dvae", relaxation="power").smoothing is None


def test_a_relaxed_prior_trains_and_is_scored_by_bits(run_binary, tmp_path):
    """log p(x) of bits, summed over all of them, is what L_K tends to."""
    flags = ("--relaxed_prior=marginal", "--method=vae", "--epochs=1")
    done = run_binary(train, *_FLAGS, *flags, f"--run_dir={tmp_path}")
    assert (done.code, done.stderr) == (0, "")
    result = json_of(tmp_path / "result.json")
    problem, state = state_of(tmp_path)
    r = problem.parts.recognition.r(state.params.eta, jnp.zeros(64))
    assert r.smoothed_by == PowerFunction()
    exact = np.mean(_exact(problem, state, result["log_z"]))
    assert result["test_log_likelihood"] == pytest.approx(exact, abs=0.2)


def test_a_method_of_bits_trains_on_bits(run_binary, tmp_path):
    flags = ("--method=vimco", "--num_particles=3", "--epochs=1")
    assert run_binary(train, *_FLAGS, *flags, f"--run_dir={tmp_path}").code == 0
    problem, state = state_of(tmp_path)
    assert problem.parts.recognition.r(state.params.eta, jnp.zeros(64)).is_discrete


def test_a_preset_serves_both_posteriors():
    """What the machine alone has is left out for a directed posterior, and the rest stays."""
    preset = PRESETS["dvae_paper"]
    both = [chosen(preset, "dvae", "stl", posterior) for posterior in ("rbm", "directed")]
    assert both[0]["raw_heads"]
    assert set(both[0]) - set(both[1]) == {"raw_heads"}
    assert chosen(preset, "dvae", "stl") == both[0]


def test_schedule_of_the_release():
    """3e-4 for 2 % of the updates, 3e-3 to 60 %, 1e-3 to 75 %, 3e-4 to 95 %, 9.1e-5 to the end."""
    schedule = vahdat_schedule(3e-3, 1000)
    expected = {0: 3e-4, 19: 3e-4, 21: 3e-3, 599: 3e-3, 601: 1e-3, 751: 3e-4, 951: 9.1e-5}
    for update, rate in expected.items():
        np.testing.assert_allclose(schedule(update), rate, rtol=2e-3)
