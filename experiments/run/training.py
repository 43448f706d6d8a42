"""The command that trains: its flags, the settings that they make, and the run."""

import contextlib
import dataclasses
from pathlib import Path

from absl import flags

from experiments.output.files import read_json
from experiments.output.tables import two_columns
from experiments.run import hosts
from experiments.run.choices import ENDING_SCHEDULES, look_up
from experiments.run.continuation import require_fit
from experiments.run.fields import define
from experiments.run.fitting import Stopped
from experiments.run.kinds import MODELS, chosen, kind_of
from experiments.run.presets import PRESETS, form_of
from experiments.run.problem import build
from experiments.run.run_directory import RunDirectory, start
from experiments.run.runs import run_to_result
from experiments.run.settings import DEFAULTS, MAY_CHANGE, Settings
from experiments.run.stopping import stop_on_signal
from remjax.errors import InputError
from remjax.sharding import check_divides

FLAGS = flags.FLAGS

# Of models without defaults of their own, where they are fitted to this data set. The digits are
# few and small: of so many updates, which take less than two minutes, a newcomer sees digits.
_DATASET_DEFAULTS = {
    "digits": {"epochs": 120, "batch_size": 50, "learning_rate": 3e-3, "num_particles": 20}
}


def define_flags() -> None:
    """The run's folder, its hosts, and one flag for each field of `Settings`."""
    flags.DEFINE_string("run_dir", None, "folder of the run, which is made if it is missing")
    flags.DEFINE_bool("resume", False, "go on with the run in --run_dir, if there is one")
    flags.DEFINE_string(
        "preset", None, f"settings to start from, which other flags override: {', '.join(PRESETS)}"
    )
    hosts.define_flags()
    flags.adopt_module_key_flags(hosts)  # otherwise --help would leave them out
    for field in dataclasses.fields(Settings):
        define(field)(field.name, field.default, _meaning(field))


def _meaning(field: dataclasses.Field) -> str:
    """The help of the flag of a setting, with the kinds of model that have a default of their own.

    Of --model itself, with their names.
    """
    text = field.metadata["meaning"]
    if field.name == "model":
        return f"{text}: {', '.join(MODELS)}"
    own = {name: kind.defaults.get(field.name, field.default) for name, kind in MODELS.items()}
    differing = [
        f"{values[field.name]} for --dataset={name}"
        for name, values in _DATASET_DEFAULTS.items()
        if field.name in values
    ]
    differing += [f"{own[name]} for {name}" for name in own if own[name] != field.default]
    return f"{text} (default {', '.join(differing)})" if differing else text


def settings_from_flags() -> Settings:
    """The settings of the command line: the model's or the data's defaults, the preset, the flags.

    The model and the method are those of the preset too, where no flag names another. With
    --resume those of the earlier run come first, so that they need not be given again.
    """
    preset = look_up(PRESETS, "preset", FLAGS.preset) if FLAGS.preset else {}
    given = {name: FLAGS[name].value for name in FLAGS if FLAGS[name].present}
    path = Path(FLAGS.run_dir) / "config.json"
    earlier = read_json(path) if FLAGS.resume and path.is_file() else {}
    model = given.get("model") or earlier.get("model") or preset.get("model") or FLAGS.model
    # A setting that is newer than the earlier run has the default of all models.
    goes_on = earlier and earlier.get("model", model) == model
    dataset = given.get("dataset", FLAGS.dataset)
    kind = kind_of(model)
    defaults = {**kind.defaults, **kind.of_data.get(dataset, {})}
    if not kind.defaults:
        defaults = _DATASET_DEFAULTS.get(dataset, {})
    base = earlier if goes_on else defaults
    # Of another model than its own the preset names no method.
    of_preset = preset.get("method") if preset.get("model", model) == model else None
    found = earlier.get("method") if goes_on else of_preset
    method = given.get("method") or found or base.get("method") or FLAGS.method
    method = form_of(method, FLAGS.preset)
    # A preset serves every method and every posterior: what the chosen one has not is left out.
    preset = chosen(preset, model, method, given.get("posterior") or earlier.get("posterior"))
    return Settings.from_mapping({**base, **preset, **given, "model": model, "method": method})


def _may_change(settings: Settings) -> tuple[tuple[str, ...], dict[str, str]]:
    """The settings in which a run that goes on may differ, and why another may not.

    More epochs it may have, where its schedule does not end with the last one.
    """
    path = Path(FLAGS.run_dir) / "config.json"
    earlier = read_json(path) if FLAGS.resume and path.is_file() else {}
    if settings.epochs <= earlier.get("epochs", settings.epochs):
        return MAY_CHANGE, {}
    if settings.schedule not in ENDING_SCHEDULES:
        return (*MAY_CHANGE, "epochs"), {}
    if settings.schedule != earlier.get("schedule"):
        return MAY_CHANGE, {}
    why = f"--schedule={settings.schedule} ends with the last epoch, so every rate would be another"
    return MAY_CHANGE, {"epochs": why}


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
    require_fit(problem)

    def started() -> RunDirectory:
        may_change, reasons = _may_change(settings)
        return start(
            FLAGS.run_dir,
            config,
            resume=FLAGS.resume,
            may_change=may_change,
            reasons=reasons,
            defaults=DEFAULTS,
        )

    run = hosts.on_first(started)
    with run or contextlib.nullcontext():
        if run is not None:
            some = f", {settings.train_size:,} of them used" if settings.train_size else ""
            about = problem.kind.about(problem)
            print(f"{settings.method} on {problem.dataset.source}{some}{about and f'; {about}'}")
        with stop_on_signal() as stop:
            try:
                result = run_to_result(settings, run, stop, problem=problem)
            except Stopped:
                if run is not None:
                    by = stop.signal_name or "another host"
                    print(f"stopped by {by}; everything is saved: go on with --resume")
                return
        if run is not None:
            scoring = problem.kind.scoring
            columns = [name for name in scoring.columns if name in result]
            print(f"\n{two_columns(result, columns)}\n{scoring.remarks(result)}")
            written = "result and pictures are" if settings.pictures else "the result is"
            print(f"\n{written} in {run.path}")
