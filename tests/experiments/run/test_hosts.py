"""Two real processes are one run: its files are written once, and one that dies ends the other."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments import train
from experiments.run import hosts
from experiments.run.initial_state import initial_state
from experiments.run.problem import build
from experiments.run.settings import Settings
from remjax.errors import InputError
from remjax.training import checkpoints

_ROOT = Path(__file__).parents[3]
_TRAIN = [sys.executable, "-m", "experiments.train"]


@pytest.fixture
def both_hosts(tiny, tmp_path):
    """Starts both hosts, one command for each: [(code, out, err)] * 2.

    Host 0 is given a minute after the end of host 1.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = [*tiny, f"--run_dir={tmp_path}", "--num_hosts=2", f"--coordinator=127.0.0.1:{port}"]

    def run(*commands, mesh=()):
        hosts = [
            subprocess.Popen(
                [*command, *flags, *mesh, f"--host_index={index}", "--resume"],
                cwd=_ROOT,
                env=os.environ | {"XLA_FLAGS": "--xla_backend_optimization_level=0"},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for index, command in enumerate(commands)
        ]
        try:
            outputs = [
                host.communicate(timeout=seconds)
                for host, seconds in ((hosts[1], 400), (hosts[0], 60))
            ]
        finally:
            for host in hosts:
                host.kill()
                host.wait()
        return [
            (host.returncode, *output) for host, output in zip(hosts, outputs[::-1], strict=True)
        ]

    return run


def _state(path):
    config = json.loads((path / "config.json").read_text())
    settings = Settings.from_mapping(config | {"mesh": None})  # read here by one device
    state = checkpoints.restore(path / "checkpoints", initial_state(build(settings)))
    return jax.tree.leaves(state.params)


def _records(path):
    lines = (path / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in [*lines, (path / "result.json").read_text()]]


@pytest.mark.exhaustive
@pytest.mark.timeout(900)  # four processes, each of which compiles
def test_two_hosts_are_one_run_also_after_one_was_killed(
    both_hosts, kills_itself, tmp_path, finished
):
    # Host 1 dies as epoch 2 ends, whose checkpoint host 0 may have saved before it noticed.
    first, second = both_hosts(_TRAIN, kills_itself("experiments.run.fitting:_metrics:2"))
    assert second[0] == -9, (first[2], second[2])
    assert first[0] not in (0, 2)
    # Within a minute, as `both_hosts` sees to.
    # Who notices first, the sum over the devices or JAX's watch over the hosts, is up to them.
    assert "lost touch with another host" in first[2] or "another task died" in first[2]
    assert checkpoints.latest_step(tmp_path / "checkpoints") in (4, 8)

    # What began with the images divided goes on with the particles divided.
    first, second = both_hosts(_TRAIN, _TRAIN, mesh=["--mesh=particles:2"])
    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    assert "result and pictures are in" in first[1]
    # But for the lines of the library that connects them, the second host says nothing.
    assert [line for line in second[1].splitlines() if not line.startswith("[Gloo]")] == []
    assert sorted(entry.name for entry in (tmp_path / "checkpoints").iterdir()) == [
        "00000008",
        "00000012",
    ]
    # What two hosts saved is read here by one, and is what one would have come to.
    for ours, expected in zip(_state(tmp_path), _state(finished), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-5)
    for ours, expected in zip(_records(tmp_path), _records(finished), strict=True):
        for name in ("log_evidence", "ess", "test_log_likelihood", "train_log_likelihood"):
            if name in expected:
                assert ours[name] == pytest.approx(expected[name], rel=1e-4)


def test_hosts_that_do_not_find_one_another_are_one_line(run_binary, tiny, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("DEADLINE_EXCEEDED: nobody there\nand so on")

    monkeypatch.setattr(jax.distributed, "initialize", fail)
    done = run_binary(train, *tiny, f"--run_dir={tmp_path}/run", "--num_hosts=2")
    assert (done.code, done.stderr.count("\n")) == (2, 1)
    assert "the 2 hosts did not find one another (DEADLINE_EXCEEDED: nobody there): give" in (
        done.stderr
    )


def test_hosts_that_do_not_run_the_same_say_what_differs(monkeypatch):
    settings = {"epochs": 3, "learning_rate": 1e-3, "data_dir": "here"}

    def as_if_beside(other):
        """`gather` as this host sees it beside one with other settings."""
        theirs = []
        monkeypatch.setattr(hosts, "gather", lambda *sums: theirs.append(sums) or np.array([sums]))
        hosts.require_same("settings", other)
        monkeypatch.setattr(hosts, "gather", lambda *sums: np.array([sums, theirs[0]]))

    as_if_beside(settings | {"data_dir": "there"})
    hosts.require_same("settings", settings)
    as_if_beside(settings | {"learning_rate": 2e-3})
    with pytest.raises(InputError, match=r"the same settings \(--learning_rate\): give every host"):
        hosts.require_same("settings", settings)
    as_if_beside(5)
    with pytest.raises(InputError, match="do not have the same images: give every host"):
        hosts.require_same("images", 6)
