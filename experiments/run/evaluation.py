"""The command that evaluates a finished run again, with other particles or other images."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from absl import flags

from experiments.output.tables import two_columns
from experiments.run.fields import define
from experiments.run.fitting import Stopped
from experiments.run.initial_state import initial_state
from experiments.run.kind import Flag, Further, kept
from experiments.run.kinds import MODELS
from experiments.run.problem import build
from experiments.run.progress import progress_bar
from experiments.run.replicas import each_replica, local, over_replicas
from experiments.run.run_directory import reopen
from experiments.run.settings import Settings
from experiments.run.stopping import stop_on_signal
from remjax.errors import InputError
from remjax.training import checkpoints

FLAGS = flags.FLAGS


def _settings_again() -> Iterator[dataclasses.Field]:
    """The settings of which an evaluation may have other values than the run."""
    return (field for field in dataclasses.fields(Settings) if field.metadata.get("again"))


def _further_flags() -> dict[str, Flag]:
    """Those for the further figures of every kind of model."""
    return {
        name: flag for kind in MODELS.values() for name, flag in kind.scoring.further.flags.items()
    }


def define_flags() -> None:
    """The run, and what to evaluate of it."""
    flags.DEFINE_string("run_dir", None, "folder of the run, as experiments.train wrote it")
    for field in _settings_again():
        define(field)(field.name, None, f"{field.metadata['again']}; default that of the run")
    flags.DEFINE_string("mesh", None, "devices that share the images, as data:8; default one")
    for name, flag in _further_flags().items():
        flags.DEFINE_integer(name, flag.default, flag.meaning)


def main() -> None:
    """Read the run back, score it, and add the figures to its result."""
    if not FLAGS.run_dir:
        raise InputError("--run_dir is missing: name the folder of a run")
    with reopen(FLAGS.run_dir) as run, stop_on_signal() as stop:
        if not run.result():  # only a finished run has one
            raise InputError(f"{run.path} is not finished: go on with experiments.train --resume")
        problem = build(_settings(run.config()))
        scoring = problem.kind.scoring
        further = _further(scoring.further, problem.settings.model)
        run.require_data(problem.dataset.source, problem.data_checksum, problem.facts.to_json())
        state = checkpoints.restore(run.checkpoints, initial_state(problem))

        def check() -> None:
            if stop:
                raise Stopped

        try:
            each = []
            for one in map(local, each_replica(state, problem.settings.num_replicas)):
                added = further(problem, one, check) if further else {}
                each.append(added | kept(scoring.score(problem, one, check, progress_bar)))
        except Stopped:
            print(f"stopped by {stop.signal_name}; nothing was added to the result")
            return
        figures = {"step": int(state.step)} | (over_replicas(each) if len(each) > 1 else each[0])
        run.update_result({"evaluations": [*run.result().get("evaluations", []), figures]})
        columns = (*scoring.columns_again, *(scoring.further.columns if further else ()))
        print(two_columns(figures, [name for name in columns if name in figures]))
        print(scoring.remarks(figures))


def _settings(config: dict[str, Any]) -> Settings:
    """Those of the run, but for what the flags change."""
    changes = {
        field.name: FLAGS[field.name].value
        for field in _settings_again()
        if FLAGS[field.name].value is not None
    }
    changes["mesh"] = FLAGS.mesh  # the devices of this machine, not those that trained
    return dataclasses.replace(Settings.from_mapping(config), **changes)


def _further(further: Further, model: str) -> Any:
    """What measures the further figures that the flags ask for, or None.

    Raises:
        InputError: for flags that do nothing, or values that cannot be.
    """
    given = {name: FLAGS[name].value for name in _further_flags() if FLAGS[name].present}
    for name in given:
        if name not in further.flags:
            raise InputError(f"--{name} does nothing for --model={model}: leave it out")
    return further.asked(given)
