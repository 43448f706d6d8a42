"""A finished run read back: its parts and its parameters, for pictures of several runs together."""

import dataclasses
import os
from pathlib import Path
from typing import NamedTuple

from experiments.output.files import read_json
from experiments.run.initial_state import initial_state
from experiments.run.kind import Problem
from experiments.run.problem import build
from experiments.run.replicas import each_replica
from experiments.run.settings import Settings
from remjax.training import checkpoints
from remjax.types import Params


class FinishedRun(NamedTuple):
    """A finished run.

    Attributes:
        problem: its parts.
        params: of its first seed.
    """

    problem: Problem
    params: Params


def finished_run(path: str | os.PathLike[str], data_dir: str | None) -> FinishedRun:
    """The run in a directory, its data read from `data_dir`.

    Raises:
        InputError: its configuration or its checkpoint cannot be read.
    """
    config = read_json(Path(path) / "config.json")
    settings = dataclasses.replace(Settings.from_mapping(config), data_dir=data_dir, mesh=None)
    problem = build(settings)
    state = checkpoints.restore(Path(path) / "checkpoints", initial_state(problem))
    return FinishedRun(problem, each_replica(state, settings.num_replicas)[0].params)
