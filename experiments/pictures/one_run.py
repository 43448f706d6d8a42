"""Pictures of one run: images, learning curves, effective sample size."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.pictures.drawing import COLOURS, DPI, MARKERS, PathLike, drawing, tiled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

_FILTERS = 100
# Above this k-hat the estimate of an image is not to be trusted.
_TRUSTED = 0.7

Metrics = Sequence[Mapping[str, Any]]

LOG_EVIDENCE: Mapping[str, str] = {"log_evidence": "training", "test_log_likelihood": "test"}


def image_grid(
    path: PathLike, images: np.ndarray, *, columns: int | None = None, title: str | None = None
) -> None:
    """Images side by side, row by row.

    Args:
      path: The file to write.
      images: `[N, H, W]`, brightness from 0 (black) to 1 (white); what lies outside is cut.
      columns: Images per row; as many as rows by default.
      title: Stands above the images.
    """
    columns = columns or math.ceil(math.sqrt(len(images)))
    canvas = tiled(np.asarray(images), columns)
    scale = min(12, max(1, round(900 / canvas.shape[1])))  # whole: all pixels are equally large
    width, height = (scale * size / DPI for size in canvas.shape[::-1])
    strip = 0.4 if title else 0.0
    letter = 0.09  # inches
    full_width, full_height = max(width, letter * len(title or "")), height + strip
    with drawing(path, full_width, full_height, layout=None) as figure:
        axes = figure.add_axes((0, 0, width / full_width, height / full_height))
        axes.imshow(canvas, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        if title:
            figure.text(0.05 / full_width, 1 - 0.2 / full_height, title, va="center")


def filter_grid(
    path: PathLike, weights: np.ndarray, shape: tuple[int, int], *, title: str | None = None
) -> None:
    """The weights of the units of largest norm as images, zero in the middle of grey.

    Args:
      path: The file to write.
      weights: `[X, H]`, a column for each unit.
      shape: (height, width) of an image.
      title: Stands above the images.
    """
    columns = np.asarray(weights).T
    order = np.argsort(-np.linalg.norm(columns, axis=1), kind="stable")[:_FILTERS]
    chosen = columns[order]
    largest = np.abs(chosen).max(axis=1, keepdims=True)
    grey = 0.5 + 0.5 * chosen / np.where(largest > 0, largest, 1.0)
    image_grid(path, grey.reshape(-1, *shape), title=title)


def reconstructions(
    path: PathLike, originals: np.ndarray, means: np.ndarray, *, title: str | None = None
) -> None:
    """Images, each above what the model makes of it.

    Args:
      path: The file to write.
      originals: `[N, H, W]`, brightness from 0 to 1.
      means: `[N, H, W]`, the mean of the likelihood at a latent of the posterior of each.
      title: Stands above the images.
    """
    number, _, width = originals.shape
    pairs = np.concatenate([originals, np.full((number, 1, width), 0.5), means], axis=1)
    image_grid(path, pairs, columns=min(10, len(pairs)), title=title)


def learning_curves(
    path: PathLike,
    metrics: Metrics,
    *,
    curves: Mapping[str, str] = LOG_EVIDENCE,
    label: str = "log-evidence (nats per image)",
    title: str | None = None,
) -> None:
    """How a fit grows over epochs and over time.

    Args:
      path: The file to write.
      metrics: One mapping per epoch: `epoch`; `seconds`, the training time since the start of the
        run; and what is drawn, in any of them.
      curves: The names of the metrics that are drawn, with what the legend calls them: by default
        the log-evidence of training and that of the test images. Behind a metric whose bracket is
        there, as NAME_low and NAME_high, stands a band from one to the other.
      label: What they are, with their unit.
      title: Stands above the panels.
    """
    with drawing(path, 10, 4.2) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        latest = max((row["seconds"] or 0 for row in metrics), default=0)
        unit, seconds = ("minutes", 60) if latest < 7200 else ("hours", 3600)
        if latest < 120:
            unit, seconds = "seconds", 1
        for axes, key, divisor in ((left, "epoch", 1), (right, "seconds", seconds)):
            for style, (name, called) in enumerate(curves.items()):
                _band(axes, metrics, key, name, style, divisor)
                _line(axes, metrics, key, name, style, called, divisor)
            _begin_at_zero(axes)
        _zoom_on_the_end(left, metrics, tuple(curves))
        _at_whole_numbers(left.xaxis)
        left.set(xlabel="epoch", ylabel=label)
        right.set_xlabel(f"training time ({unit})")
        if right.get_legend_handles_labels()[0]:
            right.legend(loc="best")
        if title:
            figure.suptitle(title, x=0.01, ha="left")


def ess_over_time(
    path: PathLike, metrics: Metrics, *, num_particles: int | None = None, title: str | None = None
) -> None:
    """The effective sample size of training over epochs, on a logarithmic scale from 1 to K.

    Args:
      path: The file to write.
      metrics: One mapping per epoch, with `epoch` and `ess` (a number of particles).
      num_particles: K, the most that it can be; drawn as a line.
      title: Stands above the panel.
    """
    with drawing(path, 6.5, 4.2) as figure:
        axes = figure.subplots()
        _line(axes, metrics, "epoch", "ess", 0, "ESS")
        axes.set_yscale("log")
        if num_particles:
            axes.axhline(num_particles, color="0.4", linestyle="--", linewidth=1)
            axes.annotate(
                f"K = {num_particles}",
                (1, num_particles),
                xycoords=("axes fraction", "data"),
                xytext=(0, -4),
                textcoords="offset points",
                ha="right",
                va="top",
            )
        axes.set_ylim(bottom=1, top=1.15 * num_particles if num_particles else None)
        _at_one_two_five(axes.yaxis)
        _begin_at_zero(axes)
        _at_whole_numbers(axes.xaxis)
        axes.set(xlabel="epoch", ylabel="effective sample size (particles)", title=title)


def weight_diagnostics(
    path: PathLike,
    ess: np.ndarray,
    pareto_k: np.ndarray,
    *,
    num_particles: int,
    title: str | None = None,
) -> None:
    """How well the particles of an evaluation serve: over the images, ESS and k-hat.

    Args:
      path: The file to write.
      ess: `[N]`, the effective sample size of each image.
      pareto_k: `[N]`, k-hat of the weights of each; NaN where it is not known.
      num_particles: K, the most that ESS can be.
      title: Stands above the panels.
    """
    with drawing(path, 10, 3.8) as figure:
        left, right = figure.subplots(1, 2)
        most = max(2.0, float(num_particles))
        left.hist(np.clip(ess, 1.0, most), bins=np.geomspace(1.0, most, 31), color=COLOURS[0])
        left.set_xscale("log")
        left.set(
            xlabel=f"effective sample size (of {num_particles:,} particles)",
            ylabel="images",
            xlim=(1.0, most),
        )
        known = pareto_k[np.isfinite(pareto_k)]
        if known.size:
            low, high = min(0.0, float(known.min())), max(1.0, float(known.max()))
            right.hist(known, bins=np.linspace(low, high, 31), color=COLOURS[0])
        right.axvline(_TRUSTED, color="0.4", linestyle="--", linewidth=1)
        share = float(np.mean(known > _TRUSTED)) if known.size else 0.0
        right.set(xlabel=f"Pareto k-hat ({share:.0%} of the images above {_TRUSTED})")
        for axes in (left, right):
            axes.grid(visible=False, axis="x")
            _at_whole_numbers(axes.yaxis)
        if title:
            figure.suptitle(title, x=0.01, ha="left")


def _at_whole_numbers(axis: "Axis") -> None:
    from matplotlib.ticker import MaxNLocator  # as `drawing` imports: when something is drawn

    axis.set_major_locator(MaxNLocator(integer=True))


def _at_one_two_five(axis: "Axis") -> None:
    """The ticks of a logarithmic axis, and their numbers as they are."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def _begin_at_zero(axes: "Axes") -> None:
    """Lets the x-axis begin at zero and end a little beyond the last point."""
    # The margin of autoscaling is a part of the points' own range, which may be a hair.
    last = axes.dataLim.x1
    axes.set_xlim(0, 1.05 * last if math.isfinite(last) and last > 0 else None)


def _zoom_on_the_end(axes: "Axes", metrics: Metrics, names: Sequence[str]) -> None:
    """Fits the panel to all but the first quarter of a long run, whose climb would flatten it."""
    late = metrics[len(metrics) // 4 :] if len(metrics) >= 8 else []
    values = [row.get(end) for row in late for name in names for end in (name, *_ends(name))]
    known = [value for value in values if value is not None and math.isfinite(value)]
    if known and max(known) > min(known):
        margin = 0.08 * (max(known) - min(known))
        bottom = min(known) - margin
        axes.set_ylim(bottom, max(known) + margin)
        below = sum(1 for row in metrics if (row.get(names[0]) or bottom) < bottom)
        if below:
            text = f"epochs below the picture: {below}"
            axes.annotate(text, (0.98, 0.02), xycoords="axes fraction", ha="right", color="0.4")


def _line(
    axes: "Axes", metrics: Metrics, x: str, y: str, style: int, label: str, divisor: float = 1
) -> None:
    """Draws one metric against another over the epochs that have both."""
    points = [(row[x] / divisor, row[y]) for row in metrics if row.get(y) is not None]
    if points:
        marker = MARKERS[style] if len(points) <= 20 else None
        axes.plot(*zip(*points, strict=True), color=COLOURS[style], marker=marker, label=label)


def _ends(name: str) -> tuple[str, str]:
    """What metrics call the lower and the upper end of the bracket of one of them."""
    return f"{name}_low", f"{name}_high"


def _band(axes: "Axes", metrics: Metrics, x: str, y: str, style: int, divisor: float = 1) -> None:
    """Fills the bracket of a metric over the epochs that have one."""
    columns = (x, *_ends(y))
    points = [[row.get(name) for name in columns] for row in metrics]
    known = [point for point in points if None not in point]
    if known:
        place, low, high = np.transpose(np.asarray(known, np.float64))
        # A bracket of one epoch, or one that has closed, is a line that shows all the same.
        band = {"color": COLOURS[style], "alpha": 0.25, "linewidth": 1}
        axes.fill_between(place / divisor, low, high, **band)
