"""Memory and time of one training step against the number of particles.

    python -m benchmarks.scaling --json=scaling.json --picture=scaling.png

Compiles the step of every method, exact and with few particles kept, for each K, and takes its
temporary memory from the compiler's own analysis; nothing is run for that. Times it as far as one
step is expected to take less than --seconds. Memory should not depend on K, and time should grow
in proportion to it.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags

from benchmarks.machine import machine
from benchmarks.measure import median, write_rows
from benchmarks.peers.networks import ours
from benchmarks.peers.networks.work import TrainingWork
from experiments.output.tables import markdown
from experiments.pictures.drawing import COLOURS, MARKERS, PathLike, drawing
from experiments.run import command_line
from experiments.run.methods import WITH_RECOGNITION, accepts
from remjax.errors import InputError

FLAGS = flags.FLAGS

Row = dict[str, Any]

# The published form of REM v1 stands for its leaky twin, which costs the same and more.
DEFAULT_METHODS = [name for name in WITH_RECOGNITION.methods if name != "rem_v1_leaky"]


def define_flags() -> None:
    """Which steps, and for how long."""
    flags.DEFINE_list("methods", DEFAULT_METHODS, "methods to measure")
    flags.DEFINE_list("particles", ["1000", "10000", "100000", "1000000"], "values of K")
    flags.DEFINE_integer("batch_size", 4, "B, images", lower_bound=1)
    flags.DEFINE_integer("keep", 64, "particles that carry the gradient", lower_bound=1)
    flags.DEFINE_float("seconds", 20.0, "a step expected to take longer is not run; 0 runs none")
    flags.DEFINE_integer("repeats", 3, "counted runs of a step", lower_bound=1)
    flags.DEFINE_string("json", None, "file for the rows")
    flags.DEFINE_string("picture", None, "PNG file for the picture")


def counts() -> list[int]:
    """The values of K, ascending."""
    if not all(text.isdecimal() and int(text) for text in FLAGS.particles):
        raise InputError(f"--particles={','.join(FLAGS.particles)}: give positive whole numbers")
    values = sorted(int(text) for text in FLAGS.particles)
    if values[-1] >= 2**31:
        raise InputError(f"--particles={values[-1]} is too large: give less than 2^31")
    if values[0] < FLAGS.keep:
        raise InputError(f"--keep={FLAGS.keep} is more than --particles={values[0]}: lower it")
    return values


def measure(method: str, keep: int | None) -> list[Row]:
    """Rows of one form of a method, K ascending."""
    rows: list[Row] = []
    expected = 0.0
    for count in counts():
        prepared = ours.prepare(TrainingWork(method, FLAGS.batch_size, count, keep, 1))
        row = {
            "method": method,
            "keep": keep,
            "batch_size": FLAGS.batch_size,
            "num_particles": count,
            "temp_bytes": prepared.temp_bytes,
            "milliseconds": None,
        }
        if rows and rows[-1]["milliseconds"]:
            expected = 1e-3 * rows[-1]["milliseconds"] * count / rows[-1]["num_particles"]
        if expected < FLAGS.seconds:
            seconds = []
            for _ in range(FLAGS.repeats + 1):
                began = time.perf_counter()
                prepared.run()
                seconds.append(time.perf_counter() - began)
            row["milliseconds"] = 1e3 * median(seconds[1:])
        rows.append(row)
    return rows


def summary(rows: Sequence[Row]) -> str:
    """Per form: how much more memory the largest step takes than the smallest, and time's order.

    The order is the slope of log time against log K between the two largest K that were timed: 1 is
    proportional.
    """
    lines = []
    for method, keep in dict.fromkeys((row["method"], row["keep"]) for row in rows):
        mine = [row for row in rows if (row["method"], row["keep"]) == (method, keep)]
        sizes = [row["temp_bytes"] for row in mine]
        timed = [(row["num_particles"], row["milliseconds"]) for row in mine if row["milliseconds"]]
        line = {"method": method, "keep": keep}
        line["spread of memory (%)"] = 100.0 * (max(sizes) / min(sizes) - 1.0)
        line["order of time in K"] = None
        if len(timed) > 1:
            (few, short), (many, long) = timed[-2:]
            line["order of time in K"] = float(np.log(long / short) / np.log(many / few))
        lines.append(line)
    return markdown(lines, list(lines[0]))


def draw(path: PathLike, rows: Sequence[Row]) -> None:
    """Memory and time against K, both axes logarithmic; a line per form."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    with drawing(path, 10, 4.4) as figure:
        memory, duration = figure.subplots(1, 2)
        for place, method in enumerate(methods):
            for keep, line in ((None, "-"), (FLAGS.keep, "--")):
                mine = [row for row in rows if (row["method"], row["keep"]) == (method, keep)]
                timed = [row for row in mine if row["milliseconds"]]
                style: Any = {
                    "linestyle": line,
                    "color": COLOURS[place % len(COLOURS)],
                    "marker": MARKERS[place % len(MARKERS)],
                    "markersize": 4,
                }
                label = method if keep is None else None
                memory.plot(
                    [row["num_particles"] for row in mine],
                    [row["temp_bytes"] / 1e6 for row in mine],
                    label=label,
                    **style,
                )
                duration.plot(
                    [row["num_particles"] for row in timed],
                    [row["milliseconds"] / 1e3 for row in timed],
                    **style,
                )
        for axes in (memory, duration):
            axes.set(xscale="log", xlabel="K, particles per image")
            if axes.dataLim.y1 > 0.0:  # nothing was timed with --seconds=0
                axes.set_yscale("log")
        memory.set(ylim=(1, 1000), title="temporary memory of a step (MB)")
        duration.set(title="time of a step (s)")
        memory.legend(ncols=2, title=f"solid: exact, dashed: keep={FLAGS.keep}")


def main() -> None:
    """Measure every form; write after each, so that what is measured is never lost."""
    rows: list[Row] = []
    write_rows(FLAGS.json, rows)
    for method in FLAGS.methods:
        for keep in (None, FLAGS.keep) if accepts(method, "keep") else (None,):
            rows += measure(method, keep)
            print(markdown(rows[-1:], list(rows[0])).splitlines()[-1], flush=True)
            write_rows(FLAGS.json, rows)
    shown = [row | {"temporary MB": row["temp_bytes"] / 1e6} for row in rows]
    columns = ["method", "keep", "num_particles", "temporary MB", "milliseconds"]
    print(f"\n{machine()}, B={FLAGS.batch_size}\n\n{markdown(shown, columns)}\n\n{summary(rows)}")
    if FLAGS.picture:
        draw(FLAGS.picture, rows)


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
