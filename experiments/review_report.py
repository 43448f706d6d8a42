"""The report of a sweep over the review's figures: tables, orderings, a picture for each figure."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.run_directory import reopen
from experiments.settings import Settings
from experiments.sweep_pictures import against_setting, over_epochs
from experiments.sweep_report import (
    DIFFERS,
    Ordering,
    likelihood_columns,
    of_each_seed,
    ordering_rows,
    over_seeds,
    seeds_and_last_rate,
    settings_that_differ,
    write_table,
)
from experiments.sweeps import Result


class Figure(NamedTuple):
    """What a figure of the paper shows.

    Attributes:
        title: of the picture.
        setting: what varies along its axis; None where that is the epoch.
    """

    title: str
    setting: str | None


FIGURES: Mapping[str, Figure] = {
    "2": Figure("Figure 2: AEVB against hidden units", "hidden units"),
    "3": Figure("Figure 3: AEVB against latents", "latents"),
    "4": Figure("Figure 4: AEVB against samples per image", "samples per image, L"),
    "5": Figure("Figure 5: NVIL by optimizer", None),
    "6": Figure("Figure 6: NVIL against latents", "latents"),
    "7": Figure("Figure 7: NVIL against hidden units", "hidden units"),
    "8": Figure("Figure 8: VAE and IWAE against samples", "samples per image, k"),
    "9": Figure("Figure 9: RWS over epochs", None),
    "10": Figure("Figure 10: RWS against samples", "samples per image, K"),
    "11": Figure("Figure 11 as published: not comparable, each in its own setting", None),
    "11_fair_gaussian": Figure("Figure 11, fair: one decoder, Gaussian latents", None),
    "11_fair_bits": Figure("Figure 11, fair: one decoder, binary latents", None),
}

# What the paper states of each family's settings, by which "what differs" is told.
_DATA = {"train_size": None, "keep": None, "eval_size": 0}
STATED: Mapping[str, Mapping[str, Any]] = {
    "aevb": {"batch_size": 100, "learning_rate": 0.01, **_DATA},
    "nvil": {"epochs": 1500, "batch_size": 100, **_DATA},
    "iwae": {"epochs": 3280, "batch_size": 20, "eval_num_particles": 5000, **_DATA},
    "rws": {"batch_size": 25, **_DATA},
    "fair_gaussian": _DATA,
    "fair_bits": _DATA,
}
_FAIR = (
    "one decoder, optimizer and evaluation, as many particles scored for all (those that draw from "
    "s too have half as many of each; the dreams of wake-sleep come on top); not in the paper"
)
_BOUND = "the paper plots a lower bound, ours is L_K of test images"
OPEN: Mapping[str, str] = {
    "aevb": f"optimizer, layers, likelihood, N_z and epochs are not stated; {_BOUND}",
    "nvil": "rates of AdaGrad (0.01) and RMSProp (0.001) are not stated; gradients are means over "
    f"the batch, which makes SGD at 0.001 slow; local signals, variance normalised; {_BOUND}",
    "iwae": "the encoder sees centred images",
    "rws": "stochastic gradient descent in the paper; sizes, rate and epochs are not stated; "
    "initial weights are ours; dreams in every step, wake and sleep phase at half the rate each; "
    "ours is L_K of test images",
    "fair_gaussian": _FAIR,
    "fair_bits": _FAIR,
}


# Of the fair form: what the paper concludes, and what else one would ask.
_CLAIMED = (("rws", "nvil"), ("rws", "vae"), ("iwae", "vae"), ("vimco", "nvil"))
_ASKED = (
    *(("rws", "iwae"), ("rem_v1", "rws"), ("rem_v1_bernoulli", "rws"), ("rem_v2_bernoulli", "rws")),
    *(("nvil", "reinforce"), ("rloo", "nvil"), ("disarm", "nvil"), ("rws", "wake_sleep")),
)


class Point(NamedTuple):
    """A run as a figure shows it.

    Attributes:
        figure: a key of FIGURES.
        line: the line of the figure that it belongs to.
        value: of what varies.
        family: whose settings it has.
        settings: of the run.
    """

    figure: str
    line: str
    value: str
    family: str
    settings: Settings

    @property
    def name(self) -> str:
        """The folder of its run, if no earlier figure shows that run."""
        words = [f"figure_{self.figure}", self.settings.method, self.line, self.value]
        text = "-".join(words).lower().replace(",", "").replace(" ", "_")
        return text


def comparison_rows(
    points: Sequence[Point], found: Mapping[Settings, Result]
) -> list[dict[str, Any]]:
    """Rows "paper | ours | difference | what differs"; the paper has curves and no numbers."""
    rows = []
    for point in points:
        result = found[point.settings]
        told = settings_that_differ(result, STATED[point.family])
        told += seeds_and_last_rate(result, 1e-4 if point.family == "iwae" else None)
        told += [OPEN[point.family]] * bool(OPEN[point.family])
        if result["dataset"] == "digits":
            told.append("digits 8x8 and small networks, not in the paper")
        rows.append(
            {
                "figure": point.figure,
                "line": point.line,
                "value": point.value,
                "data set": result["dataset"],
                "epochs": result["epochs"],
                "optimizer": result["optimizer"],
                "K": result["num_particles"],
            }
            | likelihood_columns(result, "test", None)
            | {DIFFERS: "; ".join(told) or "nothing"}
        )
    return rows


def orderings(points: Sequence[Point], found: Mapping[Settings, Result]) -> list[Ordering]:
    """The claims of the paper's text for which there are runs."""
    at = {(p.figure, p.line, p.value): found[p.settings] for p in points}
    claims: list[Ordering] = []

    def claim(words: str, better: tuple, worse: tuple, *, equal: bool = False) -> None:
        if better in at and worse in at and better != worse:
            where = f"figure {better[0]}"
            claims.append(Ordering(words, where, at[better], at[worse], equal))

    def question(kind: str, better: str, worse: str, of_paper: bool) -> None:
        figure = f"11_fair_{kind}"
        words = f"{better} above {worse}" + (", fair" if of_paper else " (the paper does not say)")
        claim(words, (figure, better, "fair"), (figure, worse, "fair"))

    def ends(figure: str, line: str) -> tuple[tuple, tuple]:
        shown = [key for key in at if key[:2] == (figure, line)] or [(figure, line, "")]
        by_value = sorted(shown, key=lambda key: int(key[2] or 0))
        return by_value[-1], by_value[0]

    most, least = ends("3", "AEVB")
    claim(f"AEVB: {most[2]} latents above {least[2]}", most, least)
    most, least = ends("4", "AEVB")
    claim(f"AEVB: L={most[2]} as L={least[2]}", most, least, equal=True)
    for better, worse in itertools.combinations(("rmsprop", "adagrad", "sgd"), 2):
        claim(f"NVIL: {better} above {worse}", ("5", "NVIL", better), ("5", "NVIL", worse))
    for figure, what in (("6", "latents"), ("7", "hidden units")):
        most, least = ends(figure, "NVIL")
        words = f"NVIL: {most[2]} {what} as {least[2]}"
        claim(words, most, least, equal=True)
    for layers in ("1 layer", "2 layers"):
        line = f"IWAE, {layers}"
        counts = sorted(int(key[2]) for key in at if key[:2] == ("8", line))
        for more, fewer in zip(counts[1:], counts[:-1], strict=True):
            words = f"{line}: k={more} above k={fewer}"
            claim(words, ("8", line, str(more)), ("8", line, str(fewer)))
        for k in counts[1:]:
            words = f"IWAE above VAE, {layers}, k={k}"
            claim(words, ("8", line, str(k)), ("8", f"VAE, {layers}", str(k)))
    for figure, line, value in at:
        if figure == "8" and line.endswith("2 layers"):
            method = line.partition(",")[0]
            words = f"{method}, k={value}: two layers above one"
            claim(words, (figure, line, value), (figure, f"{method}, 1 layer", value))
    most, least = ends("10", "RWS")
    claim(f"RWS: K={most[2]} above K={least[2]}", most, least)
    # Figure 11 as published compares data sets, latents and optimizers besides: no verdict follows.
    for kind in ("gaussian", "bits"):
        for better, worse in _CLAIMED:
            question(kind, better, worse, of_paper=True)
        for better, worse in _ASKED:
            question(kind, better, worse, of_paper=False)
    return claims


def write_report(root: Path, points: Sequence[Point], found: Mapping[Settings, Result]) -> str:
    """Writes the tables and the pictures of a finished sweep.

    Args:
        root: where to.
        points: what the figures show, in order.
        found: configuration and result of each run.

    Returns:
        The tables without their last column, which is too wide for a terminal.
    """
    title = "Negative log-likelihood of the test images, nats per image"
    table = write_table(root, "table", comparison_rows(points, found), title=title)
    told = ordering_rows(orderings(points, found))
    parts = [table]
    if told:
        title = "Where the paper's orderings hold: gain in test log-likelihood"
        note = (
            "unclear: a t-test over seeds (5 %) does not tell it from zero, or one seed. "
            "Where `keep` is set (table.md), the gradient is that of so many of the particles."
        )
        parts.append(f"{write_table(root, 'orderings', told, title=title, note=note)}\n{note}")
    for name, figure in FIGURES.items():
        shown = [point for point in points if point.figure == name]
        if not shown:
            continue
        path = root / f"figure_{name}.png"
        if figure.setting is None:
            curves = {_label(point, shown): _curve(root, found[point.settings]) for point in shown}
            over_epochs(path, curves, title=figure.title)
        else:
            lines: dict[str, dict[str, tuple[float, float | None]]] = {}
            for point in shown:
                values = of_each_seed(found[point.settings], "test_log_likelihood")
                lines.setdefault(point.line, {})[point.value] = over_seeds(values)
            against_setting(path, lines, setting=figure.setting, title=figure.title)
    return "\n\n".join(parts)


def _label(point: Point, shown: Sequence[Point]) -> str:
    """What tells a curve of a figure from its others."""
    if len({other.settings.dataset for other in shown}) > 1:
        return f"{point.line}, {point.settings.dataset}"
    several = len({other.line for other in shown}) > 1
    return point.line if several else f"{point.line}, {point.value}"


def _curve(root: Path, result: Result) -> list[tuple[int, float, float | None]]:
    """(epoch, mean over seeds, standard error) of the test log-likelihood during training."""
    with reopen(root / "cells" / result["cell"]) as run:
        metrics = run.metrics()
    seeds = result["num_replicas"]
    return [
        (
            row["epoch"],
            row["test_log_likelihood"],
            row["test_log_likelihood_std"] / seeds**0.5 if seeds > 1 else None,
        )
        for row in metrics
        if row.get("test_log_likelihood") is not None
    ]
