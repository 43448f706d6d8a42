"""The protocol of the paper on undirected posteriors (Vahdat et al. 2019): Tables 1 to 4, toys."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.papers.protocol import Cell, Claim, Outcome, Place, Plan, Protocol, Scale, Table
from experiments.papers.undirected_figures import FIGURES
from experiments.papers.undirected_machines import draw_annealing, modes_table
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

# Of the authors' code, where the paper is silent.
STATED: Mapping[str, Any] = {
    "batch_size": 100,
    "hidden_size": "200",
    "num_replicas": 5,
    # Normal weights of variance 2 over the number of inputs.
    "initialization": "he",
    "prior_phase": "population",
    "posterior_sweeps": 10,
    "relaxed_sweeps": 1,
    "eval_num_particles": 4000,
    "eval_size": 0,
    "log_z_base": "uniform",
    "log_z_temperatures": 10_000,
    "log_z_chains": 1024,
}
_UPDATES = 1_000_000
# Training images and where they come from: the code puts 1,345 of OMNIGLOT's 24,345 aside.
_IMAGES = {"binarized_mnist": 50_000, "omniglot": 23_000}
_SPLITS = {"omniglot": "iwae_release"}
# What else the code does: it scores the best of fifty looks at the validation images.
_LAST = "the last update is scored (the best on validation images)"
_PUT_ASIDE = "1,345 images are put aside at random (the last ones)"

# What a directed posterior has not.
_OF_MACHINES = ("posterior_sweeps", "relaxed_sweeps")

# What a scale's values are:
#   updates       of each run, where they decide how many epochs there are; None for the settings'.
#   datasets      the first is that of the pictures.
#   sizes         bits of each side of the prior.
#   relaxations   of directed posteriors, in Tables 1 and 4.
#   groups        of directed posteriors.
#   particles     K of the importance-weighted bound, Table 2, for pwl and the machine.
#   original      whether the structure without a shared context is run too, Table 4.
#   toys          of Figures 1 and 4: updates, seeds, values of t.
#   temperatures  of Figure 3; the last is for the true value.
#   mode_images   test images whose posteriors have their modes counted.
#   structured    of Table 3, on these data sets, with machines of the first of the sizes.
# On a CPU what the paper is about stays: directed posteriors of several groups beside a machine,
# at a hundredth of the updates; the other relaxations and the importance-weighted bound come first.
SCALES: Mapping[str, Scale] = {
    "full": Scale(
        settings={
            "num_replicas": 5,
            "log_z_base": "uniform",
            "log_z_temperatures": 10_000,
            "log_z_chains": 1024,
        },
        values={
            "updates": _UPDATES,
            "datasets": ("binarized_mnist", "omniglot"),
            "sizes": (100, 200),
            "relaxations": ("pwl", "concrete", "power"),
            "groups": (1, 2, 4),
            "particles": (5, 25),
            "original": True,
            "toys": {"updates": 10_000, "seeds": 5, "sweeps": (1, 2, 4, 8)},
            "temperatures": (10, 30, 100, 300, 1000, 3000, 10_000, 2**18),
            "mode_images": 100,
            "structured": {
                "groups": (1, 2, 4),
                "particles": (1, 5, 25),
                "updates": _UPDATES,
            },
        },
    ),
    "cpu": Scale(
        settings={
            "epochs": 20,
            "warm_up": 3000,
            "num_replicas": 1,
            # 2,500 sweeps of a chain in an update, where the population takes 40,000.
            "prior_phase": "pcd",
            "prior_chains": 500,
            "prior_sweeps": 5,
            "eval_num_particles": 1000,
            "eval_size": 200,
            "log_z_base": "biases",
            "log_z_temperatures": 2000,
            "log_z_chains": 500,
        },
        values={
            "updates": None,
            "datasets": ("binarized_mnist",),
            "sizes": (100,),
            "relaxations": ("pwl",),
            "groups": (1, 4),
            "particles": (),
            "original": False,
            "toys": {"updates": 2000, "seeds": 3, "sweeps": (1, 2, 4, 8)},
            "temperatures": (10, 30, 100, 300, 1000, 3000, 30_000),
            "mode_images": 30,
            "structured": {"groups": (1,), "particles": (1, 5), "updates": 4000},
        },
    ),
    "smoke": Scale(
        settings={
            "epochs": 2,
            "warm_up": 5,
            "num_replicas": 1,
            "batch_size": 50,
            "train_size": 300,
            "hidden_size": "20",
            "prior_chains": 20,
            "prior_temperatures": 5,
            "posterior_sweeps": 2,
            "eval_num_particles": 20,
            "eval_temperatures": 10,
            "eval_size": 10,
            "log_z_temperatures": 20,
            "log_z_chains": 20,
            "log_z_burn_in": 10,
        },
        values={
            "updates": None,
            "datasets": ("digits",),
            "sizes": (6,),
            "relaxations": ("pwl",),
            "groups": (1, 2),
            "particles": (2,),
            "original": False,
            "toys": {"updates": 20, "seeds": 1, "sweeps": (1, 2)},
            "temperatures": (3, 10, 30),
            "mode_images": 3,
            "structured": {"groups": (2,), "particles": (2,), "updates": 4},
        },
    ),
}

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
    stated, remarks = STATED | _length(dataset, _UPDATES), [_LAST]
    updates = plan.scale.values["updates"]
    if updates is not None:
        chosen |= _length(dataset, updates)
    if updates is not None and dataset in _SPLITS:
        chosen["split"] = _SPLITS[dataset]
        remarks.append(_PUT_ASIDE)
    if posterior == _MACHINE:
        chosen |= {"posterior": "rbm", "relaxation": "pwl"}
    else:
        chosen |= {
            "posterior": "directed",
            "relaxation": posterior,
            "posterior_groups": groups,
            "shared_context": context == "shared",
        }
        stated = {name: value for name, value in stated.items() if name not in _OF_MACHINES}
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


def _length(dataset: str, updates: int) -> dict[str, int]:
    """The epochs that have so many updates, and the 30 % of them in which the KL term grows."""
    in_epoch = _IMAGES.get(dataset, _IMAGES["binarized_mnist"]) // STATED["batch_size"]
    epochs = -(-updates // in_epoch)
    return {"epochs": epochs, "warm_up": 3 * epochs * in_epoch // 10}


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
        name: {"split": _SPLITS[name]} if whole and name in _SPLITS else {}
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
