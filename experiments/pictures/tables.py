"""A table as a picture, with the list that explains its letters below it."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from experiments.output.tables import bullets
from experiments.pictures.drawing import PathLike, drawing

# Inches: the width of a character, of a bold one, the height of a line, the space between columns.
_LETTER, _BOLD_LETTER, _LEADING, _GAP = 0.095, 0.11, 0.3, 0.35
# The same of the text below the table, and its size in points.
_SMALL_LETTER, _SMALL_LEADING, _SMALL_FONT = 0.07, 0.19, 9
# A narrow table with notes is at least so wide, in inches.
_NOTES_WIDTH = 7.0


def table_picture(
    path: PathLike,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    notes: Sequence[str] = (),
    title: str | None = None,
) -> None:
    """A table; numbers stand to the right in their column, words to the left.

    Args:
      path: The file to write.
      header: The names of the columns.
      rows: The cells of each row, as many as there are columns.
      notes: Stand below the table, a list.
      title: Stands above the table.
    """
    columns = list(zip(header, *rows, strict=True))
    widths = [
        _GAP + max(_BOLD_LETTER * len(name), *(_LETTER * len(cell) for cell in cells))
        for name, *cells in columns
    ]
    table_width = sum(widths)
    width = max(table_width, _GAP + _BOLD_LETTER * len(title or ""), _NOTES_WIDTH if notes else 0)
    text = bullets(notes, int((width - _GAP) / _SMALL_LETTER)).splitlines()
    lines = len(rows) + 1 + (1 if title else 0)
    height = _LEADING * (lines + 1) + _SMALL_LEADING * len(text)
    with drawing(path, width, height, layout=None) as figure:
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
        axes.set_axis_off()
        top = _LEADING * (2 if title else 1)
        if title:
            axes.text(_GAP / 2, top - _LEADING, title, va="center", weight="bold")
        _cells(axes, columns, widths, top)
        for line, thickness in ((0, 1.5), (1, 0.8), (len(rows) + 1, 1.5)):
            y = top + _LEADING * (line - 0.5)
            axes.plot([_GAP / 2, table_width - _GAP / 2], [y, y], color="black", lw=thickness)
        first = top + _LEADING * (len(rows) + 0.5) + _SMALL_LEADING
        for line, words in enumerate(text):
            y = first + _SMALL_LEADING * line
            axes.text(_GAP / 2, y, words, va="center", fontsize=_SMALL_FONT)


def _cells(
    axes: Axes, columns: Sequence[Sequence[str]], widths: Sequence[float], top: float
) -> None:
    """The header and the cells, column by column."""
    right = -_GAP / 2
    for column, width in zip(columns, widths, strict=True):
        left, right = right, right + width
        words = any(character.isalpha() for cell in column[1:] for character in cell)
        x, side = (left + _GAP, "left") if words else (right, "right")
        for line, cell in enumerate(column):
            weight = "bold" if line == 0 else "normal"
            axes.text(x, top + _LEADING * line, cell, ha=side, va="center", weight=weight)
