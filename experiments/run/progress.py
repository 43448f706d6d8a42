"""Progress bars: for a person at a terminal, and out of the way of everything else."""

from typing import Any, Protocol, Self

from tqdm import tqdm

from experiments.run.hosts import is_first


class Bar(Protocol):
    """How a piece of work shows its progress; a tqdm is one."""

    def __enter__(self) -> Self:
        """The work begins."""
        ...

    def __exit__(self, *exception: object) -> None:
        """The work has ended."""
        ...

    def update(self, n: float = 1) -> Any:
        """`n` more units are done."""
        ...

    def set_description(self, desc: str) -> None:
        """What is being done."""
        ...

    def set_postfix_str(self, s: str, refresh: bool = True) -> None:
        """How it goes."""
        ...

    def unpause(self) -> None:
        """The time until now does not count."""
        ...


class Bars(Protocol):
    """Makes the bar of a piece of work, with the options of tqdm that it knows."""

    def __call__(
        self, *, total: int, unit: str, desc: str, initial: int = 0, **options: Any
    ) -> Bar:
        """The bar."""
        ...


def progress_bar(*, leave: bool | None = None, **options: Any) -> tqdm:
    """A bar with tqdm's options that shows where standard error is a terminal, not in a log file.

    Of several hosts, the first shows it.

    Args:
        leave: whether it stays on the screen when it ends; by default unless it is below another.
        options: of tqdm.
    """
    return tqdm(disable=None if is_first() else True, leave=leave, dynamic_ncols=True, **options)


class Share:
    """The bar of a piece of work that shows in the bar of the whole."""

    def __init__(self, whole: tqdm, worth: float, initial: int) -> None:
        """What an earlier process did moves the bar and not the estimate of the time left.

        Args:
            whole: the bar that is shown.
            worth: units of the whole that one unit of this piece stands for.
            initial: units of this piece done before.
        """
        self._whole, self._worth = whole, worth
        skip(whole, initial * worth)

    def __enter__(self) -> Self:
        """Nothing is drawn."""
        return self

    def __exit__(self, *exception: object) -> None:
        """The bar of the whole stays."""

    def update(self, n: float = 1) -> None:
        """`n` more units of this piece are done."""
        self._whole.update(n * self._worth)

    def set_description(self, desc: str) -> None:
        """The whole has a description of its own."""

    def set_postfix_str(self, s: str, refresh: bool = True) -> None:
        """The whole has a postfix of its own."""

    def unpause(self) -> None:
        """Compiling is part of the whole."""


def skip(bar: tqdm, units: float) -> None:
    """Move the bar by what was done earlier: the rate, and the time left, do not count it."""
    if not bar.disable:  # one that is not shown has no start either
        bar.initial += units
        bar.update(units)
