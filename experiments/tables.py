"""Tables as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def shown(value: Any) -> str:
    """A cell: numbers with two decimals, what is missing as a dash."""
    if value is None:
        return "-"
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


def mean_and_std(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each number over the rows and, as <name>_std, its standard deviation (n - 1)."""
    columns = {name: np.array([row[name] for row in rows], np.float64) for name in rows[0]}
    with np.errstate(invalid="ignore"):  # infinities have a mean and no deviation
        deviations = {f"{name}_std": float(np.std(c, ddof=1)) for name, c in columns.items()}
    means = {name: float(np.mean(column)) for name, column in columns.items()}
    return means | deviations


def upright(values: Mapping[str, Any], names: Sequence[str]) -> str:
    """Some of the values as a table of two columns, narrow enough for any terminal."""
    return markdown([{"": name, "value": values.get(name)} for name in names], ["", "value"])


def markdown(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Rows as a Markdown table, its columns as wide as their widest cell."""
    lines = [list(columns), *[[shown(row.get(column)) for column in columns] for row in rows]]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    lines.insert(1, ["-" * width for width in widths])

    def row(line: Sequence[str]) -> str:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        return "| " + " | ".join(cells) + " |"

    return "\n".join(map(row, lines))
