"""The directory of one training run: its configuration, metrics, result and pictures.

    RUN/config.json      the flags of the run
    RUN/metrics.jsonl    one JSON object per epoch
    RUN/clock.json       the seconds of training until the last checkpoint
    RUN/data.json        which images it is trained on, and the facts of them that it is built from
    RUN/result.json      the figures of the finished run
    RUN/tensorboard/     the metrics again, as TensorBoard events over epochs
    RUN/checkpoints/     the state of training (remjax.training.checkpoints)
    RUN/pictures/

Every file is whole or absent, except that a kill may cut the last line of metrics.jsonl, which is
then dropped. JSON is strict: NaN and the infinities become null.
"""

import contextlib
import fcntl
import json
import os
import types
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from experiments.output.files import read_json, replacing, to_line, to_plain, write_json, writing
from experiments.run.tensorboard import EventFile
from remjax.errors import InputError


class RunDirectory(contextlib.AbstractContextManager["RunDirectory"]):
    """The directory of one run, locked for this process until `close`: see `start`, `reopen`.

    Attributes:
      path: The directory.
      resumed: Whether an earlier process began the run.
      checkpoints: Where the checkpoints belong.
    """

    def __init__(self, path: Path):
        self.path = path
        self.checkpoints = path / "checkpoints"
        self._lock = _locked(path)
        self.resumed = (path / "config.json").exists()
        self._events: EventFile | None = None

    def config(self) -> dict[str, Any]:
        """The configuration of the run."""
        return read_json(self.path / "config.json")

    def metrics(self) -> list[dict[str, Any]]:
        """The metrics of every epoch so far, in order."""
        return metrics_in(self.path)

    def rewind(self, epoch: int) -> None:
        """Drops the metrics of the epochs after `epoch`.

        Every process calls it once, before it logs: with the last epoch that the checkpoint covers,
        or 0 if there is no checkpoint.
        """
        kept = [metrics for metrics in self.metrics() if metrics["epoch"] <= epoch]
        with replacing(self.path / "metrics.jsonl") as temporary:
            temporary.write_text("".join(map(to_line, kept)), encoding="utf-8")

    def log(self, metrics: Mapping[str, Any]) -> None:
        """Appends the metrics of one epoch; they are on the disk when this returns.

        Log an epoch before saving its checkpoint: then a resumed run finds the metrics of every
        epoch that the checkpoint covers, and `rewind` drops those of the others.

        Args:
          metrics: Flat: `epoch`, counted from 1, and numbers; a number may be NaN or None.
        """
        record = to_plain(metrics)
        with writing(self.path / "metrics.jsonl") as path, path.open("a", encoding="utf-8") as file:
            file.write(to_line(record))
            file.flush()
            os.fsync(file.fileno())
        epoch = record.pop("epoch")
        if self._events is None:
            self._events = EventFile(self.path / "tensorboard", first_epoch=epoch)
        numbers = {name: value for name, value in record.items() if isinstance(value, int | float)}
        self._events.write(epoch, numbers)

    def require_data(self, source: str, checksum: int, facts: Mapping[str, Any]) -> None:
        """Notes at the first call what the run is trained on, and refuses anything else later.

        Args:
          source: The images, in one line.
          checksum: Of the images.
          facts: What the model is built from, so that it can be without the images.

        Raises:
          InputError: The images are not those of before.
        """
        path = self.path / "data.json"
        if not path.exists():
            write_json(path, {"source": source, "checksum": checksum, **to_plain(facts)})
        elif read_json(path).get("checksum") != checksum:
            raise InputError(
                f"{self.path} is a run on {read_json(path).get('source')}, and the images found "
                f"now are others ({source}): give the --data_dir of before"
            )

    def keep_time(self, step: int, seconds: float) -> None:
        """Notes how long the training took until a step; call it before saving its checkpoint."""
        write_json(self.path / "clock.json", {"step": step, "seconds": seconds})

    def seconds_until(self, step: int) -> float:
        """The seconds of training until the step of the latest checkpoint.

        Those until the end of the last epoch, if a kill came between the note and the checkpoint.
        """
        path, metrics = self.path / "clock.json", self.metrics()
        noted = read_json(path) if path.exists() else {}
        if noted.get("step") == step:
            return noted["seconds"]
        return metrics[-1]["seconds"] if metrics else 0.0

    def result(self) -> dict[str, Any]:
        """What result.json holds; empty before the run has a result."""
        path = self.path / "result.json"
        return read_json(path) if path.exists() else {}

    def update_result(self, values: Mapping[str, Any]) -> None:
        """Puts values into result.json, beside those of other names; makes the file if need be."""
        write_json(self.path / "result.json", self.result() | to_plain(values))

    def picture(self, name: str) -> Path:
        """The path for a picture, such as `samples.png`, in a folder that exists."""
        with writing(self.path / "pictures") as directory:
            directory.mkdir(exist_ok=True)
        return directory / name

    @property
    def has_pictures(self) -> bool:
        """Whether any was drawn."""
        return any((self.path / "pictures").glob("*"))

    def close(self) -> None:
        """Unlocks the directory for other processes."""
        if self._events is not None:
            self._events.close()
            self._events = None
        os.close(self._lock)

    def __exit__(self, *_: object) -> None:
        self.close()


def start(
    path: str | os.PathLike[str],
    config: Mapping[str, Any],
    *,
    resume: bool = False,
    may_change: Collection[str] = (),
    reasons: Mapping[str, str] = types.MappingProxyType({}),
    defaults: Mapping[str, Any] = types.MappingProxyType({}),
) -> RunDirectory:
    """Opens the directory of a new run, or of an earlier one that goes on.

    With `resume`, a directory that is missing or empty begins a new run, so that one command line
    serves a scheduler for the first start and for every restart.

    Args:
      path: The directory; made, with its parents, if it is missing.
      config: The flags of the run, flat, with values that JSON can hold.
      resume: Whether a run that is there may go on; its configuration must be the same.
      may_change: The keys of `config` in which a run that goes on may differ, such as `data_dir`;
        config.json takes the new values.
      reasons: Why others may not, of those where it is not plain.
      defaults: What the run had of keys that did not exist yet when it began.

    Returns:
      The run directory, locked against other processes until it is closed; its `resumed` says
      which of the two cases it is.

    Raises:
      InputError: The directory holds a run and `resume` is false, a run with another configuration,
        or other files; another process is using it; or it cannot be written.
    """
    path = Path(path)
    _require_ours(path)
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    run = RunDirectory(path)
    try:
        wanted = to_plain(config)
        if run.resumed and not resume:
            raise InputError(f"{path} holds a run: choose another --run_dir or add --resume")
        if run.resumed:
            _require_equal(path, to_plain(defaults) | run.config(), wanted, may_change, reasons)
        if not run.resumed or run.config() != wanted:
            write_json(path / "config.json", wanted)
    except BaseException:
        run.close()
        raise
    return run


def metrics_in(path: Path) -> list[dict[str, Any]]:
    """The metrics of every epoch so far of the run in a directory, in order.

    Raises:
      InputError: They are damaged.
    """
    path = path / "metrics.jsonl"
    if not path.exists():
        return []
    try:
        # What follows the last end of line is the half of a line that a kill left.
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
        metrics = [json.loads(line) for line in lines]
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {error}; remove the damaged line, or train again") from error
    for number, line in enumerate(metrics, start=1):
        if not isinstance(line, dict) or not isinstance(line.get("epoch"), int):
            raise InputError(f"{path}: line {number} is no epoch; remove it, or train again")
    return metrics


def reopen(path: str | os.PathLike[str]) -> RunDirectory:
    """Opens the directory of an earlier run, to read it and to add to its result.

    Raises:
      InputError: There is no run, another process is using it, or it cannot be written.
    """
    path = Path(path)
    if not (path / "config.json").is_file():
        raise InputError(f"{path} holds no run: give a --run_dir that experiments.train made")
    return RunDirectory(path)


def _locked(path: Path) -> int:
    """A descriptor that locks the directory; when the process ends, even killed, it is unlocked."""
    with writing(path):
        lock = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise InputError(
                f"another process is using {path}: wait for its end, or choose another --run_dir"
            ) from None
    return lock


def _require_ours(path: Path) -> None:
    """Raises InputError if the path is a file, or a directory with files but no run."""
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file: choose another --run_dir")
    if path.is_dir() and not (path / "config.json").exists():
        # Hidden files do not count: a process killed at its start leaves the lock and half a file.
        strangers = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
        if strangers:
            raise InputError(
                f"{path} holds {strangers[0]} but no run: choose another --run_dir, new or empty"
            )


def _require_equal(
    path: Path,
    old: dict[str, Any],
    new: dict[str, Any],
    may_change: Collection[str],
    reasons: Mapping[str, str],
) -> None:
    """Raises InputError at the first key in which two configurations differ."""
    # Another model has defaults of its own: it is named, and not what follows from it.
    for key in ("model", *(old | new)):
        if key not in may_change and (key in old, old.get(key)) != (key in new, new.get(key)):
            before, now = (
                f"no --{key}" if one.get(key) is None else f"--{key}={one[key]}"
                for one in (old, new)
            )
            why = f" ({reasons[key]})" if key in reasons else ""
            raise InputError(
                f"{path} holds a run with {before}, which cannot go on with {now}{why}: "
                f"give {before} again, or choose another --run_dir, which --init_from={path} "
                "starts from this run once it is finished"
            )
