"""What the sweeps over the papers share: flags, scales, the loop over cells, one bar for them all.

A sweep is a list of cells. Each cell is a run of its own in DIR/cells, so a sweep that was stopped
or killed goes on where it was; DIR/sweep.json says whose folder it is.
"""

import dataclasses
import functools
import itertools
import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
from absl import flags
from tqdm import tqdm

from experiments.files import read_json, write_json, writing
from experiments.fitting import Stopped
from experiments.method_options import applies
from experiments.methods import look_up
from experiments.presets import PRESETS, form_of
from experiments.problem import build
from experiments.progress import Share, progress_bar, skip
from experiments.run_directory import start
from experiments.runs import run_to_result
from experiments.settings import MAY_CHANGE, Settings
from experiments.stopping import StopRequest, stop_on_signal
from remjax.errors import InputError

FLAGS = flags.FLAGS

# Smaller than the training sets of the scales above smoke: they are used whole.
SMALL_DATASETS = ("digits", "freyfaces")

# What is not finite where a run has diverged.
_MEASURED = frozenset(
    {f"{part}_log_likelihood{error}" for part in ("train", "test") for error in ("", "_stderr")}
    | {"kl_to_prior", "ess"}
)

Result = dict[str, Any]


class Cell(NamedTuple):
    """One run of a sweep.

    Attributes:
        name: its folder in DIR/cells.
        settings: what it is.
    """

    name: str
    settings: Settings


def define_flags(scales: Mapping[str, Any], preset: str, presets: Iterable[str]) -> None:
    """Where a sweep is, how much of it, and from which settings it starts."""
    flags.DEFINE_string("run_dir", None, "folder of the sweep; one that is there goes on")
    flags.DEFINE_string("data_dir", None, "folder of the data files; default as experiments.train")
    meanings = {"smoke": "a minute", "cpu": "an hour on 2 cores", "full": "a GPU"}
    told = ", ".join(f"{name} ({meanings[name]})" for name in scales)
    flags.DEFINE_string("scale", "cpu", f"how much of the protocol is run: {told}")
    flags.DEFINE_string("preset", preset, f"settings to start from: {', '.join(presets)}")
    flags.DEFINE_integer("seeds", None, "seeds of each cell; default those of the scale")


def common_settings(method: str, presets: Iterable[str], *layers: Mapping[str, Any]) -> Settings:
    """The settings of a cell: the preset's, then each layer over those before, then the flags'.

    What the method does not have is left out; where no more particles are drawn than would carry
    the gradient, all do; and the smallest data sets are used whole.

    Args:
        method: as the papers name it; a preset may run another form of it.
        presets: the names that --preset may have.
        layers: settings, the later ones prevailing; they name the data set.

    Raises:
        InputError: for an unknown preset or settings that cannot be.
    """
    preset = PRESETS[look_up({name: name for name in presets}, "preset", FLAGS.preset)]
    name = form_of(method, FLAGS.preset)
    chosen: dict[str, Any] = {"data_dir": FLAGS.data_dir} | dict(preset)
    for layer in layers:
        chosen |= layer
    if FLAGS.seeds is not None:
        if FLAGS.seeds < 1:
            raise InputError(f"--seeds={FLAGS.seeds} cannot be: give a positive number")
        chosen["num_replicas"] = FLAGS.seeds
    if chosen["dataset"] in SMALL_DATASETS and (chosen.get("train_size") or 0) > 1_000:
        del chosen["train_size"]
    chosen = {key: value for key, value in chosen.items() if applies(key, name)}
    if (chosen.get("keep") or 0) >= chosen["num_particles"]:
        del chosen["keep"]
    return Settings.from_mapping(chosen | {"method": name})


def unique(cells: Iterable[Cell]) -> list[Cell]:
    """The cells without those whose settings came before: tables share what they can."""
    first: dict[Settings, Cell] = {}
    for cell in cells:
        first.setdefault(cell.settings, cell)
    return list(first.values())


def sweep_folder(default: str) -> Path:
    """The folder that --run_dir names.

    Raises:
        InputError: the flag is missing; `default` is the name that the message proposes.
    """
    if not FLAGS.run_dir:
        raise InputError(f"--run_dir is missing: name a folder, as --run_dir=runs/{default}")
    return Path(FLAGS.run_dir)


def run_sweep(
    sweep: str,
    root: Path,
    cells: list[Cell],
    write_report: Callable[[Path, list[Result]], str],
) -> None:
    """Run the cells that have no result yet, then write and print the report.

    Args:
        sweep: the name of the sweep, which its folder remembers.
        root: the folder.
        cells: in the order in which they run.
        write_report: (folder, configuration and result of every cell) -> what to print.

    Raises:
        InputError: the folder is another's, or a cell cannot be.
    """
    _require_ours(root, sweep)
    if FLAGS.scale == "smoke" and "XLA_FLAGS" not in os.environ:
        # Programs that run for milliseconds are not worth polishing.
        jax.config.update("jax_disable_most_optimizations", True)
    kinds = {_kind(cell.settings): cell.settings for cell in cells}
    # What cannot be is refused before hours of work.
    sizes = {kind: len(build(settings).dataset.train) for kind, settings in kinds.items()}
    work = [_work(cell.settings, sizes[_kind(cell.settings)]) for cell in cells]
    with writing(root):
        root.mkdir(parents=True, exist_ok=True)
    write_json(root / "sweep.json", {"sweep": sweep})
    if jax.config.jax_compilation_cache_dir is None:
        # Cells have much in common, their evaluation above all; a sweep that goes on has it all.
        jax.config.update("jax_compilation_cache_dir", str(root / ".compiled"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    with stop_on_signal() as stop:
        try:
            results = _run_cells(root, cells, work, stop)
        except Stopped:
            print(f"stopped by {stop.signal_name}; the same command goes on")
            return
    print(write_report(root, results))
    print(f"\nwhat differs in the settings is in {root}/table.md; the pictures are beside it")


def _kind(settings: Settings) -> tuple[str, ...]:
    return settings.dataset, settings.model, settings.method, settings.latent_size


def _work(settings: Settings, num_images: int) -> int:
    """Decoder passes of a run, roughly: those with a gradient count three times."""
    train, evaluated = settings.train_size or num_images, settings.eval_size or num_images
    steps = settings.epochs * (train // settings.batch_size)
    scored = 2 * evaluated * settings.eval_num_particles * settings.num_replicas
    return steps * _passes_of_update(settings) + scored


def _passes_of_update(settings: Settings) -> int:
    return 3 * settings.batch_size * settings.num_particles * settings.num_replicas


def _run_cells(root: Path, cells: list[Cell], work: list[int], stop: StopRequest) -> list[Result]:
    """The configuration and result of each cell, running those that have no result yet."""
    results, ends = [], itertools.accumulate(work)
    with progress_bar(total=sum(work), unit="pass", unit_scale=True, desc="sweep") as bar:
        for number, ((name, settings), end) in enumerate(zip(cells, ends, strict=True), start=1):
            bar.set_postfix_str(f"{number} of {len(cells)}: {name}")
            bars = functools.partial(_share, bar, settings)
            config = dataclasses.asdict(settings)
            # Where a cell begins is another cell of this sweep, which may have been moved with it.
            may_change = (*MAY_CHANGE, "init_from")
            with start(root / "cells" / name, config, resume=True, may_change=may_change) as run:
                move = skip if run.result() else tqdm.update
                result = run_to_result(settings, run, stop, tell=lambda _: None, bars=bars)
            # JSON has no NaN: what diverged came back as None.
            result = {
                figure: math.nan if value is None and figure in _MEASURED else value
                for figure, value in result.items()
            }
            results.append({"cell": name} | config | result)
            value = result["test_log_likelihood"]
            bar.write(f"{name:44s} test {value:9.2f} nats  {result['seconds']:7.1f} s")
            move(bar, end - bar.n)  # what was left of an estimate, or all that was done before
    return results


def _share(
    bar: tqdm, settings: Settings, *, total: int, unit: str, desc: str, initial: int = 0, **_: Any
) -> Share:
    """The bar of a cell's updates, or of the images that it evaluates, in that of the sweep."""
    updates = unit == "step"
    worth = _passes_of_update(settings) if updates else settings.eval_num_particles
    return Share(bar, worth, initial)


def _require_ours(root: Path, sweep: str) -> None:
    """Raises InputError if the folder has files and is not that of this sweep."""
    if root.exists() and not root.is_dir():
        raise InputError(f"{root} is a file: choose another --run_dir")
    if not (root / "sweep.json").is_file():
        entries = [entry.name for entry in root.iterdir()] if root.is_dir() else []
        # Hidden files do not count: a process killed at its start leaves compiled programs.
        strangers = sorted(name for name in entries if not name.startswith("."))
        if strangers:
            raise InputError(
                f"{root} holds {strangers[0]} but no sweep: choose another --run_dir, new or empty"
            )
        return
    found = read_json(root / "sweep.json").get("sweep")
    if found != sweep:
        raise InputError(
            f"{root} holds the sweep of experiments.{found}, not of experiments.{sweep}: choose "
            "another --run_dir"
        )
