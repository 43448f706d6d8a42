"""Pictures that compare methods, as PNG files: the figures and tables of a paper."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.ticker import MaxNLocator, NullLocator, StrMethodFormatter

from experiments.pictures import COLOURS, MARKERS, PathLike, drawing


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
    width = max(5.8, 1.2 + 3.4 * len(results))  # at least that of the label
    with drawing(path, width, 1.5 + 0.42 * len(methods)) as figure:
        panels = figure.subplots(1, len(results), sharey=True, squeeze=False)[0]
        for axes, (dataset, row) in zip(panels, results.items(), strict=True):
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


def table_picture(
    path: PathLike,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str | None = None,
) -> None:
    """A table; columns of figures stand to the right, columns with a letter in them to the left.

    Args:
      path: The file to write.
      header: The names of the columns.
      rows: The cells of each row, as many as there are columns.
      title: Stands above the table.
    """
    letter, leading, gap = 0.095, 0.3, 0.35  # inches: a character, a line, between columns
    columns = list(zip(header, *rows, strict=True))
    widths = [gap + letter * max(map(len, column)) for column in columns]
    lines = len(rows) + 1 + (1 if title else 0)
    width, height = sum(widths), leading * (lines + 1)
    with drawing(path, width, height, layout=None) as figure:
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
        axes.set_axis_off()
        top = leading * (2 if title else 1)
        if title:
            axes.text(gap / 2, top - leading, title, va="center", weight="bold")
        right = -gap / 2
        for column, column_width in zip(columns, widths, strict=True):
            left, right = right, right + column_width
            words = any(character.isalpha() for cell in column[1:] for character in cell)
            x, side = (left + gap, "left") if words else (right, "right")
            for line, cell in enumerate(column):
                weight = "bold" if line == 0 else "normal"
                axes.text(x, top + leading * line, cell, ha=side, va="center", weight=weight)
        for line, thickness in ((0, 1.5), (1, 0.8), (len(rows) + 1, 1.5)):
            y = top + leading * (line - 0.5)
            axes.plot([gap / 2, width - gap / 2], [y, y], color="black", linewidth=thickness)
