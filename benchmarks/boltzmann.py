"""Time and memory of a machine's sweep and update against its chains and its hidden units.

    python -m benchmarks.boltzmann --json=boltzmann.json --picture=boltzmann.png

An RBM of bits, float32. One line of rows has --chains and the hidden units of --hidden_size, the
other --num_chains and the hidden units of --hidden. In turn are timed: a Gibbs sweep of all chains,
the matrix products of that sweep and nothing else, and an update of centred PCD-1 on --batch_size
datapoints, as many of each in one compiled program as make about --operations (more for an update).
`sweep / products` is the median of the paired ratios. The temporary memory is that of the
compiler's own analysis; the chains themselves and the data are not in it.
"""

from collections.abc import Sequence
from typing import Any

from absl import flags

from benchmarks.machine import machine
from benchmarks.measure import median, median_ratio, time_in_turn, write_rows
from benchmarks.peers.machines import ours, products
from benchmarks.peers.machines.work import MachineWork
from experiments.output.tables import markdown
from experiments.pictures.drawing import COLOURS, MARKERS, PathLike, drawing
from experiments.run import command_line
from remjax.errors import InputError

FLAGS = flags.FLAGS

Row = dict[str, Any]

# Steps of a timed run, at most: by then its start has long ceased to count.
_MOST = 500

# What is drawn: its name in the legend, and the place of its colour and marker.
_CURVES = {"sweep": ("sweep", 0), "products": ("its products", 1), "update": ("update", 2)}

_COLUMNS = {
    "num_chains": "chains",
    "num_visible": "V",
    "num_hidden": "H",
    "sweep": "ms per sweep",
    "products": "ms of its products",
    "ratio": "sweep / products",
    "share": "share of the products",
    "update": "ms per update",
    "sweep_bytes": "sweep MB",
    "update_bytes": "update MB",
}


def define_flags() -> None:
    """Which machines, and how long to time them."""
    flags.DEFINE_list("chains", ["10", "100", "1000", "10000", "100000"], "numbers of chains")
    flags.DEFINE_list("hidden", ["100", "500", "1000", "2000", "4000"], "numbers of hidden units")
    flags.DEFINE_integer("num_chains", 1000, "chains where the units vary", lower_bound=1)
    flags.DEFINE_integer("hidden_size", 500, "units where the chains vary", lower_bound=1)
    flags.DEFINE_integer("visible_size", 784, "visible units", lower_bound=1)
    flags.DEFINE_integer("batch_size", 100, "datapoints of an update", lower_bound=1)
    flags.DEFINE_float("operations", 5e10, "of the products of one timed run, about")
    flags.DEFINE_integer("repeats", 7, "counted runs of each", lower_bound=1)
    flags.DEFINE_string("json", None, "file for the rows")
    flags.DEFINE_string("picture", None, "PNG file for the picture")


def counts(flag: str) -> list[int]:
    """The values of a flag, ascending."""
    given = FLAGS[flag].value
    if not given or not all(text.isdecimal() and int(text) for text in given):
        raise InputError(f"--{flag}={','.join(given)}: give positive whole numbers")
    return sorted({int(text) for text in given})


def sizes() -> list[tuple[int, int]]:
    """(chains, hidden units) of every row; what both lines have stands once."""
    of_chains = [(count, FLAGS.hidden_size) for count in counts("chains")]
    of_units = [(FLAGS.num_chains, count) for count in counts("hidden")]
    return list(dict.fromkeys([*of_chains, *of_units]))


def measure(num_chains: int, num_hidden: int) -> Row:
    """One row; times in milliseconds."""
    operations = 4.0 * num_chains * FLAGS.visible_size * num_hidden  # of a sweep
    steps = int(min(max(1.0, FLAGS.operations / operations), _MOST))
    work = MachineWork(num_chains, FLAGS.visible_size, num_hidden, FLAGS.batch_size, steps)
    prepared = {
        "sweep": ours.sweep(work),
        "products": products.sweep(work),
        "update": ours.pcd(work),
    }
    seconds = time_in_turn({name: one.run for name, one in prepared.items()}, FLAGS.repeats)
    ratio = median_ratio(seconds["products"], seconds["sweep"])
    return {
        "num_chains": num_chains,
        "num_visible": FLAGS.visible_size,
        "num_hidden": num_hidden,
        "batch_size": FLAGS.batch_size,
        "steps": steps,
        "ratio": ratio,
        "share": 1.0 / ratio,
        **{name: 1e3 * median(times) / steps for name, times in seconds.items()},
        "sweep_bytes": prepared["sweep"].temp_bytes,
        "update_bytes": prepared["update"].temp_bytes,
    }


def table(rows: Sequence[Row]) -> str:
    """The rows for people."""
    shown = [
        {
            label: row[name] / 1e6 if name.endswith("_bytes") else row[name]
            for name, label in _COLUMNS.items()
        }
        for row in rows
    ]
    return markdown(shown, list(_COLUMNS.values()))


def draw(path: PathLike, rows: Sequence[Row]) -> None:
    """Time above and memory below, against chains and against hidden units."""
    of_chains = sorted(
        (row for row in rows if row["num_hidden"] == FLAGS.hidden_size),
        key=lambda row: row["num_chains"],
    )
    of_units = sorted(
        (row for row in rows if row["num_chains"] == FLAGS.num_chains),
        key=lambda row: row["num_hidden"],
    )
    lines = (
        ("num_chains", f"chains, {FLAGS.hidden_size:,} hidden units", of_chains),
        ("num_hidden", f"hidden units, {FLAGS.num_chains:,} chains", of_units),
    )
    panels = (
        ("milliseconds", 1.0, ("sweep", "products", "update")),
        ("temporary MB", 1e-6, ("sweep_bytes", "update_bytes")),
    )
    with drawing(path, 9, 6.4) as figure:
        for of_row, (ylabel, unit, curves) in zip(figure.subplots(2, 2), panels, strict=True):
            for axes, (name, xlabel, mine) in zip(of_row, lines, strict=True):
                for column in curves:
                    label, place = _CURVES[column.removesuffix("_bytes")]
                    axes.plot(
                        [row[name] for row in mine],
                        [unit * row[column] for row in mine],
                        label=label,
                        color=COLOURS[place],
                        marker=MARKERS[place],
                    )
                axes.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel)
            of_row[0].legend()


def main() -> None:
    """Measure every size; write after each, so that what is measured is never lost."""
    rows: list[Row] = []
    write_rows(FLAGS.json, rows)
    for size in sizes():
        rows.append(measure(*size))
        print(table(rows[-1:]).splitlines()[-1], flush=True)
        write_rows(FLAGS.json, rows)
    print(f"\n{machine()}, B={FLAGS.batch_size}\n\n{table(rows)}")
    if FLAGS.picture:
        draw(FLAGS.picture, rows)


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
