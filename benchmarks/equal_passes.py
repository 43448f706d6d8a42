"""Every method and covariance at the same number of decoder passes per step.

    python -m benchmarks.equal_passes --data_dir=DIR --epochs=3 --methods=rws,rem_v1:shrunk

Trains each `method[:covariance]` on MNIST (fresh bits for every minibatch) and evaluates L_5000 on
the first test images. REM draws K particles from r and K from s; the other methods draw 2 K from r,
so that each step scores as many particles. A cell that is finished is not run again; the table and
the picture of all cells in --out are written at the end.
"""

import json
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments.output.tables import markdown
from experiments.pictures.comparisons import method_comparison
from experiments.run import command_line
from experiments.run.choices import COVARIANCES, SCHEDULES, look_up
from experiments.run.data_facts import facts_of
from experiments.run.methods import accepts, build_estimator, particles_scored
from experiments.run.networks import build_networks
from remjax.data import Dataset, load
from remjax.data.binarization import fixed, per_minibatch
from remjax.evaluation.importance_sampling import make_log_likelihood
from remjax.evaluation.latents import latent_use
from remjax.models.networks import glorot
from remjax.training.epochs import make_epoch
from remjax.training.optimizers import adam
from remjax.training.steps import init_train_state, metric_means

Cell = dict[str, Any]

FLAGS = flags.FLAGS
flags.DEFINE_list("methods", ["vae", "iwae", "rws", "rem_v1:shrunk"], "method[:covariance], ...")
flags.DEFINE_string("data_dir", None, "where the files of MNIST are")
flags.DEFINE_string("out", "benchmarks/results/equal_passes", "folder of the results")
flags.DEFINE_integer("epochs", 3, "passes over the 60,000 training images", lower_bound=1)
flags.DEFINE_integer("num_particles", 50, "K of REM; the other methods get 2 K", lower_bound=1)
flags.DEFINE_integer("keep", 16, "particles that carry the gradient; 0 for all", lower_bound=0)
flags.DEFINE_integer("batch_size", 100, "images per step", lower_bound=1)
flags.DEFINE_integer("eval_size", 1000, "test images evaluated", lower_bound=1)
flags.DEFINE_integer("eval_num_particles", 5000, "K of the evaluation", lower_bound=1)
flags.DEFINE_string("schedule", "constant", f"of the learning rate: {', '.join(SCHEDULES)}")
flags.DEFINE_list("seeds", ["0"], "seeds")


def _test_bits(dataset: Dataset) -> np.ndarray:
    """The same bits of the test images for every method and seed."""
    index = jnp.arange(FLAGS.eval_size)
    return np.asarray(fixed(jax.random.key(0), 0, 0, index, jnp.asarray(dataset.test)[index]))


def run_cell(name: str, seed: int) -> Cell:
    """Train and evaluate one method with one seed."""
    method, _, covariance = name.partition(":")
    dataset = load("mnist", data_dir=FLAGS.data_dir)
    model, recognition = build_networks(
        facts_of(dataset), latent_sizes=(20,), hidden_sizes=((200, 200),), initialization=glorot
    )
    options: dict[str, Any] = {"num_particles": FLAGS.num_particles}
    if covariance:
        options["covariance"] = look_up(COVARIANCES, "methods", covariance)()
    if FLAGS.keep and accepts(method, "keep"):
        options["keep"] = FLAGS.keep
    first = build_estimator(method, model, recognition, options)
    passes = particles_scored(first, dataset.train.shape[1])
    # Twice what a method of one proposal scores, divided by what this one does.
    num_particles = 2 * FLAGS.num_particles**2 // passes
    options["num_particles"] = num_particles
    estimator = build_estimator(method, model, recognition, options)
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
        binarization=per_minibatch,
    )
    data = jnp.asarray(dataset.train)
    began = time.perf_counter()
    history = []
    for _ in range(FLAGS.epochs):
        state = jax.block_until_ready(epoch(state, data, steps))
        history.append(metric_means(state) | {"seconds": time.perf_counter() - began})
    seconds = time.perf_counter() - began

    bits = _test_bits(dataset)
    evaluate = make_log_likelihood(model, recognition, num_particles=FLAGS.eval_num_particles)
    evaluation = evaluate(state.params, jax.random.key(1), bits)
    use = latent_use(model, recognition, state.params, jax.random.key(2), bits)
    return {
        "name": name,
        "seed": seed,
        "epochs": FLAGS.epochs,
        "schedule": FLAGS.schedule,
        "num_particles": num_particles,
        "keep": options.get("keep"),
        "test_log_likelihood": evaluation.mean,
        "test_ess": float(np.mean(evaluation.ess)),
        "pareto_k": float(np.median(evaluation.pareto_k)),
        "kl_to_prior": use.kl_to_prior,
        "active_units": use.active_units(),
        "train_ess": history[-1]["ess"],
        "skipped_updates": int(state.skipped_updates),
        "train_seconds": seconds,
        "history": history,
        "test_log_likelihoods": [round(float(v), 4) for v in evaluation.log_likelihood],
    }


def minus_rws(cell: Cell, cells: list[Cell]) -> tuple[float, float] | None:
    """Mean difference from rws in the same setting, and its standard error over the paired images.

    None where rws was not run in that setting.
    """
    setting = ["epochs", "schedule", "seed", "keep"]
    if cell["name"] == "vae":  # which keeps all, whatever the others do
        setting.remove("keep")
    for rws in cells:
        if rws["name"] == "rws" and all(rws[key] == cell[key] for key in setting):
            difference = np.subtract(cell["test_log_likelihoods"], rws["test_log_likelihoods"])
            stderr = np.std(difference, ddof=1) / np.sqrt(len(difference))
            return float(np.mean(difference)), float(stderr)
    return None


def in_order(cells: list[Cell]) -> list[Cell]:
    """By epochs, then seed, then best first."""
    return sorted(cells, key=lambda c: (c["epochs"], c["seed"], -c["test_log_likelihood"]))


def picture(path: Path, cells: list[Cell]) -> None:
    """Every method's distance from rws, a panel for each number of epochs and seed."""
    panels: dict[str, dict[str, tuple[float, float]]] = {}
    for cell in in_order(cells):
        difference = minus_rws(cell, cells)
        # So far below that nothing else could be seen apart: in the table only.
        if difference is not None and difference[0] > -5.0:
            panel = f"{cell['epochs']} epochs, seed {cell['seed']}"
            panels.setdefault(panel, {})[cell["name"]] = difference
    if panels:
        label = "test log-likelihood minus rws (nats)"
        title = "MNIST at equal decoder passes"
        method_comparison(path, panels, label=label, title=title)


def table(cells: list[Cell]) -> str:
    """The cells as a Markdown table."""
    rows = []
    for cell in in_order(cells):
        difference = minus_rws(cell, cells)
        text = "-" if difference is None else f"{difference[0]:+.2f} ({difference[1]:.2f})"
        rows.append(cell | {"minus rws": text})
    columns = (
        "name epochs schedule seed num_particles keep test_log_likelihood minus_rws test_ess "
        "pareto_k kl_to_prior active_units skipped_updates train_seconds"
    )
    return markdown(rows, [column.replace("minus_", "minus ") for column in columns.split()]) + "\n"


def main() -> None:
    """Run the cells that are missing and print the table of all."""
    out = Path(FLAGS.out)
    out.mkdir(parents=True, exist_ok=True)
    for seed in map(int, FLAGS.seeds):
        for name in FLAGS.methods:
            keep = f"keep{FLAGS.keep}" if FLAGS.keep else "exact"
            cell_name = f"{name}_{keep}_{FLAGS.schedule}_{FLAGS.epochs}epochs_seed{seed}"
            path = out / f"{cell_name.replace(':', '-')}.json"
            if not path.exists():
                cell = run_cell(name, seed)
                path.write_text(json.dumps(cell, indent=1))
                print(table([cell]).splitlines()[-1], flush=True)
    cells = [json.loads(path.read_text()) for path in sorted(out.glob("*.json"))]
    text = table(cells)
    (out / "table.md").write_text(text)
    picture(out / "picture.png", cells)
    print(text)


if __name__ == "__main__":
    command_line.run(main)
