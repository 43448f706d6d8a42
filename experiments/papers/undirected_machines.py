"""What Vahdat et al. 2019 look at in trained machines: Figure 3, and the modes (Section 4.1.1)."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.papers.protocol import Outcome, Table
from experiments.pictures.courses import Line, falling_courses
from experiments.run.finished_run import finished_run
from experiments.run.images import evaluation_images
from remjax.boltzmann import RBM, ais, bias_base, find_modes, linear_inverse_temperatures
from remjax.models import prior_machine

# Estimates of log Z for each number of temperatures, of so many chains each.
_ESTIMATES, _CHAINS = 10, 100
_MODE_CHAINS, _MODE_TEMPERATURES = 1000, 500


class Machines(NamedTuple):
    """Of a finished run with an undirected posterior.

    Attributes:
        prior: the machine of the prior.
        posteriors: those of test images.
    """

    prior: RBM
    posteriors: Sequence[RBM]


def machines_of(outcome: Outcome, images: int) -> Machines:
    """The machines of a run, for so many test images."""
    run = finished_run(outcome.folder, outcome.cell.settings.data_dir)
    rows = evaluation_images(run.problem.dataset, "test", images)
    recognition, eta = run.problem.parts.recognition, run.params.eta
    posteriors = [recognition.r(eta, jnp.asarray(x)).machine for x in rows]
    return Machines(prior_machine(run.params.theta), posteriors)


def of_machines(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes with an undirected posterior, of Tables 1 and 2."""
    return [one for one in outcomes if one.cell.row and one.cell.settings.posterior == "rbm"]


def draw_annealing(root: Path, outcomes: Sequence[Outcome], temperatures: Sequence[int]) -> None:
    """annealing.png: errors of log Z against temperatures, for a prior and a posterior (Figure 3).

    Args:
        root: folder of the picture.
        outcomes: of the sweep; the first one with an undirected posterior is looked at.
        temperatures: the last is that of the true value.
    """
    first = of_machines(outcomes)
    if not first:
        return
    machines = machines_of(first[0], 2)
    panels = {"mean distance from log Z": {}, "standard deviation of an estimate": {}}
    for name, machine in (("prior", machines.prior), ("a posterior", machines.posteriors[0])):
        *few, most = temperatures
        truth = float(_estimates(machine, most).mean())
        found = np.stack([_estimates(machine, count) for count in few])
        x = np.asarray(few)
        panels["mean distance from log Z"][name] = Line(x, np.abs(found - truth).mean(1)[:, None])
        panels["standard deviation of an estimate"][name] = Line(x, found.std(1, ddof=1)[:, None])
    falling_courses(
        root / "annealing.png",
        panels,
        title=f"log Z annealed from the biases, {_CHAINS} chains; truth by {temperatures[-1]:,}",
        x_label="temperatures",
        y_label="nats",
        logarithmic=True,
    )


def modes_table(outcomes: Sequence[Outcome], images: int) -> Table:
    """The modes of the prior and of the posteriors of test images, by mean-field fixed points."""
    rows = []
    for outcome in of_machines(outcomes):
        machines = machines_of(outcome, images)
        counts = np.asarray([_num_modes(one) for one in machines.posteriors])
        rows.append(
            {
                "data set": outcome.cell.row["data set"],
                "bits": outcome.cell.row["bits"],
                "K": outcome.cell.row["K"],
                "modes of the prior": _num_modes(machines.prior),
                "posteriors with one mode": f"{np.mean(counts == 1):.0%}",
                "with none": f"{np.mean(counts == 0):.0%}" if np.any(counts == 0) else None,
                "most modes of a posterior": int(counts.max()),
            }
        )
    return Table(
        name="modes",
        title="Modes of trained machines",
        rows=rows,
        remarks=[() for _ in rows],
        notes=(
            f"fixed points of the mean-field iteration from {_MODE_CHAINS:,} annealed states; a "
            "mode has more than 5 of them",
            f"the posteriors are those of {images} test images; the paper has about 90 % with one "
            "mode on MNIST, and 10 to 20 modes of the prior",
        ),
    )


@jax.jit
def _log_z(key: jax.Array, machine: RBM, schedule: jax.Array) -> jax.Array:
    return ais(key, bias_base(machine), schedule, num_chains=_CHAINS).log_z


def _estimates(machine: RBM, temperatures: int) -> np.ndarray:
    schedule = jnp.asarray(linear_inverse_temperatures(temperatures))
    keys = jax.random.split(jax.random.key(0), _ESTIMATES)
    return np.asarray([float(_log_z(key, machine, schedule)) for key in keys])


def _num_modes(machine: RBM) -> int:
    schedule = linear_inverse_temperatures(_MODE_TEMPERATURES)
    path = bias_base(machine)
    record = ais(jax.random.key(0), path, schedule, num_chains=_MODE_CHAINS)
    return len(find_modes(machine, record.samples).counts)
