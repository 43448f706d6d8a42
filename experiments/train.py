"""Fit a deep latent-variable model to images, evaluate it, save it, show it.

    python -m experiments.train --method=rem_v1 --dataset=digits --run_dir=RUN

writes into RUN: config.json, metrics.jsonl (one object per epoch), result.json, checkpoints/,
tensorboard/ and pictures/. Ctrl-C or SIGTERM saves and exits; --resume goes on, also after a kill,
to the very numbers that an uninterrupted run would have reached. --mesh=data:4,particles:2 spreads
the work over eight devices; on several hosts every one runs this command, with --num_hosts.
"""

import contextlib
import dataclasses
import types
import typing
from pathlib import Path

from absl import flags

from experiments import command_line, hosts
from experiments.continuation import require_fit
from experiments.files import read_json
from experiments.fitting import Stopped
from experiments.method_options import applies
from experiments.methods import look_up
from experiments.presets import PRESETS, form_of
from experiments.problem import build
from experiments.run_directory import start
from experiments.runs import run_to_result
from experiments.scoring import remarks
from experiments.settings import MAY_CHANGE, Settings
from experiments.stopping import stop_on_signal
from experiments.tables import upright
from remjax.errors import InputError
from remjax.sharding import check_divides

FLAGS = flags.FLAGS

COLUMNS = [
    "method", "dataset", "epochs", "num_particles", "eval_num_particles", "train_log_likelihood",
    "test_log_likelihood", "test_log_likelihood_stderr", "ess", "test_pareto_k", "kl_to_prior",
    "active_units", "active_units_per_layer", "seconds",
]  # fmt: skip


def define_flags() -> None:
    """Where the run is, and one flag for each field of `Settings`."""
    flags.DEFINE_string("run_dir", None, "folder of the run; made if it is missing")
    flags.DEFINE_bool("resume", False, "go on with the run in --run_dir, or start if there is none")
    flags.DEFINE_string(
        "preset", None, f"settings to start from, under those given: {', '.join(PRESETS)}"
    )
    hosts.define_flags()
    flags.adopt_module_key_flags(hosts)  # or --help would leave them out
    define = {
        str: flags.DEFINE_string,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        bool: flags.DEFINE_bool,
    }
    for field in dataclasses.fields(Settings):
        kind = field.type
        if isinstance(kind, types.UnionType):
            kind = next(k for k in typing.get_args(kind) if k is not types.NoneType)
        define[kind](field.name, field.default, field.metadata["meaning"])


def settings_from_flags() -> Settings:
    """The settings that the command line asks for: defaults, then the preset, then the flags.

    With --resume those of the run that is there come first, so that they need not be given again.
    """
    preset = look_up(PRESETS, "preset", FLAGS.preset) if FLAGS.preset else {}
    chosen = {name: FLAGS[name].value for name in FLAGS if FLAGS[name].present}
    path = Path(FLAGS.run_dir) / "config.json"
    earlier = read_json(path) if FLAGS.resume and path.is_file() else {}
    # A preset is for every method; what the chosen one does not have is left out of it.
    method = chosen.get("method") or earlier.get("method") or FLAGS.method
    method = form_of(method, FLAGS.preset)
    preset = {name: value for name, value in preset.items() if applies(name, method)}
    return Settings.from_mapping({**earlier, **preset, **chosen, "method": method})


def main() -> None:
    """Run what the flags ask for."""
    if not FLAGS.run_dir:
        raise InputError("--run_dir is missing: name a folder for the run, as --run_dir=runs/first")
    settings = settings_from_flags()
    config = dataclasses.asdict(settings)
    hosts.join()
    hosts.require_same("settings", config)
    problem = build(settings)  # what cannot be is refused before anything is written
    hosts.require_same("images", problem.data_checksum)
    check_divides(problem.mesh, settings.batch_size)
    require_fit(problem, settings)
    run = hosts.on_first(
        lambda: start(FLAGS.run_dir, config, resume=FLAGS.resume, may_change=MAY_CHANGE)
    )
    with run or contextlib.nullcontext():
        if run is not None:
            some = f", {settings.train_size:,} of them used" if settings.train_size else ""
            print(f"{settings.method} on {problem.dataset.source}{some}")
        with stop_on_signal() as stop:
            try:
                result = run_to_result(settings, run, stop)
            except Stopped:
                if run is not None:
                    by = stop.signal_name or "another host"
                    print(f"stopped by {by}; everything is saved: go on with --resume")
                return
        if run is not None:
            print(f"\n{upright(result, COLUMNS)}\n{remarks(result)}")
            print(f"\nresult and pictures are in {run.path}")


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
