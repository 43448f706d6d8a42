"""Progress bars: for a person at a terminal, and out of the way of everything else."""

from typing import Any

from tqdm import tqdm


def progress_bar(*, leave: bool | None = None, **options: Any) -> tqdm:
    """A bar with tqdm's options that shows where standard error is a terminal, not in a log file.

    Args:
        leave: whether it stays on the screen when it ends; by default unless it is below another.
        options: of tqdm.
    """
    return tqdm(disable=None, leave=leave, dynamic_ncols=True, **options)
