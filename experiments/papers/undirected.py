"""The protocol of the paper on undirected posteriors (Vahdat et al. 2019): Tables 1 to 4, toys."""

from collections.abc import Iterator, Sequence
from typing import Any

from experiments.papers.protocol import Cell, Claim, Outcome, Place, Plan, Protocol, Table
from experiments.papers.undirected_figures import FIGURES
from experiments.papers.undirected_machines import draw_annealing, modes_table
from experiments.papers.undirected_settings import (
    LAST,
    OF_MACHINES,
    PUT_ASIDE,
    SCALES,
    SPLITS,
    STATED,
    UPDATES,
    length,
)
from experiments.papers.undirected_structured import (
    structured_claims,
    structured_outcomes,
    structured_table,
)
from experiments.papers.undirected_toys import draw_toys
from experiments.pictures.sweeps import labelled_images
from experiments.run.discrete_pictures import prior_images
from experiments.run.finished_run import finished_run
from experiments.run.stopping import StopRequest

_MACHINE = "rbm"


def cells(plan: Plan) -> Iterator[Cell]:
    """The runs of Table 1, of Table 2 and of Table 4."""
    values = plan.scale.values
    for dataset in values["datasets"]:
        for size in values["sizes"]:
            for relaxation in values["relaxations"]:
                for groups in values["groups"]:
                    yield _cell(plan, (dataset, size, relaxation, groups, 1, "shared"))
            yield _cell(plan, (dataset, size, _MACHINE, 1, 1, "shared"))
            for particles in values["particles"]:
                for groups in values["groups"]:
                    yield _cell(plan, (dataset, size, "pwl", groups, particles, "shared"))
                yield _cell(plan, (dataset, size, _MACHINE, 1, particles, "shared"))
            several = [groups for groups in values["groups"] if groups > 1]
            for relaxation in values["relaxations"] if values["original"] else ():
                for groups in several:
                    yield _cell(plan, (dataset, size, relaxation, groups, 1, "original"))


def _cell(plan: Plan, place: Place) -> Cell:
    dataset, size, posterior, groups, particles, context = place
    chosen: dict[str, Any] = {
        "dataset": dataset,
        "latent_size": f"{size},{size}",
        "num_particles": particles,
    }
    stated, remarks = STATED | length(dataset, UPDATES), [LAST]
    updates = plan.scale.values["updates"]
    if updates is not None:
        chosen |= length(dataset, updates)
    if updates is not None and dataset in SPLITS:
        chosen["split"] = SPLITS[dataset]
        remarks.append(PUT_ASIDE)
    if posterior == _MACHINE:
        chosen |= {"posterior": "rbm", "relaxation": "pwl"}
    else:
        chosen |= {
            "posterior": "directed",
            "relaxation": posterior,
            "posterior_groups": groups,
            "shared_context": context == "shared",
        }
        stated = {name: value for name, value in stated.items() if name not in OF_MACHINES}
    if posterior in ("pwl", _MACHINE):
        # Steepness of the paper's code.
        chosen["sharpness"] = 3.0 if dataset == "omniglot" else 4.0
    method = "dreg" if particles > 1 else "dvae"
    if posterior == "power":
        # The baseline is DVAE#: the prior's density of the numbers, and the whole gradient.
        chosen["relaxed_prior"], method = "marginal", "vae"
    settings = plan.settings(method, plan.scale.settings, chosen)
    row = {
        "data set": dataset,
        "bits": f"{size}+{size}",
        "posterior": posterior if posterior != _MACHINE else "machine",
        "groups": "" if posterior == _MACHINE else groups,
        "K": particles,
    }
    if context == "original":
        row["posterior"] = f"{posterior}, no shared context"
    return Cell(place, "-".join(map(str, place)), settings, row, stated, tuple(remarks))


def claims(places: Sequence[Place]) -> Iterator[Claim]:
    """The orderings of Tables 1 to 4, as far as the paper's figures have them."""
    yield from structured_claims(places)
    for claim in _orderings([place for place in places if len(place) == 6]):
        better, worse = FIGURES.get(claim.better), FIGURES.get(claim.worse)
        if better and worse and better < worse:
            yield claim


def _orderings(places: Sequence[Place]) -> Iterator[Claim]:
    """What could be claimed: that what is richer, or has more particles, is better."""
    for place in places:
        dataset, size, posterior, groups, particles, context = place
        where = f"{dataset}, {size}+{size}" + (f", K={particles}" if particles > 1 else "")
        single = (*place[:4], 1, context)
        if posterior == _MACHINE:
            for other in places:
                if other[:2] == place[:2] and other[4:] == place[4:] and other[2] == "pwl":
                    text = f"machine above pwl, {_groups(other[3])}"
                    yield Claim(text, where, place, other)
            if particles > 1:
                yield Claim("machine: above K=1", where, place, single)
            continue
        if context == "original":
            text = f"{posterior}, {_groups(groups)}: shared context above none"
            yield Claim(text, where, (*place[:5], "shared"), place)
            continue
        if groups > 1:
            one = (*place[:3], 1, particles, context)
            yield Claim(f"{posterior}: {_groups(groups)} above one", where, place, one)
        if particles > 1:
            yield Claim(f"{posterior}, {_groups(groups)}: above K=1", where, place, single)


def _groups(count: int) -> str:
    return f"{count} group" + "s" * (count > 1)


def further(plan: Plan, stop: StopRequest) -> list[Outcome]:
    """The cells of Table 3."""
    values = plan.scale.values
    whole = values["updates"] is not None
    datasets = {
        name: {"split": SPLITS[name]} if whole and name in SPLITS else {}
        for name in values["datasets"]
    }
    return structured_outcomes(plan, stop, datasets, values["sizes"][0], **values["structured"])


def tables(plan: Plan, outcomes: Sequence[Outcome]) -> list[Table]:
    """structured.md; and modes.md, where a posterior is undirected."""
    values = plan.scale.values
    found = modes_table(outcomes, values["mode_images"])
    return [structured_table(outcomes, values["sizes"][0]), *([found] if found.rows else [])]


def draw(plan: Plan, outcomes: Sequence[Outcome]) -> None:
    """Samples of the prior on the first data set, errors of annealing, and the toy problems."""
    values = plan.scale.values
    seeds = {"seeds": plan.seeds} if plan.seeds else {}
    draw_toys(plan.root, **values["toys"] | seeds)
    draw_annealing(plan.root, outcomes, values["temperatures"])
    first = outcomes[0].cell.settings.dataset
    rows, shape = {}, (0, 0)
    for outcome in outcomes:
        if outcome.cell.settings.dataset != first or not outcome.cell.row:
            continue
        run = finished_run(outcome.folder, outcome.cell.settings.data_dir)
        shape = run.problem.dataset.image_shape
        parts = ((name, part) for name, part in outcome.cell.row.items() if part != "")
        label = ", ".join(f"{name} {part}" for name, part in parts)
        rows[label] = prior_images(run.problem, run.params, 10).reshape(-1, *shape)
    labelled_images(
        plan.root / "samples.png", rows, title=f"Mean images of bits of the prior, {first}"
    )


PROTOCOL = Protocol(
    name="undirected",
    title="Negative log-likelihood of the test images, nats per image",
    presets=("dvae_release", "dvae_paper"),
    scales=SCALES,
    flags={"datasets": "data sets"},
    parts=("test",),
    paper=FIGURES,
    cells=cells,
    draw=draw,
    claims=claims,
    tables=tables,
    further=further,
    claim_notes=(
        "only orderings that the paper's own figures have are listed",
        "the paper's runs are of 1,000,000 updates, ours of as many as the epochs give; the "
        "orderings of its Tables 1 and 2 are differences of less than one nat",
    ),
)
