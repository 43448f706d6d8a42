"""The command of a protocol: its flags, and the loop over its cells with one bar for them all.

Each cell is a run of its own in DIR/cells, so a sweep that was stopped or killed goes on where it
was; DIR/sweep.json names the sweep that the folder belongs to.
"""

import dataclasses
import functools
import itertools
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
from absl import flags
from tqdm import tqdm

from experiments.output.files import read_json, write_json, writing
from experiments.papers.protocol import Cell, Outcome, Plan, Protocol, Result
from experiments.papers.report import write_report
from experiments.run.choices import look_up
from experiments.run.fitting import Stopped
from experiments.run.kinds import kind_of
from experiments.run.problem import build
from experiments.run.progress import Share, progress_bar, skip
from experiments.run.run_directory import start
from experiments.run.runs import run_to_result
from experiments.run.settings import DEFAULTS, MAY_CHANGE, Settings
from experiments.run.stopping import StopRequest, stop_on_signal
from remjax.errors import InputError

FLAGS = flags.FLAGS

_DURATIONS = {"smoke": "a minute", "cpu": "an hour on 2 cores", "full": "a GPU"}

# What is not finite where a run has diverged.
_MEASURED = frozenset(
    {f"{part}_log_likelihood{error}" for part in ("train", "test") for error in ("", "_stderr")}
    | {"kl_to_prior", "ess"}
)


def define_flags(protocol: Protocol) -> None:
    """Where a sweep is, how much of it, and from which settings it starts."""
    flags.DEFINE_string("run_dir", None, "folder of the sweep; an earlier sweep there goes on")
    flags.DEFINE_string("data_dir", None, "folder of the data files; default as experiments.train")
    scales = ", ".join(f"{name} ({_DURATIONS[name]})" for name in protocol.scales)
    flags.DEFINE_string("scale", "cpu", f"how much of the protocol is run: {scales}")
    presets = ", ".join(protocol.presets)
    flags.DEFINE_string("preset", protocol.presets[0], f"settings to start from: {presets}")
    flags.DEFINE_integer("seeds", None, "seeds of each cell; default those of the scale")
    for name, meaning in protocol.flags.items():
        flags.DEFINE_list(name, None, f"{meaning}; default those of the scale")


def plan_from_flags(protocol: Protocol) -> Plan:
    """What the command line asks for.

    Raises:
        InputError: --run_dir is missing, or a scale or a preset is unknown.
    """
    if not FLAGS.run_dir:
        raise InputError(f"--run_dir is missing: name a folder, as --run_dir=runs/{protocol.name}")
    scale = look_up(protocol.scales, "scale", FLAGS.scale)
    chosen = {name: tuple(FLAGS[name].value) for name in protocol.flags if FLAGS[name].value}
    look_up(dict.fromkeys(protocol.presets), "preset", FLAGS.preset)
    return Plan(
        root=Path(FLAGS.run_dir),
        scale=scale._replace(values={**scale.values, **chosen}),
        preset=FLAGS.preset,
        data_dir=FLAGS.data_dir,
        seeds=FLAGS.seeds,
    )


def unique(cells: Iterable[Cell]) -> list[Cell]:
    """The cells without those whose settings came before: tables and pictures share their runs."""
    first: dict[Settings, Cell] = {}
    for cell in cells:
        first.setdefault(cell.settings, cell)
    return list(first.values())


def run_sweep(protocol: Protocol) -> None:
    """Run the cells that have no result yet, then write and print the report.

    Raises:
        InputError: the folder holds something else, or a cell cannot be run.
    """
    plan = plan_from_flags(protocol)
    cells = list(protocol.cells(plan))
    runs = unique(cells)
    root = plan.root
    _require_ours(root, protocol.name)
    if FLAGS.scale == "smoke" and "XLA_FLAGS" not in os.environ:
        # Programs that run for milliseconds are not worth optimizing.
        jax.config.update("jax_disable_most_optimizations", True)
    kinds = {_kind(cell.settings): cell.settings for cell in runs}
    # Bad settings are refused before hours of work.
    sizes = {kind: len(build(settings).dataset.train) for kind, settings in kinds.items()}
    work = [_work(cell.settings, sizes[_kind(cell.settings)]) for cell in runs]
    with writing(root):
        root.mkdir(parents=True, exist_ok=True)
    write_json(root / "sweep.json", {"sweep": protocol.name})
    with stop_on_signal() as stop:
        try:
            found = _run_cells(root, runs, work, stop)
            further = protocol.further(plan, stop)
        except Stopped:
            print(f"stopped by {stop.signal_name}; the same command goes on")
            return
    outcomes = [found[cell.settings]._replace(cell=cell) for cell in cells]
    print(write_report(protocol, plan, [*outcomes, *further]))
    print(f"\nthe tables and the pictures are in {root}")


def _kind(settings: Settings) -> tuple[str, ...]:
    return settings.dataset, settings.model, settings.method, settings.latent_size


def _work(settings: Settings, num_images: int) -> int:
    """What a run costs, roughly, in the unit of its kind of model."""
    train, evaluated = settings.train_size or num_images, settings.eval_size or num_images
    steps = settings.epochs * (train // settings.batch_size)
    of_one = kind_of(settings.model).work(settings)
    return settings.num_replicas * (steps * of_one.update + 2 * evaluated * of_one.image)


def _run_cells(
    root: Path, cells: list[Cell], work: list[int], stop: StopRequest
) -> dict[Settings, Outcome]:
    """The result of each cell, running those that have none yet."""
    outcomes, ends = {}, itertools.accumulate(work)
    with progress_bar(total=sum(work), unit="pass", unit_scale=True, desc="sweep") as bar:
        for number, (cell, end) in enumerate(zip(cells, ends, strict=True), start=1):
            bar.set_postfix_str(f"{number} of {len(cells)}: {cell.name}")
            settings, folder = cell.settings, root / "cells" / cell.name
            bars = functools.partial(_share, bar, settings)
            config = dataclasses.asdict(settings)
            # Where a cell begins is another cell of this sweep, which may have been moved with it.
            may_change = (*MAY_CHANGE, "init_from")
            with start(
                folder, config, resume=True, may_change=may_change, defaults=DEFAULTS
            ) as run:
                move = skip if run.result() else tqdm.update
                result = run_to_result(settings, run, stop, write_line=_no_line, bars=bars)
            # JSON has no NaN: figures that diverged came back as None.
            result: Result = {
                figure: math.nan if value is None and figure in _MEASURED else value
                for figure, value in result.items()
            }
            outcomes[settings] = Outcome(cell, result, folder)
            value = result[kind_of(settings.model).scoring.headline]
            bar.write(f"{cell.name:44s} test {value:9.2f} nats  {result['seconds']:7.1f} s")
            move(bar, end - bar.n)  # the rest of an estimate, or all that was done before
    return outcomes


def _no_line(_: str) -> None:
    """The epochs of a cell are not printed."""


def _share(
    bar: tqdm, settings: Settings, *, total: int, unit: str, desc: str, initial: int = 0, **_: Any
) -> Share:
    """The bar of a cell's updates, or of the images that it evaluates, in that of the sweep."""
    of_one = kind_of(settings.model).work(settings)
    # An update is of all replicas at once, and they are scored one after the other.
    worth = settings.num_replicas * of_one.update if unit == "step" else of_one.image
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
