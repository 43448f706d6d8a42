"""What the tests of the binaries share: a way to run one inside pytest, and one finished run."""

import contextlib
import io
import json
import logging
import os
import signal
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import pytest
from absl import flags

from experiments import train
from experiments.run import command_line, kinds
from experiments.run.initial_state import initial_state
from experiments.run.problem import build
from experiments.run.settings import Settings
from remjax.training import checkpoints

# The smallest run that has every part of a real one: 4 updates in each of 3 epochs.
_TINY = (
    "--dataset=digits", "--train_size=200", "--batch_size=50", "--epochs=3", "--num_particles=4",
    "--hidden_size=8", "--latent_size=2", "--eval_num_particles=20", "--eval_size=20",
)  # fmt: skip


class Done(NamedTuple):
    """How a binary ended, and what it wrote."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def tiny() -> tuple[str, ...]:
    """The flags of the smallest run, all but --run_dir."""
    return _TINY


@contextlib.contextmanager
def _flags(binary: types.ModuleType) -> Iterator[None]:
    """The flags of one binary, which another may define again afterwards."""
    before = set(flags.FLAGS)
    binary.define_flags()
    try:
        yield
    finally:
        for name in set(flags.FLAGS) - before:
            delattr(flags.FLAGS, name)
        flags.FLAGS.unparse_flags()


@pytest.fixture(scope="session")
def defined_flags() -> Callable[[types.ModuleType], contextlib.AbstractContextManager[None]]:
    """Defines the flags of a binary for the length of a block."""
    return _flags


def _run(binary: types.ModuleType, *arguments: object) -> Done:
    # A fifth of a tiny run's time are its pictures: a test that looks at them says --pictures, and
    # a run that goes on has its own settings.
    if binary is train and not {"--pictures", "--resume"} & set(arguments):
        arguments = (*arguments, "--nopictures")
    handlers = list(logging.root.handlers)
    stdout, stderr, code = io.StringIO(), io.StringIO(), 0
    with (
        _flags(binary),
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        patch.setattr(sys, "argv", [binary.__name__, *map(str, arguments)])
        try:
            command_line.run(binary.main)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        finally:
            logging.root.handlers[:] = handlers  # absl puts its own there
    return Done(code, stdout.getvalue(), stderr.getvalue())


@pytest.fixture(scope="session")
def run_binary() -> Callable[..., Done]:
    """Runs `python -m experiments.<binary>` in this process, which has JAX imported already."""
    return _run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, to read; whoever changes it takes a copy."""
    path = tmp_path_factory.mktemp("finished") / "run"
    done = _run(train, *_TINY, f"--run_dir={path}", "--pictures")
    assert (done.code, done.stderr) == (0, "")
    return path


_KILLS_ITSELF = """
    import importlib, os, signal, sys
    from experiments import train
    from experiments.run import command_line

    module, name, last = sys.argv.pop(1).split(":")
    module = importlib.import_module(module)
    original = getattr(module, name)
    calls = 0

    def function(*args, **options):
        global calls
        calls += 1
        if calls == int(last):
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **options)

    setattr(module, name, function)
    train.define_flags()
    command_line.run(train.main)
"""


@pytest.fixture(scope="session")
def kills_itself() -> Callable[[str], list[str]]:
    """The command of a training run that kills itself at `module:function:number of the call`."""
    return lambda moment: [sys.executable, "-c", textwrap.dedent(_KILLS_ITSELF), moment]


@pytest.fixture
def score_is_stopped(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Sends this process a SIGTERM when a run of Gaussian latents is scored."""

    def score(problem: Any, state: Any, check: Callable[[], None], *_: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        check()

    def arm() -> None:
        kind = kinds.MODELS["gaussian"]
        stopped = kind._replace(scoring=kind.scoring._replace(score=score))
        monkeypatch.setitem(kinds.MODELS, "gaussian", stopped)

    return arm


_TIMES = ("seconds", "images_per_second", "steps_per_second")


def _numbers(path: Path) -> dict[str, Any]:
    lines = (path / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in [*lines, (path / "result.json").read_text()]]
    settings = Settings.from_mapping(json.loads((path / "config.json").read_text()))
    state = checkpoints.restore(path / "checkpoints", initial_state(build(settings)))
    keys = jax.tree.map(lambda leaf: jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key), state)
    raw = jax.tree.map(lambda leaf, key: jax.random.key_data(leaf) if key else leaf, state, keys)
    return {
        "state": [leaf.tobytes() for leaf in jax.device_get(jax.tree.leaves(raw))],
        "records": [
            {name: value for name, value in record.items() if name not in _TIMES}
            for record in records
        ],
    }


@pytest.fixture(scope="session")
def numbers() -> Callable[[Path], dict[str, Any]]:
    """Everything that a run has come to: its last state, bit by bit, metrics and result."""
    return _numbers


@pytest.fixture(scope="session")
def expected_numbers(finished: Path) -> dict[str, Any]:
    """The numbers of the run that nobody interrupted."""
    return _numbers(finished)
