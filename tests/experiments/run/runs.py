"""What a test reads of a run's folder, and how it interrupts one."""

import json
import os
import signal

from experiments.run import fitting
from experiments.run.initial_state import initial_state
from experiments.run.problem import build
from experiments.run.settings import Settings
from remjax.training import checkpoints


def json_of(path):
    """The object in a file of JSON."""
    return json.loads(path.read_text())


def metrics_of(path):
    """The rows of metrics.jsonl."""
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def state_of(path, **changes):
    """The problem of a run, some of its settings changed, and its last state."""
    problem = build(Settings.from_mapping(json_of(path / "config.json") | changes))
    return problem, checkpoints.restore(path / "checkpoints", initial_state(problem))


def stop_at_every_call(patch):
    """Sends this process a SIGTERM after each compiled call of a training run."""
    original = fitting._Clock.tick

    def tick(clock, steps):
        original(clock, steps)
        os.kill(os.getpid(), signal.SIGTERM)

    patch.setattr(fitting._Clock, "tick", tick)
