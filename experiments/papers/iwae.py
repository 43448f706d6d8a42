"""The protocol of the IWAE paper (Burda, Grosse & Salakhutdinov 2015): Tables 1 to 3, figures."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.papers.iwae_pictures import active_latents, draw
from experiments.papers.protocol import Cell, Claim, Place, Plan, Protocol, Scale
from experiments.run.splits import SPLITS_OF_IWAE

# Of Tables 1 and 3, by (data set, layers, method, k): negative log-likelihood and active units. Of
# one particle the methods are the same; for two layers on OMNIGLOT, Table 1 has 107.56 and 30+5 for
# IWAE. Of Table 2, by the objectives of the two stages.
FIGURES: Mapping[Place, tuple[float, str]] = {
    ("mnist", 1, "vae", 1): (86.76, "19"),
    ("mnist", 1, "vae", 5): (86.47, "20"),
    ("mnist", 1, "vae", 50): (86.35, "20"),
    ("mnist", 1, "iwae", 5): (85.54, "22"),
    ("mnist", 1, "iwae", 50): (84.78, "25"),
    ("mnist", 2, "vae", 1): (85.33, "16+5"),
    ("mnist", 2, "vae", 5): (85.01, "17+5"),
    ("mnist", 2, "vae", 50): (84.78, "17+5"),
    ("mnist", 2, "iwae", 5): (83.89, "21+5"),
    ("mnist", 2, "iwae", 50): (82.90, "26+7"),
    ("omniglot", 1, "vae", 1): (108.11, "28"),
    ("omniglot", 1, "vae", 5): (107.62, "28"),
    ("omniglot", 1, "vae", 50): (107.80, "28"),
    ("omniglot", 1, "iwae", 5): (106.12, "34"),
    ("omniglot", 1, "iwae", 50): (104.67, "41"),
    ("omniglot", 2, "vae", 1): (107.58, "28+4"),
    ("omniglot", 2, "vae", 5): (106.31, "30+5"),
    ("omniglot", 2, "vae", 50): (106.30, "30+5"),
    ("omniglot", 2, "iwae", 5): (104.79, "38+6"),
    ("omniglot", 2, "iwae", 50): (103.38, "44+7"),
    ("binarized_mnist", 1, "vae", 1): (88.71, "19"),
    ("binarized_mnist", 1, "vae", 5): (88.83, "19"),
    ("binarized_mnist", 1, "vae", 50): (89.05, "20"),
    ("binarized_mnist", 1, "iwae", 5): (87.63, "22"),
    ("binarized_mnist", 1, "iwae", 50): (87.10, "24"),
    ("binarized_mnist", 2, "vae", 1): (88.08, "16+5"),
    ("binarized_mnist", 2, "vae", 5): (87.63, "17+5"),
    ("binarized_mnist", 2, "vae", 50): (87.86, "17+6"),
    ("binarized_mnist", 2, "iwae", 5): (86.17, "21+5"),
    ("binarized_mnist", 2, "iwae", 50): (85.32, "24+7"),
    ("mnist", 1, "vae, then iwae", 50): (84.88, "22"),
    ("mnist", 1, "iwae, then vae", 1): (86.02, "23"),
}
STATED: Mapping[str, Any] = {
    "epochs": 3280,
    "batch_size": 20,
    "train_size": None,
    "keep": None,
    "eval_num_particles": 5000,
    "eval_size": 0,
    "learning_rate": 1e-3,
    "adam_b1": 0.9,
    "adam_initial_nu": 0.0,
    "epsilon_hat": False,
    "order": "shuffled",
    "split": "published",
    "eval_activity": "averaged",
    "last learning rate": 1e-4,
}
# The second stage of Table 2: the last 3^7 epochs, at the last rate.
STATED_CONTINUED = {k: v for k, v in STATED.items() if k != "learning_rate"} | {"epochs": 2187}

LAYERS = {
    1: {"latent_size": "50", "hidden_size": "200"},
    2: {"latent_size": "100,50", "hidden_size": "200,100"},
}

# What a scale's values are:
#   datasets       of Tables 1 and 3; the first is that of Table 2 and of the two latents.
#   particles      the values of k for the IWAE; the last is that of Table 2.
#   vae_particles  those for the VAE, for each number of stochastic layers; of one particle the
#                  objectives are the same algorithm.
#   maps           those of the posteriors over two latents.
#   layers         the sizes for each number of stochastic layers.
#   last_stage     i of the last 3^i epochs at 0.001 * 10^(-i/7), which Table 2 repeats.
# On a CPU what hurts least goes first: the particles that carry the gradient of IWAE, the VAE of 50
# particles (the paper: k hardly helps it, and it costs most), then epochs and images, then the
# particles and images of the evaluation. k of IWAE is what the paper is about: it stays, and so do
# the networks.
SCALES: Mapping[str, Scale] = {
    "full": Scale(
        settings={"epochs": 3280, "num_replicas": 3},
        values={
            "datasets": ("mnist", "omniglot", "binarized_mnist"),
            "particles": (5, 50),
            "vae_particles": {1: (1, 5, 50), 2: (1, 5, 50)},
            "maps": (1, 5, 50),
            "layers": LAYERS,
            "last_stage": 7,
        },
    ),
    "cpu": Scale(
        settings={
            "epochs": 13,
            "num_replicas": 3,
            "keep": 5,
            "train_size": 8_000,
            "eval_num_particles": 500,
            "eval_size": 200,
        },
        values={
            "datasets": ("mnist", "omniglot", "binarized_mnist"),
            "particles": (5, 50),
            "vae_particles": {1: (1, 5), 2: (1, 5)},
            "maps": (1, 5, 50),
            "layers": LAYERS,
            "last_stage": 2,
        },
    ),
    "smoke": Scale(
        settings={
            "epochs": 4,
            "num_replicas": 2,
            "batch_size": 50,
            "train_size": 300,
            "eval_num_particles": 20,
            "eval_size": 20,
        },
        values={
            "datasets": ("digits",),
            "particles": (5,),
            "vae_particles": {1: (1,), 2: ()},
            "maps": (5,),
            "layers": {
                1: {"latent_size": "5", "hidden_size": "20"},
                2: {"latent_size": "6,3", "hidden_size": "20,10"},
            },
            "last_stage": 1,
        },
    ),
}


def cells(plan: Plan) -> Iterator[Cell]:
    """The runs of Tables 1 and 3, of Table 2, and with two latents."""
    values = plan.scale.values
    first = values["datasets"][0]
    for dataset in values["datasets"]:
        for layers, sizes in values["layers"].items():
            counts = {"vae": values["vae_particles"][layers], "iwae": values["particles"]}
            for method, k in [(method, k) for method, ks in counts.items() for k in ks]:
                yield _cell(plan, (dataset, layers, method, k), sizes)
    last = values["last_stage"]
    stage = {
        "epochs": 3**last,
        "learning_rate": 1e-3 * 10.0 ** (-last / 7.0),
        "schedule": "constant",
    }
    vae, iwae = ("vae", 1), ("iwae", max(values["particles"]))
    for start, (method, k) in ((vae, iwae), (iwae, vae)):
        origin = plan.root / "cells" / _name((first, 1, *start))
        changes = values["layers"][1] | stage | {"init_from": str(origin)}
        yield _cell(plan, (first, 1, f"{start[0]}, then {method}", k), changes, STATED_CONTINUED)
    for k in values["maps"]:
        method = "iwae" if k > 1 else "vae"
        sizes = values["layers"][1] | {"latent_size": "2"}
        yield _cell(plan, (first, "two latents", method, k), sizes)


def _cell(
    plan: Plan, place: Place, changes: Mapping[str, Any], stated: Mapping[str, Any] = STATED
) -> Cell:
    dataset, layers, stages, k = place
    chosen = {"dataset": dataset, "num_particles": k, **changes}
    if plan.preset == "iwae_release" and dataset not in SPLITS_OF_IWAE:
        chosen["split"] = "published"
    settings = plan.settings(stages.rpartition(" ")[2], plan.scale.settings, chosen)
    trained_as = "vae = iwae" if k == 1 and stages == "vae" else stages.replace(", then", " →")
    row = {
        "data set": dataset,
        "latents": settings.latent_size.replace(",", "+"),
        "trained as": trained_as,
        "k": k,
    }
    stated = {**stated, **LAYERS[2 if layers == 2 else 1]}
    if layers == "two latents":
        stated["latent_size"] = "2"
    return Cell(place, _name(place), settings, row, stated)


def _name(place: Place) -> str:
    """The folder of a run; `init_from` refers to it."""
    dataset, layers, stages, k = place
    if "then" in stages:
        return f"{dataset}-{stages.replace(', ', '-').replace(' ', '-')}"
    return f"{dataset}-{str(layers).replace(' ', '-')}-{stages}-k{k}"


def claims(places: Sequence[Place]) -> Iterator[Claim]:
    """The claims of Tables 1 to 3."""
    table = [place for place in places if place[1] in (1, 2) and "then" not in place[2]]
    counts = sorted({k for *_, k in table})
    for dataset, layers in dict.fromkeys(place[:2] for place in table):
        where = f"{dataset}, {layers} layer" + "s" * (layers > 1)
        for more, fewer in zip(counts[1:], counts[:-1], strict=True):
            # Of one particle the IWAE is the VAE.
            start = (dataset, layers, "vae" if fewer == 1 else "iwae", fewer)
            text = f"iwae: k={more} above k={fewer}"
            yield Claim(text, where, (dataset, layers, "iwae", more), start)
        for k in counts[1:]:
            pair = (dataset, layers, "iwae", k), (dataset, layers, "vae", k)
            yield Claim(f"iwae above vae, k={k}", where, *pair)
    for dataset, layers, method, k in table:
        if layers == 2:
            text = f"{method}, k={k}: two layers above one"
            yield Claim(text, dataset, (dataset, 2, method, k), (dataset, 1, method, k))
    for place in places:
        where = f"{place[0]}, 1 layer"
        if place[2] == "vae, then iwae":
            yield Claim("iwae after vae raises", where, place, (place[0], 1, "vae", 1))
        if place[2] == "iwae, then vae":
            most = (place[0], 1, "iwae", counts[-1])
            yield Claim("vae after iwae lowers", where, most, place)


PROTOCOL = Protocol(
    name="iwae",
    title="Negative log-likelihood of the test images, nats per image",
    presets=("iwae_paper", "iwae_release"),
    scales=SCALES,
    flags={"datasets": "data sets"},
    parts=("test",),
    paper={place: (likelihood,) for place, (likelihood, _) in FIGURES.items()},
    cells=cells,
    draw=draw,
    claims=claims,
    claim_notes=(
        "the gain of a second stage is in part that of its epochs, where the first stage was short",
    ),
    tables=lambda _, outcomes: [active_latents(outcomes, FIGURES)],
)
