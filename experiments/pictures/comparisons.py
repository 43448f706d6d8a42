"""Pictures that compare methods, as PNG files: the figures and tables of a paper."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

from experiments.pictures.drawing import COLOURS, LINES, MARKERS, PathLike, drawing

_PANELS_BESIDE = 4  # one another; more stand below


def method_comparison(
    path: PathLike,
    results: Mapping[str, Mapping[str, tuple[float, float]]],
    *,
    label: str = "test log-likelihood (nats per image)",
    title: str | None = None,
) -> None:
    """A figure of each method on each data set, one panel per data set, with error bars.

    Points and not bars, because log-likelihoods have no zero for a bar to stand on.

    Args:
      path: The file to write.
      results: Data set -> method -> (mean, standard error); a bar is two standard errors each way.
        A method may lack on some data sets, or have diverged there (not finite).
      label: What is measured, with its unit.
      title: Stands above the panels.
    """
    methods = list(dict.fromkeys(method for row in results.values() for method in row))
    columns = min(len(results), _PANELS_BESIDE)
    rows = math.ceil(len(results) / columns)
    width = max(5.8, 1.2 + 3.4 * columns)  # at least that of the label
    with drawing(path, width, 0.6 + (0.9 + 0.42 * len(methods)) * rows) as figure:
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
        for axes in panels[len(results) :]:
            axes.set_axis_off()
        for axes, (dataset, row) in zip(panels, results.items(), strict=False):
            for place, method in enumerate(methods):
                mean, stderr = row.get(method, (math.nan, math.nan))
                if not math.isfinite(mean):
                    continue
                colour = COLOURS[place % len(COLOURS)]
                axes.errorbar(mean, place, xerr=2 * stderr, fmt="o", color=colour, capsize=4)
                text = f"{mean:.2f}".replace("-", "\N{MINUS SIGN}")
                axes.annotate(text, (mean, place), (0, 7), textcoords="offset points", ha="center")
            axes.set(title=dataset, ylim=(len(methods) - 0.5, -0.7))
            axes.set_yticks(range(len(methods)), methods)
            axes.margins(x=0.15)
            axes.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
            axes.grid(visible=False, axis="x")
        figure.supxlabel(f"{label}; bars: \N{PLUS-MINUS SIGN}2 standard errors", fontsize="medium")
        if title:
            figure.suptitle(title, x=0.01, ha="left")


def curves_of_runs(
    path: PathLike,
    curves: Mapping[str, Sequence[tuple[float, float]]],
    *,
    label: str = "nats per row",
    title: str | None = None,
) -> None:
    """A line for each run over its epochs.

    Args:
      path: The file to write.
      curves: Name of the run -> (epoch, value) of each epoch that has one; empty for none yet.
      label: What is drawn, with its unit.
      title: Stands above the panel.
    """
    with drawing(path, 6.5, 4.2) as figure:
        axes = figure.subplots()
        for place, (name, points) in enumerate(curves.items()):
            style = LINES[place // len(COLOURS) % len(LINES)]
            colour = COLOURS[place % len(COLOURS)]
            # An empty line stands in the legend too.
            axes.plot(*np.reshape(points, (-1, 2)).T, style, color=colour, label=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="epoch", ylabel=label, title=title)
        axes.legend(loc="best", fontsize="small")


def kl_against_particles(
    path: PathLike,
    curves: Mapping[str, Mapping[int, float]],
    *,
    label: str = "KL(r || prior) (nats per image)",
    title: str | None = None,
) -> None:
    """A line per method over the number of particles K it was trained with.

    Args:
      path: The file to write.
      curves: Method -> K -> value.
      label: What is measured, with its unit.
      title: Stands above the panel.
    """
    with drawing(path, 6.5, 4.4) as figure:
        axes = figure.subplots()
        for place, (method, points) in enumerate(curves.items()):
            xs = sorted(points)
            ys = [points[x] for x in xs]
            place %= len(COLOURS)
            axes.plot(xs, ys, color=COLOURS[place], marker=MARKERS[place], label=method)
        axes.set_xscale("log")
        axes.set_xticks(sorted({x for points in curves.values() for x in points}))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.set(xlabel="particles in training, K", ylabel=label, title=title)
        figure.legend(loc="outside right upper")


def ess_over_passes(path: PathLike, rows: Sequence[Mapping[str, Any]]) -> None:
    """The effective sample size of each proposal over decoder passes, a panel per latent size.

    Args:
      path: The file to write.
      rows: Each with "D", "passes", "proposal" and "ess".
    """
    sizes = sorted({row["D"] for row in rows})
    names = list(dict.fromkeys(row["proposal"] for row in rows))
    with drawing(path, 2.6 + 2.6 * len(sizes), 4.2) as figure:
        panels = figure.subplots(1, len(sizes), squeeze=False)[0]
        for axes, size in zip(panels, sizes, strict=True):
            for place, name in enumerate(names):
                chosen = [row for row in rows if row["D"] == size and row["proposal"] == name]
                axes.plot(
                    [row["passes"] for row in chosen],
                    [row["ess"] for row in chosen],
                    LINES[place // len(COLOURS) % len(LINES)],
                    color=COLOURS[place % len(COLOURS)],
                    # Other markers in the second turn of the colours.
                    marker=MARKERS[(place + place // len(COLOURS)) % len(MARKERS)],
                    label=name if size == sizes[0] else None,
                )
            axes.set(xscale="log", yscale="log", title=f"D = {size}")
            axes.set_xticks(sorted({row["passes"] for row in rows}))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.yaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        panels[0].set_ylabel("effective sample size")
        figure.supxlabel("decoder passes per image", fontsize="medium")
        figure.legend(loc="outside right upper", fontsize="small")
