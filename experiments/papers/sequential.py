"""REM in sequential Monte Carlo: four methods on two state-space models, at equal passes."""

import functools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.output.files import write_json, writing
from experiments.output.tables import mean_and_std
from experiments.papers.protocol import Table
from experiments.papers.report import write_table
from experiments.papers.sequential_tasks import SequenceTask, images, linear, maximum_likelihood
from experiments.pictures.drawing import COLOURS, MARKERS, drawing
from remjax import Params, Particles, adam, init_train_state, make_epoch, sequential

METHODS: Mapping[str, sequential.SequentialMethod] = {
    "iwae": sequential.iwae,
    "fivo": sequential.fivo(),
    "rws": sequential.rws(),
    "rem": sequential.rem(),
}


class SequenceScale(NamedTuple):
    """How much is run.

    Attributes:
        tasks: by name, each of the folder of the data.
        default: those that run unless others are named.
        passes: particles that the model scores at each step of a sequence.
        updates: of each training.
        records: how often a training is looked at.
        batch_size: B.
        seeds: of each training.
        judges: particles of the filter that evaluates.
    """

    tasks: Mapping[str, Callable[[str | None], SequenceTask]]
    default: tuple[str, ...]
    passes: int
    updates: int
    records: int
    batch_size: int
    seeds: int
    judges: int


def _tasks(num_train: int, num_steps: int, num_test: int) -> dict[str, Any]:
    return {
        "linear": lambda _: linear(num_train, num_steps),
        "digits": functools.partial(images, "digits", num_train, num_test),
        "mnist": functools.partial(images, "mnist", 10 * num_train, num_test),
    }


SCALES: Mapping[str, SequenceScale] = {
    "smoke": SequenceScale(_tasks(40, 6, 20), ("linear", "digits"), 4, 20, 2, 20, 1, 20),
    "cpu": SequenceScale(_tasks(500, 10, 100), ("linear", "digits"), 20, 1_500, 5, 25, 1, 200),
}


def run(root: Path, scale: SequenceScale, data_dir: str | None) -> str:
    """Trains every method on every task and writes the report.

    Args:
        root: folder of the report; what is there of an earlier one is replaced.
        scale: how much is run.
        data_dir: of the data sets that have files.

    Returns:
        The table.

    Raises:
        InputError: the folder cannot be written, or data are missing.
    """
    with writing(root):
        root.mkdir(parents=True, exist_ok=True)
    tasks = {name: scale.tasks[name](data_dir) for name in scale.default}
    rows, courses, notes = [], {}, []
    for task in tasks.values():
        best = None
        notes.append(task.meaning)
        if task.exact is not None:
            best = float(task.exact(maximum_likelihood(task), jnp.asarray(task.train)))
            notes[-1] += f"; the largest log-likelihood of the training set has {best:.2f} nats"
        for name, method in METHODS.items():
            seeds = [train(task, method, scale, seed, best) for seed in range(scale.seeds)]
            courses[task.title, name] = [one.course for one in seeds]
            # One seed has no spread.
            several = len(seeds) > 1
            numbers = mean_and_std([one.row for one in seeds]) if several else seeds[0].row
            rows.append(_row(task, name, method, numbers, scale))
            print(f"{task.title:18s} {name:5s} {numbers['bound']:9.2f} nats", flush=True)
    return _write(root, scale, rows, courses, notes)


class Trained(NamedTuple):
    """One training.

    Attributes:
        row: bound, ess, seconds; distance and gap where log p is known.
        course: (updates, bound of the held-out sequences) at each record.
    """

    row: Mapping[str, float]
    course: list[tuple[int, float]]


def train(
    task: SequenceTask,
    method: sequential.SequentialMethod,
    scale: SequenceScale,
    seed: int,
    best: float | None,
) -> Trained:
    """One training, evaluated as it goes."""
    num_particles = scale.passes // method.proposal.scored
    estimator = sequential.make_estimator(
        task.model, task.recognition, method, Particles(num_particles)
    )
    optimizer = adam(3e-3)
    x, test = jnp.asarray(task.train), jnp.asarray(task.test)
    state = init_train_state(estimator, optimizer, jax.random.key(seed), x)
    epochs = make_epoch(estimator, optimizer, num_data=len(x), batch_size=scale.batch_size)
    judge = jax.jit(functools.partial(_bound, task, scale.judges))
    course, seconds = [], 0.0
    for record in range(scale.records):
        start = time.perf_counter()
        state = jax.block_until_ready(epochs(state, x, scale.updates // scale.records))
        seconds += time.perf_counter() - start
        bound, ess = judge(state.params, test, jax.random.key(100 + record))
        course.append((int(state.step), float(bound)))
    row = {"bound": float(bound), "ess": float(ess), "seconds": seconds}
    if task.exact is not None and best is not None:
        theta = state.params.theta
        row["distance"] = best - float(task.exact(theta, x))
        row["gap"] = float(task.exact(theta, test)) - float(bound)
    return Trained(row, course)


def _bound(task: SequenceTask, num_particles: int, params: Params, x: Any, key: Any) -> Any:
    """Mean log Z of a filter with r, nats per sequence, and its mean ESS."""

    def one(inputs: Any) -> Any:
        key, row = inputs
        found = sequential.particle_filter(
            key, task.model, params.theta, task.recognition, params.eta, row, num_particles
        )
        return found.log_evidence, jnp.mean(found.ess)

    values, ess = jax.lax.map(one, (jax.random.split(key, len(x)), x), batch_size=20)
    return jnp.mean(values), jnp.mean(ess)


def _row(
    task: SequenceTask,
    name: str,
    method: sequential.SequentialMethod,
    numbers: Mapping[str, float],
    scale: SequenceScale,
) -> dict[str, Any]:
    return {
        "task": task.title,
        "method": name,
        "K": scale.passes // method.proposal.scored,
        "held-out bound": numbers["bound"],
        "std": numbers.get("bound_std"),
        "below the best": numbers.get("distance"),
        "log p - bound": numbers.get("gap"),
        "ESS": numbers["ess"],
        "seconds": numbers["seconds"],
    }


def _write(
    root: Path,
    scale: SequenceScale,
    rows: list[dict[str, Any]],
    courses: Mapping[tuple[str, str], list[list[tuple[int, float]]]],
    notes: list[str],
) -> str:
    notes = [
        f"held-out bound: mean log Z of a filter of {scale.judges} particles of r, nats per "
        f"sequence; mean of {scale.seeds} seed(s), std over them; ESS: of these particles, mean "
        "over the steps",
        "below the best: of the exact log-likelihood of the training set, nats; log p - bound: on "
        "the held-out sequences, by Kalman",
        f"{scale.updates} updates of batches of {scale.batch_size}, Adam at 0.003, "
        f"{scale.passes} particles scored at each step; seconds: of updates, compilation included",
        *notes,
    ]
    table = Table("table", "State-space models at equal passes", rows, [()] * len(rows), notes)
    text = write_table(root, table)
    plain = [
        {"task": task, "method": name, "courses": found} for (task, name), found in courses.items()
    ]
    write_json(root / "rows.json", {"rows": rows, "courses": plain})
    titles = list(dict.fromkeys(task for task, _ in courses))
    with drawing(root / "picture.png", 1.0 + 4.5 * len(titles), 4.0) as figure:
        for axes, title in zip(
            figure.subplots(1, len(titles), squeeze=False)[0], titles, strict=True
        ):
            for name, colour, marker in zip(METHODS, COLOURS, MARKERS, strict=False):
                runs = np.array(courses[title, name])
                axes.plot(
                    runs[0, :, 0],
                    runs[:, :, 1].mean(axis=0),
                    color=colour,
                    marker=marker,
                    label=name,
                )
            axes.set(title=title, xlabel="updates", ylabel="held-out bound, nats")
        axes.legend()
    return text
