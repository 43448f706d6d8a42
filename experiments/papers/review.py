"""The protocol of the review (Islam, Gao & Johne): Figures 2 to 11, and Figure 11 made fair.

The paper prints curves and no numbers.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from experiments.papers.protocol import Cell, Claim, Outcome, Place, Plan, Protocol
from experiments.papers.review_settings import (
    FAIR_PASSES,
    FAMILIES,
    FIGURES,
    HALF_FOR_S,
    REMARKS,
    SCALES,
    STATED,
)
from experiments.papers.seeds import of_each_seed, over_seeds
from experiments.pictures.sweeps import against_setting, over_epochs
from experiments.run.choices import look_up
from experiments.run.run_directory import reopen


class Axis(NamedTuple):
    """What a figure of the paper shows.

    Attributes:
        title: of the picture.
        setting: what varies along its axis; None where that is the epoch.
    """

    title: str
    setting: str | None = None


AXES: Mapping[str, Axis] = {
    "2": Axis("Figure 2: AEVB against hidden units", "hidden units"),
    "3": Axis("Figure 3: AEVB against latents", "latents"),
    "4": Axis("Figure 4: AEVB against samples per image", "samples per image, L"),
    "5": Axis("Figure 5: NVIL by optimizer"),
    "6": Axis("Figure 6: NVIL against latents", "latents"),
    "7": Axis("Figure 7: NVIL against hidden units", "hidden units"),
    "8": Axis("Figure 8: VAE and IWAE against samples", "samples per image, k"),
    "9": Axis("Figure 9: RWS over epochs"),
    "10": Axis("Figure 10: RWS against samples", "samples per image, K"),
    "11": Axis("Figure 11 as published: not comparable, each in its own setting"),
    "11_fair_gaussian": Axis("Figure 11, fair: one decoder, Gaussian latents"),
    "11_fair_bits": Axis("Figure 11, fair: one decoder, binary latents"),
}

# Of the fair form: what the paper concludes, and what else one would ask.
_CLAIMED = (("rws", "nvil"), ("rws", "vae"), ("iwae", "vae"), ("vimco", "nvil"))
_ASKED = (
    *(("rws", "iwae"), ("rem_v1", "rws"), ("rem_v2", "rws")),
    *(("nvil", "reinforce"), ("rloo", "nvil"), ("disarm", "nvil"), ("rws", "wake_sleep")),
)


def cells(plan: Plan) -> Iterator[Cell]:
    """What each figure shows, figure by figure; several may show the same run."""
    figures = plan.scale.values["figures"]
    for figure in figures:
        look_up(dict.fromkeys(FIGURES), "figures", figure)
    for place, family, method, changes in _points(plan.scale.values):
        if place[0] in figures:
            yield _cell(plan, place, family, method, changes)


# (place, family, method, settings that take precedence over the family's).
_Point = tuple[Place, str, str, Mapping[str, Any]]


def _points(values: Mapping[str, Any]) -> Iterator[_Point]:
    for size in values["aevb_hidden"]:
        yield ("2", "AEVB", size), "aevb", "vae", {"hidden_size": size}
    for size in values["aevb_latents"]:
        yield ("3", "AEVB", size), "aevb", "vae", {"latent_size": size}
    for count in values["aevb_samples"]:
        yield ("4", "AEVB", str(count)), "aevb", "vae", {"num_particles": count}
    for name, rate in values["optimizers"].items():
        chosen = {"optimizer": name, "learning_rate": rate}
        yield ("5", "NVIL", name), "nvil", "nvil", chosen
    for size in values["nvil_latents"]:
        yield ("6", "NVIL", size), "nvil", "nvil", {"latent_size": size}
    for size in values["nvil_hidden"]:
        yield ("7", "NVIL", size), "nvil", "nvil", {"hidden_size": size}
    for (layers, sizes), method in itertools.product(values["layers"].items(), ("vae", "iwae")):
        line = f"{method.upper()}, {layers} layer" + "s" * (layers > 1)
        for count in values[f"{method}_samples"]:
            # Of one particle both are the same algorithm.
            same = "vae" if count == 1 else method
            yield ("8", line, str(count)), "iwae", same, {"num_particles": count, **sizes}
    yield ("9", "RWS", "5"), "rws", "rws", {}
    for count in values["rws_samples"]:
        yield ("10", "RWS", str(count)), "rws", "rws", {"num_particles": count}
    latents = values["figure_11_latents"]
    yield ("11", "AEVB", "published"), "aevb", "vae", latents["aevb"]
    chosen = {"optimizer": "sgd", "learning_rate": values["optimizers"]["sgd"]}
    yield ("11", "NVIL", "published"), "nvil", "nvil", {**chosen, **latents["nvil"]}
    most = max(values["rws_samples"])
    yield ("11", "RWS", "published"), "rws", "rws", {"num_particles": most}
    for kind, methods in values["fair"].items():
        for method in methods:
            # Those that draw a second set of particles, from s, draw half as many of each.
            drawn = FAIR_PASSES // 2 if method in HALF_FOR_S else FAIR_PASSES
            yield _fair(kind, method), f"fair_{kind}", method, {"num_particles": drawn}


def _fair(kind: str, method: str) -> Place:
    return f"11_fair_{kind}", method, {"gaussian": "Gaussian", "bits": "bits"}[kind]


def _cell(plan: Plan, place: Place, family: str, method: str, changes: Mapping[str, Any]) -> Cell:
    values = plan.scale.values
    figure, line, value = place
    dataset = values["binary_dataset" if family == "rws" else "dataset"]
    own = values["families"].get(family, {})
    layers = {"dataset": dataset}, FAMILIES[family], plan.scale.settings, own, changes
    settings = plan.settings(method, *layers)
    row = {
        "figure": "11 fair" if "fair" in figure else figure,
        "line": line,
        "value": value,
        "data set": dataset,
        "K": settings.num_particles,
    }
    remarks = REMARKS[family]
    if family == "nvil":
        remarks += (f"optimizer {settings.optimizer}",)
    name = "-".join([f"figure_{figure}", settings.method, line, value])
    name = name.lower().replace(",", "").replace(" ", "_")
    return Cell(place, name, settings, row, STATED[family], remarks)


def claims(places: Sequence[Place]) -> Iterator[Claim]:
    """The claims of the paper's text."""

    def values(figure: str, line: str) -> list[int]:
        return sorted(int(place[2]) for place in places if place[:2] == (figure, line))

    def claim(text: str, better: Place, worse: Place, **options: Any) -> Claim:
        figure, _, value = better
        where = f"figure 11 fair, {value}" if "fair" in figure else f"figure {figure}"
        return Claim(text, where, better, worse, **options)

    def ends(figure: str, line: str, text: str, *, equal: bool = False) -> Iterator[Claim]:
        """The most against the least of what varies; `text` names both."""
        if len(found := values(figure, line)) > 1:
            most, least = str(found[-1]), str(found[0])
            pair = (figure, line, most), (figure, line, least)
            yield claim(text.format(most=most, least=least), *pair, equal=equal)

    yield from ends("3", "AEVB", "AEVB: {most} latents above {least}")
    yield from ends("4", "AEVB", "AEVB: L={most} as L={least}", equal=True)
    for better, worse in itertools.combinations(("rmsprop", "adagrad", "sgd"), 2):
        yield claim(f"NVIL: {better} above {worse}", ("5", "NVIL", better), ("5", "NVIL", worse))
    yield from ends("6", "NVIL", "NVIL: {most} latents as {least}", equal=True)
    yield from ends("7", "NVIL", "NVIL: {most} hidden units as {least}", equal=True)
    for layers in ("1 layer", "2 layers"):
        line = f"IWAE, {layers}"
        counts = values("8", line)
        for more, fewer in zip(counts[1:], counts[:-1], strict=True):
            text = f"{line}: k={more} above k={fewer}"
            yield claim(text, ("8", line, str(more)), ("8", line, str(fewer)))
        for k in map(str, counts[1:]):
            text = f"IWAE above VAE, {layers}, k={k}"
            yield claim(text, ("8", line, k), ("8", f"VAE, {layers}", k))
    for figure, line, value in places:
        if figure == "8" and line.endswith("2 layers"):
            method = line.partition(",")[0]
            text = f"{method}, k={value}: two layers above one"
            yield claim(text, (figure, line, value), (figure, f"{method}, 1 layer", value))
    yield from ends("10", "RWS", "RWS: K={most} above K={least}")
    # Figure 11 as published compares data sets, latents and optimizers besides: no verdict follows.
    for kind in ("gaussian", "bits"):
        for better, worse in _CLAIMED + _ASKED:
            own = () if (better, worse) in _CLAIMED else ("the paper does not say so",)
            pair = _fair(kind, better), _fair(kind, worse)
            yield claim(f"{better} above {worse}", *pair, remarks=own)


def draw(plan: Plan, outcomes: Sequence[Outcome]) -> None:
    """A picture for each figure."""
    for name, axis in AXES.items():
        shown = [outcome for outcome in outcomes if outcome.cell.place[0] == name]
        path = plan.root / f"figure_{name}.png"
        if shown and axis.setting is None:
            cells = [outcome.cell for outcome in shown]
            curves = {_label(outcome.cell, cells): curve(outcome) for outcome in shown}
            over_epochs(path, curves, title=axis.title)
        elif shown and axis.setting is not None:
            lines: dict[str, dict[str, tuple[float, float | None]]] = {}
            for outcome in shown:
                _, line, value = outcome.cell.place
                each = of_each_seed(outcome.result, "test_log_likelihood")
                lines.setdefault(line, {})[value] = over_seeds(each)
            against_setting(path, lines, setting=axis.setting, title=axis.title)


def _label(cell: Cell, shown: Sequence[Cell]) -> str:
    """The name of a curve, by which it differs from the others of its figure."""
    _, line, value = cell.place
    if len({other.settings.dataset for other in shown}) > 1:
        return f"{line}, {cell.settings.dataset}"
    several = len({other.place[1] for other in shown}) > 1
    return line if several else f"{line}, {value}"


def curve(outcome: Outcome) -> list[tuple[int, float, float | None]]:
    """(epoch, mean over seeds, standard error) of the test log-likelihood during training."""
    with reopen(outcome.folder) as run:
        metrics = run.metrics()
    seeds = outcome.cell.settings.num_replicas
    return [
        (
            row["epoch"],
            row["test_log_likelihood"],
            row["test_log_likelihood_std"] / seeds**0.5 if seeds > 1 else None,
        )
        for row in metrics
        if row.get("test_log_likelihood") is not None
    ]


PROTOCOL = Protocol(
    name="review",
    title="Negative log-likelihood of the test images, nats per image",
    presets=("review",),
    scales=SCALES,
    flags={"figures": f"figures of the paper: {', '.join(FIGURES)}"},
    parts=("test",),
    paper={},
    cells=cells,
    draw=draw,
    claims=claims,
)
