"""The command that trains: its flags, the settings that they make, and the run."""

import contextlib
import dataclasses
import types
import typing
from pathlib import Path

from absl import flags

from experiments.output.files import read_json
from experiments.output.tables import two_columns
from experiments.run import hosts
from experiments.run.choices import look_up
from experiments.run.continuation import require_fit
from experiments.run.fitting import Stopped
from experiments.run.method_options import applies
from experiments.run.presets import PRESETS, form_of
from experiments.run.problem import build
from experiments.run.run_directory import start
from experiments.run.runs import run_to_result
from experiments.run.scoring import remarks
from experiments.run.settings import MAY_CHANGE, Settings
from experiments.run.stopping import stop_on_signal
from remjax.errors import InputError
from remjax.sharding import check_divides

FLAGS = flags.FLAGS

COLUMNS = [
    "method", "dataset", "epochs", "num_particles", "eval_num_particles", "train_log_likelihood",
    "test_log_likelihood", "test_log_likelihood_stderr", "ess", "test_pareto_k", "kl_to_prior",
    "active_units", "active_units_per_layer", "seconds",
]  # fmt: skip


def define_flags() -> None:
    """The run's folder, its hosts, and one flag for each field of `Settings`."""
    flags.DEFINE_string("run_dir", None, "folder of the run, which is made if it is missing")
    flags.DEFINE_bool("resume", False, "go on with the run in --run_dir, if there is one")
    flags.DEFINE_string(
        "preset", None, f"settings to start from, which other flags override: {', '.join(PRESETS)}"
    )
    hosts.define_flags()
    flags.adopt_module_key_flags(hosts)  # otherwise --help would leave them out
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
    """The settings of the command line: the defaults, then the preset, then the flags.

    With --resume those of the earlier run come first, so that they need not be given again.
    """
    preset = look_up(PRESETS, "preset", FLAGS.preset) if FLAGS.preset else {}
    chosen = {name: FLAGS[name].value for name in FLAGS if FLAGS[name].present}
    path = Path(FLAGS.run_dir) / "config.json"
    earlier = read_json(path) if FLAGS.resume and path.is_file() else {}
    # A preset serves every method: settings that the chosen method does not have are left out.
    method = chosen.get("method") or earlier.get("method") or FLAGS.method
    method = form_of(method, FLAGS.preset)
    preset = {name: value for name, value in preset.items() if applies(name, method)}
    return Settings.from_mapping({**earlier, **preset, **chosen, "method": method})


def main() -> None:
    """Train, evaluate and draw the run that the flags describe."""
    if not FLAGS.run_dir:
        raise InputError("--run_dir is missing: name a folder for the run, as --run_dir=runs/first")
    settings = settings_from_flags()
    config = dataclasses.asdict(settings)
    hosts.join()
    hosts.require_same("settings", config)
    problem = build(settings)  # refuses bad settings before anything is written
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
            print(f"\n{two_columns(result, COLUMNS)}\n{remarks(result)}")
            print(f"\nresult and pictures are in {run.path}")
