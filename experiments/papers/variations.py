"""What Bachman & Precup (2015) ask for in Section 5.4: training with the term (45).

Contrastive divergence descends KL(q || p) of trajectories of k steps but for one term of the
gradient, (45). Small machines learn by CD-k, by CD-k with that term, by exact maximum likelihood
and by PCD, all from the same start and in as many updates; the log-likelihood is exact everywhere.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from experiments.output.files import writing
from experiments.papers.variations_arms import NOISELESS, PERSISTENT, Arm, of_task
from experiments.papers.variations_gradients import gradient_errors, points
from experiments.papers.variations_report import Learned, write_report
from experiments.papers.variations_tasks import Task, bars_and_stripes, digits, shifter
from experiments.papers.variations_training import Course, Length, divergences, train
from experiments.run.progress import progress_bar

# Where on the way of maximum likelihood the gradients are compared: a tenth of it, and its end.
_EARLY = 10


class Scale(NamedTuple):
    """How much is run.

    Attributes:
        tasks: by name.
        steps: the values of k.
        length: of every training.
        draws: of each gradient, for its variance.
    """

    tasks: Mapping[str, Callable[[], Task]]
    steps: tuple[int, ...]
    length: Length
    draws: int


SCALES: Mapping[str, Scale] = {
    "smoke": Scale(
        tasks={
            "bars": lambda: bars_and_stripes(side=2, num_hidden=3, copies=2),
            "digits": lambda: digits(num_hidden=3),
        },
        steps=(1,),
        length=Length(rates=(0.3, 1.0), seeds=2, updates=20, records=10),
        draws=50,
    ),
    "cpu": Scale(
        tasks={"bars": bars_and_stripes, "shifter": shifter, "digits": digits},
        steps=(1, 5, 25),
        length=Length(rates=(0.1, 0.3, 1.0, 3.0), seeds=3, updates=5_000, records=50),
        draws=4_000,
    ),
}


def run(root: Path, scale: Scale) -> str:
    """Trains every arm of every task and writes the report.

    Args:
        root: folder of the report; what is there of an earlier one is replaced.
        scale: how much is run.

    Returns:
        The tables.

    Raises:
        InputError: the folder cannot be written.
    """
    with writing(root):
        root.mkdir(parents=True, exist_ok=True)
    tasks = [make() for make in scale.tasks.values()]
    arms = [of_task(task, scale.steps) for task in tasks]
    with progress_bar(total=sum(map(len, arms)), unit="arm", desc="variations") as bar:
        learned = [learn(*one, scale, bar) for one in zip(tasks, arms, strict=True)]
    return write_report(root, scale.length, scale.draws, learned)


def learn(task: Task, arms: list[Arm], scale: Scale, bar: tqdm) -> Learned:
    """Trains every arm of a task, then compares the gradients on the way of the first."""
    courses, found = [], []
    for arm in arms:
        course = train(task, arm, scale.length)
        courses.append(course)
        found.append(None if arm.steps is None else divergences(task, course, arm.steps))
        bar.update()
        bar.write(_line(task, course))
    likelihood = courses[0]
    last = len(likelihood.updates) - 1
    places = (max(1, last // _EARLY), last)
    machines = [likelihood.machine(place, likelihood.best, 0) for place in places]
    compared = points(task, scale.steps, machines)
    # PCD has no gradient at a machine alone, for its chains depend on all those before; the exact
    # gradient of CD is the mean of CD.
    others = [arm for arm in arms if arm.name not in (PERSISTENT, NOISELESS)]
    of_arms = [gradient_errors(task, arm, compared, scale.draws) for arm in others]
    updates = [int(likelihood.updates[place]) for place in places]
    return Learned(
        task, courses, found, dict(zip(updates, zip(*of_arms, strict=True), strict=True))
    )


def _line(task: Task, course: Course) -> str:
    arm = course.arm
    name = arm.name if arm.steps is None else f"{arm.name}, k = {arm.steps}"
    final = float(course.final.mean())
    return f"{task.name:8s} {name:30s} {final:9.3f} nats {course.milliseconds:9.3f} ms"
