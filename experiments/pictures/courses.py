"""Curves in a grid of panels that share a legend: what a value does in the course of training."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from experiments.pictures.drawing import PathLike, drawing


class Line(NamedTuple):
    """A curve with its spread.

    Attributes:
        x: [T].
        values: [T, S], those of S seeds; the line is their mean, the band from the least to the
            greatest.
    """

    x: Float[np.ndarray, " T"]
    values: Float[np.ndarray, "T S"]


class Panel(NamedTuple):
    """What one panel shows.

    Attributes:
        title: above it.
        lines: name -> curve.
        ceiling: a value that no curve can pass.
    """

    title: str
    lines: Mapping[str, Line]
    ceiling: float


def grid_of_courses(
    path: PathLike,
    rows: Mapping[str, list[Panel]],
    *,
    colours: Mapping[str, str],
    dashed: tuple[str, ...] = (),
    title: str,
    x_label: str,
    y_label: str,
    ceiling_label: str,
) -> None:
    """A row of panels for each name, which share their vertical axis.

    The axis begins a little below the lowest end of a curve: the beginnings, far below and alike,
    would press the ends together.

    Args:
      path: The file to write.
      rows: Name -> its panels, as many in each row.
      colours: Name of a curve -> its colour; the legend has this order.
      dashed: The names whose curves are the same in all panels of a row, for reference.
      title: Stands above all.
      x_label: Below each column.
      y_label: Left of them.
      ceiling_label: Of the dotted line.
    """
    columns = len(next(iter(rows.values())))
    width = max(7.5, 1.0 + 3.7 * columns)
    with drawing(path, width, 2.0 + 2.7 * len(rows)) as figure:
        grid = figure.subplots(len(rows), columns, sharex="col", sharey="row", squeeze=False)
        drawn: dict[str, Artist] = {}
        for of_row, (name, panels) in zip(grid, rows.items(), strict=True):
            for axes, panel in zip(of_row, panels, strict=True):
                drawn |= _draw(axes, panel, colours, dashed)
                drawn[ceiling_label] = axes.axhline(panel.ceiling, color="0.4", ls=":", lw=1.2)
            of_row[0].set_ylim(*_limits(panels))
            of_row[0].set_ylabel(name)
        for axes in grid[-1]:  # and not one for all, which would lie across the legend
            axes.set_xlabel(x_label)
        figure.supylabel(y_label, fontsize="medium")
        names = [name for name in (*colours, ceiling_label) if name in drawn]
        handles = [drawn[name] for name in names]
        figure.legend(handles, names, loc="outside lower center", ncols=2, fontsize=10)
        figure.suptitle(title, x=0.01, ha="left")


def _draw(
    axes: Axes, panel: Panel, colours: Mapping[str, str], dashed: tuple[str, ...]
) -> dict[str, Artist]:
    """The curves of a panel, and their handles for the legend."""
    handles: dict[str, Artist] = {}
    for name, line in panel.lines.items():
        style = {"color": colours[name], "linestyle": "--" if name in dashed else "-"}
        width = 1.4 if name in dashed else 1.8
        (handles[name],) = axes.plot(line.x, line.values.mean(axis=1), linewidth=width, **style)
        if name not in dashed:
            low, high = line.values.min(axis=1), line.values.max(axis=1)
            axes.fill_between(line.x, low, high, color=colours[name], alpha=0.15, lw=0)
    axes.set_title(panel.title, fontsize=11)
    return handles


def _limits(panels: list[Panel]) -> tuple[float, float]:
    """From a little below the lowest end to a little above the ceiling."""
    ends = [line.values[-1].mean() for panel in panels for line in panel.lines.values()]
    lowest, ceiling = min(ends), panels[0].ceiling
    margin = 0.15 * max(ceiling - lowest, 1e-3)
    return lowest - 2 * margin, ceiling + margin


def falling_courses(
    path: PathLike,
    panels: Mapping[str, Mapping[str, Line]],
    *,
    title: str,
    x_label: str,
    y_label: str,
    logarithmic: bool = False,
) -> None:
    """Curves that fall towards zero, a panel for each name, on a logarithmic axis.

    Args:
      path: The file to write.
      panels: Title -> name of a curve -> the curve; the band is that over the seeds.
      title: Stands above all.
      x_label: Below each panel.
      y_label: Left of them.
      logarithmic: Whether x is, too.
    """
    with drawing(path, 1.0 + 4.6 * len(panels), 4.4) as figure:
        for axes, (name, lines) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
        ):
            for label, line in lines.items():
                (curve,) = axes.plot(line.x, line.values.mean(axis=1), lw=1.4, label=label)
                axes.fill_between(
                    line.x,
                    line.values.min(axis=1),
                    line.values.max(axis=1),
                    color=curve.get_color(),
                    alpha=0.15,
                    lw=0,
                )
            axes.set_yscale("log")
            if logarithmic:
                axes.set_xscale("log")
            axes.set_title(name)
            axes.set_xlabel(x_label)
            axes.legend(fontsize="small")
        figure.supylabel(y_label, fontsize="medium")
        figure.suptitle(title, x=0.01, ha="left")
