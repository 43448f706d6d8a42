"""Held-out log-likelihood against seconds of training, for each method.

    python -m benchmarks.time_to_quality --dataset=mnist --data_dir=DIR --minutes=12

The methods share the time: each trains in turns of a few seconds and is evaluated between them, on
a clock that runs only while it trains, so that a drift of the machine hits all. A method is
`name[:K[:keep]]`, as rem_v1:1000:64; without keep it is exact. The table ends with the seconds that
each takes to the log-likelihood --target.
"""

import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from benchmarks import networks as shared_networks
from benchmarks.machine import machine
from benchmarks.measure import write_rows
from experiments.output.tables import markdown
from experiments.pictures.drawing import COLOURS, MARKERS, PathLike, drawing
from experiments.run import command_line
from experiments.run.methods import build_estimator
from remjax.data import Dataset, load
from remjax.data.binarization import fixed, per_minibatch
from remjax.errors import InputError
from remjax.evaluation.importance_sampling import Evaluation, make_log_likelihood
from remjax.training.epochs import make_epoch
from remjax.training.optimizers import adam
from remjax.training.steps import init_train_state
from remjax.types import Model, Recognition

FLAGS = flags.FLAGS

Row = dict[str, Any]


def define_flags() -> None:
    """Which methods, on what, and for how long."""
    flags.DEFINE_list(
        "methods",
        ["vae:1", "iwae:50", "rws:50", "rem_v1:50", "rem_v1:50:16", "rem_pooled:50:16"],
        "name[:K[:keep]], ...",
    )
    flags.DEFINE_string("dataset", "mnist", "data set")
    flags.DEFINE_string("data_dir", None, "folder of its files")
    flags.DEFINE_float("minutes", 12.0, "training time of all methods together", lower_bound=0.0)
    flags.DEFINE_float("target", None, "nats; default where the best is at half of the time")
    flags.DEFINE_integer("turns", 12, "evaluations of each method", lower_bound=1)
    flags.DEFINE_integer("batch_size", 100, "images per step", lower_bound=1)
    flags.DEFINE_integer("eval_size", 200, "held-out images evaluated", lower_bound=2)
    flags.DEFINE_integer("eval_num_particles", 1000, "K of the evaluation", lower_bound=1)
    shared_networks.define_flags()
    flags.adopt_module_key_flags(shared_networks)
    flags.DEFINE_string("json", None, "file for the rows")
    flags.DEFINE_string("picture", None, "PNG file for the picture")


class Fit:
    """One method being fitted, with a clock that runs only while it trains."""

    def __init__(self, name: str, model: Model, recognition: Recognition, dataset: Dataset) -> None:
        """Build and compile; no time is counted for that."""
        method, *sizes = name.split(":")
        if len(sizes) > 2 or not all(text.isdecimal() and int(text) for text in sizes):
            raise InputError(
                f"--methods={name}: write it as name:K:keep, for instance rem_v1:50:16"
            )
        numbers = dict(zip(("num_particles", "keep"), map(int, sizes), strict=False))
        estimator = build_estimator(
            method, model, recognition, {"num_particles": 50, "keep": None} | numbers
        )
        optimizer = adam(1e-3)
        self.steps_per_epoch = len(dataset.train) // FLAGS.batch_size
        self.state = init_train_state(estimator, optimizer, jax.random.key(0), dataset.train)
        epoch = make_epoch(
            estimator,
            optimizer,
            num_data=len(dataset.train),
            batch_size=FLAGS.batch_size,
            binarization=per_minibatch,
        )
        self._data = jnp.asarray(dataset.train)
        self._advance = epoch.compile(self.state, self._data)
        self.seconds, self.steps = 0.0, 0

    def train(self, until: float) -> None:
        """Train until the clock shows so many seconds."""
        count = 1
        while self.seconds < until:
            began = time.perf_counter()
            count = min(count, self.steps_per_epoch - self.steps % self.steps_per_epoch)
            self.state = jax.block_until_ready(self._advance(self.state, self._data, count))
            spent = time.perf_counter() - began
            self.seconds, self.steps = self.seconds + spent, self.steps + count
            left = (until - self.seconds) / (spent / count)
            count = max(1, min(int(left), 2 * count))


def draw(path: PathLike, rows: Sequence[Row]) -> None:
    """One curve per method."""
    with drawing(path, 9, 4.8) as figure:
        axes = figure.subplots()
        for place, name in enumerate(dict.fromkeys(row["method"] for row in rows)):
            mine = [row for row in rows if row["method"] == name]
            axes.plot(
                [row["seconds"] for row in mine],
                [row["log_likelihood"] for row in mine],
                color=COLOURS[place % len(COLOURS)],
                # A colour that comes again does so in another style.
                linestyle=("-", "--", ":")[place // len(COLOURS) % 3],
                marker=MARKERS[(place + place // len(COLOURS)) % len(MARKERS)],
                markersize=4,
                label=name,
            )
        later = [row["log_likelihood"] for row in rows if row["turn"] * 4 >= FLAGS.turns]
        axes.set_ylim(bottom=min(later))
        axes.set(xlabel="seconds of training", ylabel="held-out log-likelihood (nats per image)")
        figure.legend(title="method:K:keep", loc="outside right upper")


def seconds_to(target: float, rows: Sequence[Row]) -> float | None:
    """When a method's curve first reaches the target, between its turns; None where it does not."""
    earlier = None
    for row in rows:
        if row["log_likelihood"] >= target:
            if earlier is None:
                return row["seconds"]
            gain = row["log_likelihood"] - earlier["log_likelihood"]
            share = (target - earlier["log_likelihood"]) / gain
            return earlier["seconds"] + share * (row["seconds"] - earlier["seconds"])
        earlier = row
    return None


def summary(rows: Sequence[Row]) -> list[Row]:
    """Where every method ends, and how soon it reaches the target."""
    halfway = max(1, FLAGS.turns // 2)
    target = FLAGS.target
    if target is None:
        target = max(row["log_likelihood"] for row in rows if row["turn"] == halfway)
    lines = []
    for name in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == name]
        lines.append(mine[-1] | {f"seconds to {target:.1f}": seconds_to(target, mine)})
    return lines


def main() -> None:
    """Train the methods in turns and print where each stands."""
    write_rows(FLAGS.json, [])
    dataset = load(FLAGS.dataset, data_dir=FLAGS.data_dir)
    for flag, available in (("batch_size", dataset.train), ("eval_size", dataset.test)):
        if getattr(FLAGS, flag) > len(available):
            raise InputError(
                f"--{flag}={getattr(FLAGS, flag)} is more than {len(available)} images"
            )
    model, recognition = shared_networks.networks_for(dataset)
    evaluate = make_log_likelihood(model, recognition, num_particles=FLAGS.eval_num_particles)
    index = jnp.arange(FLAGS.eval_size)
    bits = np.asarray(fixed(jax.random.key(0), 0, 0, index, jnp.asarray(dataset.test)[index]))
    fits = {name: Fit(name, model, recognition, dataset) for name in FLAGS.methods}
    share = 60.0 * FLAGS.minutes / (len(fits) * FLAGS.turns)
    rows: list[Row] = []
    for turn in range(1, FLAGS.turns + 1):
        for name, fit in fits.items():
            fit.train(turn * share)
            evaluation: Evaluation = evaluate(fit.state.params, jax.random.key(1), bits)
            rows.append(
                {
                    "method": name,
                    "turn": turn,
                    "seconds": fit.seconds,
                    "steps": fit.steps,
                    "log_likelihood": evaluation.mean,
                    "stderr": evaluation.stderr,
                }
            )
        write_rows(FLAGS.json, rows)
    last = summary(rows)
    print(f"{machine()}, {dataset.name}, B={FLAGS.batch_size}\n\n{markdown(last, list(last[0]))}")
    if FLAGS.picture:
        draw(FLAGS.picture, rows)


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
