"""Progress bars: for a person at a terminal, and out of the way of everything else."""

from typing import Any

from tqdm import tqdm

from experiments.hosts import is_first


def progress_bar(*, leave: bool | None = None, **options: Any) -> tqdm:
    """A bar with tqdm's options that shows where standard error is a terminal, not in a log file.

    Of several hosts, the first shows it.

    Args:
        leave: whether it stays on the screen when it ends; by default unless it is below another.
        options: of tqdm.
    """
    return tqdm(disable=None if is_first() else True, leave=leave, dynamic_ncols=True, **options)
