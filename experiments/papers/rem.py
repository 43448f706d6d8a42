"""The protocol of the REM paper (Dieng & Paisley 2019): Table 2, Figures 1 and 2."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.papers.protocol import Cell, Outcome, Place, Plan, Protocol, Scale
from experiments.pictures.comparisons import kl_against_particles, method_comparison
from experiments.run.methods import accepts
from experiments.run.settings import Settings

# Negative log-likelihoods of Table 2, nats per image: (data set, method) -> (train, test).
PAPER: Mapping[Place, tuple[float, ...]] = {
    ("binarized_mnist", "rem_v1"): (87.77, 87.91),
    ("mnist", "rem_v1"): (88.68, 88.95),
    ("omniglot", "rem_v1"): (109.84, 113.94),
    ("binarized_mnist", "rem_v2"): (87.84, 87.99),
    ("mnist", "rem_v2"): (88.58, 88.92),
    ("omniglot", "rem_v2"): (110.63, 114.73),
}
STATED: Mapping[str, Any] = {
    "epochs": 200,
    "num_particles": 1000,
    "batch_size": 20,
    "train_size": None,
    "keep": None,
    "eval_num_particles": 1000,
    "eval_size": 0,
    "schedule": "burda",
    "learning_rate": 1e-3,
    "latent_size": "20",
    "hidden_size": "200",
    "hidden_layers": 2,
}

_DATASETS = ("binarized_mnist", "mnist", "omniglot")
_METHODS = ("vae", "iwae", "rws", "rem_v1", "rem_v2", "rem_mixture", "rem_pooled")
# Methods of Figure 2.
KL_METHODS = ("vae", "iwae", "rem_v1")

# `particles` are the values of K of Figure 2. On a CPU what hurts least goes first: K and the
# particles that carry the gradient, then the number of epochs and images, then the particles of the
# evaluation.
SCALES: Mapping[str, Scale] = {
    "full": Scale(
        settings={
            "epochs": 200,
            "num_particles": 1000,
            "eval_num_particles": 1000,
            "eval_size": 0,
        },
        values={"datasets": _DATASETS, "methods": _METHODS, "particles": (1, 10, 100, 1000)},
    ),
    "cpu": Scale(
        settings={
            "epochs": 4,
            "num_particles": 50,
            "keep": 16,
            "batch_size": 100,
            "train_size": 20_000,
            "eval_num_particles": 1000,
            "eval_size": 500,
        },
        values={"datasets": _DATASETS, "methods": _METHODS, "particles": (5, 20, 100)},
    ),
    "smoke": Scale(
        settings={
            "epochs": 2,
            "num_particles": 5,
            "batch_size": 100,
            "train_size": 300,
            "hidden_size": "20",
            "latent_size": "5",
            "eval_num_particles": 50,
            "eval_size": 50,
        },
        values={"datasets": ("digits",), "methods": ("iwae", "rem_v1"), "particles": (2,)},
    ),
}


def cells(plan: Plan) -> Iterator[Cell]:
    """The runs of Table 2 and Figure 1, then those that Figure 2 adds."""
    datasets, methods = plan.scale.values["datasets"], plan.scale.values["methods"]
    for dataset in datasets:
        for method in methods:
            settings = _settings(plan, dataset, method)
            yield Cell(
                place=(dataset, method),
                name=_name(settings),
                settings=settings,
                row={"data set": dataset, "method": settings.method},
                stated=STATED,
                remarks=tuple(remarks(settings)),
            )
    dataset = "mnist" if "mnist" in datasets else datasets[0]
    for count in plan.scale.values["particles"]:
        for method in KL_METHODS:
            if method in methods:
                settings = _settings(plan, dataset, method, num_particles=count)
                yield Cell((dataset, method, count), _name(settings), settings)


def _settings(plan: Plan, dataset: str, method: str, **changes: Any) -> Settings:
    chosen = {"dataset": dataset} | changes
    if plan.preset == "rem_release" and dataset == "binarized_mnist":
        chosen["split"] = "rem_release"
    return plan.settings(method, plan.scale.settings, chosen)


def _name(settings: Settings) -> str:
    return f"{settings.dataset}-{settings.method}-K{settings.num_particles}"


def remarks(settings: Settings) -> Iterator[str]:
    """What differs from the paper besides the settings that it states."""
    if settings.method == "rem_v2" and settings.hyperproposal != "r":
        yield "eta learns from s, Algorithm 2 (from r, Table 2)"
    if settings.method == "rem_v1_leaky":
        yield "theta's loss leaks into eta, as in the code (no leak)"
    published = settings.dataset == "binarized_mnist" and settings.split == "published"
    if published and settings.train_size is None:
        yield "50,000 training images (60,000)"
    if settings.mean_output:
        yield "the output starts at the mean image (at no bias)"
    if settings.centred_input:
        yield "the input is centred (raw)"
    if accepts(settings.method, "covariance") and settings.covariance != "weighted":
        yield f"covariance {settings.covariance or 'robust default'} (weighted)"
    if settings.eval_proposal == "recognition":
        yield "evaluated with r (unknown; the code: two-stage)"
    if published:
        yield "official test file (the code: validation file, trained on)"


def draw(plan: Plan, outcomes: Sequence[Outcome]) -> None:
    """Figure 1, for training and test images, and Figure 2."""
    shown = [outcome for outcome in outcomes if outcome.cell.row]
    for part in PROTOCOL.parts:
        values: dict[str, dict[str, tuple[float, float]]] = {}
        for cell, result, _ in shown:
            values.setdefault(cell.settings.dataset, {})[cell.settings.method] = (
                result[f"{part}_log_likelihood"],
                result[f"{part}_log_likelihood_stderr"],
            )
        label = f"{part} log-likelihood (nats per image)"
        method_comparison(plan.root / f"{part}_log_likelihoods.png", values, label=label)
    last = outcomes[-1].cell.settings.dataset
    lines: dict[str, dict[int, float]] = {}
    for cell, result, _ in outcomes:
        if cell.place[1] in KL_METHODS and cell.settings.dataset == last:
            points = lines.setdefault(cell.settings.method, {})
            points[cell.settings.num_particles] = result["kl_to_prior"]
    if lines:
        kl_against_particles(plan.root / "kl_against_particles.png", lines)


PROTOCOL = Protocol(
    name="rem",
    title="Negative log-likelihood, nats per image",
    presets=("rem_paper", "rem_release"),
    scales=SCALES,
    flags={"datasets": "data sets", "methods": "methods"},
    parts=("train", "test"),
    paper=PAPER,
    cells=cells,
    draw=draw,
)
