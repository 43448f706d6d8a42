"""Every method and covariance at the same number of decoder passes per step.

    python -m benchmarks.equal_passes --data_dir=DIR --passes=500 --methods=rws,rem_curvature

Trains each `method[:covariance]` or `method:knob=value` (fresh bits for every minibatch of grey
images) and evaluates two bounds on the first test images: L_5000 with r, which ranks recognition
networks as much as models, and with particles from the curvature of the posterior, which are the
same for all. On the first --annealed_size of them annealed importance sampling judges both: from r
to the posterior by 300 temperatures, 8 chains for each image. K is as large as --passes allows: REM
draws half from r and half from s; the curvature takes its linearisations off K. A cell that is
finished is not run again; the table, the verdict over seeds and the picture of all cells in --out
are written at the end.
"""

import json
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from benchmarks.equal_passes_report import Cell, picture, table, verdict
from benchmarks.passes import affordable
from experiments.run import command_line
from experiments.run.choices import COVARIANCES, SCHEDULES, look_up
from experiments.run.data_facts import facts_of
from experiments.run.methods import accepts, build_estimator, particles_scored
from experiments.run.networks import build_networks
from remjax.data import Dataset, load
from remjax.data.binarization import fixed, per_minibatch, unchanged
from remjax.evaluation.annealing import Annealing
from remjax.evaluation.bounds import make_annealed_log_likelihood
from remjax.evaluation.importance_sampling import make_log_likelihood
from remjax.evaluation.latents import latent_use
from remjax.evaluation.proposals import from_curvature
from remjax.models.initializations import glorot
from remjax.training.epochs import make_epoch
from remjax.training.optimizers import adam
from remjax.training.steps import init_train_state, metric_means
from remjax.types import Estimator

FLAGS = flags.FLAGS
flags.DEFINE_list(
    "methods",
    ["vae", "iwae", "rws", "rem_v1:shrunk"],
    "method[:covariance] or method:knob=value, ...",
)
flags.DEFINE_string("data_dir", None, "where the files of the data set are")
flags.DEFINE_string("dataset", "mnist", "mnist, omniglot or binarized_mnist")
flags.DEFINE_string("out", "benchmarks/results/equal_passes", "folder of the results")
flags.DEFINE_integer("epochs", 3, "passes over the training images", lower_bound=1)
flags.DEFINE_integer("passes", 100, "decoder passes per image and step", lower_bound=2)
flags.DEFINE_integer("keep", 16, "particles that carry the gradient; 0 for all", lower_bound=0)
flags.DEFINE_integer("batch_size", 100, "images per step", lower_bound=1)
flags.DEFINE_integer("eval_size", 1000, "test images evaluated", lower_bound=1)
flags.DEFINE_integer("eval_num_particles", 5000, "K of the evaluation", lower_bound=1)
flags.DEFINE_integer("annealed_size", 0, "test images annealed", lower_bound=0)
flags.DEFINE_string("schedule", "constant", f"of the learning rate: {', '.join(SCHEDULES)}")
flags.DEFINE_list("seeds", ["0"], "seeds")


_ANNEALING = Annealing(num_steps=300, num_chains=8)


def _test_bits(dataset: Dataset) -> np.ndarray:
    """The same bits of the test images for every method and seed."""
    index = jnp.arange(min(FLAGS.eval_size, len(dataset.test)))
    images = jnp.asarray(dataset.test)[index]
    return np.asarray(images if dataset.binary else fixed(jax.random.key(0), 0, 0, index, images))


def run_cell(name: str, seed: int) -> Cell:
    """Train and evaluate one method with one seed."""
    method, _, chosen_knob = name.partition(":")
    dataset = load(FLAGS.dataset, data_dir=FLAGS.data_dir)
    model, recognition = build_networks(
        facts_of(dataset), latent_sizes=(20,), hidden_sizes=((200, 200),), initialization=glorot
    )
    options: dict[str, Any] = {}
    knob, given, value = chosen_knob.partition("=")
    if given:
        options[knob] = json.loads(value)
    elif knob:
        options["covariance"] = look_up(COVARIANCES, "methods", knob)()

    def make(num_particles: int) -> Estimator:
        kept = {}
        if FLAGS.keep and accepts(method, "keep"):
            kept["keep"] = min(FLAGS.keep, num_particles)
        chosen = options | kept | {"num_particles": num_particles}
        return build_estimator(method, model, recognition, chosen)

    data_size = dataset.train.shape[1]
    num_particles = affordable(lambda k: particles_scored(make(k), data_size), FLAGS.passes)
    estimator = make(num_particles)
    num_data = len(dataset.train)
    steps = num_data // FLAGS.batch_size
    schedule = look_up(SCHEDULES, "schedule", FLAGS.schedule)
    optimizer = adam(schedule(1e-3, steps, FLAGS.epochs))
    state = init_train_state(estimator, optimizer, jax.random.key(seed), dataset.train)
    epoch = make_epoch(
        estimator,
        optimizer,
        num_data=num_data,
        batch_size=FLAGS.batch_size,
        binarization=unchanged if dataset.binary else per_minibatch,
    )
    data = jnp.asarray(dataset.train)
    began, began_cpu = time.perf_counter(), time.process_time()
    history = []
    for _ in range(FLAGS.epochs):
        state = jax.block_until_ready(epoch(state, data, steps))
        history.append(metric_means(state) | {"seconds": time.perf_counter() - began})
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - began_cpu

    bits = _test_bits(dataset)
    count = FLAGS.eval_num_particles
    with_r = make_log_likelihood(model, recognition, num_particles=count)
    with_curvature = make_log_likelihood(
        model, recognition, num_particles=count, proposal=from_curvature
    )
    evaluation = with_r(state.params, jax.random.key(1), bits)
    tight = with_curvature(state.params, jax.random.key(1), bits)
    annealed = {}
    if FLAGS.annealed_size:
        anneal = make_annealed_log_likelihood(model, recognition, _ANNEALING)
        bound = anneal(state.params, jax.random.key(3), bits[: FLAGS.annealed_size])
        annealed = {
            "annealed_log_likelihood": bound.mean,
            "annealed_log_likelihoods": [round(float(v), 4) for v in bound.log_likelihood],
        }
    use = latent_use(model, recognition, state.params, jax.random.key(2), bits)
    return {
        "name": name,
        "dataset": FLAGS.dataset,
        "passes": FLAGS.passes,
        "seed": seed,
        "epochs": FLAGS.epochs,
        "schedule": FLAGS.schedule,
        "num_particles": num_particles,
        "keep": FLAGS.keep if FLAGS.keep and accepts(method, "keep") else None,
        "test_log_likelihood": evaluation.mean,
        "test_ess": float(np.mean(evaluation.ess)),
        "pareto_k": float(np.median(evaluation.pareto_k)),
        "tight_log_likelihood": tight.mean,
        "tight_ess": float(np.mean(tight.ess)),
        "tight_pareto_k": float(np.median(tight.pareto_k)),
        "kl_to_prior": use.kl_to_prior,
        "active_units": use.active_units(),
        "train_ess": history[-1]["ess"],
        "skipped_updates": int(state.skipped_updates),
        "train_seconds": seconds,
        "cpu_ms_per_step": 1e3 * cpu_seconds / (FLAGS.epochs * steps),
        "history": history,
        "test_log_likelihoods": [round(float(v), 4) for v in evaluation.log_likelihood],
        "tight_log_likelihoods": [round(float(v), 4) for v in tight.log_likelihood],
    } | annealed


def main() -> None:
    """Run the cells that are missing and print the table of all."""
    out = Path(FLAGS.out)
    out.mkdir(parents=True, exist_ok=True)
    for seed in map(int, FLAGS.seeds):
        for name in FLAGS.methods:
            keep = f"keep{FLAGS.keep}" if FLAGS.keep else "exact"
            setting = f"{FLAGS.dataset}_{FLAGS.passes}passes_{keep}_{FLAGS.schedule}"
            cell_name = f"{name}_{setting}_{FLAGS.epochs}epochs_seed{seed}"
            path = out / f"{cell_name.replace(':', '-')}.json"
            if not path.exists():
                cell = run_cell(name, seed)
                path.write_text(json.dumps(cell, indent=1))
                print(table([cell]).splitlines()[-1], flush=True)
    cells = [json.loads(path.read_text()) for path in sorted(out.glob("*.json"))]
    text = f"{verdict(cells)}\n{table(cells)}"
    (out / "table.md").write_text(text)
    picture(out / "picture.png", cells)
    print(text)


if __name__ == "__main__":
    command_line.run(main)
