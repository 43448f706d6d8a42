"""The rows of `benchmarks.gradient_variance` as pictures: theta beside eta, a line per method."""

from collections.abc import Sequence
from typing import Any

from matplotlib.ticker import NullLocator

from experiments.pictures.drawing import COLOURS, LINES, MARKERS, PathLike, drawing

Row = dict[str, Any]


def draw(path: PathLike, rows: Sequence[Row], draws: int) -> None:
    """Ratios against K down to the noise of so many draws; a line of panels per state."""
    states = list(dict.fromkeys(row["state"] for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    counts = sorted({row["num_particles"] for row in rows})
    noise = draws**-0.5
    with drawing(path, 12, 4.2 * len(states)) as figure:
        panels = figure.subplots(len(states), 2, squeeze=False)
        for line, state in enumerate(states):
            for axes, part in zip(panels[line], ("theta", "eta"), strict=True):
                for place, method in enumerate(methods):
                    mine = [
                        row
                        for row in rows
                        if (row["state"], row["method"], row["keep"]) == (state, method, None)
                    ]
                    # As many lines as there are methods: a colour comes again in another style.
                    axes.plot(
                        [row["num_particles"] for row in mine],
                        [max(row[f"{part}_snr"], noise) for row in mine],
                        color=COLOURS[place % len(COLOURS)],
                        linestyle=LINES[place // len(COLOURS) % len(LINES)],
                        marker=MARKERS[(place + place // len(COLOURS)) % len(MARKERS)],
                        label=method,
                    )
                axes.set(xscale="log", yscale="log", title=f"{part}, {state}")
                axes.set_ylim(bottom=0.8 * noise)
                axes.axhspan(0.0, noise, color="0.92", zorder=0)
                axes.text(
                    max(counts), noise, "noise of the draws", fontsize=8, va="top", ha="right"
                )
                axes.set_xticks(counts, map(str, counts))
                axes.xaxis.set_minor_locator(NullLocator())
            panels[line][0].set_ylabel("signal-to-noise ratio")
        for axes in panels[-1]:
            axes.set_xlabel("K, particles per image")
        figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside right upper")


def draw_keep(path: PathLike, rows: Sequence[Row]) -> None:
    """Ratio per second against M at the largest K; the exact form, M = K, is the last point."""
    states = list(dict.fromkeys(row["state"] for row in rows))
    count = max(row["num_particles"] for row in rows)
    methods = list(dict.fromkeys(row["method"] for row in rows if row["keep"]))
    with drawing(path, 12, 4.2 * len(states)) as figure:
        panels = figure.subplots(len(states), 2, squeeze=False)
        for line, state in enumerate(states):
            for axes, part in zip(panels[line], ("theta", "eta"), strict=True):
                for place, method in enumerate(methods):
                    points = sorted(
                        (row["keep"] or count, row[f"{part}_snr_per_second"])
                        for row in rows
                        if (row["state"], row["method"], row["num_particles"])
                        == (state, method, count)
                    )
                    axes.plot(
                        *zip(*points, strict=True),
                        color=COLOURS[place % len(COLOURS)],
                        marker=MARKERS[place % len(MARKERS)],
                        label=method,
                    )
                axes.set(xscale="log", title=f"{part}, {state}")
            panels[line][0].set_ylabel("signal-to-noise ratio per root second")
        for axes in panels[-1]:
            axes.set_xlabel(f"M, particles kept of K = {count:,}")
        figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside right upper")
