"""Pictures of the sweeps: activity of latents, a figure against a setting, curves over epochs."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator

from experiments.pictures.drawing import COLOURS, LINES, MARKERS, PathLike, drawing, tiled


def activity_histogram(
    path: PathLike,
    activities: Mapping[str, Sequence[np.ndarray]],
    *,
    threshold: float = 0.01,
    title: str | None = None,
) -> None:
    """Histograms of log10 A_u, one panel for each run; what is right of the line is active.

    Args:
      path: The file to write.
      activities: Name -> A_u of the latents of each stochastic layer, z_1 first.
      threshold: Of activity.
      title: Stands above the panels.
    """
    pooled = np.concatenate([layer for layers in activities.values() for layer in layers])
    logs = np.log10(np.maximum(pooled, 1e-12))
    bins = np.linspace(min(logs.min(), -4.0), max(logs.max(), 0.5), 31).tolist()
    columns = min(2, len(activities))
    rows = -(-len(activities) // columns)
    with drawing(path, 4.6 * columns, 0.9 + 2.3 * rows) as figure:
        panels = figure.subplots(rows, columns, sharex=True, squeeze=False)
        for axes in panels.ravel()[len(activities) :]:
            axes.set_axis_off()
        for axes, (name, layers) in zip(panels.ravel(), activities.items(), strict=False):
            values = [np.log10(np.maximum(layer, 1e-12)) for layer in layers]
            labels = [f"layer {number + 1}" for number in range(len(layers))]
            axes.hist(values, bins, stacked=True, color=COLOURS[: len(layers)], label=labels)
            axes.axvline(np.log10(threshold), color="0.3", linestyle="--", linewidth=1)
            axes.yaxis.set_major_locator(MaxNLocator(integer=True))
            axes.set_title(name, fontsize=10)
            if len(layers) > 1:
                axes.legend(fontsize=9)
        figure.supxlabel(f"log10 of A_u; dashed: {threshold:g}, above it a latent is active")
        figure.supylabel("latents, all seeds")
        if title:
            figure.suptitle(title, x=0.01, ha="left")


def labelled_images(
    path: PathLike,
    groups: Mapping[str, np.ndarray],
    *,
    columns: int = 10,
    title: str | None = None,
) -> None:
    """Groups of images one below another, each under its name.

    Args:
      path: The file to write.
      groups: Name -> images [N, H, W], brightness from 0 to 1; each group has as many.
      columns: Images per row.
      title: Stands above the groups.
    """
    canvases = {name: tiled(images, columns) for name, images in groups.items()}
    height, width = next(iter(canvases.values())).shape
    inches = 7.0
    with drawing(path, inches, 0.4 + len(groups) * (0.3 + inches * height / width)) as figure:
        panels = figure.subplots(len(groups), 1, squeeze=False)[:, 0]
        for axes, (name, canvas) in zip(panels, canvases.items(), strict=True):
            axes.imshow(canvas, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set_axis_off()
            axes.set_title(name, fontsize=10)
        if title:
            figure.suptitle(title, x=0.01, ha="left")


def against_setting(
    path: PathLike,
    curves: Mapping[str, Mapping[str, tuple[float, float | None]]],
    *,
    setting: str,
    title: str | None = None,
) -> None:
    """The test log-likelihood against the values of a setting, evenly spaced, a line per method.

    Args:
      path: The file to write.
      curves: Name of the line -> value of the setting -> (mean, its standard error or None).
      setting: What varies.
      title: Stands above the panel.
    """
    with drawing(path, 6.5, 4.2) as figure:
        axes = figure.subplots()
        values = dict.fromkeys(value for points in curves.values() for value in points)
        places = {value: place for place, value in enumerate(values)}
        for number, (name, points) in enumerate(curves.items()):
            style = number % len(COLOURS)
            axes.errorbar(
                [places[value] for value in points],
                [mean for mean, _ in points.values()],
                yerr=[2 * (error or 0.0) for _, error in points.values()],
                color=COLOURS[style],
                marker=MARKERS[style],
                capsize=4,
                label=name,
            )
        axes.set_xticks(list(places.values()), list(places))
        axes.margins(x=0.1)
        bars = "bars: \N{PLUS-MINUS SIGN}2 standard errors over seeds"
        axes.set(xlabel=f"{setting}\n{bars}", ylabel="test log-likelihood (nats per image)")
        if title:
            axes.set_title(title)
        if len(curves) > 1:
            axes.legend()


def over_epochs(
    path: PathLike,
    curves: Mapping[str, Sequence[tuple[int, float, float | None]]],
    *,
    title: str | None = None,
) -> None:
    """The test log-likelihood over the epochs, a line per run; the band is two standard errors.

    Args:
      path: The file to write.
      curves: Name -> (epoch, mean over seeds, its standard error or None).
      title: Stands above the panel.
    """
    with drawing(path, 6.8, 4.2) as figure:
        axes = figure.subplots()
        for number, (name, points) in enumerate(curves.items()):
            style = number % len(COLOURS)
            epochs, means, errors = zip(*points, strict=True)
            half = np.array([2 * (error or 0.0) for error in errors])
            colour, marker = COLOURS[style], MARKERS[style] if len(points) <= 20 else None
            line = LINES[number // len(COLOURS) % len(LINES)]
            shape = {"color": colour, "marker": marker, "linestyle": line, "markersize": 4}
            axes.plot(epochs, means, **shape, label=name)
            axes.fill_between(epochs, means - half, means + half, color=colour, alpha=0.2, lw=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        bands = "bands: \N{PLUS-MINUS SIGN}2 standard errors over seeds"
        axes.set(xlabel=f"epoch\n{bands}", ylabel="test log-likelihood (nats per image)")
        if title:
            axes.set_title(title)
        if curves:
            axes.legend(fontsize=9)
