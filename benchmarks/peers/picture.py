"""The rows of the peers as one picture: time of a step, a panel per method and size."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.peers.groups import SIZES
from experiments.pictures.drawing import COLOURS, PathLike, drawing


def draw(path: PathLike, rows: Sequence[Mapping[str, Any]]) -> None:
    """Bars of milliseconds per step, one panel per method and size; ours in colour.

    Args:
        path: the PNG file to write.
        rows: of `benchmarks.peers`; those without a time are left out.
    """
    panels: dict[str, dict[str, float]] = {}
    for row in rows:
        if row["milliseconds"]:
            kept = row.get("keep") if row["implementation"] == "remjax" else None
            name = row["implementation"] + (f", keep={kept}" if kept else "")
            panels.setdefault(_title(row), {})[name] = row["milliseconds"]
    columns = min(4, len(panels))
    lines = -(-len(panels) // columns)
    with drawing(path, 3.6 * columns, 2.1 * lines + 0.3) as figure:
        axes = figure.subplots(lines, columns, squeeze=False).flatten()
        for panel in axes:
            panel.set_visible(False)
        for panel, (title, bars) in zip(axes, panels.items(), strict=False):
            panel.set_visible(True)
            colours = [COLOURS[0] if name.startswith("remjax") else "0.7" for name in bars]
            drawn = panel.barh(list(bars), list(bars.values()), color=colours)
            panel.bar_label(drawn, fmt=_shown, padding=3, fontsize=9)
            panel.margins(x=0.2)
            panel.invert_yaxis()
            panel.grid(visible=False)
            panel.set_xticks([])
            panel.set_title(title, fontsize=10)
        figure.supxlabel("milliseconds per step", fontsize=10)


def _title(row: Mapping[str, Any]) -> str:
    sizes = [f"{label}={row[name]:,}" for name, label in SIZES.items() if name in row]
    return f"{row['method']}\n{', '.join(sizes)}"


def _shown(milliseconds: float) -> str:
    return f"{milliseconds:,.0f}" if milliseconds >= 10 else f"{milliseconds:.2g}"
