"""What a kind of model is to a run: how it is built, followed, scored and drawn.

The flow of a run (`training`, `fitting`, `runs`, `evaluation`) knows no model. A kind is a value
that it asks; the table of kinds is in `kinds`.
"""

import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from experiments.run.data_facts import DataFacts
from experiments.run.families import Family
from experiments.run.progress import Bars
from experiments.run.run_directory import RunDirectory
from experiments.run.settings import Settings
from remjax.data import Dataset
from remjax.training.steps import TrainState
from remjax.types import Estimator

# By name, as a line of metrics.jsonl or result.json has them.
Figures = dict[str, Any]
# Called between blocks of work; may raise `Stopped`.
Check = Callable[[], None]


class Problem(NamedTuple):
    """The parts of a training run.

    Attributes:
        settings: of the run.
        dataset: its images.
        facts: of the training images, from which the model is built.
        kind: of its model.
        parts: what the functions of the kind need besides, as its `build` made it.
        estimator: of its method.
        optimizer: of its parameters.
        steps_per_epoch: updates in a pass over the training images.
        mesh: the devices that share the work; None for one.
    """

    settings: Settings
    dataset: Dataset
    facts: DataFacts
    kind: "Kind"
    parts: Any
    estimator: Estimator
    optimizer: optax.GradientTransformation
    steps_per_epoch: int
    mesh: jax.sharding.Mesh | None

    @property
    def data_checksum(self) -> int:
        """Of the training and test images, which differs from that of other files."""
        return zlib.crc32(self.dataset.test, zlib.crc32(self.dataset.train))


class Flag(NamedTuple):
    """A flag of `experiments.evaluate` whose values are whole numbers.

    Attributes:
        default: its value where it is not given.
        meaning: its help.
    """

    default: int | None
    meaning: str


def _nothing_asked(_: Mapping[str, int]) -> None:
    return None


class Further(NamedTuple):
    """Figures that `experiments.evaluate` adds to those of the score where flags ask for them.

    Attributes:
        flags: by name; a name that two kinds have is the same flag.
        asked: the flags that were given, of these -> what measures the figures of a state as
            `Scoring.score` has it, without bars; None where nothing is asked for.
        columns: the figures that are shown.
    """

    flags: Mapping[str, Flag] = {}
    asked: Callable[[Mapping[str, int]], Callable[[Problem, TrainState, Check], Figures] | None] = (
        _nothing_asked
    )
    columns: tuple[str, ...] = ()


class Scoring(NamedTuple):
    """How well a model is fitted, as its kind measures it.

    A state is that of one replica, on a device of this host alone (`replicas.local`). Every host
    calls `score` and `test_metrics`.

    Attributes:
        score: (problem, state, check, bars) -> the figures of result.json: numbers, of which the
            replicas' means are taken, and other values; besides, arrays for pictures (`kept`).
        test_metrics: (problem, state) -> numbers, for the epochs that --eval_every names.
        announced: settings -> what is evaluated, as "test images with K = 5,000".
        remarks: figures -> what to know of them.
        recorded: the settings that result.json repeats.
        columns: of the result, as `experiments.train` shows those that it has.
        columns_again: of an evaluation, as `experiments.evaluate` shows those that it has.
        further: figures that `experiments.evaluate` may add.
        headline: the figure by which runs are compared, nats per test image, more is better.
    """

    score: Callable[[Problem, TrainState, Check, Bars], Figures]
    test_metrics: Callable[[Problem, TrainState], dict[str, float]]
    announced: Callable[[Settings], str]
    remarks: Callable[[Mapping[str, Any]], str]
    recorded: tuple[str, ...]
    columns: tuple[str, ...]
    columns_again: tuple[str, ...]
    further: Further = Further()
    headline: str = "test_log_likelihood"


def kept(figures: Figures) -> Figures:
    """Those that result.json holds: arrays, a number for each image, are for pictures alone."""
    return {name: one for name, one in figures.items() if not isinstance(one, np.ndarray)}


class Work(NamedTuple):
    """What a run costs, in a unit of the kind's own, as decoder passes.

    Attributes:
        update: one update of one replica.
        image: the score of one image.
    """

    update: int
    image: int


def _no_metrics(*_: object) -> dict[str, float]:
    return {}


def _none(*_: object) -> None:
    return None


class Kind(NamedTuple):
    """A kind of model that a run can fit.

    Attributes:
        family: the methods that fit it.
        settings: the names of those that it has besides what every run and its method have: one
            that some kinds name is refused by the others.
        build: (settings, facts of the data, mesh) -> (estimator, what the other functions need
            besides). Raises `InputError` for what does not go together.
        line: the metrics of an epoch -> those that are printed, as "log_evidence -90.00 nats".
        draw: (problem, state, directory, figures) writes the pictures of a finished run; the state
            is that of the first replica, as `Scoring` has it, and the figures are its score.
        keep: (state, directory) writes what a finished run holds beside checkpoints, result and
            pictures; nothing by default.
        scoring: how well it is fitted.
        defaults: its own defaults of any setting, `method` among them; a preset and the flags take
            precedence.
        of_data: data set -> what of them is another where it is fitted to that one.
        epoch_metrics: (problem, state) -> numbers for every epoch, beside the means of the
            estimator's metrics; the state as `Scoring` has it.
        particles: settings -> the flag and the number of what the axis `particles` of a mesh
            divides; None where it has nothing to divide.
        replicas_at_a_time: problem -> how many replicas take their steps together; None for all.
        work: settings -> what a run costs, roughly.
        about: problem -> what to say of the model before it is fitted; nothing by default.
    """

    family: Family
    settings: frozenset[str]
    build: Callable[[Settings, DataFacts, jax.sharding.Mesh | None], tuple[Estimator, Any]]
    line: Callable[[Mapping[str, float]], str]
    draw: Callable[[Problem, TrainState, RunDirectory, Figures], None]
    scoring: Scoring
    keep: Callable[[TrainState, RunDirectory], None] = _none
    defaults: Mapping[str, Any] = {}
    of_data: Mapping[str, Mapping[str, Any]] = {}
    epoch_metrics: Callable[[Problem, TrainState], dict[str, float]] = _no_metrics
    particles: Callable[[Settings], tuple[str, int] | None] = _none
    replicas_at_a_time: Callable[[Problem], int | None] = _none
    work: Callable[[Settings], Work] = lambda settings: Work(settings.batch_size, 1)
    about: Callable[[Problem], str] = lambda _: ""
