"""A run on eight virtual devices is the run on one, also where another mesh goes on with it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[3]
_NAMES = ("test_log_likelihood", "train_log_likelihood", "ess", "kl_to_prior")
_ENVIRONMENT = {
    "XLA_FLAGS": "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
}


def _result(path):
    return json.loads((path / "result.json").read_text())


def _run(command, *flags):
    return subprocess.run(
        [*command, *flags],
        cwd=_ROOT,
        env=os.environ | _ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.exhaustive
@pytest.mark.timeout(900)  # three processes, each of which compiles
def test_replicas_go_on_on_another_mesh(kills_itself, tiny, tmp_path, finished):
    flags = [*tiny, f"--run_dir={tmp_path}", "--num_replicas=2", "--resume"]
    killed = _run(
        kills_itself("experiments.run.fitting:_metrics:2"), *flags, "--mesh=data:2,particles:4"
    )
    assert killed.returncode == -9, killed.stderr
    done = _run([sys.executable, "-m", "experiments.train"], *flags, "--mesh=data:5")
    assert (done.returncode, done.stderr) == (0, "")
    result, expected = _result(tmp_path), _result(finished)
    assert [one["seed"] for one in result["replicas"]] == [0, 1]
    for name in _NAMES:
        # The first epoch ran on one mesh, the others on another.
        assert result["replicas"][0][name] == pytest.approx(expected[name], rel=1e-3)

    # Twenty images do not divide by the devices; what is scored does not change.
    evaluate = [sys.executable, "-m", "experiments.evaluate"]
    done = _run(evaluate, f"--run_dir={tmp_path}", "--mesh=data:8", "--eval_num_particles=20")
    assert (done.returncode, done.stderr) == (0, "")
    again = _result(tmp_path)
    for name in _NAMES:
        assert again[name] == pytest.approx(result[name], rel=1e-4)
