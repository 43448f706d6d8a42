"""Signal-to-noise ratio of the gradients of theta and eta against K, and per second.

    python -m benchmarks.gradient_variance --out=benchmarks/results/gradient_variance

For a model of Gaussian latents and one of bits, each method that fits it and each K, the gradients
of both losses are drawn many times for one batch, at the start and after some training with RWS,
which fits both. The signal-to-noise ratio of a coordinate is |mean| / standard
deviation; the table has the median over the coordinates that move at all (Rainforth et al. 2018,
Section 4: IWAE's eta falls like 1/sqrt(K), that of REM and RWS does not). The square of a mean of n
draws is too large by variance / n on average, which is taken off; a ratio below 1 / sqrt(n) is
noise, and the pictures end there. `per second` is the ratio that averaging such gradients for a
second would reach, snr / sqrt(seconds of one gradient). NVIL first learns its baseline and its
statistics, from as many other batches as there are draws.
"""

import contextlib
import itertools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import flags
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree

from benchmarks import networks as shared_networks
from benchmarks.gradient_pictures import draw, draw_keep
from benchmarks.machine import machine
from benchmarks.measure import median
from experiments.output.files import replacing, writing
from experiments.output.tables import markdown
from experiments.run import command_line
from experiments.run.choices import NETWORKS, look_up
from experiments.run.methods import WITH_RECOGNITION, accepts, build_estimator
from remjax.data import Dataset, load
from remjax.data.binarization import fixed, per_minibatch
from remjax.errors import InputError
from remjax.methods.method import make_estimator
from remjax.methods.row import Particles
from remjax.methods.wake_sleep import rws
from remjax.training.epochs import make_epoch
from remjax.training.optimizers import adam
from remjax.training.steps import init_train_state
from remjax.types import Batch, Estimator, Model, Params, Recognition

FLAGS = flags.FLAGS

Row = dict[str, Any]

# Below this a coordinate is held still, by a pixel that is always black for instance.
_STILL = 1e-12


def define_flags() -> None:
    """Which gradients, of what, and how often."""
    flags.DEFINE_list("models", ["gaussian", "sigmoid_belief"], "models to measure on")
    flags.DEFINE_list("methods", None, "methods to measure, where they fit; default all")
    flags.DEFINE_list("particles", ["1", "10", "100", "1000"], "values of K")
    flags.DEFINE_list("keep", [], "values of M beside the exact form")
    flags.DEFINE_string("dataset", "digits", "digits or another data set of binary or grey images")
    flags.DEFINE_string("data_dir", None, "folder of its files")
    flags.DEFINE_integer("train_size", 5000, "images trained on at most", lower_bound=1)
    flags.DEFINE_integer("train_steps", 1000, "steps of RWS before the second half", lower_bound=0)
    flags.DEFINE_integer("batch_size", 20, "B, images", lower_bound=1)
    flags.DEFINE_integer("draws", 50, "gradients drawn for each cell", lower_bound=2)
    shared_networks.define_flags()
    flags.adopt_module_key_flags(shared_networks)
    flags.DEFINE_string(
        "out", "benchmarks/results/gradient_variance", "folder of the rows, table and pictures"
    )


def measure(
    estimator: Estimator, states: Mapping[str, Params], batches: Sequence[Batch]
) -> Iterator[tuple[str, dict[str, float]]]:
    """Of each state, both ratios and the seconds of one gradient; it is compiled once for all.

    Args:
        estimator: with whatever memory and baseline it has.
        states: theta and eta, by name.
        batches: the first is measured on; the others are for an estimator that learns from them.
    """

    def loss(
        params: Params, memory: PyTree, key: jax.Array, batch: Batch
    ) -> tuple[jax.Array, PyTree]:
        estimate, memory = estimator.estimate(params, memory, key, batch)
        return estimate.theta_loss + estimate.eta_loss, memory

    own, empty = estimator.init(jax.random.key(1))
    keys = jax.random.split(jax.random.key(0), 2 * FLAGS.draws)
    first, others = batches[0], itertools.cycle(batches[1:] or batches)
    gradient = jax.jit(jax.grad(loss, has_aux=True)).lower(own, empty, keys[0], first).compile()
    for name, fitted in states.items():
        params, memory = fitted._replace(baseline=own.baseline), empty
        if jax.tree.leaves((memory, own.baseline)):
            optimizer = optax.adam(1e-2)
            opt_state = optimizer.init(own.baseline)
            for key, batch in zip(keys[FLAGS.draws :], others, strict=False):
                value, memory = gradient(params, memory, key, batch)
                updates, opt_state = optimizer.update(value.baseline, opt_state)
                learned = optax.apply_updates(params.baseline, updates)
                params = params._replace(baseline=learned)
        drawn: dict[str, list[np.ndarray]] = {"theta": [], "eta": []}
        seconds = []
        for key in keys[: FLAGS.draws]:
            began = time.perf_counter()
            value, _ = jax.block_until_ready(gradient(params, memory, key, first))
            seconds.append(time.perf_counter() - began)
            for part, gradients in drawn.items():
                gradients.append(np.asarray(ravel_pytree(getattr(value, part))[0]))
        cost = median(seconds)
        result = {"seconds": cost}
        for part, gradients in drawn.items():
            ratio = signal_to_noise(np.stack(gradients).astype(np.float64))
            result |= {f"{part}_snr": ratio, f"{part}_snr_per_second": ratio / cost**0.5}
        yield name, result


def signal_to_noise(gradients: np.ndarray) -> float:
    """The median over the coordinates that move of |mean| / standard deviation; rows are draws."""
    variance = gradients.var(axis=0, ddof=1)
    moving = variance > _STILL**2
    if not moving.any():  # as of rws_dreg with one particle, whose weight leaves nothing to learn
        return 0.0
    square = (np.square(gradients.mean(axis=0)) - variance / len(gradients))[moving]
    # The median of the squares, before the root: half of those of a ratio of zero are negative.
    return float(np.sqrt(max(np.median(square / variance[moving]), 0.0)))


class Cell(NamedTuple):
    """One line of the table, but for the state; and its estimator."""

    method: str
    num_particles: int
    keep: int | None
    estimator: Estimator


def cells(model: Model, recognition: Recognition, batch: Batch) -> list[Cell]:
    """Every method with every K that fit the model and each other; the others are left out."""
    wanted = []
    for method in FLAGS.methods or WITH_RECOGNITION.methods:
        keeps = [None, *map(int, FLAGS.keep)] if accepts(method, "keep") else [None]
        for count in map(int, FLAGS.particles):
            for keep in (keep for keep in keeps if keep is None or keep < count):
                options = {"num_particles": count, "keep": keep}
                with contextlib.suppress(InputError):
                    estimator = build_estimator(method, model, recognition, options)
                    params, state = estimator.init(jax.random.key(0))
                    jax.eval_shape(estimator.estimate, params, state, jax.random.key(0), batch)
                    wanted.append(Cell(method, count, keep, estimator))
    return wanted


def states_of(
    model: Model, recognition: Recognition, dataset: Dataset
) -> Iterator[tuple[str, Params]]:
    """The parameters at the start, and after training."""
    estimator = make_estimator(model, recognition, rws(), Particles(10))
    optimizer = adam(1e-3)
    state = init_train_state(estimator, optimizer, jax.random.key(0), dataset.train)
    yield "at the start", jax.tree.map(jnp.copy, state.params)
    epoch = make_epoch(
        estimator,
        optimizer,
        num_data=len(dataset.train),
        batch_size=FLAGS.batch_size,
        binarization=per_minibatch,
    )
    data = jnp.asarray(dataset.train)
    steps, most = 0, len(dataset.train) // FLAGS.batch_size
    while steps < FLAGS.train_steps:
        count = min(most, FLAGS.train_steps - steps)
        state, steps = epoch(state, data, count), steps + count
    if steps:
        yield f"after {steps} steps", state.params


def on_model(name: str, dataset: Dataset) -> Iterator[Row]:
    """The rows of one model, as they are measured."""
    model, recognition = shared_networks.networks_for(dataset, look_up(NETWORKS, "models", name))
    data, size = jnp.asarray(dataset.train), FLAGS.batch_size
    places = [jnp.arange(size) + start for start in range(0, len(data) - size + 1, size)]
    batches = [
        Batch(fixed(jax.random.key(0), 0, 0, index, data[index]), index)
        for index in places[: FLAGS.draws + 1]
    ]
    wanted = cells(model, recognition, batches[0])
    states = dict(states_of(model, recognition, dataset)) if wanted else {}
    for method, count, keep, estimator in wanted:
        for state, figures in measure(estimator, states, batches):
            row = {"model": name, "state": state, "method": method}
            yield row | {"num_particles": count, "keep": keep} | figures


def main() -> None:
    """Measure every cell of both models; write after each, so that nothing is lost."""
    for flag, table in (("models", NETWORKS), ("methods", WITH_RECOGNITION.methods)):
        for name in getattr(FLAGS, flag) or ():
            look_up(table, flag, name)
    for flag in ("particles", "keep"):
        texts = getattr(FLAGS, flag)
        if not all(text.isdecimal() and int(text) for text in texts):
            raise InputError(f"--{flag}={','.join(texts)}: give positive whole numbers")
    dataset = load(FLAGS.dataset, data_dir=FLAGS.data_dir)
    dataset = dataset._replace(train=dataset.train[: FLAGS.train_size])
    if FLAGS.batch_size > len(dataset.train):
        raise InputError(f"--batch_size={FLAGS.batch_size} is more than the training images")
    out, rows = Path(FLAGS.out), list[Row]()
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    for name in FLAGS.models:
        for row in on_model(name, dataset):
            rows.append(row)
            with replacing(out / "rows.json") as temporary:
                temporary.write_text(json.dumps(rows, indent=1) + "\n")
    if not rows:
        raise InputError("no method fits: give other --methods, --particles or --models")
    order = list(dict.fromkeys((row["model"], row["state"]) for row in rows))
    rows.sort(key=lambda row: order.index((row["model"], row["state"])))
    shown = [row | {"milliseconds": 1e3 * row["seconds"]} for row in rows]
    columns = ["model", "state", "method", "num_particles", "keep", "milliseconds"]
    columns += [name for name in rows[0] if "snr" in name]
    table = f"{machine()}, {dataset.name}, B={FLAGS.batch_size}\n\n{markdown(shown, columns)}"
    with replacing(out / "table.md") as temporary:
        temporary.write_text(table + "\n")
    for name in FLAGS.models:
        if mine := [row for row in rows if row["model"] == name]:
            draw(out / f"{name}.png", mine, FLAGS.draws)
            if any(row["keep"] for row in mine):
                draw_keep(out / f"{name}_keep.png", mine)
    print(table)


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
