"""Replicas in one program are the runs of their seeds, and a stopped one goes on bit for bit."""

import json
import os
import signal

import numpy as np
import pytest

from experiments import train
from experiments.run import fitting

_NAMES = ("test_log_likelihood", "train_log_likelihood", "ess", "kl_to_prior")


def _result(path):
    return json.loads((path / "result.json").read_text())


@pytest.fixture(scope="module")
def replicated(run_binary, tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("replicated") / "run"
    done = run_binary(train, *tiny, f"--run_dir={path}", "--num_replicas=2")
    assert (done.code, done.stderr) == (0, "")
    return path


def test_each_replica_is_the_run_of_its_seed(replicated, finished, run_binary, tiny, tmp_path):
    other = tmp_path / "seed1"
    assert run_binary(train, *tiny, f"--run_dir={other}", "--seed=1").code == 0
    result, alone = _result(replicated), [_result(finished), _result(other)]
    assert [one["seed"] for one in result["replicas"]] == [0, 1]
    for one, expected in zip(result["replicas"], alone, strict=True):
        for name in _NAMES:
            assert one[name] == pytest.approx(expected[name], rel=1e-4)
    for name in _NAMES:
        both = [one[name] for one in result["replicas"]]
        assert result[name] == pytest.approx(np.mean(both))
        assert result[f"{name}_std"] == pytest.approx(np.std(both, ddof=1))
    assert result["num_replicas"] == 2
    lines = [
        [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
        for path in (replicated, finished, other)
    ]
    for ours, *expected in zip(*lines, strict=True):
        both = [one["log_evidence"] for one in expected]
        assert ours["log_evidence"] == pytest.approx(np.mean(both), rel=1e-4)
        assert ours["log_evidence_std"] == pytest.approx(np.std(both, ddof=1), rel=1e-2)


def test_stopped_replicas_come_to_the_same_bits(
    replicated, run_binary, tiny, tmp_path, numbers, monkeypatch
):
    original = fitting._Clock.tick

    def tick(clock, steps):
        original(clock, steps)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(fitting._Clock, "tick", tick)
    arguments = [*tiny, f"--run_dir={tmp_path}", "--num_replicas=2", "--resume"]
    assert "stopped by SIGTERM" in run_binary(train, *arguments).stdout
    monkeypatch.undo()
    assert run_binary(train, *arguments).code == 0
    assert numbers(tmp_path) == numbers(replicated)
