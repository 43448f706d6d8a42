"""Curves in a grid of panels that share a legend: what a value does in the course of training."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from experiments.pictures.drawing import COLOURS, PathLike, drawing


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
        lines: name -> curve; a name has the same colour in all panels.
        ceiling: a value that no curve can pass.
    """

    title: str
    lines: Mapping[str, Line]
    ceiling: float


def grid_of_courses(
    path: PathLike,
    rows: Mapping[str, list[Panel]],
    *,
    dashed: tuple[str, ...] = (),
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
      dashed: The names whose curves are the same in all panels of a row, for reference.
      x_label: Below the panels.
      y_label: Left of them.
      ceiling_label: Of the dotted line.
    """
    names = list(dict.fromkeys(n for panels in rows.values() for p in panels for n in p.lines))
    colours = dict(zip(names, ("#000000", "0.55", *COLOURS), strict=False))
    columns = len(next(iter(rows.values())))
    with drawing(path, 1.0 + 3.7 * columns, 1.3 + 2.7 * len(rows)) as figure:
        grid = figure.subplots(len(rows), columns, sharex="col", sharey="row", squeeze=False)
        handles: dict[str, Artist] = {}
        for of_row, panels in zip(grid, rows.values(), strict=True):
            for axes, panel in zip(of_row, panels, strict=True):
                handles |= _draw(axes, panel, colours, dashed)
                handles[ceiling_label] = axes.axhline(panel.ceiling, color="0.4", ls=":", lw=1.2)
            of_row[0].set_ylim(*_limits(panels))
        figure.supxlabel(x_label, fontsize="medium")
        figure.supylabel(y_label, fontsize="medium")
        figure.legend(handles.values(), handles, loc="outside upper center", ncols=3, fontsize=10)


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
