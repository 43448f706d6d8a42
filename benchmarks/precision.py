"""A decoder in bfloat16: what it saves, and what it does to L_K.

    python -m benchmarks.precision --data_dir=DIR --out=benchmarks/results/precision

Trains each method with the decoder's products in float32 and in bfloat16, in turns of an epoch, so
that a drift of the machine hits both. Each result is evaluated with float32 products, and once more
with bfloat16 ones on the same particles: the first differs by what the rounding did to the fit, the
second by what it does to the figure.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from benchmarks import networks as shared_networks
from benchmarks.machine import machine
from benchmarks.measure import median, median_ratio
from experiments.output.files import replacing, writing
from experiments.output.tables import markdown
from experiments.run import command_line
from experiments.run.images import evenly_spaced, fixed_bits
from experiments.run.methods import build_estimator
from remjax.data import Dataset, load
from remjax.data.binarization import per_minibatch
from remjax.evaluation.importance_sampling import make_log_likelihood
from remjax.models.initializations import glorot, in_bfloat16
from remjax.training.epochs import make_epoch
from remjax.training.optimizers import adam
from remjax.training.steps import init_train_state
from remjax.types import Model, Recognition

FLAGS = flags.FLAGS

Row = dict[str, Any]


def define_flags() -> None:
    """What is trained, and for how long."""
    flags.DEFINE_list("methods", ["rem_v1:64", "rem_v1", "iwae:64"], "method[:keep], ...")
    flags.DEFINE_string("dataset", "mnist", "data set of binary or grey images")
    flags.DEFINE_string("data_dir", None, "folder of its files")
    flags.DEFINE_integer("num_particles", 1000, "K", lower_bound=1)
    flags.DEFINE_integer("batch_size", 20, "images per step", lower_bound=1)
    flags.DEFINE_integer("train_size", 4000, "training images, evenly spaced", lower_bound=1)
    flags.DEFINE_integer("epochs", 3, "passes over them", lower_bound=1)
    flags.DEFINE_list("seeds", ["0", "1"], "seeds")
    flags.DEFINE_integer("eval_size", 500, "test images evaluated", lower_bound=2)
    flags.DEFINE_integer("eval_num_particles", 5000, "K of the evaluation", lower_bound=1)
    shared_networks.define_flags()
    flags.adopt_module_key_flags(shared_networks)
    flags.DEFINE_string("out", "benchmarks/results/precision", "folder of the rows and the table")


class Form(NamedTuple):
    """The networks with the decoder's products in one precision."""

    model: Model
    recognition: Recognition


def forms(dataset: Dataset) -> dict[str, Form]:
    """Both forms of the same networks, which have the same parameters."""
    model, recognition = shared_networks.networks_for(dataset)
    rounded, _ = shared_networks.networks_for(dataset, initialization=in_bfloat16(glorot))
    return {"float32": Form(model, recognition), "bfloat16": Form(rounded, recognition)}


def fit(name: str, seed: int, dataset: Dataset) -> Iterator[Row]:
    """Train one method in both precisions, and evaluate each result in both."""
    method, _, keep = name.partition(":")
    options = {"num_particles": FLAGS.num_particles, "keep": int(keep) if keep else None}
    networks, optimizer, data = forms(dataset), adam(1e-3), jnp.asarray(dataset.train)
    steps = len(dataset.train) // FLAGS.batch_size
    states, programs = {}, {}
    for form, (model, recognition) in networks.items():
        estimator = build_estimator(method, model, recognition, options)
        states[form] = init_train_state(estimator, optimizer, jax.random.key(seed), data)
        epoch = make_epoch(
            estimator,
            optimizer,
            num_data=len(dataset.train),
            batch_size=FLAGS.batch_size,
            binarization=per_minibatch,
        )
        programs[form] = epoch.compile(states[form], data)
    seconds: dict[str, list[float]] = {form: [] for form in networks}
    for _ in range(FLAGS.epochs):
        for form, advance in programs.items():
            began = time.perf_counter()
            states[form] = jax.block_until_ready(advance(states[form], data, steps))
            seconds[form].append((time.perf_counter() - began) / steps)
    x = evenly_spaced(fixed_bits(dataset.test), FLAGS.eval_size, "eval_size")
    for trained, state in states.items():
        row: Row = {
            "method": method,
            "keep": options["keep"],
            "seed": seed,
            "trained in": trained,
            "milliseconds": 1e3 * median(seconds[trained]),
            "times as fast": median_ratio(seconds[trained], seconds["float32"]),
        }
        of_images = {}
        for form, (model, recognition) in networks.items():
            evaluate = make_log_likelihood(
                model, recognition, num_particles=FLAGS.eval_num_particles
            )
            of_images[form] = evaluate(state.params, jax.random.key(1), x).log_likelihood
            row[f"L_K in {form}"] = float(np.mean(of_images[form], dtype=np.float64))
        apart = of_images["bfloat16"].astype(np.float64) - of_images["float32"]
        row["difference"] = float(np.mean(apart))
        row["its deviation over images"] = float(np.std(apart, ddof=1))
        yield row


def main() -> None:
    """Fit every method; write after each, so that what is measured is never lost."""
    dataset = load(FLAGS.dataset, data_dir=FLAGS.data_dir)
    train = evenly_spaced(dataset.train, FLAGS.train_size, "train_size")
    dataset, out = dataset._replace(train=train), Path(FLAGS.out)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for name in FLAGS.methods:
        for seed in map(int, FLAGS.seeds):
            rows += fit(name, seed, dataset)
            with replacing(out / "rows.json") as temporary:
                temporary.write_text(json.dumps(rows, indent=1) + "\n")
    sizes = f"{dataset.name}, B={FLAGS.batch_size}, K={FLAGS.num_particles}"
    sizes += f", {FLAGS.epochs} epochs of {len(train)} images, L_{FLAGS.eval_num_particles}"
    table = f"{machine()}, {sizes}\n\n{markdown(rows, list(rows[0]))}"
    with replacing(out / "table.md") as temporary:
        temporary.write_text(table + "\n")
    print(table)


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
