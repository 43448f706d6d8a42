"""Stopping a run politely: SIGTERM and Ctrl-C ask, and the loop stops where its state is whole."""

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType


class StopRequest:
    """Whether someone asked the process to stop.

    Attributes:
      signal_name: `SIGTERM` or `SIGINT` once one has come; None before.
    """

    signal_name: str | None = None

    def __bool__(self) -> bool:
        return self.signal_name is not None


@contextlib.contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Turns SIGTERM and Ctrl-C (SIGINT) into a flag for the loop inside the block.

        with stop_on_signal() as stop:
            for epoch in epochs:
                ...
                if stop:
                    save and leave

    Ctrl-C once a stop is requested raises KeyboardInterrupt at once; a further SIGTERM changes
    nothing. Python sees a signal only between two of its own instructions: a long compiled call
    delays it. Leaving the block restores the handlers that were there. For the main thread only, as
    all signal handlers are.

    Yields:
      The request; true as soon as a signal has come.
    """
    request = StopRequest()

    def handle(number: int, frame: FrameType | None) -> None:
        if request and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not request:
            request.signal_name = signal.Signals(number).name
            # os.write, because print may be the very call that the signal interrupted.
            message = f"\n{request.signal_name}: stopping soon; Ctrl-C interrupts at once\n"
            os.write(2, message.encode())

    previous = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def cleaning_up_on_sigterm() -> Iterator[None]:
    """SIGTERM ends the command as an exception does, so that nothing is left half written."""

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    previous = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
