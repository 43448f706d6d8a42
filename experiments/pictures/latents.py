"""Pictures of what a recognition network makes of data: where codes lie, and which are used."""

from collections.abc import Sequence

import numpy as np

from experiments.pictures.drawing import COLOURS, DPI, MARKERS, PathLike, drawing, tiled


def principal_components(codes: np.ndarray) -> tuple[np.ndarray, float]:
    """Codes [N, D] in their first two principal components [N, 2], and the share these have.

    Codes of two latents are left as they are, and one latent lies along a line.
    """
    codes = np.asarray(codes, np.float64)
    if codes.shape[1] <= 2:
        return np.pad(codes, ((0, 0), (0, 2 - codes.shape[1]))), 1.0
    centred = codes - codes.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    total = np.sum(np.square(sizes))
    share = float(np.sum(np.square(sizes[:2])) / total) if total else 1.0
    return left[:, :2] * sizes[:2], share


def latent_space(
    path: PathLike,
    codes: np.ndarray,
    *,
    labels: Sequence[str] | None = None,
    title: str | None = None,
) -> None:
    """A point for each datapoint, in the plane of two latents or of two principal components.

    Args:
      path: The file to write.
      codes: `[N, D]`, the mean of the recognition network for each.
      labels: Of each, of at most 21 kinds: each has a colour and a marker.
      title: Stands above the panel.
    """
    points, share = principal_components(codes)
    names = ("latent 1", "latent 2")
    if np.shape(codes)[1] > 2:
        names = (f"first principal component of {np.shape(codes)[1]} latents", "second")
        names = (f"{names[0]} (both: {share:.0%} of the variance)", names[1])
    with drawing(path, 5.8, 5.4) as figure:
        axes = figure.subplots()
        for place, label in enumerate(sorted(set(labels or [""]))):
            of_label = points if labels is None else points[np.asarray(labels) == label]
            axes.scatter(
                *of_label.T,
                s=9 if labels is None else 14,
                color=COLOURS[place % len(COLOURS)],
                marker=MARKERS[place // len(COLOURS)],
                alpha=0.6 if labels is None else 0.8,
                linewidths=0,
                label=label,
            )
        if labels is not None:
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handletextpad=0.1)
        axes.set(xlabel=names[0], ylabel=names[1], aspect="equal", adjustable="datalim")
        if title:
            figure.suptitle(title, x=0.01, ha="left")


def activity_bars(
    path: PathLike, activity: np.ndarray, *, threshold: float = 0.01, title: str | None = None
) -> None:
    """How far the mean of each latent moves over the data, the most active first.

    Args:
      path: The file to write.
      activity: `[D]`, Var_x(E[z_u | x]) of each latent.
      threshold: Above it a latent counts as active; drawn as a line.
      title: Stands above the panel.
    """
    values = np.sort(np.maximum(np.asarray(activity), 1e-6))[::-1]
    with drawing(path, max(5.4, 1.5 + 0.12 * len(values)), 3.8) as figure:
        axes = figure.subplots()
        axes.bar(np.arange(1, len(values) + 1), values, color=COLOURS[0])
        axes.set_yscale("log")
        axes.axhline(threshold, color="0.4", linestyle="--", linewidth=1)
        active = int(np.sum(values > threshold))
        axes.set(
            xlabel=f"latents, the most active first ({active} of {len(values)} above the line)",
            ylabel="activity",
        )
        axes.grid(visible=False, axis="x")
        if title:
            figure.suptitle(title, x=0.01, ha="left")


def interpolations(path: PathLike, rows: np.ndarray, *, title: str | None = None) -> None:
    """Each row of images goes from one datapoint to another along a line between their codes.

    Args:
      path: The file to write.
      rows: `[R, S, H, W]`, S steps of R interpolations, brightness from 0 to 1.
      title: Stands above the images.
    """
    _, steps, height, width = rows.shape
    canvas = tiled(rows.reshape(-1, height, width), steps)
    scale = min(12, max(1, round(900 / canvas.shape[1])))
    high, wide = (scale * size / DPI for size in canvas.shape)
    with drawing(path, max(wide, 0.1 * len(title or "")), high + 0.4) as figure:
        axes = figure.subplots()
        axes.imshow(canvas, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_axis_off()
        if title:
            figure.suptitle(title, x=0.01, ha="left")
