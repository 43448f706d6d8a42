"""Table 3 of Vahdat et al. 2019: the lower half of an image predicted from the upper half.

Each seed is a run of its own in DIR/structured, with its checkpoints: stopped or killed, it goes on
to the same numbers, and a run with other settings is refused, as the cells of the sweep are.
"""

import dataclasses
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.papers.protocol import Cell, Claim, Outcome, Place, Plan, Table
from experiments.papers.report import differences
from experiments.papers.seeds import of_each_seed, over_seeds
from experiments.papers.undirected_halves import halves, score
from experiments.run.images import images_of
from experiments.run.run_directory import start
from experiments.run.settings import DEFAULTS, MAY_CHANGE
from experiments.run.stopping import StopRequest

_STATED: Mapping[str, Any] = {
    "batch_size": 100,
    "hidden_size": "200",
    "initialization": "he",
    "posterior_sweeps": 10,
    "relaxed_sweeps": 1,
    "eval_num_particles": 4000,
    "eval_size": 0,
    "num_replicas": 5,
}
# Of the cells of this table; then data set, posterior and K.
_HERE = "structured prediction"

# By data set and posterior (groups, or a machine), and K = 1, 5, 25: nats.
PAPER: Mapping[tuple[str, str], tuple[float, float, float]] = {
    ("binarized_mnist", "1 group"): (60.82, 52.38, 48.30),
    ("binarized_mnist", "2 groups"): (59.54, 52.27, 48.41),
    ("binarized_mnist", "4 groups"): (60.22, 52.67, 48.61),
    ("binarized_mnist", "machine"): (57.13, 49.25, 45.75),
    ("omniglot", "1 group"): (67.06, 59.00, 54.79),
    ("omniglot", "2 groups"): (67.11, 59.28, 54.83),
    ("omniglot", "4 groups"): (67.35, 59.34, 54.88),
    ("omniglot", "machine"): (63.74, 57.53, 54.32),
}
_COUNTS = (1, 5, 25)


def structured_outcomes(
    plan: Plan,
    stop: StopRequest,
    datasets: Mapping[str, Mapping[str, Any]],
    size: int,
    *,
    groups: Sequence[int],
    particles: Sequence[int],
    updates: int,
) -> list[Outcome]:
    """The cells of Table 3, running those that have no figure yet.

    Args:
        plan: the settings, the seeds and the folder.
        stop: of the sweep.
        datasets: name -> what is set for it.
        size: bits of each side of the machine.
        groups: of the directed posteriors.
        particles: K of the bound.
        updates: of each run.

    Raises:
        Stopped: someone asked for it; what is done so far is saved.
        InputError: a run that is there has other settings.
    """
    found = []
    remark = () if updates == 1_000_000 else (f"{updates:,} updates (1,000,000)",)
    names = [f"{count} group" + "s" * (count > 1) for count in groups]
    cells = [(d, k, p) for d in datasets for k in particles for p in (*names, "machine")]
    for dataset, count, posterior in cells:
        chosen = {**datasets[dataset], "dataset": dataset, "num_particles": count}
        settings = plan.settings("dvae", plan.scale.settings, chosen | {"posterior": "rbm"})
        place = (_HERE, dataset, posterior, count)
        name = f"{dataset}-{posterior.replace(' ', '_')}-{count}"
        folder, seeds, source = plan.root / "structured", [], images_of(settings).source
        for seed in range(settings.seed, settings.seed + settings.num_replicas):
            one = dataclasses.replace(settings, seed=seed, num_replicas=1)
            about = {"structured_posterior": posterior, "side": size, "updates": updates}
            config = dataclasses.asdict(one) | about
            with start(
                folder / f"{name}-{seed}",
                config,
                resume=True,
                may_change=MAY_CHANGE,
                defaults=DEFAULTS,
            ) as run:
                images = images_of(one).train
                run.require_data(source, zlib.crc32(images.tobytes()), {"num_train": len(images)})
                parts = halves(one, posterior, size, images.mean(axis=0))
                nats = score(run, one, parts, updates, stop)
            seeds.append({"seed": seed, "test_log_likelihood": -nats})
            print(f"structured {name}-{seed}: test {-nats:.2f} nats", flush=True)
        cell = Cell(place, name, settings, stated=_STATED, remarks=remark)
        found.append(Outcome(cell, {"replicas": seeds, "source": source}, folder))
    return found


def of_structured(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes that are cells of Table 3."""
    return [one for one in outcomes if one.cell.place[0] == _HERE]


def structured_table(outcomes: Sequence[Outcome], size: int) -> Table:
    """Table 3: ours beside the paper's.

    Args:
        outcomes: of the sweep.
        size: bits of each side of the machine.
    """
    here, rows = of_structured(outcomes), []
    for outcome in here:
        _, dataset, posterior, count = outcome.cell.place
        mean, error = over_seeds(of_each_seed(outcome.result, "test_log_likelihood"))
        paper = _stated(outcome.cell.place)
        rows.append(
            {
                "data set": dataset,
                "K": count,
                "posterior": posterior,
                "paper": paper,
                "ours": -mean,
                "± seeds": error,
                "difference": None if paper is None else -mean - paper,
            }
        )
    return Table(
        name="structured",
        title="Negative log-likelihood of the lower half given the upper one, nats (Table 3)",
        rows=rows,
        remarks=[differences(outcome) for outcome in here],
        notes=(
            f"{2 * size} bits; ± seeds: standard error over the seeds, which share the images",
            "bits of a machine are the ends of chains of 100 sweeps from fair coins: its figure is "
            "that of what the chains draw",
            "in the remarks our setting stands first, the paper's in brackets",
        ),
    )


def structured_claims(places: Sequence[Place]) -> Iterator[Claim]:
    """That the machine is above each directed posterior, where the paper's Table 3 has it."""
    here = [place for place in places if place[0] == _HERE]
    for better in here:
        for worse in here:
            same = better[1::2] == worse[1::2]
            if better[2] != "machine" or worse[2] == "machine" or not same:
                continue
            ours, theirs = _stated(better), _stated(worse)
            if ours is not None and theirs is not None and ours < theirs:
                where = f"{better[1]}, {_HERE}, K={better[3]}"
                yield Claim(f"machine above {worse[2]}", where, better, worse)


def _stated(place: Place) -> float | None:
    """The paper's figure of a cell, if it has one."""
    _, dataset, posterior, count = place
    paper = PAPER.get((dataset, posterior))
    return paper[_COUNTS.index(count)] if paper and count in _COUNTS else None
