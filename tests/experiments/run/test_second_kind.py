"""A second kind of model goes through the commands by the same functions as the first."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from experiments import evaluate, train
from experiments.run.images import evaluation_images
from experiments.run.kinds import MODELS
from tests.experiments.run import coins
from tests.experiments.run.runs import json_of, metrics_of, state_of, stop_at_every_call

_ROOT = Path(__file__).parents[3]
# 4 updates in each of 3 epochs.
_FLAGS = (
    "--model=coins", "--dataset=digits", "--train_size=200", "--batch_size=50", "--epochs=3",
    "--eval_size=20", "--eval_every=2",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _coins(monkeypatch):
    coins.join(monkeypatch.setitem)


@pytest.fixture(scope="module")
def tossed(run_binary, tmp_path_factory):
    """A finished run of coins and what it printed."""
    path = tmp_path_factory.mktemp("tossed") / "run"
    with pytest.MonkeyPatch.context() as patch:
        coins.join(patch.setitem)
        done = run_binary(train, *_FLAGS, "--pictures", f"--run_dir={path}")
    assert (done.code, done.stderr) == (0, "")
    return path, done.stdout


def test_defaults_of_a_kind_enter_before_the_flags(tossed, run_binary, tmp_path):
    config = json_of(tossed[0] / "config.json")
    assert {name: config[name] for name in coins.KIND.defaults} == coins.KIND.defaults
    own = ("--method=at_once", "--optimizer=adam", "--learning_rate=0.01")
    assert run_binary(train, *_FLAGS, *own, f"--run_dir={tmp_path}").code == 0
    config = json_of(tmp_path / "config.json")
    assert (config["method"], config["optimizer"], config["learning_rate"]) == (
        "at_once", "adam", 0.01,
    )  # fmt: skip
    assert config["schedule"] == "linear"


def test_result_is_that_of_the_last_state(tossed):
    path, stdout = tossed
    result, (problem, state) = json_of(path / "result.json"), state_of(path)
    theta = np.asarray(state.params.theta, np.float64)
    for part in ("train", "test"):
        x = evaluation_images(problem.dataset, part, 20).astype(np.float64)
        values = np.sum(x * theta - np.logaddexp(0.0, theta), axis=1)
        assert result[f"{part}_log_likelihood"] == pytest.approx(np.mean(values), rel=1e-5)
    assert result["running_mean"] == pytest.approx(float(np.mean(state.estimator_state)), rel=1e-5)
    assert 0.2 < result["running_mean"] < 0.45  # it began at a half
    # 64 independent pixels at their frequencies come to -27 nats; a fair coin each to -44.
    assert -35 < result["test_log_likelihood"] < -24
    assert (result["method"], result["tosses"], result["skipped_updates"]) == ("slowly", 7, 0)
    assert "num_particles" not in result
    assert f"{result['test_log_likelihood']:.2f}" in stdout
    assert f"heads in {result['running_mean']:.0%} of the tosses" in stdout
    assert "evaluating images with 7 tosses" in stdout
    for name in ("coins", "curves"):
        with Image.open(path / "pictures" / f"{name}.png") as image:
            assert min(image.size) > 100
    assert len(list((path / "pictures").iterdir())) == 2


def test_epochs_have_the_metrics_and_the_line_of_the_kind(tossed):
    path, stdout = tossed
    rows = metrics_of(path)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["log_likelihood"] > rows[0]["log_likelihood"] + 1
    assert ["test_log_likelihood" in row for row in rows] == [False, True, False]
    result = json_of(path / "result.json")
    assert rows[-1]["heads"] == pytest.approx(result["running_mean"])
    assert f"epoch   3/3  log_likelihood {rows[-1]['log_likelihood']:9.2f} nats  " in stdout
    assert "ess" not in stdout


def test_stopped_run_comes_to_the_same_bits(run_binary, tossed, tmp_path, numbers):
    arguments = [*_FLAGS, f"--run_dir={tmp_path}", "--resume"]
    with pytest.MonkeyPatch.context() as patch:
        stop_at_every_call(patch)
        assert "stopped by SIGTERM" in run_binary(train, *arguments).stdout
    # The settings are those of the run, not the defaults of the first kind.
    done = run_binary(train, f"--run_dir={tmp_path}", "--resume")
    assert (done.code, done.stderr) == (0, "")
    assert "goes on after 1 of 12 updates" in done.stdout
    assert numbers(tmp_path) == numbers(tossed[0])


def test_setting_newer_than_a_run_has_the_default_of_all_models(
    run_binary, tossed, tmp_path, monkeypatch
):
    """And not one that the kind has got since."""
    path = tmp_path / "run"
    shutil.copytree(tossed[0], path)
    config = json_of(path / "config.json")
    assert config.pop("adam_b1") == 0.9
    (path / "config.json").write_text(json.dumps(config))
    since = coins.KIND._replace(defaults=coins.KIND.defaults | {"adam_b1": 0.5})
    monkeypatch.setitem(MODELS, "coins", since)
    done = run_binary(train, f"--run_dir={path}", "--resume")
    assert (done.code, done.stderr) == (0, "")
    assert json_of(path / "config.json")["adam_b1"] == 0.9


def test_another_kind_cannot_go_on(run_binary, tossed, finished):
    for path, arguments, words in (
        (tossed[0], ["--model=gaussian"], "a run with --model=coins, which cannot go on with"),
        (finished, ["--model=coins"], "a run with --model=gaussian, which cannot go on with"),
        # Without a word of the model, that of the run.
        (tossed[0], ["--num_particles=4"], "--num_particles does nothing for --model=coins"),
    ):
        done = run_binary(train, *arguments, f"--run_dir={path}", "--resume")
        assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
        assert words in done.stderr


def test_run_begins_where_another_ended(run_binary, tossed, tmp_path):
    flags = [*_FLAGS, f"--run_dir={tmp_path}/run", f"--init_from={tossed[0]}", "--seed=3"]
    assert run_binary(train, *flags, "--learning_rate=1e-9").code == 0
    ours, theirs = (json_of(path / "result.json") for path in (tmp_path / "run", tossed[0]))
    assert ours["test_log_likelihood"] == pytest.approx(theirs["test_log_likelihood"], abs=1e-4)


def test_replicas_are_the_runs_of_their_seeds(run_binary, tossed, tmp_path):
    both, other = tmp_path / "both", tmp_path / "other"
    assert run_binary(train, *_FLAGS, f"--run_dir={both}", "--num_replicas=2").code == 0
    assert run_binary(train, *_FLAGS, f"--run_dir={other}", "--seed=1").code == 0
    alone = [json_of(path / "result.json") for path in (tossed[0], other)]
    result = json_of(both / "result.json")
    for name in ("test_log_likelihood", "running_mean"):
        expected = [one[name] for one in alone]
        assert [one[name] for one in result["replicas"]] == pytest.approx(expected, rel=1e-5)
        assert result[f"{name}_std"] == pytest.approx(np.std(expected, ddof=1), rel=1e-2)
    rows, expected = metrics_of(both), [metrics_of(path) for path in (tossed[0], other)]
    for name in ("log_likelihood", "heads", "test_log_likelihood"):
        values = [one[1][name] for one in expected]
        assert rows[1][name] == pytest.approx(np.mean(values), rel=1e-5)
        assert rows[1][f"{name}_std"] == pytest.approx(np.std(values, ddof=1), rel=1e-2)


def test_evaluated_again(run_binary, tossed, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(tossed[0], path)
    flags = ("--eval_num_particles=5", "--coin_tosses=100")
    done = run_binary(evaluate, f"--run_dir={path}", *flags)
    assert (done.code, done.stderr) == (0, "")
    result = json_of(path / "result.json")
    (figures,) = result["evaluations"]
    assert (figures["step"], figures["tosses"]) == (12, 5)
    assert figures["heads"] == pytest.approx(100 * result["running_mean"])
    assert figures["test_log_likelihood"] == pytest.approx(result["test_log_likelihood"])
    assert "| heads " in done.stdout
    assert "of the tosses" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ais_steps=3"], "--ais_steps does nothing for --model=coins: leave it out"),
        (["--eval_proposal=two_stage"], "--eval_proposal does nothing for --model=coins: leave it"),
    ],
)
def test_flags_of_another_evaluation_are_refused(run_binary, tossed, arguments, words):
    done = run_binary(evaluate, f"--run_dir={tossed[0]}", *arguments)
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert words in done.stderr


def test_flags_of_the_evaluation_of_coins_are_refused_by_others(run_binary, finished):
    done = run_binary(evaluate, f"--run_dir={finished}", "--coin_tosses=3")
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "--coin_tosses does nothing for --model=gaussian: leave it out" in done.stderr


def test_knob_reaches_the_estimator(run_binary, tossed, tmp_path):
    """With almost no memory the running mean is that of the last batch."""
    flags = [*_FLAGS, f"--run_dir={tmp_path}"]
    assert run_binary(train, *flags, "--decay=1e-6").code == 0
    (_, ours), (_, theirs) = state_of(tmp_path), state_of(tossed[0])
    assert np.max(np.abs(np.rint(50 * ours.estimator_state) - 50 * ours.estimator_state)) < 1e-3
    assert np.max(np.abs(np.rint(50 * theirs.estimator_state) - 50 * theirs.estimator_state)) > 0.1


_ON_A_MESH = """
    import operator, sys
    from experiments import train
    from experiments.run import command_line
    from tests.experiments.run import coins

    coins.join(operator.setitem)
    train.define_flags()
    command_line.run(train.main)
"""


def test_mesh_comes_to_the_same_numbers(tossed, tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(_ON_A_MESH), *_FLAGS]
    environment = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    done = subprocess.run(
        [*command, f"--run_dir={tmp_path}", "--mesh=data:2"],
        cwd=_ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    ours, theirs = (json_of(path / "result.json") for path in (tmp_path, tossed[0]))
    for name in ("test_log_likelihood", "running_mean"):
        assert ours[name] == pytest.approx(theirs[name], rel=1e-5)
    (_, one), (_, other) = state_of(tossed[0]), state_of(tmp_path, mesh=None)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), one.params, other.params)
