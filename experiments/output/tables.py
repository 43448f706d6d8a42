"""Tables as Markdown, with the remarks on their rows below them, by letter."""

import itertools
import string
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# No line is longer than a page is wide.
PAGE_WIDTH = 110


def shown(value: Any) -> str:
    """A cell: numbers with two decimals, what is missing as a dash."""
    if value is None:
        return "-"
    # z: what is rounded to zero has no sign.
    return f"{value:z,.2f}" if isinstance(value, float) else str(value)


def mean_and_std(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each number over the rows and, as <name>_std, its standard deviation (n - 1)."""
    columns = {name: np.array([row[name] for row in rows], np.float64) for name in rows[0]}
    with np.errstate(invalid="ignore"):  # infinities have a mean and no deviation
        deviations = {f"{name}_std": float(np.std(c, ddof=1)) for name, c in columns.items()}
    means = {name: float(np.mean(column)) for name, column in columns.items()}
    return means | deviations


def two_columns(values: Mapping[str, Any], names: Sequence[str]) -> str:
    """Some of the values as a table of names and values, narrow enough for any terminal."""
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


def lettered(remarks: Sequence[Sequence[str]]) -> tuple[list[str], list[str]]:
    """The remarks on the rows of a table by letter, each written once.

    Remarks on the same rows share a letter; those on every row need none.

    Args:
        remarks: of each row.

    Returns:
        The letters of each row, as "a, c", and the list that explains them.
    """
    rows_of: dict[str, list[int]] = {}
    for row, texts in enumerate(remarks):
        for text in dict.fromkeys(texts):
            rows_of.setdefault(text, []).append(row)
    groups: dict[tuple[int, ...], list[str]] = {}
    for text, rows in rows_of.items():
        groups.setdefault(tuple(rows), []).append(text)
    common = groups.pop(tuple(range(len(remarks))), None)
    lines = [f"all rows: {'; '.join(common)}"] if common else []
    letters: list[list[str]] = [[] for _ in remarks]
    for letter, (rows, texts) in zip(_letters(len(groups)), groups.items(), strict=True):
        lines.append(f"{letter}: {'; '.join(texts)}")
        for row in rows:
            letters[row].append(letter)
    return [", ".join(of_row) for of_row in letters], lines


def bullets(lines: Sequence[str], width: int = PAGE_WIDTH) -> str:
    """A Markdown list whose lines are no longer than `width`."""
    return "\n".join(
        textwrap.fill(
            line,
            width,
            initial_indent="- ",
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in lines
    )


def _letters(count: int) -> list[str]:
    """a to z, then aa, ab and so on."""
    words = (
        "".join(word)
        for length in itertools.count(1)
        for word in itertools.product(string.ascii_lowercase, repeat=length)
    )
    return list(itertools.islice(words, count))
