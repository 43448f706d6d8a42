"""Metrics as TensorBoard events, written at once: a kill loses nothing that was logged."""

import time
from collections.abc import Mapping
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import (
    Event,  # pyright: ignore[reportAttributeAccessIssue]
    SessionLog,  # pyright: ignore[reportAttributeAccessIssue]
)
from tensorboardX.summary import scalar

from experiments.output.files import writing


class EventFile:
    """A file of TensorBoard scalars over epochs.

    It writes in the calling thread. tensorboardX's SummaryWriter leaves that to a thread, whose
    queue is lost in a kill, and where a full disk is a traceback instead of an error.
    """

    def __init__(self, directory: Path, first_epoch: int):
        """Begins a file; TensorBoard forgets what earlier ones hold from `first_epoch` on.

        Raises:
          InputError: The disk is full or cannot be written.
        """
        self._directory = directory
        with writing(directory):
            directory.mkdir(exist_ok=True)
            # tensorboardX puts the second into the name, where two files might meet; this makes
            # the name unique and keeps the order in which TensorBoard reads the files.
            self._writer = EventsWriter(str(directory / "events"), f".{time.time_ns()}")
            self._write(first_epoch, session_log=SessionLog(status=SessionLog.START))

    def write(self, epoch: int, values: Mapping[str, float]) -> None:
        """Writes the values of one epoch.

        Raises:
          InputError: The disk is full or cannot be written.
        """
        with writing(self._directory):
            for name, value in values.items():
                self._write(epoch, summary=scalar(name, value))
            self._writer.flush()

    def _write(self, epoch: int, **content: object) -> None:
        self._writer.write_event(Event(wall_time=time.time(), step=epoch, **content))

    def close(self) -> None:
        """Closes the file."""
        self._writer.close()
