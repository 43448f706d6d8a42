"""The command that shows several runs together. It only reads, and locks none of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from experiments.output.files import read_json
from experiments.output.tables import markdown
from experiments.pictures.comparisons import curves_of_runs
from experiments.run.kinds import kind_of
from experiments.run.run_directory import metrics_in
from experiments.run.settings import DEFAULTS, MAY_CHANGE
from remjax.errors import InputError

FLAGS = flags.FLAGS
# They say nothing of what is fitted.
_ASIDE = (*MAY_CHANGE, "init_from")


class _Run(NamedTuple):
    name: str
    config: dict[str, Any]
    result: dict[str, Any]
    metrics: list[dict[str, Any]]


def define_flags() -> None:
    """Where the picture goes."""
    flags.DEFINE_string("out", None, "file for the learning curves, as curves.png; default none")


def main(*folders: str) -> None:
    """Print the table and draw the curves of the runs in these folders."""
    paths = [Path(folder) for folder in folders]
    if len(paths) < 2:
        raise InputError("too few runs to compare: name two folders or more, as runs/a runs/b")
    # A glob and a name typed besides may meet in one folder.
    twice = [path for path in paths if sum(path.resolve() == p.resolve() for p in paths) > 1]
    if twice:
        raise InputError(f"{twice[0]} is named twice: name each run once")
    runs = [_read(path) for path in paths]
    differing = [
        key
        for key in DEFAULTS
        if key not in _ASIDE and len({str(run.config.get(key)) for run in runs}) > 1
    ]
    columns = dict.fromkeys(
        name
        for run in runs
        for name in kind_of(run.config["model"]).scoring.columns
        if name in run.result and name not in differing
    )
    # A rate of 0.001 is shown as it was given, and not to two decimals as figures are.
    rows = [
        {"run": run.name} | run.result | {name: str(run.config[name]) for name in differing}
        for run in runs
    ]
    print(markdown(rows, ["run", *differing, *(name for name in columns if name not in DEFAULTS)]))
    if FLAGS.out:
        name = _figure(runs)
        curves_of_runs(
            FLAGS.out,
            {run.name: _curve(run, name) for run in runs},
            label=f"{name} (nats per row)",
        )
        print(f"learning curves are in {FLAGS.out}")


def _read(path: Path) -> _Run:
    if not (path / "config.json").is_file():
        raise InputError(f"{path} holds no run: give folders that experiments.train made")
    config = DEFAULTS | read_json(path / "config.json")
    result = path / "result.json"
    return _Run(str(path), config, read_json(result) if result.exists() else {}, metrics_in(path))


def _figure(runs: Sequence[_Run]) -> str:
    """What all runs have measured: the figure that runs are compared by, or else that of training.

    Raises:
        InputError: there is none.
    """
    headlines = {kind_of(run.config["model"]).scoring.headline: None for run in runs}
    for name in (*headlines, "log_evidence", "log_likelihood"):
        if all(_curve(run, name) for run in runs):
            return name
    raise InputError("the runs have no figure in common that is measured after each epoch")


def _curve(run: _Run, name: str) -> Sequence[tuple[float, float]]:
    """(epoch, the figure of that name), where an epoch has it."""
    return [(row["epoch"], row[name]) for row in run.metrics if row.get(name) is not None]
