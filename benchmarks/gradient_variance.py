"""Signal-to-noise ratio of the gradients of theta and eta against K, and per second.

    python -m benchmarks.gradient_variance --json=variance.json --picture=variance.png

For each method and K the gradients of both losses are drawn many times for one batch, at the start
and after some training with IWAE. The signal-to-noise ratio of a coordinate is |mean| / standard
deviation; the table has the median over the coordinates that move at all (Rainforth et al. 2018,
Section 4: IWAE's eta falls like 1/sqrt(K), that of REM and RWS does not). `per second` is the
ratio that averaging such gradients for a second would reach, snr / sqrt(seconds of one gradient).
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jax.flatten_util import ravel_pytree

from benchmarks.machine import machine
from benchmarks.measure import median
from experiments import command_line
from experiments.methods import accepts, build_estimator
from experiments.networks import build_networks
from experiments.pictures import COLOURS, MARKERS, PathLike, drawing
from experiments.tables import markdown
from remjax.data import load
from remjax.data.binarization import fixed, per_minibatch
from remjax.errors import InputError
from remjax.estimators.importance_weighted import iwae
from remjax.networks import glorot
from remjax.optimizers import adam
from remjax.training import init_train_state, make_epoch
from remjax.types import Batch, Estimator, Params

FLAGS = flags.FLAGS

Row = dict[str, Any]

# Below this a coordinate is held still, by a pixel that is always black for instance.
_STILL = 1e-12


def define_flags() -> None:
    """Which gradients, of what, and how often."""
    flags.DEFINE_list("methods", ["iwae", "rws", "rem_v1", "rem_pooled"], "methods to measure")
    flags.DEFINE_list("particles", ["1", "10", "100", "1000"], "values of K")
    flags.DEFINE_list("keep", ["16", "64"], "values of M beside the exact form")
    flags.DEFINE_string("dataset", "digits", "digits or another data set of binary or grey images")
    flags.DEFINE_string("data_dir", None, "folder of its files")
    flags.DEFINE_integer("train_size", 5000, "images trained on at most", lower_bound=1)
    flags.DEFINE_integer("train_steps", 1000, "steps of IWAE before the second half", lower_bound=0)
    flags.DEFINE_integer("batch_size", 20, "B, images", lower_bound=1)
    flags.DEFINE_integer("draws", 50, "gradients drawn for each cell", lower_bound=2)
    flags.DEFINE_integer("hidden_size", 200, "units in each tanh layer", lower_bound=1)
    flags.DEFINE_integer("latent_size", 20, "D, dimension of the latent", lower_bound=1)
    flags.DEFINE_string("json", None, "file for the rows")
    flags.DEFINE_string("picture", None, "PNG file for the picture")


def measure(estimator: Estimator, params: Params, batch: Batch) -> dict[str, float]:
    """Both ratios and the seconds of one gradient."""

    def loss(params: Params, key: jax.Array) -> jax.Array:
        estimate, _ = estimator.estimate(params, (), key, batch)
        return estimate.theta_loss + estimate.eta_loss

    keys = jax.random.split(jax.random.key(0), FLAGS.draws)
    gradient = jax.jit(jax.grad(loss)).lower(params, keys[0]).compile()
    drawn: dict[str, list[np.ndarray]] = {"theta": [], "eta": []}
    seconds = []
    for key in keys:
        began = time.perf_counter()
        value = jax.block_until_ready(gradient(params, key))
        seconds.append(time.perf_counter() - began)
        for part, gradients in drawn.items():
            gradients.append(np.asarray(ravel_pytree(getattr(value, part))[0]))
    cost = median(seconds)
    result = {"seconds": cost}
    for part, gradients in drawn.items():
        stacked = np.stack(gradients).astype(np.float64)
        deviation = stacked.std(axis=0, ddof=1)
        moving = deviation > _STILL
        ratio = float(np.median(np.abs(stacked.mean(axis=0))[moving] / deviation[moving]))
        result |= {f"{part}_snr": ratio, f"{part}_snr_per_second": ratio / cost**0.5}
    return result


def cells() -> list[tuple[str, int, int | None]]:
    """(method, K, keep) of every cell."""
    for flag in ("particles", "keep"):
        texts = getattr(FLAGS, flag)
        if not all(text.isdecimal() and int(text) for text in texts):
            raise InputError(f"--{flag}={','.join(texts)}: give positive whole numbers")
    wanted = []
    for method in FLAGS.methods:
        keeps = [None, *map(int, FLAGS.keep)] if accepts(method, "keep") else [None]
        for count in map(int, FLAGS.particles):
            wanted += [(method, count, keep) for keep in keeps if keep is None or keep < count]
    return wanted


def draw(path: PathLike, rows: Sequence[Row]) -> None:
    """Ratios against K: a column per part of the parameters, a line of panels per state."""
    states = list(dict.fromkeys(row["state"] for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    with drawing(path, 10, 3.6 * len(states)) as figure:
        panels = figure.subplots(len(states), 2, squeeze=False)
        for line, state in enumerate(states):
            for axes, part in zip(panels[line], ("theta", "eta"), strict=True):
                for place, method in enumerate(methods):
                    mine = [
                        row
                        for row in rows
                        if (row["state"], row["method"], row["keep"]) == (state, method, None)
                    ]
                    axes.plot(
                        [row["num_particles"] for row in mine],
                        [row[f"{part}_snr"] for row in mine],
                        color=COLOURS[place % len(COLOURS)],
                        marker=MARKERS[place % len(MARKERS)],
                        label=method,
                    )
                axes.set(xscale="log", yscale="log", title=f"{part}, {state}")
            panels[line][0].set_ylabel("signal-to-noise ratio")
        for axes in panels[-1]:
            axes.set_xlabel("K, particles per image")
        panels[0][0].legend()


def main() -> None:
    """Measure every cell in both states and print the table."""
    wanted = cells()
    dataset = load(FLAGS.dataset, data_dir=FLAGS.data_dir)
    dataset = dataset._replace(train=dataset.train[: FLAGS.train_size])
    if FLAGS.batch_size > len(dataset.train):
        raise InputError(f"--batch_size={FLAGS.batch_size} is more than the training images")
    model, recognition = build_networks(
        dataset,
        latent_sizes=(FLAGS.latent_size,),
        hidden_sizes=((FLAGS.hidden_size,) * 2,),
        initialization=glorot,
    )
    estimator, optimizer = iwae(model, recognition, num_particles=10), adam(1e-3)
    state = init_train_state(estimator, optimizer, jax.random.key(0), dataset.train.shape[1])
    epoch = make_epoch(
        estimator,
        optimizer,
        num_data=len(dataset.train),
        batch_size=FLAGS.batch_size,
        binarization=per_minibatch,
    )
    index = jnp.arange(FLAGS.batch_size)
    data = jnp.asarray(dataset.train)
    batch = Batch(fixed(jax.random.key(0), 0, 0, index, data[index]), index)
    states = {"at the start": jax.tree.map(jnp.copy, state.params)}
    steps, most = 0, len(dataset.train) // FLAGS.batch_size
    while steps < FLAGS.train_steps:
        count = min(most, FLAGS.train_steps - steps)
        state, steps = epoch(state, data, count), steps + count
    if steps:
        states[f"after {steps} steps"] = state.params
    rows: list[Row] = []
    for name, params in states.items():
        for method, count, keep in wanted:
            options = {"num_particles": count, "keep": keep}
            method_estimator = build_estimator(method, model, recognition, options)
            row = {"state": name, "method": method, "num_particles": count, "keep": keep}
            rows.append(row | measure(method_estimator, params, batch))
            if FLAGS.json:
                Path(FLAGS.json).write_text(json.dumps(rows, indent=1) + "\n")
    shown = [row | {"milliseconds": 1e3 * row["seconds"]} for row in rows]
    columns = ["state", "method", "num_particles", "keep", "milliseconds"]
    columns += [name for name in rows[0] if "snr" in name]
    print(f"{machine()}, {dataset.name}, B={FLAGS.batch_size}\n\n{markdown(shown, columns)}")
    if FLAGS.picture:
        draw(FLAGS.picture, rows)


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
