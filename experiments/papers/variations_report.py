"""The report of the variations: likelihoods, errors of the gradients, the picture, the numbers."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.output.files import write_json
from experiments.papers.protocol import Table
from experiments.papers.report import write_table
from experiments.papers.variations_arms import (
    ESTIMATED,
    EXACT,
    MAXIMUM_LIKELIHOOD,
    NOISELESS,
    PERSISTENT,
    PLAIN,
    SAMPLED,
)
from experiments.papers.variations_gradients import GradientError
from experiments.papers.variations_tasks import Task
from experiments.papers.variations_training import Course, Length
from experiments.pictures.courses import Line, Panel, grid_of_courses

# The arms in the legend, one column of it after the other.
_WORDS = {
    MAXIMUM_LIKELIHOOD: "maximum likelihood, exact gradient",
    PERSISTENT: "PCD-1",
    PLAIN: "CD-k",
    NOISELESS: "CD-k, its mean gradient by enumeration",
    EXACT: "CD-k + (45), by enumeration",
    SAMPLED: "CD-k + (45), score function, log q(x_k) enumerated",
    ESTIMATED: "CD-k + (45), score function, log q(x_k) estimated",
}
_COLOURS = {
    MAXIMUM_LIKELIHOOD: "#000000",
    PERSISTENT: "0.55",
    PLAIN: "#0072B2",
    NOISELESS: "#56B4E9",
    EXACT: "#D55E00",
    SAMPLED: "#009E73",
    ESTIMATED: "#CC79A7",
}


class Learned(NamedTuple):
    """What came of a task.

    Attributes:
        task: what was learned.
        courses: of all arms, maximum likelihood first.
        divergences: of each course, KL(q || p) of trajectories (24) of each seed at the end, at the
            best rate; None for an arm without k.
        errors: number of updates of maximum likelihood -> the errors of all gradients at the
            machine that it had then.
    """

    task: Task
    courses: Sequence[Course]
    divergences: Sequence[np.ndarray | None]
    errors: Mapping[int, Sequence[GradientError]]

    @property
    def best(self) -> float:
        """The log-likelihood of maximum likelihood at its best rate: the mean over seeds, nats."""
        return float(self.courses[0].final.mean())


def write_report(root: Path, length: Length, draws: int, learned: Sequence[Learned]) -> str:
    """Writes table.md, gradients.md, both as pictures too, picture.png and rows.json.

    Returns:
        Both tables.
    """
    tables = [likelihoods(length, learned), gradients(draws, learned)]
    texts = [write_table(root, table) for table in tables]
    picture(root / "picture.png", learned)
    write_json(root / "rows.json", numbers(length, learned))
    return "\n\n".join(texts)


def likelihoods(length: Length, learned: Sequence[Learned]) -> Table:
    """A row for each arm of each task: the log-likelihood at each rate, and what is below it."""
    rows, remarks = [], []
    for one in learned:
        for course, divergence in zip(one.courses, one.divergences, strict=True):
            final = course.final
            rows.append(
                _named(one.task, course.arm.name, course.arm.steps)
                | {
                    f"{rate:g}": float(course.log_likelihood[-1, place].mean())
                    for place, rate in enumerate(length.rates)
                }
                | {
                    "±": float(final.std(ddof=1)) if len(final) > 1 else None,
                    "gap": round(one.best - float(final.mean()), 2) + 0.0,  # no minus zero
                    "(24)": None if divergence is None else f"{divergence.mean():.3f}",
                    "ms": f"{course.milliseconds:.3f}",
                }
            )
            remarks.append([_meaning(one.task), course.arm.remark])
    notes = [
        f"{length.rates[0]:g} to {length.rates[-1]:g}: the learning rate of plain gradient "
        f"descent, the same rates for all; the highest after {length.updates:,} updates, in the "
        "mean over seeds, is the best one of a row, and the columns to its right are at that rate",
        f"±: standard deviation over {length.seeds} seeds",
        "gap: the best of maximum likelihood less the best of the row, nats; below zero where "
        "maximum likelihood got less far in as many updates",
        "(24): KL(q || p) of trajectories of k steps, nats, exact, which the whole gradient (35) "
        "descends: KL(D || p) - KL(q(x_k) || p), zero also where chains stand still",
        "ms: processor time of an update of one machine, all seeds and rates side by side",
    ]
    title = "Exact mean log-likelihood of the training distribution, nats per row"
    return Table("table", title, rows, remarks, notes)


def gradients(draws: int, learned: Sequence[Learned]) -> Table:
    """A row for each gradient at each machine: its bias and its noise."""
    rows, remarks = [], []
    for one in learned:
        for updates, errors in one.errors.items():
            for error in errors:
                whole = error.from_divergence
                rows.append(
                    _named(one.task, error.arm.name, error.arm.steps)
                    | {
                        "at": f"{updates:,}",
                        "angle": f"{error.angle:.1f}",
                        "bias": error.bias,
                        "off (35)": None if whole is None else f"{whole:.3f}",
                        "noise": error.noise,
                    }
                )
                drawn = "its mean is that of the draws"
                remarks.append([f"{drawn}: bias and off (35) have noise"] if error.floor else [])
    notes = [
        "at: updates of maximum likelihood, seed 0, after which all gradients are taken",
        "angle: between the mean gradient and g, that of the mean -log p, degrees",
        "bias: |mean gradient - g| / |g|",
        "off (35): |mean gradient - (35)| / |(35)|, the whole gradient of KL(q || p): for CD it is "
        "how much (45) weighs",
        "noise: of one update, the root of the summed variances of its numbers / |g|, from "
        f"{draws:,} draws; the mean of the draws has that / {np.sqrt(draws):.0f}",
        "means without a letter are exact, by enumeration",
    ]
    return Table("gradients", "Bias and noise of the gradients", rows, remarks, notes)


def picture(path: Path, learned: Sequence[Learned]) -> None:
    """The exact log-likelihood against updates, a row of panels for each task, a panel for each k.

    Each arm at its best rate.
    """
    references = (MAXIMUM_LIKELIHOOD, PERSISTENT)
    rows: dict[str, list[Panel]] = {}
    for one in learned:
        lines = {(c.arm.name, c.arm.steps): _line(c) for c in one.courses}
        counts = dict.fromkeys(steps for _, steps in lines if steps is not None)
        rows[one.task.title] = [
            Panel(
                f"k = {k}",
                {_WORDS[name]: line for (name, steps), line in lines.items() if steps in (None, k)},
                -one.task.entropy,
            )
            for k in counts
        ]
    grid_of_courses(
        path,
        rows,
        colours={words: _COLOURS[name] for name, words in _WORDS.items()},
        dashed=tuple(_WORDS[name] for name in references),
        title="CD-k with and without the term (45) that it leaves out\n"
        "lines: mean over seeds at the best rate; bands: from the least seed to the greatest",
        x_label="updates",
        y_label="exact mean log-likelihood (nats per row)",
        ceiling_label="minus the entropy of the data, the most that can be reached",
    )


def numbers(length: Length, learned: Sequence[Learned]) -> dict[str, Any]:
    """Everything that the tables and the picture were made of."""
    return {
        "rates": length.rates,
        "seeds": length.seeds,
        "tasks": {one.task.name: {"entropy": one.task.entropy} for one in learned},
        "courses": [row for one in learned for row in _course_rows(length, one)],
        "gradients": [row for one in learned for row in _error_rows(one)],
    }


def _named(task: Task, name: str, steps: int | None) -> dict[str, Any]:
    return {"task": task.name, "gradient": name, "k": steps}


def _meaning(task: Task) -> str:
    rows, width = task.rows.shape
    return (
        f"{task.meaning}: {width} visible and {task.num_hidden} hidden units, updates of "
        f"{task.batch_size} of {rows:,} rows, minus the entropy is {-task.entropy:.2f}"
    )


def _line(course: Course) -> Line:
    return Line(course.updates, course.log_likelihood[:, course.best])


def _course_rows(length: Length, one: Learned) -> Iterator[dict[str, Any]]:
    for course, divergence in zip(one.courses, one.divergences, strict=True):
        yield _named(one.task, course.arm.name, course.arm.steps) | {
            "milliseconds": course.milliseconds,
            "best_rate": length.rates[course.best],
            "divergence": divergence,
            "updates": course.updates,
            "log_likelihood": np.round(course.log_likelihood.astype(np.float64), 4),
        }


def _error_rows(one: Learned) -> Iterator[dict[str, Any]]:
    for updates, errors in one.errors.items():
        for error in errors:
            figures = error._asdict()
            del figures["arm"]
            yield _named(one.task, error.arm.name, error.arm.steps) | {"at": updates} | figures
